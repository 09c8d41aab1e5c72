//! Keys of CAs in a token (PKCS#11 v2.40 and later): made there, used there, never given out.
//!
//! A module is loaded and initialised once for the process, as PKCS#11 wants it (§5.4), and stays. A session is kept
//! open for each key; one that fails is closed and another is opened for the next signature, so that a token that
//! comes back is used again. A PIN that was refused is not tried again: tokens lock themselves after a few wrong ones,
//! and a peer signs whenever somebody asks.

use crate::keys::{
    encrypted::Passphrase,
    error::{KeyError, TokenError},
    signer::Signer,
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use files::KEY_FILE_BYTES_MAX;
use ledger_classes::primitives::json::Strict;
use pki::x509::{
    identifiers::sha256,
    public_key::{KeyAlgorithm, PublicKey},
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Refused(text(&error))
    }
}

/// What a module says, by the names of the standard: the library's own sentences are whole paragraphs.
fn text(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{function}: {code:?}"),
        error => error.to_string(),
    }
}

/// A token that keeps keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// The file with the user's PIN, one line.
    pub pin_file: PathBuf,
}

/// Which key of a token is a CA's: what its file `<name>.token.toml` holds, nothing of it secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// CKA_ID, hex: what the key is found by.
    id: String,
    /// CKA_LABEL: for people.
    label: String,
    token: Token,
}

impl TokenKey {
    /// Reads a key's file.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, TokenError> {
        let fail = |what: String| TokenError::Description { file: file.into(), what };
        let key = toml::Deserializer::parse(text).and_then(|key| Self::deserialize(Strict(key)));
        let key = key.map_err(|error| fail(error.to_string()))?;
        if key.id.is_empty() || hex::decode(&key.id).is_err() {
            return Err(fail("id is hexadecimal".into()));
        }
        Ok(key)
    }

    /// The text of its file.
    pub(crate) fn to_text(&self) -> Result<String, TokenError> {
        toml::to_string(self).map_err(|error| TokenError::Refused(error.to_string()))
    }
}

/// Modules by their path.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// PINs that a token has refused, by module and token.
static REFUSED: Mutex<RefusedPins> = Mutex::new(RefusedPins(BTreeMap::new()));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct RefusedPins(BTreeMap<(PathBuf, String), (Passphrase, String)>);

impl RefusedPins {
    fn key(place: &Token) -> (PathBuf, String) {
        (place.module.clone(), place.label.clone())
    }

    /// What the token said of this PIN, if it has refused it last.
    fn reason(&self, place: &Token, pin: &Passphrase) -> Option<String> {
        self.0.get(&Self::key(place)).filter(|(refused, _)| refused == pin).map(|(_, what)| what.clone())
    }

    fn remember(&mut self, place: &Token, pin: Passphrase, what: String) {
        self.0.insert(Self::key(place), (pin, what));
    }
}

