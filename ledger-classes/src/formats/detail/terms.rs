//! The closed enumerations that details name things by.

use super::numbered;
use std::fmt;

numbered! {
    /// What has a name.
    Thing {
        Asset = 1, "asset", "asset";
        Item = 2, "item", "item";
        Contract = 3, "contract", "contract";
        Instance = 4, "instance", "instance";
        Application = 5, "application", "application";
        JointAccount = 6, "joint-account", "joint account";
        Loan = 7, "loan", "loan";
        CreditRecord = 8, "credit-record", "credit record";
        Proposal = 9, "proposal", "open proposal";
        Engine = 10, "engine", "contract engine";
        Channel = 11, "channel", "channel";
    }
}

numbered! {
    /// What has a bound. The words stand around the figures.
    Part {
        Title = 1, "title", "a title has … bytes";
        Settings = 2, "settings", "settings have … bytes";
        AppContracts = 3, "app-contracts", "an application has … contracts, each named by 1 to 64 of a-z, 0-9 and hyphen";
        JointKeys = 4, "joint-keys", "a joint account has … keys";
        Threshold = 5, "threshold", "a threshold is … of the account's keys";
        Decimals = 6, "decimals", "an asset has … decimals";
        Transfers = 7, "transfers", "a batch has … transfers";
        Locks = 8, "locks", "a balance has … live locks";
        Reason = 9, "reason", "a reason has … bytes";
        Body = 10, "body", "a body has … bytes";
        Method = 11, "method", "a method has … bytes";
        Arguments = 12, "arguments", "arguments have … bytes";
        Currencies = 13, "currencies", "a desk has … currencies";
        GraceSeconds = 14, "grace-seconds", "the grace time is … seconds";
        TermSeconds = 15, "term-seconds", "a term has … seconds";
        Installments = 16, "installments", "a loan has … installments, at least a second apart";
        RateBps = 17, "rate-bps", "a rate is … basis points";
        Registrars = 18, "registrars", "registrars are … organizations";
        Bidders = 19, "bidders", "bidders are … organizations";
        Lenders = 20, "lenders", "lenders are … organizations";
        AuctionMs = 21, "auction-ms", "an auction ends … milliseconds after it begins";
        QuotingMs = 22, "quoting-ms", "the deadline for quotes lies … milliseconds ahead";
        Events = 23, "events", "a transaction causes … events";
        CallEffects = 24, "call-effects", "a call does … things";
        ContractKey = 25, "contract-key", "a key of a contract has … bytes";
        ContractData = 26, "contract-data", "a value or an event of a contract has … bytes";
        EventName = 27, "event-name", "the name of a contract's event has … bytes";
        TimerName = 28, "timer-name", "a timer is named by … bytes, none of them zero";
        StateKey = 29, "state-key", "a key has … bytes";
        StateValue = 30, "state-value", "a record has … bytes";
        Admissions = 31, "admissions", "a transaction has … admissions";
        Path = 32, "path", "a path has … certificates of at most 8 KiB";
        Proof = 33, "proof", "a certificate has at most 8 KiB, and a proof … bytes";
        IdentityAddresses = 34, "identity-addresses", "an identity has … addresses on a channel";
        KeyAddresses = 35, "key-addresses", "a certificate's key binds … addresses on a channel";
        Issuers = 36, "issuers", "a certificate of one name and number is issued by … CAs";
        Serial = 37, "serial", "a serial has … bytes, of which the first is not 0";
        Evidence = 38, "evidence", "evidence has … bytes";
        Changes = 39, "changes", "a proposal has … changes";
        Proposals = 40, "proposals", "a transaction makes … proposals";
        Organizations = 41, "organizations", "a channel has … member organizations";
        Grants = 42, "grants", "a channel has … grants";
        Authorities = 43, "authorities", "an organization has … CA certificates of at most 8 KiB";
        Salt = 44, "salt", "the salt has … bytes";
        PayloadBytes = 45, "payload_bytes_max", "payload_bytes_max is …";
        Actions = 46, "actions_max", "actions_max is …";
        BlockTransactions = 47, "block_transactions_max", "block_transactions_max is …";
        BlockBytes = 48, "block_bytes_max", "block_bytes_max is …";
        BlockAge = 49, "block_age_ms_max", "block_age_ms_max is …";
        Configuration = 50, "configuration", "a configuration has … bytes";
        Amount = 51, "amount", "the amount is …";
        SupplyCap = 52, "supply-cap", "a supply cap is …";
        MinimumIncrement = 53, "minimum-increment", "the minimum increment is …";
        OwedName = 54, "owed-name", "an asset or an item is named by … bytes";
        OrganizationTitle = 55, "organization-title", "an organization's title has … bytes";
        OrderingPeers = 56, "ordering-peers", "a channel has … ordering peers";
        Weight = 57, "weight", "weight is …";
        SealThreshold = 58, "seal-threshold", "threshold is …";
        Rules = 59, "rules", "rules is …";
        TransactionSteps = 60, "transaction-steps", "the budget of a transaction: steps is …";
        TransactionEvents = 61, "transaction-events", "the budget of a transaction: events is …";
        TransactionReceiptBytes = 62, "transaction-receipt-bytes", "the budget of a transaction: receipt_bytes is …";
        TransactionWrittenBytes = 63, "transaction-written-bytes", "the budget of a transaction: written_bytes is …";
        BlockSteps = 64, "block-steps", "the budget of a block: steps is …";
        BlockEvents = 65, "block-events", "the budget of a block: events is …";
        BlockReceiptBytes = 66, "block-receipt-bytes", "the budget of a block: receipt_bytes is …";
        BlockWrittenBytes = 67, "block-written-bytes", "the budget of a block: written_bytes is …";
        Engine = 68, "engine", "the engine is …";
        Witnesses = 69, "witnesses", "the policy of witnesses is …";
    }
}

