//! A whole auction: the seller's car in escrow, bids that beat each other, bids that are refused with their codes,
//! settlement by the timer.

use crate::{
    cast::{CARS, MONEY, euros},
    consortium::{ALL_OF_AUCTION, AUDITOR},
    loan::answer,
    steps::{Shown, expect},
    world::{PATIENCE, World, amount, emitted},
};
use client::api::CloudEvent;
use serde_json::json;
use std::collections::BTreeMap;

/// Step 8.
pub(super) async fn auction(world: &mut World) -> Shown {
    let data = &world.cast.auction;
    let (channel, lot, seller) = (data.channel.as_str(), data.lot.as_str(), data.seller.as_str());
    let mut before = BTreeMap::new();
    for person in data.bids.iter().map(|bid| bid.bidder.as_str()).chain([seller]) {
        before.insert(person, world.owned(person, channel, MONEY).await?);
    }

    let ends = world.deadline(data.bids.len() as u64 + 1);
    let arguments = json!({
        "item": { "asset": CARS, "item": data.car }, "currency": MONEY, "ends": ends,
        "reserve": data.reserve.to_string(), "starting_price": data.starting_price.to_string(),
        "minimum_increment": data.minimum_increment.to_string(),
    });
    let arguments = arguments.to_string();
    let words = ["contract", "create", "auction", lot, &arguments, "--base-units", "--channel", channel];
    world.run(seller, &words).await?.receipt(0)?;
    world.expect_item(seller, channel, &data.car, false).await?;

    for bid in &data.bids {
        let arguments = json!({ "amount": bid.amount.to_string() });
        world.call(&bid.bidder, channel, (lot, "bid"), arguments, bid.code).await?;
    }
    let state = answer(world.ask(AUDITOR, channel, (lot, "state"), json!({})).await?);
    let good = data.bids.iter().filter(|bid| bid.code == 0);
    expect("bids that count", &state["bids"].as_u64(), &Some(good.clone().count() as u64))?;

    let settled = |events: &[CloudEvent]| {
        events.iter().find_map(|event| Some((emitted(event, lot, "auction.settled")?, event.id.clone())))
    };
    let watcher = world.watcher(ALL_OF_AUCTION)?;
    let (sale, cursor) = watcher.until("the auction is settled at its end", PATIENCE, settled).await?;
    let winner = world.person(&data.winner)?.address.to_string();
    expect("the winner", &sale["winner"].as_str(), &Some(winner.as_str()))?;
    let price = u128::from(data.price);
    expect("the price", &amount(&sale["price"])?, &price)?;
    expect("how it ended", &sale["how"].as_str(), &Some("ended"))?;
    world.expect_item(&data.winner, channel, &data.car, true).await?;
    for (person, held) in before {
        let expected = match person {
            person if person == data.winner => held - price,
            person if person == seller => held + price,
            _ => held,
        };
        expect(&format!("money of {person}"), &world.owned(person, channel, MONEY).await?, &expected)?;
    }
    let late = json!({ "amount": (data.price + data.minimum_increment).to_string() });
    let late = world.call(&data.winner, channel, (lot, "bid"), late, 420).await?;

    let bids: Vec<String> = good.map(|bid| format!("{} {}", bid.bidder, euros(u128::from(bid.amount)))).collect();
    let refused: Vec<String> = data
        .bids
        .iter()
        .filter(|bid| bid.code != 0)
        .map(|bid| format!("{} {} ({})", bid.bidder, euros(u128::from(bid.amount)), bid.code))
        .collect();
    Ok(vec![
        format!("bids: {}", bids.join(", ")),
        format!("refused: {}", refused.join(", ")),
        format!("{} gets {} for {} by the timer, event {cursor}", data.winner, data.car, euros(price)),
        format!("a bid after the end is refused ({})", late.code),
    ])
}