impl Token {
    fn module(&self) -> Result<Pkcs11, TokenError> {
        let mut modules = lock(&MODULES);
        if let Some(module) = modules.get(&self.module) {
            return Ok(module.clone());
        }
        let fail = |error: Error| TokenError::Module { module: self.module.clone(), what: text(&error) };
        let module = Pkcs11::new(&self.module).map_err(fail)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Under another path, it is the same library.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(fail(error)),
        }
        modules.insert(self.module.clone(), module.clone());
        Ok(module)
    }

    fn slot(&self, module: &Pkcs11) -> Result<Slot, TokenError> {
        let (mut found, mut labels) = (Vec::new(), Vec::new());
        for slot in module.get_slots_with_initialized_token()? {
            // One reader without its token does not matter.
            let Ok(token) = module.get_token_info(slot) else { continue };
            let label = token.label().trim_end().to_owned();
            if label == self.label {
                found.push(slot);
            }
            labels.push(format!("{label:?}"));
        }
        match found[..] {
            [slot] => Ok(slot),
            _ => {
                let there = if labels.is_empty() { "none".into() } else { labels.join(", ") };
                Err(TokenError::Token { label: self.label.clone(), count: found.len(), there })
            }
        }
    }

    fn pin(&self) -> Result<Passphrase, TokenError> {
        let fail = |source| TokenError::PinFile { file: self.pin_file.clone(), source };
        let text = files::read_secret(&self.pin_file, KEY_FILE_BYTES_MAX).map_err(fail)?;
        Passphrase::parse(&text).ok_or_else(|| fail(io::Error::new(io::ErrorKind::InvalidData, "a PIN is one line")))
    }

    fn login(&self, session: &Session) -> Result<(), TokenError> {
        let pin = self.pin()?;
        let refused = |what| TokenError::Pin { file: self.pin_file.clone(), what };
        let mut refused_pins = lock(&REFUSED);
        if let Some(what) = refused_pins.reason(self, &pin) {
            return Err(refused(what));
        }
        let text_of_pin = std::str::from_utf8(pin.as_bytes()).map_err(|_| refused("not UTF-8".into()))?;
        match session.login(UserType::User, Some(&AuthPin::from(text_of_pin))) {
            // The login is the application's, not the session's (§5.6).
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(
                error @ Error::Pkcs11(
                    RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinLocked,
                    _,
                ),
            ) => {
                refused_pins.remember(self, pin, text(&error));
                Err(refused(text(&error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a key in the token, sensitive and not extractable, under a label for people.
    pub(crate) fn generate(&self, label: &str, algorithm: KeyAlgorithm) -> Result<Pkcs11Key, KeyError> {
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).map_err(|_| KeyError::Random)?;
        let description = TokenKey { id: hex::encode(id), label: label.into(), token: self.clone() };
        let key = self.generate_with_id(description, &id, algorithm)?;
        // What a token makes must sign before a certificate is made for it.
        key.sign(b"chancery: a key in a token")?;
        Ok(key)
    }

    fn generate_with_id(
        &self,
        description: TokenKey,
        id: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Pkcs11Key, TokenError> {
        let module = self.module()?;
        let slot = self.slot(&module)?;
        let mechanisms = module.get_mechanism_list(slot)?;
        if !mechanisms.contains(&signing_type(algorithm)) {
            return Err(TokenError::Algorithm { token: self.label.clone(), algorithm });
        }
        let session = module.open_rw_session(slot)?;
        self.login(&session)?;
        let label = || Attribute::Label(description.label.clone().into_bytes());
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label(),
            Attribute::Id(id.to_vec()),
        ];
        let (mechanism, curves) = match algorithm {
            KeyAlgorithm::P256 => (Mechanism::EccKeyPairGen, P256_CURVE),
            KeyAlgorithm::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, ED25519_CURVES),
        };
        let mut made = Err(TokenError::Algorithm { token: self.label.clone(), algorithm });
        for curve in curves {
            let public = [
                Attribute::Token(true),
                Attribute::Private(false),
                Attribute::Verify(true),
                Attribute::EcParams(curve.to_vec()),
                label(),
                Attribute::Id(id.to_vec()),
            ];
            made = session.generate_key_pair(&mechanism, &public, &private).map_err(TokenError::from);
            if made.is_ok() {
                break;
            }
        }
        let (public, private) = made?;
        let kept = [AttributeType::Sensitive, AttributeType::Extractable];
        let kept = session.get_attributes(private, &kept)?;
        if !kept.contains(&Attribute::Sensitive(true)) || !kept.contains(&Attribute::Extractable(false)) {
            return Err(TokenError::Exposed);
        }
        let public = public_key(&session, public, algorithm)?;
        Ok(Pkcs11Key { description, public, opened: Mutex::new(Some(OpenedToken { session, key: private })) })
    }
}

/// secp256r1 (RFC 5480 §2.1.1.1), as CKA_EC_PARAMS has it.
const P256_CURVE: &[&[u8]] = &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]];

/// Tokens differ in which of the two names of Ed25519 they take (PKCS#11 v3.0 §2.3.5: curveName or oId).
const ED25519_CURVES: &[&[u8]] = &[b"\x13\x0cedwards25519", &[6, 3, 0x2b, 0x65, 0x70]];

const fn signing_type(algorithm: KeyAlgorithm) -> MechanismType {
    match algorithm {
        KeyAlgorithm::P256 => MechanismType::ECDSA,
        KeyAlgorithm::Ed25519 => MechanismType::EDDSA,
    }
}

fn public_key(session: &Session, public: ObjectHandle, algorithm: KeyAlgorithm) -> Result<PublicKey, TokenError> {
    let point = session.get_attributes(public, &[AttributeType::EcPoint])?;
    let Some(Attribute::EcPoint(point)) = point.first() else { return Err(TokenError::Answer("public key")) };
    point_of(algorithm, point).ok_or(TokenError::Answer("public key"))
}

/// CKA_EC_POINT: the point in an OCTET STRING (v2.40 §2.3.3), in a BIT STRING (some tokens, for Edwards curves), or as
/// it is (v3.1 for Edwards curves, and many tokens).
fn point_of(algorithm: KeyAlgorithm, point: &[u8]) -> Option<PublicKey> {
    let wrapped: &[&[u8]] = match algorithm {
        KeyAlgorithm::P256 => &[&[4, 65], &[3, 66, 0]],
        KeyAlgorithm::Ed25519 => &[&[4, 32], &[3, 33, 0]],
    };
    let bare = || PublicKey::from_bytes(algorithm, point);
    bare().or_else(|| wrapped.iter().find_map(|head| PublicKey::from_bytes(algorithm, point.strip_prefix(*head)?)))
}

/// A session and the key in it.
#[derive(Debug)]
struct OpenedToken {
    session: Session,
    key: ObjectHandle,
}

/// A CA's key in a token.
#[derive(Debug)]
pub struct Pkcs11Key {
    description: TokenKey,
    public: PublicKey,
    opened: Mutex<Option<OpenedToken>>,
}

impl Pkcs11Key {
    /// Finds a key in its token.
    pub(crate) fn open(description: TokenKey) -> Result<Self, TokenError> {
        let (opened, public) = find(&description)?;
        Ok(Self { description, public, opened: Mutex::new(Some(opened)) })
    }

    /// Which key it is.
    pub(crate) const fn description(&self) -> &TokenKey {
        &self.description
    }

    fn sign_in_token(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut guard = lock(&self.opened);
        let opened = match guard.take() {
            Some(opened) => opened,
            None => {
                let (opened, public) = find(&self.description)?;
                if public != self.public {
                    return Err(TokenError::Answer("key that it was"));
                }
                opened
            }
        };
        let raw = match self.public.algorithm() {
            KeyAlgorithm::P256 => opened.session.sign(&Mechanism::Ecdsa, opened.key, &sha256(message)),
            KeyAlgorithm::Ed25519 => {
                let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
                opened.session.sign(&Mechanism::Eddsa(pure), opened.key, message)
            }
        };
        let raw = raw?;
        // After a failure the session is gone: `take` has left nothing.
        *guard = Some(opened);
        drop(guard);
        let signature = match self.public.algorithm() {
            KeyAlgorithm::P256 => ecdsa_der(&raw).ok_or(TokenError::Answer("signature"))?,
            KeyAlgorithm::Ed25519 => raw,
        };
        // A faulty token must not put its mistakes into certificates, nor give its key away by them.
        if self.public.verifies(message, &signature) { Ok(signature) } else { Err(TokenError::Answer("signature")) }
    }
}

impl Signer for Pkcs11Key {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.sign_in_token(message)?)
    }
}

