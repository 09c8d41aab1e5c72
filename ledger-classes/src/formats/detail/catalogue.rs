//! Every detail: its number, the class of the ledger that it tells of, its name, its arguments, and its words.

use super::{
    Argument, Duty, ItemFault, KeyFault, Moment, Names, Often, Part, Party, PathRefusal, Resource, Revoked, Stage,
    Text, Thing, Value, Whose,
};
use crate::formats::rights::Class;
use crate::keys::{Address, PublicKey};
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use bincode::error::{DecodeError, EncodeError};
use std::fmt;

macro_rules! class {
    (_) => {
        None
    };
    ($class:ident) => {
        Some(Class::$class)
    };
}

macro_rules! details {
    ($( $number:literal $class:tt $name:literal $variant:ident { $($field:ident : $type:ty),* } $words:literal; )*) => {
        /// What a refusal tells beside its code. See the table in `docs/formats/refusal-details.txt`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "a field is what the words say of it")]
        pub enum Detail { $( #[doc = concat!("`", $words, "`")] $variant { $($field: $type),* }, )* }

        impl Detail {
            /// The stable number.
            pub const fn number(&self) -> u16 {
                match self { $( Self::$variant { .. } => $number, )* }
            }

            /// Whether this build knows a detail of this number.
            pub const fn is_known(number: u16) -> bool {
                matches!(number, $( $number )|*)
            }

            /// The stable name, as in JSON.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $name, )* }
            }

            /// The class of the ledger whose records it tells of, beside whoever posted it to those only who read that;
            /// `None` for what tells of the transaction itself, of its sender's standing, of the configuration, or to
            /// administrators what they govern.
            pub const fn class(&self) -> Option<Class> {
                match self { $( Self::$variant { .. } => class!($class), )* }
            }

            /// The table: a line for each with number, class, name, and the arguments with their types.
            #[cfg(test)]
            pub(super) fn table() -> String {
                let mut table = String::new();
                $(
                    let class = class!($class).map_or("-", Class::text);
                    let arguments: &[String] =
                        &[$( format!(" {}:{}", stringify!($field), <$type as Argument>::KIND) ),*];
                    table.push_str(&format!("{} {class} {}{}\n", $number, $name, arguments.concat()));
                )*
                table
            }

            /// Whether an argument is one of a closed enumeration.
            #[cfg(test)]
            pub(super) fn is_closed(&self, name: &str) -> bool {
                match self {
                    $( Self::$variant { .. } => [$( (stringify!($field), <$type as Argument>::CLOSED) ),*].contains(&(name, true)), )*
                }
            }

            pub(super) fn put_arguments(&self, out: &mut Vec<(&'static str, Value)>) {
                let _ = &out;
                match self {
                    $( Self::$variant { $($field),* } => { $( $field.put(stringify!($field), out); )* } )*
                }
            }
        }

        /// Each detail with the largest arguments.
        #[cfg(test)]
        pub(super) fn examples() -> Vec<Detail> {
            vec![$( Detail::$variant { $( $field: Argument::example() ),* } ),*]
        }

        impl fmt::Display for Detail {
            #[allow(unused_variables, reason = "words need not tell each argument")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if crate::primitives::words::are_others() {
                    return write!(f, "other words for {}", self.name());
                }
                match self { $( Self::$variant { $($field),* } => write!(f, $words), )* }
            }
        }

        impl Encode for Detail {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.number().encode(encoder)?;
                match self {
                    $( Self::$variant { $($field),* } => { $( $field.encode(encoder)?; )* } )*
                }
                Ok(())
            }
        }

        impl<C> Decode<C> for Detail {
            fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                match u16::decode(decoder)? {
                    $( $number => Ok(Self::$variant { $( $field: <$type>::decode(decoder)? ),* }), )*
                    _ => Err(DecodeError::Other("unknown detail of a refusal")),
                }
            }
        }

        bincode::impl_borrow_decode!(Detail);
    };
}

