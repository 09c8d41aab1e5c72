//! Result codes of transactions: numbered, append-only, held by a golden file (`docs/formats/result-codes.txt`).
//! Hundreds group them: 1xx the transaction as such, 2xx assets, 3xx participants and channel, 4xx contracts,
//! 5xx apps, 6xx logs.

use crate::formats::detail::Detail;
use crate::formats::rights::Class;
use crate::state::view::ReadError;

macro_rules! codes {
    ($( #[doc = $doc:literal] $variant:ident = $number:literal, $text:literal; )*) => {
        /// The outcome of a transaction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ResultCode { $( #[doc = $doc] $variant = $number, )* }

        impl ResultCode {
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name, as in JSON.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// What it says where nothing else is to be said.
            const fn sentence(self) -> &'static str {
                match self { $( Self::$variant => $doc, )* }
            }

            /// The code with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }
        }
    };
}

codes! {
    /// Everything was done.
    Done = 0, "done";

    /// Block time has passed `valid_until`.
    Expired = 100, "expired";
    /// `valid_until` is more than 24 hours ahead of block time.
    TooFarAhead = 101, "too-far-ahead";
    /// The fee is above `fee_max`.
    FeeAboveMax = 102, "fee-above-max";
    /// The sender cannot pay the fee.
    FeeUnpaid = 103, "fee-unpaid";
    /// The sender has no participant record on this channel.
    NotAParticipant = 110, "not-a-participant";
    /// The sender's participant record was revoked.
    ParticipantIsRevoked = 111, "participant-revoked";
    /// The certificate behind the sender's participant record has expired.
    ParticipantIsExpired = 112, "participant-expired";
    /// The sender has no right to this action.
    NoRight = 113, "no-right";
    /// No CA that vouches for the sender's certificate is listed for its organization and good.
    ParticipantIsUnvouched = 114, "participant-unvouched";
    /// A field of an action is outside its range or form.
    InvalidField = 120, "invalid-field";
    /// More events or timers than a transaction may cause.
    TooManyEffects = 121, "too-many-effects";
    /// More work, or more bytes of events or of what is written, than a transaction may cause.
    BudgetExceeded = 122, "budget-exceeded";
    /// The named joint account does not exist.
    AccountUnknown = 130, "account-unknown";
    /// Too few of the joint account's keys signed.
    ThresholdNotMet = 131, "threshold-not-met";
    /// The joint account exists already.
    AccountExists = 132, "account-exists";

    /// No such asset.
    AssetUnknown = 200, "asset-unknown";
    /// The asset exists already.
    AssetExists = 201, "asset-exists";
    /// Only the asset's authority for this may do it.
    NotTheAuthority = 202, "not-the-authority";
    /// The account owns too little.
    InsufficientBalance = 203, "insufficient-balance";
    /// The account owns enough, but part of it is frozen or locked.
    BalanceNotFree = 204, "balance-not-free";
    /// More units than the supply cap.
    SupplyCapExceeded = 205, "supply-cap-exceeded";
    /// The asset is paused.
    AssetIsPaused = 206, "asset-paused";
    /// An amount would exceed 2^128 - 1.
    AmountOverflow = 207, "amount-overflow";
    /// Fungible where unique is needed, or the other way round.
    WrongAssetKind = 208, "wrong-asset-kind";
    /// No such item.
    ItemUnknown = 209, "item-unknown";
    /// The item exists or existed already.
    ItemExists = 210, "item-exists";
    /// The acting account neither owns the item nor is approved for it.
    NotTheOwner = 211, "not-the-owner";
    /// The approval is smaller than the amount.
    AllowanceExceeded = 212, "allowance-exceeded";
    /// The item is frozen.
    ItemIsFrozen = 213, "item-frozen";
    /// Too many live locks on this balance.
    TooManyLocks = 214, "too-many-locks";
    /// Less is frozen than is to be freed.
    NotFrozen = 215, "not-frozen";
    /// The spender may move another amount than the owner expected.
    AllowanceDiffers = 216, "allowance-differs";

    /// The certificate path does not verify.
    PathRefused = 300, "path-refused";
    /// The proof of possession does not verify.
    PossessionRefused = 301, "possession-refused";
    /// The certificate was revoked on this channel.
    CertificateIsRevoked = 302, "certificate-revoked";
    /// The address belongs to another identity.
    AddressIsTaken = 303, "address-taken";
    /// No such participant.
    ParticipantUnknown = 304, "participant-unknown";
    /// Only administrators of that organization may do it.
    OtherOrganization = 305, "other-organization";
    /// The CA certificate does not continue one that the channel lists.
    AuthorityRefused = 306, "authority-refused";
    /// There is nothing to recover, or nobody to recover it for.
    RecoveryRefused = 307, "recovery-refused";
    /// The account was passed on from one successor to the next as often as can be.
    SuccessionTooLong = 308, "succession-too-long";
    /// More admissions than a transaction may have.
    TooManyAdmissions = 309, "too-many-admissions";
    /// No such open proposal.
    ProposalUnknown = 310, "proposal-unknown";
    /// This organization has approved already.
    AlreadyApproved = 311, "already-approved";
    /// The changed configuration would be invalid.
    ConfigurationInvalid = 312, "configuration-invalid";
    /// The proposal's time has passed, or its organization has left.
    ProposalLapsed = 313, "proposal-lapsed";
    /// The proposer's organization has changed the configuration too often of late.
    ChangesTooFrequent = 314, "changes-too-frequent";
    /// The organization has as many open proposals as it may have.
    TooManyProposals = 315, "too-many-proposals";
    /// The organization has had the channel keep too much of this kind for nothing of late.
    ActsTooFrequent = 316, "acts-too-frequent";
    /// The identity's organization has ended it on this channel.
    IdentityIsEnded = 317, "identity-ended";

    /// No such contract.
    ContractUnknown = 400, "contract-unknown";
    /// The contract exists already.
    ContractExists = 401, "contract-exists";
    /// No such instance.
    InstanceUnknown = 402, "instance-unknown";
    /// The instance exists already.
    InstanceExists = 403, "instance-exists";
    /// The contract is retired.
    ContractIsRetired = 404, "contract-retired";
    /// Only the contract's owner may do it.
    NotTheContractOwner = 405, "not-the-contract-owner";
    /// The contract has no such method.
    MethodUnknown = 406, "method-unknown";
    /// The arguments are not what the method takes.
    ArgumentsInvalid = 407, "arguments-invalid";
    /// No such engine, or the engine has no such code.
    CodeUnknown = 408, "code-unknown";
    /// The caller may not call this method on this instance.
    CallerRefused = 409, "caller-refused";
    /// The instance is not in a state that allows this.
    WrongPhase = 410, "wrong-phase";
    /// An organization that is named is not a member of the channel.
    OrganizationUnknown = 411, "organization-unknown";
    /// The instance owes the account nothing of this.
    NothingOwed = 412, "nothing-owed";

    /// The auction has ended.
    BidTooLate = 420, "bid-too-late";
    /// The bid is below the least that the auction takes now.
    BidTooLow = 421, "bid-too-low";
    /// The bidder owns less than the bid.
    BidUnfunded = 422, "bid-unfunded";
    /// The seller cannot bid.
    BidBySeller = 423, "bid-by-seller";
    /// The bidder lacks what the auction asks of bidders.
    BidderNotQualified = 424, "bidder-not-qualified";
    /// There is no buy-now price.
    NoBuyNow = 425, "no-buy-now";
    /// The auction cannot be cancelled once there is a bid.
    AuctionHasBids = 426, "auction-has-bids";
    /// Who shares an account with the seller cannot bid.
    BidByCoOwner = 427, "bid-by-co-owner";
    /// The auction takes no bid of the seller's organization.
    BidBySellersOrganization = 428, "bid-by-sellers-organization";
    /// The bidder could stop the currency or the item, and so keep others from bidding.
    BidByController = 429, "bid-by-controller";

    /// The borrower has no credit record.
    NoCreditRecord = 450, "no-credit-record";
    /// The quote came after the deadline.
    QuoteTooLate = 451, "quote-too-late";
    /// The quoted rate is above the highest that the borrower takes.
    RateTooHigh = 452, "rate-too-high";
    /// The lender owns less than the amount.
    QuoteUnfunded = 453, "quote-unfunded";
    /// The borrower cannot lend to itself.
    QuoteByBorrower = 454, "quote-by-borrower";
    /// This lender has quoted already.
    AlreadyQuoted = 455, "already-quoted";
    /// No such quote.
    QuoteUnknown = 456, "quote-unknown";
    /// The borrower owns less than it wants to repay.
    RepaymentUnfunded = 457, "repayment-unfunded";
    /// Not given any more: what is offered beyond what is owed is not taken.
    RepaymentTooHigh = 458, "repayment-too-high";
    /// The lender lacks what the request asks of lenders.
    LenderNotQualified = 459, "lender-not-qualified";
    /// The collateral is not the borrower's or not free.
    CollateralRefused = 460, "collateral-refused";
    /// No such loan.
    LoanUnknown = 461, "loan-unknown";
    /// The loan exists or existed already.
    LoanExists = 462, "loan-exists";
    /// The borrower has a credit record already.
    CreditRecordExists = 463, "credit-record-exists";
    /// This identity has quoted already, from another account.
    QuoteBySameIdentity = 464, "quote-by-same-identity";
    /// It is too late to withdraw a quote: others could not answer any more.
    QuoteIsBinding = 465, "quote-is-binding";
    /// A registrar opens no credit record for its own organization.
    OwnOrganization = 466, "own-organization";
    /// Who shares an account with the borrower cannot lend to it.
    QuoteByCoOwner = 467, "quote-by-co-owner";
    /// The lender could stop the currency, and so keep others from quoting, and the request does not allow it.
    QuoteByController = 468, "quote-by-controller";

    /// No such application.
    AppUnknown = 500, "app-unknown";
    /// Only the application's owner may do it.
    NotTheAppOwner = 501, "not-the-app-owner";
    /// This version was published already.
    VersionExists = 502, "version-exists";
    /// The application is retired.
    AppIsRetired = 503, "app-retired";
    /// The settings are not a JSON document.
    SettingsInvalid = 504, "settings-invalid";

    /// Only the ledger itself and its ordering peers write under this topic, or it is the kind of an event.
    TopicIsReserved = 600, "topic-reserved";
    /// Another record than the named one is the last of the sequence.
    AuditOutOfSequence = 601, "audit-out-of-sequence";
}

