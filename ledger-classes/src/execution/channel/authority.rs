//! `channel.renew_authority`: a member's CA goes on under its key when its certificate comes to its end; and
//! `channel.revoke_authority`: it ends, because others have its key, and where nobody could list another one the CA that its
//! key has named takes its place.
//!
//! Without this a channel whose members' CA certificates have expired could admit nobody, and so never be changed
//! again: there would be nobody left to approve. The key decides that the configuration already lists; whoever posts
//! does not matter. What the certificate says beside its dates cannot change ([`CertificatePaths::continuation`]).
//!
//! [`CertificatePaths::continuation`]: crate::state::participant::CertificatePaths::continuation

use super::super::audit::{Act, Who};
use super::super::{Context, audit, budget};
use super::change::{take_effect, unchanged};
use super::paths::path_fault;
use super::{governance, pace};
use crate::action::channel::{NamedSuccessor, RenewAuthority, RevokeAuthority};
use crate::formats::config::{ChannelConfig, Organization};
use crate::formats::detail::{Detail, Moment, Part, PathFault, PathRefusal, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::limits::{
    AUTHORITY_PROOF_BYTES_MAX, AUTHORITY_RENEWAL_EARLY_MS, AUTHORITY_RENEWAL_MS_MIN, CERTIFICATE_BYTES_MAX,
};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes};
use crate::state::keyspace;
use crate::state::participant::{
    CertificatePaths, PathRules, authority_compromise_message, authority_message, authority_successor_message,
};
use crate::state::record::Record;

/// What a channel knows of a CA's key that was struck on it, or took the place of one that was: a key does so once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(in crate::execution) struct KnownAuthority {
    /// The block by which it took another's place.
    pub(in crate::execution) came_height: Option<u64>,
    /// The block that struck it last, by its own word.
    pub(in crate::execution) struck_height: Option<u64>,
}

impl Record for KnownAuthority {}

pub(in super::super) fn renew(context: &mut Context<'_>, body: &RenewAuthority) -> Result<(), Refusal> {
    check_form(&body.certificate, &body.proof)?;
    let (certificate, proof) = (&body.certificate.0, &body.proof.0);
    let mut record = unchanged(context)?;
    let configured = record.height;
    let member = record.config.organizations.iter_mut().find(|member| member.name == body.organization);
    let Some(member) = member else {
        return reject(
            ResultCode::AuthorityRefused,
            Detail::NotAMember { organization: Text::from(&body.organization) },
        );
    };
    let listed: Vec<&[u8]> = member.authorities.iter().map(|der| der.0.as_slice()).collect();
    context.work(budget::PATH_PART + budget::CERTIFICATE * listed.len() as u64);
    let message = authority_message(&context.channel(), configured, &member.authorities, certificate);
    let next =
        match context.certificates().continuation(context.config().path_rules(), certificate, &listed, &message, proof)
        {
            Ok(next) => next,
            Err(refusal) => return reject(ResultCode::AuthorityRefused, Detail::Path { refusal }),
        };
    let time = context.time();
    if time < next.not_before || next.not_after < time {
        return reject(ResultCode::AuthorityRefused, path_fault(PathFault::NotValidNow));
    }
    // Every renewal lengthens the proofs of the channel by one configuration, and needs nobody's approval.
    if next.listed_not_after.millis_since(time) > AUTHORITY_RENEWAL_EARLY_MS {
        let detail = Detail::Moment { moment: Moment::ListedUntil, time: next.listed_not_after };
        return reject(ResultCode::AuthorityRefused, detail);
    }
    if next.not_after.millis_since(next.listed_not_after) < AUTHORITY_RENEWAL_MS_MIN {
        let detail = Detail::Moment { moment: Moment::ListedEnds, time: next.listed_not_after };
        return reject(ResultCode::AuthorityRefused, detail);
    }
    let Some(place) = member.authorities.get_mut(next.replaces) else {
        return reject(ResultCode::AuthorityRefused, path_fault(PathFault::NotListed));
    };
    place.0.clone_from(certificate);
    record.height = context.height();
    if let Err(error) = record.config.check(context.config().rules) {
        return reject(ResultCode::ConfigurationInvalid, error.0);
    }
    let (organization, not_after) = (body.organization.as_str(), next.not_after);
    let serial = HexBytes(next.serial);
    let renewed = serial.clone();
    context.emit(Event::AuthorityRenewed { organization: organization.into(), serial, not_after })?;
    let effective = take_effect(context, &record, context.id())?;
    let who = Who::Authority(vec![organization]);
    audit::record(context, &Act::RenewAuthority { who, certificate: &renewed, not_after, effective })
}

