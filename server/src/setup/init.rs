//! `chancery init`: a consortium's authorities, this peer's certificate and seal key, the first administrator's
//! profile, and the genesis configuration of `main`. The directory appears whole or not at all.

use crate::{
    certificates::paths::ParticipantPaths,
    clock,
    setup::{
        config::{Config, FILE},
        operator,
    },
};
use ca::{
    CertificateFolder, KeyPair, KeyPlace, Keyring, PassphraseSource,
    keys::{error::KeyError, passphrase::PASSPHRASE_FILE},
    office::{error::FolderError, issuing::LeafOptions},
};
use channel_actors::peer::fence::Incarnation;
use client::{
    connection::address_of,
    known::{Known, KnownError},
    profile::parse_peer,
};
use ledger_classes::chain;
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::rights::{Grant, Grantee, Right, Rights};
use ledger_classes::keys::{SigningKey, WeakKeyError};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, ParseIdentityError, Role};
use ledger_classes::primitives::time::Time;
use pki::{AlternativeName, KeyAlgorithm};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The channel that every peer joins.
pub const MAIN: &str = "main";
/// Where the first administrator's profile lies in the peer's directory.
pub const ADMIN_PROFILE: &str = "profiles/admin";

/// What a peer is made from.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The directory, which must not exist.
    pub dir: PathBuf,
    /// The trust domain.
    pub consortium: String,
    /// The first member organization, which owns this peer.
    pub organization: String,
    /// The peer's name.
    pub peer: String,
    /// The administrator's name.
    pub admin: String,
    /// Where it will listen.
    pub listen: SocketAddr,
    /// Where metrics will be answered.
    pub metrics_listen: String,
    /// Names and addresses under which clients reach it, besides `localhost`, `127.0.0.1` and `::1`.
    pub names: Vec<AlternativeName>,
    /// The file with the passphrase of the authorities' keys; without it one is made in the directory.
    pub passphrase_file: Option<PathBuf>,
    /// Where the keys of the consortium's root and of the organization's CA are made; the peer's and the administrator's
    /// have their algorithm.
    pub authority_keys: KeyPlace,
    /// Whether anybody may read `main` and post to it, without a certificate.
    pub public: bool,
}