impl ResultCode {
    /// The number in receipts.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The class whose readers may know why a transaction failed with it, beyond the code; none for what tells of the
    /// transaction and its sender.
    pub const fn class(self) -> Option<Class> {
        match self.number() {
            130..=139 | 200..=299 => Some(Class::Assets),
            400..=499 => Some(Class::Contracts),
            500..=599 => Some(Class::Apps),
            300..=399 | 600..=699 => Some(Class::Logs),
            _ => None,
        }
    }

    /// Whether it tells of administrative acts: more than the code is for who may read these.
    pub const fn is_of_acts(self) -> bool {
        matches!(self.number(), 300..=399)
    }

    /// What it says where nothing else is to be said, as part of a sentence.
    pub fn words(self) -> String {
        if crate::primitives::words::are_others() {
            return format!("other words for {}", self.name());
        }
        let mut rest = self.sentence().trim().trim_end_matches('.').chars();
        rest.next().into_iter().flat_map(char::to_lowercase).chain(rest.clone()).collect()
    }
}

/// Why an action did not happen.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The transaction fails with this code; the fee stays paid.
    #[error("{}: {}", .code.name(), .detail.words(*.code))]
    Rejected {
        /// What a program reads.
        code: ResultCode,
        /// What the code leaves open.
        detail: Detail,
    },
    /// The store failed: the block cannot be executed at all, and the channel halts.
    #[error(transparent)]
    Broken(#[from] ReadError),
}

