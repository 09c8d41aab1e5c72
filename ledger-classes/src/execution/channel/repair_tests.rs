//! No configuration that a channel can begin with or change to keeps its members from admitting, revoking and changing it
//! again. Each field at its extremes, alone and with each other, generated from the form of the configuration, so that a
//! new field is tried too.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::assets::{AssetName, Define, Freeze, Kind, Mint};
use crate::action::channel::{Admit, Approve, Propose, Revoke};
use crate::execution::assets::Successor;
use crate::execution::test_support::{Ledger, address, open_config, signer};
use crate::execution::{BlockInput, Fate, Members, config_of, screen, screen_exempt, screen_fee};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, Fees, Limits, Organization};
use crate::formats::detail::{PathFault, PathRefusal};
use crate::formats::outcome::{Refusal, ResultCode};
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::formats::transaction::{Encoding, Envelope, Transaction, VerifiedTransaction, parse, verify_all};
use crate::keys::KeyCache;
use crate::primitives::amount::Amount;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::{CertificatePaths, CertifiedIdentity, PathRules, possession_message};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A CA certificate reads `ca of ORGANIZATION`, a leaf `ORGANIZATION/ROLE/NUMBER`, of that signer's key.
struct Readable;

impl CertificatePaths for Readable {
    fn claimed_organization(&self, _: PathRules, leaf: &[u8]) -> Option<String> {
        Some(std::str::from_utf8(leaf).ok()?.split_once('/')?.0.to_owned())
    }

    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        _: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        let name = std::str::from_utf8(path[0]).map_err(|_| PathFault::Malformed)?;
        let (organization, rest) = name.split_once('/').ok_or(PathFault::NoIdentity)?;
        let ca = format!("ca of {organization}").into_bytes();
        if !roots.contains(&ca.as_slice()) {
            return Err(PathFault::UnknownIssuer.into());
        }
        let (role, number) = rest.split_once('/').ok_or(PathFault::NoIdentity)?;
        let number: u8 = number.parse().map_err(|_| PathFault::NoIdentity)?;
        let role = if role == "admin" { Role::Admin } else { Role::Client };
        let authorities: Vec<Hash> = self.authority_key(rules, &ca).into_iter().collect();
        Ok(CertifiedIdentity {
            identity: Identity::new("test.example", organization, role, &format!("n{number}")).unwrap(),
            serial: vec![number],
            issuer: authorities[0],
            above: Vec::new(),
            not_after: Time::from_millis(u64::MAX),
            key: signer(number).public(),
            authorities,
        })
    }

    fn authority(
        &self,
        _: PathRules,
        certificate: &[u8],
        consortium: &str,
        organization: &str,
    ) -> Result<(), PathRefusal> {
        let fits = certificate == format!("ca of {organization}").as_bytes() && consortium == "test.example";
        if fits { Ok(()) } else { Err(PathFault::Organization.into()) }
    }
}

const MEMBERS: [(&str, u8); 2] = [("alpha", 20), ("beta", 21)];
/// Issues what fees are paid in.
const ISSUER: u8 = 5;

fn founding() -> ChannelConfig {
    let organization = |name: &str| Organization {
        name: name.into(),
        title: name.into(),
        authorities: vec![HexBytes(format!("ca of {name}").into_bytes())],
    };
    let grant = |name: &str| {
        let rights = Rights::member().union([Right::Admin].into_iter().collect());
        Grant { to: Grantee::Organization(name.into()), rights }
    };
    ChannelConfig {
        organizations: MEMBERS.map(|(name, _)| organization(name)).into(),
        grants: MEMBERS.map(|(name, _)| grant(name)).into(),
        public_read: false,
        open_submit: false,
        limits: Limits::default(),
        approvals: Approvals::All,
        ..open_config()
    }
}

/// Every field with something in it, as what extremes are made of.
fn full() -> ChannelConfig {
    let (asset, issuer, collector) = (Some("coin".into()), Some(address(ISSUER)), Some(address(9)));
    ChannelConfig { fees: Fees { asset, issuer, base: Amount(1), per_byte: Amount(1), collector }, ..founding() }
}

