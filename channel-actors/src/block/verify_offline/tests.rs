//! Bits that rot in the files of a closed channel. Whatever changes an answer is found by verification, which names
//! height and what disagrees; the peer starts, gives right answers or errors, and its other channels serve.
//!
//! `CHANCERY_RUNS` times as many bits at other places, from the seed `CHANCERY_SEED` on.

use super::audit;
use crate::runtime::metrics::Metrics;
use crate::store::StoreOptions;
use crate::store::tests::database;
use crate::test_support::{self, Random, key, seeds};
use crate::{ChannelHandle, ChannelRegistry, LifeCycle, RegistryOptions, SubmitResult, Wait};
use ledger_classes::action::{Action, assets};
use ledger_classes::execution::assets as queries;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use ledger_classes::state::view::ReadView;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const BLOCKS: u64 = 18;

struct Still;

impl crate::runtime::clock::Clock for Still {
    fn now(&self) -> Time {
        test_support::NOW
    }
}

async fn open(directory: &Path) -> Arc<ChannelRegistry> {
    let registry = ChannelRegistry::open(RegistryOptions {
        memory: Default::default(),
        directory: directory.to_owned(),
        seal_key: Arc::new(key(200)),
        certificates: Arc::new(NoCertificates),
        clock: Arc::new(Still),
        shards: 1,
        verification_threads: 1,
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
        store: StoreOptions::default(),
        suspend_after: None,
        metrics: Metrics::new(&mut prometheus_client::registry::Registry::default()),
        tasks: crate::runtime::tasks::Tasks::default(),
    });
    let registry = registry.expect("opens");
    registry.opened().await;
    registry
}

fn actions(nonce: u64) -> Vec<Action> {
    let to = key(2).public().address();
    match nonce {
        0 => vec![
            Action::AssetDefine(assets::Define {
                asset: "usd".into(),
                title: "Money".into(),
                kind: assets::Kind::Fungible { decimals: 2, supply_cap: None },
                mint_authority: None,
                burn_authority: None,
                control_authority: None,
                metadata: None,
            }),
            Action::AssetMint(assets::Mint {
                asset: "usd".into(),
                to: key(1).public().address(),
                amount: Amount(1000),
            }),
        ],
        _ => {
            vec![Action::AssetTransfer(assets::Transfer { asset: "usd".into(), to, amount: Amount(u128::from(nonce)) })]
        }
    }
}

async fn fill(registry: &Arc<ChannelRegistry>, name: &str) {
    let config = ChannelConfig { name: name.into(), ..test_support::config() };
    let channel = registry.create(config).await.expect("creates");
    for nonce in 0..BLOCKS {
        let transaction = test_support::transaction(channel.id().expect("open"), nonce, "");
        let transaction = match nonce % 3 {
            1 => transaction,
            _ => ledger_classes::formats::transaction::Transaction { actions: actions(nonce), ..transaction },
        };
        let envelope = Envelope::sign_binary(&transaction, &[&key(1)]);
        let results = channel.submit(vec![envelope], Wait::Committed).expect("room").await;
        assert!(matches!(&results[..], [SubmitResult::Committed { receipt, .. }] if receipt.head.code == 0));
    }
}

/// All that a channel can be asked, by question: the answer, or `None` for an error.
async fn answers(channel: &ChannelHandle) -> BTreeMap<String, Option<String>> {
    let mut answers = BTreeMap::new();
    for height in 0..=BLOCKS {
        let block = channel
            .read(move |reader| Ok(reader.block(height)?.map(|found| (found.block.clone(), found.receipts.clone()))))
            .await;
        let id = block.as_ref().ok().and_then(|block| Some(block.as_ref()?.1.first()?.head.id));
        answers.insert(format!("block {height}"), block.ok().map(|block| format!("{block:?}")));
        let Some(id) = id else { continue };
        let found = channel.read(move |reader| Ok(reader.transaction(&id)?.map(|found| format!("{found:?}")))).await;
        answers.insert(format!("transaction of {height}"), found.ok().flatten());
        for later in [None, Some(BLOCKS)].into_iter().filter(|later| *later != Some(height)) {
            let proof =
                channel.read(move |reader| Ok(reader.proof(&id, later)?.map(|proof| format!("{proof:?}")))).await;
            answers.insert(format!("proof of {height} at {later:?}"), proof.ok().flatten());
        }
    }
    for account in [1, 2] {
        let account = key(account).public().address();
        let balance = channel.read(move |reader| queries::balance_of(reader.view(), "usd", &account)).await;
        answers.insert(format!("balance of {account}"), balance.ok().map(|balance| format!("{balance:?}")));
    }
    let state = channel.read(|reader| {
        let (mut from, mut entries) = (Vec::new(), Vec::new());
        while let Some((key, value)) = reader.view().first_in(&from, &[0xff])? {
            from = [key.as_slice(), &[0]].concat();
            entries.push((key, value));
        }
        Ok(format!("{entries:?}"))
    });
    answers.insert("state".into(), state.await.ok());
    answers.insert("tip".into(), Some(format!("{:?}", channel.tip())));
    answers
}

