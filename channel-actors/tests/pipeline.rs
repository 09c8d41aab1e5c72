//! The whole pipeline of a channel through its handle, as the API uses it: order, outcomes, exactly once, isolation,
//! restart and audit.

use channel_actors::block::verify_offline::audit;
use channel_actors::runtime::clock::{Clock, SystemClock};
use channel_actors::runtime::metrics::Metrics;
use channel_actors::store::StoreOptions;
use channel_actors::{
    ChannelHandle, ChannelRegistry, CreateError, LifeCycle, RegistryOptions, SubmitRefusal, SubmitResult, Wait,
};
use ledger_classes::action::{Action, assets, channel, contracts, logs};
use ledger_classes::execution::assets as queries;
use ledger_classes::formats::config::{
    Approvals, ChannelConfig, ConfigChange, Engine, Fees, Limits, OrderingPeer, Organization,
};
use ledger_classes::formats::detail::PathRefusal;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::rights::{Grant, Grantee, Right};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction, TransactionError};
use ledger_classes::keys::{Address, Signature, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{
    CertificatePaths, CertifiedIdentity, NoCertificates, PathRules, possession_message,
};
use prometheus_client::registry::Registry;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn address(number: u8) -> Address {
    key(number).public().address()
}

fn config(name: &str) -> ChannelConfig {
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: name.into(),
        consortium: "test.example".into(),
        created: SystemClock.now(),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer {
            identity: Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid"),
            key: key(200).public(),
            weight: 1,
        }],
        threshold: 1,
        organizations: vec![Organization { name: "bank".into(), title: "Bank".into(), authorities: vec![] }],
        grants: vec![],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}

/// Panics where execution asks for a certificate: as a broken contract would.
struct Panicking;

impl CertificatePaths for Panicking {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("bank".into())
    }

    fn verify(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        panic!("certificates are broken")
    }
}

fn open(directory: &Path, certificates: Arc<dyn CertificatePaths>) -> Arc<ChannelRegistry> {
    let options = RegistryOptions {
        memory: Default::default(),
        directory: directory.to_owned(),
        seal_key: Arc::new(key(200)),
        certificates,
        clock: Arc::new(SystemClock),
        shards: 2,
        verification_threads: 2,
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
        store: StoreOptions::default(),
        suspend_after: None,
        metrics: Metrics::new(&mut Registry::default()),
        tasks: channel_actors::runtime::tasks::Tasks::default(),
    };
    ChannelRegistry::open(options).expect("opens")
}

fn transaction(channel: Hash, nonce: u64, actions: Vec<Action>) -> Transaction {
    let valid_until = SystemClock.now().plus_millis(600_000);
    Transaction { channel, nonce, valid_until, fee_max: Amount::ZERO, actions, memo: String::new(), sender: None }
}

fn signed(channel: Hash, nonce: u64, signer: u8, actions: Vec<Action>) -> Envelope {
    Envelope::sign_binary(&transaction(channel, nonce, actions), &[&key(signer)])
}

fn define(asset: &str) -> Action {
    Action::AssetDefine(assets::Define {
        asset: asset.into(),
        title: "Money".into(),
        kind: assets::Kind::Fungible { decimals: 2, supply_cap: None },
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    })
}

fn mint(to: u8, amount: u128) -> Action {
    Action::AssetMint(assets::Mint { asset: "usd".into(), to: address(to), amount: Amount(amount) })
}

fn transfer(to: u8, amount: u128) -> Action {
    Action::AssetTransfer(assets::Transfer { asset: "usd".into(), to: address(to), amount: Amount(amount) })
}

async fn submit(channel: &ChannelHandle, envelopes: Vec<Envelope>) -> Vec<SubmitResult> {
    channel.submit(envelopes, Wait::Committed).expect("there is room").await
}

fn code(result: &SubmitResult) -> u16 {
    match result {
        SubmitResult::Committed { receipt, .. } => receipt.head.code,
        other => panic!("not committed: {other:?}"),
    }
}

async fn balance(channel: &ChannelHandle, account: u8) -> u128 {
    let balance = channel.read(move |reader| queries::balance_of(reader.view(), "usd", &address(account))).await;
    balance.expect("readable").owned.0
}

