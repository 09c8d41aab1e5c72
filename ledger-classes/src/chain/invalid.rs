//! Why a block is no block of its channel: numbered and append-only, held by a golden file
//! (`docs/formats/invalid-blocks.txt`). Typed arguments; words are made when it is shown.

use crate::formats::outcome::ResultCode;
use crate::keys::Address;
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;

macro_rules! reasons {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $( $(#[$of_field:meta])* $field:ident: $type:ty, )* })? = $number:literal, $name:literal, ($($words:tt)+);
    )*) => {
        /// The rule that a block breaks. Places count its transactions from 0.
        #[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
        pub enum Invalid {
            $( $(#[$doc])* #[error($($words)+)] $variant $({ $( $(#[$of_field])* $field: $type, )* })?, )*
        }

        impl Invalid {
            /// Every reason with its number and its name, ascending.
            pub const ALL: &'static [(u16, &'static str)] = &[$( ($number, $name) ),*];

            /// Its number.
            pub const fn number(&self) -> u16 {
                match self { $( Self::$variant { .. } => $number, )* }
            }

            /// Its stable name.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $name, )* }
            }
        }
    };
}

reasons! {
    /// The bytes are no block.
    Malformed = 1, "malformed",
        ("its bytes are no block");
    /// This build does not know the version.
    Version {
        /// The header's.
        version: u16,
    } = 2, "version",
        ("this build knows no block of version {version}");
    /// The channel has rules that this build does not know: it cannot tell.
    UnknownRules {
        /// The configuration's number.
        rules: u32,
        /// The highest that this build knows.
        known: u32,
    } = 3, "unknown-rules",
        ("the channel has the rules {rules}, and this build knows those up to {known}: it needs a newer one");
    /// The first block is not the genesis block of a configuration.
    GenesisMalformed = 10, "genesis-malformed",
        ("it holds no configuration that a channel can begin with");
    /// A genesis block follows from its configuration.
    GenesisDiffers = 11, "genesis-differs",
        ("it is not the genesis block of the configuration that it holds");

    /// It is of another channel.
    OtherChannel {
        /// The header's.
        channel: Hash,
    } = 100, "other-channel",
        ("it is of the channel {channel}");
    /// Its height does not follow.
    Height {
        /// The one that follows.
        expected: u64,
        /// The header's.
        height: u64,
    } = 101, "height",
        ("it says that it is block {height}, and block {expected} follows");
    /// It names another block as the one before.
    Previous {
        /// The hash of the header before.
        expected: Hash,
        /// The header's.
        previous: Hash,
    } = 102, "previous",
        ("it does not follow the block before, {expected}, but {previous}");
    /// It does not follow all headers before it.
    HistoryRoot = 103, "history-root",
        ("the history root is not that of the headers before");
    /// Block time goes back.
    TimeGoesBack {
        /// The time of the block before.
        parent: Time,
        /// The header's.
        time: Time,
    } = 104, "time-goes-back",
        ("its time, {time}, is before that of the block before, {parent}");

    /// The proposer does not order the channel.
    Proposer {
        /// The header's.
        proposer: Address,
    } = 200, "proposer",
        ("{proposer} orders no block under the configuration in force");
    /// A later block without a seal, or a genesis block with one.
    SealKind = 201, "seal-kind",
        ("the seal is not of the kind that this block needs");
    /// A key that does not order.
    SealKey = 202, "seal-key",
        ("the seal has a signature of a key that orders no block here");
    /// A signature does not verify.
    SealSignature = 203, "seal-signature",
        ("a signature of the seal does not verify");
    /// A term or round where one peer orders alone.
    SealPlace {
        /// The seal's.
        place: u64,
    } = 204, "seal-place",
        ("one peer orders alone, and the seal names the term or round {place}");
    /// Signatures that are not in the order of the record, or of one peer twice.
    SealOrder = 205, "seal-order",
        ("the seal's signatures are not in the order of the ordering peers, each once");
    /// Too few signatures.
    SealThreshold {
        /// Of those who signed.
        weight: u64,
        /// What is needed.
        threshold: u64,
    } = 206, "seal-threshold",
        ("those who sealed it weigh {weight}, and {threshold} is needed");
    /// A signature of a form on which libraries could differ.
    SealNotCanonical = 207, "seal-not-canonical",
        ("a signature of the seal, or its key, is not in its canonical form");
    /// The record of who may seal is not the one that the block before names.
    Orderers = 208, "orderers",
        ("those who are said to order it are not those that the block before names");

    /// Another number of transactions than the header says.
    TransactionCount {
        /// In the block.
        count: u32,
        /// The header's.
        header: u32,
    } = 300, "transaction-count",
        ("it holds {count} transactions, and its header says {header}");
    /// The transactions are not those that the header commits to.
    TransactionRoot = 301, "transaction-root",
        ("the transactions differ from the header's transaction root");
    /// More transactions than the channel's limit.
    TooManyTransactions {
        /// In the block.
        count: u32,
        /// The limit.
        max: u32,
    } = 302, "too-many-transactions",
        ("it holds {count} transactions, at most {max}");
    /// More bytes of envelopes than the channel's limit.
    TooManyBytes {
        /// In the block.
        bytes: u64,
        /// The limit.
        max: u32,
    } = 303, "too-many-bytes",
        ("its transactions have {bytes} bytes, at most {max}");
    /// There is nothing to do: no transaction, and nothing due.
    Empty = 304, "empty",
        ("it does nothing: it holds no transaction, and nothing is due");
    /// Batches where the channel has none.
    UnlistedBatch {
        /// Its batches.
        count: u32,
    } = 305, "unlisted-batch",
        ("it holds {count} batches, and its proposer alone vouches for what it proposes");
    /// The batches are not those that the header commits to.
    BatchRoot = 306, "batch-root",
        ("the batches differ from the header's batch root");
    /// Nobody drew what hides its hashes.
    BlindingSeed = 307, "blinding-seed",
        ("its blinding seed is zero");

    /// An envelope or its payload does not decode, in the one form that it has.
    TransactionMalformed {
        /// The transaction.
        place: u32,
    } = 310, "transaction-malformed",
        ("transaction {place} does not decode");
    /// An action that this build does not know.
    TransactionUnknownAction {
        /// The transaction.
        place: u32,
    } = 311, "transaction-unknown-action",
        ("transaction {place} asks for an action that this build does not know");
    /// Above what the protocol allows any channel.
    TransactionOversize {
        /// The transaction.
        place: u32,
    } = 312, "transaction-oversize",
        ("transaction {place} is larger than any channel takes");
    /// It was signed for another channel.
    TransactionOfOtherChannel {
        /// The transaction.
        place: u32,
    } = 313, "transaction-of-other-channel",
        ("transaction {place} names another channel");
    /// No signature, a key that signs twice, or another sender than the payload names.
    TransactionSigners {
        /// The transaction.
        place: u32,
    } = 314, "transaction-signers",
        ("the signers of transaction {place} are not those that it needs");
    /// A signature does not verify.
    TransactionSignature {
        /// The transaction.
        place: u32,
        /// Whose it should be.
        signer: Address,
    } = 315, "transaction-signature",
        ("the signature of {signer} on transaction {place} does not verify");
    /// A payload above the channel's limit.
    PayloadTooLarge {
        /// The transaction.
        place: u32,
        /// Its bytes.
        bytes: u32,
        /// The limit.
        max: u32,
    } = 316, "payload-too-large",
        ("transaction {place} has {bytes} payload bytes, at most {max}");
    /// More actions than the channel's limit.
    TooManyActions {
        /// The transaction.
        place: u32,
        /// Its actions.
        actions: u32,
        /// The limit.
        max: u32,
    } = 317, "too-many-actions",
        ("transaction {place} has {actions} actions, at most {max}");
    /// The id has its outcome already, in an earlier block or in this one.
    Duplicate {
        /// The transaction.
        place: u32,
        /// Its id.
        id: Hash,
    } = 318, "duplicate",
        ("transaction {place}, {id}, is in the chain already");
    /// Block time is outside the transaction's time window.
    OutsideTimeWindow {
        /// The transaction.
        place: u32,
        /// The end of its window.
        valid_until: Time,
    } = 319, "outside-time-window",
        ("transaction {place} is valid until {valid_until}, and not at the block's time");
    /// What leaves nothing when it fails has failed.
    MustNotStay {
        /// The transaction.
        place: u32,
        /// Why.
        code: ResultCode,
    } = 320, "must-not-stay",
        ("transaction {place} leaves nothing in a block: {}", .code.name());
    /// The block's budget was used before it.
    BudgetUsed {
        /// The transaction.
        place: u32,
    } = 321, "budget-used",
        ("the block's budget was used before transaction {place}");
    /// An action of rules that are not in force yet.
    TransactionAheadOfRules {
        /// The transaction.
        place: u32,
        /// The rules that it needs.
        rules: u32,
    } = 322, "transaction-ahead-of-rules",
        ("transaction {place} needs the rules {rules}, which are not in force");
    /// More batches, transactions in them or signatures under them than a block may list.
    TooManyBatches = 330, "too-many-batches",
        ("it lists more batches, transactions in them or witnesses than a block may");
    /// A batch whose transactions are not those that its digest names.
    BatchDigest {
        /// Its place among the batches.
        batch: u32,
    } = 331, "batch-digest",
        ("the transactions of batch {batch} are not those that its count and its digest name");
    /// Batches go by origin and number, ascending, each once.
    BatchOrder {
        /// Its place among the batches.
        batch: u32,
    } = 332, "batch-order",
        ("batch {batch} does not follow the one before by origin and number");
    /// A batch of which nothing is in the block.
    BatchIdle {
        /// Its place among the batches.
        batch: u32,
    } = 333, "batch-idle",
        ("nothing of batch {batch} is in the block");
    /// A batch for which its origin does not vouch, or one that does not order.
    BatchOrigin {
        /// Its place among the batches.
        batch: u32,
    } = 334, "batch-origin",
        ("the origin of batch {batch} does not order the channel, or does not vouch for it");
    /// A witness that does not order, twice, or out of the order of the orderers' record.
    WitnessKey {
        /// The place of its batch.
        batch: u32,
    } = 335, "witness-key",
        ("a witness of batch {batch} does not order the channel, or is not in the order of its record");
    /// Fewer witnesses than the channel's policy asks for.
    WitnessThreshold {
        /// The place of their batch.
        batch: u32,
        /// Their weight.
        weight: u64,
        /// What the policy asks for.
        threshold: u64,
    } = 336, "witness-threshold",
        ("the witnesses of batch {batch} have the weight {weight}, and the channel asks for {threshold}");
    /// A witness's signature that does not verify.
    WitnessSignature {
        /// The place of its batch.
        batch: u32,
    } = 337, "witness-signature",
        ("a witness's signature on batch {batch} does not verify");
    /// A transaction that is in none of the batches.
    Unwitnessed {
        /// The transaction.
        place: u32,
    } = 338, "unwitnessed",
        ("transaction {place} is in no batch");

    /// Another number of receipts than the header says.
    ReceiptCount {
        /// Of executing it.
        count: u32,
        /// The header's.
        header: u32,
    } = 400, "receipt-count",
        ("executing it gives {count} receipts, and its header says {header}");
    /// The receipts differ.
    ReceiptRoot = 401, "receipt-root",
        ("the receipt root differs from that of executing it");
    /// What it writes differs.
    WritesRoot = 402, "writes-root",
        ("the writes root differs from that of executing it");
    /// Another configuration is in force.
    ConfigHeight {
        /// The height that set the configuration in force.
        expected: u64,
        /// Height named by the header.
        height: u64,
    } = 403, "config-height",
        ("the configuration of block {expected} is in force, and its header names that of {height}");
    /// Receipts that came with it are not those of executing it.
    Receipt {
        /// The first that differs.
        index: u32,
    } = 404, "receipt",
        ("receipt {index} differs from that of executing it");
    /// The state that it leaves differs.
    StateRoot = 405, "state-root",
        ("the state root differs from that of executing it");
    /// Others may seal the next block.
    OrderersRoot = 406, "orderers-root",
        ("the orderers root is not that of who may seal the next block");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other programs read the numbers and names.
    #[test]
    fn reasons_agree_with_the_golden_file() {
        let lines: String = Invalid::ALL.iter().map(|(number, name)| format!("{number} {name}\n")).collect();
        let golden = include_str!("../../../docs/formats/invalid-blocks.txt");
        assert!(golden == lines, "docs/formats/invalid-blocks.txt should read:\n{lines}");
        assert!(Invalid::ALL.is_sorted_by(|one, next| one.0 < next.0), "each number once, ascending");
    }
}