#[actix::test]
async fn rot_in_a_closed_channel_is_found_and_harms_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path()).await;
    for name in ["rotten", "sound"] {
        fill(&registry, name).await;
    }
    let right = answers(&registry.by_name("rotten").expect("there")).await;
    assert!(right.values().all(Option::is_some), "{right:?}");
    registry.drain().await;
    let folder = directory.path().join("rotten");
    let names = ["log.redb", "state.redb"];
    // Or most bits would rot in pages that no longer mean anything.
    for name in names {
        while database(&folder, name).compact().expect("compacts") {}
    }
    let files = names.map(|name| std::fs::read(folder.join(name)).expect("readable"));
    let report = audit(&folder, &NoCertificates, |_, _| {}).expect("sound");
    assert_eq!((report.height, report.state_height), (BLOCKS, Some(BLOCKS)));

    let (mut found, mut harmless, mut halted) = (0, 0, 0);
    for seed in seeds(1) {
        let mut random = Random(seed);
        for trial in 0..60 {
            let file = trial % 2;
            let used: Vec<usize> = (0..files[file].len()).filter(|at| files[file][*at] != 0).collect();
            let (at, bit) = (used[random.below(used.len())], 1 << random.below(8));
            let what = format!("seed {seed}, byte {at} ^ {bit} of {}", names[file]);
            let content = |number: usize| {
                let mut bytes = files[number].clone();
                if number == file {
                    bytes[at] ^= bit;
                }
                bytes
            };
            std::fs::remove_dir_all(&folder).expect("removes");
            std::fs::create_dir(&folder).expect("makes");
            for (number, name) in names.iter().enumerate() {
                std::fs::write(folder.join(name), content(number)).expect("writes");
            }
            let verified = audit(&folder, &NoCertificates, |_, _| {});
            assert_eq!(std::fs::read_dir(&folder).expect("lists").count(), 2, "{what}: verification moves nothing");
            for (number, name) in names.iter().enumerate() {
                let bytes = std::fs::read(folder.join(name)).expect("readable");
                assert!(bytes == content(number), "{what}: nor does it write");
            }
            let registry = open(directory.path()).await;
            let sound = registry.by_name("sound").expect("there");
            assert_eq!((sound.state(), sound.tip().height), (LifeCycle::Serving, BLOCKS), "{what}");
            let rotten = registry.by_name("rotten").expect("there");
            if let LifeCycle::Halted { reason } = rotten.state() {
                halted += 1;
                // Both say what they met first: an opening looks up what it needs, verification reads everything.
                let error = crate::block::error::in_full(verified.expect_err(&what));
                let told = |text: &str| text.contains("the log is corrupt: ") || text.contains("the state");
                assert!(reason.starts_with("opening failed: ") && told(&reason), "{what}: {reason}");
                assert!(told(&error), "{what}: {error}");
            } else {
                let given = answers(&rotten).await;
                let wrong: Vec<&String> =
                    right.keys().filter(|question| given.get(*question) != right.get(*question)).collect();
                match &verified {
                    Ok(verified) => {
                        assert_eq!(*verified, report, "{what}");
                        assert!(wrong.is_empty(), "{what}: verification did not find what makes {wrong:?} wrong");
                        harmless += 1;
                    }
                    Err(error) => {
                        let text = crate::block::error::in_full(error);
                        let named = ["block ", "height "].iter().any(|word| text.contains(word));
                        assert!(named, "{what}: {text}");
                        found += 1;
                    }
                }
                for question in wrong {
                    let answer = given.get(question).and_then(Option::as_ref);
                    assert!(answer.is_none(), "{what}: {question}: {answer:?}");
                }
            }
            registry.drain().await;
        }
    }
    println!("{halted} halted, {found} found by verification, {harmless} changed nothing");
    assert!(halted + found > 0, "some bit means something");
}
