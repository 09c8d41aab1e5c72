//! `chancery app`: registered applications.

use super::failure::Failure;
use super::session::{OnChannel, Paging, Session, Signing, ToChannel, digest_of, document};
use clap::Subcommand;
use ledger_classes::action::{Action, apps};
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register an application, or a new version of it
    #[command(after_help = "\
Example:
  $ chancery app publish lending-desk 1.4.0 --title 'Lending desk' --bundle desk.tar.gz --contract lending --channel trade")]
    Publish {
        /// The application's name on the channel
        app: String,
        /// This version; never published before
        version: String,
        /// For people to read
        #[arg(long, default_value = "")]
        title: String,
        /// The bundle, whose SHA-256 is recorded; the file itself stays here
        #[arg(long, value_name = "FILE", required_unless_present = "bundle_digest")]
        bundle: Option<PathBuf>,
        /// SHA-256 of the bundle
        #[arg(long, value_name = "HEX", conflicts_with = "bundle")]
        bundle_digest: Option<Hash>,
        /// Contract of this channel that it uses; repeat for several
        #[arg(long = "contract", value_name = "NAME")]
        contracts: Vec<String>,
        /// JSON document, or @FILE
        #[arg(long, value_name = "JSON", default_value = "{}")]
        settings: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Change an application's settings
    #[command(after_help = "\
Example:
  $ chancery app settings lending-desk '{\"rate_max\": \"0.08\"}' --channel trade")]
    Settings {
        /// The application
        app: String,
        /// JSON document, or @FILE
        settings: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// End an application; its versions stay readable
    #[command(after_help = "\
Example:
  $ chancery app retire lending-desk --channel trade")]
    Retire {
        /// The application
        app: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// List applications
    #[command(after_help = "\
Example:
  $ chancery app list --channel trade")]
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Show an application, or one version of it
    #[command(after_help = "\
Example:
  $ chancery app show lending-desk --app-version 1.3.0")]
    Show {
        /// The application
        app: String,
        /// This version only
        #[arg(long, value_name = "VERSION")]
        app_version: Option<String>,
        #[command(flatten)]
        on: OnChannel,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Publish { app, version, title, bundle, bundle_digest, contracts, settings, on, signing } => {
                let bundle = match (bundle, bundle_digest) {
                    (Some(path), _) => digest_of(&path)?,
                    (None, Some(digest)) => digest,
                    (None, None) => return Err(Failure::usage("--bundle or --bundle-digest is needed")),
                };
                let settings = document(&settings)?;
                let publish = apps::Publish { app, version, title, bundle, contracts, settings };
                session.act(&on.channel, Action::AppPublish(publish), &signing).await
            }
            Self::Settings { app, settings, on, signing } => {
                let update = apps::UpdateSettings { app, settings: document(&settings)? };
                session.act(&on.channel, Action::AppUpdateSettings(update), &signing).await
            }
            Self::Retire { app, on, signing } => {
                session.act(&on.channel, Action::AppRetire(apps::Retire { app }), &signing).await
            }
            Self::List { paging, on } => {
                let path = ["channels", &on.channel, "apps"];
                let page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                session.output.page(&page, &["app", "version", "owner", "published_height"])
            }
            Self::Show { app, app_version, on } => {
                let mut path = vec!["channels", &on.channel, "apps", &app];
                path.extend(app_version.iter().flat_map(|version| ["versions", version]));
                session.output.record(&session.connection.get::<Value>(&path, &[]).await?)
            }
        }
    }
}
