//! The sample data: who takes part, what they own, what they do. Data files are part of the program, so what does not
//! parse is a mistake of ours; a test reads them all.

use crate::steps::StepError;
use ledger_classes::formats::rights::{Right, Rights};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::json::Strict;
use pki::KeyAlgorithm;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The fungible asset of both private channels, with two decimals.
pub(super) const MONEY: &str = "eur";
/// The unique asset of both private channels.
pub(super) const CARS: &str = "cars";

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) consortium: Consortium,
    pub(super) cars: Vec<Car>,
    pub(super) loan: Loan,
    pub(super) auction: Auction,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consortium {
    pub(super) consortium: String,
    pub(super) organizations: Vec<Organization>,
    pub(super) channels: Vec<Channel>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Organization {
    pub(super) name: String,
    pub(super) title: String,
    /// `ed25519` or `p256`: of its CA and of its people.
    pub(super) keys: String,
    /// Whether its CA is a root of its own, not one below the consortium's.
    #[serde(default)]
    pub(super) own_root: bool,
    pub(super) people: Vec<Person>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) role: Role,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) grants: Vec<Grant>,
    pub(super) participants: Vec<String>,
    pub(super) money: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) to: String,
    pub(super) rights: Vec<String>,
}

/// A car; its document is what a digest is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Car {
    pub(super) item: String,
    #[serde(skip_serializing)]
    pub(super) channel: String,
    #[serde(skip_serializing)]
    pub(super) owner: String,
    make: String,
    model: String,
    year: u16,
    vin: String,
    kilometres: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Loan {
    pub(super) channel: String,
    pub(super) desk: String,
    pub(super) app: String,
    pub(super) registrar: String,
    pub(super) borrower: String,
    pub(super) loan: String,
    pub(super) collateral: String,
    pub(super) amount: u64,
    pub(super) term_seconds: u64,
    pub(super) installments: u32,
    pub(super) rate_max_bps: u32,
    pub(super) partial_repayment: u64,
    pub(super) winner: String,
    pub(super) quotes: Vec<Quote>,
    pub(super) refused: RefusedQuote,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quote {
    pub(super) lender: String,
    pub(super) rate_bps: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusedQuote {
    pub(super) lender: String,
    pub(super) rate_bps: u32,
    pub(super) code: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auction {
    pub(super) channel: String,
    pub(super) lot: String,
    pub(super) app: String,
    pub(super) auctioneer: String,
    pub(super) seller: String,
    pub(super) car: String,
    pub(super) reserve: u64,
    pub(super) starting_price: u64,
    pub(super) minimum_increment: u64,
    pub(super) winner: String,
    pub(super) price: u64,
    pub(super) bids: Vec<Bid>,
    pub(super) evidence: Vec<Evidence>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bid {
    pub(super) bidder: String,
    pub(super) amount: u64,
    pub(super) code: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    pub(super) topic: String,
    pub(super) body: String,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, toml::de::Error> {
    T::deserialize(Strict(toml::Deserializer::parse(text)?))
}

impl Cast {
    /// Reads the data files.
    pub(super) fn read() -> Result<Self, StepError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Cars {
            cars: Vec<Car>,
        }
        let cars: Cars = read(include_str!("../data/cars.toml"))?;
        Ok(Self {
            consortium: read(include_str!("../data/consortium.toml"))?,
            cars: cars.cars,
            loan: read(include_str!("../data/loan.toml"))?,
            auction: read(include_str!("../data/auction.toml"))?,
        })
    }

    /// Everybody, with the organization.
    pub(super) fn people(&self) -> impl Iterator<Item = (&Organization, &Person)> {
        self.consortium.organizations.iter().flat_map(|of| of.people.iter().map(move |person| (of, person)))
    }

    /// Who a person is.
    pub(super) fn identity(&self, name: &str) -> Result<Identity, StepError> {
        let found = self.people().find(|(_, person)| person.name == name);
        let (of, person) = found.ok_or_else(|| StepError::failed(format!("nobody is called {name}")))?;
        Ok(Identity::new(&self.consortium.consortium, &of.name, person.role, name)?)
    }

    /// The organization that runs the peer.
    pub(super) fn host(&self) -> Result<&Organization, StepError> {
        self.consortium.organizations.first().ok_or_else(|| StepError::failed("there is no organization"))
    }

    /// The administrator who makes channels.
    pub(super) fn founder(&self) -> Result<&Person, StepError> {
        let admin = self.host()?.people.iter().find(|person| person.role == Role::Admin);
        admin.ok_or_else(|| StepError::failed("the first organization has no administrator"))
    }
}

impl Organization {
    /// The algorithm of its keys.
    pub(super) fn algorithm(&self) -> Result<KeyAlgorithm, StepError> {
        Ok(self.keys.parse()?)
    }
}

impl Grant {
    /// The rights; `member` is short for reading and writing all classes.
    pub(super) fn rights(&self) -> Result<Rights, StepError> {
        let mut rights = Rights::NONE;
        for text in &self.rights {
            rights = rights.union(match text.as_str() {
                "member" => Rights::member(),
                text => [text.parse::<Right>()?].into_iter().collect(),
            });
        }
        Ok(rights)
    }
}

impl Car {
    /// What its digest is made of.
    pub(super) fn document(&self) -> Result<String, StepError> {
        Ok(serde_json::to_string(self)?)
    }
}

/// Cents as people write them.
pub(super) fn euros(cents: u128) -> String {
    let whole = (cents / 100).to_string();
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped}.{:02} EUR", cents % 100)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_data_files_parse_and_name_only_people_and_cars_that_exist() {
        let cast = Cast::read().unwrap();
        assert_eq!(cast.consortium.organizations.len(), 3);
        for organization in &cast.consortium.organizations {
            organization.algorithm().unwrap();
        }
        let (loan, auction) = (&cast.loan, &cast.auction);
        let mut names = vec![&loan.registrar, &loan.borrower, &loan.winner, &loan.refused.lender];
        names.extend([&auction.auctioneer, &auction.seller, &auction.winner]);
        names.extend(loan.quotes.iter().map(|quote| &quote.lender));
        names.extend(auction.bids.iter().map(|bid| &bid.bidder));
        names.extend(cast.cars.iter().map(|car| &car.owner));
        for channel in &cast.consortium.channels {
            names.extend(channel.participants.iter().chain(channel.money.keys()));
            for grant in &channel.grants {
                assert!(!grant.rights().unwrap().is_empty());
                let organization = cast.consortium.organizations.iter().any(|of| of.name == grant.to);
                assert!(organization || cast.identity(&grant.to).is_ok(), "{} is unknown", grant.to);
            }
        }
        for name in names {
            cast.identity(name).unwrap();
        }
        for (item, channel) in [(&loan.collateral, &loan.channel), (&auction.car, &auction.channel)] {
            assert!(cast.cars.iter().any(|car| car.item == *item && car.channel == *channel));
        }
    }

    #[test]
    fn the_lowest_quote_and_the_highest_good_bid_are_the_expected_winners() {
        let cast = Cast::read().unwrap();
        let lowest = cast.loan.quotes.iter().min_by_key(|quote| quote.rate_bps).unwrap();
        assert_eq!(lowest.lender, cast.loan.winner);
        let highest = cast.auction.bids.iter().rfind(|bid| bid.code == 0).unwrap();
        assert_eq!((&highest.bidder, highest.amount), (&cast.auction.winner, cast.auction.price));
    }

    #[test]
    fn money_reads_as_people_write_it() {
        for (cents, text) in [(0, "0.00 EUR"), (5, "0.05 EUR"), (100_000, "1,000.00 EUR"), (99_999, "999.99 EUR")] {
            assert_eq!(euros(cents), text);
        }
    }
}
