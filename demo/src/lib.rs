//! `chancery demo`: a consortium of three organizations on this machine, and everything that the server promises,
//! shown and checked. The peer and its clients are processes of this same program, and they speak the same API as
//! everybody: nothing of the server knows that it is a demonstration.
//!
//! `steps` tells and counts, `cast` is who takes part, `world` is what they play in, `process` are the
//! children; the other files are the steps. No child outlives the demonstration, and what it made in the system's
//! temporary directory goes with it unless a step failed.

mod auction;
mod cast;
mod consortium;
mod durability;
mod guarantees;
mod loan;
mod process;
mod setup;
mod steps;
mod world;

pub use setup::{NewPeer, Setup};

use consortium::AUDITOR;
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Instant,
};
use steps::{Broken, Steps};
use world::{PATIENCE, World};

/// How the demonstration is run.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Where everything is made, and kept; a temporary directory if absent.
    pub dir: Option<PathBuf>,
    /// Ends after the last step.
    pub exit: bool,
    /// Prints nothing; the caller prints the report.
    pub quiet: bool,
}

/// Why the demonstration cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The directory holds something.
    #[error("{0} is not empty: choose another directory, or one that does not exist")]
    NotEmpty(PathBuf),
    /// The directory cannot be made.
    #[error("{path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The machine does not let it run.
    #[error("the demonstration cannot run")]
    Runtime(#[source] io::Error),
}

/// How the demonstration went.
#[derive(Clone, Debug)]
pub struct DemoReport {
    /// Whether every step that was made held.
    pub held: bool,
    /// Whether a signal ended it before its last step.
    pub stopped: bool,
    /// The steps, for programs.
    pub document: Value,
}

/// Runs the demonstration. With [`DemoOptions::exit`] unset and every step held, it stays until SIGINT or SIGTERM;
/// `report` is called with the outcome before that.
///
/// # Errors
/// See [`DemoError`]. A step that does not hold is no error but a report.
pub fn run(
    options: &DemoOptions,
    setup: Box<dyn Setup>,
    report: impl FnOnce(&DemoReport),
) -> Result<DemoReport, DemoError> {
    let (dir, temporary) = directory(options.dir.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Runtime)?;
    let played = runtime.block_on(play(options, &dir, setup, report));
    // Children are killed when what holds them goes; nobody writes to the directory any more.
    drop(runtime);
    let played = played.map_err(DemoError::Runtime)?;
    if temporary && played.held {
        std::fs::remove_dir_all(&dir).map_err(|source| DemoError::Directory { path: dir, source })?;
    }
    Ok(played)
}

/// The directory, new or empty, and whether it is temporary.
fn directory(chosen: Option<&Path>) -> Result<(PathBuf, bool), DemoError> {
    let name = format!("chancery-demo-{}-{}", std::process::id(), client::now().millis());
    let path = chosen.map_or_else(|| std::env::temp_dir().join(name), Path::to_owned);
    let fail = |source| DemoError::Directory { path: path.clone(), source };
    let mut builder = std::fs::DirBuilder::new();
    // Private keys lie in it.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(chosen.is_some()).create(&path).map_err(fail)?;
    if std::fs::read_dir(&path).map_err(fail)?.next().is_some() {
        return Err(DemoError::NotEmpty(path));
    }
    // Children are given paths that hold wherever they are started.
    Ok((path.canonicalize().map_err(fail)?, chosen.is_none()))
}

