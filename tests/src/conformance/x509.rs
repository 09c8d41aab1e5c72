//! `conformance x509`: documents of x509-limbo (<https://x509-limbo.com>) through `pki::trust::validation::validate_path`, on
//! which the one function that admits our peers rests.
//!
//! Nothing is judged here but what limbo asks beyond RFC 5280: which name and which key usage the caller wants.
//! A case is skipped only for a rule of our profile (docs/conformance.md), never by its id or by the result that it
//! expects.

mod library;
mod unsupported;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::{
        revocation::{RevocationList, RevocationPolicy, RevocationSet, RevocationStatusError, RevocationStore},
        validation::{PathError, PathOrder, PathRules, Purpose, ValidatedPath, validate_path},
    },
    x509::{
        algorithms::{Algorithms, PROFILE_ALGORITHMS},
        certificate::ProfileError,
    },
};
use rustls::pki_types::{CertificateDer, DnsName, IpAddr, ServerName, SignatureVerificationAlgorithm};
use serde::{Deserialize, Deserializer, Serialize};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;
use unsupported::Unsupported;
use webpki::{EndEntityCert, ring};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// Intermediates of a path unless the case wants fewer: the limit of the path library.
const INTERMEDIATES_MAX: usize = 6;

/// RSA with SHA-2, from 2,048 bits. No profile of ours has it: NIST's test suite is written in it.
static RSA_ALGORITHMS: &Algorithms =
    &[ring::RSA_PKCS1_2048_8192_SHA256, ring::RSA_PKCS1_2048_8192_SHA384, ring::RSA_PKCS1_2048_8192_SHA512];

/// A document.
#[derive(Debug, Deserialize)]
pub struct Limbo {
    /// 1.
    pub version: u32,
    /// The cases.
    pub testcases: Vec<Case>,
}

/// Which side validates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValidationKind {
    /// The certificate is a client's.
    Client,
    /// The certificate is a server's.
    #[default]
    Server,
}

/// A name that the caller expects.
#[derive(Clone, Debug, Deserialize)]
pub struct PeerName {
    /// `DNS`, `IP` or `RFC822`.
    pub kind: String,
    /// The name.
    pub value: String,
}

/// Documents of older revisions of the format have null for a list of nothing.
fn null_is_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A case. Members that are left out here (descriptions, importance, private keys) are passed over.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// Optional functions that it exercises.
    #[serde(default, deserialize_with = "null_is_none")]
    pub features: Vec<String>,
    /// Which side validates.
    pub validation_kind: ValidationKind,
    /// Anchors, PEM.
    pub trusted_certs: Vec<String>,
    /// A heap of CAs, PEM.
    #[serde(default, deserialize_with = "null_is_none")]
    pub untrusted_intermediates: Vec<String>,
    /// The leaf, PEM.
    pub peer_certificate: String,
    /// The instant, RFC 3339; now if it is left out.
    #[serde(default)]
    pub validation_time: Option<String>,
    /// Algorithms to be held to; all if empty.
    #[serde(default, deserialize_with = "null_is_none")]
    pub signature_algorithms: Vec<String>,
    /// Key usages that the leaf must have.
    #[serde(default, deserialize_with = "null_is_none")]
    pub key_usage: Vec<String>,
    /// Purposes that the leaf must have.
    #[serde(default, deserialize_with = "null_is_none")]
    pub extended_key_usage: Vec<String>,
    /// The server's name.
    #[serde(default)]
    pub expected_peer_name: Option<PeerName>,
    /// The client's names.
    #[serde(default, deserialize_with = "null_is_none")]
    pub expected_peer_names: Vec<PeerName>,
    /// Intermediates at most.
    #[serde(default)]
    pub max_chain_depth: Option<usize>,
    /// Revocation lists, PEM.
    #[serde(default, deserialize_with = "null_is_none")]
    pub crls: Vec<String>,
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The path is good.
    Success,
    /// It is refused, for this reason.
    Failure(String),
    /// It uses what our profile leaves out, by this rule.
    Skipped(&'static str),
}

#[derive(Serialize)]
struct Outcome<'a> {
    id: &'a str,
    actual_result: &'static str,
    context: Option<String>,
}

#[derive(Serialize)]
struct Outcomes<'a> {
    version: u32,
    harness: &'static str,
    results: Vec<Outcome<'a>>,
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The ledger's code.
    Chancery,
    /// rustls-webpki without it, for comparison.
    Library,
}