impl InitOptions {
    /// The usual choices.
    pub fn new(dir: &Path, consortium: &str, organization: &str) -> Self {
        let config = Config::default();
        Self {
            dir: dir.into(),
            consortium: consortium.into(),
            organization: organization.into(),
            peer: "peer-1".into(),
            admin: "admin".into(),
            listen: config.listen,
            metrics_listen: config.metrics.listen,
            names: Vec::new(),
            passphrase_file: None,
            authority_keys: KeyAlgorithm::default().into(),
            public: false,
        }
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// The peer's directory.
    pub dir: PathBuf,
    /// The peer.
    pub peer: Identity,
    /// The administrator.
    pub admin: Identity,
    /// The administrator's profile.
    pub profile: PathBuf,
    /// The id of `main`.
    pub main: Hash,
    /// Whether anybody may read it and post to it.
    pub public: bool,
    /// What to do now, one step a line.
    pub next_steps: Vec<String>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// What a profile remembers of peers.
    #[error(transparent)]
    Known(#[from] KnownError),
    /// The directory is there.
    #[error("{0} exists already: choose a directory that does not")]
    Exists(PathBuf),
    /// Consortium, organization or a name is not acceptable.
    #[error("a name is not acceptable")]
    Name(#[from] ParseIdentityError),
    /// The certificate authorities.
    #[error("the certificate authorities")]
    Folder(#[from] FolderError),
    /// A key.
    #[error("a key")]
    Key(#[from] KeyError),
    /// The seal key is weak, which a fresh one is not.
    #[error("the seal key")]
    WeakKey(#[from] WeakKeyError),
    /// The genesis configuration.
    #[error("the configuration of main")]
    Genesis(#[from] ledger_classes::formats::config::ConfigError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A file.
    #[error("{path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes a peer's directory.
pub fn init(options: &InitOptions) -> Result<Initialized, InitError> {
    let dir = &options.dir;
    if dir.exists() {
        return Err(InitError::Exists(dir.clone()));
    }
    let identity = |role, name: &str| Identity::new(&options.consortium, &options.organization, role, name);
    let (peer, admin) = (identity(Role::Peer, &options.peer)?, identity(Role::Admin, &options.admin)?);
    let draft = files::Draft::begin(dir).map_err(|source| file_error(dir, source))?;
    let main = fill(options, draft.path(), &peer, &admin)?;
    draft.finish().map_err(|source| file_error(dir, source))?;
    let shown = dir.display();
    let passphrase_file = options.passphrase_file.clone().unwrap_or_else(|| dir.join(PASSPHRASE_FILE));
    let mut next_steps = vec![
        format!("chancery serve --dir {shown}"),
        format!("chancery --profile {shown}/{ADMIN_PROFILE} status"),
        format!("chancery --profile {shown}/{ADMIN_PROFILE} key new"),
        format!("keep {} apart from copies of {shown}/ca: it opens the keys there", passphrase_file.display()),
        format!("back up {shown}/{}: blocks are sealed with it", Config::default().seal_key.display()),
    ];
    if let KeyPlace::File(_) = options.authority_keys {
        next_steps.push(format!("keep {shown}/ca/root.key offline once every organization has its CA"));
    }
    let (profile, public) = (dir.join(ADMIN_PROFILE), options.public);
    Ok(Initialized { dir: dir.clone(), peer, admin, profile, main, public, next_steps })
}

fn fill(options: &InitOptions, draft: &Path, peer: &Identity, admin: &Identity) -> Result<Hash, InitError> {
    let now = clock::now();
    let mut config = Config { listen: options.listen, ..Config::default() };
    config.metrics.listen.clone_from(&options.metrics_listen);
    let passphrase = match &options.passphrase_file {
        None => {
            let passphrase = PassphraseSource::usual(draft);
            passphrase.make().map_err(KeyError::from)?;
            passphrase
        }
        Some(file) => {
            let file = std::path::absolute(file).map_err(|source| file_error(file, source))?;
            config.authority_passphrase_file.clone_from(&file);
            PassphraseSource::file(file)
        }
    };
    let (keys, place) = (Keyring::new(passphrase), &options.authority_keys);
    let cause = operator::cause("chancery init");
    let folder = CertificateFolder::create_with(draft, &options.consortium, place.clone(), keys, cause, now)?;
    folder.authorities().add_organization(&options.organization, place.clone(), now)?;

    let alternative_names = alternative_names(options);
    let algorithm = place.algorithm();
    let leaf = LeafOptions { alternative_names, algorithm, ..LeafOptions::default() };
    folder.issuing().issue_profile(peer, &leaf, &draft.join(&config.certificate_dir), now)?;
    let seal = KeyPair::from_ed25519_seed(&*random_seed()?)?;
    seal.save(&draft.join(&config.seal_key))?;
    let unused = crate::setup::backup::incarnation_file(&draft.join(&config.seal_key));
    Incarnation::write_unused(&unused).map_err(|source| file_error(&unused, source))?;
    let seal = seal_key(&draft.join(&config.seal_key))?;

    let address = profile_address(options);
    let leaf = LeafOptions { algorithm, ..LeafOptions::default() };
    folder.issuing().issue_profile(admin, &leaf, &draft.join(ADMIN_PROFILE), now)?;
    write_profile(&draft.join(ADMIN_PROFILE), &address, admin.consortium(), Some(peer))?;

    let genesis = main_config(&folder, peer, options.public, &seal, now)?;
    let (first, _) = chain::genesis(&genesis)?;
    Known::keep_in(&draft.join(ADMIN_PROFILE))?.hold_channel(MAIN, first.header.hash())?;
    let text = serde_json::to_vec_pretty(&genesis).expect("a configuration is JSON");
    write(&draft.join(&config.genesis), &text)?;
    write(&draft.join(FILE), config.to_toml().as_bytes())?;
    Ok(first.header.hash())
}

/// Issues a certificate with a new key into a new profile's folder, which `chancery --profile` takes. Used by `init`,
/// by `ca issue` and by the demonstration.
pub fn issue_profile(
    folder: &CertificateFolder,
    identity: &Identity,
    into: &Path,
    address: &str,
    now: Time,
) -> Result<(), InitError> {
    folder.issuing().issue_profile(identity, &LeafOptions::default(), into, now)?;
    write_profile(into, address, identity.consortium(), None)
}

/// Writes `profile.toml` into a folder that has its certificate. Whose certificate the peer shows is written beside it if it
/// is known ([`client::known`]): then not even the first word of another peer counts.
pub fn write_profile(into: &Path, address: &str, consortium: &str, peer: Option<&Identity>) -> Result<(), InitError> {
    if let (Some(peer), Ok(address)) = (peer, parse_peer(address))
        && address.port() != Some(0)
    {
        Known::keep_in(into)?.hold_peer(&address_of(&address), peer)?;
    }
    let table = toml::Table::from_iter([
        ("peer".to_owned(), toml::Value::String(address.into())),
        ("consortium".to_owned(), toml::Value::String(consortium.into())),
    ]);
    write(&into.join("profile.toml"), table.to_string().as_bytes())
}

/// Whose certificate a peer's folder has, if it has one.
pub fn own_identity(certificate_dir: &Path) -> Option<Identity> {
    let path = pki::trust::files::read_certificates(&certificate_dir.join("cert.pem")).ok()?;
    Some(pki::LeafClaims::of_certificate(path.first()?).ok()?.identity().clone())
}

/// Adds an organization: its issuing CA under the consortium's root, and its first administrator's profile. The
/// peers that watch the folder trust it within a second; channels admit it by a configuration change.
pub fn add_organization(
    dir: &Path,
    organization: &str,
    admin: &str,
    into: &Path,
    address: &str,
) -> Result<Identity, InitError> {
    let now = clock::now();
    let folder = CertificateFolder::open(dir)?.because(operator::cause("a new organization"));
    let identity = Identity::new(folder.consortium(), organization, Role::Admin, admin)?;
    folder.authorities().add_organization(organization, KeyAlgorithm::default(), now)?;
    issue_profile(&folder, &identity, into, address, now)?;
    Ok(identity)
}

/// An organization as a channel's configuration names it, with the CA certificates that a folder has of it.
pub fn organization_of(folder: &CertificateFolder, name: &str) -> Result<Organization, InitError> {
    let trust = folder.records()?.trust()?;
    let of = |der: &Vec<u8>| {
        let scope = pki::AuthorityScope::of_certificate(der).ok()?;
        (scope.organization.as_deref() == Some(name)).then(|| HexBytes(der.clone()))
    };
    let authorities = trust.anchors.iter().chain(&trust.issuing).filter_map(of).collect();
    Ok(Organization { name: name.into(), title: name.into(), authorities })
}

/// The genesis configuration of `main`: members read and write it, their administrators administer; `public` lets anybody
/// read and submit besides.
fn main_config(
    folder: &CertificateFolder,
    peer: &Identity,
    public: bool,
    seal: &SigningKey,
    now: Time,
) -> Result<ChannelConfig, InitError> {
    let config = ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: MAIN.into(),
        consortium: peer.consortium().into(),
        created: now,
        salt: random_salt()?,
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: peer.clone(), key: seal.public(), weight: 1 }],
        threshold: 1,
        organizations: vec![organization_of(folder, peer.organization())?],
        grants: usual_grants([peer.organization()], peer),
        public_read: public,
        open_submit: public,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::default(),
        witnesses: Default::default(),
        budgets: Default::default(),
    };
    config.check_founding(&ParticipantPaths)?;
    Ok(config)
}

/// Who may do what unless somebody says otherwise: members read and write, their administrators administer, one peer
/// orders.
pub fn usual_grants<'a>(organizations: impl IntoIterator<Item = &'a str>, peer: &Identity) -> Vec<Grant> {
    let usual = Rights::member().union(Rights::from_iter([Right::Admin]));
    let of = |name: &str| Grant { to: Grantee::Organization(name.into()), rights: usual };
    let mut grants: Vec<Grant> = organizations.into_iter().map(of).collect();
    let rights = Rights::from_iter([Right::Order, Right::Hold]);
    grants.push(Grant { to: Grantee::Identity(peer.clone()), rights });
    grants
}

/// 16 random bytes for a configuration.
pub fn random_salt() -> Result<HexBytes, InitError> {
    let mut salt = vec![0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| InitError::Random)?;
    Ok(HexBytes(salt))
}

fn random_seed() -> Result<Zeroizing<[u8; 32]>, InitError> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| InitError::Random)?;
    Ok(seed)
}

/// Reads the key that seals blocks.
pub fn seal_key(path: &Path) -> Result<SigningKey, InitError> {
    let key = KeyPair::load(path)?;
    // PKCS#8 version 1 of an Ed25519 key: 16 octets of header, then the seed (RFC 8410 §7).
    let seed = key.pkcs8().get(16..48).and_then(|seed| <&[u8; 32]>::try_from(seed).ok());
    match seed {
        Some(seed) if key.public().algorithm() == KeyAlgorithm::Ed25519 => {
            let key = SigningKey::from_seed(seed);
            key.public().check_registrable()?;
            Ok(key)
        }
        _ => Err(KeyError::Form.into()),
    }
}

fn alternative_names(options: &InitOptions) -> Vec<AlternativeName> {
    let mut names: Vec<AlternativeName> =
        ["localhost", "127.0.0.1", "::1"].iter().filter_map(|name| name.parse().ok()).collect();
    if !options.listen.ip().is_unspecified() {
        names.push(AlternativeName::Ip(options.listen.ip()));
    }
    names.extend(options.names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// What the administrator's profile dials: the first given name, else the listening address.
fn profile_address(options: &InitOptions) -> String {
    let port = options.listen.port();
    match options.names.first() {
        Some(AlternativeName::Dns(name)) => format!("https://{name}:{port}"),
        Some(AlternativeName::Ip(address)) => format!("https://{}", SocketAddr::new(*address, port)),
        None if options.listen.ip().is_unspecified() => format!("https://127.0.0.1:{port}"),
        None => format!("https://{}", options.listen),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), InitError> {
    files::write_public(path, bytes).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> InitError {
    InitError::File { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_new_peer_has_everything_to_serve_main() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("north");
        let made = init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        assert_eq!(made.peer.to_string(), "spiffe://harbour.example/north/peer/peer-1");
        assert_eq!(Config::load(&dir).unwrap(), Config::default());
        let genesis: ChannelConfig =
            ledger_classes::primitives::json::from_slice(&fs::read(dir.join("main.json")).unwrap()).unwrap();
        let (first, _) = chain::genesis(&genesis).unwrap();
        assert_eq!(first.header.hash(), made.main);
        assert!(!genesis.public_read && !genesis.open_submit);
        assert!(genesis.rights_of(None).is_empty(), "nobody sees it without a certificate");
        assert_eq!(genesis.organizations[0].authorities.len(), 1);
        let admin = genesis.rights_of(Some(&made.admin));
        assert!(admin.allows(Right::Admin));
        assert_eq!(seal_key(&dir.join("peer/seal.pem")).unwrap().public(), genesis.peers[0].key);
        for file in ["cert.pem", "key.pem", "ca.pem", "profile.toml"] {
            assert!(made.profile.join(file).exists(), "{file}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "no draft stays");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.join("peer/seal.pem")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_existing_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let refused = init(&InitOptions::new(dir.path(), "harbour.example", "north"));
        assert!(matches!(refused, Err(InitError::Exists(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_wrong_name_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let refused = init(&InitOptions::new(&parent.path().join("x"), "Harbour", "north"));
        assert!(matches!(refused, Err(InitError::Name(_))));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_organization_gets_a_ca_and_an_administrator() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("north");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        let profile = parent.path().join("south-admin");
        let admin = add_organization(&dir, "south", "ann", &profile, "https://127.0.0.1:7100").unwrap();
        assert_eq!(admin.to_string(), "spiffe://harbour.example/south/admin/ann");
        let folder = CertificateFolder::open(&dir).unwrap();
        assert_eq!(organization_of(&folder, "south").unwrap().authorities.len(), 1);
        assert!(profile.join("cert.pem").exists());
    }
}