/// One path through everything that a channel promises while it runs.
#[actix::test]
async fn transactions_commit_in_order_once_and_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(NoCertificates));
    let channel = registry.create(config("main")).await.expect("creates");
    assert_eq!(registry.create(config("main")).await.err(), Some(CreateError::Exists("main".into())));
    let id = channel.id().expect("open");

    let setup = submit(&channel, vec![signed(id, 1, 1, vec![define("usd"), mint(1, 1000)])]).await;
    assert_eq!(setup.iter().map(code).collect::<Vec<_>>(), [0]);

    // One sender's transactions keep their order; a failed one does not stop the next.
    let batch = vec![
        signed(id, 2, 1, vec![transfer(2, 600)]),
        signed(id, 3, 1, vec![transfer(3, 600)]),
        signed(id, 4, 1, vec![transfer(3, 400)]),
    ];
    let results = submit(&channel, batch.clone()).await;
    let short = ResultCode::InsufficientBalance.number();
    assert_eq!(results.iter().map(code).collect::<Vec<_>>(), [0, short, 0]);
    assert_eq!((balance(&channel, 1).await, balance(&channel, 2).await, balance(&channel, 3).await), (0, 600, 400));

    // Sent again, also together with itself: the same receipts.
    let again = submit(&channel, [batch.clone(), batch.clone()].concat()).await;
    assert_eq!(again, [results.clone(), results.clone()].concat());
    assert_eq!(balance(&channel, 2).await, 600);

    // A bad signature and a replay with one: only they are refused.
    let mut forged = signed(id, 5, 1, vec![transfer(2, 1)]);
    forged.signatures[0].signature = Signature([1; 64]);
    let other_channel = signed(Hash([9; 32]), 6, 2, vec![transfer(1, 1)]);
    let good = signed(id, 7, 2, vec![transfer(1, 100)]);
    let results = submit(&channel, vec![forged, good, other_channel]).await;
    assert!(matches!(
        &results[0],
        SubmitResult::Refused { refusal: SubmitRefusal::Transaction(TransactionError::WrongSignature(_)), .. }
    ));
    assert_eq!(code(&results[1]), 0);
    assert!(matches!(
        &results[2],
        SubmitResult::Refused { refusal: SubmitRefusal::Transaction(TransactionError::WrongChannel), .. }
    ));

    let tip = channel.tip();
    let last = match &results[1] {
        SubmitResult::Committed { id, .. } => *id,
        other => panic!("{other:?}"),
    };
    let proof = channel.read(move |reader| reader.proof(&last, None)).await.expect("readable").expect("committed");
    assert_eq!(proof.verify(Some(id)).expect("holds").receipt.id, last);
    assert!(proof.verify(Some(Hash([1; 32]))).is_err());
    registry.drain().await;
    assert_eq!(channel.state(), LifeCycle::Closed);

    let report = audit(&directory.path().join("main"), &NoCertificates, |_, _| {}).expect("agrees");
    assert_eq!((report.height, report.tip, report.transactions), (tip.height, tip.hash, 5));

    let registry = open(directory.path(), Arc::new(NoCertificates));
    registry.opened().await;
    let channel = registry.by_id(&id).expect("found");
    assert_eq!((channel.state(), channel.tip()), (LifeCycle::Serving, tip));
    assert_eq!((balance(&channel, 1).await, balance(&channel, 2).await), (100, 500));
    let again = submit(&channel, batch).await;
    assert_eq!(again.iter().map(code).collect::<Vec<_>>(), [0, short, 0]);
    registry.drain().await;
}

/// A bug in what a transaction runs stops its own channel, with the reason; whoever waits is told; the others go on.
#[actix::test]
async fn a_panic_in_execution_halts_its_channel_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(Panicking));
    let broken = registry.create(config("broken")).await.expect("creates");
    let sound = registry.create(config("sound")).await.expect("creates");
    let admit = Action::ParticipantAdmit(channel::Admit {
        address: address(1),
        path: vec![HexBytes(vec![1])],
        possession: Signature([0; 64]),
    });
    // With something beside it that is not tried at the door.
    let acts = vec![define("coin"), admit];
    let results = submit(&broken, vec![signed(broken.id().expect("open"), 1, 1, acts)]).await;
    assert!(matches!(&results[0], SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. }), "{results:?}");
    let LifeCycle::Halted { reason } = broken.state() else { panic!("{:?}", broken.state()) };
    assert!(reason.contains("certificates are broken"), "{reason}");
    let refused = broken.submit(vec![signed(Hash::ZERO, 1, 1, vec![define("x")])], Wait::Committed);
    assert!(matches!(refused, Err(SubmitRefusal::Stopped { reason }) if reason.contains("certificates are broken")));

    let id = sound.id().expect("open");
    assert_eq!(code(&submit(&sound, vec![signed(id, 1, 1, vec![define("usd"), mint(1, 5)])]).await[0]), 0);
    registry.drain().await;
}

