//! Each kind of record in its largest form that the limits allow: it is written, is read back as it was, is proven by its
//! block, and is shown within a page. The table is closed: a new family of keys does not compile without a row here, and
//! a new record type without one fails the test.
#![allow(clippy::unwrap_used)]

mod instances;

use super::apps::{AppRecord, AppVersion};
use super::assets::{
    Allowance, AssetRecord, Balance, Inherited, ItemRecord, JointAccount, LockEntry, Recovery, Successor,
};
use super::audit::AuditHead;
use super::channel::{Administrators, Approval, KnownAuthority, Membership, Pace, Proposal, ProposalState, Subject};
use super::contracts::builtin::Parties;
use super::contracts::builtin::lending::{Loan, LoanName};
use super::contracts::timers::Timer;
use super::contracts::{ContractRecord, ContractVersion, InstanceRecord};
use super::logs::LogRecord;
use super::service::{ServiceClock, Stop};
use super::test_support::{Ledger, address, open_config, signer};
use super::{BlockInput, ConfigRecord, Context, InForce};
use crate::action::assets::{ItemName, Kind};
use crate::formats::block::write_leaves;
use crate::formats::config::{ChannelConfig, ConfigChange, Fees, OrderingPeer, Organization};
use crate::formats::detail::{Detail, Part};
use crate::formats::rights::{Grant, Grantee, Right};
use crate::keys::Address;
use crate::limits::*;
use crate::merkle;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::participant::{
    CertificateHolder, CertificateKey, CertificateName, KnownCertificate, KnownIdentity, NamedCertificate, Participant,
};
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView as _, Value};
use instances::{kept_by_instances, loan};
use serde::Serialize;
use std::collections::BTreeSet;

/// Bytes of JSON after which a page of the API ends: the largest record is less, so that one fits.
const PAGE_BYTES: usize = 1024 * 1024;
/// Octets of a serial number: RFC 5280 §4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

/// A record in its largest form.
struct Row {
    /// The type.
    name: &'static str,
    key: Vec<u8>,
    value: Value,
    /// Reads a value as the type and writes it again.
    again: fn(&[u8]) -> Result<Value, ReadError>,
    /// Bytes of its JSON; of what is never shown nothing.
    shown: usize,
}

fn again<R: Record>(value: &[u8]) -> Result<Value, ReadError> {
    Ok(record::to_value(&record::from_value::<R>(value)?))
}

/// What is part of no answer as it is.
fn hidden<R: Record>(key: Vec<u8>, record: &R) -> Row {
    let name = std::any::type_name::<R>().rsplit("::").next().unwrap();
    Row { name, key, value: record::to_value(record), again: again::<R>, shown: 0 }
}

fn row<R: Record + Serialize>(key: Vec<u8>, record: &R) -> Row {
    Row { shown: serde_json::to_vec(record).unwrap().len(), ..hidden(key, record) }
}

/// An entry of a listing, which is one byte.
fn listing(key: Vec<u8>) -> Row {
    Row { name: "", key, value: [1u8].as_slice().into(), again: |value| Ok(value.into()), shown: 0 }
}

/// A name of the most bytes.
fn name(number: usize) -> String {
    format!("{number:0>width$}", width = NAME_BYTES_MAX)
}

/// Text whose JSON is six times as long.
fn text(bytes: usize) -> String {
    "\u{1}".repeat(bytes)
}

fn identity(number: usize) -> Identity {
    Identity::new(&"c".repeat(255), &name(number), Role::Auditor, &name(number)).unwrap()
}

const FAR: Time = Time::from_millis(253_402_300_799_999);
const HASH: Hash = Hash([255; 32]);

fn somebody() -> Address {
    address(1)
}

fn serial() -> HexBytes {
    HexBytes(vec![255; SERIAL_BYTES_MAX])
}

fn item() -> ItemName {
    ItemName { asset: name(1), item: name(2) }
}

