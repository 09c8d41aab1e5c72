//! `chancery channel`: channels and their configuration. A change is a transaction that needs the approvals of the
//! channel's policy; who proposes approves.

mod authority;
mod cas;
mod fetch;
mod organizations;
mod proposals;

use super::failure::Failure;
use super::output::{Output, clean, pairs, record, rights, table, when};
use super::session::{About, ChannelOption, Paging, Session, Signing, read_file};
use super::status;
use super::values::{ValueError, word};
use clap::{Args, Subcommand};
use client::api::{BlockView, ChannelSpec, ChannelView, Page, SpecOrganization};
use client::query::Range;
use ledger_classes::action::Action;
use ledger_classes::action::channel::{Approve, Propose, Withdraw};
use ledger_classes::formats::config::{Approvals, ChannelConfig, ConfigChange, Engine};
use ledger_classes::formats::rights::{Class, Grant, Grantee, Right, Rights};
use ledger_classes::primitives::hash::Hash;
use organizations::Named;
use std::path::{Path, PathBuf};

/// What `create` takes.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// 1 to 64 of a-z, 0-9 and hyphen
    #[arg(required_unless_present = "spec")]
    name: Option<String>,
    /// Member organization; with =FILE, its CA as `chancery ca bundle` wrote it, if the peer does not trust it already.
    /// Repeat for several
    #[arg(long = "org", value_name = "NAME[=FILE]", required_unless_present = "spec")]
    organizations: Vec<Named>,
    /// Rights of an organization or of one identity. Repeat for several. If nobody is given admin, the administrators of
    /// each organization have it; without any, their members read and write, too
    #[arg(long = "grant", value_name = "WHOM=RIGHTS", value_parser = grant)]
    grants: Vec<Grant>,
    /// Anybody may read
    #[arg(long)]
    public_read: bool,
    /// Anybody may submit; the transaction's signature is the authentication
    #[arg(long)]
    open_submit: bool,
    /// Ordering engine: solo, one peer that orders alone. Several ordering peers (raft, bft) are not there yet
    #[arg(long, value_parser = word::<Engine>)]
    engine: Option<Engine>,
    /// Organizations that must approve changes: any, majority (of two, both) or all; majority if absent
    #[arg(long, value_parser = word::<Approvals>)]
    approvals: Option<Approvals>,
    /// JSON file with all of this, and limits and budgets
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
pub(super) struct Update {
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    what: Changes,
    #[command(flatten)]
    proposal: Proposal,
}

/// What is to change, at least one thing.
#[derive(Args, Debug)]
#[group(id = "change", required = true, multiple = true, args = ["changes", "add_organizations", "put_organizations", "add_authorities",
    "grants", "denials", "remove_organizations", "approvals", "public_read", "open_submit"])]
