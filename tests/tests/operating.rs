//! The operators' pages are true: their commands run, in order, as a newcomer would type them, in one shell, an empty
//! directory and a network of their own, so that the addresses of the pages are free. A block `text` is held against
//! what the commands before it printed. What is not for this machine, like a smart card or another host's name, is in a
//! block without a language, and is listed here.

use clap::CommandFactory as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// The pages, in the order of the table on the first one: their commands go on where those before ended.
const PAGES: [(&str, &str); 11] = [
    ("operating", include_str!("../../docs/operating.md")),
    ("payments", include_str!("../../docs/operating/payments.md")),
    ("contracts", include_str!("../../docs/contracts.md")),
    ("channels", include_str!("../../docs/operating/channels.md")),
    ("backup", include_str!("../../docs/operating/backup.md")),
    ("organizations", include_str!("../../docs/operating/organizations.md")),
    ("members", include_str!("../../docs/operating/members.md")),
    ("auditing", include_str!("../../docs/operating/auditing.md")),
    ("authorities", include_str!("../../docs/operating/authorities.md")),
    ("configuration", include_str!("../../docs/operating/configuration.md")),
    ("monitoring", include_str!("../../docs/operating/monitoring.md")),
];

/// Beginnings of blocks that are shown and not run, each with its reason.
const SHOWN: &[(&str, &str)] = &[
    ("chancery init --dir peer-1 --consortium harbour.example --org bank --host", "other machines"),
    ("chancery ca organization broker --pkcs11", "needs a token; tests/tests/peer/tokens.rs runs it with SoftHSM"),
    (
        "chancery ca replace dealer --why",
        "ends dealer's people, who go on below; tests/tests/peer/stolen_ca.rs runs it",
    ),
    ("chancery ca bundle dealer --out dealer.pem", "goes on from there"),
    (
        "chancery ca revoke-organization dealer",
        "ends dealer's people, who go on below; tests/tests/peer/revocation.rs runs it",
    ),
    (
        "chancery --profile peer-1/profiles/admin channel renew-authority",
        "refused until a year before the end; runs later",
    ),
];

/// What the page asks of the clock, in a comment: `<!-- clock: 380 days; COMMAND -->`. The command is not on the page.
const CLOCK: &str = "<!-- clock: ";

/// Waits until the peer serves with a certificate that is good, as people do without noticing: it looks at its files
/// four times a second.
const READY: &str = "within 300 curl --silent --fail --show-error --output status --cacert peer-1/peer/ca.pem \
                     https://localhost:7100/v1/status\n";

/// What the script waits with: tries a command ten times a second, and ends the script with what it said last.
const WITHIN: &str = "within() {\nlocal TRY TRIES=$1\nshift\nfor TRY in $(seq $TRIES); do\n\
                      \"$@\" > tried 2>&1 && return 0\nsleep 0.1\ndone\n\
                      echo \"not in $TRIES tries: $*\" >&3\ncat tried >&3\nexit 1\n}\n";

/// Waits until the peer takes the command's certificate: the CRL that it lacked may be a moment old.
fn accepted(command: &str) -> String {
    let profile = command.split_whitespace().nth(2).expect("a profile");
    format!("within 300 chancery --profile {profile} status\n")
}

/// A block of a page.
struct Block {
    page: &'static str,
    line: usize,
    language: String,
    text: String,
}

/// The pages' blocks.
fn blocks() -> Vec<Block> {
    let (mut blocks, mut open): (Vec<_>, Option<Block>) = (Vec::new(), None);
    for (page, text) in PAGES {
        for (number, line) in text.lines().enumerate() {
            let block = |line, language: &str, text: &str| Block {
                page,
                line,
                language: language.to_owned(),
                text: text.to_owned(),
            };
            if let Some(clock) = line.strip_prefix(CLOCK) {
                blocks.push(block(number + 1, "clock", clock.trim_end_matches(" -->")));
            }
            match (line.strip_prefix("```"), open.as_mut()) {
                (Some(language), None) => open = Some(block(number + 2, language, "")),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(open)) => open.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page}: a block without end");
    }
    blocks
}

/// Where the output of a block goes.
fn output_of(Block { page, line, .. }: &Block) -> String {
    format!("out.{page}.{line}")
}