/// A configuration of exactly the bytes that one may have.
fn config() -> ChannelConfig {
    let key = signer(200).public();
    let member =
        |number: usize| Organization { name: name(number), title: "t".repeat(TITLE_BYTES_MAX), authorities: vec![] };
    let mut config = ChannelConfig {
        name: name(0).replace('0', "x"),
        consortium: "c".repeat(255),
        peers: vec![OrderingPeer {
            identity: Identity::new(&"c".repeat(255), &name(0), Role::Peer, &name(0)).unwrap(),
            key,
            weight: 1,
        }],
        organizations: (0..ORGANIZATIONS_MAX).map(member).collect(),
        grants: (0..ORGANIZATIONS_MAX)
            .map(|number| Grant {
                to: Grantee::Identity(identity(number)),
                rights: [Right::Admin].into_iter().collect(),
            })
            .collect(),
        fees: Fees {
            asset: Some(name(0)),
            issuer: Some(somebody()),
            base: Amount::MAX,
            per_byte: Amount::MAX,
            collector: Some(somebody()),
        },
        ..open_config()
    };
    for member in 0.. {
        let left = CONFIG_BYTES_MAX - codec::encode(&config).len();
        let take = left.saturating_sub(8).min(CERTIFICATE_BYTES_MAX);
        if take == 0 {
            break;
        }
        config.organizations[member].authorities.push(HexBytes(vec![255; take]));
    }
    config
}

/// More than a payload holds, approved by every member.
fn proposal() -> Proposal {
    let der = || HexBytes(vec![255; CERTIFICATE_BYTES_MAX]);
    let member = |number| Organization {
        name: name(number),
        title: text(TITLE_BYTES_MAX),
        authorities: vec![der(); AUTHORITIES_MAX],
    };
    let mut changes: Vec<ConfigChange> = (0..4).map(|number| ConfigChange::PutOrganization(member(number))).collect();
    changes.resize(64, ConfigChange::RemoveOrganization { name: name(0) });
    assert!(codec::encode(&changes).len() > PAYLOAD_BYTES_MAX);
    let approval = |number| Approval { by: identity(number), address: somebody(), approved_height: u64::MAX };
    Proposal {
        subject: Subject::Configuration(changes),
        reason: text(MEMO_BYTES_MAX),
        by: identity(0),
        proposed_height: u64::MAX,
        proposed_at: FAR,
        approvals: (0..ORGANIZATIONS_MAX).map(approval).collect(),
        state: ProposalState::Withdrawn,
        ended_height: Some(u64::MAX),
    }
}

fn recovery() -> Proposal {
    let subject = Subject::Recovery(Recovery { from: somebody(), to: somebody(), asset: Some(name(0)) });
    Proposal { subject, ..proposal() }
}

fn participant() -> Participant {
    Participant {
        identity: identity(0),
        serial: serial(),
        issuer: HASH,
        key: HASH,
        authorities: vec![HASH; CERTIFICATE_PATH_MAX],
        above: vec![CertificateName { issuer: HASH, serial: serial() }; CERTIFICATE_PATH_MAX],
        not_after: FAR,
        admitted_height: u64::MAX,
        revoked_height: Some(u64::MAX),
        revoked_before: Some(u64::MAX),
    }
}

fn asset() -> AssetRecord {
    AssetRecord {
        title: text(TITLE_BYTES_MAX),
        kind: Kind::Fungible { decimals: DECIMALS_MAX, supply_cap: Some(Amount::MAX) },
        mint_authority: somebody(),
        burn_authority: Some(somebody()),
        control_authority: somebody(),
        metadata: Some(HASH),
        supply: Amount::MAX,
        paused: true,
        defined_by: somebody(),
        defined_height: u64::MAX,
    }
}

fn contracts() -> [Row; 4] {
    let (engine, code) = (name(1), name(2));
    let record = ContractRecord {
        name: name(0),
        owner: somebody(),
        engine: engine.clone(),
        code: code.clone(),
        version: u32::MAX,
        retired: true,
        height: u64::MAX,
    };
    let version = ContractVersion { contract: name(0), version: u32::MAX, engine, code, height: u64::MAX };
    let instance = InstanceRecord {
        instance: name(0),
        contract: name(1),
        version: u32::MAX,
        created_by: somebody(),
        account: somebody(),
        height: u64::MAX,
    };
    [
        row(keyspace::contract(&name(0)), &record),
        row(keyspace::contract_version(&name(0), u32::MAX), &version),
        row(keyspace::instance(&name(0)), &instance),
        listing(keyspace::contract_instance(&name(0), &name(1))),
    ]
}

