//! What somebody does in a random course.

use super::*;
use crate::action::assets::{Approve, ApproveItem, Burn, TransferFrom, TransferItem};

/// One step: who does what.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Auction {
        method: &'static str,
        auction: &'static str,
        amount: u128,
    },
    Request {
        loan: &'static str,
        asset: &'static str,
        amount: u128,
        collateral: u8,
        installments: u32,
        allowed: bool,
    },
    Quote {
        loan: &'static str,
        rate: u32,
    },
    Loan {
        method: &'static str,
        loan: &'static str,
    },
    Repay {
        loan: &'static str,
        amount: u128,
    },
    Claim {
        holder: &'static str,
        asset: &'static str,
    },
    Pause {
        asset: &'static str,
        on: bool,
    },
    Freeze {
        asset: &'static str,
        of: usize,
        amount: u128,
        on: bool,
    },
    FreezeItem {
        item: usize,
        on: bool,
    },
    Allow {
        asset: &'static str,
        spender: u8,
        amount: u128,
    },
    Take {
        asset: &'static str,
        from: u8,
        amount: u128,
    },
    AllowItem {
        item: usize,
        spender: u8,
    },
    TakeItem {
        item: usize,
    },
    Burn {
        asset: &'static str,
        amount: u128,
    },
    /// The control of an asset comes into these hands, by a joint account that nobody knew.
    Control {
        asset: &'static str,
        who: u8,
    },
    /// Those who reach the policy set fees, which somebody collects or nobody.
    Fees {
        asset: &'static str,
        base: u128,
        collector: Option<u8>,
    },
    Revoke,
}

/// Somebody who owns units: a person or an instance.
fn account_number(ledger: &Ledger, number: usize) -> Address {
    match PEOPLE.get(number) {
        Some(person) => address(*person),
        None => account(ledger, HOLDERS[number % HOLDERS.len()]),
    }
}

/// The joint account that controls an asset, and as many of its members as must sign, from one that `turn` tells.
pub(super) fn shared_control(ledger: &Ledger, asset: &str, turn: u8) -> Option<(Address, Vec<u8>)> {
    let control = assets::asset(&ledger.state, asset).unwrap()?.control_authority;
    let (needed, of) = assets::controllers(&ledger.state, &control).unwrap();
    let mut members: Vec<u8> =
        PEOPLE.into_iter().chain([ISSUER]).filter(|person| of.contains(&address(*person))).collect();
    if of.contains(&control) || members.len() < needed {
        return None;
    }
    let first = usize::from(turn) % members.len();
    members.rotate_left(first);
    members.truncate(needed);
    Some((control, members))
}

fn controller(ledger: &Ledger, asset: &str) -> Option<u8> {
    let record = assets::asset(&ledger.state, asset).unwrap()?;
    PEOPLE.into_iter().chain([ISSUER]).find(|person| address(*person) == record.control_authority)
}

