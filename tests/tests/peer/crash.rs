//! Promises 1 and 2 under `kill -9`: what was acknowledged is there after a restart with the same receipt, nothing is
//! half there, and offline verification agrees.

use crate::harness::{Consortium, address, define, mint, run, signed, text, transfer};
use client::api::{Outcome, SubmissionStatus};
use client::submit::Wait;
use ledger_classes::hash::Hash;
use ledger_classes::transaction::Envelope;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ROUNDS: usize = 6;
const CLIENTS: u8 = 4;
const SUPPLY: u128 = 1_000_000;

/// Receipts that clients were told of.
type Acknowledged = Arc<Mutex<BTreeMap<Hash, Outcome>>>;

fn committed(outcome: &Outcome) -> bool {
    outcome.status == SubmissionStatus::Committed
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let consortium = Consortium::new();
    let acknowledged = Acknowledged::default();
    let mut peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let main = connection.channel("main").await.expect("public").id;
    let supply = (0..CLIENTS).map(|client| mint("usd", client + 1, SUPPLY));
    let setup = signed(main, 200, [define("usd")].into_iter().chain(supply).collect());
    let outcome = connection.submit("main", &setup, Wait::Committed).await.expect("taken");
    assert!(committed(&outcome) && outcome.receipt.is_some_and(|receipt| receipt.code == 0));

    for round in 0..ROUNDS {
        // How many answers before the kill: early, late, in the middle of batches.
        let enough = 3 + round * 17;
        let answers = Arc::new(AtomicUsize::new(0));
        let (reached, mut kill) = tokio::sync::mpsc::channel::<()>(64);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let connection = peer.connect(&consortium.admin());
                let (acknowledged, answers, reached) = (acknowledged.clone(), answers.clone(), reached.clone());
                tokio::spawn(async move {
                    let mut sent: Vec<Envelope> = Vec::new();
                    loop {
                        let envelope = signed(main, client + 1, vec![transfer("usd", (client + 1) % CLIENTS + 1, 1)]);
                        sent.push(envelope.clone());
                        // The end of the peer is the end of this client.
                        let Ok(outcome) = connection.submit("main", &envelope, Wait::Committed).await else {
                            return sent;
                        };
                        if committed(&outcome) {
                            let id = outcome.id.expect("committed ones have ids");
                            acknowledged.lock().expect("not poisoned").insert(id, outcome);
                        }
                        if answers.fetch_add(1, Ordering::Relaxed) + 1 >= enough {
                            let _ = reached.try_send(());
                        }
                    }
                })
            })
            .collect();
        kill.recv().await.expect("clients are at work");
        peer.kill();
        let mut unanswered = Vec::new();
        for client in clients {
            unanswered.extend(client.await.expect("clients end"));
        }

        peer = consortium.serve();
        let connection = peer.connect(&consortium.admin());
        let known = acknowledged.lock().expect("not poisoned").clone();
        for (id, outcome) in &known {
            let again = connection.transaction("main", *id).await.expect("an acknowledged transaction is there");
            assert_eq!(again.receipt, outcome.receipt, "round {round}");
        }
        // Sent again, those without an answer get one outcome; those with one get the same.
        for envelope in unanswered.iter().rev().take(2 * usize::from(CLIENTS)) {
            let outcome = connection.submit("main", envelope, Wait::Committed).await.expect("taken");
            let receipt = outcome.receipt.clone().expect("committed");
            if let Some(before) = known.get(&envelope.id()) {
                assert_eq!(before.receipt.as_ref(), Some(&receipt), "round {round}");
            }
            acknowledged.lock().expect("not poisoned").insert(envelope.id(), outcome);
        }
        let mut total = 0;
        for client in 0..CLIENTS {
            let account = connection.account("main", address(client + 1)).await.expect("readable");
            total += account.balances.iter().map(|balance| balance.owned.0).sum::<u128>();
        }
        assert_eq!(total, SUPPLY * u128::from(CLIENTS), "round {round}: money was made or lost");
    }
    let height = peer.connect(&consortium.admin()).channel("main").await.expect("public").height;
    // Killed once more, so that verification meets a store that was never closed.
    peer.kill();
    let report = run(&["verify", "--dir", text(&consortium.dir())]);
    let channels = report["channels"].as_array().expect("a list");
    assert_eq!(channels[0]["height"], height, "{report}");
    let counted = channels[0]["transactions"].as_u64().expect("a number");
    assert!(counted as usize >= acknowledged.lock().expect("not poisoned").len());
}
