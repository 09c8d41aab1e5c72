//! Where everything lies in a channel's state: the first byte of a key is its family; the rest is laid out so
//! that what is listed together lies together. Names cannot contain 0x00, which therefore ends them.
//!
//! Families are append-only: keys are hashed into writes roots. The table is `docs/formats/state.md`.

use crate::formats::rights::Class;
use crate::keys::Address;
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;

/// First bytes of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// The configuration in force: one key.
    Config = 0x01,
    /// Open and ended proposals: id.
    Proposal = 0x02,
    /// Participants: address.
    Participant = 0x03,
    /// Certificates that were admitted or revoked: the issuing CA's key (32), serial.
    Certificate = 0x04,
    /// Addresses of an identity: identity, 0, address.
    IdentityAddress = 0x05,
    /// Every configuration that ever ruled: height of the block that set it (u64, big-endian).
    ConfigAt = 0x06,
    /// Open proposals in the order in which they were made: height (u64, big-endian), id. Empty values.
    OpenProposal = 0x07,
    /// An organization's administrators: organization.
    Administrators = 0x08,
    /// Certificates by the names that organizations give them: identity, 0, serial.
    NamedCertificate = 0x09,
    /// Keys of certificates: the issuing CA's key (32), the certificate's key (32).
    CertificateKey = 0x0a,
    /// Since when organizations are members that joined later: organization.
    Membership = 0x0b,
    /// Until when an organization has spent what it may do in a time: kind (1 changes of the configuration, 2 admissions,
    /// 3 answers of its CAs, 4 names given by its administrators, 5 CAs that took each other's place), organization.
    Pace = 0x0c,
    /// What is known of an identity: identity.
    Identity = 0x0d,
    /// Certificate paths that have admitted an address: address, hash. Empty values.
    AdmittedBy = 0x0e,
    /// Open proposals of an organization: organization, 0, height (u64, big-endian), id. Empty values.
    OwnProposal = 0x0f,
    /// Asset definitions: asset.
    Asset = 0x10,
    /// Balances: address, asset.
    Balance = 0x11,
    /// Approvals: owner, spender, asset.
    Allowance = 0x12,
    /// Items: asset, 0, item.
    Item = 0x13,
    /// Items of an owner: address, asset, 0, item. Empty values.
    OwnedItem = 0x14,
    /// Joint accounts: address.
    JointAccount = 0x15,
    /// Who has what a revoked participant owned: address.
    Successor = 0x16,
    /// How often what an account has was passed on before: address.
    Inherited = 0x17,
    /// How long something could not move: asset, 0, kind (0 the asset, 1 an item, 2 an account), item or address.
    Stop = 0x18,
    /// Contracts: name.
    Contract = 0x20,
    /// Contract versions: name, 0, version (u32, big-endian).
    ContractVersion = 0x21,
    /// Instances: name.
    Instance = 0x22,
    /// State of instances: instance, 0, the contract's own key.
    InstanceState = 0x23,
    /// Timers in the order in which they are due: time (u64, big-endian), instance, 0, timer.
    Timer = 0x24,
    /// When an instance's timer is due: instance, 0, timer.
    TimerTime = 0x25,
    /// When the channel served: one key.
    ServiceClock = 0x26,
    /// Instances of a contract: contract, 0, instance. Empty values.
    ContractInstance = 0x27,
    /// Applications: name.
    App = 0x30,
    /// Application versions: name, 0, version.
    AppVersion = 0x31,
    /// Log records: topic, 0, height, index, action (u64, u32, u32, big-endian).
    Log = 0x40,
    /// Newest records of audit sequences: topic, 0, source.
    AuditHead = 0x41,
    /// CAs' keys that were struck here by their own word, or took the place of one that was: key (32).
    Authority = 0x50,
}

/// The class whose readers may know a key, which may be no key of this build's; none for what the channel keeps of itself.
pub fn class_of(key: &[u8]) -> Option<Class> {
    match key.first()? >> 4 {
        1 => Some(Class::Assets),
        2 => Some(Class::Contracts),
        3 => Some(Class::Apps),
        4 => Some(Class::Logs),
        _ => None,
    }
}

