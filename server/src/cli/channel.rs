//! `chancery channel`: channels and their configuration. A change is a transaction that needs the approvals of the
//! channel's policy; who proposes approves.

mod authority;
mod fetch;

use super::failure::Failure;
use super::output::{Output, clean, pairs, rights};
use super::session::{Paging, Session, Signing, read_file, word};
use super::status;
use clap::{Args, Subcommand};
use client::api::{ChannelSpec, ChannelView, SpecOrganization};
use client::certificate::certificates;
use ledger_classes::action::Action;
use ledger_classes::action::channel::{Approve, Propose};
use ledger_classes::config::{Approvals, ConfigChange, Engine, Organization};
use ledger_classes::hash::{Hash, HexBytes};
use ledger_classes::rights::{Class, Grant, Grantee, Right, Rights};
use std::path::{Path, PathBuf};

/// What `create` takes.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// 1 to 64 of a-z, 0-9 and hyphen
    #[arg(required_unless_present = "spec")]
    name: Option<String>,
    /// Member organization; with =FILE its CA certificates in PEM, if the peer does not know them. Repeat for several
    #[arg(long = "org", value_name = "NAME[=FILE]", required_unless_present = "spec")]
    organizations: Vec<String>,
    /// Rights of an organization or of one identity. Repeat for several
    #[arg(long = "grant", value_name = "WHOM=RIGHTS", value_parser = grant)]
    grants: Vec<Grant>,
    /// Anybody may read
    #[arg(long)]
    public_read: bool,
    /// Anybody may submit; the transaction's signature is the authentication
    #[arg(long)]
    open_submit: bool,
    /// Ordering engine: solo, raft or bft
    #[arg(long, value_parser = word::<Engine>)]
    engine: Option<Engine>,
    /// Organizations that must approve changes: any, majority or all
    #[arg(long, value_parser = word::<Approvals>)]
    approvals: Option<Approvals>,
    /// JSON file with all of this, and limits and fees
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "organizations", "grants", "public_read",
        "open_submit", "engine", "approvals"])]
    spec: Option<PathBuf>,
}

/// A proposal's reason, and how it is signed.
#[derive(Args, Debug)]
pub(super) struct Proposal {
    /// Why, for people to read
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    signing: Signing,
}

/// What `update` takes.
#[derive(Args, Debug)]
#[group(id = "change", required = true, multiple = true, args = ["changes", "put_organizations",
    "remove_organizations", "approvals"])]