/// Whoever has a CA's key may say that others have it: that takes from nobody but those who have it, so it needs no right
/// and no approval, and a thief can do no more by it than by revoking one certificate after another.
///
/// Where nobody could change the channel afterwards, and only there, the CA that the key has named takes its place: whoever
/// has the key could list any CA there as it is. A key takes no place twice, nor after it was struck, and one that came so
/// itself names the next at a pace: else whoever has a few could lead the channel round for ever.
pub(in super::super) fn revoke(context: &mut Context<'_>, body: &RevokeAuthority) -> Result<(), Refusal> {
    check_form(&body.certificate, &body.proof)?;
    if let Some(successor) = &body.successor {
        check_form(&successor.certificate, &successor.proof)?;
        check_form(&successor.certificate, &successor.possession)?;
    }
    let certificate = &body.certificate.0;
    let mut record = unchanged(context)?;
    let certificates = context.certificates();
    let listed: Vec<&[u8]> = context.config().organizations.iter().flat_map(authorities_of).collect();
    context.work(budget::PATH_PART + 2 * budget::CERTIFICATE * (listed.len() as u64 + 1));
    let rules = context.config().path_rules();
    let Some(key) = certificates.authority_key(rules, certificate) else {
        return reject(ResultCode::AuthorityRefused, path_fault(PathFault::NoAuthority));
    };
    if !listed.iter().any(|der| certificates.authority_key(rules, der) == Some(key)) {
        return reject(ResultCode::AuthorityRefused, path_fault(PathFault::NoMembersKey));
    }
    // The key's word is all that counts: whatever else of this key is listed, by a thief or a member who means ill, goes
    // with it.
    let message = authority_compromise_message(&key);
    if let Err(refusal) =
        certificates.continuation(rules, certificate, &[certificate.as_slice()], &message, &body.proof.0)
    {
        return reject(ResultCode::AuthorityRefused, Detail::Path { refusal });
    }
    let mut lost = Vec::new();
    for member in &mut record.config.organizations {
        if let Some(place) = strike(certificates, rules, &mut member.authorities, key) {
            lost.push(Lost { organization: member.name.clone(), place });
        }
    }
    record.height = context.height();
    governance::check_form(context, &record.config)?;
    let successor = match (governance::check_changeable(context, &record.config, None), &body.successor) {
        (Ok(()), _) => None,
        (Err(Refusal::Rejected { code: ResultCode::ConfigurationInvalid, .. }), Some(successor)) => {
            Some(succeed(context, &mut record.config, (key, certificate), successor, &lost)?)
        }
        (Err(refusal), _) => return Err(refusal),
    };
    let (place, height) = (keyspace::authority(&key), Some(context.height()));
    let known: KnownAuthority = context.get(&place)?.unwrap_or_default();
    context.put(place, &KnownAuthority { struck_height: height, ..known });
    if let Some((_, next)) = &successor {
        context.put(keyspace::authority(next), &KnownAuthority { came_height: height, struck_height: None });
    }
    for Lost { organization, .. } in &lost {
        let successor = successor.as_ref().filter(|(whose, _)| whose == organization).map(|(_, key)| *key);
        context.emit(Event::AuthorityRevoked { organization: organization.clone(), authority: key, successor })?;
    }
    let effective = take_effect(context, &record, context.id())?;
    let names: Vec<&str> = lost.iter().map(|lost| lost.organization.as_str()).collect();
    let (who, successor) = (Who::Authority(names), successor.map(|(_, key)| key));
    audit::record(context, &Act::RevokeAuthority { who, why: "ca-compromise", authority: key, successor, effective })
}

