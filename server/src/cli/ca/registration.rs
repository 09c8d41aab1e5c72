//! Certificate requests: made, filed, listed, decided; enrolment tokens; the policy.

use super::algorithm::Algorithm;
use super::directory::Directory;
use super::issued::{cut, show_part};
use super::place::Place;
use crate::{
    cli::{
        failure::Failure,
        output::{Output, certificate_path, clean, pairs, when},
        session::{Global, Paging, read_file},
    },
    clock,
    limits::DAY_MS,
    register::{request_view, token_view},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{
    EnrolmentToken, FiledRequest, KeyPair, RegistrationError, RequestId, RequestStatus, Requester, Terms, TokenId,
    holder::request::make_request,
    office::enrolment::{EnrolmentPolicy, FOLDER},
};
use clap::{Args, Subcommand};
use client::api::{
    ApprovalBody, CancelBody, CertificateRequestBody, CertificateRequestView, RejectionBody, TokenBody, TokenView,
};
use ledger_classes::primitives::identity::Identity;
use pki::{AlternativeName, CertificateRequest, limits::REQUEST_TEXT_BYTES_MAX};
use serde_json::json;
use std::path::{Path, PathBuf};

impl From<RegistrationError> for Failure {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Folder(error) => error.into(),
            error => Self::refused(super::in_full(&error)),
        }
    }
}

fn show(output: Output, request: &CertificateRequestView) -> Result<(), Failure> {
    output.show(request, |request| {
        let serial = request.serial.as_deref().map_or_else(|| "-".into(), clean);
        let mut facts = vec![
            ("request", clean(&request.id)),
            ("status", clean(&request.status)),
            ("identity", clean(&request.identity)),
            ("key sha-256", clean(&request.key)),
        ];
        facts.extend(request.requester.as_deref().map(|requester| ("requester", clean(requester))));
        let by: Vec<String> = request.approvals.iter().map(|by| clean(by)).collect();
        let approvals = format!("{} of {} {}", by.len(), request.approvals_needed, by.join(", "));
        facts.push(("approvals", approvals.trim_end().to_owned()));
        let hosts: Vec<String> = request.hosts.iter().map(|host| clean(host)).collect();
        facts.extend((!hosts.is_empty()).then(|| ("host names", hosts.join(" "))));
        facts.extend(request.days.map(|days| ("days", days.to_string())));
        facts.extend(request.reason.as_deref().map(|reason| ("rejected", clean(reason))));
        facts.push(("serial", serial));
        pairs(&facts) + &request.certificate.as_deref().map(certificate_path).unwrap_or_default()
    })
}

/// Make a key and a certificate request, or file a request in the queue
#[derive(Args, Debug)]
#[command(after_help = "\
With --out a new key and a request for it are made, where the key will be used; only the request leaves that machine.
With FILE the request is filed in the queue, or issued at once with a token: with --dir in that folder, without it at the
profile's peer. A profile without certificate will do: a folder with ca.pem and profile.toml.

