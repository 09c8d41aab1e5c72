//! `chancery contract`: contracts and their instances.

use super::amounts::Units;
use super::failure::Failure;
use super::session::{OnChannel, Paging, Session, Signing, ToChannel, document};
use clap::{Args, Subcommand};
use ledger_classes::action::{Action, contracts};
use serde_json::Value;

/// What an engine runs.
#[derive(Args, Debug)]
pub(super) struct Code {
    /// The contract's name on the channel
    contract: String,
    /// What the engine runs: for `builtin` the library's name, such as auction
    code: String,
    /// The engine
    #[arg(long, default_value = "builtin")]
    engine: String,
    #[command(flatten)]
    on: ToChannel,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a contract under a name
    #[command(after_help = "\
Example:
  $ chancery contract deploy art-auction auction --channel trade")]
    Deploy(Code),
    /// Give a contract a new version; for its owner
    #[command(after_help = "\
Example:
  $ chancery contract upgrade art-auction auction --channel trade")]
    Upgrade(Code),
    /// End a contract for new instances; for its owner
    #[command(after_help = "\
Example:
  $ chancery contract retire art-auction --channel trade")]
    Retire {
        /// The contract
        contract: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Make an instance of a contract
    #[command(after_help = "\
Amounts are texts with the point of their asset, such as \"2.50\" or \"2.50 coin\"; with --base-units they are sent as they
are written.

Example:
  $ chancery contract create art-auction lot-7 @lot-7.json --channel trade")]
    Create {
        /// The contract
        contract: String,
        /// The instance's name on the channel
        instance: String,
        /// JSON document, or @FILE
        #[arg(default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Call an instance
    #[command(after_help = "\
Amounts are texts with the point of their asset, and may name it, as in the second example; with --base-units they are
sent as they are written.

Examples:
  $ chancery contract call lot-7 bid '{\"amount\": \"2.50\"}' --channel trade
  $ chancery contract call lot-7 bid '{\"amount\": \"2.50 coin\"}' --channel trade")]
    Call {
        /// The instance
        instance: String,
        /// What to do
        method: String,
        /// JSON document, or @FILE
        #[arg(default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Ask an instance without changing it
    #[command(after_help = "\
Example:
  $ chancery contract query lot-7 state --channel trade")]
    Query {
        /// The instance
        instance: String,
        /// What to ask
        method: String,
        /// JSON document, or @FILE
        #[arg(default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List contracts
    #[command(after_help = "\
Example:
  $ chancery contract list --channel trade")]
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Show a contract
    #[command(after_help = "\
Example:
  $ chancery contract show art-auction --channel trade")]
    Show {
        /// The contract
        contract: String,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List instances, of one contract or of all
    #[command(after_help = "\
Example:
  $ chancery contract instances art-auction --channel trade")]
    Instances {
        /// The contract; all if absent
        contract: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Show an instance
    #[command(after_help = "\
Example:
  $ chancery contract instance lot-7 --channel trade")]
    Instance {
        /// The instance
        instance: String,
        #[command(flatten)]
        on: OnChannel,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Deploy(Code { contract, code, engine, on, signing }) => {
                let deploy = Action::ContractDeploy(contracts::Deploy { contract, engine, code });
                session.act(&on.channel, deploy, &signing).await
            }
            Self::Upgrade(Code { contract, code, engine, on, signing }) => {
                let upgrade = Action::ContractUpgrade(contracts::Deploy { contract, engine, code });
                session.act(&on.channel, upgrade, &signing).await
            }
            Self::Retire { contract, on, signing } => {
                session.act(&on.channel, Action::ContractRetire(contracts::Retire { contract }), &signing).await
            }
            Self::Create { contract, instance, arguments, on, signing } => {
                let mut arguments = document(&arguments)?;
                if !signing.base_units {
                    arguments = session.create_arguments(&on.channel, &contract, arguments).await?;
                }
                let create = contracts::Create { contract, instance, arguments };
                session.act(&on.channel, Action::ContractCreate(create), &signing).await
            }
            Self::Call { instance, method, arguments, on, signing } => {
                let mut arguments = document(&arguments)?;
                if !signing.base_units {
                    arguments = session.call_arguments(&on.channel, &instance, arguments).await?;
                }
                let call = contracts::Call { instance, method, arguments };
                session.act(&on.channel, Action::ContractCall(call), &signing).await
            }
            Self::Query { instance, method, arguments, on } => {
                let arguments = document(&arguments)?;
                let mut answer = session.connection.instance_query(&on.channel, &instance, &method, &arguments).await?;
                if let Some(result) = answer.get_mut("result").filter(|_| !session.output.json) {
                    Units::default().put_points_of_instance(session, &on.channel, &instance, result).await;
                }
                session.output.record(&answer)
            }
            Self::List { paging, on } => {
                let path = ["channels", &on.channel, "contracts"];
                let page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                session.output.page(&page, &["contract", "name", "engine", "code", "version", "owner", "retired"])
            }
            Self::Show { contract, on } => {
                let path = ["channels", &on.channel, "contracts", &contract];
                session.output.record(&session.connection.get::<Value>(&path, &[]).await?)
            }
            Self::Instances { contract, paging, on } => {
                let mut path = vec!["channels", &on.channel];
                path.extend(contract.iter().flat_map(|contract| ["contracts", contract]));
                path.push("instances");
                let page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                session.output.page(&page, &["instance", "contract", "version", "created_by", "block_height"])
            }
            Self::Instance { instance, on } => {
                let path = ["channels", &on.channel, "instances", &instance];
                session.output.record(&session.connection.get::<Value>(&path, &[]).await?)
            }
        }
    }
}