/// Through the door with what the channel's limits are, from somebody who pays nothing, and into a block.
fn through(ledger: &mut Ledger, signers: &[u8], actions: Vec<Action>, fee_max: Amount) -> Result<Hash, String> {
    let config = config_of(&ledger.state).unwrap().config;
    let transaction = Transaction {
        channel: ledger.channel,
        nonce: ledger.height,
        valid_until: ledger.time.plus_millis(60_000),
        fee_max,
        actions,
        memo: String::new(),
        sender: None,
    };
    let keys: Vec<_> = signers.iter().map(|number| signer(*number)).collect();
    let payload = serde_json::to_vec(&transaction).unwrap();
    let envelope = Envelope::sign(Encoding::Json, payload, &keys.iter().collect::<Vec<_>>());
    let parsed = parse(envelope, ledger.channel, &config.limits).map_err(|(_, error)| error.to_string())?;
    let verified = verify_all(vec![parsed], [1; 32], &mut KeyCache::default()).pop().unwrap();
    let verified: VerifiedTransaction = verified.map_err(|(_, error)| error.to_string())?;
    let input = BlockInput {
        channel: ledger.channel,
        height: ledger.height + 1,
        time: ledger.time,
        certificates: ledger.certificates,
        transactions: std::slice::from_ref(&verified),
    };
    screen(&ledger.state, &Members::new(&config, ledger.certificates), &verified, ledger.time)
        .and_then(|_| screen_exempt(&ledger.state, &config, &input))
        .and_then(|()| screen_fee(&ledger.state, &config, &verified, ledger.time, Amount::ZERO))
        .map_err(|refusal: Refusal| refusal.to_string())?;
    let (receipts, fates) = ledger.seal(std::slice::from_ref(&verified));
    match (&fates[0], receipts.last()) {
        (Fate::Included, Some(receipt)) if receipt.is_done() => Ok(receipt.head.id),
        (_, receipt) => Err(format!("{:?}: {:?}", fates[0], receipt.map(|receipt| receipt.message()))),
    }
}

fn free(ledger: &mut Ledger, number: u8, action: Action) -> Result<Hash, String> {
    through(ledger, &[number], vec![action], Amount::ZERO)
}

fn admission(ledger: &Ledger, organization: &str, role: &str, number: u8) -> Action {
    let possession = signer(number).sign(&possession_message(&ledger.channel, &address(number)));
    let path = vec![HexBytes(format!("{organization}/{role}/{number}").into_bytes())];
    Action::ParticipantAdmit(Admit { address: address(number), path, possession })
}

fn begin(config: ChannelConfig) -> Ledger {
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    ledger
}

/// Both organizations have an administrator, and there is money and a house.
fn world() -> Ledger {
    let mut ledger = begin(founding());
    for (organization, number) in MEMBERS {
        let admit = admission(&ledger, organization, "admin", number);
        free(&mut ledger, number, admit).unwrap();
    }
    let admit = admission(&ledger, "alpha", "client", ISSUER);
    free(&mut ledger, ISSUER, admit).unwrap();
    let define = |asset: &str, kind| {
        Action::AssetDefine(Define {
            asset: asset.into(),
            title: String::new(),
            kind,
            mint_authority: None,
            burn_authority: None,
            control_authority: None,
            metadata: None,
        })
    };
    let units = Kind::Fungible { decimals: 0, supply_cap: None };
    let mint = Action::AssetMint(Mint { asset: "coin".into(), to: address(ISSUER), amount: Amount(100_000) });
    ledger.done(ISSUER, vec![define("coin", units), define("deed", Kind::Unique {}), mint]);
    ledger
}

/// Whoever controls the money does the worst, as far as it can.
fn sabotage(ledger: &mut Ledger) {
    let freeze = Freeze { asset: "coin".into(), account: address(ISSUER), amount: Amount(100_000) };
    for action in [Action::AssetFreeze(freeze), Action::AssetPause(AssetName { asset: "coin".into() })] {
        let _ = through(ledger, &[ISSUER], vec![action], Amount::MAX);
    }
}