Examples:
  $ chancery ca request --out alice --identity spiffe://harbour.example/bank/client/alice
  $ chancery ca request alice/request.pem --dir peer-1
  $ chancery ca request alice/request.pem --token-file token.txt --profile profiles/nobody")]
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
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        match (&self.file, &self.out, &self.identity) {
            (None, Some(out), Some(identity)) => self.make(out, identity, output),
            (Some(file), ..) => self.file(file, directory, global, output),
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
        files::private_folder(out).map_err(|error| Failure::file(out, &error))?;
        key.save(&key_file).map_err(|error| failed(&error))?;
        files::write_public(&request_file, request.as_bytes()).map_err(|error| Failure::file(&request_file, &error))?;
        let digest = pki::x509::identifiers::KeyId::of_spki(&key.public().spki()).to_string();
        let made = json!({ "identity": identity, "key": digest, "request": request, "file": request_file });
        output.show(&made, |_| {
            pairs(&[
                ("identity", identity.to_string()),
                ("request", request_file.display().to_string()),
                ("key sha-256", digest.clone()),
            ])
        })
    }

    fn file(&self, file: &Path, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let bytes = read_file(file, REQUEST_TEXT_BYTES_MAX as u64)?;
        let request = CertificateRequest::parse(&bytes)
            .map_err(|error| Failure::usage(format!("{}: {}", file.display(), super::in_full(&error))))?;
        let token = match &self.token_file {
            None => None,
            Some(file) => {
                let text = files::read_secret(file, 1024).map_err(|error| Failure::file(file, &error))?;
                let token = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<EnrolmentToken>().ok());
                Some(token.ok_or_else(|| Failure::usage(format!("{} holds no token", file.display())))?)
            }
        };
        let identity = self.identity.as_ref();
        let filed = match directory.place(global)? {
            Place::Folder(folder) => {
                let now = clock::now();
                let registration = match &token {
                    None => folder.registration().file_request(&request, identity, FOLDER, now)?,
                    Some(token) => folder.registration().enrol(&request, identity, token, FOLDER, now)?,
                };
                request_view(&registration, true)
            }
            Place::Peer(peer) => {
                // DER has no text form of its own in JSON: base64 of it is what PEM is made of.
                let request = String::from_utf8(bytes).unwrap_or_else(|der| STANDARD.encode(der.as_bytes()));
                let token = token.as_ref().map(|token| token.reveal().to_string());
                let body = CertificateRequestBody { request, identity: identity.map(ToString::to_string), token };
                peer.ask(async |connection| connection.file_request(&body).await)?
            }
        };
        show(output, &filed)
    }
}

/// List certificate requests, or show one
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca requests --dir peer-1
  $ chancery ca requests 00112233445566778899aabbccddeeff --profile profiles/boss")]
pub(super) struct Requests {
    /// One request
    #[arg(conflicts_with_all = ["all", "after", "limit"])]
    id: Option<RequestId>,
    /// All, not only those that wait
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    paging: Paging,
}

/// Statuses of a request that somebody must still act on.
const WAITING: [RequestStatus; 2] = [RequestStatus::Requested, RequestStatus::Approved];

impl Requests {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let place = directory.place(global)?;
        if let Some(id) = self.id {
            let shown = match place {
                Place::Folder(folder) => request_view(&folder.records()?.filed_request(&id, clock::now())?, true),
                Place::Peer(peer) => {
                    let id = id.to_string();
                    peer.ask(async |connection| connection.certificate_request(&id).await)?
                }
            };
            return show(output, &shown);
        }
        let page = match place {
            Place::Folder(folder) => {
                let records = folder.records()?;
                let mut requests = records.filed_requests(clock::now());
                requests.retain(|registration| self.all || WAITING.contains(&registration.status));
                let name = |registration: &FiledRequest| registration.record.id.to_string();
                cut(records.lines(), &requests, &self.paging, name, |registration| request_view(registration, true))?
            }
            Place::Peer(peer) => {
                let waiting = WAITING.map(|status| status.to_string()).join(",");
                let status = (!self.all).then_some(waiting.as_str());
                peer.ask(async |connection| connection.certificate_requests(status, self.paging.part()).await)?
            }
        };
        show_part(
            output,
            &page,
            &["request", "identity", "status", "approvals", "days", "hosts", "requester"],
            |request| {
                let approvals = format!("{} of {}", request.approvals.len(), request.approvals_needed);
                let requester = request.requester.as_deref().map_or_else(|| "-".into(), clean);
                let days = request.days.map_or_else(|| "-".into(), |days| days.to_string());
                let hosts: Vec<String> = request.hosts.iter().map(|host| clean(host)).collect();
                let (id, identity, status) = (clean(&request.id), clean(&request.identity), clean(&request.status));
                vec![id, identity, status, approvals, days, hosts.join(" "), requester]
            },
        )
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

    /// As the API takes host names.
    fn hosts(&self) -> Vec<String> {
        self.host.iter().map(ToString::to_string).collect()
    }
}

/// Approve a certificate request; the last approval that the policy asks for issues
#[derive(Args, Debug)]
#[command(after_help = "\
Compare the key's SHA-256 with what the requester says, on another way than the request came.

Examples:
  $ chancery ca approve 00112233445566778899aabbccddeeff --days 90 --dir peer-1
  $ chancery ca approve 00112233445566778899aabbccddeeff --why 'called back' --profile profiles/boss")]
pub(super) struct Approve {
    /// Request
    id: RequestId,
    #[command(flatten)]
    terms: TermsArguments,
}