/// The door answers when the channel holds as much as it may, and takes again when it has moved on.
#[actix::test]
async fn a_full_channel_refuses_with_a_hint_and_recovers() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(NoCertificates));
    let channel = registry.create(config("main")).await.expect("creates");
    let id = channel.id().expect("open");
    let blob = |nonce| {
        let body = "x".repeat(15_000);
        let appends = (0..4).map(|_| logs::Append { topic: "bulk".into(), digest: None, body: body.clone() });
        signed(id, nonce, 1, appends.map(Action::LogAppend).collect())
    };
    let one = blob(0);
    let many = vec![one.clone(); channel_actors::limits::BYTES_IN_FLIGHT_MAX as usize / one.payload.len() + 1];
    let refused = channel.submit(many, Wait::Committed);
    assert!(matches!(refused, Err(SubmitRefusal::Busy { retry_after_ms }) if retry_after_ms > 0));
    assert_eq!(channel.queue().transactions, 0);
    assert_eq!(code(&submit(&channel, vec![one]).await[0]), 0);
    registry.drain().await;
}

/// What is posted alone waits for others of its thread; whoever was to pass all of it on may go away meanwhile.
#[actix::test]
async fn what_is_posted_with_others_goes_to_one_block_whoever_goes_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(NoCertificates));
    let channel = registry.create(config("main")).await.expect("creates");
    let id = channel.id().expect("open");
    let append = || Action::LogAppend(logs::Append { topic: "t".into(), digest: None, body: "b".into() });
    let post = |nonce| channel.submit_with_others(vec![signed(id, nonce, 1, vec![append()])], Wait::Committed);
    let mut first = Box::pin(post(1));
    let waits = std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending()));
    assert!(waits.await, "for others");
    let second = post(2).await.expect("there is room");
    drop(first);
    let [SubmitResult::Committed { receipt, .. }] = &second.await[..] else { panic!("not committed") };
    assert_eq!((receipt.head.height, receipt.head.index, receipt.head.code), (1, 1, 0), "behind the first");
    registry.drain().await;
}

/// A subscriber that reads from any height on sees every block once, in order, whoever else reads.
#[actix::test]
async fn subscribers_follow_every_block() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(NoCertificates));
    let channel = registry.create(config("main")).await.expect("creates");
    let id = channel.id().expect("open");
    let mut subscription = channel.subscribe().expect("open");
    assert_eq!(channel.queue().subscriptions, 1);
    for nonce in 0..20 {
        let append = logs::Append { topic: "steps".into(), digest: None, body: nonce.to_string() };
        assert_eq!(code(&submit(&channel, vec![signed(id, nonce, 1, vec![Action::LogAppend(append)])]).await[0]), 0);
    }
    subscription.reached(20).await.expect("serves");
    for height in 0..=20 {
        let block = channel.block(height).await.expect("readable").expect("there");
        assert_eq!(block.block.header.height, height);
    }
    assert!(channel.block(21).await.expect("readable").is_none());
    drop(subscription);
    assert_eq!(channel.queue().subscriptions, 0);
    registry.drain().await;
}

/// A due timer cuts a block by itself.
#[actix::test]
async fn a_due_timer_ends_an_auction_without_any_transaction() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(NoCertificates));
    let channel = registry.create(config("auction")).await.expect("creates");
    let id = channel.id().expect("open");
    let item = Action::AssetDefine(assets::Define {
        asset: "cars".into(),
        title: "Cars".into(),
        kind: assets::Kind::Unique {},
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    });
    let car = Action::AssetMintItem(assets::MintItem {
        asset: "cars".into(),
        item: "beetle".into(),
        to: address(1),
        metadata: Hash::ZERO,
    });
    let deploy = Action::ContractDeploy(contracts::Deploy {
        contract: "auction".into(),
        engine: "builtin".into(),
        code: "auction".into(),
    });
    let ends = SystemClock.now().plus_millis(300);
    let arguments = format!(
        r#"{{"item":{{"asset":"cars","item":"beetle"}},"currency":"usd","ends":"{ends}","reserve":"1","minimum_increment":"1"}}"#
    );
    let create =
        Action::ContractCreate(contracts::Create { contract: "auction".into(), instance: "lot-1".into(), arguments });
    let payload = serde_json_text(&transaction(id, 1, vec![define("usd"), item, car, deploy, create]));
    let envelope = Envelope::sign(Encoding::Json, payload.into_bytes(), &[&key(1)]);
    let results = submit(&channel, vec![envelope]).await;
    assert_eq!(code(&results[0]), 0, "{results:?}");
    let mut subscription = channel.subscribe().expect("open");
    subscription.reached(2).await.expect("the timer makes block 2");
    let block = channel.block(2).await.expect("readable").expect("there");
    assert_eq!((block.timers(), block.block.transactions.len()), (1, 0));
    assert!(block.block.header.time >= ends);
    let owner = channel.read(|reader| queries::item(reader.view(), "cars", "beetle")).await.expect("readable");
    assert_eq!(owner.expect("exists").owner, address(1), "without a bid the item goes back");
    registry.drain().await;
}

