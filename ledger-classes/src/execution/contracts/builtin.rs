//! The built-in library: contracts in Rust, compiled into every peer. They use the same [`Call`] as any later
//! engine. What a contract does under one code name never changes once released: a changed contract gets a new
//! code name, or replays would part.

pub mod auction;
mod contract;
pub mod lending;
mod parties;

pub use parties::Parties;

use super::engine::{ContractEngine, InstanceView};
use super::{Call, escrow};
use crate::formats::detail::Detail;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::state::view::ReadView;
use contract::Contract;

/// The engine `builtin`.
pub struct Library;

/// What the library has, each with the number of the rules that it came with.
pub(crate) const CODES: [(u32, &str); 2] = [(1, auction::CODE), (1, lending::CODE)];

fn contract(code: &str) -> Result<&'static dyn Contract, Refusal> {
    match code {
        auction::CODE => Ok(&auction::AuctionContract),
        lending::CODE => Ok(&lending::LendingContract),
        _ => reject(ResultCode::CodeUnknown, Detail::PLAIN),
    }
}

impl ContractEngine for Library {
    fn since(&self, code: &str) -> Option<u32> {
        CODES.iter().find(|(_, known)| *known == code).map(|(since, _)| *since)
    }

    fn create(&self, code: &str, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
        contract(code)?.create(call, arguments)
    }

    fn call(&self, code: &str, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal> {
        let contract = contract(code)?;
        match method {
            "claim" => escrow::claim(call, arguments),
            _ => contract.call(call, method, arguments),
        }
    }

    fn timer(&self, code: &str, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal> {
        contract(code)?.timer(call, timer)
    }

    fn query(
        &self,
        code: &str,
        view: &dyn ReadView,
        instance: &str,
        method: &str,
        arguments: &str,
    ) -> Result<String, Refusal> {
        let (contract, view) = (contract(code)?, InstanceView::new(view, instance));
        match method {
            "owed" => escrow::query(&view, arguments),
            _ => contract.query(&view, method, arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::contracts::forms::{Nothing, parse};

    /// What every argument is read by.
    #[test]
    fn arguments_are_objects_at_every_depth() {
        let read = |text: &str| parse::<(escrow::Valuable, Parties)>(text, "lending", "request").is_ok();
        let collateral = r#"{"units":{"asset":"eur","amount":"5"}}"#;
        let parties = r#"{"organizations":["north"]}"#;
        assert!(read(&format!("[{collateral},{parties}]")));
        assert!(read(&format!(r#"[{collateral},"any"]"#)));
        assert!(!read(&format!(r#"[{{"units":["eur","5"]}},{parties}]"#)));
        assert!(!read(&format!(r#"[{collateral},{{"any":null}}]"#)));
        assert!(parse::<Nothing>("{}", "auction", "end").is_ok());
        for other in ["[]", "null", r#"{"more":1}"#] {
            assert!(parse::<Nothing>(other, "auction", "end").is_err(), "{other}");
        }
    }
}
