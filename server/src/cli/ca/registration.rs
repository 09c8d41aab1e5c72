//! Certificate requests: made, filed, listed, decided; enrolment tokens; the policy. On files, without a peer.

use super::{Algorithm, DAY_MS, Directory, certificates_text};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, clean, pairs, table};
use crate::cli::session::read_file;
use crate::clock;
use ca::enrolment::EnrolmentPolicy;
use ca::limits::REQUEST_TEXT_BYTES_MAX;
use ca::request::make_request;
use ca::{
    AlternativeName, CertificateRequest, EnrolmentToken, KeyPair, Registration, RegistrationError, RequestId,
    RequestStatus, Terms,
};
use clap::Args;
use ledger_classes::identity::Identity;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Who files at the command line: whoever has the folder.
const FOLDER: &str = "folder";

impl From<RegistrationError> for Failure {
    fn from(error: RegistrationError) -> Self {
        Self::refused(super::in_full(&error))
    }
}

fn document(registration: &Registration) -> Value {
    json!({
        "request": registration.record,
        "status": registration.status,
        "approvals_needed": registration.approvals_needed,
        "certificate": registration.path.as_deref().map(ca::credentials::certificates_pem),
    })
}

fn show(output: Output, registration: &Registration) -> Result<(), Failure> {
    output.show(&document(registration), |_| {
        let record = &registration.record;
        let approvals = format!("{} of {}", record.approvals.len(), registration.approvals_needed);
        let serial = record.serial.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        let facts = pairs(&[
            ("request", record.id.to_string()),
            ("status", registration.status.to_string()),
            ("identity", record.identity.to_string()),
            ("key sha-256", record.key.clone()),
            ("requester", clean(&record.requester)),
            ("approvals", approvals),
            ("serial", serial),
        ]);
        facts + &registration.path.as_deref().map(certificates_text).unwrap_or_default()
    })
}

/// Make a key and a certificate request, or file a request in the queue
#[derive(Args, Debug)]
#[command(after_help = "\
With --out a new key and a request for it are made, where the key will be used; only the request leaves that machine.
With FILE the request is filed in this directory's queue, or issued at once with a token.

Examples:
  $ chancery ca request --out alice --identity spiffe://harbour.example/bank/client/alice
  $ chancery ca request alice/request.pem --dir peer-1
  $ chancery ca request alice/request.pem --token-file token.txt --dir peer-1")]
pub(super) struct Request {
    /// PKCS#10 request in PEM or DER
    #[arg(required_unless_present = "out", conflicts_with = "out")]
    file: Option<PathBuf>,
    /// Folder to make key.pem and request.pem in
    #[arg(long, value_name = "FOLDER", requires = "identity")]
    out: Option<PathBuf>,
    /// For whom; if absent, whom the request names
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<Identity>,
    /// File that holds an enrolment token
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    token_file: Option<PathBuf>,
    /// Algorithm of a new key
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
}

impl Request {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        match (&self.file, &self.out, &self.identity) {
            (None, Some(out), Some(identity)) => self.make(out, identity, output),
            (Some(file), ..) => self.file(file, directory, output),
            _ => Err(Failure::usage("give a request's file, or --out and --identity")),
        }
    }

    fn make(&self, out: &Path, identity: &Identity, output: Output) -> Result<(), Failure> {
        let (key_file, request_file) = (out.join("key.pem"), out.join("request.pem"));
        if key_file.exists() {
            return Err(Failure::refused(format!("{} exists already", key_file.display())));
        }
        let failed = |error: &dyn std::error::Error| Failure::refused(super::in_full(error));
        let key = KeyPair::generate(self.algorithm.into()).map_err(|error| failed(&error))?;
        let request = make_request(&key, identity).map_err(|error| failed(&error))?;
        std::fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
        key.save(&key_file).map_err(|error| failed(&error))?;
        std::fs::write(&request_file, &request).map_err(|error| Failure::file(&request_file, &error))?;
        let digest = ca::identifiers::KeyId::of_spki(&key.public().spki()).to_string();
        let made = json!({ "identity": identity, "key": digest, "request": request, "file": request_file });
        output.show(&made, |_| {
            pairs(&[
                ("identity", identity.to_string()),
                ("request", request_file.display().to_string()),
                ("key sha-256", digest.clone()),
            ])
        })
    }

    fn file(&self, file: &Path, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let bytes = read_file(file, REQUEST_TEXT_BYTES_MAX as u64)?;
        let request = CertificateRequest::parse(&bytes).map_err(|error| Failure::refused(super::in_full(&error)))?;
        let (identity, now) = (self.identity.as_ref(), clock::now());
        let registration = match &self.token_file {
            None => folder.file_request(&request, identity, FOLDER, now)?,
            Some(file) => {
                let text = zeroize::Zeroizing::new(read_file(file, 1024)?);
                let text = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<EnrolmentToken>().ok());
                let token = text.ok_or_else(|| Failure::usage(format!("{} holds no token", file.display())))?;
                folder.enrol(&request, identity, &token, FOLDER, now)?
            }
        };
        show(output, &registration)
    }
}

