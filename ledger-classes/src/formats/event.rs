//! What happened, as subscribers receive it. The binary encoding numbers events in the order of [`Event`], which
//! only ever grows at its end; JSON tags each with `kind`.

use crate::formats::rights::Class;
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// One thing that a transaction or a timer did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub enum Event {
    /// An asset was defined.
    #[serde(rename = "asset.defined")]
    AssetDefined {
        /// The asset.
        asset: String,
        /// Who defined it.
        by: Address,
    },
    /// Units were created.
    #[serde(rename = "asset.minted")]
    AssetMinted {
        /// The asset.
        asset: String,
        /// Who received.
        to: Address,
        /// Base units.
        amount: Amount,
    },
    /// Units were destroyed.
    #[serde(rename = "asset.burnt")]
    AssetBurnt {
        /// The asset.
        asset: String,
        /// Whose.
        from: Address,
        /// Base units.
        amount: Amount,
    },
    /// Units moved, by a transfer or by a contract.
    #[serde(rename = "asset.transferred")]
    AssetTransferred {
        /// The asset.
        asset: String,
        /// Who gave.
        from: Address,
        /// Who received.
        to: Address,
        /// Base units.
        amount: Amount,
    },
    /// An approval was set.
    #[serde(rename = "asset.approved")]
    AssetApproved {
        /// The asset.
        asset: String,
        /// Who approved.
        owner: Address,
        /// Whom.
        spender: Address,
        /// Base units.
        amount: Amount,
    },
    /// Units were frozen.
    #[serde(rename = "asset.frozen")]
    AssetFrozen {
        /// The asset.
        asset: String,
        /// Whose.
        account: Address,
        /// Base units.
        amount: Amount,
    },
    /// Frozen units were freed.
    #[serde(rename = "asset.unfrozen")]
    AssetUnfrozen {
        /// The asset.
        asset: String,
        /// Whose.
        account: Address,
        /// Base units.
        amount: Amount,
    },
    /// Units were locked.
    #[serde(rename = "asset.locked")]
    AssetLocked {
        /// The asset.
        asset: String,
        /// Whose.
        account: Address,
        /// Base units.
        amount: Amount,
        /// When they are free again.
        until: Time,
    },
    /// An asset was paused.
    #[serde(rename = "asset.paused")]
    AssetPaused {
        /// The asset.
        asset: String,
    },
    /// A pause ended.
    #[serde(rename = "asset.resumed")]
    AssetResumed {
        /// The asset.
        asset: String,
    },
    /// An item was created.
    #[serde(rename = "asset.item_minted")]
    ItemMinted {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
        /// Who received.
        to: Address,
    },
    /// An item was destroyed.
    #[serde(rename = "asset.item_burnt")]
    ItemBurnt {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
        /// Whose.
        from: Address,
    },
    /// An item moved.
    #[serde(rename = "asset.item_transferred")]
    ItemTransferred {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
        /// Who gave.
        from: Address,
        /// Who received.
        to: Address,
    },
    /// An item's approval was set or ended.
    #[serde(rename = "asset.item_approved")]
    ItemApproved {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
        /// Who may move it.
        spender: Option<Address>,
    },
    /// An item was frozen.
    #[serde(rename = "asset.item_frozen")]
    ItemFrozen {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
    },
    /// An item was freed.
    #[serde(rename = "asset.item_unfrozen")]
    ItemUnfrozen {
        /// The asset.
        asset: String,
        /// The item.
        item: String,
    },
    /// A joint account was created.
    #[serde(rename = "account.created")]
    AccountCreated {
        /// Its address.
        account: Address,
        /// Signatures that it needs.
        threshold: u8,
        /// Keys that may sign.
        keys: u32,
    },
    /// A contract was registered.
    #[serde(rename = "contract.deployed")]
    ContractDeployed {
        /// Its name.
        contract: String,
        /// Its version, from 1.
        version: u32,
        /// Its engine.
        engine: String,
        /// What the engine runs.
        code: String,
    },
    /// A contract was retired.
    #[serde(rename = "contract.retired")]
    ContractRetired {
        /// Its name.
        contract: String,
    },
    /// An instance was made.
    #[serde(rename = "contract.created")]
    ContractCreated {
        /// The contract.
        contract: String,
        /// The instance.
        instance: String,
        /// Who made it.
        by: Address,
        /// The account that the instance owns assets under.
        account: Address,
    },
    /// An instance says something, such as `auction.bid`.
    #[serde(rename = "contract.emitted")]
    ContractEmitted {
        /// The instance.
        instance: String,
        /// What happened, in the contract's words.
        name: String,
        /// A JSON document.
        data: String,
    },
    /// An instance's timer could not do its work; its state is as before.
    #[serde(rename = "contract.timer_failed")]
    ContractTimerFailed {
        /// The instance.
        instance: String,
        /// The timer.
        timer: String,
        /// Result code.
        code: u16,
    },
    /// An application or a new version of it was registered.
    #[serde(rename = "app.published")]
    AppPublished {
        /// Its name.
        app: String,
        /// The version.
        version: String,
        /// SHA-256 of the bundle.
        bundle: Hash,
    },
    /// An application's settings changed.
    #[serde(rename = "app.settings_updated")]
    AppSettingsUpdated {
        /// Its name.
        app: String,
    },
    /// An application was retired.
    #[serde(rename = "app.retired")]
    AppRetired {
        /// Its name.
        app: String,
    },
    /// A log record was appended.
    #[serde(rename = "log.appended")]
    LogAppended {
        /// Topic.
        topic: String,
        /// Who.
        author: Address,
        /// Digest of the evidence.
        digest: Option<Hash>,
        /// Text.
        body: String,
    },
    /// An address was bound to an identity.
    #[serde(rename = "participant.admitted")]
    ParticipantAdmitted {
        /// The address.
        address: Address,
        /// The identity.
        identity: Identity,
        /// The certificate's serial number.
        serial: HexBytes,
        /// When the certificate expires.
        not_after: Time,
    },
    /// What a certificate admitted ended.
    #[serde(rename = "participant.revoked")]
    ParticipantRevoked {
        /// The identity, if the certificate was admitted here.
        identity: Option<Identity>,
        /// The key of the CA that issued it (SHA-256 of the SubjectPublicKeyInfo). An administrator revokes a certificate
        /// that the channel does not know by its identity alone.
        issuer: Option<Hash>,
        /// The certificate's serial number.
        serial: HexBytes,
        /// Why.
        reason: String,
        /// Who.
        by: Address,
    },
    /// Changes of the configuration, or a recovery, were proposed.
    #[serde(rename = "channel.proposed")]
    ChannelProposed {
        /// The proposal.
        proposal: Hash,
        /// Who.
        by: Identity,
        /// Why.
        reason: String,
    },
    /// A proposal was approved.
    #[serde(rename = "channel.approved")]
    ChannelApproved {
        /// The proposal.
        proposal: Hash,
        /// Who.
        by: Identity,
        /// Organizations that approved so far.
        approvals: u32,
        /// Organizations needed.
        needed: u32,
    },
    /// The configuration changed; it rules from the next height on.
    #[serde(rename = "channel.configured")]
    ChannelConfigured {
        /// The proposal, or the transaction that renewed a CA.
        proposal: Hash,
        /// The first height that it rules.
        height: u64,
        /// Hash of the configuration record's state value, tag `chancery/content/1`: a light client follows it.
        configuration: Hash,
    },
    /// A member's CA goes on under another certificate of its key. `channel.configured` follows.
    #[serde(rename = "channel.authority_renewed")]
    AuthorityRenewed {
        /// The member.
        organization: String,
        /// The certificate's serial number, big-endian.
        serial: HexBytes,
        /// When it expires.
        not_after: Time,
    },
    /// A block came later than it was due: the channel did not serve, and every open deadline is that much later.
    #[serde(rename = "channel.outage")]
    ChannelOutage {
        /// When a block was due.
        since: Time,
        /// The time of the late block.
        until: Time,
        /// Milliseconds by which deadlines are later, with the time to come back.
        lost_ms: u64,
    },
    /// A successor has what a revoked participant owned. The movements follow.
    #[serde(rename = "account.recovered")]
    AccountRecovered {
        /// The revoked participant.
        from: Address,
        /// The successor.
        to: Address,
    },
    /// A proposal was taken back.
    #[serde(rename = "channel.withdrawn")]
    ChannelWithdrawn {
        /// The proposal.
        proposal: Hash,
        /// Who.
        by: Identity,
        /// Why.
        reason: String,
    },
    /// An identity ended: nobody is admitted under its name until it is reinstated. A `participant.revoked` came before for
    /// each certificate that it was admitted with.
    #[serde(rename = "participant.ended")]
    ParticipantEnded {
        /// Whose participation.
        identity: Identity,
        /// Why.
        reason: String,
        /// Who.
        by: Address,
    },
    /// An identity that ended may be admitted again, by another certificate.
    #[serde(rename = "participant.reinstated")]
    ParticipantReinstated {
        /// Whose participation.
        identity: Identity,
        /// Why.
        reason: String,
        /// Who.
        by: Address,
    },
    /// A member's CA is listed no more, since its key has said that others have it. `channel.configured` follows.
    #[serde(rename = "channel.authority_revoked")]
    AuthorityRevoked {
        /// The member.
        organization: String,
        /// The CA's key: SHA-256 of the SubjectPublicKeyInfo.
        authority: Hash,
        /// The key of the CA that took its place, which that key has named, where nobody could have listed another one.
        successor: Option<Hash>,
    },
}