/// Judges a document; with `rsa` under RSA as well, which is not in our profile.
pub fn run(mut input: impl Read, output: &mut impl Write, rsa: bool, by: Judge, now: SystemTime) -> io::Result<()> {
    let mut text = Vec::new();
    input.read_to_end(&mut text)?;
    let document: Limbo = ledger_classes::primitives::json::from_slice(&text)?;
    if document.version != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "only version 1 of the format is known"));
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = Time::from_millis(u64::try_from(now).unwrap_or(0));
    let results = document.testcases.iter().map(|case| {
        let verdict = match by {
            Judge::Chancery => judge(case, rsa, now),
            Judge::Library => library::judge(case, rsa, now),
        };
        let (actual_result, context) = match verdict {
            Verdict::Success => ("SUCCESS", None),
            Verdict::Failure(why) => ("FAILURE", Some(why)),
            Verdict::Skipped(rule) => ("SKIPPED", Some(rule.to_owned())),
        };
        Outcome { id: &case.id, actual_result, context }
    });
    let harness = match by {
        Judge::Chancery => "chancery",
        Judge::Library => "rustls-webpki",
    };
    let outcomes = Outcomes { version: 1, harness, results: results.collect() };
    serde_json::to_writer(&mut *output, &outcomes)?;
    output.write_all(b"\n")
}

/// Judges one case.
pub fn judge(case: &Case, rsa: bool, now: Time) -> Verdict {
    // Features of the document itself: both want answers that need data or processing that we do not have.
    let has = |feature: &str| case.features.iter().any(|f| f == feature);
    if has("has-cert-policies") {
        return Verdict::Skipped(Unsupported::Policies.rule());
    }
    if has("pedantic-public-suffix-wildcard") {
        return Verdict::Skipped("a consortium has no list of public suffixes");
    }
    if !case.key_usage.iter().all(|name| bit(name).is_some())
        || !case.extended_key_usage.iter().all(|name| purpose(name).is_some())
    {
        return Verdict::Skipped("the case wants a usage or purpose that RFC 5280 does not name");
    }
    match try_case(case, rsa, now) {
        Ok(verdict) => verdict,
        Err(why) => Verdict::Failure(why),
    }
}

/// The certificates of a case, DER.
struct Material {
    leaf: Vec<u8>,
    intermediates: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
}

impl Material {
    fn of(case: &Case) -> Result<Self, String> {
        let all = |texts: &[String]| texts.iter().map(|text| decode(text)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            leaf: decode(&case.peer_certificate)?,
            intermediates: all(&case.untrusted_intermediates)?,
            anchors: all(&case.trusted_certs)?,
            crls: all(&case.crls)?,
        })
    }
}

/// Algorithms that count in a case.
fn algorithms(case: &Case, rsa: bool) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let mut algorithms: Vec<_> = PROFILE_ALGORITHMS.to_vec();
    if rsa {
        algorithms.extend(RSA_ALGORITHMS);
    }
    algorithms.retain(|algorithm| is_wanted(algorithm.signature_alg_id().as_ref(), &case.signature_algorithms));
    algorithms
}

/// The instant of a case.
fn instant(case: &Case, now: Time) -> Result<Time, String> {
    case.validation_time.as_deref().map_or(Ok(now), |text| Time::parse(text).map_err(|error| error.to_string()))
}

/// What the leaf must be good for.
fn purposes(case: &Case) -> Vec<Purpose> {
    if !case.extended_key_usage.is_empty() {
        return case.extended_key_usage.iter().filter_map(|name| purpose(name)).collect();
    }
    vec![match case.validation_kind {
        ValidationKind::Client => Purpose::ClientAuth,
        ValidationKind::Server => Purpose::ServerAuth,
    }]
}

fn try_case(case: &Case, rsa: bool, now: Time) -> Result<Verdict, String> {
    let material = Material::of(case)?;
    let algorithms = algorithms(case, rsa);
    let at = instant(case, now)?;
    let lists = revocation(&material, &algorithms);
    for purpose in purposes(case) {
        let rules = PathRules {
            algorithms: &algorithms,
            purpose,
            order: PathOrder::Any,
            intermediates_max: case.max_chain_depth.unwrap_or(INTERMEDIATES_MAX).min(INTERMEDIATES_MAX),
            at,
        };
        let intermediates: Vec<&[u8]> = material.intermediates.iter().map(Vec::as_slice).collect();
        let anchors: Vec<&[u8]> = material.anchors.iter().map(Vec::as_slice).collect();
        let lists = (!case.crls.is_empty()).then_some((&*lists, RevocationPolicy::default()));
        match validate_path(&material.leaf, &intermediates, &anchors, &rules, lists) {
            Ok(path) => match check_wishes(case, &path, &material.leaf) {
                Verdict::Success => {}
                other => return Ok(other),
            },
            Err(error) => return Ok(refusal(&error, case, &material, rsa)),
        }
    }
    Ok(Verdict::Success)
}