/// Whether a line of the page, in which `…` stands for anything, is a line of what was printed.
fn reads_as(shown: &str, printed: &str) -> bool {
    let Some((first, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(mut left) = printed.strip_prefix(first) else { return false };
    let mut parts = rest.split('…').peekable();
    while let Some(part) = parts.next() {
        match parts.peek() {
            None => return left.ends_with(part),
            Some(_) => match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            },
        }
    }
    true
}

/// Finds what a page shows in what was printed, line by line and in its order; other lines may stand between.
fn check(block: &Block, printed: &str) {
    assert!(block.text.lines().any(|line| line != "…"), "{}, line {}: shows nothing", block.page, block.line);
    let mut lines = printed.lines().map(str::trim_end);
    for shown in block.text.lines().filter(|line| *line != "…") {
        let found = lines.any(|line| reads_as(shown, line));
        assert!(found, "{}, line {}: {shown:?} is not, or not there, in\n{printed}", block.page, block.line);
    }
}

/// One script of all blocks. A peer in the background is waited for, as people do; a subscription, which has no end, is
/// read until its first event.
fn script() -> String {
    let mut script = String::from(
        "set -euo pipefail\nexport LC_ALL=C\nexec 3>&2\nLAST=/dev/null\n\
        trap 'exit 124' TERM\ntrap 'CODE=$?; [ $CODE = 0 ] || cat $LAST >&3; kill $(jobs -p) 2>/dev/null || true; exit $CODE' EXIT\n",
    );
    script.push_str(WITHIN);
    for block in blocks() {
        let output = output_of(&block);
        let Block { page, line, language, text } = block;
        if language == "clock" {
            let (days, command) = text.split_once(" days").expect("a number of days");
            let command = command.strip_prefix("; ").map(|command| format!("{READY}{command}\n")).unwrap_or_default();
            let seconds = days.parse::<u64>().expect("a number") * 86_400;
            script.push_str(&format!(
                "echo '{page}, line {line}' >&3\necho +{seconds} > clock.next\nmv clock.next clock\n"
            ));
            script.push_str(&command);
            continue;
        }
        // What the API takes is held to by its own tests.
        if language == "text" || language == "json" {
            continue;
        }
        if language != "sh" {
            let known = SHOWN.iter().any(|(beginning, _)| text.starts_with(beginning));
            assert!(known, "{page}, line {line}: a block that is neither run nor listed as shown: {text}");
            continue;
        }
        let mut whole = String::new();
        script.push_str(&format!("LAST=$PWD/{output}\nexec > $LAST 2>&1\n"));
        for (offset, command) in text.lines().enumerate() {
            if whole.is_empty() {
                script.push_str(&format!("echo '{page}, line {}' >&3\n", line + offset));
            }
            whole.extend([command, "\n"]);
            if command.ends_with('\\') {
                continue;
            }
            match command {
                serve if serve.starts_with("chancery serve") => {
                    script.push_str(&format!("{whole}PEER=$!\n{READY}"));
                }
                watch
                    if watch.starts_with("chancery watch")
                        && !watch.contains("--until")
                        && !watch.contains("--count") =>
                {
                    script.push_str(&format!(
                        "{} > watched 2>&1 &\nuntil [ -s watched ]; do kill -0 $!; sleep 0.05; done\nkill $!\n",
                        watch
                    ));
                }
                online if online.starts_with("chancery --profile") => {
                    script.push_str(&format!("{READY}{}{whole}", accepted(online)));
                }
                _ => script.push_str(&whole),
            }
            whole.clear();
        }
    }
    // Everything that the page's user did can be verified afterwards.
    script + "kill $PEER\nwait $PEER\nchancery verify --dir peer-1\n"
}

/// libfaketime for programs with threads; `tests/run` installs it.
fn faketime() -> String {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    let files = places.iter().map(|place| format!("{place}/faketime/libfaketimeMT.so.1"));
    let found = files.into_iter().find(|file| Path::new(file).exists());
    found.expect("libfaketime is installed (apt-get install faketime)")
}

/// Half of what one can do with an asset stood on no page.
#[test]
fn every_command_is_named_on_a_page() {
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let path = format!("{path} {}", inner.get_name());
            match inner.has_subcommands() {
                true => walk(inner, &path, found),
                false => found.push(path.trim_start().to_owned()),
            }
        }
    }
    let mut commands = Vec::new();
    walk(&server::cli::Cli::command(), "", &mut commands);
    assert!(commands.len() > 80, "{commands:?}");
    let pages: String = PAGES.iter().map(|(_, text)| *text).collect();
    let missing: Vec<&String> = commands.iter().filter(|command| !pages.contains(command.as_str())).collect();
    assert!(missing.is_empty(), "no page tells of {missing:?}");
}

#[test]
fn the_commands_of_the_page_run_in_their_order() {
    let home = tempfile::tempdir().expect("a directory");
    let bin = home.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    symlink(env!("CARGO_BIN_EXE_peer-under-test"), bin.join("chancery")).expect("a link");
    let work = home.path().join("work");
    fs::create_dir(&work).expect("a directory");
    fs::write(work.join("clock"), "+0\n").expect("writes");
    let output = Command::new("timeout")
        .args([
            "180",
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "bash",
            "-c",
            "ip link set lo up && exec bash -s",
        ])
        .current_dir(&work)
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
        .env_remove("CHANCERY_PROFILE")
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME_TIMESTAMP_FILE", work.join("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .stdin(script_file(home.path()))
        .output()
        .expect("timeout and unshare run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let mut printed = String::new();
    for block in blocks() {
        match block.language.as_str() {
            "sh" => printed = fs::read_to_string(work.join(output_of(&block))).expect("a block that ran"),
            "text" => check(&block, &printed),
            _ => {}
        }
    }
}

fn script_file(home: &Path) -> Stdio {
    let path = home.join("script");
    fs::write(&path, script()).expect("writes");
    fs::File::open(&path).expect("just written").into()
}