fn serde_json_text(transaction: &Transaction) -> String {
    serde_json::to_string(transaction).expect("serializes")
}

/// Takes any path for the certificate of one administrator, whose key is test key 1.
struct Vouching;

impl CertificatePaths for Vouching {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("bank".into())
    }

    fn verify(
        &self,
        rules: PathRules,
        _: &[&[u8]],
        roots: &[&[u8]],
        time: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        let identity = Identity::new("test.example", "bank", Role::Admin, "boss").expect("valid");
        let not_after = time.plus_millis(1_000_000);
        let authorities: Vec<Hash> = roots.iter().filter_map(|der| self.authority_key(rules, der)).collect();
        let issuer = authorities.first().copied().unwrap_or_default();
        let (serial, key, above) = (vec![1], key(1).public(), Vec::new());
        Ok(CertifiedIdentity { identity, serial, issuer, not_after, key, authorities, above })
    }
}

/// Counts how often it is asked.
#[derive(Default)]
struct Counting(AtomicUsize);

impl CertificatePaths for Counting {
    fn claimed_organization(&self, rules: PathRules, leaf: &[u8]) -> Option<String> {
        Vouching.claimed_organization(rules, leaf)
    }

    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        _: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Vouching.verify(rules, path, roots, SystemClock.now())
    }

    fn steady(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], time: Time) -> Range<Time> {
        time.minus_millis(600_000)..time.plus_millis(600_000)
    }
}

/// It was verified four times, and each of these took half a millisecond.
#[actix::test]
async fn an_admission_is_verified_once_for_the_door_and_its_block() {
    let directory = tempfile::tempdir().expect("a directory");
    let counting = Arc::new(Counting::default());
    let registry = open(directory.path(), counting.clone());
    let mut closed = config("main");
    closed.organizations[0].authorities = vec![HexBytes(vec![0x30])];
    let channel = registry.create(closed).await.expect("creates");
    let id = channel.id().expect("open");
    let possession = key(1).sign(&possession_message(&id, &address(1)));
    let admit = channel::Admit { address: address(1), path: vec![HexBytes(vec![1])], possession };
    let admitted = submit(&channel, vec![signed(id, 1, 1, vec![Action::ParticipantAdmit(admit)])]).await;
    assert_eq!(code(&admitted[0]), 0, "{admitted:?}");
    assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    registry.drain().await;
}

/// A configuration that took the order from the only peer once halted the channel for good.
#[actix::test]
async fn the_order_is_not_taken_from_the_only_peer() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path(), Arc::new(Vouching));
    let grant = Grant { to: Grantee::Organization("bank".into()), rights: [Right::Admin].into_iter().collect() };
    let mut closed = ChannelConfig { grants: vec![grant], ..config("main") };
    closed.organizations[0].authorities = vec![HexBytes(vec![0x30])];
    let channel = registry.create(closed).await.expect("creates");
    let id = channel.id().expect("open");
    let possession = key(1).sign(&possession_message(&id, &address(1)));
    let admit = channel::Admit { address: address(1), path: vec![HexBytes(vec![1])], possession };
    let admitted = submit(&channel, vec![signed(id, 1, 1, vec![Action::ParticipantAdmit(admit)])]).await;
    assert_eq!(code(&admitted[0]), 0, "{admitted:?}");

    let identity = Identity::new("test.example", "bank", Role::Peer, "other").expect("valid");
    let peers = vec![OrderingPeer { identity, key: key(201).public(), weight: 1 }];
    let propose =
        channel::Propose { changes: vec![ConfigChange::SetPeers { peers, threshold: 1 }], reason: "moved".into() };
    let proposed = submit(&channel, vec![signed(id, 2, 1, vec![Action::ChannelPropose(propose)])]).await;
    assert_eq!(code(&proposed[0]), ResultCode::ConfigurationInvalid.number(), "{proposed:?}");
    let propose = channel::Propose {
        changes: vec![ConfigChange::SetPublicRead { public_read: false }],
        reason: "it goes on".into(),
    };
    let proposed = submit(&channel, vec![signed(id, 3, 1, vec![Action::ChannelPropose(propose)])]).await;
    assert_eq!(code(&proposed[0]), 0, "{proposed:?}");
    assert_eq!(channel.state(), LifeCycle::Serving);
    registry.drain().await;
    let report = audit(&directory.path().join("main"), &Vouching, |_, _| {}).expect("agrees");
    assert_eq!(report.height, 3);
}