fn applications() -> [Row; 2] {
    let app = AppRecord {
        owner: somebody(),
        version: name(0),
        settings: text(APP_SETTINGS_BYTES_MAX),
        settings_height: u64::MAX,
        published_height: u64::MAX,
        retired_height: Some(u64::MAX),
    };
    let version = AppVersion {
        title: text(TITLE_BYTES_MAX),
        bundle: HASH,
        contracts: (0..APP_CONTRACTS_MAX).map(name).collect(),
        settings: text(APP_SETTINGS_BYTES_MAX),
        height: u64::MAX,
        time: FAR,
    };
    [row(keyspace::app(&name(0)), &app), row(keyspace::app_version(&name(0), &name(1)), &version)]
}

fn log() -> Row {
    let topic = format!("{}.{}", &name(0)[1..], name(0));
    assert_eq!(topic.len(), TOPIC_BYTES_MAX);
    let record = LogRecord {
        topic: topic.clone(),
        author: somebody(),
        time: FAR,
        transaction: HASH,
        digest: Some(HASH),
        body: text(LOG_BODY_BYTES_MAX),
    };
    row(keyspace::log(&topic, u64::MAX, u32::MAX, u32::MAX), &record)
}

/// Rows of each family. A family that is not listed does not compile.
macro_rules! table {
    ($($family:ident: $rows:expr;)*) => {{
        let listed = |family: Family| match family { $(Family::$family => ()),* };
        let mut table: Vec<Row> = Vec::new();
        $(
            listed(Family::$family);
            let rows: Vec<Row> = $rows.into();
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| row.key[0] == Family::$family as u8), stringify!($family));
            table.extend(rows);
        )*
        table
    }};
}

fn table() -> Vec<Row> {
    let (who, text) = (somebody(), identity(0).to_string());
    let record = ConfigRecord { config: config(), height: u64::MAX, orderers_since: u64::MAX };
    let [contract, version, instance, instance_of] = contracts();
    let [app, app_version] = applications();
    let timer = Timer { due: FAR, instance: name(0), timer: "t".repeat(128) };
    let units = Balance {
        owned: Amount::MAX,
        frozen: Amount::MAX,
        locks: vec![LockEntry { amount: Amount::MAX, until: FAR }; LOCKS_MAX],
    };
    let deed = ItemRecord {
        owner: who,
        metadata: HASH,
        frozen: true,
        approved: Some(who),
        approved_height: Some(u64::MAX),
        minted_height: u64::MAX,
        burnt_height: Some(u64::MAX),
    };
    let keys = (0..16).map(|number| signer(number).public()).collect::<Vec<_>>();
    assert_eq!(keys.len(), JOINT_KEYS_MAX);
    let holder = Some(CertificateHolder { identity: identity(0), key: HASH });
    let known = KnownCertificate { holder, revoked_height: Some(u64::MAX), compromised: true };
    let named = NamedCertificate {
        issuers: vec![HASH; ADDRESSES_MAX],
        revoked_height: Some(u64::MAX),
        admitted_height: Some(u64::MAX),
    };
    let identity = KnownIdentity {
        addresses: vec![Address([255; 20]); ADDRESSES_MAX],
        ended_height: Some(u64::MAX),
        reinstated: true,
    };
    let certified = CertificateKey { addresses: vec![who; ADDRESSES_MAX], compromised_height: Some(u64::MAX) };
    let stop = Stop { since: Some(u64::MAX), total: u64::MAX, ended: Some(u64::MAX) };
    let topic = "t".repeat(TOPIC_BYTES_MAX);
    table! {
        Config: [hidden(keyspace::config(), &InForce { height: u64::MAX })];
        Proposal: [row(keyspace::proposal(&HASH), &proposal()), row(keyspace::proposal(&HASH), &recovery())];
        Participant: [row(keyspace::participant(&who), &participant())];
        Certificate: [row(keyspace::certificate(&HASH, &serial().0), &known)];
        IdentityAddress: [listing(keyspace::identity_address(&text, &who))];
        ConfigAt: [Row {
            shown: serde_json::to_vec(&record.config).unwrap().len(),
            ..hidden(keyspace::config_at(u64::MAX), &record)
        }];
        OpenProposal: [listing(keyspace::open_proposal(u64::MAX, &HASH))];
        Administrators: [hidden(
            keyspace::administrators(&name(0)),
            &Administrators { known: vec![who; ADMINISTRATORS_KNOWN_MAX] },
        )];
        NamedCertificate: [row(keyspace::named_certificate(&text, &serial().0), &named)];
        CertificateKey: [row(keyspace::certificate_key(&HASH, &HASH), &certified)];
        Membership: [row(keyspace::membership(&name(0)), &Membership { since: u64::MAX })];
        Pace: [hidden(keyspace::pace(5, &name(0)), &Pace { full: FAR })];
        Identity: [row(keyspace::identity(&text), &identity)];
        AdmittedBy: [listing(keyspace::admitted_by(&who, &HASH))];
        OwnProposal: [listing(keyspace::own_proposal(&name(0), u64::MAX, &HASH))];
        Asset: [row(keyspace::asset(&name(0)), &asset())];
        Balance: [row(keyspace::balance(&who, &name(0)), &units)];
        Allowance: [row(
            keyspace::allowance(&who, &who, &name(0)),
            &Allowance { amount: Amount::MAX, height: u64::MAX },
        )];
        Item: [row(keyspace::item(&name(0), &name(1)), &deed)];
        OwnedItem: [listing(keyspace::owned_item(&who, &name(0), &name(1)))];
        JointAccount: [row(keyspace::joint_account(&who), &JointAccount { keys, threshold: 16 })];
        Successor: [row(keyspace::successor(&who), &Successor { to: who, height: u64::MAX })];
        Inherited: [row(keyspace::inherited(&who), &Inherited { times: SUCCESSORS_MAX })];
        Authority: [hidden(
            keyspace::authority(&HASH),
            &KnownAuthority { came_height: Some(u64::MAX), struck_height: Some(u64::MAX) },
        )];
        Contract: [contract];
        ContractVersion: [version];
        Instance: [instance];
        InstanceState: kept_by_instances();
        Timer: [row(keyspace::timer(FAR, &timer.instance, &timer.timer), &timer)];
        TimerTime: [row(keyspace::timer_time(&timer.instance, &timer.timer), &timer)];
        ServiceClock: [row(
            keyspace::service_clock(),
            &ServiceClock { last: Some(FAR), lost: u64::MAX, unearned: u64::MAX },
        )];
        Stop: [row(keyspace::stop(&name(0), 1, name(1).as_bytes()), &stop)];
        ContractInstance: [instance_of];
        App: [app];
        AppVersion: [app_version];
        Log: [log()];
        AuditHead: [row(
            keyspace::audit_head(&topic, &HASH),
            &AuditHead { digest: HASH, height: u64::MAX, author: who },
        )];
    }
}

