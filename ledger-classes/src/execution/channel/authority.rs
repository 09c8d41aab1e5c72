//! `channel.renew_authority`: a member's CA goes on under its key when its certificate comes to its end; and
//! `channel.revoke_authority`: it ends, because others have its key.
//!
//! Without this a channel whose members' CA certificates have expired could admit nobody, and so never be changed
//! again: there would be nobody left to approve. The key decides that the configuration already lists; whoever posts
//! does not matter. What the certificate says beside its dates cannot change ([`CertificatePaths::continuation`]).
//!
//! [`CertificatePaths::continuation`]: crate::participant::CertificatePaths::continuation

use super::super::audit::{self, Act};
use super::super::{Context, budget};
use super::{governance, take_effect, unchanged};
use crate::action::channel::{RenewAuthority, RevokeAuthority};
use crate::event::Event;
use crate::hash::HexBytes;
use crate::limits::{
    AUTHORITY_PROOF_BYTES_MAX, AUTHORITY_RENEWAL_EARLY_MS, AUTHORITY_RENEWAL_MS_MIN, CERTIFICATE_BYTES_MAX,
};
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::{authority_compromise_message, authority_message};

pub(in super::super) fn renew(context: &mut Context<'_>, body: &RenewAuthority) -> Result<(), Refusal> {
    let (certificate, proof) = (&body.certificate.0, &body.proof.0);
    if certificate.len() > CERTIFICATE_BYTES_MAX || proof.is_empty() || proof.len() > AUTHORITY_PROOF_BYTES_MAX {
        return reject(ResultCode::InvalidField, "a certificate has at most 8 KiB, a proof 1 to 160 bytes");
    }
    let mut record = unchanged(context)?;
    let configured = record.height;
    let member = record.config.organizations.iter_mut().find(|member| member.name == body.organization);
    let Some(member) = member else {
        return reject(ResultCode::AuthorityRefused, "the organization is not a member of this channel");
    };
    let listed: Vec<&[u8]> = member.authorities.iter().map(|der| der.0.as_slice()).collect();
    context.work(budget::PATH_PART + budget::CERTIFICATE * listed.len() as u64);
    let message = authority_message(&context.channel(), configured, &member.authorities, certificate);
    let next = match context.certificates().continuation(certificate, &listed, &message, proof) {
        Ok(next) => next,
        Err(why) => return reject(ResultCode::AuthorityRefused, why),
    };
    let time = context.time();
    if time < next.not_before || next.not_after < time {
        return reject(ResultCode::AuthorityRefused, "the certificate is not valid at block time");
    }
    // Every renewal lengthens the proofs of the channel by one configuration, and needs nobody's approval.
    if next.listed_not_after.millis_since(time) > AUTHORITY_RENEWAL_EARLY_MS {
        let what = "the listed certificate is good for more than a year";
        return reject(ResultCode::AuthorityRefused, format!("{what}, until {}", next.listed_not_after));
    }
    if next.not_after.millis_since(next.listed_not_after) < AUTHORITY_RENEWAL_MS_MIN {
        let what = "the certificate ends less than 30 days after the listed one, which ends";
        return reject(ResultCode::AuthorityRefused, format!("{what} {}", next.listed_not_after));
    }
    let Some(place) = member.authorities.get_mut(next.replaces) else {
        return reject(ResultCode::AuthorityRefused, "no such CA certificate is listed");
    };
    place.0.clone_from(certificate);
    record.height = context.height();
    if let Err(error) = record.config.check() {
        return reject(ResultCode::ConfigurationInvalid, error.to_string());
    }
    let (organization, not_after) = (body.organization.as_str(), next.not_after);
    let serial = HexBytes(next.serial);
    let why = format!("certificate {}", hex::encode(&serial.0));
    context.emit(Event::AuthorityRenewed { organization: organization.into(), serial, not_after })?;
    let effective = take_effect(context, &record, context.id())?;
    let who = format!("CA of {organization}");
    audit::record(context, &Act::RenewAuthority { who, why, not_after, effective })
}

/// Whoever has a CA's key may say that others have it: that takes from nobody but those who have it, so it needs no right
/// and no approval, and a thief can do no more by it than by revoking one certificate after another.
pub(in super::super) fn revoke(context: &mut Context<'_>, body: &RevokeAuthority) -> Result<(), Refusal> {
    let (certificate, proof) = (&body.certificate.0, &body.proof.0);
    if certificate.len() > CERTIFICATE_BYTES_MAX || proof.is_empty() || proof.len() > AUTHORITY_PROOF_BYTES_MAX {
        return reject(ResultCode::InvalidField, "a certificate has at most 8 KiB, a proof 1 to 160 bytes");
    }
    let mut record = unchanged(context)?;
    let certificates = context.certificates();
    let listed: Vec<&[u8]> = context.config().organizations.iter().flat_map(authorities_of).collect();
    context.work(budget::PATH_PART + 2 * budget::CERTIFICATE * (listed.len() as u64 + 1));
    let Some(key) = certificates.authority_key(certificate) else {
        return reject(ResultCode::AuthorityRefused, "this is no CA certificate");
    };
    if !listed.iter().any(|der| certificates.authority_key(der) == Some(key)) {
        return reject(ResultCode::AuthorityRefused, "no member has a CA of this key here");
    }
    // The key's word is all that counts: whatever else of this key is listed, by a thief or a member who means ill, goes
    // with it.
    let judged =
        certificates.continuation(certificate, &[certificate.as_slice()], &authority_compromise_message(&key), proof);
    if let Err(why) = judged {
        return reject(ResultCode::AuthorityRefused, why);
    }
    let mut lost = Vec::new();
    for member in &mut record.config.organizations {
        let before = member.authorities.len();
        member.authorities.retain(|der| certificates.authority_key(&der.0) != Some(key));
        if member.authorities.len() < before {
            lost.push(member.name.clone());
        }
    }
    record.height = context.height();
    governance::check(context, &record.config)?;
    for organization in &lost {
        context.emit(Event::AuthorityRevoked { organization: organization.clone(), authority: key })?;
    }
    let effective = take_effect(context, &record, context.id())?;
    let who = format!("CA of {}", lost.join(", "));
    audit::record(context, &Act::RevokeAuthority { who, why: "ca-compromise", authority: key, effective })
}

fn authorities_of(member: &crate::config::Organization) -> impl Iterator<Item = &[u8]> {
    member.authorities.iter().map(|der| der.0.as_slice())
}