numbered! {
    /// What an asset's authority may do.
    Duty {
        Mint = 1, "mint", "mint";
        Burn = 2, "burn", "burn";
        Pause = 3, "pause", "pause and resume";
        Freeze = 4, "freeze", "freeze and unfreeze";
    }
}

numbered! {
    /// What is wrong with an item.
    ItemFault {
        Burnt = 1, "burnt", "was burnt";
        Frozen = 2, "frozen", "is frozen";
        NotFrozen = 3, "not-frozen", "is not frozen";
        Exists = 4, "exists", "exists or existed already";
        Unknown = 5, "unknown", "does not exist";
    }
}

numbered! {
    /// Who alone may do something.
    Party {
        Seller = 1, "seller", "only the seller cancels";
        Borrower = 2, "borrower", "only the borrower cancels its request";
        Registrar = 3, "registrar", "only a registrar of this desk opens credit records";
        Caller = 4, "caller", "a timer has no caller to take from";
        Administrator = 5, "administrator", "only an admitted administrator may do this";
        OrderingPeer = 6, "ordering-peer", "only the seal key of an ordering peer appends to an audit sequence";
        SequenceOwner = 7, "sequence-owner", "the sequence is another ordering peer's";
        OtherOrganizations = 8, "other-organizations", "this is for participants of other organizations";
        Participants = 9, "participants", "this is for participants only";
        OwnOrganization = 10, "own-organization", "an organization decides on its own participants and proposals";
    }
}

numbered! {
    /// What happens at a time.
    Moment {
        AuctionEnds = 1, "auction-ends", "the auction ends at";
        AuctionEnded = 2, "auction-ended", "the auction ended, at the latest at";
        RequestDecides = 3, "request-decides", "the request is decided at";
        QuotesWereTaken = 4, "quotes-were-taken", "quotes were taken until";
        QuotesBind = 5, "quotes-bind", "quotes have been binding since";
        ValidUntil = 6, "valid-until", "valid until";
        ListedUntil = 7, "listed-until", "the listed certificate is good for more than a year, until";
        ListedEnds = 8, "listed-ends", "the certificate ends less than 30 days after the listed one, which ends";
        ProposalLapsed = 9, "proposal-lapsed", "a proposal is open for 30 days, propose it anew: this one is of";
    }
}

numbered! {
    /// Where an instance stands.
    Stage {
        AuctionOver = 1, "auction-over", "the auction is over";
        RequestDecided = 2, "request-decided", "the request is decided";
        HasQuotes = 3, "has-quotes", "there are quotes already";
        NotFunded = 4, "not-funded", "the loan is not funded";
        NotRunning = 5, "not-running", "the loan is not running";
        AuctionTakesNoMore = 6, "auction-takes-no-more", "the auction takes no more bids";
        NoHigherBid = 7, "no-higher-bid", "no higher bid is possible";
    }
}

numbered! {
    /// What a transaction has used up.
    Resource {
        Work = 1, "work", "work";
        Events = 2, "events", "events";
        EventBytes = 3, "event-bytes", "bytes of events";
        WrittenBytes = 4, "written-bytes", "bytes written";
    }
}

numbered! {
    /// What was revoked, of what an admission shows.
    Revoked {
        Certificate = 1, "certificate", "this certificate was revoked on this channel";
        Authority = 2, "authority", "a CA certificate of the path was revoked on this channel";
        Key = 3, "key", "another certificate of this key was revoked on this channel, since the key was compromised";
        ByItsAuthority = 4, "by-its-authority", "this peer knows from its CA that it is revoked";
    }
}

numbered! {
    /// What an organization has done too often of late.
    Often {
        Configuration = 1, "configuration", "its proposals have changed the configuration too often of late, and can take effect";
        Admission = 2, "admission", "too many of it were admitted of late: again";
        UnmetRevocation = 3, "unmet-revocation", "its CAs have revoked too many certificates of late that this channel has not met: again";
        NamedAct = 4, "named-act", "its administrators have named too much of late that this channel has not met, or reinstated too often: again";
        Succession = 5, "succession", "its CAs have taken each other's place too often of late: again";
    }
}

/// A part's words stand before its figures, and with `#` after them.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.words().split_once('…').unwrap_or((self.words(), ""));
        f.write_str(if f.alternate() { after } else { before })
    }
}

/// With `#` a thing has its article.
impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            f.write_str(if self.words().starts_with(['a', 'e', 'i', 'o', 'u']) { "an " } else { "a " })?;
        }
        f.write_str(self.words())
    }
}

macro_rules! shown_in_words {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.words())
            }
        }
    )* };
}

shown_in_words!(Duty, ItemFault, Party, Moment, Stage, Resource, Revoked, Often);