/// Admits, revokes, and changes everything back that can be changed, as if nobody had any money.
fn repair(ledger: &mut Ledger) -> Result<(), String> {
    let config = config_of(&ledger.state).unwrap().config;
    let mut able = Vec::new();
    // Who has no CA any more has nobody to admit; the others count.
    let members = config.organizations.iter().filter(|member| !member.authorities.is_empty());
    for (member, number) in members.zip(40..) {
        let admit = admission(ledger, &member.name, "admin", number);
        free(ledger, number, admit).map_err(|why| format!("admission for {}: {why}", member.name))?;
        if config.can_administer(&member.name) {
            able.push((member.name.clone(), number));
        }
    }
    let [(organization, first), others @ ..] = able.as_slice() else { return Err("nobody administers".into()) };
    let admit = admission(ledger, organization, "client", 60);
    free(ledger, 60, admit)?;
    let identity = Identity::new("test.example", organization, Role::Client, "n60").unwrap();
    let revoke = Revoke { identity, serial: Some(HexBytes(vec![60])), reason: "left".into() };
    free(ledger, *first, Action::ParticipantRevoke(revoke)).map_err(|why| format!("revocation: {why}"))?;
    let changes = vec![
        ConfigChange::SetFees(Fees::default()),
        ConfigChange::SetLimits(Limits { block_age_ms_max: 51, ..Limits::default() }),
        ConfigChange::SetPublicRead { public_read: !config.public_read },
    ];
    let propose = Propose { changes, reason: "back".into() };
    let proposal = free(ledger, *first, Action::ChannelPropose(propose)).map_err(|why| format!("proposal: {why}"))?;
    let needed = config.approvals.needed(config.organizations.len());
    for (_, number) in others.iter().take(needed - 1) {
        free(ledger, *number, Action::ChannelApprove(Approve { proposal }))
            .map_err(|why| format!("approval: {why}"))?;
    }
    match config_of(&ledger.state).unwrap().config.fees.asset {
        None => Ok(()),
        Some(asset) => Err(format!("fees are still paid in {asset}")),
    }
}

/// What a value could be instead. What does not parse, or is the same, is passed over by the caller.
fn extremes(value: &Value) -> Vec<Value> {
    let texts = |list: &[&str]| list.iter().map(|text| Value::from(*text)).collect::<Vec<_>>();
    let mut others = match value {
        Value::Null | Value::Object(_) => Vec::new(),
        Value::Bool(is) => vec![Value::Bool(!is)],
        Value::Number(_) => {
            let budgets = [512, 1_024, 131_072, 1 << 20, 4 << 20, 65_536, 524_288, 2_048, 16 << 20, 32 << 20];
            let limits = [0, 1, 98_304, 262_144, u32::MAX, 2, 15, 16];
            limits.into_iter().chain(budgets).map(Value::from).collect()
        }
        Value::Array(items) => {
            let mut shorter = items.clone();
            shorter.pop();
            let twice = [items.as_slice(), items].concat();
            [Vec::new(), shorter, twice].map(Value::from).into()
        }
        Value::String(_) => texts(&[
            "",
            "0",
            "340282366920938463463374607431768211455",
            "99999",
            "none",
            "coin",
            "deed",
            "alpha",
            "gamma",
            "raft",
            "bft",
            "any",
            "majority",
            "quorum",
            "all",
            "00112233445566778899aabbccddeeff",
            "9998-12-31T23:59:59.999Z",
            "1970-01-01T00:00:00.000Z",
            "spiffe://test.example/beta/peer/p9",
            "admin",
            "order",
            "0x0000000000000000000000000000000000000000",
        ]),
    };
    let text = address(ISSUER).to_string();
    others.extend([Value::Null, Value::from(text), serde_json::to_value(signer(201).public()).unwrap()]);
    others.retain(|other| other != value);
    others
}

/// Extremes of one place that are tried with those of each other.
const PAIRED: usize = 5;

/// Every place in a document.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| places(item, &format!("{at}/{place}"), found))
        }
        _ => {}
    }
}