crate::tagged!(Event, "kind");

macro_rules! kinds {
    ($( $variant:ident = $text:literal, $class:ident; )*) => {
        impl Event {
            /// Every `kind`, in the order of the binary encoding.
            pub const KINDS: &'static [&'static str] = &[$($text),*];

            /// The `kind` text.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $text, )* }
            }

            /// The class whose readers may see it.
            pub const fn class(&self) -> Class {
                match self { $( Self::$variant { .. } => Class::$class, )* }
            }
        }
    };
}

kinds! {
    AssetDefined = "asset.defined", Assets;
    AssetMinted = "asset.minted", Assets;
    AssetBurnt = "asset.burnt", Assets;
    AssetTransferred = "asset.transferred", Assets;
    AssetApproved = "asset.approved", Assets;
    AssetFrozen = "asset.frozen", Assets;
    AssetUnfrozen = "asset.unfrozen", Assets;
    AssetLocked = "asset.locked", Assets;
    AssetPaused = "asset.paused", Assets;
    AssetResumed = "asset.resumed", Assets;
    ItemMinted = "asset.item_minted", Assets;
    ItemBurnt = "asset.item_burnt", Assets;
    ItemTransferred = "asset.item_transferred", Assets;
    ItemApproved = "asset.item_approved", Assets;
    ItemFrozen = "asset.item_frozen", Assets;
    ItemUnfrozen = "asset.item_unfrozen", Assets;
    AccountCreated = "account.created", Assets;
    ContractDeployed = "contract.deployed", Contracts;
    ContractRetired = "contract.retired", Contracts;
    ContractCreated = "contract.created", Contracts;
    ContractEmitted = "contract.emitted", Contracts;
    ContractTimerFailed = "contract.timer_failed", Contracts;
    AppPublished = "app.published", Apps;
    AppSettingsUpdated = "app.settings_updated", Apps;
    AppRetired = "app.retired", Apps;
    LogAppended = "log.appended", Logs;
    ParticipantAdmitted = "participant.admitted", Logs;
    ParticipantRevoked = "participant.revoked", Logs;
    ChannelProposed = "channel.proposed", Logs;
    ChannelApproved = "channel.approved", Logs;
    ChannelConfigured = "channel.configured", Logs;
    AuthorityRenewed = "channel.authority_renewed", Logs;
    ChannelOutage = "channel.outage", Contracts;
    AccountRecovered = "account.recovered", Logs;
    ChannelWithdrawn = "channel.withdrawn", Logs;
    ParticipantEnded = "participant.ended", Logs;
    ParticipantReinstated = "participant.reinstated", Logs;
    AuthorityRevoked = "channel.authority_revoked", Logs;
}

