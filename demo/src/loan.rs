//! A whole loan: request against a car, competing quotes, award by the timer, repayment, the credit record.

use crate::{
    cast::{CARS, MONEY, euros},
    consortium::{ALL_OF_LENDING, AUDITOR},
    steps::{Shown, StepError, expect},
    world::{PATIENCE, World, amount, emitted, short},
};
use client::api::CloudEvent;
use futures_util::future::try_join_all;
use serde_json::json;

/// Step 7.
pub(super) async fn loan(world: &mut World) -> Shown {
    let data = &world.cast.loan;
    let (channel, desk, loan) = (data.channel.as_str(), data.desk.as_str(), data.loan.as_str());
    let borrower = data.borrower.as_str();
    let principal = u128::from(data.amount);
    let before = [world.owned(borrower, channel, MONEY).await?, world.owned(&data.winner, channel, MONEY).await?];

    let organization = world.cast.identity(&data.registrar)?.organization().to_owned();
    let arguments = json!({ "currencies": [MONEY], "grace_seconds": 604_800, "registrars": [organization] });
    let arguments = arguments.to_string();
    let words = ["contract", "create", "lending", desk, &arguments, "--base-units", "--channel", channel];
    world.run(&data.registrar, &words).await?.receipt(0)?;
    let address = world.person(borrower)?.address.to_string();
    world.call(&data.registrar, channel, (desk, "register_borrower"), json!({ "borrower": address }), 0).await?;

    // Until the deadline: the request, the quotes side by side, and one that must be refused.
    let deadline = world.deadline(6);
    let request = json!({
        "loan": loan, "asset": MONEY, "amount": data.amount.to_string(), "term_seconds": data.term_seconds,
        "installments": data.installments, "rate_max_bps": data.rate_max_bps, "quote_deadline": deadline,
        "collateral": { "item": { "asset": CARS, "item": data.collateral } },
    });
    world.call(borrower, channel, (desk, "request"), request, 0).await?;
    world.expect_item(borrower, channel, &data.collateral, false).await?;
    let quote = |rate: u32| json!({ "loan": loan, "rate_bps": rate });
    try_join_all(
        data.quotes
            .iter()
            .map(async |offer| world.call(&offer.lender, channel, (desk, "quote"), quote(offer.rate_bps), 0).await),
    )
    .await?;
    let refused = &data.refused;
    world.call(&refused.lender, channel, (desk, "quote"), quote(refused.rate_bps), refused.code).await?;

    // Nobody posts anything now: the deadline alone makes the next block.
    let awarded = |events: &[CloudEvent]| {
        let found = events.iter().find_map(|event| Some((emitted(event, desk, "lending.awarded")?, event.id.clone())));
        found.filter(|(data, _)| data["loan"] == loan)
    };
    let watcher = world.watcher(ALL_OF_LENDING)?;
    let (award, cursor) = watcher.until("the loan is awarded at its deadline", PATIENCE, awarded).await?;
    let winner = world.person(&data.winner)?;
    expect("the winner", &award["lender"].as_str(), &Some(winner.address.to_string().as_str()))?;
    let rate = data.quotes.iter().map(|quote| quote.rate_bps).min().unwrap_or_default();
    expect("the rate", &award["rate_bps"].as_u64(), &Some(u64::from(rate)))?;
    let funded = world.owned(borrower, channel, MONEY).await?;
    expect("the borrower's money after the award", &funded, &(before[0] + principal))?;
    for offer in data.quotes.iter().filter(|offer| offer.lender != data.winner) {
        let held = world.cast.consortium.channels.iter().find(|of| of.name == channel);
        let held = held.and_then(|of| of.money.get(&offer.lender)).copied().unwrap_or_default();
        let owned = world.owned(&offer.lender, channel, MONEY).await?;
        expect(&format!("{} has its escrow back", offer.lender), &owned, &u128::from(held))?;
    }

    let part = json!({ "loan": loan, "amount": data.partial_repayment.to_string() });
    world.call(borrower, channel, (desk, "repay"), part, 0).await?;
    world.call(borrower, channel, (desk, "repay"), json!({ "loan": loan }), 0).await?;
    let record = world.ask(AUDITOR, channel, (desk, "loan"), json!({ "loan": loan })).await?;
    let record = answer(record);
    expect("the loan's status", &record["status"].as_str(), &Some("repaid"))?;
    let repaid = amount(&record["repaid"])?;
    let interest = repaid.checked_sub(principal).ok_or_else(|| StepError::failed("less repaid than borrowed"))?;
    let after = [world.owned(borrower, channel, MONEY).await?, world.owned(&data.winner, channel, MONEY).await?];
    expect("what the borrower paid and the lender earned", &after, &[before[0] - interest, before[1] + interest])?;
    world.expect_item(borrower, channel, &data.collateral, true).await?;

    let credit = world.ask(AUDITOR, channel, (desk, "credit"), json!({ "borrower": address })).await?;
    let credit = answer(credit);
    for (field, expected) in [("requests", 1), ("funded", 1), ("repaid", 1), ("defaulted", 0), ("late_payments", 0)] {
        expect(&format!("{field} of the credit record"), &credit[field].as_u64(), &Some(expected))?;
    }
    let totals = &credit["totals"][0];
    expect("borrowed in all", &amount(&totals["total_borrowed"])?, &principal)?;
    expect("repaid in all", &amount(&totals["total_repaid"])?, &repaid)?;
    expect("outstanding", &amount(&totals["outstanding"])?, &0)?;

    let percent = |rate: u32| format!("{}.{:02} %", rate / 100, rate % 100);
    let offers: Vec<String> =
        data.quotes.iter().map(|quote| format!("{} {}", quote.lender, percent(quote.rate_bps))).collect();
    Ok(vec![
        format!(
            "{borrower} asks for {} against {}, at most {}",
            euros(principal),
            data.collateral,
            percent(data.rate_max_bps)
        ),
        format!("quotes: {}; {}'s own is refused ({})", offers.join(", "), refused.lender, refused.code),
        format!("{} wins by the timer, event {cursor}, account {}", data.winner, short(&winner.address)),
        format!(
            "repaid early: {} with {} interest; the car is back, the credit record says so",
            euros(repaid),
            euros(interest)
        ),
    ])
}

/// A query's answer without its envelope.
pub(super) fn answer(mut value: serde_json::Value) -> serde_json::Value {
    match value.get_mut("result") {
        Some(inner) => inner.take(),
        None => value,
    }
}