/// The configuration with each field at each of its extremes, alone and with each other one, as far as it has the form of
/// one at all, and how many places there are.
fn extreme(config: &ChannelConfig) -> (Vec<ChannelConfig>, usize) {
    let document = serde_json::to_value(config).unwrap();
    let mut all = Vec::new();
    places(&document, "", &mut all);
    let read = |document: &Value| crate::primitives::json::from_value::<ChannelConfig>(document.clone()).ok();
    let with = |document: &Value, place: &str, other: &Value| {
        let mut changed = document.clone();
        // What an earlier change took away is not there any more.
        *changed.pointer_mut(place)? = other.clone();
        Some(changed)
    };
    let mut singles = Vec::new();
    for place in &all {
        for other in extremes(document.pointer(place).unwrap()) {
            if let Some(changed) = with(&document, place, &other).filter(|changed| read(changed).is_some()) {
                singles.push((place, other, changed));
            }
        }
    }
    let mut found: Vec<ChannelConfig> = singles.iter().filter_map(|(_, _, changed)| read(changed)).collect();
    let varied: BTreeSet<&String> = singles.iter().map(|(place, _, _)| *place).collect();
    // In pairs some of each, or this would take minutes.
    let mut of_place = BTreeMap::<&String, usize>::new();
    singles.retain(|(place, _, _)| {
        let seen = of_place.entry(*place).or_default();
        *seen += 1;
        *seen <= PAIRED
    });
    for (number, (place, _, changed)) in singles.iter().enumerate() {
        for (second, other, _) in singles[number + 1..].iter().filter(|(second, _, _)| second != place) {
            found.extend(with(changed, second, other).as_ref().and_then(read));
        }
    }
    let leaves = all.iter().filter(|place| !matches!(document.pointer(place), Some(Value::Object(_)))).count();
    assert_eq!(varied.len(), leaves, "some field has no extreme here: give it one");
    (found, leaves)
}

/// The changes that lead from one configuration to another; `None` where no change does. A field that is new does not
/// compile here.
fn changes_between(old: &ChannelConfig, new: &ChannelConfig) -> Option<Vec<ConfigChange>> {
    let ChannelConfig {
        rules,
        name,
        consortium,
        created,
        salt,
        engine,
        peers,
        threshold,
        organizations,
        grants,
        public_read,
        open_submit,
        limits,
        fees,
        approvals,
        witnesses,
        budgets,
    } = new.clone();
    if (&name, &consortium, &created, &salt, &engine)
        != (&old.name, &old.consortium, &old.created, &old.salt, &old.engine)
    {
        return None;
    }
    let mut changes = Vec::new();
    for left in old.organizations.iter().filter(|member| !organizations.iter().any(|other| other.name == member.name)) {
        changes.push(ConfigChange::RemoveOrganization { name: left.name.clone() });
    }
    changes.extend(
        organizations
            .into_iter()
            .filter(|member| !old.organizations.contains(member))
            .map(ConfigChange::PutOrganization),
    );
    for grant in old.grants.iter().filter(|grant| !grants.contains(grant)) {
        changes.push(ConfigChange::Deny(grant.clone()));
    }
    changes.extend(grants.into_iter().filter(|grant| !old.grants.contains(grant)).map(ConfigChange::Grant));
    if (&peers, threshold) != (&old.peers, old.threshold) {
        changes.push(ConfigChange::SetPeers { peers, threshold });
    }
    if rules != old.rules {
        changes.push(ConfigChange::SetRules { rules });
    }
    if witnesses != old.witnesses {
        changes.push(ConfigChange::SetWitnesses { witnesses });
    }
    if budgets != old.budgets {
        changes.push(ConfigChange::SetBudgets(budgets));
    }
    if public_read != old.public_read {
        changes.push(ConfigChange::SetPublicRead { public_read });
    }
    if open_submit != old.open_submit {
        changes.push(ConfigChange::SetOpenSubmit { open_submit });
    }
    if limits != old.limits {
        changes.push(ConfigChange::SetLimits(limits));
    }
    if fees != old.fees {
        changes.push(ConfigChange::SetFees(fees));
    }
    if approvals != old.approvals {
        changes.push(ConfigChange::SetApprovals { approvals });
    }
    Some(changes)
}