/// A key of `family` made of `parts` one after another.
pub fn key(family: Family, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(family as u8);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Key of the configuration in force.
pub fn config() -> Vec<u8> {
    key(Family::Config, &[])
}

/// Key of the configuration that the block at `height` set: past configurations stay readable.
pub fn config_at(height: u64) -> Vec<u8> {
    key(Family::ConfigAt, &[&height.to_be_bytes()])
}

/// Key of a proposal.
pub fn proposal(id: &Hash) -> Vec<u8> {
    key(Family::Proposal, &[&id.0])
}

/// Key that lists an open proposal of the block at `height`.
pub fn open_proposal(height: u64, id: &Hash) -> Vec<u8> {
    key(Family::OpenProposal, &[&height.to_be_bytes(), &id.0])
}

/// Key of the administrators of an organization.
pub fn administrators(organization: &str) -> Vec<u8> {
    key(Family::Administrators, &[organization.as_bytes()])
}

/// Key of an organization's membership.
pub fn membership(organization: &str) -> Vec<u8> {
    key(Family::Membership, &[organization.as_bytes()])
}

/// Key of how an organization has spent what it may do of a kind in a time.
pub fn pace(kind: u8, organization: &str) -> Vec<u8> {
    key(Family::Pace, &[&[kind], organization.as_bytes()])
}

/// Key of a participant.
pub fn participant(address: &Address) -> Vec<u8> {
    key(Family::Participant, &[&address.0])
}

/// Key of a certificate, by the key of the CA that issued it.
pub fn certificate(issuer: &Hash, serial: &[u8]) -> Vec<u8> {
    key(Family::Certificate, &[&issuer.0, serial])
}

/// Key of a certificate as its organization calls it.
pub fn named_certificate(identity: &str, serial: &[u8]) -> Vec<u8> {
    key(Family::NamedCertificate, &[identity.as_bytes(), &[0], serial])
}

/// Key of a key that a CA has certified.
pub fn certificate_key(issuer: &Hash, certified: &Hash) -> Vec<u8> {
    key(Family::CertificateKey, &[&issuer.0, &certified.0])
}

/// Key that lists an address under its identity.
pub fn identity_address(identity: &str, address: &Address) -> Vec<u8> {
    key(Family::IdentityAddress, &[identity.as_bytes(), &[0], &address.0])
}

/// Key of what is known of an identity.
pub fn identity(identity: &str) -> Vec<u8> {
    key(Family::Identity, &[identity.as_bytes()])
}

/// Key that lists what has admitted an address.
pub fn admitted_by(address: &Address, certificate: &Hash) -> Vec<u8> {
    key(Family::AdmittedBy, &[&address.0, &certificate.0])
}

/// Key that lists an open proposal of an organization.
pub fn own_proposal(organization: &str, height: u64, id: &Hash) -> Vec<u8> {
    key(Family::OwnProposal, &[organization.as_bytes(), &[0], &height.to_be_bytes(), &id.0])
}

/// Key of what is known of a CA's key.
pub fn authority(authority: &Hash) -> Vec<u8> {
    key(Family::Authority, &[&authority.0])
}

/// Key of an asset's definition.
pub fn asset(asset: &str) -> Vec<u8> {
    key(Family::Asset, &[asset.as_bytes()])
}

/// Key of a balance.
pub fn balance(account: &Address, asset: &str) -> Vec<u8> {
    key(Family::Balance, &[&account.0, asset.as_bytes()])
}

/// Key of an approval.
pub fn allowance(owner: &Address, spender: &Address, asset: &str) -> Vec<u8> {
    key(Family::Allowance, &[&owner.0, &spender.0, asset.as_bytes()])
}

/// Key of an item.
pub fn item(asset: &str, item: &str) -> Vec<u8> {
    key(Family::Item, &[asset.as_bytes(), &[0], item.as_bytes()])
}

/// Key that lists an item under its owner.
pub fn owned_item(owner: &Address, asset: &str, item: &str) -> Vec<u8> {
    key(Family::OwnedItem, &[&owner.0, asset.as_bytes(), &[0], item.as_bytes()])
}

/// Key of a joint account.
pub fn joint_account(account: &Address) -> Vec<u8> {
    key(Family::JointAccount, &[&account.0])
}

/// Key of a revoked participant's successor.
pub fn successor(address: &Address) -> Vec<u8> {
    key(Family::Successor, &[&address.0])
}

/// Key of how often what an account has was passed on before.
pub fn inherited(address: &Address) -> Vec<u8> {
    key(Family::Inherited, &[&address.0])
}

/// Key of a contract.
pub fn contract(name: &str) -> Vec<u8> {
    key(Family::Contract, &[name.as_bytes()])
}

/// Key of a contract's version.
pub fn contract_version(name: &str, version: u32) -> Vec<u8> {
    key(Family::ContractVersion, &[name.as_bytes(), &[0], &version.to_be_bytes()])
}

/// Key of an instance.
pub fn instance(name: &str) -> Vec<u8> {
    key(Family::Instance, &[name.as_bytes()])
}

/// Key that lists an instance under its contract.
pub fn contract_instance(contract: &str, instance: &str) -> Vec<u8> {
    key(Family::ContractInstance, &[contract.as_bytes(), &[0], instance.as_bytes()])
}

/// Key of an instance's own state.
pub fn instance_state(instance: &str, own: &[u8]) -> Vec<u8> {
    key(Family::InstanceState, &[instance.as_bytes(), &[0], own])
}

/// Key of a timer in the order in which timers are due.
pub fn timer(due: Time, instance: &str, timer: &str) -> Vec<u8> {
    key(Family::Timer, &[&due.millis().to_be_bytes(), instance.as_bytes(), &[0], timer.as_bytes()])
}

/// Key of an instance's timer.
pub fn timer_time(instance: &str, timer: &str) -> Vec<u8> {
    key(Family::TimerTime, &[instance.as_bytes(), &[0], timer.as_bytes()])
}

/// Key of the record of the time in which the channel served.
pub fn service_clock() -> Vec<u8> {
    key(Family::ServiceClock, &[])
}

/// Key of how long something could not move.
pub fn stop(asset: &str, kind: u8, which: &[u8]) -> Vec<u8> {
    key(Family::Stop, &[asset.as_bytes(), &[0, kind], which])
}

/// Key of an application.
pub fn app(name: &str) -> Vec<u8> {
    key(Family::App, &[name.as_bytes()])
}

/// Key of an application's version.
pub fn app_version(name: &str, version: &str) -> Vec<u8> {
    key(Family::AppVersion, &[name.as_bytes(), &[0], version.as_bytes()])
}

/// Key of a log record.
pub fn log(topic: &str, height: u64, index: u32, action: u32) -> Vec<u8> {
    let position = [&height.to_be_bytes()[..], &index.to_be_bytes(), &action.to_be_bytes()].concat();
    key(Family::Log, &[topic.as_bytes(), &[0], &position])
}

/// Key of the newest record of an audit sequence.
pub fn audit_head(topic: &str, source: &Hash) -> Vec<u8> {
    key(Family::AuditHead, &[topic.as_bytes(), &[0], &source.0])
}
