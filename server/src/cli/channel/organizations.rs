//! Organizations as commands about channels are told of them, with their CAs: those that the peer knows, or those in a
//! file that `chancery ca bundle` wrote.

use crate::{
    cli::{
        ca::in_full,
        failure::Failure,
        session::{Session, read_file},
    },
    limits::TRUST_FILE_BYTES_MAX,
    setup::init::MAIN,
};
use client::certificate::certificates;
use ledger_classes::formats::config::Organization;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::is_label;
use pki::{AuthorityScope, KeyId, trust::bundle::TrustBundle};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// `NAME`, or `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    file: Option<PathBuf>,
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, file) = match text.split_once('=') {
            None => (text, None),
            Some((name, file)) => (name, Some(PathBuf::from(file))),
        };
        match is_label(name) {
            true => Ok(Self { name: name.into(), file }),
            false => Err(format!("{name:?} is no organization's name: 1 to 64 of a-z, 0-9 and hyphen")),
        }
    }
}

impl Named {
    /// The CA certificates in the file; none without one.
    pub(super) fn given(&self) -> Result<Vec<HexBytes>, Failure> {
        self.file.as_ref().map_or_else(|| Ok(Vec::new()), |file| authorities_in(file, &self.name))
    }

    /// The organization with its CAs: those in the file, or those that the peer knows.
    pub(super) async fn organization(&self, session: &Session) -> Result<Organization, Failure> {
        let authorities = match &self.file {
            Some(_) => self.given()?,
            None => known(session, &self.name).await?,
        };
        Ok(Organization { name: self.name.clone(), title: self.name.clone(), authorities })
    }
}

impl Named {
    /// A member of a channel with the CAs that it has there, and those in the file or, without one, those that the peer
    /// trusts.
    pub(super) async fn beside(&self, session: &Session, channel: &str) -> Result<Organization, Failure> {
        let shown = session.connection.channel(channel).await?;
        let mut members = shown.config.into_iter().flat_map(|config| config.organizations);
        let Some(mut member) = members.find(|member| member.name == self.name) else {
            return Err(Failure::usage(format!("{} is no member of {channel}: --add-org makes it one", self.name)));
        };
        let more = match &self.file {
            Some(_) => self.given()?,
            None => trusted(session, &self.name).await?.into_iter().map(HexBytes).collect(),
        };
        let before = member.authorities.len();
        let new: Vec<HexBytes> = more.into_iter().filter(|der| !member.authorities.contains(der)).collect();
        member.authorities.extend(new);
        match member.authorities.len() > before {
            true => Ok(member),
            false => Err(Failure::usage(format!("{channel} lists these CAs of {} already", self.name))),
        }
    }
}

fn of<'a>(all: impl IntoIterator<Item = &'a [u8]>, organization: &str) -> Vec<Vec<u8>> {
    let is_its = |der: &[u8]| {
        AuthorityScope::of_certificate(der).is_ok_and(|scope| scope.organization.as_deref() == Some(organization))
    };
    ca::office::reissue::newest(all.into_iter().filter(|der| is_its(der)).map(<[u8]>::to_vec))
}

/// The CA certificates of an organization in a file with CAs, and CRLs, of whomever.
fn authorities_in(path: &Path, organization: &str) -> Result<Vec<HexBytes>, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = String::from_utf8(read_file(path, TRUST_FILE_BYTES_MAX)?).map_err(|_| wrong("it is not PEM".into()))?;
    let bundle = TrustBundle::of_text(&text).map_err(|error| wrong(in_full(&error)))?;
    let all = || bundle.anchors.iter().chain(&bundle.issuing).map(Vec::as_slice);
    let its = of(all(), organization);
    if its.is_empty() {
        let scopes = all().filter_map(|der| AuthorityScope::of_certificate(der).ok());
        let others: BTreeSet<String> =
            scopes.map(|scope| scope.organization.unwrap_or_else(|| "the whole consortium".into())).collect();
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("it holds no CA of {organization}, but of {others}")));
    }
    Ok(its.into_iter().map(HexBytes).collect())
}

/// The CA certificates of an organization that the peer trusts, of several of one CA the one that ends last.
async fn trusted(session: &Session, organization: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let pem = session.connection.ca_certificates().await?;
    let all = certificates(&pem).map_err(|error| Failure::usage(format!("the peer's CA certificates: {error}")))?;
    Ok(of(all.iter().map(|der| der.as_ref()), organization))
}

/// The CA certificates of an organization that the peer knows, by the peer's own rule for a new channel: those of the
/// CA that `main` lists for it, else of the only CA of that name that the peer trusts. Of several of one CA the one that
/// ends last.
async fn known(session: &Session, organization: &str) -> Result<Vec<HexBytes>, Failure> {
    let mut known = trusted(session, organization).await?;
    // Who does not see `main` is none of its members.
    let main = session.connection.channel(MAIN).await.ok().and_then(|main| main.config);
    let listed = main.and_then(|config| config.organizations.into_iter().find(|member| member.name == organization));
    let keys = |all: &[Vec<u8>]| all.iter().filter_map(|der| KeyId::of_certificate(der)).collect::<BTreeSet<_>>();
    if let Some(listed) = listed {
        let listed: Vec<Vec<u8>> = listed.authorities.into_iter().map(|der| der.0).collect();
        let its = keys(&listed);
        known.retain(|der| KeyId::of_certificate(der).is_some_and(|key| its.contains(&key)));
        let authorities = if known.is_empty() { listed } else { known };
        return Ok(authorities.into_iter().map(HexBytes).collect());
    }
    match keys(&known).len() {
        1 => Ok(known.into_iter().map(HexBytes).collect()),
        0 => Err(Failure::usage(format!(
            "the peer knows no CA of {organization}. If its CA is elsewhere, have the peer trust it first (`chancery ca \
             trust add FILE`), or name the file that `chancery ca bundle` wrote there: {organization}=FILE. Else make \
             one: `chancery ca organization {organization}`"
        ))),
        count => Err(Failure::usage(format!(
            "the peer trusts {count} CAs of {organization}: name a file with the one that the channel accepts, \
             {organization}=FILE"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_organization_is_named_alone_or_with_a_file() {
        let named = |text: &str| text.parse::<Named>();
        assert_eq!(named("bank").unwrap(), Named { name: "bank".into(), file: None });
        assert_eq!(named("bank=a=b.pem").unwrap(), Named { name: "bank".into(), file: Some("a=b.pem".into()) });
        assert!(named("Bank").is_err() && named("=x.pem").is_err());
        assert!(named("bank=").unwrap().given().is_err(), "a file without a name is not there");
    }
}