impl Approve {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let decided = match directory.place(global)? {
            Place::Folder(folder) => {
                let (by, terms) = (directory.acting.who(), self.terms.given());
                request_view(&folder.registration().approve(&self.id, &by, terms.as_ref(), clock::now())?, true)
            }
            Place::Peer(peer) => {
                let (hosts, days, why) = (self.terms.hosts(), self.terms.days, directory.acting.why.clone());
                let (id, body) = (self.id.to_string(), ApprovalBody { hosts, days, why });
                peer.ask(async |connection| connection.approve_request(&id, &body).await)?
            }
        };
        show(output, &decided)
    }
}

/// Reject a certificate request for good, or all that callers without a certificate filed
#[derive(Args, Debug)]
#[command(after_help = "\
With --strangers all requests are rejected that wait and were filed from an address, with no certificate: the way out when
somebody has filled their part of the queue. Whoever of them means it files again, with another key, or gets a token.

Examples:
  $ chancery ca reject 00112233445566778899aabbccddeeff --reason 'not known to us' --dir peer-1
  $ chancery ca reject --strangers --reason 'the queue was flooded' --dir peer-1
  $ chancery ca reject 00112233445566778899aabbccddeeff --reason 'not known to us' --profile profiles/boss")]
pub(super) struct Reject {
    /// Request
    #[arg(required_unless_present = "strangers")]
    id: Option<RequestId>,
    /// All requests of callers without a certificate that wait
    #[arg(long, conflicts_with = "id")]
    strangers: bool,
    /// Why; the requester is told
    #[arg(long)]
    reason: String,
}

/// Whether a request waits, and nobody with a certificate filed it.
fn is_of_a_stranger(request: &CertificateRequestView) -> bool {
    let waits = request.status == RequestStatus::Requested.to_string();
    waits && request.requester.as_deref().is_some_and(|by| Requester::of(by) == Requester::Stranger)
}