pub(super) struct Update {
    /// Channel, by name or by id
    channel: String,
    /// JSON file with a list of changes, such as [{"change": "set_fees", …}]; done before the others
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
    /// Add an organization, or replace its CA certificates. Repeat for several
    #[arg(long = "put-org", value_name = "NAME=FILE")]
    put_organizations: Vec<String>,
    /// End a membership. Repeat for several
    #[arg(long = "remove-org", value_name = "NAME")]
    remove_organizations: Vec<String>,
    /// Organizations that must approve changes from now on: any, majority or all
    #[arg(long, value_parser = word::<Approvals>)]
    approvals: Option<Approvals>,
    #[command(flatten)]
    proposal: Proposal,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a channel; for administrators of the peer's organization
    #[command(after_help = "\
Rights are read:CLASS, write:CLASS, admin, audit, order, hold, joined by commas; `read` and `write` alone are
those of every class, `member` is both. Classes are assets, contracts, apps, logs.

Example:
  $ chancery channel create trade --org bank --org dealer --grant bank=member,admin --grant dealer=read:assets")]
    Create(Create),
    /// List the channels that the caller may see
    #[command(after_help = "\
Example:
  $ chancery channel list")]
    List {},
    /// Show a channel with its configuration
    #[command(after_help = "\
Example:
  $ chancery channel show trade --json")]
    Show {
        /// Channel, by name or by id
        channel: String,
    },
    /// Show blocks of a channel
    #[command(after_help = "\
Example:
  $ chancery channel blocks trade --from 100 --limit 10")]
    Blocks {
        /// Channel, by name or by id
        channel: String,
        #[command(flatten)]
        paging: Paging,
    },
    Fetch(fetch::Fetch),
    /// Propose to give rights
    #[command(after_help = "\
Example:
  $ chancery channel grant trade dealer=write:assets spiffe://harbour.example/audit/auditor/eve=audit")]
    Grant {
        /// Channel, by name or by id
        channel: String,
        /// Rights of an organization or of one identity
        #[arg(required = true, value_name = "WHOM=RIGHTS", value_parser = grant)]
        grants: Vec<Grant>,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// Propose to take rights away
    #[command(after_help = "\
Example:
  $ chancery channel deny trade dealer=write:assets --reason 'contract ended'")]
    Deny {
        /// Channel, by name or by id
        channel: String,
        /// Rights of an organization or of one identity
        #[arg(required = true, value_name = "WHOM=RIGHTS", value_parser = grant)]
        grants: Vec<Grant>,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// Propose other changes of the configuration
    #[command(after_help = "\
Example:
  $ chancery channel update trade --put-org carrier=carrier-ca.pem --approvals all --reason 'carrier joins'")]
    Update(Update),
    /// Approve a proposal of another organization
    #[command(after_help = "\
Example:
  $ chancery channel approve trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d")]
    Approve {
        /// Channel, by name or by id
        channel: String,
        /// The proposal: the id of the transaction that proposed
        proposal: Hash,
        #[command(flatten)]
        signing: Signing,
    },
    RenewAuthority(authority::RenewAuthority),
    /// Show a proposal and who has approved it
    #[command(after_help = "\
Example:
  $ chancery channel proposal trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d")]
    Proposal {
        /// Channel, by name or by id
        channel: String,
        /// The proposal
        proposal: Hash,
    },
}

/// Parses `bank=read:assets,write:assets` or `spiffe://…=audit`.
fn grant(text: &str) -> Result<Grant, String> {
    let (whom, rights) = text.split_once('=').ok_or("a grant reads WHOM=RIGHTS")?;
    let to = match whom.starts_with("spiffe://") {
        true => Grantee::Identity(whom.parse().map_err(|error| format!("{whom}: {error}"))?),
        false if ledger_classes::identity::is_label(whom) => Grantee::Organization(whom.into()),
        false => return Err(format!("{whom:?} is neither an organization nor a spiffe:// identity")),
    };
    let rights = rights.split(',').try_fold(Rights::NONE, |rights, word| {
        let more = match word {
            "member" => Rights::member(),
            "read" => Class::ALL.into_iter().map(Right::Read).collect(),
            "write" => Class::ALL.into_iter().map(Right::Write).collect(),
            word => Rights::from_iter([word.parse::<Right>().map_err(|error| error.to_string())?]),
        };
        Ok::<_, String>(rights.union(more))
    })?;
    Ok(Grant { to, rights })
}

/// The DER certificates of a PEM file.
fn authorities(path: &Path) -> Result<Vec<HexBytes>, Failure> {
    let certificates = certificates(&read_file(path, 1 << 20)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(certificates.iter().map(|der| HexBytes(der.to_vec())).collect())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    ledger_classes::json::from_slice(&read_file(path, 1 << 20)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

impl Create {
    fn spec(self) -> Result<ChannelSpec, Failure> {
        if let Some(path) = self.spec {
            return read_json(&path);
        }
        let organizations = self.organizations.into_iter().map(|text| {
            let (name, authorities) = match text.split_once('=') {
                None => (text, Vec::new()),
                Some((name, path)) => (name.to_owned(), authorities(Path::new(path))?),
            };
            Ok(SpecOrganization { name, title: None, authorities })
        });
        Ok(ChannelSpec {
            name: self.name.unwrap_or_default(),
            engine: self.engine,
            organizations: organizations.collect::<Result<_, Failure>>()?,
            grants: self.grants,
            public_read: self.public_read,
            open_submit: self.open_submit,
            limits: None,
            fees: None,
            approvals: self.approvals,
        })
    }
}

impl Update {
    fn changes(&self) -> Result<Vec<ConfigChange>, Failure> {
        let mut changes: Vec<ConfigChange> = match &self.changes {
            Some(path) => read_json(path)?,
            None => Vec::new(),
        };
        for text in &self.put_organizations {
            let (name, path) = text
                .split_once('=')
                .ok_or_else(|| Failure::usage("--put-org reads NAME=FILE, with the CA certificates in FILE"))?;
            let authorities = authorities(Path::new(path))?;
            let organization = Organization { name: name.into(), title: name.into(), authorities };
            changes.push(ConfigChange::PutOrganization(organization));
        }
        let names = self.remove_organizations.iter().cloned();
        changes.extend(names.map(|name| ConfigChange::RemoveOrganization { name }));
        changes.extend(self.approvals.map(|approvals| ConfigChange::SetApprovals { approvals }));
        Ok(changes)
    }
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = &session.connection;
        let (channel, changes, proposal) = match self {
            Self::Create(create) => return show(session.output, &connection.create_channel(&create.spec()?).await?),
            Self::List {} => {
                let page = connection.channels().await?;
                return session.output.show(&page, |page| status::channels(&page.items));
            }
            Self::Show { channel } => return show(session.output, &connection.channel(&channel).await?),
            Self::Blocks { channel, paging } => {
                let page = connection.blocks(&channel, paging.range()).await?;
                let columns = ["header.height", "header.time", "header.transactions", "header.receipts", "hash"];
                return session.output.page(&page, &columns);
            }
            Self::Proposal { channel, proposal } => {
                return session.output.record(&connection.proposal(&channel, proposal).await?);
            }
            Self::Approve { channel, proposal, signing } => {
                let approve = Action::ChannelApprove(Approve { proposal });
                return session.act(&channel, approve, &signing).await;
            }
            Self::Fetch(command) => return command.run(session).await,
            Self::RenewAuthority(command) => return command.run(session).await,
            Self::Grant { channel, grants, proposal } => {
                (channel, grants.into_iter().map(ConfigChange::Grant).collect(), proposal)
            }
            Self::Deny { channel, grants, proposal } => {
                (channel, grants.into_iter().map(ConfigChange::Deny).collect(), proposal)
            }
            Self::Update(update) => {
                let changes = update.changes()?;
                (update.channel, changes, update.proposal)
            }
        };
        let Proposal { reason, signing } = proposal;
        session.act(&channel, Action::ChannelPropose(Propose { changes, reason }), &signing).await
    }
}

/// Shows one channel.
fn show(output: Output, channel: &ChannelView) -> Result<(), Failure> {
    output.show(channel, |channel| {
        let mut lines = vec![
            ("channel", clean(&channel.name)),
            ("id", channel.id.to_string()),
            ("height", channel.height.to_string()),
            ("tip", channel.tip.to_string()),
            ("block time", channel.time.to_string()),
            ("state", status::state(&channel.state)),
            ("rights", rights(channel.rights)),
        ];
        if let Some(config) = &channel.config {
            let word = |value| serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned()));
            lines.push(("engine", word(serde_json::json!(config.engine)).unwrap_or_default()));
            lines.push(("approvals", word(serde_json::json!(config.approvals)).unwrap_or_default()));
            let open = [(config.public_read, "anybody may read"), (config.open_submit, "anybody may submit")];
            lines.extend(open.into_iter().filter(|(open, _)| *open).map(|(_, what)| ("open", what.to_owned())));
            lines.extend(config.peers.iter().map(|peer| ("orders", peer.identity.to_string())));
            let members = config.organizations.iter();
            lines.extend(members.map(|member| ("member", clean(&format!("{} {}", member.name, member.title)))));
            let grants = config.grants.iter();
            lines.extend(grants.map(|grant| ("grant", format!("{}: {}", grant.to, rights(grant.rights)))));
        }
        pairs(&lines)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn grants_read_as_they_are_written() {
        let bank = grant("bank=read:assets,write:assets,admin").unwrap();
        assert_eq!(bank.to, Grantee::Organization("bank".into()));
        assert_eq!(format!("{:?}", bank.rights), r#"{"read:assets", "write:assets", "admin"}"#);
        assert_eq!(grant("bank=member").unwrap().rights, Rights::member());
        assert_eq!(grant("bank=read,write").unwrap().rights, Rights::member());
        let eve = grant("spiffe://harbour/audit/auditor/eve=audit").unwrap();
        assert!(matches!(eve.to, Grantee::Identity(identity) if identity.name() == "eve"));
        for text in ["bank", "bank=", "bank=own", "Bank=admin", "=admin", "spiffe://harbour=audit", "bank=admin,"] {
            assert!(grant(text).is_err(), "{text}");
        }
    }
}