#[test]
fn each_record_in_its_largest_form_is_written_read_back_proven_and_shown_within_a_page() {
    let ledger = Ledger::new();
    let config = open_config();
    let input = BlockInput {
        channel: ledger.channel,
        height: 1,
        time: ledger.time,
        certificates: ledger.certificates,
        transactions: &[],
    };
    let own = keyspace::instance_state(&name(0), &[]).len();
    for row in table() {
        let Row { name, key, value, again, shown } = row;
        // By itself, in one transaction, within the budget.
        let mut context = Context::new(&ledger.state, &input, &config);
        context.put_value(key.clone(), value.clone());
        assert_eq!(context.check_budget(), Ok(()), "{name}");
        context.keep();
        let mut after = ledger.state.clone();
        let mut writes = context.into_writes();
        after.apply(&writes);
        let read = after.get(&key).unwrap().unwrap();
        assert_eq!(again(&read), Ok(value.clone()), "{name}: {} bytes", value.len());
        // Of the block that wrote it, among others.
        writes.extend(super::genesis_writes(&config));
        let place = writes.keys().position(|other| *other == key).unwrap();
        let leaves = write_leaves(&writes);
        let (root, size, leaf) = (merkle::root(&leaves), leaves.len() as u64, leaves[place]);
        let path = merkle::Levels::new(leaves).path(u32::try_from(place).unwrap());
        assert!(merkle::verify_inclusion(&root, size, place as u64, &leaf, &path), "{name}");
        assert!(shown <= PAGE_BYTES, "{name}: {shown} bytes of JSON");
        if key[0] == Family::InstanceState as u8 {
            assert!(
                key.len() - own <= CALL_KEY_BYTES_MAX && value.len() <= CALL_DATA_BYTES_MAX,
                "{name}: {} bytes",
                value.len()
            );
        }
    }
}

