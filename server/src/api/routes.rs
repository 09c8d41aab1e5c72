//! The table of routes. What is served and what the OpenAPI document says are both made from it, so that neither can
//! have what the other has not.

use super::route::{Answer, Method, Parameter, Route};
use super::{
    accounts, apps, assets, authorities, blocks, channels, contracts, est, events, issued, logs, openapi, participants,
    registration, state, status, submissions, transactions,
};
use crate::problem::ApiError;
use actix_web::{
    HttpResponse,
    web::{self, Bytes},
};
use serde_json::Value;
use std::sync::LazyLock;

const JSON: &str = "application/json";
const AFTER: Parameter = optional("after", "string", "what the page before said in `next`");
const LIMIT: Parameter =
    optional("limit", "integer", "items of the page, 1 to 1000; a page of large items ends sooner, by 1 MiB");
const PAGE: &[Parameter] = &[AFTER, LIMIT];

const fn optional(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { name, kind, required: false, description }
}

const fn required(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { required: true, ..optional(name, kind, description) }
}

/// The OpenAPI document of all routes.
pub fn document() -> Value {
    openapi::document(ROUTES)
}

async fn show_document() -> Result<HttpResponse, ApiError> {
    // Made once: whoever asks has it without work.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
    Ok(HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone()))
}

macro_rules! routes {
    ($( $method:ident $path:literal $operation:literal, $summary:literal, needs $needs:literal,
        query $parameters:expr, body $body:expr, answers [$( $status:literal $content:expr ),+], $handler:expr; )*) => {
        /// Every route.
        pub const ROUTES: &[Route] = &[$( Route {
            method: Method::$method,
            path: $path,
            operation: $operation,
            summary: $summary,
            needs: $needs,
            parameters: $parameters,
            body: $body,
            answers: &[$( Answer { status: $status, content: $content } ),+],
            handler: || web::route().to($handler),
        } ),*];
    };
}