fn check_form(certificate: &HexBytes, proof: &HexBytes) -> Result<(), Refusal> {
    let (certificate, proof) = (certificate.0.len(), proof.0.len());
    if certificate > CERTIFICATE_BYTES_MAX || proof == 0 || proof > AUTHORITY_PROOF_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::Between { part: Part::Proof, least: 1, most: 160 });
    }
    Ok(())
}

fn authorities_of(member: &Organization) -> impl Iterator<Item = &[u8]> {
    member.authorities.iter().map(|der| der.0.as_slice())
}

/// An organization that a CA was taken from, and where in its list that was.
struct Lost {
    organization: String,
    place: usize,
}

/// Takes all certificates of a key from a list. Returns where the first was.
fn strike(
    certificates: &dyn CertificatePaths,
    rules: PathRules,
    listed: &mut Vec<HexBytes>,
    key: Hash,
) -> Option<usize> {
    let is_of_key = |der: &HexBytes| certificates.authority_key(rules, &der.0) == Some(key);
    let place = listed.iter().position(is_of_key)?;
    listed.retain(|der| !is_of_key(der));
    Some(place)
}

/// Puts the CA that a key has named into its place, in the list of its own organization. Returns whose it is, and its key.
/// Its organization can change the channel then: by the new CA it admits its administrators itself.
fn succeed(
    context: &mut Context<'_>,
    config: &mut ChannelConfig,
    (key, certificate): (Hash, &[u8]),
    successor: &NamedSuccessor,
    lost: &[Lost],
) -> Result<(String, Hash), Refusal> {
    let refuse = |refusal: PathRefusal| reject(ResultCode::AuthorityRefused, Detail::Successor { refusal });
    let (certificates, named) = (context.certificates(), &successor.certificate.0);
    let rules = config.path_rules();
    context.work(2 * (budget::PATH_PART + 2 * budget::CERTIFICATE));
    let facts = match certificates.authority_facts(rules, named) {
        Ok(facts) => facts,
        Err(refusal) => return refuse(refusal),
    };
    let Some(next) = certificates.authority_key(rules, named).filter(|next| *next != key) else {
        return refuse(PathFault::SameKey.into());
    };
    if context.get::<KnownAuthority>(&keyspace::authority(&next))?.is_some() {
        return refuse(PathFault::KeySpent.into());
    }
    let message = authority_successor_message(&key, named);
    if let Err(refusal) = certificates.continuation(rules, certificate, &[certificate], &message, &successor.proof.0) {
        return refuse(refusal);
    }
    // Else a thief could spend the key of the true successor under a name that is good for nobody.
    if let Err(refusal) =
        certificates.continuation(rules, named, &[named.as_slice()], &message, &successor.possession.0)
    {
        return reject(ResultCode::AuthorityRefused, Detail::SuccessorsKey { refusal });
    }
    // Not the consortium's root: by that others could be vouched for, too.
    let is_of = |lost: &&Lost| facts.organization.as_ref() == Some(&lost.organization);
    let Some(Lost { organization, place }) = lost.iter().find(is_of).filter(|_| facts.consortium == config.consortium)
    else {
        return refuse(PathFault::NotOfThatOrganization.into());
    };
    if context.time() < facts.not_before || facts.not_after < context.time() {
        return refuse(PathFault::NotValidNow.into());
    }
    for member in config.organizations.iter_mut().filter(|member| member.name == *organization) {
        // Whoever has the old key may have listed another certificate of the new one, that is good for nothing.
        context.work(budget::CERTIFICATE * member.authorities.len() as u64);
        strike(certificates, rules, &mut member.authorities, next);
        member.authorities.insert((*place).min(member.authorities.len()), successor.certificate.clone());
    }
    governance::check_form(context, config)?;
    governance::check_changeable(context, config, Some(organization))?;
    // What a change or genesis has listed names one at once, and so does the owner of keys that were replaced meanwhile.
    if context.get::<KnownAuthority>(&keyspace::authority(&key))?.is_some() {
        pace::spend(context, pace::Kind::Succession, organization)?;
    }
    Ok((organization.clone(), next))
}