/// A pause of the fee asset, fees in what is not there, above every balance or in items, and payloads of a byte once froze
/// a channel for ever.
#[test]
fn no_change_that_is_accepted_keeps_a_channel_from_being_repaired() {
    let before = world();
    let old = config_of(&before.state).unwrap().config;
    let (tried, places) = extreme(&full());
    let (mut accepted, mut paying, mut kinds) = (0, 0, BTreeSet::new());
    for next in &tried {
        let Some(changes) = changes_between(&old, next).filter(|changes| !changes.is_empty()) else { continue };
        kinds.extend(changes.iter().map(|change| format!("{change:?}").split(['(', ' ']).next().map(str::to_owned)));
        // What these refuse a change refuses first of all; the others go the whole way.
        if next.check(next.rules).and_then(|()| next.check_governable()).is_err() {
            continue;
        }
        let mut ledger = before.clone();
        let propose = Action::ChannelPropose(Propose { changes: changes.clone(), reason: String::new() });
        let Ok(proposal) = free(&mut ledger, 20, propose) else { continue };
        if free(&mut ledger, 21, Action::ChannelApprove(Approve { proposal })).is_err() {
            continue;
        }
        accepted += 1;
        paying += usize::from(!config_of(&ledger.state).unwrap().config.fees.base.is_zero());
        sabotage(&mut ledger);
        repair(&mut ledger).unwrap_or_else(|why| panic!("{why}\nafter {changes:?}"));
    }
    assert_eq!(kinds.len(), 13, "each kind of change was tried: {kinds:?}");
    assert!(accepted > 100 && paying > 50, "{accepted} of {}, {paying} with fees, over {places} places", tried.len());
}

/// A channel was made with fees in an asset that did not exist, which nobody could ever define.
#[test]
fn no_channel_can_begin_with_what_it_could_not_be_repaired_from() {
    let (tried, _) = extreme(&founding());
    let mut accepted = 0;
    for config in tried.iter().chain([&founding()]).filter(|config| config.check_founding(&Readable).is_ok()) {
        accepted += 1;
        repair(&mut begin(config.clone())).unwrap_or_else(|why| panic!("{why}\nfrom {config:?}"));
    }
    assert!(accepted > 20, "{accepted} of {}", tried.len());
    let refused = full().check_founding(&Readable).unwrap_err().to_string();
    assert!(refused.contains("coin"), "{refused}");
    assert!(crate::chain::genesis(&full()).is_err());
}

#[test]
fn fees_are_paid_in_what_is_there_in_units_and_issued_by_whom_they_name() {
    let fees = |asset: &str, issuer: u8| Fees {
        asset: Some(asset.into()),
        issuer: Some(address(issuer)),
        base: Amount(1),
        ..Fees::default()
    };
    for (fees, good) in [
        (fees("coin", ISSUER), true),
        (fees("none", ISSUER), false),
        (fees("deed", ISSUER), false),
        (fees("coin", 9), false),
        (Fees { issuer: None, ..fees("coin", ISSUER) }, false),
        (Fees { asset: None, ..fees("coin", ISSUER) }, false),
    ] {
        let mut ledger = world();
        let propose = Propose { changes: vec![ConfigChange::SetFees(fees.clone())], reason: String::new() };
        let (code, message) = ledger.one(20, vec![Action::ChannelPropose(propose)]);
        let expected = if good { ResultCode::Done } else { ResultCode::ConfigurationInvalid };
        assert_eq!(code, expected, "{fees:?}: {message}");
    }
}

