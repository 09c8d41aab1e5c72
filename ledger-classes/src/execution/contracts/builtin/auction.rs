//! The auction: a seller puts in a unique item, bidders escrow what they bid, the highest bid wins at a time or
//! at the buy-now price. Methods and codes: `docs/contracts.md`.
//!
//! Relations that always hold while an auction is open: its account holds the item, and of the currency exactly the
//! highest bid; the highest bid is below the buy-now price. After its end its account holds nothing.
//! Settlement moves item and money in one step or not at all; if it cannot (a paused asset, a frozen item), the
//! auction stays as it is and `settle` does it later.

use super::{Contract, Nothing, Parties, emit, invalid, no_method, number, parse, text};
use crate::action::assets::ItemName;
use crate::amount::Amount;
use crate::codec::{Decode, Encode};
use crate::execution::contracts::Call;
use crate::execution::contracts::engine::InstanceView;
use crate::identity::Identity;
use crate::keys::Address;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::record::Record;
use crate::state::ReadError;
use crate::time::Time;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

const RECORD: &[u8] = b"auction";
const BID: &[u8] = b"bid/";
const TIMER: &str = "end";
/// Bids in one answer.
const BIDS_LISTED_MAX: u32 = 100;

/// What becomes of an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Takes bids until its end; then waits to be settled.
    Open,
    /// Item and money changed hands.
    Settled,
    /// There was no winner; everything went back.
    Returned,
    /// The seller withdrew the item before any bid.
    Cancelled,
}

/// A bid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Bid {
    /// Who.
    pub bidder: Address,
    /// How much.
    pub amount: Amount,
    /// Block time.
    pub time: Time,
}

impl Record for Bid {}

/// The state of an auction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Auction {
    /// Who sells.
    pub seller: Address,
    /// The seller's identity, so that it cannot bid from another address.
    pub seller_identity: Option<Identity>,
    /// What is sold.
    pub item: ItemName,
    /// The fungible asset bid in.
    pub currency: String,
    /// Block time from which no bid is taken.
    pub ends: Time,
    /// The least that the seller sells for.
    pub reserve: Amount,
    /// The least first bid.
    pub starting_price: Amount,
    /// By how much a bid must exceed the one it beats.
    pub minimum_increment: Amount,
    /// The price that ends the auction at once.
    pub buy_now: Option<Amount>,
    /// Who may bid.
    pub bidders: Parties,
    /// What became of it.
    pub phase: Phase,
    /// The highest bid, in escrow while the auction is open; afterwards the price paid, if it was sold.
    pub highest: Option<Bid>,
    /// Number of bids.
    pub bids: u32,
}

impl Record for Auction {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArguments {
    item: ItemName,
    currency: String,
    ends: Time,
    reserve: Amount,
    minimum_increment: Amount,
    #[serde(default)]
    starting_price: Amount,
    #[serde(default)]
    buy_now: Option<Amount>,
    #[serde(default)]
    bidders: Parties,
}

const CREATE_FORM: &str = r#"{"item": {"asset", "item"}, "currency", "ends": time, "reserve", "minimum_increment", "starting_price"?, "buy_now"?, "bidders"?: "any" or {"organizations": [...]}}, amounts as strings"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BidArguments {
    amount: Amount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BidsArguments {
    #[serde(default)]
    from: u32,
}

#[derive(Serialize)]
struct StateAnswer {
    #[serde(flatten)]
    auction: Auction,
    /// The least that a bid must be now, while one is possible.
    least_bid: Option<Amount>,
    /// The last bids, oldest first.
    last_bids: Vec<Bid>,
}

/// The code `auction`.
pub(super) struct AuctionContract;

impl Contract for AuctionContract {
    fn create(&self, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
        let CreateArguments { item, currency, ends, reserve, minimum_increment, starting_price, buy_now, bidders } =
            parse(arguments, CREATE_FORM)?;
        if ends <= call.time() {
            return invalid("an auction ends after it begins");
        }
        if minimum_increment.is_zero() {
            return invalid("the minimum increment is at least 1");
        }
        if buy_now.is_some_and(|price| price.is_zero() || price < reserve || price < starting_price) {
            return invalid("the buy-now price is not zero and not below the reserve or the starting price");
        }
        if !bidders.check() {
            return invalid("bidders are \"any\" or 1 to 256 organizations");
        }
        // Fails here, and not at the first bid, if there is no such fungible asset.
        call.free_balance(&currency, &call.caller())?;
        call.pull_item(&item.asset, &item.item)?;
        call.set_timer(TIMER, ends)?;
        let auction = Auction {
            seller: call.caller(),
            seller_identity: call.identity().cloned(),
            item,
            currency,
            ends,
            reserve,
            starting_price,
            minimum_increment,
            buy_now,
            bidders,
            phase: Phase::Open,
            highest: None,
            bids: 0,
        };
        call.write(RECORD, &auction)?;
        emit(
            call,
            "auction.opened",
            &[
                ("seller", text(auction.seller)),
                ("asset", text(&auction.item.asset)),
                ("item", text(&auction.item.item)),
                ("currency", text(&auction.currency)),
                ("ends", text(auction.ends)),
            ],
        )
    }