impl Step {
    /// The asset whose control this step takes.
    pub(super) fn controlled(&self) -> Option<&'static str> {
        match self {
            Self::Pause { asset, .. } | Self::Freeze { asset, .. } => Some(asset),
            Self::FreezeItem { item, .. } => Some(ITEMS[*item].0),
            _ => None,
        }
    }

    /// Who alone can do this step, so that not almost all of them are refused.
    pub(super) fn right_person(&self, ledger: &Ledger) -> Option<u8> {
        match self {
            Self::Pause { .. } | Self::Freeze { .. } | Self::FreezeItem { .. } => {
                controller(ledger, self.controlled()?)
            }
            Self::Loan { method: "cancel", loan: name } => {
                let loan = loans(ledger).into_iter().find(|loan| loan["loan"] == *name)?;
                PEOPLE.into_iter().find(|person| loan["borrower"] == address(*person).to_string())
            }
            _ => None,
        }
    }

    /// Who allowed somebody else to move what is its own, and so may have less.
    pub(super) fn allowed_by(&self, ledger: &Ledger) -> Option<Address> {
        match self {
            Self::Take { from, .. } => Some(address(*from)),
            Self::TakeItem { item } => Some(owner(ledger, ITEMS[*item].0, ITEMS[*item].1)),
            _ => None,
        }
    }

    /// Does what is done past the rules of a single action.
    pub(super) fn happens(&self, ledger: &mut Ledger, who: u8) {
        match self {
            Self::Control { asset, who } => hand_control(ledger, asset, *who),
            Self::Fees { asset, base, collector } => {
                let (asset, issuer) = (Some((*asset).into()), Some(address(ISSUER)));
                let (base, collector) = (Amount(*base), collector.map(address));
                set_fees(ledger, Fees { asset, issuer, base, per_byte: Amount::ZERO, collector });
            }
            _ => revoke(ledger, who),
        }
    }

    pub(super) fn action(&self, ledger: &Ledger, who: u8) -> Option<Action> {
        Some(match self {
            Self::Auction { method, auction, amount } => {
                let arguments = if *method == "bid" { format!(r#"{{"amount":"{amount}"}}"#) } else { "{}".into() };
                call(auction, method, &arguments)
            }
            Self::Request { loan, asset, amount, collateral, installments, allowed } => {
                let collateral = match collateral {
                    0 => String::new(),
                    1 => r#","collateral":{"units":{"asset":"usd","amount":"77"}}"#.into(),
                    _ => format!(r#","collateral":{{"item":{{"asset":"deed","item":"d{who}"}}}}"#),
                };
                let deadline = ledger.time.plus_millis(3_000);
                let arguments = format!(
                    r#"{{"loan":"{loan}","asset":"{asset}","amount":"{amount}","term_seconds":12,"installments":{installments},"rate_max_bps":1000000,"quote_deadline":"{deadline}"{collateral},"controller_may_quote":{allowed}}}"#
                );
                call("desk", "request", &arguments)
            }
            Self::Quote { loan, rate } => call("desk", "quote", &format!(r#"{{"loan":"{loan}","rate_bps":{rate}}}"#)),
            Self::Loan { method, loan } => call("desk", method, &format!(r#"{{"loan":"{loan}"}}"#)),
            Self::Repay { loan, amount } => {
                call("desk", "repay", &format!(r#"{{"loan":"{loan}","amount":"{amount}"}}"#))
            }
            Self::Claim { holder, asset } => claim(holder, address(who), asset, None),
            Self::Pause { asset, on: true } => pause(asset),
            Self::Pause { asset, on: false } => resume(asset),
            Self::Freeze { asset, of, amount, on } => {
                let of = account_number(ledger, *of);
                if *on { freeze(asset, of, *amount) } else { unfreeze(asset, of, *amount) }
            }
            Self::FreezeItem { item, on } => {
                let (asset, item) = ITEMS[*item];
                if *on { freeze_item(asset, item) } else { unfreeze_item(asset, item) }
            }
            Self::Allow { asset, spender, amount } => {
                let (asset, spender) = ((*asset).to_owned(), address(*spender));
                Action::AssetApprove(Approve { asset, spender, amount: Amount(*amount), expected: None })
            }
            Self::Take { asset, from, amount } => {
                let (asset, from, to) = ((*asset).to_owned(), address(*from), address(who));
                Action::AssetTransferFrom(TransferFrom { asset, from, to, amount: Amount(*amount) })
            }
            Self::AllowItem { item, spender } => {
                let (asset, item) = ITEMS[*item];
                let (asset, item, spender) = (asset.into(), item.into(), Some(address(*spender)));
                Action::AssetApproveItem(ApproveItem { asset, item, spender })
            }
            Self::TakeItem { item } => {
                let (asset, item) = ITEMS[*item];
                Action::AssetTransferItem(TransferItem { asset: asset.into(), item: item.into(), to: address(who) })
            }
            Self::Burn { asset, amount } => Action::AssetBurn(Burn { asset: (*asset).into(), amount: Amount(*amount) }),
            Self::Control { .. } | Self::Fees { .. } | Self::Revoke => return None,
        })
    }
}

fn amounts() -> impl Strategy<Value = u128> {
    prop_oneof![8 => 1u128..900, 1 => Just(0), 1 => (u128::MAX - 3)..=u128::MAX]
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let auction =
        (select(vec!["bid", "bid", "bid", "bid", "buy_now", "cancel", "settle"]), select(&AUCTIONS[..]), amounts())
            .prop_map(|(method, auction, amount)| Step::Auction { method, auction, amount });
    let request = (select(&LOANS[..]), select(vec!["eur", "usd"]), amounts(), 0u8..3, 1u32..4, any::<bool>()).prop_map(
        |(loan, asset, amount, collateral, installments, allowed)| Step::Request {
            loan,
            asset,
            amount,
            collateral,
            installments,
            allowed,
        },
    );
    let quote =
        (select(&LOANS[..]), select(vec![0, 10, 20, 900_000])).prop_map(|(loan, rate)| Step::Quote { loan, rate });
    let methods = vec!["withdraw_quote", "cancel", "award", "repay", "repay", "review"];
    let loan = (select(methods), select(&LOANS[..])).prop_map(|(method, loan)| Step::Loan { method, loan });
    let repay = (select(&LOANS[..]), amounts()).prop_map(|(loan, amount)| Step::Repay { loan, amount });
    let money = || select(vec!["eur", "usd"]);
    let claims = (select(&HOLDERS[..]), money()).prop_map(|(holder, asset)| Step::Claim { holder, asset });
    let pauses =
        (select(vec!["eur", "usd", "art", "deed"]), any::<bool>()).prop_map(|(asset, on)| Step::Pause { asset, on });
    let freezes = (money(), 0usize..8, 1u128..900, any::<bool>()).prop_map(|(asset, of, amount, on)| Step::Freeze {
        asset,
        of,
        amount,
        on,
    });
    let items = (0..ITEMS.len(), any::<bool>()).prop_map(|(item, on)| Step::FreezeItem { item, on });
    let person = || select(&PEOPLE[..]);
    let allowances =
        (money(), person(), 1u128..900).prop_map(|(asset, spender, amount)| Step::Allow { asset, spender, amount });
    let takings = (money(), person(), 1u128..900).prop_map(|(asset, from, amount)| Step::Take { asset, from, amount });
    let item_allowances = (0..ITEMS.len(), person()).prop_map(|(item, spender)| Step::AllowItem { item, spender });
    let item_takings = (0..ITEMS.len()).prop_map(|item| Step::TakeItem { item });
    let burnings = (money(), 1u128..300).prop_map(|(asset, amount)| Step::Burn { asset, amount });
    let controls =
        (select(vec!["eur", "usd", "art", "deed"]), person()).prop_map(|(asset, who)| Step::Control { asset, who });
    let fees = (money(), select(vec![0, 1, 7, 300, u128::MAX]), select(vec![None, Some(2), Some(4), Some(SOMEBODY)]))
        .prop_map(|(asset, base, collector)| Step::Fees { asset, base, collector });
    let hostile = prop_oneof![
        2 => allowances, 2 => takings, 1 => item_allowances, 1 => item_takings, 1 => burnings, 2 => controls, 2 => fees
    ];
    prop_oneof![
        12 => auction, 8 => request, 12 => quote, 6 => loan, 8 => repay, 2 => claims, 2 => pauses, 3 => freezes,
        2 => items, 6 => hostile, 1 => Just(Step::Revoke)
    ]
}
