//! Setting the scene: certificates, the peer, channels, participants, money and cars, applications and evidence.

use crate::{
    NewPeer,
    cast::{CARS, MONEY, euros},
    process::Watcher,
    steps::{Shown, StepError, expect},
    world::{Actor, PATIENCE, World, short},
};
use ca::{CertificateFolder, office::issuing::LeafOptions};
use client::{
    admit::admission,
    api::{ChannelSpec, SpecOrganization},
    keys::{WordCount, Words, write_account_key},
};
use futures_util::future::try_join_all;
use ledger_classes::action::{Action, assets};
use ledger_classes::formats::rights::{Grant, Grantee, Right};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use std::{fs, net::TcpListener, path::Path};

/// The channel that every peer has.
pub(super) const MAIN: &str = "main";
/// Subscribers by what they are called.
pub(super) const ALL_OF_LENDING: &str = "all of lending";
pub(super) const ALL_OF_AUCTION: &str = "all of auction";
pub(super) const LOGS_OF_AUCTION: &str = "logs of auction";
/// The reader who may see log records only.
pub(super) const LOG_READER: &str = "luis";
/// The auditor.
pub(super) const AUDITOR: &str = "vera";
/// A profile without certificate.
pub(super) const ANONYMOUS: &str = "passer-by";

/// Step 1: what `chancery init` makes, then two more organizations with CAs of their own, then everybody's profile.
pub(super) async fn certificates(world: &mut World) -> Shown {
    let cast = world.cast.clone();
    let (host, founder) = (cast.host()?, cast.founder()?);
    // Both ports are free now and taken by the peer in a moment.
    let (listen, metrics) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let directory = world.peer_dir();
    let made = NewPeer {
        dir: &directory,
        consortium: &cast.consortium.consortium,
        organization: &host.name,
        admin: &founder.name,
        listen: listen.local_addr()?,
        metrics_listen: metrics.local_addr()?,
    };
    world.address = format!("https://{}", made.listen);
    world.metrics = format!("http://{}/metrics", made.metrics_listen);
    let founders = world.setup.make_peer(&made)?;
    drop((listen, metrics));

    let folder = CertificateFolder::open(&world.peer_dir())?.because(world.setup.cause());
    for organization in cast.consortium.organizations.iter().skip(1) {
        let algorithm = organization.algorithm()?;
        match organization.own_root {
            true => folder.authorities().add_organization_root(&organization.name, algorithm, client::now())?,
            false => folder.authorities().add_organization(&organization.name, algorithm, client::now())?,
        };
    }
    for (organization, person) in cast.people() {
        let directory = match person.name == founder.name {
            true => founders.clone(),
            false => world.profile_dir(&person.name),
        };
        if person.name != founder.name {
            let identity = cast.identity(&person.name)?;
            let leaf = LeafOptions { algorithm: organization.algorithm()?, ..LeafOptions::default() };
            folder.issuing().issue_profile(&identity, &leaf, &directory, client::now())?;
            world.setup.make_profile(&directory, &world.address, &cast.consortium.consortium)?;
        }
        write_account(&directory)?;
        world.people.insert(person.name.clone(), Actor::open(&directory)?);
    }
    let anonymous = world.profile_dir(ANONYMOUS);
    fs::create_dir_all(&anonymous)?;
    copy_trust(&world.profile_dir(AUDITOR), &anonymous)?;
    world.setup.make_profile(&anonymous, &world.address, &cast.consortium.consortium)?;
    write_account(&anonymous)?;
    world.people.insert(ANONYMOUS.into(), Actor::open(&anonymous)?);

    let issued = folder.records()?.certificates().len();
    expect("certificates issued", &issued, &(cast.people().count() + 1))?;
    let mut facts = vec![format!("{issued} certificates of the consortium {}", cast.consortium.consortium)];
    facts.extend(cast.consortium.organizations.iter().map(|of| {
        let root = if of.own_root { "a root of its own" } else { "below the consortium's root" };
        let people: Vec<&str> = of.people.iter().map(|person| person.name.as_str()).collect();
        format!("{}: {} keys, CA {root}; {}", of.title, of.keys, people.join(", "))
    }));
    Ok(facts)
}

fn copy_trust(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from.join("ca.pem"), to.join("ca.pem")).map(drop)
}

