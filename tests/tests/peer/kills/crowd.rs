//! Who is at work when the peer is killed: clients that post to every channel, and its subscribers.

use super::ledger::{Ledger, Poster};
use super::readers::{Followed, Reader};
use crate::harness::{Peer, append, define, mint, transfer};
use crate::seeds::Random;
use ledger_classes::action::{Action, assets, contracts};
use ledger_classes::primitives::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Clients of each channel: the keys 1 to this one. One account more only receives.
const CLIENTS: u8 = 3;
/// Units of each account at first.
const EACH: u128 = 2_000;
/// Units of a channel.
pub(super) const SUPPLY: u128 = EACH * CLIENTS as u128;
/// Who defines, and who sells.
const ISSUER: u8 = 200;

/// What a channel needs before clients come.
pub(super) async fn set_up(poster: &Poster) {
    let art = Action::AssetDefine(assets::Define {
        asset: "art".into(),
        title: "art".into(),
        kind: assets::Kind::Unique {},
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    });
    let sale = contracts::Deploy { contract: "sale".into(), engine: "builtin".into(), code: "auction".into() };
    let supply = (1..=CLIENTS).map(|client| mint("usd", client, EACH));
    let actions = [define("usd"), art, Action::ContractDeploy(sale)].into_iter().chain(supply);
    poster.done(ISSUER, actions.collect()).await;
}

/// Opens an auction that ends in a second or two, in this round or the next one.
async fn open_auction(poster: &Poster, instance: &str, random: &mut Random) {
    let to = crate::harness::address(ISSUER);
    let item = assets::MintItem { asset: "art".into(), item: instance.into(), to, metadata: Hash::ZERO };
    let ends = client::now().plus_millis(1_000 + random.below(2_000));
    let arguments = serde_json::json!({
        "item": { "asset": "art", "item": instance }, "currency": "usd", "ends": ends, "reserve": "50",
        "minimum_increment": "1",
    });
    let create =
        contracts::Create { contract: "sale".into(), instance: instance.into(), arguments: arguments.to_string() };
    poster.done(ISSUER, vec![Action::AssetMintItem(item), Action::ContractCreate(create)]).await;
}

/// What a client does next. Some of it is refused by the ledger, and must then have no effect.
fn draw(random: &mut Random, auction: &str) -> Vec<Action> {
    let to = u8::try_from(1 + random.below(u64::from(CLIENTS) + 1)).expect("small");
    let some = transfer("usd", to, 1 + u128::from(random.below(40)));
    let too_much = transfer("usd", to, 1_000_000);
    let step = append("steps", random.below(1_000_000).to_string());
    match random.below(12) {
        0..=4 => vec![some],
        5 => vec![too_much],
        6 | 7 => vec![step],
        8 => vec![some, step],
        9 => vec![some, step, too_much],
        _ => {
            let arguments = serde_json::json!({ "amount": (1 + random.below(400)).to_string() }).to_string();
            let call = contracts::Call { instance: auction.into(), method: "bid".into(), arguments };
            vec![Action::ContractCall(call)]
        }
    }
}

/// Everybody who is at work until the peer is gone.
pub(super) struct Crowd {
    clients: Vec<JoinHandle<()>>,
    readers: Vec<(usize, JoinHandle<Reader>)>,
    answered: Arc<Semaphore>,
}

impl Crowd {
    /// Everybody comes.
    pub(super) async fn gather(
        peer: &Peer,
        profile: &Path,
        ledgers: &mut [Ledger],
        round: usize,
        random: &mut Random,
    ) -> Self {
        let answered = Arc::new(Semaphore::new(0));
        let (mut clients, mut readers) = (Vec::new(), Vec::new());
        let followed = Followed::new(peer, profile);
        let auction = format!("sale-{round}");
        for (place, ledger) in ledgers.iter_mut().enumerate() {
            for reader in ledger.readers.drain(..) {
                readers.push((place, tokio::spawn(reader.follow(followed.clone(), ledger.name.clone(), None))));
            }
            open_auction(&ledger.poster(&peer.connect(profile)), &auction, random).await;
            for client in 1..=CLIENTS {
                let poster = ledger.poster(&peer.connect_once(profile)).counting(&answered);
                let (auction, mut random) = (auction.clone(), random.fork());
                clients.push(tokio::spawn(async move {
                    while poster.post(client, draw(&mut random, &auction)).await.is_some() {}
                }));
            }
        }
        Self { clients, readers, answered }
    }

    /// Waits for so many answers.
    pub(super) async fn answered(&self, answers: u64) {
        let answers = u32::try_from(answers).expect("small");
        self.answered.acquire_many(answers).await.expect("open").forget();
    }

    /// The peer is gone: everybody goes, and the subscribers keep what they have.
    pub(super) async fn leave(self, ledgers: &mut [Ledger]) {
        for client in self.clients {
            client.await.expect("what a client was told holds");
        }
        for (place, reader) in self.readers {
            ledgers[place].readers.push(reader.await.expect("what a subscriber was sent holds"));
        }
    }
}
