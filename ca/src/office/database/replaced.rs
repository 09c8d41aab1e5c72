//! What the line says by which an organization's CA got another key ([`crate::office::replacement`]).

use super::Database;
use crate::office::{
    event::Event,
    record::{AuthorityCertificate, NamedAuthority, RevocationRecord},
};

impl Database {
    /// The CA before goes on under another name, without trust, and what it issued with it; the organization has a new one.
    pub(super) fn replace_authority(&mut self, event: Event) -> Result<(), &'static str> {
        let Event::AuthorityReplaced {
            name,
            former,
            keys,
            issuer,
            serial,
            not_after,
            reason,
            key,
            proof,
            successor,
            possession,
            at,
        } = event
        else {
            return Err("an event of another kind");
        };
        let key = key.parse().map_err(|_| "a key's hash is not one")?;
        if self.authorities.contains_key(&former) {
            return Err("an authority is replaced twice under one name");
        }
        let mut old = self.authorities.remove(&name).ok_or("an unknown authority")?;
        let revoked = *old.revoked.get_or_insert(RevocationRecord { at, reason });
        self.retired.push(key);
        // A root of its own has no other issuer.
        let own = [&mut old.issuer].into_iter().chain(old.earlier.iter_mut().map(|before| &mut before.issuer));
        own.filter(|issuer| **issuer == name).for_each(|issuer| issuer.clone_from(&former));
        old.keys = Some(old.keys().to_owned());
        (old.name, old.retired, old.compromise) = (former.clone(), Some(at), proof);
        // A line of before a successor's own key signed names nobody.
        let signed = successor.zip(possession);
        old.succession = signed.map(|(proof, possession)| NamedAuthority { serial: serial.clone(), proof, possession });
        self.authorities.insert(former.clone(), old);
        self.add(AuthorityCertificate { issuer, serial, not_after }, name.clone())?;
        self.authorities.get_mut(&name).ok_or("an unknown authority")?.keys = Some(keys);
        for record in self.certificates.iter_mut().filter(|record| record.authority == name) {
            (record.authority, record.authority_revoked) = (former.clone(), Some(revoked));
        }
        for lost in self.lost.iter_mut().filter(|lost| lost.authority == name) {
            lost.authority.clone_from(&former);
        }
        Ok(())
    }
}