impl Refusal {
    /// A rejection.
    pub const fn rejected(code: ResultCode, detail: Detail) -> Self {
        Self::Rejected { code, detail }
    }
}

/// Shorthand for `Err(Refusal::rejected(…))`.
pub const fn reject<T>(code: ResultCode, detail: Detail) -> Result<T, Refusal> {
    Err(Refusal::rejected(code, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receipts carry the numbers for ever: a changed or reused number breaks every reader. Codes that tell of the
    /// transaction, of its sender, of the configuration, or to administrators and peers what they govern.
    const TELL_NOTHING_OF_OTHERS: &str = "
        done expired too-far-ahead fee-above-max fee-unpaid not-a-participant participant-revoked participant-expired no-right
        participant-unvouched invalid-field too-many-effects budget-exceeded account-exists amount-overflow too-many-locks
        allowance-differs path-refused possession-refused certificate-revoked address-taken participant-unknown
        other-organization authority-refused recovery-refused succession-too-long too-many-admissions proposal-unknown
        already-approved configuration-invalid proposal-lapsed changes-too-frequent too-many-proposals acts-too-frequent
        identity-ended method-unknown arguments-invalid code-unknown organization-unknown bid-unfunded quote-unfunded
        quote-unknown repayment-unfunded settings-invalid topic-reserved audit-out-of-sequence";

    /// Whoever may only post learns by refusals; the auditors' page lists all that they tell.
    #[test]
    fn what_a_code_tells_of_others_is_on_the_page_about_refusals() {
        let page = include_str!("../../../docs/operating/auditing.md");
        let page = page.split("## What refusals tell").nth(1).expect("the section");
        let own: Vec<&str> = TELL_NOTHING_OF_OTHERS.split_whitespace().collect();
        for line in include_str!("../../../docs/formats/result-codes.txt").lines() {
            let name = line.split(' ').nth(1).expect("a name");
            let told = page.contains(&format!("`{name}`"));
            assert_ne!(told, own.contains(&name), "{name} is either listed on the page, or tells of nobody else");
        }
    }

    #[test]
    fn codes_agree_with_the_golden_file() {
        let lines: String = ResultCode::ALL.iter().map(|code| format!("{} {}\n", code.number(), code.name())).collect();
        let golden = include_str!("../../../docs/formats/result-codes.txt");
        assert!(golden == lines, "docs/formats/result-codes.txt should read:\n{lines}");
        for code in ResultCode::ALL {
            assert_eq!(ResultCode::from_number(code.number()), Some(*code));
        }
    }
}
