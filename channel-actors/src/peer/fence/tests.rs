use crate::peer::fence::*;

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { home: tempfile::tempdir().expect("a directory") };
        fs::create_dir(world.data("data")).expect("a directory");
        Incarnation::write_unused(&world.data("incarnation")).expect("writes");
        world
    }

    fn data(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn enter_as(&self, data: &str, moved: bool, has_channels: bool) -> Entered {
        self.entry("ca", moved).enter(&self.data(data), has_channels).expect("readable and writable")
    }

    fn entry(&self, authorities: &str, moved: bool) -> Entry {
        Entry { incarnation: self.data("incarnation"), authorities: self.data(authorities), moved }
    }

    fn look(&self, data: &str) -> io::Result<Option<String>> {
        self.entry("ca", false).look(&self.data(data), &self.data("seal.pem"))
    }

    fn enter(&self, data: &str) -> Entered {
        self.enter_as(data, false, true)
    }

    /// A copy as `cp -a` makes one.
    fn copy(&self, from: &str, to: &str) {
        let copied = std::process::Command::new("cp").arg("-a").args([self.data(from), self.data(to)]).status();
        assert!(copied.expect("cp runs").success());
    }

    /// The fence with a line changed.
    fn change(&self, name: &str, value: &str) {
        let path = self.data("data").join(FENCE);
        let text = fs::read_to_string(&path).expect("readable");
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("a line of it");
        fs::write(&path, text.replace(line, &format!("{name} {value}"))).expect("writable");
    }
}

fn number(entered: &Entered) -> u64 {
    entered.incarnation.as_ref().expect("known").number
}

#[test]
fn a_directory_that_stays_or_is_renamed_is_entered_without_a_word() {
    let world = World::new();
    let first = world.enter_as("data", false, false);
    assert_eq!((number(&first), &first.fenced), (1, &None));
    assert_eq!(world.enter("data"), first);
    fs::rename(world.data("data"), world.data("renamed")).expect("renames");
    assert_eq!(world.enter("renamed"), first);
}

#[test]
fn a_copy_is_noticed_until_an_operator_says_that_it_was_moved() {
    let world = World::new();
    let first = world.enter_as("data", false, false);
    world.copy("data", "copy");
    let copied = world.enter("copy");
    assert!(copied.fenced.as_deref().is_some_and(|why| why.contains("this is a copy")), "{copied:?}");
    assert_eq!(world.enter("data"), first, "the first one goes on");
    let moved = world.enter_as("copy", true, true);
    assert_eq!((number(&moved), &moved.fenced), (2, &None));
    assert_eq!(world.enter("copy"), moved);
    // From now on the key belongs to the copy.
    let left = world.enter("data");
    assert!(left.fenced.as_deref().is_some_and(|why| why.contains("of incarnation 1")), "{left:?}");
}

#[test]
fn a_seal_key_without_its_data_and_data_without_a_fence_are_noticed() {
    let world = World::new();
    assert_eq!(number(&world.enter_as("data", false, false)), 1);
    fs::create_dir(world.data("empty")).expect("a directory");
    assert!(world.enter_as("empty", false, false).fenced.is_some(), "the data was lost");
    fs::remove_file(world.data("data").join(FENCE)).expect("there");
    assert!(world.enter("data").fenced.is_some());
    assert_eq!(number(&world.enter_as("data", true, true)), 2);

    let other = World::new();
    assert!(other.enter_as("data", false, true).fenced.is_some(), "put together by hand");
    assert_eq!(number(&other.enter_as("data", true, true)), 1);
}

/// Device numbers are given anew at each boot, some file systems give inodes anew at each mount, and containers have no
/// machine of their own: none of it is a copy.
#[test]
fn what_a_reboot_a_mount_or_a_container_changes_is_no_copy() {
    let world = World::new();
    let first = world.enter_as("data", false, false);
    let place = FencePlace::of(&world.data("data")).expect("readable");
    world.change("device", "77");
    let fenced = world.enter("data").fenced;
    assert!(fenced.is_some_and(|why| why.contains("another file system")), "in the same run of the system");
    world.change("boot", "another");
    assert_eq!(world.enter("data"), first);
    assert!(fs::read_to_string(world.data("data").join(FENCE)).expect("readable").contains(&place.boot), "noted");
    if !place.born.is_empty() {
        world.change("inode", "7");
        assert_eq!(world.enter("data"), first);
        world.change("born", "1.000000000");
        assert!(world.enter("data").fenced.is_some());
    }
    world.change("born", "");
    world.change("inode", "7");
    assert!(world.enter("data").fenced.is_some());
    world.change("inode", &place.inode.to_string());
    world.change("machine", "");
    assert_eq!(world.enter("data"), first);
    let elsewhere = FencePlace { machine: "other".into(), ..place.clone() };
    assert_eq!(
        FencePlace { machine: "one".into(), ..place }.differs(&elsewhere),
        Some("it was written on another machine")
    );
}