struct Changes {
    /// JSON file with a list of changes, such as [{"change": "set_fees", …}]; done before the others
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
    /// Add an organization whose members read and write and whose administrators administer; with =FILE, its CA as
    /// `chancery ca bundle` wrote it, if the peer does not trust it already. Repeat for several
    #[arg(long = "add-org", value_name = "NAME[=FILE]")]
    add_organizations: Vec<Named>,
    /// Add an organization without rights, or list other CAs for a member in place of those that it has, whose rights stay;
    /// with =FILE as above. Repeat for several
    #[arg(long = "put-org", value_name = "NAME[=FILE]")]
    put_organizations: Vec<Named>,
    /// List another CA of a member beside those that the channel lists for it; without FILE the one that the peer trusts.
    /// Repeat for several
    #[arg(long = "add-ca", value_name = "NAME[=FILE]")]
    add_authorities: Vec<Named>,
    /// Give rights to an organization or to one identity. Repeat for several
    #[arg(long = "grant", value_name = "WHOM=RIGHTS", value_parser = grant)]
    grants: Vec<Grant>,
    /// Take rights away. Repeat for several
    #[arg(long = "deny", value_name = "WHOM=RIGHTS", value_parser = grant)]
    denials: Vec<Grant>,
    /// End a membership. Repeat for several
    #[arg(long = "remove-org", value_name = "NAME")]
    remove_organizations: Vec<String>,
    /// Organizations that must approve changes from now on: any, majority or all
    #[arg(long, value_parser = word::<Approvals>)]
    approvals: Option<Approvals>,
    /// Whether anybody may read, without a certificate
    #[arg(long, value_name = "BOOL")]
    public_read: Option<bool>,
    /// Whether anybody may submit, without a certificate
    #[arg(long, value_name = "BOOL")]
    open_submit: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a channel; for administrators of the peer's organization
    #[command(after_help = "\
Rights are read:CLASS, write:CLASS, admin, audit, order, hold, joined by commas; `read` and `write` alone are
those of every class, `member` is both. Classes are assets, contracts, apps, logs.

Example:
  $ chancery channel create trade --org bank --org dealer
  $ chancery channel create freight --org bank --org carrier=carrier.pem --approvals all
  $ chancery channel create board --org bank --org dealer --approvals any --grant bank=member,admin --grant dealer=read")]
    Create(Create),
    /// List the channels that the caller may see
    #[command(after_help = "\
Example:
  $ chancery channel list --limit 20")]
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Show a channel with its configuration
    #[command(after_help = "\
Example:
  $ chancery channel show trade --json")]
    Show {
        #[command(flatten)]
        about: About,
    },
    /// Show blocks of a channel
    #[command(after_help = "\
Example:
  $ chancery channel blocks trade --from 100 --limit 10")]
    Blocks {
        #[command(flatten)]
        about: About,
        /// The first height
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u64>,
        /// Most blocks, 1 to 100
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: Option<u32>,
    },
    Fetch(fetch::Fetch),
    /// Propose to give rights
    #[command(after_help = "\
Example:
  $ chancery channel grant trade dealer=write:assets spiffe://harbour.example/audit/auditor/eve=audit")]
    Grant {
        /// The channel, unless -c or CHANCERY_CHANNEL gives it, and rights of organizations or of single identities
        #[arg(required = true, value_name = "[CHANNEL] WHOM=RIGHTS")]
        words: Vec<String>,
        #[command(flatten)]
        option: ChannelOption,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// Propose to take rights away
    #[command(after_help = "\
Example:
  $ chancery channel deny trade dealer=write:assets --reason 'contract ended'")]
    Deny {
        /// The channel, unless -c or CHANCERY_CHANNEL gives it, and rights of organizations or of single identities
        #[arg(required = true, value_name = "[CHANNEL] WHOM=RIGHTS")]
        words: Vec<String>,
        #[command(flatten)]
        option: ChannelOption,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// Propose other changes of the configuration
    #[command(after_help = "\
All of it takes effect at once, when as many organizations have approved as the channel's `approvals` say: whoever proposes
approves for its own, administrators of the others run `chancery channel approve`. Other CAs of a member need an approval
by that member too, unless none of its CAs is listed any more.

Example:
  $ chancery channel update main --add-org dealer --reason 'dealer joins'
  $ chancery channel update trade --put-org carrier=carrier.pem --grant carrier=read --reason 'carrier looks on'
  $ chancery channel update main --public-read true --open-submit false")]
    Update(Update),
    /// Approve a proposal of another organization
    #[command(after_help = "\
Where the proposal lists a CA for a member, compare its key with what the member says on another way before
(`chancery channel proposal` shows it, and so does this command): whoever has that key can be that member.

Example:
  $ chancery channel approve trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d")]
    Approve {
        /// The channel, unless -c or CHANCERY_CHANNEL gives it, and the proposal: the id of the transaction that proposed
        #[arg(value_name = "[CHANNEL] PROPOSAL", num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        option: ChannelOption,
        #[command(flatten)]
        signing: Signing,
    },
    /// Take back a proposal of the own organization
    #[command(after_help = "\
Example:
  $ chancery channel withdraw trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d --reason 'a mistake'")]
    Withdraw {
        /// The channel, unless -c or CHANCERY_CHANNEL gives it, and the proposal: the id of the transaction that proposed
        #[arg(value_name = "[CHANNEL] PROPOSAL", num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        option: ChannelOption,
        /// Why, for people to read
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        signing: Signing,
    },
    /// List open proposals, of changes and of recoveries: what they do, who has approved, how many approvals are needed
    #[command(after_help = "\
Example:
  $ chancery channel proposals trade")]
    Proposals {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        paging: Paging,
    },
    RenewAuthority(authority::RenewAuthority),
    RevokeAuthority(authority::RevokeAuthority),
    /// Show a proposal, the keys of the CAs that it lists or drops, and who has approved it
    #[command(after_help = "\
Example:
  $ chancery channel proposal trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d")]
    Proposal {
        /// The channel, unless -c or CHANCERY_CHANNEL gives it, and the proposal: the id of the transaction that proposed
        #[arg(value_name = "[CHANNEL] PROPOSAL", num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        option: ChannelOption,
    },
}

/// Parses `bank=read:assets,write:assets` or `spiffe://…=audit`.
fn grant(text: &str) -> Result<Grant, ValueError> {
    let (whom, rights) = text.split_once('=').ok_or(ValueError::Grant)?;
    let to = match whom.starts_with("spiffe://") {
        true => Grantee::Identity(whom.parse().map_err(|error| ValueError::Identity(whom.to_owned(), error))?),
        false if ledger_classes::primitives::identity::is_label(whom) => Grantee::Organization(whom.into()),
        false => return Err(ValueError::Whom(whom.to_owned())),
    };
    let rights = rights.split(',').try_fold(Rights::NONE, |rights, word| {
        let more = match word {
            "member" => Rights::member(),
            "read" => Class::ALL.into_iter().map(Right::Read).collect(),
            "write" => Class::ALL.into_iter().map(Right::Write).collect(),
            word => Rights::from_iter([word.parse::<Right>()?]),
        };
        Ok::<_, ValueError>(rights.union(more))
    })?;
    Ok(Grant { to, rights })
}

/// A channel and a proposal.
fn proposal_of(words: Vec<String>, option: ChannelOption) -> Result<(String, Hash), Failure> {
    let (channel, [proposal]) = option.and(words)?;
    let id = Hash::parse(&proposal).map_err(|_| Failure::usage(format!("{proposal:?} is no proposal's id")))?;
    Ok((channel, id))
}

/// A channel and grants: no channel's name has an equals sign.
fn grants_of(mut words: Vec<String>, option: ChannelOption) -> Result<(String, Vec<Grant>), Failure> {
    let named = words.first().is_some_and(|first| !first.contains('='));
    let first = named.then(|| words.remove(0));
    if words.is_empty() {
        return Err(Failure::usage("a grant reads WHOM=RIGHTS"));
    }
    let grants = words
        .iter()
        .map(|text| grant(text).map_err(|error| Failure::usage(error.to_string())))
        .collect::<Result<_, _>>()?;
    Ok((option.or(first)?, grants))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    ledger_classes::primitives::json::from_slice(&read_file(path, 1 << 20)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

impl Create {
    fn spec(self) -> Result<ChannelSpec, Failure> {
        if let Some(path) = self.spec {
            return read_json(&path);
        }
        let organizations = self.organizations.into_iter().map(|named| {
            let authorities = named.given()?;
            Ok(SpecOrganization { name: named.name, title: None, authorities })
        });
        Ok(ChannelSpec {
            name: self.name.unwrap_or_default(),
            engine: self.engine,
            organizations: organizations.collect::<Result<_, Failure>>()?,
            grants: self.grants,
            public_read: self.public_read,
            open_submit: self.open_submit,
            limits: None,
            approvals: self.approvals,
            budgets: None,
        })
    }
}

impl Changes {
    async fn changes(&self, session: &Session, channel: &str) -> Result<Vec<ConfigChange>, Failure> {
        let mut changes: Vec<ConfigChange> = match &self.changes {
            Some(path) => read_json(path)?,
            None => Vec::new(),
        };
        for named in &self.add_organizations {
            changes.push(ConfigChange::PutOrganization(named.organization(session).await?));
            let rights = Rights::member().union(Rights::from_iter([Right::Admin]));
            changes.push(ConfigChange::Grant(Grant { to: Grantee::Organization(named.name.clone()), rights }));
        }
        for named in &self.put_organizations {
            changes.push(ConfigChange::PutOrganization(named.organization(session).await?));
        }
        for named in &self.add_authorities {
            changes.push(ConfigChange::PutOrganization(named.beside(session, channel).await?));
        }
        changes.extend(self.grants.iter().cloned().map(ConfigChange::Grant));
        changes.extend(self.denials.iter().cloned().map(ConfigChange::Deny));
        let names = self.remove_organizations.iter().cloned();
        changes.extend(names.map(|name| ConfigChange::RemoveOrganization { name }));
        changes.extend(self.approvals.map(|approvals| ConfigChange::SetApprovals { approvals }));
        changes.extend(self.public_read.map(|public_read| ConfigChange::SetPublicRead { public_read }));
        changes.extend(self.open_submit.map(|open_submit| ConfigChange::SetOpenSubmit { open_submit }));
        Ok(changes)
    }
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = &session.connection;
        let (channel, changes, proposal) = match self {
            Self::Create(create) => return show(session.output, &connection.create_channel(&create.spec()?).await?),
            Self::List { paging } => {
                let page = connection.channels(paging.part()).await?;
                return session.output.show(&page, |page| {
                    let more = page.next.as_deref().map(|next| format!("more: --after {}\n", clean(next)));
                    status::channels(&page.items) + &more.unwrap_or_default()
                });
            }
            Self::Show { about } => return show(session.output, &connection.channel(&about.channel()?).await?),
            Self::Blocks { about, from, limit } => {
                let channel = about.channel()?;
                let from = from.map(|height| height.to_string());
                let page = connection.blocks(&channel, Range { from: from.as_deref(), limit }).await?;
                return session.output.show(&page, blocks);
            }
            Self::Proposals { about, paging } => return proposals::list(session, &about.channel()?, &paging).await,
            Self::Withdraw { words, option, reason, signing } => {
                let (channel, proposal) = proposal_of(words, option)?;
                let withdraw = Action::ChannelWithdraw(Withdraw { proposal, reason });
                return session.act(&channel, withdraw, &signing).await;
            }
            Self::Proposal { words, option } => {
                let (channel, proposal) = proposal_of(words, option)?;
                let found = connection.proposal(&channel, proposal).await?;
                return session.output.show(&found, |found| {
                    match ledger_classes::primitives::json::from_value(found.clone()) {
                        Ok(known) => proposals::in_words(&known),
                        Err(_) => record(found),
                    }
                });
            }
            Self::Approve { words, option, signing } => {
                let (channel, proposal) = proposal_of(words, option)?;
                proposals::may_be_approved(session, &channel, proposal).await?;
                let approve = Action::ChannelApprove(Approve { proposal });
                return session.act(&channel, approve, &signing).await;
            }
            Self::Fetch(command) => return command.run(session).await,
            Self::RenewAuthority(command) => return command.run(session).await,
            Self::RevokeAuthority(command) => return command.run(session).await,
            Self::Grant { words, option, proposal } => {
                let (channel, grants) = grants_of(words, option)?;
                (channel, grants.into_iter().map(ConfigChange::Grant).collect(), proposal)
            }
            Self::Deny { words, option, proposal } => {
                let (channel, grants) = grants_of(words, option)?;
                (channel, grants.into_iter().map(ConfigChange::Deny).collect(), proposal)
            }
            Self::Update(Update { about, proposal, what }) => {
                let channel = about.channel()?;
                let changes = what.changes(session, &channel).await?;
                (channel, changes, proposal)
            }
        };
        let config = config_for(session, &channel, &changes).await?;
        members_only(config.as_ref(), &channel, &changes)?;
        cas::tell_proposer(config.as_ref(), &changes);
        let Proposal { reason, signing } = proposal;
        session.act(&channel, Action::ChannelPropose(Propose { changes, reason }), &signing).await
    }
}

/// The channel's configuration, if the changes have to be held against it.
async fn config_for(
    session: &Session,
    channel: &str,
    changes: &[ConfigChange],
) -> Result<Option<ChannelConfig>, Failure> {
    let needs = |change: &ConfigChange| matches!(change, ConfigChange::Grant(_) | ConfigChange::PutOrganization(_));
    match changes.iter().any(needs) {
        true => Ok(session.connection.channel(channel).await?.config),
        false => Ok(None),
    }
}

/// Refuses grants to those who are no members, and will be none by the same changes.
fn members_only(config: Option<&ChannelConfig>, channel: &str, changes: &[ConfigChange]) -> Result<(), Failure> {
    let to = |change: &ConfigChange| match change {
        ConfigChange::Grant(Grant { to: Grantee::Organization(name), .. }) => Some(name.clone()),
        ConfigChange::Grant(Grant { to: Grantee::Identity(identity), .. }) => Some(identity.organization().to_owned()),
        _ => None,
    };
    let granted: Vec<String> = changes.iter().filter_map(to).collect();
    let Some(members) = config.map(|config| &config.organizations) else { return Ok(()) };
    let mut members: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    members.extend(changes.iter().filter_map(|change| match change {
        ConfigChange::PutOrganization(member) => Some(member.name.clone()),
        _ => None,
    }));
    match granted.iter().find(|name| !members.contains(name)) {
        Some(stranger) => Err(Failure::refused(format!(
            "{stranger} is no member of {channel}, whose members are {}: add it with `chancery channel update {channel} \
             --put-org {stranger} --grant …`",
            members.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Blocks as a table.
fn blocks(page: &Page<BlockView>) -> String {
    let row = |block: &BlockView| {
        let header = &block.header;
        let (transactions, timers) = (block.transactions.len().to_string(), block.timers.len().to_string());
        vec![header.height.to_string(), when(header.time), transactions, timers, block.hash.to_string()]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let mut text = match rows.is_empty() {
        true => format!("nothing at height {}\n", page.height),
        false => table(&["height", "time", "transactions", "timers", "hash"], &rows),
    };
    if let Some(next) = &page.next {
        text.push_str(&format!("more: --from {}\n", clean(next)));
    }
    text
}

/// What a grant gives. Of an organization its administrators have `admin`, and nobody else.
fn granted(grant: &Grant) -> String {
    let text = rights(grant.rights);
    match &grant.to {
        Grantee::Organization(_) => {
            let word = |word| if word == "admin" { "admin (its administrators)" } else { word };
            text.split(',').map(word).collect::<Vec<_>>().join(",")
        }
        Grantee::Identity(_) => text,
    }
}

/// What bounds transactions and blocks, in the names of the configuration.
fn bounds(config: &ChannelConfig) -> Vec<(&'static str, String)> {
    let named = |value: serde_json::Value| {
        let fields = value.as_object().cloned().unwrap_or_default();
        fields.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    vec![
        ("limits", named(serde_json::json!(config.limits))),
        ("budget", format!("of a transaction {}", named(serde_json::json!(config.budgets.transaction)))),
        ("budget", format!("of a block {}", named(serde_json::json!(config.budgets.block)))),
    ]
}

/// Shows one channel.
fn show(output: Output, channel: &ChannelView) -> Result<(), Failure> {
    output.show(channel, |channel| {
        let mut lines = vec![
            ("channel", clean(&channel.name)),
            ("id", channel.id.to_string()),
            ("height", channel.height.to_string()),
            ("tip", channel.tip.to_string()),
            ("block time", when(channel.time)),
            ("state", status::state(&channel.state)),
            ("open to", status::access(channel.public_read, channel.open_submit).to_owned()),
            ("rights", rights(channel.rights)),
        ];
        if let Some(config) = &channel.config {
            let word = |value| serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned()));
            lines.push(("engine", word(serde_json::json!(config.engine)).unwrap_or_default()));
            lines.push(("approvals", word(serde_json::json!(config.approvals)).unwrap_or_default()));
            lines.push(("rules", config.rules.to_string()));
            lines.extend(
                config.peers.iter().map(|peer| ("orders", format!("{}, weight {}", peer.identity, peer.weight))),
            );
            lines.push(("threshold", config.threshold.to_string()));
            lines.push(("witnesses", config.witnesses.text().to_owned()));
            lines.extend(bounds(config));
            let members = config.organizations.iter();
            lines.extend(members.map(|member| {
                let title = if member.title == member.name { String::new() } else { format!(", {}", member.title) };
                ("member", clean(&format!("{}{title}", member.name)))
            }));
            lines.extend(config.organizations.iter().flat_map(cas::listed));
            let grants = config.grants.iter();
            lines.extend(grants.map(|grant| ("grant", format!("{}: {}", grant.to, granted(grant)))));
        }
        pairs(&lines)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `channel` and `watch` alone took their channel as a word, all other commands as an option.
    #[test]
    fn the_channel_is_a_word_or_an_option_everywhere() {
        let option = |channel: Option<&str>| ChannelOption { channel: channel.map(str::to_owned) };
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let id = Hash([9; 32]).to_string();
        let both = proposal_of(words(&format!("trade {id}")), option(None)).unwrap();
        assert_eq!(proposal_of(vec![id.clone()], option(Some("trade"))).unwrap(), both);
        let word = proposal_of(words(&format!("trade {id}")), option(Some("of-the-environment"))).unwrap();
        assert_eq!(word.0, "trade", "what is said beats what is set");
        let (channel, grants) = grants_of(words("trade bank=admin dealer=audit"), option(None)).unwrap();
        assert_eq!((channel.as_str(), grants.len()), ("trade", 2));
        assert_eq!(grants_of(words("bank=admin dealer=audit"), option(Some("trade"))).unwrap(), (channel, grants));
        for (line, option) in [("bank=admin", option(None)), ("trade", option(None)), ("trade bank", option(None))] {
            assert_eq!(grants_of(words(line), option).unwrap_err().exit_code(), 2, "{line}");
        }
        for (line, option) in [(id.as_str(), option(None)), ("trade x", option(None)), ("x", option(Some("trade")))] {
            assert_eq!(proposal_of(words(line), option).unwrap_err().exit_code(), 2, "{line}");
        }
    }

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