/// The fee asset's issuer was recovered after the fees were set: they name somebody else now, which is no reason to refuse
/// whatever else is changed.
#[test]
fn fees_in_force_that_could_not_be_set_any_more_stand_in_no_other_changes_way() {
    let mut ledger = world();
    let change = |ledger: &mut Ledger, change| {
        ledger.one(20, vec![Action::ChannelPropose(Propose { changes: vec![change], reason: String::new() })]).0
    };
    let coin =
        || Fees { asset: Some("coin".into()), issuer: Some(address(ISSUER)), base: Amount(1), ..Fees::default() };
    let mut record = config_of(&ledger.state).unwrap();
    record.config.fees = coin();
    ledger.put(keyspace::config_at(record.height), &record);
    ledger.put(keyspace::successor(&address(ISSUER)), &Successor { to: address(9), height: ledger.height });
    assert_eq!(change(&mut ledger, ConfigChange::SetPublicRead { public_read: true }), ResultCode::Done);
    let dearer = Fees { base: Amount(2), ..coin() };
    assert_eq!(change(&mut ledger, ConfigChange::SetFees(dearer.clone())), ResultCode::ConfigurationInvalid);
    let renamed = Fees { issuer: Some(address(9)), ..dearer };
    assert_eq!(change(&mut ledger, ConfigChange::SetFees(renamed)), ResultCode::Done);
}

/// 20.7 KB of changes took 71 MB, and proofs that nobody could read.
#[test]
fn changes_of_one_organization_are_bounded_in_time_and_stand_in_nobody_elses_way() {
    let mut ledger = begin(ChannelConfig { approvals: Approvals::Any, ..founding() });
    for (organization, number) in MEMBERS {
        let admit = admission(&ledger, organization, "admin", number);
        free(&mut ledger, number, admit).unwrap();
    }
    let change = |ledger: &mut Ledger, number: u8| {
        let public_read = !config_of(&ledger.state).unwrap().config.public_read;
        let changes = vec![ConfigChange::SetPublicRead { public_read }];
        ledger.one(number, vec![Action::ChannelPropose(Propose { changes, reason: String::new() })]).0
    };
    for _ in 0..crate::limits::CONFIG_CHANGES_SAVED {
        assert_eq!(change(&mut ledger, 20), ResultCode::Done);
    }
    assert_eq!(change(&mut ledger, 20), ResultCode::ChangesTooFrequent);
    assert_eq!(change(&mut ledger, 21), ResultCode::Done, "another organization has its own");
    let identity = Identity::new("test.example", "alpha", Role::Admin, "n20").unwrap();
    let revoke = Revoke { identity, serial: Some(HexBytes(vec![20])), reason: "it changes too much".into() };
    ledger.time = ledger.time.plus_millis(crate::limits::CONFIG_CHANGE_MS);
    assert_eq!(change(&mut ledger, 20), ResultCode::Done, "one more is there");
    assert_eq!(change(&mut ledger, 20), ResultCode::ChangesTooFrequent);
    ledger.done(20, vec![Action::ParticipantRevoke(revoke)]);
}

#[test]
fn a_proposal_holds_nothing_but_ca_certificates_and_changes_something() {
    let mut ledger = world();
    let member = |authorities: Vec<&str>| {
        let authorities = authorities.into_iter().map(|text| HexBytes(text.as_bytes().to_vec())).collect();
        ConfigChange::PutOrganization(Organization { name: "gamma".into(), title: String::new(), authorities })
    };
    let gone = || ConfigChange::RemoveOrganization { name: "gamma".into() };
    for (changes, good) in [
        (vec![member(vec!["ca of gamma"])], false),
        (vec![member(vec!["ca of gamma"]), ConfigChange::SetApprovals { approvals: Approvals::Majority }], true),
        // The second makes the first vanish, but a proposal keeps both.
        (vec![member(vec!["garbage"]), gone(), ConfigChange::SetPublicRead { public_read: true }], false),
        (vec![member(vec!["ca of gamma"; 9]), gone(), ConfigChange::SetPublicRead { public_read: true }], false),
        (vec![ConfigChange::SetPublicRead { public_read: false }], false),
        (vec![member(vec!["ca of gamma"]), gone()], false),
    ] {
        let propose = Propose { changes: changes.clone(), reason: String::new() };
        let (code, message) = ledger.one(20, vec![Action::ChannelPropose(propose)]);
        let expected = if good { ResultCode::Done } else { ResultCode::ConfigurationInvalid };
        assert_eq!(code, expected, "{changes:?}: {message}");
    }
}