// Numbers: 0 the code says all; 1 to 99 forms and bounds; 100 to 199 the sender and its rights; 200 to 299 assets; 300 to
// 399 participants and the channel; 400 to 499 contracts; 500 to 599 apps and logs.
details! {
    0 _ "plain" Plain {} "the code says all";

    1 _ "at-most" AtMost { part: Part, most: u64 } "{part}at most {most}{part:#}";
    2 _ "between" Between { part: Part, least: u64, most: u64 } "{part}{least} to {most}{part:#}";
    3 _ "not-between" NotBetween { part: Part, least: u64, most: u64, found: u64 } "{part}{least} to {most}{part:#}, and not {found}";
    4 _ "at-least" AtLeast { part: Part, least: u64 } "{part}at least {least}{part:#}";
    5 _ "named" Named { thing: Thing } "{thing:#} is named by 1 to 64 of a-z, 0-9 and hyphen";
    6 _ "version-form" VersionForm {} "a version is 1 to 64 of a-z, A-Z, 0-9, dot, hyphen and plus";
    7 _ "topic-form" TopicForm {} "a topic is labels of a-z, 0-9 and hyphen, joined by dots";
    8 _ "nobody" Nobody {} "the all-zero address is nobody's";
    9 _ "key-twice" KeyTwice {} "a key is listed twice";
    10 _ "key-refused" KeyRefused { key: PublicKey, fault: KeyFault } "key {key}: {fault}";
    11 _ "not-after" NotAfter { until: Time, time: Time } "{until} is not after block time {time}";
    12 _ "not-json" NotJson {} "not a JSON document";
    13 _ "digest-taken" DigestTaken {} "a record has a digest of its own";
    14 _ "audit-topic" AuditTopic {} "a sequence's topic is below audit. and not audit.channel";
    15 _ "act-topic" ActTopic {} "topics below audit. hold administrative acts";
    16 _ "event-topic" EventTopic {} "the kind of an event is no topic of a log record";
    17 _ "beyond" Beyond { resource: Resource } "more {resource} than one transaction may cause";
    18 _ "moment" Moment { moment: Moment, time: Time } "{moment} {time}";
    19 _ "too-long" TooLong { part: Part, bytes: u64 } "{part}{bytes}{part:#}, which is more than can be kept";

    100 _ "may-not-sign" MayNotSign { address: Address } "{address} may not sign here";
    101 _ "unvouched" Unvouched { address: Address, organization: Text } "{address} may not sign here: no CA that is listed for {organization} and good vouches for its certificate";
    102 _ "revoked-in" RevokedIn { address: Address, height: u64 } "{address} may not sign here: revoked in block {height}";
    103 _ "expired-at" ExpiredAt { address: Address, time: Time } "{address} may not sign here: its certificate expired at {time}";
    104 _ "right-missing" RightMissing { action: Text, right: Text } "{action} needs the right {right}";
    105 _ "right-to-take" RightToTake { right: Text } "what it takes from the caller needs the right {right}";
    106 _ "only" Only { party: Party } "{party}";
    107 _ "fee" Fee { fee: Amount } "the fee is {fee}";
    108 Assets "fee-above-funds" FeeAboveFunds { fee: Amount, asset: Text, sender: Address, free: Amount } "the fee is {fee} of {asset}, and {sender} has {free} free";
    109 Assets "fee-beside-others" FeeBesideOthers { fee: Amount, asset: Text, sender: Address, free: Amount, owed: Amount } "the fee is {fee} of {asset}, and {sender} has {free} free beside {owed} for what is under way";
    110 Assets "signatures-missing" SignaturesMissing { signed: u64, needed: u64 } "{signed} of the account's keys signed, {needed} are needed";
    111 _ "consent-missing" ConsentMissing { key: PublicKey } "each key signs the creation, and {key} has not";

    200 Assets "unknown-asset" UnknownAsset { asset: Text } "no asset {asset:?}";
    201 Assets "of-items" OfItems { asset: Text } "{asset} consists of items, not of units";
    202 Assets "of-units" OfUnits { asset: Text } "{asset} consists of units, not of items";
    203 Assets "paused" Paused { asset: Text } "{asset} is paused";
    204 Assets "not-the-authority" NotTheAuthority { authority: Address, duty: Duty, asset: Text } "only {authority} may {duty} {asset}";
    205 Assets "asset-exists" AssetExists { asset: Text } "{asset} is defined already";
    206 Assets "insufficient" Insufficient { needed: Amount, asset: Text, owned: Amount } "{needed} of {asset} needed, {owned} owned";
    207 Assets "not-free" NotFree { needed: Amount, asset: Text, owned: Amount, free: Amount } "{needed} of {asset} needed, {owned} owned but only {free} free";
    208 Assets "overflow" Overflow { asset: Text } "more than 2^128 - 1 of {asset}";
    209 Assets "mintable" Mintable { left: Amount, asset: Text } "{left} of {asset} may still be minted";
    210 Assets "allowance" AllowanceIs { spender: Address, left: Amount, asset: Text, expected: Amount } "{spender} may still move {left} of {asset}, not {expected}";
    211 Assets "approver-revoked" ApproverRevoked { owner: Address } "{owner} was revoked since it approved";
    212 Assets "approved" Approved { needed: Amount, asset: Text, approved: Amount, owner: Address } "{needed} of {asset} needed, {approved} approved by {owner}";
    213 Assets "frozen" FrozenUnits { frozen: Amount, asset: Text } "only {frozen} of {asset} is frozen";
    214 Assets "item" Item { asset: Text, item: Text, fault: ItemFault } "item {item:?} of {asset} {fault}";
    215 Assets "not-the-owner" NotTheOwner { asset: Text, item: Text, who: Address } "item {item} of {asset} is not {who}'s";
    216 Assets "unknown-account" UnknownAccount { account: Address } "no joint account {account}";
    217 Assets "account-exists" AccountExists { account: Address } "{account} exists already";

    300 _ "has-successor" HasSuccessor { address: Address, successor: Address } "{address} was revoked, and {successor} has what it owned";
    301 _ "revoked-again" RevokedAgain { address: Address } "{address} was revoked again since: propose it anew";
    302 _ "not-revoked" NotRevoked { address: Address } "{address} is no revoked participant";
    303 _ "of-another-organization" OfAnotherOrganization { address: Address } "{address} is of another organization";
    304 _ "not-in-good-standing" NotInGoodStanding { address: Address } "{address} is no participant in good standing";
    305 _ "passed-on" PassedOn { address: Address, times: u64 } "what {address} has was passed on {times} times already";
    306 _ "not-a-member" NotAMember { organization: Text } "{organization} is not a member of this channel";
    307 _ "path" Path { refusal: PathRefusal } "{refusal}";
    308 _ "successor" Successor { refusal: PathRefusal } "the successor that it names: {refusal}";
    309 _ "successors-key" SuccessorsKey { refusal: PathRefusal } "the successor that it names: by its own key, {refusal}";
    310 _ "authority-of" AuthorityOf { organization: Text, refusal: PathRefusal } "a CA certificate of {organization}: {refusal}";
    311 _ "address-did-not-sign" DidNotSign { address: Address } "the key of {address} did not sign";
    312 _ "of-another-identity" OfAnotherIdentity { address: Address } "{address} belongs to another identity";
    313 _ "admitted-already" AdmittedAlready { address: Address } "{address} is admitted with this certificate already";
    314 _ "admitted-before" AdmittedBefore { address: Address } "{address} was admitted with this certificate before the one that it has now, which is good";
    315 _ "was-revoked" WasRevoked { what: Revoked } "{what}";
    316 _ "ended-by" EndedBy { organization: Text } "{organization} has ended this identity on this channel: an administrator of it reinstates it first";
    317 _ "not-ended" NotEnded {} "this identity has not ended on this channel";
    318 _ "ended-in-this-block" EndedInThisBlock {} "it ended in this block: send this one again";
    319 _ "too-often" TooOften { organization: Whose, often: Often, from: Time } "{organization}: {often} from {from} on";
    320 _ "unknown-proposal" UnknownProposal { proposal: Hash } "no open proposal {proposal}";
    321 _ "proposer-left" ProposerLeft { organization: Text } "{organization} has left this channel since: propose it anew";
    322 _ "open-proposals" OpenProposals { organization: Text, most: u64 } "{organization} has {most} open proposals: withdraw one of them first";
    323 _ "approved-already" ApprovedAlready { organization: Text } "{organization} has approved already";
    324 _ "another-change" AnotherChange {} "another change takes effect with this block: send this one again";
    325 _ "no-change" NoChange {} "it changes nothing";
    326 _ "peer-leaves" PeerLeaves { identity: Text } "{identity} orders this channel, and several peers are not there yet: without it and its key the channel would halt";
    327 _ "nobody-admitted" NobodyAdmitted { needed: u64, missing: Names } "nobody could change it again: {needed} organizations must approve, and no administrator with the right is on this channel at present, by a certificate of a CA that is listed then, from {missing}: one who has it is admitted first";
    328 _ "nobody-able" NobodyAble { approvals: Text, counted: u64, needed: u64, missing: Names } "nobody could change it again: approvals {approvals} of {counted} organizations are {needed}, and administrators with the right admin, or a CA, are missing in {missing}";
    329 _ "fee-asset-unknown" FeeAssetUnknown { asset: Text } "fees are to be paid in {asset}, and there is no such asset";
    330 _ "fee-asset-of-items" FeeAssetOfItems { asset: Text } "fees are to be paid in {asset}, which consists of items, not of units";
    331 _ "fee-asset-of-another" FeeAssetOfAnother { asset: Text, issuer: Address } "{asset} is issued by {issuer}: name it as the issuer, if you want fees in what it issues";
    332 _ "fee-asset-too-early" FeeAssetTooEarly { asset: Text } "a new channel has no asset {asset:?} to pay fees in: define it, then set the fees by a change";
    333 _ "fees-half" FeesHalf {} "fees name both an asset and who issues it, or neither";
    334 _ "name-is-id" NameIsId {} "64 hex digits are a channel's id, and no name";
    335 _ "solo-peers" SoloPeers {} "solo ordering has one peer, the other engines at least one";
    336 _ "organization-names" OrganizationNames {} "organizations have distinct names of a-z, 0-9 and hyphen and short titles";
    337 _ "grants-to-strangers" GrantsToStrangers {} "grants go to member organizations and their identities";
    338 _ "ahead-of-rules" AheadOfRules { part: Part, rules: u64 } "{part}not there yet under the rules {rules}: it comes with a later number";
    339 _ "order-is-the-peers" OrderIsThePeers { grantee: Text } "several peers are not there yet: order and hold are for the ordering peer, not for {grantee}";
    340 _ "last-digest" LastDigest { digest: Hash } "the last record's digest is {digest}";
    341 _ "distinct-peers" DistinctPeers {} "ordering peers have distinct identities and keys";
    342 _ "too-many-at-once" TooManyAtOnce { organization: Whose, several: u64, saved: u64 } "{organization}: it counts {several} times, and {saved} are all that there ever are at once";

    400 Contracts "owned-by" OwnedBy { name: Text, owner: Address } "{name} is owned by {owner}";
    401 Contracts "retired" Retired { name: Text } "{name} is retired";
    402 Contracts "exists" Exists { thing: Thing, name: Text } "{thing} {name} exists";
    403 Contracts "unknown" Unknown { thing: Thing, name: Text } "no {thing} {name:?}";
    404 _ "no-more-versions" NoMoreVersions {} "no more versions";
    405 _ "no-such-code" NoSuchCode { engine: Text } "{engine} has no such code";
    406 _ "no-such-method" NoSuchMethod { contract: Text } "{contract} has no such method";
    407 _ "expected" Expected { contract: Text, method: Text } "the arguments of {method} of {contract} have another form";
    408 _ "mistyped-address" MistypedAddress { text: Text } "{text}: the checksum in the letter case is wrong";
    409 Assets "funds" Funds { needed: Amount, asset: Text, free: Amount } "{needed} of {asset} needed, {free} free";
    410 Contracts "stage" Stage { stage: Stage } "{stage}";
    411 Contracts "lender-stops" LenderStops { asset: Text, until: Time } "a lender stops {asset}: quotes bind until {until}";
    412 Contracts "least-bid" LeastBid { least: Amount } "a bid is at least {least}";
    413 _ "buy-now-too-low" BuyNowTooLow {} "the buy-now price is not zero and not below the reserve or the starting price";
    414 _ "no-seller-organization" NoSellerOrganization {} "the seller has no organization to exclude";
    415 Assets "prices-above" PricesAbove { most: Amount, currency: Text } "reserve, buy-now price, and starting price with the increment are at most {most}, as {currency} is";
    416 Contracts "other-assets" OtherAssets { asset: Text } "this desk lends other assets than {asset}";
    417 Contracts "controls" Controls { asset: Text } "who controls {asset} quotes only where the request says controller_may_quote";
    418 Contracts "highest-rate" HighestRate { bps: u64 } "at most {bps} basis points";
    419 Contracts "quotes-stand" QuotesStand { quotes: u64, bps: u64 } "{quotes} quotes stand, none above {bps}";
    420 Contracts "has-quoted" HasQuoted { lender: Address } "{lender} has quoted; withdraw first to change the rate";
    421 Contracts "quotes-for-the-same" QuotesForTheSame { lender: Address } "{lender} quotes for the same";
    422 Contracts "nothing-owed" NothingOwed { account: Address } "{account} is owed nothing of this here";
    423 _ "interest-overflow" InterestOverflow {} "with its interest the loan may exceed 2^127";
    424 Contracts "contract-moment" ContractMoment { moment: Moment, time: Time } "{moment} {time}";
    425 Contracts "contract-only" ContractOnly { party: Party } "{party}";

    500 Apps "unknown-application" UnknownApplication { app: Text } "no application {app:?}";
    501 Apps "application-owned-by" ApplicationOwnedBy { app: Text, owner: Address } "{app} is owned by {owner}";
    502 Apps "application-retired" ApplicationRetired { app: Text } "{app} is retired";
    503 Apps "published" Published { app: Text, version: Text } "{app} {version} was published already";
}