impl Reject {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let place = directory.place(global)?;
        let Some(id) = self.id else {
            let rejected = self.strangers(directory, &place)?;
            let shown = json!({ "rejected": rejected.len(), "items": rejected });
            return output.show(&shown, |_| format!("rejected {} requests\n", rejected.len()));
        };
        let decided = match place {
            Place::Folder(folder) => {
                let by = directory.acting.who();
                request_view(&folder.registration().reject(&id, &by, &self.reason, clock::now())?, true)
            }
            Place::Peer(peer) => {
                let body = RejectionBody { reason: self.reason, why: directory.acting.why.clone() };
                let id = id.to_string();
                peer.ask(async |connection| connection.reject_request(&id, &body).await)?
            }
        };
        show(output, &decided)
    }

    /// Rejects one after the other all that strangers filed; those that were rejected. One that is decided meanwhile is
    /// none of them.
    fn strangers(&self, directory: &Directory, place: &Place) -> Result<Vec<CertificateRequestView>, Failure> {
        match place {
            Place::Folder(folder) => {
                let (by, now) = (directory.acting.who(), clock::now());
                let known = folder.records()?.filed_requests(now).into_iter();
                let waiting = known.map(|known| (known.record.id, request_view(&known, true)));
                let mut rejected = Vec::new();
                for (id, _) in waiting.filter(|(_, view)| is_of_a_stranger(view)) {
                    match folder.registration().reject(&id, &by, &self.reason, now) {
                        Ok(known) => rejected.push(request_view(&known, true)),
                        Err(RegistrationError::Decided(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(rejected)
            }
            Place::Peer(peer) => peer.ask(async |connection| {
                let (mut waiting, mut after) = (Vec::new(), None::<String>);
                loop {
                    let paging = client::query::Paging { after: after.as_deref(), limit: None };
                    let page = connection.certificate_requests(Some("requested"), paging).await?;
                    waiting.extend(page.items.into_iter().filter(is_of_a_stranger));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                let body = RejectionBody { reason: self.reason.clone(), why: directory.acting.why.clone() };
                let mut rejected = Vec::new();
                for request in waiting {
                    match connection.reject_request(&request.id, &body).await {
                        Ok(known) => rejected.push(known),
                        Err(error) if error.problem().is_some_and(|it| it.name() == "request-decided") => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(rejected)
            }),
        }
    }
}

/// Make a one-time enrolment token for an identity
#[derive(Args, Debug)]
#[command(
    after_help = "\
The token is printed once and approves one request. Hand it to the member on a confidential way. Over HTTPS there are
tokens only where the policy asks for one approval.

Examples:
  $ chancery ca token spiffe://harbour.example/bank/client/alice --hours 24 --dir peer-1
  $ chancery ca token spiffe://harbour.example/bank/client/alice --profile profiles/boss
  $ chancery ca token list --profile profiles/boss
  $ chancery ca token cancel 0011223344556677 --why 'lost' --profile profiles/boss",
    args_conflicts_with_subcommands = true
)]
pub(super) struct Token {
    /// Identity that it enrols
    #[arg(required = true)]
    identity: Option<Identity>,
    /// Hours for which it is good
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=2160))]
    hours: u64,
    #[command(flatten)]
    terms: TermsArguments,
    #[command(subcommand)]
    known: Option<KnownTokens>,
}

/// What is done with tokens that were made.
#[derive(Debug, Subcommand)]
enum KnownTokens {
    /// List the tokens that were made, without their secrets
    #[command(after_help = "Example:\n  $ chancery ca token list --dir peer-1")]
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Make a token good for nothing
    #[command(after_help = "Example:\n  $ chancery ca token cancel 0011223344556677 --dir peer-1")]
    Cancel {
        /// Which: the part before a token's dot, as `ca token list` shows it
        id: TokenId,
    },
}

impl KnownTokens {
    fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let place = directory.place(global)?;
        match self {
            Self::List { paging } => {
                let page = match place {
                    Place::Folder(folder) => {
                        let records = folder.records()?;
                        let tokens = records.token_standings(clock::now());
                        cut(records.lines(), &tokens, &paging, |(token, _)| token.id.to_string(), token_view)?
                    }
                    Place::Peer(peer) => {
                        peer.ask(async |connection| connection.enrolment_tokens(paging.part()).await)?
                    }
                };
                show_part(
                    output,
                    &page,
                    &["token", "status", "identity", "until", "made by", "hosts", "days"],
                    |token| {
                        let by = token.by.as_deref().map_or_else(|| "-".into(), clean);
                        let hosts: Vec<String> = token.hosts.iter().map(|host| clean(host)).collect();
                        let (id, status, identity) = (clean(&token.id), clean(&token.status), clean(&token.identity));
                        vec![id, status, identity, when(token.expires), by, hosts.join(" "), token.days.to_string()]
                    },
                )
            }
            Self::Cancel { id } => {
                let cancelled = match place {
                    Place::Folder(folder) => token_view(&folder.registration().cancel_token(&id, clock::now())?),
                    Place::Peer(peer) => {
                        let (id, body) = (id.to_string(), CancelBody { why: directory.acting.why.clone() });
                        peer.ask(async |connection| connection.cancel_token(&id, &body).await)?
                    }
                };
                output.show(&cancelled, |token| format!("{} {}\n", clean(&token.status), clean(&token.id)))
            }
        }
    }
}

impl Token {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        if let Some(known) = self.known {
            return known.run(directory, global, output);
        }
        let identity = self.identity.ok_or_else(|| Failure::usage("say whom the token enrols"))?;
        let made = match directory.place(global)? {
            Place::Folder(folder) => {
                let terms = self.terms.given().unwrap_or_default();
                let (token, expires) =
                    folder.registration().add_token(&identity, None, terms, self.hours * 3_600_000, clock::now())?;
                TokenView { token: token.reveal().to_string(), identity: identity.to_string(), expires }
            }
            Place::Peer(peer) => {
                let body = TokenBody {
                    identity: identity.to_string(),
                    hours: Some(self.hours),
                    hosts: self.terms.hosts(),
                    days: self.terms.days,
                    why: directory.acting.why.clone(),
                };
                peer.ask(async |connection| connection.enrolment_token(&body).await)?
            }
        };
        output.show(&made, |made| format!("{}\n", clean(&made.token)))
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
            folder.registration().set_policy(EnrolmentPolicy { approvals }, clock::now())?;
        }
        output.show(&folder.records()?.policy(), |policy| format!("a request needs {} approvals\n", policy.approvals))
    }
}