    fn call(&self, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal> {
        let auction = load(call)?;
        match method {
            "bid" => {
                let BidArguments { amount } = parse(arguments, r#"{"amount": "123"}"#)?;
                auction.bid(call, amount)
            }
            "buy_now" => {
                let Nothing {} = parse(arguments, "{}")?;
                auction.buy(call)
            }
            "cancel" => {
                let Nothing {} = parse(arguments, "{}")?;
                auction.cancel(call)
            }
            "settle" => {
                let Nothing {} = parse(arguments, "{}")?;
                auction.settle(call)
            }
            _ => no_method("an auction"),
        }
    }

    fn timer(&self, call: &mut Call<'_, '_>, _: &str) -> Result<(), Refusal> {
        load(call)?.settle(call)
    }

    fn query(&self, view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal> {
        let auction: Auction = view.read(RECORD)?.ok_or_else(missing)?;
        match method {
            "state" => {
                let Nothing {} = parse(arguments, "{}")?;
                let from = auction.bids.saturating_sub(BIDS_LISTED_MAX);
                let last_bids = bids(view, from)?;
                let least_bid = if auction.phase == Phase::Open { auction.least_bid() } else { None };
                super::answer(&StateAnswer { least_bid, auction, last_bids })
            }
            "bids" => {
                let BidsArguments { from } = parse(arguments, r#"{"from"?: number of the first bid}"#)?;
                super::answer(&bids(view, from)?)
            }
            _ => no_method("an auction"),
        }
    }
}

fn missing() -> ReadError {
    ReadError("an auction has no record".into())
}

fn load(call: &Call<'_, '_>) -> Result<Auction, Refusal> {
    Ok(call.read(RECORD)?.ok_or_else(missing)?)
}

fn bid_key(number: u32) -> Vec<u8> {
    [BID, &number.to_be_bytes()].concat()
}

fn bids(view: &InstanceView<'_>, from: u32) -> Result<Vec<Bid>, ReadError> {
    view.list(BID, &bid_key(from), BIDS_LISTED_MAX as usize)
}

impl Auction {
    /// The least that the next bid must be; `None` if no amount is high enough.
    fn least_bid(&self) -> Option<Amount> {
        match &self.highest {
            Some(highest) => highest.amount.checked_add(self.minimum_increment),
            None => Some(self.starting_price.max(Amount(1))),
        }
    }

    /// Checks that the caller may bid now.
    fn admit(&self, call: &Call<'_, '_>) -> Result<(), Refusal> {
        if self.phase != Phase::Open || call.time() >= self.ends {
            return reject(ResultCode::BidTooLate, format!("the auction ended, at the latest at {}", self.ends));
        }
        let same_identity = self.seller_identity.is_some() && self.seller_identity.as_ref() == call.identity();
        if call.caller() == self.seller || same_identity {
            return reject(ResultCode::BidBySeller, "the seller cannot bid");
        }
        if !self.bidders.admit(call.identity()) {
            return reject(ResultCode::BidderNotQualified, "the auction is for participants of other organizations");
        }
        Ok(())
    }

    /// A bid at or above the buy-now price buys at that price.
    fn bid(mut self, call: &mut Call<'_, '_>, amount: Amount) -> Result<(), Refusal> {
        self.admit(call)?;
        if self.buy_now.is_some_and(|price| amount >= price) {
            return self.buy(call);
        }
        match self.least_bid() {
            Some(least) if amount >= least => {}
            Some(least) => return reject(ResultCode::BidTooLow, format!("a bid is at least {least}")),
            None => return reject(ResultCode::BidTooLow, "no higher bid is possible"),
        }
        self.release(call)?;
        self.take(call, amount)?;
        let bid = Bid { bidder: call.caller(), amount, time: call.time() };
        call.write(&bid_key(self.bids), &bid)?;
        self.bids = match self.bids.checked_add(1) {
            Some(bids) => bids,
            None => return reject(ResultCode::TooManyEffects, "the auction takes no more bids"),
        };
        emit(
            call,
            "auction.bid",
            &[("bidder", text(bid.bidder)), ("amount", text(amount)), ("number", number(self.bids))],
        )?;
        self.highest = Some(bid);
        call.write(RECORD, &self)
    }

    fn buy(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        self.admit(call)?;
        let Some(price) = self.buy_now else {
            return reject(ResultCode::NoBuyNow, "the auction has no buy-now price");
        };
        self.release(call)?;
        self.take(call, price)?;
        self.sell(call, Bid { bidder: call.caller(), amount: price, time: call.time() }, "buy-now")
    }

    /// Pays the highest bid back. Before the new one is taken, so that one who raises needs the difference only.
    fn release(&mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        let Some(beaten) = self.highest.take() else { return Ok(()) };
        call.pay_units(&self.currency, beaten.bidder, beaten.amount)?;
        if beaten.bidder == call.caller() {
            return Ok(());
        }
        emit(call, "auction.outbid", &[("bidder", text(beaten.bidder)), ("amount", text(beaten.amount))])
    }

    /// Escrows a bid.
    fn take(&self, call: &mut Call<'_, '_>, amount: Amount) -> Result<(), Refusal> {
        let free = call.free_balance(&self.currency, &call.caller())?;
        if free < amount {
            return reject(ResultCode::BidUnfunded, format!("{amount} of {} needed, {free} free", self.currency));
        }
        call.pull_units(&self.currency, amount)
    }

    fn cancel(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        if call.caller() != self.seller {
            return reject(ResultCode::CallerRefused, "only the seller cancels");
        }
        self.require_open()?;
        if self.highest.is_some() {
            return reject(ResultCode::AuctionHasBids, "there is a bid already");
        }
        call.pay_item(&self.item.asset, &self.item.item, self.seller)?;
        call.cancel_timer(TIMER)?;
        self.phase = Phase::Cancelled;
        call.write(RECORD, &self)?;
        emit(call, "auction.cancelled", &[("seller", text(self.seller))])
    }

    /// Ends the auction once its time has come.
    fn settle(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        self.require_open()?;
        if call.time() < self.ends {
            return reject(ResultCode::WrongPhase, format!("the auction ends at {}", self.ends));
        }
        match self.highest.take() {
            Some(winner) if winner.amount >= self.reserve => self.sell(call, winner, "ended"),
            Some(below) => {
                call.pay_units(&self.currency, below.bidder, below.amount)?;
                self.give_back(call, "reserve-not-met")
            }
            None => self.give_back(call, "no-bids"),
        }
    }

    fn require_open(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open => Ok(()),
            _ => reject(ResultCode::WrongPhase, "the auction is over"),
        }
    }

    /// Hands the item to `winner` and the winner's escrow to the seller.
    fn sell(mut self, call: &mut Call<'_, '_>, winner: Bid, how: &str) -> Result<(), Refusal> {
        call.pay_units(&self.currency, self.seller, winner.amount)?;
        call.pay_item(&self.item.asset, &self.item.item, winner.bidder)?;
        call.cancel_timer(TIMER)?;
        emit(
            call,
            "auction.settled",
            &[("winner", text(winner.bidder)), ("price", text(winner.amount)), ("how", text(how))],
        )?;
        self.phase = Phase::Settled;
        self.highest = Some(winner);
        call.write(RECORD, &self)
    }

    fn give_back(mut self, call: &mut Call<'_, '_>, why: &str) -> Result<(), Refusal> {
        call.pay_item(&self.item.asset, &self.item.item, self.seller)?;
        call.cancel_timer(TIMER)?;
        self.phase = Phase::Returned;
        call.write(RECORD, &self)?;
        emit(call, "auction.returned", &[("seller", text(self.seller)), ("why", text(why))])
    }
}