routes! {
    Post "/v1/channels/{channel}/transactions" "submit", "Posts one transaction, or a batch",
        needs "write on a class, or admin",
        query &[optional("wait", "string", "`committed` (the default) or `accepted`")],
        body &[(JSON, "Envelope"), ("application/vnd.chancery.batch", "")],
        answers [
            200 &[(JSON, "Outcomes"), ("application/vnd.chancery.batch", "")],
            202 &[(JSON, "Outcome")]
        ], transactions::submit;
    Post "/v1/channels/{channel}/submissions" "submissions",
        "Posts transactions one after the other on one long request, and answers each once it is committed",
        needs "write on a class, or admin",
        query &[],
        body &[("application/x-ndjson", ""), ("application/vnd.chancery.submissions", "")],
        answers [
            200 &[("application/x-ndjson", ""), ("application/vnd.chancery.submissions", "")]
        ], submissions::open;
    Get "/v1/openapi.json" "openapi", "This document", needs "nothing",
        query &[], body &[], answers [200 &[(JSON, "Record")]], show_document;
    Get "/v1/schemas/transaction" "transactionSchema", "The JSON Schema of transactions and of all actions",
        needs "nothing", query &[], body &[], answers [200 &[("application/schema+json", "Record")]],
        openapi::transaction_schema;
    Get "/v1/status" "status", "The peer, and the channels that the caller may see", needs "nothing",
        query &[], body &[], answers [200 &[(JSON, "PeerStatus")]], status::show;
    Get "/v1/channels" "channels", "Channels that the caller may see, by name", needs "nothing",
        query PAGE, body &[], answers [200 &[(JSON, "ChannelPage")]], channels::list;
    Post "/v1/channels" "createChannel", "Creates a channel on this peer",
        needs "an administrator's certificate of the peer's organization",
        query &[], body &[(JSON, "ChannelSpec")], answers [201 &[(JSON, "Channel")]], channels::create;
    Get "/v1/channels/{channel}" "channel", "A channel with its configuration", needs "any right",
        query &[], body &[], answers [200 &[(JSON, "Channel")]], channels::show;
    Get "/v1/channels/{channel}/trust" "trust", "The way from genesis to the configuration in force",
        needs "any right", query &[], body &[], answers [200 &[(JSON, "Trust")]], channels::trust;
    Get "/v1/channels/{channel}/transactions/{id}" "transaction", "What became of a transaction",
        needs "any right; events of readable classes are shown",
        query &[], body &[], answers [200 &[(JSON, "Outcome")]], transactions::show;
    Get "/v1/channels/{channel}/transactions/{id}/proof" "proof", "The offline proof of a committed transaction",
        needs "any right; the transaction itself is in it for readers of all classes",
        query &[optional("later", "integer", "height of a later header to tie the proof to")],
        body &[], answers [200 &[(JSON, "Proof")]], transactions::proof;
    Get "/v1/channels/{channel}/state/{key}/proof" "stateProof",
        "The offline proof of what a key has in the state, or that it is absent",
        needs "read on the class of the key; read on logs or admin, too, for contracts; admin or audit, too, for logs; all of it for what the channel keeps of itself",
        query &[], body &[], answers [200 &[(JSON, "StateProof")]], state::proof;
    Get "/v1/channels/{channel}/blocks" "blocks", "Blocks, ascending", needs "read on all classes",
        query &[
            optional("from", "integer", "the first height"),
            optional("limit", "integer", "blocks of the page, 1 to 100; a page ends by 1 MiB, too, but has one block")
        ],
        body &[], answers [200 &[(JSON, "BlockPage"), ("application/vnd.chancery.blocks", "")]], blocks::list;
    Get "/v1/channels/{channel}/blocks/{height}" "block", "A block", needs "read on all classes; admin or audit, too, in binary",
        query &[], body &[], answers [200 &[(JSON, "Block"), ("application/vnd.chancery.block", "")]], blocks::show;
    Get "/v1/channels/{channel}/events" "events",
        "Events as they are committed, as Server-Sent Events holding CloudEvents; `Last-Event-ID` resumes",
        needs "read on the classes asked for",
        query &[
            optional("from", "string", "a height, or the cursor `height.index.event.TAG` to go on behind"),
            optional("class", "string", "classes, separated by commas"),
            optional("topic", "string", "a topic; with a trailing `*`, all that begin so"),
            optional("proof", "boolean", "whether each event comes with its evidence")
        ],
        body &[], answers [200 &[("text/event-stream", "Events")]], events::subscribe;
    Get "/v1/channels/{channel}/assets" "assets", "Assets by name", needs "read:assets",
        query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], assets::list;
    Get "/v1/channels/{channel}/assets/{asset}" "asset", "An asset", needs "read:assets",
        query &[], body &[], answers [200 &[(JSON, "Record")]], assets::show;
    Get "/v1/channels/{channel}/assets/{asset}/items" "items", "Items of a unique asset by name, the burnt ones too",
        needs "read:assets", query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], assets::items;
    Get "/v1/channels/{channel}/assets/{asset}/items/{item}" "item", "An item of a unique asset",
        needs "read:assets", query &[], body &[], answers [200 &[(JSON, "Record")]], assets::item;
    Get "/v1/channels/{channel}/accounts/{address}" "account", "What an account owns", needs "read:assets",
        query &[], body &[], answers [200 &[(JSON, "Account")]], accounts::show;
    Get "/v1/channels/{channel}/accounts/{address}/balances" "accountBalances", "Balances of an account by asset",
        needs "read:assets", query PAGE, body &[], answers [200 &[(JSON, "BalancePage")]], accounts::balances;
    Get "/v1/channels/{channel}/accounts/{address}/items" "accountItems", "Items of an account by asset and name",
        needs "read:assets", query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], accounts::items;
    Get "/v1/channels/{channel}/accounts/{address}/allowances/{spender}/{asset}" "allowance",
        "What a spender may still move", needs "read:assets",
        query &[], body &[], answers [200 &[(JSON, "Record")]], accounts::allowance;
    Get "/v1/channels/{channel}/contracts" "contracts", "Contracts by name", needs "read:contracts",
        query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], contracts::list;
    Get "/v1/channels/{channel}/contracts/{contract}" "contract", "A contract", needs "read:contracts",
        query &[], body &[], answers [200 &[(JSON, "Record")]], contracts::show;
    Get "/v1/channels/{channel}/contracts/{contract}/instances" "instancesOf", "Instances of a contract by name",
        needs "read:contracts",
        query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], contracts::instances_of;
    Get "/v1/channels/{channel}/instances" "instances", "Instances of contracts by name", needs "read:contracts",
        query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], contracts::instances;
    Get "/v1/channels/{channel}/instances/{instance}" "instance", "An instance", needs "read:contracts",
        query &[], body &[], answers [200 &[(JSON, "Record")]], contracts::instance;
    Get "/v1/channels/{channel}/instances/{instance}/query" "queryInstance", "Asks an instance",
        needs "read:contracts",
        query &[
            required("method", "string", "what is asked"),
            optional("arguments", "string", "a JSON document; `{}` if absent")
        ],
        body &[], answers [200 &[(JSON, "Record")]], contracts::query;
    Get "/v1/channels/{channel}/apps" "apps", "Applications by name", needs "read:apps",
        query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], apps::list;
    Get "/v1/channels/{channel}/apps/{app}" "app", "An application", needs "read:apps",
        query &[], body &[], answers [200 &[(JSON, "Record")]], apps::show;
    Get "/v1/channels/{channel}/apps/{app}/versions" "appVersions", "Versions of an application",
        needs "read:apps", query PAGE, body &[], answers [200 &[(JSON, "RecordPage")]], apps::versions;
    Get "/v1/channels/{channel}/apps/{app}/versions/{version}" "appVersion", "A version of an application",
        needs "read:apps", query &[], body &[], answers [200 &[(JSON, "Record")]], apps::version;
    Get "/v1/channels/{channel}/logs" "logs", "Log records by topic and order", needs "read:logs",
        query &[optional("topic", "string", "one topic only"), AFTER, LIMIT],
        body &[], answers [200 &[(JSON, "RecordPage")]], logs::list;
    Get "/v1/channels/{channel}/participants/{address}" "participant", "Who may sign under an address",
        needs "read:logs or admin", query &[], body &[], answers [200 &[(JSON, "Participant")]], participants::show;
    Get "/v1/channels/{channel}/participants" "participants",
        "Who may or might sign, by identity: admitted, revoked and expired",
        needs "read:logs or admin",
        query &[optional("organization", "string", "one organization only"), AFTER, LIMIT],
        body &[], answers [200 &[(JSON, "ParticipantPage")]], participants::list;
    Get "/v1/channels/{channel}/proposals/{id}" "proposal", "A proposed configuration change or recovery",
        needs "read:logs or admin", query &[], body &[], answers [200 &[(JSON, "Proposal")]], participants::proposal;
    Get "/v1/channels/{channel}/proposals" "proposals",
        "Open proposals in the order in which they were made, with their approvals",
        needs "read:logs or admin",
        query PAGE, body &[], answers [200 &[(JSON, "ProposalPage")]], participants::proposals;
    Get "/v1/ca/certificates" "caCertificates", "CA certificates, roots first", needs "nothing",
        query &[], body &[],
        answers [200 &[("application/pem-certificate-chain", ""), (JSON, "Authorities")]], authorities::certificates;
    Get "/v1/ca/crl/{organization}" "crl", "The CRL of an organization's CA, or of the consortium's `root`; of another root beside it `root-<key>`",
        needs "nothing", query &[], body &[],
        answers [200 &[("application/pkix-crl", ""), ("application/x-pem-file", "")]], authorities::crl;
    Get "/v1/ca/crl" "crls", "The CRLs of all CAs", needs "nothing",
        query &[optional("unless", "string", "nothing is answered if these are the CRLs that the caller has: hexadecimal \
            SHA-256 over the sorted SHA-256 of each in DER")],
        body &[], answers [200 &[("application/x-pem-file", "")], 204 &[]], authorities::crls;
    Post "/v1/ca/crl" "offerCrl", "Brings a CRL; it is verified, and takes effect if it is newer",
        needs "a certificate", query &[], body &[("application/pkix-crl", ""), ("application/x-pem-file", "")],
        answers [200 &[(JSON, "CrlTaken")]], authorities::offer;
    Post "/v1/ca/answers" "bringAnswer",
        "Brings a CA's answer (OCSP) that a certificate is revoked: it is verified, and ends the participation on every channel",
        needs "a certificate", query &[], body &[(JSON, "RevocationAnswer")],
        answers [200 &[(JSON, "AnswerTaken")]], authorities::bring_answer;
    Get "/v1/ca/requests" "certificateRequests", "Certificate requests for the caller's organization, oldest first",
        needs "an administrator's certificate of an organization whose CA is here",
        query &[
            optional("status", "string", "`requested`, `approved`, `rejected`, `issued`, `lapsed`, or several of them \
                separated by commas"),
            AFTER, LIMIT
        ],
        body &[], answers [200 &[(JSON, "CertificateRequestPage")]], registration::list;
    Post "/v1/ca/requests" "requestCertificate", "Files a certificate request (PKCS#10)",
        needs "nothing; with an enrolment token the certificate is issued at once",
        query &[], body &[(JSON, "CertificateRequestBody"), ("application/pkcs10", "")],
        answers [201 &[(JSON, "CertificateRequest")], 202 &[(JSON, "CertificateRequest")]], registration::file;
    Get "/v1/ca/requests/{id}" "certificateRequest", "What became of a certificate request",
        needs "the request's id, which only its sender and administrators know",
        query &[], body &[], answers [200 &[(JSON, "CertificateRequest")]], registration::show;
    Post "/v1/ca/requests/{id}/approve" "approveCertificateRequest", "Approves; the last approval issues",
        needs "an administrator's certificate of the identity's organization",
        query &[], body &[(JSON, "ApprovalBody")],
        answers [200 &[(JSON, "CertificateRequest")]], registration::approve;
    Post "/v1/ca/requests/{id}/reject" "rejectCertificateRequest", "Rejects for good",
        needs "an administrator's certificate of the identity's organization",
        query &[], body &[(JSON, "RejectionBody")],
        answers [200 &[(JSON, "CertificateRequest")]], registration::reject;
    Get "/v1/ca/issued" "issuedCertificates",
        "Certificates of the caller's organization, in the order in which they were issued",
        needs "an administrator's certificate of an organization whose CA is here",
        query &[
            optional("identity", "string", "of this identity only"),
            optional("status", "string", "`valid`, `expired`, `revoked` or `intended`"),
            optional("expires_within_days", "integer", "valid ones only that expire within so many days"),
            AFTER, LIMIT
        ],
        body &[], answers [200 &[(JSON, "IssuedPage")]], issued::list;
    Get "/v1/ca/issued/{serial}" "issuedCertificate", "A certificate of the caller's organization, with its path",
        needs "an administrator's certificate of the identity's organization",
        query &[], body &[], answers [200 &[(JSON, "Issued")]], issued::show;
    Post "/v1/ca/revocations" "revokeCertificates", "Revokes a certificate, or every one of an identity; in force on \
        this peer when it is answered",
        needs "an administrator's certificate of the identity's organization",
        query &[], body &[(JSON, "RevocationBody")], answers [200 &[(JSON, "Revoked")]], issued::revoke;
    Post "/v1/ca/tokens" "createEnrolmentToken", "Makes a token that approves one certificate request",
        needs "an administrator's certificate of the identity's organization, and a policy of one approval",
        query &[], body &[(JSON, "TokenBody")], answers [201 &[(JSON, "EnrolmentToken")]], issued::token;
    Get "/v1/ca/tokens" "enrolmentTokens", "Enrolment tokens of the caller's organization, without their secrets",
        needs "an administrator's certificate of an organization whose CA is here",
        query &[AFTER, LIMIT], body &[], answers [200 &[(JSON, "TokenPage")]], issued::tokens;
    Post "/v1/ca/tokens/{id}/cancel" "cancelEnrolmentToken", "Makes an enrolment token good for nothing",
        needs "an administrator's certificate of the identity's organization",
        query &[], body &[(JSON, "CancelBody")], answers [200 &[(JSON, "Token")]], issued::cancel_token;
    Post "/v1/ca/renew" "renewCertificate", "Issues a successor of the caller's certificate",
        needs "the certificate, or its key's signature if it has expired",
        query &[], body &[(JSON, "RenewalBody")], answers [201 &[(JSON, "IssuedCertificate")]], registration::renew;
    Get "/.well-known/est/cacerts" "estCaCertificates", "CA certificates (RFC 7030 §4.1)", needs "nothing",
        query &[], body &[], answers [200 &[("application/pkcs7-mime", "")]], est::certificates;
    Post "/.well-known/est/simpleenroll" "estEnrol", "Enrols (RFC 7030 §4.2.1)",
        needs "nothing; with identity and enrolment token as HTTP Basic the certificate is issued at once",
        query &[], body &[("application/pkcs10", "")],
        answers [200 &[("application/pkcs7-mime", "")], 202 &[]], est::enrol;
    Post "/.well-known/est/simplereenroll" "estReenrol", "Renews (RFC 7030 §4.2.2)", needs "the current certificate",
        query &[], body &[("application/pkcs10", "")], answers [200 &[("application/pkcs7-mime", "")]], est::reenrol;
    Post "/v1/ca/ocsp" "ocsp", "Whether a certificate is revoked (RFC 6960); the answer was signed beforehand",
        needs "nothing", query &[], body &[("application/ocsp-request", "")],
        answers [200 &[("application/ocsp-response", "")]], authorities::ocsp;
    Get "/v1/ca/ocsp/{request}" "ocspByGet", "The same; the request is base64, percent-encoded",
        needs "nothing", query &[], body &[],
        answers [200 &[("application/ocsp-response", "")]], authorities::ocsp_by_get;
}