/// Kills between the two files that are written.
#[test]
fn an_entry_that_was_interrupted_is_taken_up_or_asked_about() {
    let world = World::new();
    world.enter_as("data", false, false);
    fs::remove_file(world.home.path().join("incarnation")).expect("there");
    let entered = world.enter_as("data", false, true);
    assert_eq!((number(&entered), &entered.fenced), (1, &None), "the fence was written here");
    // A restore or a move that wrote the fence alone.
    raise(&world.data("data"), &Incarnation::after(entered.incarnation.as_ref()).expect("random")).expect("writes");
    assert!(world.enter("data").fenced.is_some());
    assert_eq!(number(&world.enter_as("data", true, true)), 3);
}

#[test]
fn files_of_another_form_are_errors_and_no_fences() {
    let world = World::new();
    let first = world.enter_as("data", false, false).incarnation.expect("known");
    assert_eq!(Incarnation::parse(&first.to_string()), Some(first.clone()));
    for bad in ["", "1", "0 00000000000000000000000000000000", "1 0", &format!("+{first}"), &format!("{first} ")] {
        assert_eq!(Incarnation::parse(bad), None, "{bad}");
    }
    fs::write(world.data("data").join(FENCE), "").expect("writes");
    assert!(world.look("data").is_err(), "who cannot read a fence does not go past it");
    let error = world.entry("ca", true).enter(&world.data("data"), true).expect_err("not a fence");
    assert!(error.to_string().contains("fence.place"), "{error}");
}

/// A seal key that was copied without the file beside it gave its channels a second history.
#[test]
fn a_seal_key_begins_only_where_it_is_said_to_be_unused() {
    let world = World::new();
    fs::remove_file(world.data("incarnation")).expect("there");
    assert_eq!(world.look("data").expect("readable"), None, "no peer is here: nothing is asked");
    fs::write(world.data("seal.pem"), "a key").expect("writes");
    assert!(world.look("data").expect("readable").is_some_and(|why| why.contains("is missing")));
    let entered = world.enter_as("data", false, false);
    assert!(entered.fenced.as_deref().is_some_and(|why| why.contains("is missing")), "{entered:?}");
    assert_eq!(number(&world.enter_as("data", true, false)), 1);
    assert_eq!(world.look("data").expect("readable"), None);
    // Whoever looks judges as whoever enters.
    assert!(world.look("gone").expect("readable").is_some_and(|why| why.contains("has been used")));
    fs::remove_file(world.data("data").join(FENCE)).expect("there");
    assert!(world.look("data").expect("readable").is_some());
}

/// Two copies with one data directory passed, and both issued.
#[test]
fn a_copy_of_the_authorities_is_noticed_beside_the_same_data() {
    let world = World::new();
    fs::create_dir(world.data("ca")).expect("a directory");
    let first = world.enter_as("data", false, false);
    assert!(world.data("ca").join(FENCE).exists());
    world.copy("ca", "copy");
    let copy = |moved| world.entry("copy", moved);
    let seen = copy(false).look(&world.data("data"), &world.data("seal.pem")).expect("readable");
    assert!(seen.is_some_and(|why| why.contains("this is a copy")));
    let entered = copy(false).enter(&world.data("data"), true).expect("readable");
    assert!(entered.fenced.is_some(), "{entered:?}");
    let alone = Entry { incarnation: world.data("none"), authorities: world.data("copy"), moved: false };
    assert!(alone.look(&world.data("none"), &world.data("none")).expect("readable").is_some(), "without its peer, too");
    assert_eq!(world.look("data").expect("readable"), None);
    assert_eq!(world.enter("data"), first, "the first one goes on");
    assert_eq!(number(&copy(true).enter(&world.data("data"), true).expect("writable")), 2);
    assert_eq!(copy(false).look(&world.data("data"), &world.data("seal.pem")).expect("readable"), None);
}
