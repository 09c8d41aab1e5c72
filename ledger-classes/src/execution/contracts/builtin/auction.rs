//! The auction: a seller puts in a unique item, bidders escrow what they bid, the highest bid wins at a time or
//! at the buy-now price. Methods and codes: `docs/contracts.md`.
//!
//! Relations that always hold: while an auction is open its account holds the item, and of the currency exactly the
//! highest bid and what is owed; the highest bid is below the buy-now price. After its end its account holds what is
//! owed, and nothing else. An auction ends within `AUCTION_MS_MAX`, the stops that its deadline bears, and outages:
//! sold, item and price in one step, or with everything given back.

use super::Parties;
use super::contract::Contract;
use super::parties::{beyond_control, controls, organizations, related, signing_organizations};
use crate::action::assets::{ItemName, Kind};
use crate::execution::contracts::Call;
use crate::execution::contracts::deadlines::{Lag, Served};
use crate::execution::contracts::engine::InstanceView;
use crate::execution::contracts::escrow;
use crate::execution::contracts::forms::{Nothing, answer, emit, invalid, no_method, number, parse, text};
use crate::execution::service::{self, Stopped};
use crate::formats::detail::{Detail, Moment, Part, Party, Stage, Text};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The name of the code.
pub(super) const CODE: &str = "auction";
const RECORD: &[u8] = b"auction";
const BID: &[u8] = b"bid/";
const TIMER: &str = "end";
/// Bids in one answer.
const BIDS_LISTED_MAX: u32 = 100;
/// How long after the end the seller may still cancel, where the highest bidder controls what is sold or paid with.
const CANCEL_MS: u64 = 86_400 * 1_000;
/// Longest time for bids: 366 days.
const AUCTION_MS_MAX: u64 = 366 * 86_400 * 1_000;
/// Highest price that an auction may ask for, and highest increment: two of them fit an amount.
const PRICE_MAX: Amount = Amount(u128::MAX / 2);

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
    /// Height of its block.
    pub height: u64,
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
    /// Block time from which no bid is taken, as agreed; `served` tells how much later it is.
    pub ends: Time,
    /// Outages and stops since it was opened.
    pub served: Served,
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
    /// Whether the seller's organization may not bid.
    pub exclude_sellers_organization: bool,
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
    #[serde(default)]
    exclude_sellers_organization: bool,
}

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
    /// When bids end as far as is known now, outages and stops included, while the auction is open.
    ends_extended: Option<Time>,
    /// Whether the highest bidder has come to control the currency or the item's asset: the seller may cancel, until a day
    /// after the end.
    highest_controls: bool,
    /// The last bids, oldest first.
    last_bids: Vec<Bid>,
}

/// The code `auction`.
pub(super) struct AuctionContract;

