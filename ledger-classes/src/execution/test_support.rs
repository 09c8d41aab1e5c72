//! A ledger in memory for tests of execution: an open channel without certificates, keys from small numbers, one
//! call a block. Transactions take the real way, through signing, parsing and verification.

use super::budget::Usage;
use super::channel::Administrators;
use super::service::ServiceClock;
use super::{BlockInput, Executed, Fate, Ran, config_of, genesis_writes, next_timer, run};
use crate::action::Action;
use crate::formats::config::{ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use crate::formats::outcome::ResultCode;
use crate::formats::receipt::Receipt;
use crate::formats::transaction::{Encoding, Envelope, Transaction, VerifiedTransaction, parse, verify_all};
use crate::keys::{Address, KeyCache, SigningKey};
use crate::limits;
use crate::primitives::amount::Amount;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::{
    CertificateHolder, CertificateKey, CertificatePaths, KnownCertificate, KnownIdentity, NamedCertificate,
    NoCertificates, Participant, certificate_key,
};
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{MemoryState, Writes};

/// The key of test signer `number`.
pub(crate) fn signer(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The address of test signer `number`.
pub(crate) fn address(number: u8) -> Address {
    signer(number).public().address()
}

/// A channel with its state in memory.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) state: MemoryState,
    pub(crate) channel: Hash,
    /// Height of the last block.
    pub(crate) height: u64,
    /// Time of the next block.
    pub(crate) time: Time,
    /// How certificate paths are verified.
    pub(crate) certificates: &'static dyn CertificatePaths,
    nonce: u64,
}

impl Ledger {
    /// An open channel without fees.
    pub(crate) fn new() -> Self {
        Self::with_config(open_config())
    }

    /// An open channel with fees: `base` of `asset` for each transaction.
    pub(crate) fn with_fees(asset: &str, base: u128, collector: Option<Address>) -> Self {
        let (asset, issuer) = (Some(asset.into()), Some(address(1)));
        let fees = Fees { asset, issuer, base: Amount(base), per_byte: Amount::ZERO, collector };
        Self::with_config(ChannelConfig { fees, ..open_config() })
    }

    /// A channel of this configuration, which is checked.
    pub(crate) fn with_config(config: ChannelConfig) -> Self {
        config.check(config.rules).expect("a test's configuration is valid");
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(&config));
        let time = config.created.plus_millis(1000);
        Self { state, channel: Hash([7; 32]), height: 0, time, certificates: &NoCertificates, nonce: 0 }
    }

    /// Lets `millis` of block time pass before the next block, in which the channel serves: as if it had made its marks
    /// all along.
    pub(crate) fn advance(&mut self, millis: u64) {
        self.advance_to(self.time.plus_millis(millis));
    }

    /// [`Ledger::advance`] to a time.
    pub(crate) fn advance_to(&mut self, time: Time) {
        self.time = time;
        let key = keyspace::service_clock();
        let clock: Option<ServiceClock> = record::read(&self.state, &key).expect("memory does not fail");
        if let Some(clock) = clock.filter(|clock| clock.last.is_some()) {
            self.put(key, &ServiceClock { last: Some(time), ..clock });
        }
    }

    /// Lets `millis` of block time pass before the next block, in which the channel does not serve.
    pub(crate) fn outage(&mut self, millis: u64) {
        self.time = self.time.plus_millis(millis);
    }

    /// Runs the blocks that the channel's own timers make in the next `millis`: their receipts.
    pub(crate) fn serve(&mut self, millis: u64) -> Vec<Receipt> {
        let until = self.time.plus_millis(millis);
        let mut receipts = Vec::new();
        while let Some(due) = next_timer(&self.state).expect("memory does not fail").filter(|due| *due <= until) {
            self.time = self.time.max(due);
            receipts.extend(self.run(&[]));
        }
        self.time = self.time.max(until);
        receipts
    }

    /// Writes a record past all rules, such as a participant's.
    pub(crate) fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) {
        self.state.apply(&Writes::from([(key, Some(record::to_value(record)))]));
    }

    /// Makes signer `number` a participant, as an admission by a certificate of its own does: number, key and CA are told
    /// by the record that comes back.
    pub(crate) fn admit(&mut self, number: u8, identity: &Identity) -> Participant {
        let config = config_of(&self.state).expect("memory does not fail").config;
        let participant = participant(&config, number, identity);
        let (issuer, key, serial) = (participant.issuer, participant.key, &participant.serial.0);
        let (text, address) = (identity.to_string(), address(number));
        self.put(keyspace::participant(&address), &participant);
        self.list(keyspace::identity_address(&text, &address));
        let place = keyspace::identity(&text);
        let read = record::read(&self.state, &place).expect("memory does not fail");
        let mut known: KnownIdentity = read.unwrap_or_default();
        known.addresses.push(address);
        self.put(place, &known);
        let holder = Some(CertificateHolder { identity: identity.clone(), key });
        self.put(keyspace::certificate(&issuer, serial), &KnownCertificate { holder, ..KnownCertificate::default() });
        let named = NamedCertificate { issuers: vec![issuer], revoked_height: None, admitted_height: Some(0) };
        self.put(keyspace::named_certificate(&text, serial), &named);
        let bound = CertificateKey { addresses: vec![address], compromised_height: None };
        self.put(keyspace::certificate_key(&issuer, &key), &bound);
        if identity.role() == Role::Admin {
            let place = keyspace::administrators(identity.organization());
            let read = record::read(&self.state, &place).expect("memory does not fail");
            let mut administrators: Administrators = read.unwrap_or_default();
            administrators.known.push(address);
            self.put(place, &administrators);
        }
        participant
    }

    /// Puts an entry of a listing family.
    pub(crate) fn list(&mut self, key: Vec<u8>) {
        self.state.apply(&Writes::from([(key, Some([1u8].as_slice().into()))]));
    }

    /// What a block of these uses.
    pub(crate) fn usage(&self, transactions: &[VerifiedTransaction]) -> Usage {
        super::usage(&self.state, &self.next_block(transactions)).expect("memory does not fail")
    }

    /// A verified transaction by `signers`, the first of them the sender.
    pub(crate) fn transaction(&mut self, signers: &[u8], actions: Vec<Action>) -> VerifiedTransaction {
        let keys: Vec<SigningKey> = signers.iter().map(|number| signer(*number)).collect();
        // Of several signers the payload names the sender.
        let sender = signers.first().filter(|_| signers.len() > 1).map(|first| address(*first));
        let transaction = Transaction { sender, ..self.unsigned(actions) };
        let envelope = Envelope::sign_binary(&transaction, &keys.iter().collect::<Vec<_>>());
        self.verified(envelope)
    }

    /// A verified transaction in JSON.
    pub(crate) fn json_transaction(&mut self, number: u8, actions: Vec<Action>) -> VerifiedTransaction {
        let payload = serde_json::to_vec(&self.unsigned(actions)).expect("a transaction serializes");
        self.verified(Envelope::sign(Encoding::Json, payload, &[&signer(number)]))
    }

    fn unsigned(&mut self, actions: Vec<Action>) -> Transaction {
        self.nonce += 1;
        Transaction {
            channel: self.channel,
            nonce: self.nonce,
            valid_until: self.time.plus_millis(60_000),
            fee_max: Amount::MAX,
            actions,
            memo: String::new(),
            sender: None,
        }
    }

    fn verified(&self, envelope: Envelope) -> VerifiedTransaction {
        let parsed = parse(envelope, self.channel, &open_config().limits).expect("a test's transaction is well formed");
        let mut verified = verify_all(vec![parsed], [1; 32], &mut KeyCache::default());
        verified.pop().expect("one verdict for one transaction").expect("a test's signatures verify")
    }

    fn next_block<'a>(&'a self, transactions: &'a [VerifiedTransaction]) -> BlockInput<'a> {
        BlockInput {
            channel: self.channel,
            height: self.height + 1,
            time: self.time,
            certificates: self.certificates,
            transactions,
        }
    }

    /// What the next block would do; the state stays as it is.
    pub(crate) fn preview(&self, transactions: &[VerifiedTransaction]) -> Executed {
        let Ran { executed, fates, .. } = self.draft(transactions);
        assert!(fates.iter().all(|fate| *fate == Fate::Included), "all may be in the block: {fates:?}");
        executed
    }

    /// What the next block would be of what is offered; the state stays as it is.
    pub(crate) fn draft(&self, transactions: &[VerifiedTransaction]) -> Ran {
        let config = config_of(&self.state).expect("memory does not fail").config;
        run(&self.state, &config, &self.next_block(transactions)).expect("memory does not fail")
    }

    /// Executes the next block and applies it: transactions as signers and actions. Receipts of timers come first.
    pub(crate) fn run(&mut self, transactions: &[(&[u8], Vec<Action>)]) -> Vec<Receipt> {
        let verified: Vec<VerifiedTransaction> =
            transactions.iter().map(|(signers, actions)| self.transaction(signers, actions.clone())).collect();
        self.seal(&verified).0
    }

    /// Makes the next block of what is offered and applies it: receipts, those of timers first, and fates. A proposer and
    /// whoever executes its block agree.
    pub(crate) fn seal(&mut self, offered: &[VerifiedTransaction]) -> (Vec<Receipt>, Vec<Fate>) {
        let Ran { executed, fates, .. } = self.draft(offered);
        let mut fate = fates.iter();
        let included: Vec<VerifiedTransaction> =
            offered.iter().filter(|_| fate.next() == Some(&Fate::Included)).cloned().collect();
        assert_eq!(self.preview(&included), executed, "the block executes to something else than its draft");
        self.state.apply(&executed.writes);
        self.height += 1;
        self.time = self.time.plus_millis(1);
        (executed.receipts, fates)
    }

    /// A block of one transaction by one signer: its code and message. A timer's receipt is passed over.
    pub(crate) fn one(&mut self, signer: u8, actions: Vec<Action>) -> (ResultCode, String) {
        self.signed(&[signer], actions)
    }

    /// [`Ledger::one`] with several signers. The same for what leaves no receipt.
    pub(crate) fn signed(&mut self, signers: &[u8], actions: Vec<Action>) -> (ResultCode, String) {
        let transaction = self.transaction(signers, actions);
        let (mut receipts, mut fates) = self.seal(&[transaction]);
        if let Some(Fate::Dropped { code, detail }) = fates.pop() {
            return (code, detail.words(code));
        }
        let receipt = receipts.pop().expect("a transaction has a receipt");
        let code = ResultCode::from_number(receipt.head.code).expect("a receipt has a known code");
        (code, receipt.message())
    }

    /// A block of one transaction that must succeed.
    pub(crate) fn done(&mut self, signer: u8, actions: Vec<Action>) {
        let (code, message) = self.one(signer, actions);
        assert_eq!(code, ResultCode::Done, "{message}");
    }
}