fn find(description: &TokenKey) -> Result<(OpenedToken, PublicKey), TokenError> {
    let place = &description.token;
    let module = place.module()?;
    let session = module.open_ro_session(place.slot(&module)?)?;
    place.login(&session)?;
    let missing = || TokenError::NoKey {
        token: place.label.clone(),
        label: description.label.clone(),
        id: description.id.clone(),
    };
    let id = Attribute::Id(hex::decode(&description.id).map_err(|_| missing())?);
    let one = |class| {
        let found = session.find_objects(&[Attribute::Class(class), id.clone()])?;
        found.first().copied().ok_or_else(missing)
    };
    let (private, public) = (one(ObjectClass::PRIVATE_KEY)?, one(ObjectClass::PUBLIC_KEY)?);
    let algorithm = match session.get_attributes(private, &[AttributeType::KeyType])?.first() {
        Some(Attribute::KeyType(KeyType::EC)) => KeyAlgorithm::P256,
        Some(Attribute::KeyType(KeyType::EC_EDWARDS)) => KeyAlgorithm::Ed25519,
        _ => return Err(TokenError::Answer("key of ours")),
    };
    let public = public_key(&session, public, algorithm)?;
    Ok((OpenedToken { session, key: private }, public))
}

/// Ecdsa-Sig-Value (RFC 3279 §2.2.3) of r and s side by side, as tokens give them. DER writes an INTEGER in as few
/// octets as it has, and with a zero octet before a first one above 127, which would be a sign.
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    let integer = |octets: &[u8]| {
        let first = octets.iter().position(|octet| *octet != 0)?;
        let digits = octets.get(first..)?;
        let sign: &[u8] = if digits.first()? & 0x80 == 0 { &[] } else { &[0] };
        let length = u8::try_from(sign.len() + digits.len()).ok()?;
        Some([&[2, length], sign, digits].concat())
    };
    let (r, s) = (raw.len() == 64).then(|| raw.split_at(32))?;
    let (r, s) = (integer(r)?, integer(s)?);
    Some([&[0x30, u8::try_from(r.len() + s.len()).ok()?], &*r, &*s].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::KeyPair;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    #[test]
    fn signatures_of_every_shape_become_der() {
        let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let random = SystemRandom::new();
        let fixed = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.pkcs8(), &random).unwrap();
        let mut shapes = std::collections::BTreeSet::new();
        for number in 0..4_000_u32 {
            let message = number.to_be_bytes();
            let raw = fixed.sign(&random, &message).unwrap();
            let der = ecdsa_der(raw.as_ref()).unwrap();
            // ring takes DER only.
            assert!(pair.public().verifies(&message, &der), "{}", hex::encode(raw.as_ref()));
            shapes.insert((der[3], der[5 + usize::from(der[3])]));
        }
        // With and without a sign octet on either side, and at least one with a leading zero: 16 of 4,000.
        for shape in [(32, 32), (33, 32), (32, 33), (33, 33)] {
            assert!(shapes.contains(&shape), "{shapes:?}");
        }
        assert!(shapes.iter().any(|(r, s)| *r < 32 || *s < 32), "{shapes:?}");
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let raw = |r: u8, s: u8| [[0; 31].as_slice(), &[r], &[0; 31], &[s]].concat();
        assert_eq!(ecdsa_der(&raw(1, 0x80)).unwrap(), [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]);
        for refused in [raw(0, 1), raw(1, 0), raw(1, 1)[1..].to_vec(), Vec::new(), [1; 65].to_vec(), [1; 96].to_vec()] {
            assert_eq!(ecdsa_der(&refused), None);
        }
    }

    #[test]
    fn a_point_is_found_however_it_is_wrapped() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let key = KeyPair::generate(algorithm).unwrap().public().clone();
            let (bare, length) = (key.as_bytes(), u8::try_from(key.as_bytes().len()).unwrap());
            for wrapped in [bare.to_vec(), [&[4, length], bare].concat(), [&[3, length + 1, 0], bare].concat()] {
                assert_eq!(point_of(algorithm, &wrapped).as_ref(), Some(&key));
                assert_eq!(point_of(algorithm, &wrapped[1..]), None);
                assert_eq!(point_of(algorithm, &[&wrapped[..], &[0]].concat()), None);
            }
        }
    }

    #[test]
    fn a_refused_pin_is_not_tried_again_but_another_is() {
        let place = Token { module: "/m".into(), label: "t".into(), pin_file: "/p".into() };
        let pin = |text: &str| Passphrase::parse(text.as_bytes()).unwrap();
        let mut refused = RefusedPins(BTreeMap::new());
        assert_eq!(refused.reason(&place, &pin("1234")), None);
        refused.remember(&place, pin("1234"), "wrong".into());
        assert_eq!(refused.reason(&place, &pin("1234")), Some("wrong".into()));
        assert_eq!(refused.reason(&place, &pin("4321")), None);
        assert_eq!(refused.reason(&Token { label: "u".into(), ..place }, &pin("1234")), None);
    }

    #[test]
    fn a_description_comes_back_and_mistakes_are_named() {
        let text = "id = '00ff'\nlabel = 'north'\n[token]\nmodule = '/m.so'\nlabel = 't'\npin_file = '/p'\n";
        let file = Path::new("north.token.toml");
        let key = TokenKey::parse(text, file).unwrap();
        assert_eq!(TokenKey::parse(&key.to_text().unwrap(), file).unwrap(), key);
        for wrong in
            ["", "module = 1", &text.replace("00ff", "0g"), &text.replace("00ff", ""), &(text.to_owned() + "pin = '1'")]
        {
            let error = TokenKey::parse(wrong, file).unwrap_err().to_string();
            assert!(error.starts_with("north.token.toml does not describe"), "{error}");
        }
    }
}