impl Contract for AuctionContract {
    fn create(&self, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
        let CreateArguments {
            item,
            currency,
            ends,
            reserve,
            minimum_increment,
            starting_price,
            buy_now,
            bidders,
            exclude_sellers_organization,
        } = parse(arguments, CODE, "create")?;
        if ends <= call.time() || ends.millis_since(call.time()) > AUCTION_MS_MAX {
            return invalid(Detail::Between { part: Part::AuctionMs, least: 1, most: AUCTION_MS_MAX });
        }
        if minimum_increment.is_zero() {
            return invalid(Detail::AtLeast { part: Part::MinimumIncrement, least: 1 });
        }
        if buy_now.is_some_and(|price| price.is_zero() || price < reserve || price < starting_price) {
            return invalid(Detail::BuyNowTooLow {});
        }
        bidders.check(call, Part::Bidders)?;
        if exclude_sellers_organization && organizations(call.view(), &call.caller())?.is_empty() {
            return invalid(Detail::NoSellerOrganization {});
        }
        check_prices(call, &currency, [reserve, starting_price, minimum_increment, buy_now.unwrap_or_default()])?;
        call.pull_item(&item.asset, &item.item)?;
        call.set_timer(TIMER, ends)?;
        let served = Served::begin(call, &concerned(call.view(), &currency, &item, &call.caller())?)?;
        let auction = Auction {
            seller: call.caller(),
            seller_identity: call.identity().cloned(),
            item,
            currency,
            ends,
            served,
            reserve,
            starting_price,
            minimum_increment,
            buy_now,
            bidders,
            exclude_sellers_organization,
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
                let BidArguments { amount } = parse(arguments, CODE, method)?;
                auction.bid(call, amount)
            }
            "buy_now" => {
                let Nothing {} = parse(arguments, CODE, method)?;
                auction.buy_now(call)
            }
            "cancel" => {
                let Nothing {} = parse(arguments, CODE, method)?;
                auction.cancel(call)
            }
            "settle" => {
                let Nothing {} = parse(arguments, CODE, method)?;
                auction.settle(call)
            }
            _ => no_method("auction"),
        }
    }

    fn timer(&self, call: &mut Call<'_, '_>, _: &str) -> Result<(), Refusal> {
        load(call)?.settle(call)
    }

    fn query(&self, view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal> {
        let auction: Auction = view.read(RECORD)?.ok_or_else(missing)?;
        match method {
            "state" => {
                let Nothing {} = parse(arguments, CODE, method)?;
                let from = auction.bids.saturating_sub(BIDS_LISTED_MAX);
                let last_bids = bids(view, from)?;
                let least_bid = if auction.phase == Phase::Open { auction.least_bid() } else { None };
                let highest_controls = auction.phase == Phase::Open && auction.highest_controls(view.state())?;
                let last = service::last_block(view.state())?.filter(|_| auction.phase == Phase::Open);
                let ends_extended = match last {
                    Some(last) => {
                        let concerned = auction.concerned(view.state())?;
                        Some(auction.served.lag(view.state(), last, &concerned)?.comes(auction.ends))
                    }
                    None => None,
                };
                answer(&StateAnswer { least_bid, ends_extended, highest_controls, auction, last_bids })
            }
            "bids" => {
                let BidsArguments { from } = parse(arguments, CODE, method)?;
                answer(&bids(view, from)?)
            }
            _ => no_method("auction"),
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

/// What must move for bids to be made, and is not the seller's to stop.
fn concerned<'a>(
    view: &dyn ReadView,
    currency: &'a str,
    item: &'a ItemName,
    seller: &Address,
) -> Result<Vec<Stopped<'a>>, ReadError> {
    beyond_control(view, &[Stopped::Asset(currency), Stopped::Asset(&item.asset), Stopped::Item(item)], seller)
}

/// Refuses prices at which a first bid, one that beats it, or a sale could never be.
fn check_prices(call: &Call<'_, '_>, currency: &str, prices: [Amount; 4]) -> Result<(), Refusal> {
    // Fails here, and not at the first bid, if there is no such fungible asset.
    call.free_balance(currency, &call.caller())?;
    let ceiling = match call.asset(currency)?.kind {
        Kind::Fungible { supply_cap: Some(cap), .. } => cap.min(PRICE_MAX),
        _ => PRICE_MAX,
    };
    let [_, starting_price, minimum_increment, _] = prices;
    let second = starting_price.max(Amount(1)).checked_add(minimum_increment);
    if prices.iter().any(|price| *price > ceiling) || second.is_none_or(|second| second > ceiling) {
        return invalid(Detail::PricesAbove { most: ceiling, currency: currency.into() });
    }
    Ok(())
}

impl Auction {
    fn concerned(&self, view: &dyn ReadView) -> Result<Vec<Stopped<'_>>, ReadError> {
        concerned(view, &self.currency, &self.item, &self.seller)
    }

    /// Whether what `asset`'s control authority stops keeps the seller and `winner` from their trade. A stop that one
    /// of them makes does not: it could escape a price that displeases it.
    fn is_bound_by(&self, view: &dyn ReadView, asset: &str, winner: &Address) -> Result<bool, ReadError> {
        Ok(!controls(view, asset, &self.seller)? && !controls(view, asset, winner)?)
    }

    /// The least that the next bid must be; `None` if no amount is high enough.
    fn least_bid(&self) -> Option<Amount> {
        match &self.highest {
            Some(highest) => highest.amount.checked_add(self.minimum_increment),
            None => Some(self.starting_price.max(Amount(1))),
        }
    }

    /// Whether `who` could stop what the auction needs: it would keep others from bidding, or the item from moving.
    fn is_controlled_by(&self, view: &dyn ReadView, who: &Address) -> Result<bool, ReadError> {
        Ok(controls(view, &self.currency, who)? || controls(view, &self.item.asset, who)?)
    }

    /// Whether the highest bidder could, who could not when it bid.
    fn highest_controls(&self, view: &dyn ReadView) -> Result<bool, ReadError> {
        self.highest.as_ref().map_or(Ok(false), |bid| self.is_controlled_by(view, &bid.bidder))
    }

    /// Takes account of time that was lost since the last step.
    fn refresh(&mut self, call: &mut Call<'_, '_>) -> Result<Lag, Refusal> {
        let mut served = self.served;
        let lag = served.refresh(call, &self.concerned(call.view())?, TIMER)?;
        self.served = served;
        Ok(lag)
    }

    /// Checks that the caller may bid now.
    fn admit(&self, call: &Call<'_, '_>, lag: &Lag) -> Result<(), Refusal> {
        if self.phase != Phase::Open || lag.has_come(self.ends) {
            let ends = lag.comes(self.ends);
            return reject(ResultCode::BidTooLate, Detail::ContractMoment { moment: Moment::AuctionEnded, time: ends });
        }
        let same_identity = self.seller_identity.is_some() && self.seller_identity.as_ref() == call.identity();
        if call.is_from(&self.seller)? || same_identity {
            return reject(ResultCode::BidBySeller, Detail::PLAIN);
        }
        if related(call.view(), &self.seller, &call.caller())? {
            return reject(ResultCode::BidByCoOwner, Detail::PLAIN);
        }
        let bidder = call.caller();
        if !self.bidders.admit(call.view(), &bidder)? {
            return reject(ResultCode::BidderNotQualified, Detail::ContractOnly { party: Party::OtherOrganizations });
        }
        if self.exclude_sellers_organization {
            let Some(behind) = signing_organizations(call.view(), &bidder)? else {
                return reject(ResultCode::BidderNotQualified, Detail::ContractOnly { party: Party::Participants });
            };
            if !behind.is_disjoint(&organizations(call.view(), &self.seller)?) {
                return reject(ResultCode::BidBySellersOrganization, Detail::PLAIN);
            }
        }
        if self.is_controlled_by(call.view(), &bidder)? {
            return reject(ResultCode::BidByController, Detail::PLAIN);
        }
        // Nobody shall pay for what could not be handed over.
        call.require_movable(&self.item.asset, &self.item.item)
    }

    /// A bid at or above the buy-now price buys at that price.
    fn bid(mut self, call: &mut Call<'_, '_>, amount: Amount) -> Result<(), Refusal> {
        let lag = self.refresh(call)?;
        self.admit(call, &lag)?;
        if let Some(price) = self.buy_now.filter(|price| amount >= *price) {
            return self.buy(call, price);
        }
        match self.least_bid() {
            Some(least) if amount >= least => {}
            Some(least) => return reject(ResultCode::BidTooLow, Detail::LeastBid { least }),
            None => return reject(ResultCode::BidTooLow, Detail::Stage { stage: Stage::NoHigherBid }),
        }
        let bid = self.take(call, amount)?;
        call.write(&bid_key(self.bids), &bid)?;
        self.bids = match self.bids.checked_add(1) {
            Some(bids) => bids,
            None => return reject(ResultCode::TooManyEffects, Detail::Stage { stage: Stage::AuctionTakesNoMore }),
        };
        emit(
            call,
            "auction.bid",
            &[("bidder", text(bid.bidder)), ("amount", text(amount)), ("number", number(self.bids))],
        )?;
        self.highest = Some(bid);
        call.write(RECORD, &self)
    }

    fn buy_now(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        let lag = self.refresh(call)?;
        self.admit(call, &lag)?;
        match self.buy_now {
            Some(price) => self.buy(call, price),
            None => reject(ResultCode::NoBuyNow, Detail::PLAIN),
        }
    }

    fn buy(mut self, call: &mut Call<'_, '_>, price: Amount) -> Result<(), Refusal> {
        let bid = self.take(call, price)?;
        self.sell(call, bid, "buy-now")
    }

    /// Escrows a bid and returns the one that it beats. Who raises its own bid needs the difference only.
    fn take(&mut self, call: &mut Call<'_, '_>, amount: Amount) -> Result<Bid, Refusal> {
        let bidder = call.caller();
        let mut beaten = self.highest.take();
        // A successor raises what it took over.
        let is_mine = beaten.as_ref().map_or(Ok(false), |beaten| call.is_from(&beaten.bidder))?;
        let mine = beaten.take_if(|_| is_mine).map_or(Amount::ZERO, |bid| bid.amount);
        let needed = amount.checked_sub(mine).unwrap_or_default();
        let free = call.free_balance(&self.currency, &bidder)?;
        if free < needed {
            return reject(ResultCode::BidUnfunded, Detail::Funds { needed, asset: Text::from(&self.currency), free });
        }
        call.pull_units(&self.currency, needed)?;
        if let Some(beaten) = beaten {
            escrow::pay(call, &self.currency, beaten.bidder, beaten.amount)?;
            let fields = [("bidder", text(beaten.bidder)), ("amount", text(beaten.amount))];
            emit(call, "auction.outbid", &fields)?;
        }
        Ok(Bid { bidder, amount, time: call.time(), height: call.height() })
    }

    fn cancel(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        if !call.is_from(&self.seller)? {
            return reject(ResultCode::CallerRefused, Detail::ContractOnly { party: Party::Seller });
        }
        self.require_open()?;
        self.refresh(call)?;
        if self.highest.is_some() && !self.highest_controls(call.view())? {
            return reject(ResultCode::AuctionHasBids, Detail::PLAIN);
        }
        if let Some(bid) = self.highest.take() {
            escrow::pay(call, &self.currency, bid.bidder, bid.amount)?;
        }
        self.end(call, Phase::Cancelled)?;
        escrow::hand(call, &self.item, self.seller)?;
        emit(call, "auction.cancelled", &[("seller", text(self.seller))])
    }

    /// Ends the auction once its time has come. Before that its timer is set anew.
    fn settle(mut self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        self.require_open()?;
        let lag = self.refresh(call)?;
        // Others may have been kept from bidding: the seller has a day to withdraw the item.
        let controlled = self.highest_controls(call.view())?;
        let settles = if controlled { self.ends.plus_millis(CANCEL_MS) } else { self.ends };
        if !lag.has_come(settles) {
            if !call.is_timer() {
                return reject(
                    ResultCode::WrongPhase,
                    Detail::ContractMoment { moment: Moment::AuctionEnds, time: lag.comes(settles) },
                );
            }
            call.set_timer(TIMER, lag.next_look(settles))?;
            return call.write(RECORD, &self);
        }
        let Some(highest) = self.highest.take() else { return self.give_back(call, "no-bids") };
        let (item, currency, view) = (&self.item, &self.currency, call.view());
        let why = if highest.amount < self.reserve {
            "reserve-not-met"
        } else if !call.is_movable(&item.asset, &item.item)? && self.is_bound_by(view, &item.asset, &highest.bidder)? {
            "item-cannot-move"
        } else if call.asset(currency)?.paused && self.is_bound_by(view, currency, &highest.bidder)? {
            "currency-cannot-move"
        } else {
            return self.sell(call, highest, "ended");
        };
        escrow::pay(call, &self.currency, highest.bidder, highest.amount)?;
        self.give_back(call, why)
    }

    fn require_open(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open => Ok(()),
            _ => reject(ResultCode::WrongPhase, Detail::Stage { stage: Stage::AuctionOver }),
        }
    }

    /// Hands the item to `winner` and the winner's escrow to the seller. What of them cannot move is owed.
    fn sell(mut self, call: &mut Call<'_, '_>, winner: Bid, how: &str) -> Result<(), Refusal> {
        escrow::hand(call, &self.item, winner.bidder)?;
        escrow::pay(call, &self.currency, self.seller, winner.amount)?;
        emit(
            call,
            "auction.settled",
            &[
                ("seller", text(self.seller)),
                ("winner", text(winner.bidder)),
                ("price", text(winner.amount)),
                ("how", text(how)),
            ],
        )?;
        self.highest = Some(winner);
        self.end(call, Phase::Settled)
    }

    fn give_back(mut self, call: &mut Call<'_, '_>, why: &str) -> Result<(), Refusal> {
        escrow::hand(call, &self.item, self.seller)?;
        self.end(call, Phase::Returned)?;
        emit(call, "auction.returned", &[("seller", text(self.seller)), ("why", text(why))])
    }

    fn end(&mut self, call: &mut Call<'_, '_>, phase: Phase) -> Result<(), Refusal> {
        self.phase = phase;
        call.cancel_timer(TIMER)?;
        call.write(RECORD, self)
    }
}
