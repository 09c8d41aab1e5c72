//! How a CA of this folder goes on, on a channel that lists its certificate: its key consents to the newer one
//! ([`pki::trust::continuation`] judges that).

use crate::{
    authority::{Authority, AuthorityError},
    office::{authorities::Authorities, error::FolderError},
};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::state::participant::authority_message;

impl Authority {
    /// The signature by which this CA goes on under its certificate on a channel that lists `listed` for it, by the
    /// configuration that the block at `configured` set.
    pub fn consent(&self, channel: &Hash, configured: u64, listed: &[HexBytes]) -> Result<Vec<u8>, AuthorityError> {
        self.sign(&authority_message(channel, configured, listed, self.certificate()))
    }
}

impl Authorities<'_> {
    /// The newest certificate of an organization's CA, DER, with the CA's consent to go on under it on a channel
    /// that lists `listed` for the organization, by the configuration that the block at `configured` set.
    pub fn consent(
        &self,
        organization: &str,
        channel: &Hash,
        configured: u64,
        listed: &[HexBytes],
    ) -> Result<(Vec<u8>, Vec<u8>), FolderError> {
        let records = self.folder.records()?;
        let authority = records.open(records.in_force(organization)?, self.folder.unfenced_keys()?)?;
        let proof = authority.consent(channel, configured, listed)?;
        Ok((authority.certificate().to_vec(), proof))
    }
}