/// What the caller wants of the leaf besides a good path.
fn check_wishes(case: &Case, path: &ValidatedPath<'_>, leaf: &[u8]) -> Verdict {
    let wanted = case.key_usage.iter().filter_map(|name| bit(name));
    if !path.allows(wanted.fold(0, |flags, bit| flags | 1 << bit)) {
        return Verdict::Failure("the key usage is not what the caller wants".into());
    }
    match expected(case).iter().find(|name| !answers_to(leaf, name)) {
        None => Verdict::Success,
        Some(name) => Verdict::Failure(format!("the certificate is not for {}", name.value)),
    }
}

/// The names that the leaf must have, all of them.
fn expected(case: &Case) -> &[PeerName] {
    match case.validation_kind {
        ValidationKind::Server => case.expected_peer_name.as_slice(),
        ValidationKind::Client => &case.expected_peer_names,
    }
}

/// Whether the leaf has a name: a host's or an address by RFC 6125 §6.4.
fn answers_to(leaf: &[u8], name: &PeerName) -> bool {
    match name.kind.as_str() {
        "RFC822" => has_mailbox(leaf, &name.value),
        _ => server_name(name).is_some_and(|name| {
            EndEntityCert::try_from(&CertificateDer::from(leaf))
                .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        }),
    }
}

/// Whether the leaf has this mail address: the local part octet by octet, the host whatever its letters' case
/// (RFC 5280 §7.5).
fn has_mailbox(leaf: &[u8], address: &str) -> bool {
    let (Some((local, host)), Ok((_, leaf))) = (address.rsplit_once('@'), X509Certificate::from_der(leaf)) else {
        return false;
    };
    let names = leaf.subject_alternative_name().ok().flatten();
    names.into_iter().flat_map(|names| &names.value.general_names).any(|name| match name {
        GeneralName::RFC822Name(name) => name
            .rsplit_once('@')
            .is_some_and(|(local_part, domain)| local_part == local && domain.eq_ignore_ascii_case(host)),
        _ => false,
    })
}

/// The name of a server, of the kind that is said.
fn server_name(name: &PeerName) -> Option<ServerName<'_>> {
    match name.kind.as_str() {
        "DNS" => DnsName::try_from(name.value.as_str()).ok().map(ServerName::DnsName),
        "IP" => IpAddr::try_from(name.value.as_str()).ok().map(ServerName::IpAddress),
        _ => None,
    }
}

/// The lists that verify under one of the CAs. A list that does not is no list.
fn revocation(material: &Material, algorithms: &Algorithms) -> Arc<RevocationSet> {
    let store = RevocationStore::default();
    for crl in &material.crls {
        for authority in material.anchors.iter().chain(&material.intermediates) {
            if let Ok(list) = RevocationList::verify_under(crl, authority, algorithms) {
                // Refused if a newer one is there already, which then counts.
                let _ = store.install(list);
            }
        }
    }
    store.current()
}