/// A hundred loans that name their lenders were an answer of two megabytes.
#[test]
fn a_query_of_the_largest_records_of_an_instance_is_answered_within_a_page() {
    let mut ledger = Ledger::new();
    for Row { key, value, name: kind, .. } in table() {
        if key[0] == Family::InstanceState as u8 || kind == "InstanceRecord" {
            ledger.state.apply(&[(key, Some(value))].into());
        }
    }
    let lenders = || Parties::Organizations((0..ORGANIZATIONS_MAX).map(name).collect());
    for number in 0..100 {
        let (loan, key) = (Loan { loan: name(number), ..loan(lenders()) }, name(number));
        ledger.put(keyspace::instance_state(&name(0), &[b"loan/", key.as_bytes()].concat()), &loan);
        let listed = [b"of/".as_slice(), &somebody().0, key.as_bytes()].concat();
        ledger.put(keyspace::instance_state(&name(0), &listed), &LoanName(key));
    }
    let (borrower, loan) = (format!(r#"{{"borrower":"{}"}}"#, somebody()), format!(r#"{{"loan":"{}"}}"#, name(0)));
    let questions = [
        ("auction", "state", "{}"),
        ("auction", "bids", "{}"),
        ("auction", "owed", "{}"),
        ("lending", "desk", "{}"),
        ("lending", "loan", &loan),
        ("lending", "quotes", &loan),
        ("lending", "loans", &borrower),
        ("lending", "credit", &borrower),
        ("lending", "owed", "{}"),
    ];
    for (code, method, arguments) in questions {
        let version = ContractVersion {
            contract: name(1),
            version: u32::MAX,
            engine: "builtin".into(),
            code: code.into(),
            height: 0,
        };
        ledger.put(keyspace::contract_version(&name(1), u32::MAX), &version);
        let answer = super::contracts::query(&ledger.state, &name(0), method, arguments).unwrap();
        assert!(answer.len() > 100 && answer.len() < PAGE_BYTES / 2, "{method}: {} bytes", answer.len());
        let told: serde_json::Value = crate::primitives::json::from_str(&format!(r#"{{"told":{answer}}}"#)).unwrap();
        if method == "loans" {
            assert!((2..100).contains(&told["told"].as_array().unwrap().len()));
        }
    }
}

/// The largest configuration is one that a channel can have, and a byte more is not.
#[test]
fn a_configuration_of_the_most_bytes_is_valid_and_one_of_a_byte_more_is_not() {
    let mut largest = config();
    assert_eq!(codec::encode(&largest).len(), CONFIG_BYTES_MAX);
    assert_eq!(largest.check(1), Ok(()));
    let last = largest.organizations.iter_mut().rev().find_map(|member| member.authorities.last_mut()).unwrap();
    assert!(last.0.len() < CERTIFICATE_BYTES_MAX);
    last.0.push(255);
    let too_large = Detail::AtMost { part: Part::Configuration, most: 192 * 1024 };
    assert_eq!(largest.check(1).unwrap_err().0, too_large);
}

/// What would not be read back is not written, whatever the record.
#[test]
fn a_record_or_key_of_a_byte_more_than_a_reader_takes_is_not_written() {
    let ledger = Ledger::new();
    let config = open_config();
    let input = BlockInput {
        channel: ledger.channel,
        height: 1,
        time: ledger.time,
        certificates: ledger.certificates,
        transactions: &[],
    };
    for (key, value, good) in [
        (STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, true),
        (STATE_KEY_BYTES_MAX + 1, 1, false),
        (1, STATE_VALUE_BYTES_MAX + 1, false),
    ] {
        let mut context = Context::new(&ledger.state, &input, &config);
        context.put_value(vec![Family::Log as u8; key], vec![1; value].into());
        assert_eq!(context.check_budget().is_ok(), good, "{key} {value}");
        context.keep();
        assert_eq!(context.into_writes().len(), usize::from(good));
    }
}

/// Sources of this crate, by walking its folder.
fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_type_of_record_has_a_row() {
    let mut found = Vec::new();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let declared: BTreeSet<&str> = found
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.strip_prefix("impl Record for ")?.split([' ', '{']).next())
        .collect();
    let table = table();
    let rows: BTreeSet<&str> = table.iter().map(|row| row.name).filter(|name| !name.is_empty()).collect();
    assert!(declared.len() > 30, "{declared:?}");
    assert_eq!(declared, rows);
}