/// The record of signer `number` as a participant, for whom the CAs vouch that are listed for its organization.
pub(crate) fn participant(config: &ChannelConfig, number: u8, identity: &Identity) -> Participant {
    let member = config.organizations.iter().find(|member| member.name == identity.organization());
    let listed = member.map(|member| member.authorities.as_slice()).unwrap_or_default();
    let authorities: Vec<Hash> = listed
        .iter()
        .filter_map(|der| NoCertificates.authority_key(crate::state::participant::PathRules::V1, &der.0))
        .collect();
    Participant {
        identity: identity.clone(),
        serial: HexBytes(vec![number]),
        issuer: authorities.first().copied().unwrap_or_default(),
        key: certificate_key(&signer(number).public()),
        authorities,
        above: Vec::new(),
        not_after: Time::from_millis(u64::MAX),
        admitted_height: 0,
        revoked_height: None,
        revoked_before: None,
    }
}

/// Anybody may read and submit; payloads and actions up to the protocol's limits.
pub(crate) fn open_config() -> ChannelConfig {
    let peer = Identity::new("test.example", "alpha", Role::Peer, "p1").expect("a valid identity");
    ChannelConfig {
        rules: crate::rules::RULES,
        name: "main".into(),
        consortium: "test.example".into(),
        created: Time::from_millis(1_795_000_000_000),
        salt: HexBytes(vec![0; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: peer, key: signer(200).public(), weight: 1 }],
        threshold: 1,
        organizations: vec![Organization {
            name: "alpha".into(),
            title: "Alpha".into(),
            authorities: vec![HexBytes(vec![0x30])],
        }],
        grants: Vec::new(),
        public_read: true,
        open_submit: true,
        limits: Limits {
            payload_bytes_max: u32::try_from(limits::PAYLOAD_BYTES_MAX).expect("fits"),
            actions_max: u32::try_from(limits::ACTIONS_MAX).expect("fits"),
            ..Limits::default()
        },
        fees: Fees::default(),
        approvals: crate::formats::config::Approvals::Any,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}
