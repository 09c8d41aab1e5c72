//! What TLS says of certificates, in words: theirs that we do not accept, ours that they do not. Told apart from a peer
//! that does not answer: waiting mends neither.

use crate::known::KnownError;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::error::Error;
use std::fmt;
use std::io;

/// Whose certificate was not accepted, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificateRefusal {
    /// The peer refuses ours.
    Ours(AlertDescription),
    /// We refuse the peer's.
    Theirs(CertificateError),
    /// What answers is no TLS.
    NotTls,
    /// TLS failed for another reason.
    Other(String),
}

impl CertificateRefusal {
    /// What ended a connection, if it was TLS.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // An I/O error hides what it wraps from its chain of sources.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let tls = error.downcast_ref::<rustls::Error>();
            match tls.or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>())) {
                Some(rustls::Error::AlertReceived(alert)) => return Some(Self::Ours(*alert)),
                Some(rustls::Error::InvalidCertificate(why)) => return Some(Self::Theirs(why.clone())),
                Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => return Some(Self::NotTls),
                Some(other) => return Some(Self::Other(other.to_string())),
                None => {}
            }
            cause = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AlertDescription as A;
        use CertificateError as E;
        let ours = "refuses the profile's certificate:";
        match self {
            Self::NotTls => f.write_str("answers without TLS: another port of the peer, such as that of the metrics?"),
            Self::Ours(A::CertificateRevoked) => write!(f, "{ours} it is revoked"),
            Self::Ours(A::CertificateExpired) => {
                write!(f, "{ours} it has expired or is not valid yet (`chancery ca renew` renews it)")
            }
            Self::Ours(A::UnknownCA) => {
                write!(f, "{ours} the peer trusts no CA that issued it, or has no current CRL of that CA")
            }
            Self::Ours(A::AccessDenied) => write!(f, "{ours} its holder is not admitted"),
            Self::Ours(A::UnsupportedCertificate) => write!(f, "{ours} it is not for clients"),
            Self::Ours(A::BadCertificate | A::CertificateUnknown | A::DecryptError) => {
                write!(f, "{ours} it is not one that this consortium's CAs issue")
            }
            Self::Ours(A::CertificateRequired) => f.write_str("asks for a certificate, and the profile has none"),
            Self::Ours(alert) => write!(f, "ends TLS: {alert:?}"),
            Self::Theirs(E::Expired | E::ExpiredContext { .. }) => f.write_str("shows a certificate that has expired"),
            Self::Theirs(E::NotValidYet | E::NotValidYetContext { .. }) => {
                f.write_str("shows a certificate that is not valid yet, by this machine's clock")
            }
            Self::Theirs(E::Revoked) => f.write_str("shows a certificate that is revoked"),
            Self::Theirs(E::UnknownIssuer) => f.write_str(
                "shows a certificate that no CA in the profile's ca.pem vouches for: get the file that `chancery ca \
                     bundle` writes there, and have the profile trust it (`chancery ca trust add FILE --root --into \
                     PROFILE`)",
            ),
            Self::Theirs(E::NotValidForName | E::NotValidForNameContext { .. }) => {
                f.write_str("shows a certificate for another host name or address than the one that was dialled")
            }
            Self::Theirs(E::ApplicationVerificationFailure) => {
                f.write_str("shows a certificate that is no peer's of this consortium")
            }
            Self::Theirs(E::Other(other)) if other.0.is::<KnownError>() => {
                write!(f, "is not the peer that it was: {}", other.0)
            }
            Self::Theirs(why) => write!(f, "shows a certificate that is not acceptable: {why}"),
            Self::Other(why) => write!(f, "does not speak TLS as it should: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_tls_said_is_found_behind_other_errors_and_told_in_words() {
        for (error, said) in [
            (rustls::Error::AlertReceived(AlertDescription::CertificateRevoked), "it is revoked"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateExpired), "has expired"),
            (rustls::Error::AlertReceived(AlertDescription::AccessDenied), "not admitted"),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "trusts no CA"),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), "ca.pem"),
            (rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure), "no peer's"),
        ] {
            let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            let refusal = CertificateRefusal::of(&wrapped).unwrap().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
        assert_eq!(CertificateRefusal::of(&io::Error::other("closed")), None);
    }
}
