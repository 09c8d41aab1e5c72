//! One order (Promise 3) as clients see it: transfers between few accounts, many of them refused, by several clients at
//! once, and reads that name their height, over a `kill -9` in every other run. The committed order explains every
//! code and every read, and agrees with real time.

mod model;

use crate::harness::{Consortium, Peer, address, define, key, mint, signed, transfer};
use crate::seeds::{Random, seeds};
use client::api::BlockView;
use client::connection::Connection;
use client::query::Range;
use client::submit::Wait;
use ledger_classes::action::Action;
use ledger_classes::formats::event::Event;
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use model::{Account, Committed, History, Moment, Read, Transfer, Write, check};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

/// Runs if nothing else is said.
const RUNS: u64 = 4;
const ACCOUNTS: u8 = 8;
/// Units of each account at first: so few that many transfers are refused.
const EACH: u128 = 100;
const CLIENTS: u64 = 6;
/// Requests of a client between two starts.
const REQUESTS: u64 = 100;

#[tokio::test]
async fn one_order_explains_every_answer_and_agrees_with_real_time() {
    let consortium = Consortium::new();
    for seed in seeds(RUNS) {
        println!("CHANCERY_SEED={seed} CHANCERY_RUNS=1");
        run(consortium.copy(), Random::new(seed), seed % 2 == 1).await;
    }
}

async fn run(consortium: Consortium, mut random: Random, kills: bool) {
    let mut peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let main = connection.channel("main").await.expect("public").id;
    let accounts = (1..=ACCOUNTS).map(|account| mint("usd", account, EACH));
    let setup = signed(main, 200, [define("usd")].into_iter().chain(accounts).collect());
    let outcome = connection.submit("main", &setup, Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));

    let bank = Arc::new(Bank {
        main,
        moments: AtomicU64::new(0),
        answered: Semaphore::new(0),
        history: Mutex::new(History { accounts: vec![EACH; ACCOUNTS.into()], ..History::default() }),
    });
    for part in 0..3 {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (bank, random) = (bank.clone(), random.fork());
            clients.spawn(client_of(bank, peer.connect_once(&consortium.admin()), random));
        }
        if kills && part < 2 {
            let answers = random.below(CLIENTS * REQUESTS * 3 / 4);
            let answers = u32::try_from(answers).expect("small");
            bank.answered.acquire_many(answers).await.expect("open").forget();
            random.pause(Duration::from_millis(10)).await;
            peer.kill();
            clients.join_all().await;
            peer = restarted(&consortium).await;
        } else {
            clients.join_all().await;
        }
        bank.answered.forget_permits(usize::MAX);
    }
    let connection = peer.connect(&consortium.admin());
    // What is there at the end was there all the time.
    for account in 0..usize::from(ACCOUNTS) {
        bank.read(&connection, account).await.expect("readable");
    }
    let mut history = bank.history.lock().await.clone();
    history.committed = committed(&connection).await;
    let refused = history.committed.iter().filter(|one| one.code != 0).count();
    let (writes, reads) = (history.writes.len(), history.reads.len());
    println!("{} transfers in blocks, {refused} refused, of {writes} posted; {reads} reads", history.committed.len());
    assert_eq!(check(&history), Ok(()));
    assert!(kills || history.writes.iter().all(|write| write.told.is_some()), "nobody was interrupted");
    assert!(refused > 0 && refused < history.committed.len(), "the workload has both kinds");
}

/// Starts the peer again; `main` serves when this returns.
async fn restarted(consortium: &Consortium) -> Peer {
    let peer = consortium.serve();
    peer.connect(&consortium.admin()).channel("main").await.expect("it serves");
    peer
}

struct Bank {
    main: Hash,
    moments: AtomicU64,
    answered: Semaphore,
    history: Mutex<History>,
}

async fn client_of(bank: Arc<Bank>, connection: Connection, mut random: Random) {
    for _ in 0..REQUESTS {
        let account = random.below(ACCOUNTS.into());
        let to = (account + 1 + random.below(u64::from(ACCOUNTS) - 1)) % u64::from(ACCOUNTS);
        let (account, to) = (usize::try_from(account).expect("small"), usize::try_from(to).expect("small"));
        let amount = u128::from(1 + random.below(160));
        let answered = match random.below(3) {
            0 => bank.read(&connection, account).await,
            _ => bank.write(&connection, Transfer { from: account, to, amount }).await,
        };
        // The end of the peer is the end of this client.
        if answered.is_none() {
            return;
        }
    }
}

impl Bank {
    fn moment(&self) -> Moment {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    async fn write(&self, connection: &Connection, Transfer { from, to, amount }: Transfer) -> Option<()> {
        let envelope = signed(self.main, number(from), vec![transfer("usd", number(to), amount)]);
        let began = self.moment();
        let outcome = connection.submit("main", &envelope, Wait::Committed).await.ok();
        let ended = self.moment();
        let receipt = outcome.map(|outcome| outcome.receipt.expect("committed"));
        let told = receipt.map(|receipt| (ended, (receipt.height, receipt.index), receipt.code));
        self.history.lock().await.writes.push(Write { id: envelope.id().0, began, told });
        self.answered.add_permits(usize::from(told.is_some()));
        told.map(|_| ())
    }

    async fn read(&self, connection: &Connection, account: Account) -> Option<()> {
        let began = self.moment();
        let view = connection.account("main", address(number(account))).await.ok()?;
        let ended = self.moment();
        let owned = view.balances.iter().map(|balance| balance.owned.0).sum();
        self.history.lock().await.reads.push(Read { began, ended, account, height: view.height, owned });
        self.answered.add_permits(1);
        Some(())
    }
}

/// The harness's number of an account.
fn number(account: Account) -> u8 {
    u8::try_from(account + 1).expect("small")
}

fn account_of(address: &Address) -> Account {
    let numbers = 0..usize::from(ACCOUNTS);
    numbers.into_iter().find(|account| key(number(*account)).public().address() == *address).expect("one of ours")
}

/// Every transfer of the blocks.
async fn committed(connection: &Connection) -> Vec<Committed> {
    let mut committed = Vec::new();
    let mut from = Some("0".to_owned());
    while from.is_some() {
        let page = connection.blocks("main", Range { from: from.as_deref(), limit: None }).await.expect("readable");
        committed.extend(page.items.iter().flat_map(transfers));
        from = page.next;
    }
    committed
}

fn transfers(block: &BlockView) -> impl Iterator<Item = Committed> {
    block.transactions.iter().filter_map(|one| {
        let [Action::AssetTransfer(asked)] = one.transaction.actions.as_slice() else { return None };
        let moved = one.receipt.events.iter().map(|view| match &view.event {
            Event::AssetTransferred { from, to, amount, .. } => {
                Transfer { from: account_of(from), to: account_of(to), amount: amount.0 }
            }
            other => panic!("{other:?}"),
        });
        Some(Committed {
            id: one.id.0,
            place: (one.receipt.height, one.receipt.index),
            asked: Transfer { from: account_of(&one.sender), to: account_of(&asked.to), amount: asked.amount.0 },
            code: one.receipt.code,
            moved: moved.collect(),
        })
    })
}