/// List certificate requests
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca requests --dir peer-1
  $ chancery ca requests 00112233445566778899aabbccddeeff --dir peer-1")]
pub(super) struct Requests {
    /// One request
    id: Option<RequestId>,
    /// All, not only those that wait
    #[arg(long)]
    all: bool,
}

impl Requests {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let now = clock::now();
        if let Some(id) = self.id {
            return show(output, &folder.request(&id, now)?);
        }
        let mut requests = folder.requests(now)?;
        let waits = |status| matches!(status, RequestStatus::Requested | RequestStatus::Approved);
        requests.retain(|registration| self.all || waits(registration.status));
        let documents: Vec<Value> = requests.iter().map(document).collect();
        output.show(&documents, |_| {
            let row = |registration: &Registration| {
                let record = &registration.record;
                let approvals = format!("{} of {}", record.approvals.len(), registration.approvals_needed);
                let status = registration.status.to_string();
                vec![record.id.to_string(), record.identity.to_string(), status, approvals, clean(&record.requester)]
            };
            let rows: Vec<Vec<String>> = requests.iter().map(row).collect();
            if rows.is_empty() {
                return "no request waits\n".into();
            }
            table(&["request", "identity", "status", "approvals", "requester"], &rows)
        })
    }
}

/// What a certificate is issued with.
#[derive(Args, Debug)]
struct TermsArguments {
    /// Days until the certificate expires; at most the CA's own
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,
    /// Host name or address, for peers; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<AlternativeName>,
}

impl TermsArguments {
    /// None if nothing was said.
    fn given(self) -> Option<Terms> {
        if self.days.is_none() && self.host.is_empty() {
            return None;
        }
        let mut terms = Terms { alternative_names: self.host, ..Terms::default() };
        terms.lifetime_ms = self.days.map_or(terms.lifetime_ms, |days| days * DAY_MS);
        Some(terms)
    }
}

/// Approve a certificate request; the last approval that the policy asks for issues
#[derive(Args, Debug)]
#[command(after_help = "\
Compare the key's SHA-256 with what the requester says, on another way than the request came.

Example:
  $ chancery ca approve 00112233445566778899aabbccddeeff --days 90 --dir peer-1")]
pub(super) struct Approve {
    /// Request
    id: RequestId,
    #[command(flatten)]
    terms: TermsArguments,
}

impl Approve {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let terms = self.terms.given();
        show(output, &folder.approve(&self.id, &directory.acting.who(), terms.as_ref(), clock::now())?)
    }
}

/// Reject a certificate request for good
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  $ chancery ca reject 00112233445566778899aabbccddeeff --reason 'not known to us' --dir peer-1")]
pub(super) struct Reject {
    /// Request
    id: RequestId,
    /// Why; the requester is told
    #[arg(long)]
    reason: String,
}

impl Reject {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        show(output, &folder.reject(&self.id, &directory.acting.who(), &self.reason, clock::now())?)
    }
}

/// Make a one-time enrolment token for an identity
#[derive(Args, Debug)]
#[command(after_help = "\
The token is printed once and approves one request. Hand it to the member on a confidential way.

Example:
  $ chancery ca token spiffe://harbour.example/bank/client/alice --hours 24 --dir peer-1")]
pub(super) struct Token {
    /// Identity that it enrols
    identity: Identity,
    /// Hours for which it is good
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=2160))]
    hours: u64,
    #[command(flatten)]
    terms: TermsArguments,
}

impl Token {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let terms = self.terms.given().unwrap_or_default();
        let (token, expires) = folder.add_token(&self.identity, terms, self.hours * 3_600_000, clock::now())?;
        let text = token.reveal();
        let made = json!({ "token": text.as_str(), "identity": self.identity, "expires": expires });
        output.show(&made, |_| format!("{}\n", text.as_str()))
    }
}

/// Show or change what certificate requests need
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca policy --dir peer-1
  $ chancery ca policy --approvals 2 --dir peer-1")]
pub(super) struct Policy {
    /// Distinct approvers, 1 to 8
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    approvals: Option<u32>,
}

impl Policy {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        if let Some(approvals) = self.approvals {
            folder.set_policy(EnrolmentPolicy { approvals }, clock::now())?;
        }
        output.show(&folder.policy()?, |policy| format!("a request needs {} approvals\n", policy.approvals))
    }
}