impl Event {
    /// What subscribers filter by: the asset, instance, app or topic that the event is about; else its kind.
    pub fn topic(&self) -> &str {
        match self {
            Self::AssetDefined { asset, .. }
            | Self::AssetMinted { asset, .. }
            | Self::AssetBurnt { asset, .. }
            | Self::AssetTransferred { asset, .. }
            | Self::AssetApproved { asset, .. }
            | Self::AssetFrozen { asset, .. }
            | Self::AssetUnfrozen { asset, .. }
            | Self::AssetLocked { asset, .. }
            | Self::AssetPaused { asset }
            | Self::AssetResumed { asset }
            | Self::ItemMinted { asset, .. }
            | Self::ItemBurnt { asset, .. }
            | Self::ItemTransferred { asset, .. }
            | Self::ItemApproved { asset, .. }
            | Self::ItemFrozen { asset, .. }
            | Self::ItemUnfrozen { asset, .. } => asset,
            Self::ContractDeployed { contract, .. } | Self::ContractRetired { contract } => contract,
            Self::ContractCreated { instance, .. }
            | Self::ContractEmitted { instance, .. }
            | Self::ContractTimerFailed { instance, .. } => instance,
            Self::AppPublished { app, .. } | Self::AppSettingsUpdated { app } | Self::AppRetired { app } => app,
            Self::LogAppended { topic, .. } => topic,
            _ => self.kind(),
        }
    }
}