async fn play(
    options: &DemoOptions,
    dir: &Path,
    setup: Box<dyn Setup>,
    report: impl FnOnce(&DemoReport),
) -> io::Result<DemoReport> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stop = std::pin::pin!(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut steps = Steps::new(out, colour, options.quiet);
    steps.say(&format!("Chancery: a consortium of three organizations, in {}\n", dir.display()));
    let began = Instant::now();
    let mut world = match World::new(dir, setup) {
        Ok(world) => world,
        Err(error) => {
            // Ends as a step that does not hold.
            let _ = steps.make("The sample data", async { Err(error) }).await;
            return Ok(told(&steps, dir, None));
        }
    };
    let stopped = tokio::select! {
        // How it ended is in the steps.
        _ = story(&mut steps, &mut world) => false,
        () = &mut stop => true,
    };
    let mut played = told(&steps, dir, Some(&world));
    played.stopped = stopped;
    let elapsed = began.elapsed().as_secs_f32();
    steps.say(&match (stopped, played.held) {
        (true, _) => "\nStopped before the end.".to_owned(),
        (false, true) => format!("\nAll {} steps held, in {elapsed:.1} s.", steps.made().len()),
        (false, false) => format!("\nA step did not hold. What was made is in {}, the peer's log too.", dir.display()),
    });
    report(&played);
    if played.held && !stopped && !options.exit {
        steps.say(&look_around(&world, options.dir.is_none()));
        stop.await;
    }
    world.watchers.clear();
    if let Some(peer) = world.peer.take() {
        // The last act: what does not drain in time is killed when it is dropped.
        let _ = peer.terminate(PATIENCE).await;
    }
    Ok(played)
}

fn told<W: io::Write>(steps: &Steps<W>, dir: &Path, world: Option<&World>) -> DemoReport {
    let address = world.map(|world| world.address.clone());
    let held = steps.held();
    let document = json!({ "held": held, "directory": dir, "address": address, "steps": steps.made() });
    DemoReport { held, stopped: false, document }
}

async fn story<W: io::Write>(steps: &mut Steps<W>, world: &mut World) -> Result<(), Broken> {
    steps.make("Three organizations have certificates", consortium::certificates(world)).await?;
    steps.make("A peer serves", consortium::peer(world)).await?;
    steps.make("Two private channels, watched from their first block on", consortium::channels(world)).await?;
    steps.make("Participants are admitted by their certificates", consortium::participants(world)).await?;
    steps.make("Money is minted, cars are registered", consortium::assets(world)).await?;
    steps.make("Contracts, applications and evidence", consortium::applications(world)).await?;
    steps.make("A loan: three lenders compete, the borrower repays", loan::loan(world)).await?;
    steps.make("An auction: bidders outbid each other", auction::auction(world)).await?;
    steps.make("Subscribers received every event once, in order", guarantees::subscribers(world)).await?;
    steps.make("Outsiders are refused and learn nothing", guarantees::outsiders(world)).await?;
    steps.make("A revoked certificate is out at once", guarantees::revocation(world)).await?;
    steps.make("A receipt is proven offline, forgeries are not", guarantees::proof(world)).await?;
    steps.make("kill -9 loses nothing that was acknowledged", durability::killed(world)).await?;
    steps.make("The whole ledger verifies offline; everything comes back", durability::verified(world)).await
}

/// What to try while it stays up.
fn look_around(world: &World, temporary: bool) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "chancery".into());
    let profile = |name: &str| world.profile_dir(name).display().to_string();
    let (lending, auction) = (&world.cast.loan.channel, &world.cast.auction.channel);
    let (desk, loan) = (&world.cast.loan.desk, &world.cast.loan.loan);
    let lines = [
        format!("\nThe peer answers at {} until Ctrl-C. Look around:\n", world.address),
        format!("  export CHANCERY_PROFILE={}", profile(AUDITOR)),
        format!("  {program} status"),
        format!("  {program} watch {auction} --from 0"),
        format!("  {program} contract query {desk} loan '{{\"loan\": \"{loan}\"}}' --channel {lending}"),
        format!("  {program} log list --channel {auction}"),
        format!("  {program} --profile {} channel show {auction}   # there is no such channel", profile("nils")),
        format!("  curl {}", world.metrics),
        match temporary {
            true => format!("\nEverything is in {} and is removed at the end; --dir keeps it.", world.dir.display()),
            false => format!("\nEverything is in {} and stays there.", world.dir.display()),
        },
    ];
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_that_holds_something_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(directory(Some(folder.path())).unwrap(), (folder.path().canonicalize().unwrap(), false));
        std::fs::write(folder.path().join("mine"), "x").unwrap();
        assert!(matches!(directory(Some(folder.path())), Err(DemoError::NotEmpty(_))));
        assert!(folder.path().join("mine").exists());
        let (new, temporary) = directory(Some(&folder.path().join("a/b"))).unwrap();
        assert!(new.is_dir() && !temporary);
    }
}
