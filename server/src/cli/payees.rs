//! Nobody is paid by a typing error. A checksum finds most of them; what a channel has never seen is asked about.

use super::failure::Failure;
use super::session::Session;
use client::api::AccountView;
use client::connection::RequestError;
use ledger_classes::action::Action;
use ledger_classes::keys::Address;
use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Whom an action gives something, or lets take it: units, items, or the only say over an asset.
fn payees(action: &Action) -> Vec<Address> {
    match action {
        Action::AssetMint(body) => vec![body.to],
        Action::AssetTransfer(body) => vec![body.to],
        Action::AssetTransferBatch(body) => body.transfers.iter().map(|transfer| transfer.to).collect(),
        Action::AssetTransferFrom(body) => vec![body.to],
        Action::AssetMintItem(body) => vec![body.to],
        Action::AssetTransferItem(body) => vec![body.to],
        Action::AssetApprove(body) if !body.amount.is_zero() => vec![body.spender],
        Action::AssetApproveItem(body) => body.spender.into_iter().collect(),
        Action::AssetDefine(body) => {
            [body.mint_authority, body.burn_authority, body.control_authority].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether anything on the channel speaks for an account being somebody's.
fn is_known(account: &AccountView) -> bool {
    let AccountView { balances, items, participant, joint, .. } = account;
    !balances.is_empty() || !items.is_empty() || participant.is_some() || joint.is_some()
}

impl Session {
    /// Refuses to pay an address that the channel has never seen, unless a person at the terminal says yes. `known` are
    /// addresses that are certainly right: those of the keys that sign.
    pub(super) async fn check_payees(
        &self,
        channel: &str,
        actions: &[Action],
        known: &[Address],
    ) -> Result<(), Failure> {
        let payees: BTreeSet<Address> = actions.iter().flat_map(payees).collect();
        for payee in payees.into_iter().filter(|payee| !known.contains(payee)) {
            let why = match self.connection.account(channel, payee).await {
                Ok(account) if is_known(&account) => continue,
                Ok(_) => "the channel has never seen it: no participant, no joint account, and it owns nothing",
                Err(RequestError::Problem(problem)) if problem.status == 403 => {
                    "whether the channel has seen it may be read with read:assets only"
                }
                Err(error) => return Err(error.into()),
            };
            self.ask(payee, why)?;
        }
        Ok(())
    }

    fn ask(&self, payee: Address, why: &str) -> Result<(), Failure> {
        let refused = || {
            Failure::usage(format!(
                "{payee}: {why}. What goes to a wrong address is lost. If it is right, say so with --new"
            ))
        };
        if self.output.json || !io::stdin().is_terminal() {
            return Err(refused());
        }
        let mut errors = io::stderr().lock();
        let shown = write!(errors, "{payee}: {why}.\nWhat goes to a wrong address is lost. Is it right? [y/N] ");
        shown.and_then(|()| errors.flush()).map_err(|_| refused())?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|_| refused())?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::refused("nothing was sent")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::action::assets;
    use ledger_classes::primitives::amount::Amount;

    #[test]
    fn whoever_receives_is_asked_about() {
        let address = |number: u8| Address([number; 20]);
        let transfer = |to| assets::Transfer { asset: "coin".into(), to: address(to), amount: Amount(1) };
        let batch = assets::TransferBatch { transfers: vec![transfer(1), transfer(2)] };
        assert_eq!(payees(&Action::AssetTransferBatch(batch)), [address(1), address(2)]);
        let from = assets::TransferFrom { asset: "coin".into(), from: address(1), to: address(2), amount: Amount(1) };
        assert_eq!(payees(&Action::AssetTransferFrom(from)), [address(2)], "who gives is known by having something");
        let burn = assets::Burn { asset: "coin".into(), amount: Amount(1) };
        assert_eq!(payees(&Action::AssetBurn(burn)), []);
    }
}
