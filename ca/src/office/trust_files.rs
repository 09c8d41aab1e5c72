//! What a folder's CAs publish to those who trust them: certificates, CRLs and links, as files and as a bundle.

use crate::office::{
    error::FolderError,
    record::{AuthorityCertificate, ROOT, RolloverRecord},
    records::Records,
};
use pki::{
    trust::{
        bundle::TrustBundle,
        files::{TrustFile, TrustPart},
    },
    x509::profile::AuthorityScope,
};

impl Records {
    /// All CAs and CRLs of the folder: what a peer needs to know.
    pub fn trust(&self) -> Result<TrustBundle, FolderError> {
        let mut bundle = TrustBundle::default();
        for file in self.trust_files() {
            bundle.add(file.part, file.read_whole()?);
        }
        Ok(bundle)
    }

    /// The files that [`Records::trust`] reads: for whoever must live with one that is damaged.
    pub fn trust_files(&self) -> Vec<TrustFile> {
        let mut all = self.files_of(|_| true);
        // Links between two roots are nowhere outside of a rollover.
        if let Some(RolloverRecord { old, new, .. }) = self.rollover() {
            let links = [self.layout.link(new, old), self.layout.link(old, new)];
            all.extend(links.map(|path| TrustFile { part: TrustPart::Links, path, needed: false }));
        }
        all
    }

    /// The files of the CAs that are in force and wanted, by name: certificates and CRLs.
    fn files_of(&self, wanted: impl Fn(&str) -> bool) -> Vec<TrustFile> {
        let mut all = Vec::new();
        for (name, record) in self.authorities().iter().filter(|(name, _)| wanted(name)) {
            if record.retired.is_some() {
                continue;
            }
            let mut vouching = record.certificates().filter(|of| !self.is_retired(&of.issuer)).peekable();
            if vouching.peek().is_none() {
                continue;
            }
            for AuthorityCertificate { issuer, serial, .. } in vouching {
                let part = if issuer == *name { TrustPart::Anchors } else { TrustPart::Issuing };
                all.push(TrustFile::needed(part, self.layout.authority(name, &serial)));
            }
            all.push(TrustFile::needed(TrustPart::Crls, self.layout.crl(name)));
        }
        all
    }

    /// CAs of organizations with their CRLs, and of the roots above them; of all organizations if none is named. A root
    /// that no organization is under, as in a folder where the only CA is a root itself, concerns nobody else.
    pub fn bundle(&self, organizations: &[String]) -> Result<TrustBundle, FolderError> {
        let in_use = self.authorities().values();
        let in_use = in_use.filter(|record| record.retired.is_none() && !self.is_root(&record.name));
        let all: Vec<String> = in_use.map(|record| record.name.clone()).collect();
        let organizations = if organizations.is_empty() { &all } else { organizations };
        let mut names: Vec<String> = Vec::new();
        for name in organizations {
            let record = self.authorities().get(name).filter(|_| *name != ROOT);
            let record = record.ok_or_else(|| FolderError::UnknownAuthority(name.clone()))?;
            // All that certify it: while a root is replaced, those who know only one of the two need it.
            names.extend(record.certificates().map(|certificate| certificate.issuer));
            names.push(record.name.clone());
        }
        let mut bundle = TrustBundle::default();
        for file in self.files_of(|name| names.iter().any(|wanted| wanted == name)) {
            bundle.add(file.part, file.read_whole()?);
        }
        // Of each organization that was asked for, or the file says less than it seems to.
        let holds = |name: &String| {
            let cas = bundle.anchors.iter().chain(&bundle.issuing);
            cas.filter_map(|der| AuthorityScope::of_certificate(der).ok())
                .any(|scope| scope.organization.as_ref() == Some(name))
        };
        match organizations.iter().find(|name| !holds(name)) {
            Some(name) => Err(FolderError::UnknownAuthority(name.clone())),
            None => Ok(bundle),
        }
    }
}
