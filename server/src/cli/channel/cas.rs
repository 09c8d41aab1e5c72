//! Whose CA a change lists, by the key: whoever has it can be that member, so whoever approves compares it first.

use crate::cli::output::{note, when};
use client::api::{AuthorityChange, ProposalView, ProposedAuthorityView};
use ledger_classes::formats::config::{ChannelConfig, ConfigChange, Organization};
use pki::DescribedAuthority;

/// What is known against a CA.
fn warned(ca: &ProposedAuthorityView) -> &'static str {
    if ca.compromised { ", which this peer knows to be COMPROMISED or revoked" } else { "" }
}

/// A word for what becomes of a CA.
const fn word(change: AuthorityChange) -> &'static str {
    match change {
        AuthorityChange::Lists => "lists",
        AuthorityChange::Keeps => "keeps",
        AuthorityChange::Drops => "drops",
    }
}

/// The CAs of a proposal, two lines each.
pub(super) fn lines(proposal: &ProposalView) -> Vec<(&'static str, String)> {
    let two = |ca: &ProposedAuthorityView| {
        let of = ca.organization.as_deref().map_or_else(|| "any organization".into(), |name| format!("{name} only"));
        let (serial, until) = (hex::encode(&ca.serial.0), when(ca.not_after));
        let what = format!(
            "{} for {}: {} (vouches for {of}), serial {serial}, until {until}",
            word(ca.change),
            ca.member,
            ca.subject
        );
        [("CA", what), ("CA key", format!("{}{}", ca.key, warned(ca)))]
    };
    proposal.authorities.iter().flat_map(two).collect()
}

/// The same within a table: what a key is listed for, or is not any more.
pub(super) fn in_short(proposal: &ProposalView) -> impl Iterator<Item = String> {
    let changed = proposal.authorities.iter().filter(|ca| ca.change != AuthorityChange::Keeps);
    changed.map(|ca| format!("{} the CA key {} for {}{}", word(ca.change), ca.key, ca.member, warned(ca)))
}

/// A member's CAs as the channel lists them, a line each.
pub(super) fn listed(member: &Organization) -> Vec<(&'static str, String)> {
    let described = member.authorities.iter().filter_map(|der| DescribedAuthority::of_certificate(&der.0).ok());
    let line = |ca: DescribedAuthority| format!("{}: key {}, until {}", member.name, ca.key, when(ca.not_after));
    described.map(|ca| ("CA", line(ca))).collect()
}

/// Tells whoever approves which keys it lets in.
pub(super) fn tell_approver(proposal: &ProposalView) {
    for ca in proposal.authorities.iter().filter(|ca| ca.change == AuthorityChange::Lists) {
        note(&format!(
            "it lists a CA for {} with the key {}{}: whoever has that key can be {}",
            ca.member,
            ca.key,
            warned(ca),
            ca.member
        ));
    }
}

/// Tells whoever proposes which keys the changes let in, for the others to compare.
pub(super) fn tell_proposer(config: Option<&ChannelConfig>, changes: &[ConfigChange]) {
    let key = |der: &[u8]| DescribedAuthority::of_certificate(der).ok().map(|described| described.key);
    for change in changes {
        let ConfigChange::PutOrganization(member) = change else { continue };
        let known = config.and_then(|config| config.organizations.iter().find(|known| known.name == member.name));
        let listed: Vec<_> = known.iter().flat_map(|known| &known.authorities).map(|der| key(&der.0)).collect();
        for key in member.authorities.iter().map(|der| key(&der.0)).filter(|key| !listed.contains(key)).flatten() {
            note(&format!("for {} this lists a CA with the key {key}: have those who approve compare it", member.name));
        }
    }
}
