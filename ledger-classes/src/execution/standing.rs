//! Who may sign: what a participant record is worth under a configuration, at a block's time.
//!
//! A participation ends when its certificate is revoked or expires, and when nothing vouches for it any more: when none of
//! the CAs on the certificate's path is listed for its organization, told by their keys, or when a CA certificate of the
//! path was revoked. What the public may do is for those without any record: a record that has ended leaves nothing.

use crate::formats::config::ChannelConfig;
use crate::formats::outcome::ResultCode;
use crate::formats::rights::Rights;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::time::Time;
use crate::state::participant::{CertificatePaths, KnownCertificate, Participant, PathRules};
use crate::state::view::{ReadError, ReadView};
use crate::state::{keyspace, record};
use std::cell::OnceCell;

/// The member organizations of a configuration, with the keys of the CAs that it lists for each. A key is read from its
/// certificate when it is first asked for, so that a block pays for the organizations that act in it, and once.
pub struct Members<'a> {
    config: &'a ChannelConfig,
    rules: PathRules,
    certificates: &'a dyn CertificatePaths,
    /// By the place of the organization in the configuration.
    keys: Vec<OnceCell<Vec<Hash>>>,
}

impl<'a> Members<'a> {
    /// The members under `config`, which is in force.
    pub fn new(config: &'a ChannelConfig, certificates: &'a dyn CertificatePaths) -> Self {
        Self::under(config, config.path_rules(), certificates)
    }

    /// The members under a configuration that is to follow, by the rules in force.
    pub(super) fn under(config: &'a ChannelConfig, rules: PathRules, certificates: &'a dyn CertificatePaths) -> Self {
        Self { config, rules, certificates, keys: vec![OnceCell::new(); config.organizations.len()] }
    }

    /// The configuration.
    pub const fn config(&self) -> &'a ChannelConfig {
        self.config
    }

    /// Whether one of these CA keys is listed for an organization.
    fn lists(&self, organization: &str, authorities: &[Hash]) -> bool {
        let mut members = self.config.organizations.iter().zip(&self.keys);
        let Some((member, keys)) = members.find(|(member, _)| member.name == organization) else { return false };
        let key = |der: &HexBytes| self.certificates.authority_key(self.rules, &der.0);
        let listed = keys.get_or_init(|| member.authorities.iter().filter_map(key).collect());
        authorities.iter().any(|key| listed.contains(key))
    }

    /// Whether a participant record entitles its address to sign at block time `time`. The inner result says why not.
    pub fn standing(
        &self,
        view: &dyn ReadView,
        record: Option<&Participant>,
        time: Time,
    ) -> Result<Result<(), ResultCode>, ReadError> {
        let Some(participant) = record else { return Ok(Err(ResultCode::NotAParticipant)) };
        if participant.revoked_height.is_some() {
            return Ok(Err(ResultCode::ParticipantIsRevoked));
        }
        if participant.not_after < time {
            return Ok(Err(ResultCode::ParticipantIsExpired));
        }
        if !self.lists(participant.identity.organization(), &participant.authorities) {
            return Ok(Err(ResultCode::ParticipantIsUnvouched));
        }
        // Most channels list the CAs that issue, and there is nothing between.
        for authority in &participant.above {
            let key = keyspace::certificate(&authority.issuer, &authority.serial.0);
            let known: Option<KnownCertificate> = record::read(view, &key)?;
            if known.is_some_and(|known| known.revoked_height.is_some()) {
                return Ok(Err(ResultCode::ParticipantIsUnvouched));
            }
        }
        Ok(Ok(()))
    }

    /// What an address may do by its record: a participant in good standing what its identity may, somebody without a record
    /// what the public may. Others nothing; why, the inner result says.
    pub fn rights(
        &self,
        view: &dyn ReadView,
        record: Option<&Participant>,
        time: Time,
    ) -> Result<Result<Rights, ResultCode>, ReadError> {
        Ok(match (record, self.standing(view, record, time)?) {
            (Some(participant), Ok(())) => Ok(self.config.rights_of(Some(&participant.identity))),
            (None, _) if self.config.open_submit => Ok(self.config.rights_of(None)),
            (_, Err(code)) => Err(code),
            (None, Ok(())) => Err(ResultCode::NotAParticipant),
        })
    }
}