/// Makes an account key from fresh words.
fn write_account(profile: &Path) -> Result<(), StepError> {
    let path = profile.join("account.key");
    match path.exists() {
        true => Ok(()),
        false => Ok(write_account_key(&path, &Words::generate(WordCount::TwentyFour)?.key(0, "")?)?),
    }
}

/// Step 2: `chancery serve` as a process of its own.
pub(super) async fn peer(world: &mut World) -> Shown {
    let status = world.start_peer().await?;
    let caller = world.cast.identity(&world.cast.founder()?.name)?.to_string();
    expect("who the peer takes the caller for", &status.caller, &Some(caller))?;
    let names: Vec<&str> = status.channels.iter().map(|channel| channel.name.as_str()).collect();
    expect("channels at the start", &names, &vec![MAIN])?;
    let main = status.channels.first().map(|channel| channel.id).ok_or_else(|| StepError::failed("no main"))?;
    world.channels.insert(MAIN.into(), main);
    Ok(vec![format!("{} answers at {}", status.peer, world.address), format!("{MAIN} is {}", short(&main))])
}

/// Step 3: the private channels, and subscribers from their first block on.
pub(super) async fn channels(world: &mut World) -> Shown {
    let cast = world.cast.clone();
    let host = cast.host()?;
    let peer = Identity::new(
        &cast.consortium.consortium,
        &host.name,
        ledger_classes::primitives::identity::Role::Peer,
        "peer-1",
    )?;
    let mut facts = Vec::new();
    for channel in &cast.consortium.channels {
        let mut grants = vec![Grant {
            to: Grantee::Identity(peer.clone()),
            rights: [Right::Order, Right::Hold].into_iter().collect(),
        }];
        for grant in &channel.grants {
            let organization = cast.consortium.organizations.iter().any(|of| of.name == grant.to);
            let to = match organization {
                true => Grantee::Organization(grant.to.clone()),
                false => Grantee::Identity(cast.identity(&grant.to)?),
            };
            grants.push(Grant { to, rights: grant.rights()? });
        }
        let member = |of: &crate::cast::Organization| SpecOrganization {
            name: of.name.clone(),
            title: Some(of.title.clone()),
            authorities: Vec::new(),
        };
        let spec = ChannelSpec {
            name: channel.name.clone(),
            engine: None,
            organizations: cast.consortium.organizations.iter().map(member).collect(),
            grants,
            public_read: false,
            open_submit: false,
            limits: None,
            approvals: None,
            budgets: None,
        };
        let view = world.person(&cast.founder()?.name)?.connection.create_channel(&spec).await?;
        facts.push(format!("{} ({}) is {}", view.name, channel.title, short(&view.id)));
        world.channels.insert(view.name, view.id);
    }
    let (lending, auction) = (&cast.loan.channel, &cast.auction.channel);
    let id = world.channel(auction)?.to_string();
    let proven = ["--from", "0", "--proof", "--channel-id", &id];
    for (called, person, channel, words) in [
        (ALL_OF_LENDING, AUDITOR, lending, &["--from", "0"][..]),
        (ALL_OF_AUCTION, AUDITOR, auction, &["--from", "0"]),
        (LOGS_OF_AUCTION, LOG_READER, auction, &proven),
    ] {
        let profile = world.person(person)?.profile.clone();
        let watcher = Watcher::start(&world.program, &profile, channel, words)?;
        world.watchers.insert(called.into(), watcher);
    }
    facts.push(format!("{AUDITOR} (auditor) subscribes to both, {LOG_READER} (may read logs only) to {auction}"));
    Ok(facts)
}

/// Step 4: each signer binds its account to its certificate on the channel.
pub(super) async fn participants(world: &mut World) -> Shown {
    let mut facts = Vec::new();
    for channel in &world.cast.consortium.channels {
        let id = world.channel(&channel.name)?;
        let admitted = try_join_all(channel.participants.iter().map(async |name| {
            let actor = world.person(name)?;
            let credential = actor.opened.credential.as_ref();
            let credential = credential.ok_or_else(|| StepError::failed(format!("{name} has no certificate")))?;
            actor.post(id, vec![admission(credential, id, actor.address)?]).await
        }))
        .await?;
        let height = admitted.iter().map(|receipt| receipt.height).max().unwrap_or_default();
        let names = channel.participants.join(", ");
        facts.push(format!("{}: {} by block {height}: {names}", channel.name, admitted.len()));
    }
    Ok(facts)
}