/// A refusal: by RFC 5280, or by a rule that our profile adds to it.
fn refusal(error: &PathError, case: &Case, material: &Material, rsa: bool) -> Verdict {
    use Unsupported as U;
    let leaf = unsupported::of_certificate(&material.leaf);
    let cas = material.anchors.iter().chain(&material.intermediates).flat_map(|der| unsupported::of_certificate(der));
    let cas: Vec<Unsupported> = cas.collect();
    let self_issued =
        material.intermediates.iter().any(|der| unsupported::of_certificate(der).contains(&U::SelfIssued));
    let uses = |feature: U| leaf.contains(&feature) || cas.contains(&feature);

    let foreign_algorithm = matches!(
        error,
        PathError::Algorithm
            | PathError::Anchor(ProfileError::SignatureAlgorithm)
            | PathError::Profile { source: ProfileError::SignatureAlgorithm | ProfileError::LeafKey, .. }
    );
    let policies = matches!(
        error,
        PathError::Anchor(ProfileError::Policies) | PathError::Profile { source: ProfileError::Policies, .. }
    ) || *error == PathError::Other("UnsupportedCriticalExtension".into());
    let authority_at_end = matches!(error, PathError::Profile { source: ProfileError::LeafIsAuthority, position: 0 });
    // Where the library counts a self-issued CA it goes on to look for other paths, and names what it met there.
    let counted = matches!(
        error,
        PathError::PathLength { .. } | PathError::NameConstraint | PathError::Signature | PathError::Other(_)
    );
    let no_list = matches!(error, PathError::Revocation { source: RevocationStatusError::Missing, .. });
    let rule = [
        (U::Rsa, foreign_algorithm && !rsa && uses(U::Rsa)),
        (U::OtherAlgorithm, foreign_algorithm && uses(U::OtherAlgorithm)),
        (U::Policies, policies && uses(U::Policies)),
        (U::ConstraintKind, *error == PathError::NameConstraint && cas.contains(&U::ConstraintKind)),
        (U::AuthorityAtEnd, authority_at_end && leaf.contains(&U::AuthorityAtEnd)),
        (U::SelfIssued, counted && self_issued),
        (U::PartialCrl, no_list && material.crls.iter().any(|crl| unsupported::is_partial_crl(crl))),
    ];
    let oversized = matches!(
        error,
        PathError::Anchor(ProfileError::Oversize) | PathError::Profile { source: ProfileError::Oversize, .. }
    );
    // Where the case is about sheer size, a limit is the answer.
    if oversized && !case.features.iter().any(|feature| feature == "denial-of-service") {
        return Verdict::Skipped("a certificate has at most 8 KiB");
    }
    match rule.into_iter().find(|(_, applies)| *applies) {
        Some((feature, _)) => Verdict::Skipped(feature.rule()),
        None => Verdict::Failure(ledger_classes::primitives::causes::in_one_line(error)),
    }
}

/// Whether an algorithm, by its identifier, is among those of the case.
fn is_wanted(identifier: &[u8], wanted: &[String]) -> bool {
    const NAMES: [(&str, &str); 6] = [
        ("ED25519", "06032b6570"),
        ("ECDSA_WITH_SHA256", "06082a8648ce3d040302"),
        ("ECDSA_WITH_SHA384", "06082a8648ce3d040303"),
        ("RSA_WITH_SHA256", "06092a864886f70d01010b0500"),
        ("RSA_WITH_SHA384", "06092a864886f70d01010c0500"),
        ("RSA_WITH_SHA512", "06092a864886f70d01010d0500"),
    ];
    let identifier = hex::encode(identifier);
    wanted.is_empty() || NAMES.iter().any(|(name, id)| *id == identifier && wanted.iter().any(|w| w == name))
}

/// The bit of a key usage (RFC 5280 §4.2.1.3) by limbo's word for it; older documents spell the last two otherwise.
fn bit(name: &str) -> Option<u16> {
    Some(match name {
        "digitalSignature" => 0,
        "contentCommitment" => 1,
        "keyEncipherment" => 2,
        "dataEncipherment" => 3,
        "keyAgreement" => 4,
        "keyCertSign" => 5,
        "cRLSign" => 6,
        "encipherOnly" | "encipher_only" => 7,
        "decipherOnly" | "decipher_only" => 8,
        _ => return None,
    })
}

/// A purpose by limbo's word for it.
fn purpose(name: &str) -> Option<Purpose> {
    Some(match name {
        "serverAuth" => Purpose::ServerAuth,
        "clientAuth" => Purpose::ClientAuth,
        // 1.3.6.1.5.5.7.3.x and 2.5.29.37.0.
        "codeSigning" => Purpose::Other(&[0x2b, 6, 1, 5, 5, 7, 3, 3]),
        "emailProtection" => Purpose::Other(&[0x2b, 6, 1, 5, 5, 7, 3, 4]),
        "timeStamping" => Purpose::Other(&[0x2b, 6, 1, 5, 5, 7, 3, 8]),
        "OCSPSigning" => Purpose::Other(&[0x2b, 6, 1, 5, 5, 7, 3, 9]),
        "anyExtendedKeyUsage" => Purpose::Any,
        _ => return None,
    })
}

/// The first block of a PEM text (RFC 7468), which may have words around it.
fn decode(pem: &str) -> Result<Vec<u8>, String> {
    let mut lines = pem.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    lines.next().ok_or("not PEM: no beginning")?;
    let body: String = lines.take_while(|line| !line.starts_with("-----END ")).collect();
    STANDARD.decode(body).map_err(|error| format!("not PEM: {error}"))
}