/// Step 5: money for everybody, cars for the dealer.
pub(super) async fn assets(world: &mut World) -> Shown {
    let mut facts = Vec::new();
    for channel in &world.cast.consortium.channels {
        let id = world.channel(&channel.name)?;
        let kind = assets::Kind::Fungible { decimals: 2, supply_cap: None };
        let mut actions = vec![define(MONEY, "Euro", kind)];
        for (name, units) in &channel.money {
            let (to, amount) = (world.person(name)?.address, Amount(u128::from(*units)));
            actions.push(Action::AssetMint(assets::Mint { asset: MONEY.into(), to, amount }));
        }
        let money = world.person("treasury")?.post(id, actions).await?;
        let cars: Vec<_> = world.cast.cars.iter().filter(|car| car.channel == channel.name).collect();
        let dealer = world.cast.auction.seller.as_str();
        let mut actions = vec![define(CARS, "Cars", assets::Kind::Unique {})];
        for car in &cars {
            let metadata = Hash::plain(&[car.document()?.as_bytes()]);
            let (asset, item, to) = (CARS.into(), car.item.clone(), world.person(&car.owner)?.address);
            actions.push(Action::AssetMintItem(assets::MintItem { asset, item, to, metadata }));
        }
        world.person(dealer)?.post(id, actions).await?;
        for (name, units) in &channel.money {
            let owned = world.owned(name, &channel.name, MONEY).await?;
            expect(&format!("money of {name}"), &owned, &u128::from(*units))?;
        }
        let total: u64 = channel.money.values().sum();
        let items: Vec<&str> = cars.iter().map(|car| car.item.as_str()).collect();
        let total = euros(u128::from(total));
        facts.push(format!("{}: {total} in block {}, {}", channel.name, money.height, items.join(", ")));
    }
    Ok(facts)
}

fn define(asset: &str, title: &str, kind: assets::Kind) -> Action {
    Action::AssetDefine(assets::Define {
        asset: asset.into(),
        title: title.into(),
        kind,
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    })
}

/// Step 6: contracts deployed, applications published, evidence logged; each by a client process.
pub(super) async fn applications(world: &mut World) -> Shown {
    let (loan, auction) = (&world.cast.loan, &world.cast.auction);
    let mut facts = Vec::new();
    // The applications' bundles are what this program has of them: their data files.
    let bundles = [include_str!("../data/loan.toml"), include_str!("../data/auction.toml")];
    for (person, channel, code, app, bundle) in [
        (&loan.registrar, &loan.channel, "lending", &loan.app, bundles[0]),
        (&auction.auctioneer, &auction.channel, "auction", &auction.app, bundles[1]),
    ] {
        let deploy = ["contract", "deploy", code, code, "--channel", channel];
        world.run(person, &deploy).await?.receipt(0)?;
        let bundle = Hash::plain(&[bundle.as_bytes()]).to_string();
        let publish = ["app", "publish", app, "1.0.0", "--title", app, "--bundle-digest", &bundle, "--contract", code];
        let published = world.run(person, &[&publish[..], &["--channel", channel]].concat()).await?.receipt(0)?;
        facts.push(format!("{app} 1.0.0 on {channel}, contract {code}: block {}", published.height));
    }
    for evidence in &auction.evidence {
        let digest = Hash::plain(&[evidence.body.as_bytes()]).to_string();
        let words = ["log", "append", &evidence.topic, "--body", &evidence.body, "--digest", &digest];
        let words = [&words[..], &["--channel", &auction.channel]].concat();
        let appended = world.run(&auction.seller, &words).await?.receipt(0)?;
        let topic = evidence.topic.as_str();
        let reader = world.watcher(LOGS_OF_AUCTION)?;
        let seen = |events: &[client::api::CloudEvent]| events.iter().any(|event| event.subject == topic).then_some(());
        reader.until(&format!("{LOG_READER} receives {topic}"), PATIENCE, seen).await?;
        facts.push(format!("evidence {topic} logged in block {}, delivered with its proof", appended.height));
    }
    Ok(facts)
}
