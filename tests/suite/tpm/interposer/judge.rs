//! What an operation has come to: not by what it says, but by what it left and what the interposer has.

use super::operations::{Operation, Padding, Place, Told, Wanted, content};
use super::world::PERSISTED;
use openssl::base64;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Padding as RsaPadding;
use openssl::sign::{RsaPssSaltlen, Verifier};
use openssl::x509::X509;
use testkit::interposer::area::Area;
use testkit::interposer::wire::sized;
use testkit::interposer::{Learned, Loot, keys};
use testkit::process::{Done, Run};
use testkit::swtpm::{SRK, Swtpm};
use testkit::tools::need;
use testkit::tpm::cc;

/// What happened in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// There was nothing for the attack to strike.
    Untouched,
    /// The result is right all the same.
    Harmless,
    /// An error says that something is wrong with what came from the TPM.
    Refused,
    /// An error, and nothing worse.
    Denied,
    /// Accepted, or learned, what should not have been.
    Wrong(Harm),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// The interposer has the private half of the key that was made.
    KeyIsTheirs,
    /// The key is not as it was asked for.
    OtherKind,
    /// The key is one that was made before.
    OldKey,
    /// The key cannot be used in the TPM.
    NoKey,
    /// The TPM cannot unseal what was sealed.
    NoData,
    WrongSignature,
    FalsePlaintext,
    OtherPublicHalf,
    FalseContent,
    FalseReport,
    PinLearned,
    ContentLearned,
}

impl Outcome {
    /// In the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Untouched => "-",
            Self::Harmless => "harmless",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Wrong(harm) => harm.word(),
        }
    }
}

impl Harm {
    fn word(self) -> &'static str {
        match self {
            Self::KeyIsTheirs => "KEY IS THEIRS",
            Self::OtherKind => "OTHER KIND OF KEY",
            Self::OldKey => "OLD KEY",
            Self::NoKey => "KEY OF NOBODY",
            Self::NoData => "DATA LOST",
            Self::WrongSignature => "WRONG SIGNATURE",
            Self::FalsePlaintext => "FALSE RESULT",
            Self::OtherPublicHalf => "OTHER PUBLIC HALF",
            Self::FalseContent => "FALSE CONTENT",
            Self::FalseReport => "FALSE REPORT",
            Self::PinLearned => "PIN LEARNED",
            Self::ContentLearned => "CONTENT LEARNED",
        }
    }
}

/// Words of errors that say that what came from the TPM is not to be trusted, and why.
const REFUSALS: [&str; 12] = [
    "integrity check",
    "somebody between",
    "parent-name",
    "first-use",
    "the URI demands",
    "does not vouch",
    "the name is not",
    "does not verify",
    "is not the object that was asked for",
    "is not the key",
    "malformed",
    "answer to TPM2_",
];

/// A key that was made with nobody in between, to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made(Area);

/// The key in `new.pem`, if there is one of a TPM 2.0.
pub fn made(place: &Place<'_>) -> Option<Made> {
    key_file(place).and_then(|file| Some(Made(Area::read(&file.public)?)))
}

/// What is judged.
pub struct Case<'a> {
    pub operation: &'a Operation,
    pub place: &'a Place<'a>,
    pub round: u8,
    /// The key that the operation made with nobody in between.
    pub control: Option<&'a Made>,
    /// The key of an earlier round.
    pub earlier: Option<Made>,
    /// A TPM with the world's storage root key.
    pub tpm: &'a Swtpm,
    /// The operation's own.
    pub own_tpm: &'a Swtpm,
}

/// Judges an operation whose process has ended.
pub fn judge(case: &Case<'_>, done: &Done, loot: &Loot) -> Outcome {
    if loot.learned.contains(&Learned::Pin) {
        return Outcome::Wrong(Harm::PinLearned);
    }
    if loot.learned.contains(&Learned::Content) {
        return Outcome::Wrong(Harm::ContentLearned);
    }
    if loot.learned.contains(&Learned::Key) {
        return Outcome::Wrong(Harm::KeyIsTheirs);
    }
    let harm = if done.status.success() {
        match case.operation.wanted {
            Wanted::Key => wrong_key(case),
            Wanted::Imported => (!is_imported(case)).then_some(Harm::NoKey),
            Wanted::Persistent(key) => (!is_persistent(case, key)).then_some(Harm::NoKey),
            Wanted::Certificate => wrong_certificate(case),
            wanted => wrong_result(wanted, case, done),
        }
    } else {
        assert!(done.status.code().is_some(), "ended by a signal\n{done}");
        return match REFUSALS.iter().any(|words| done.err().contains(words)) {
            true => Outcome::Refused,
            false => Outcome::Denied,
        };
    };
    match harm {
        Some(harm) => Outcome::Wrong(harm),
        None => Outcome::Harmless,
    }
}

struct KeyFile {
    public: Vec<u8>,
    private: Vec<u8>,
}

/// `new.pem`: an OID, tagged fields, the parent, and the two halves as octet strings.
fn key_file(place: &Place<'_>) -> Option<KeyFile> {
    let der = der(place)?;
    let mut octets = Vec::new();
    let mut rest = element(&der)?.1;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        if tag == 0x04 {
            // Each is a TPM2B.
            octets.push(content.get(2..)?.to_vec());
        }
        rest = after;
    }
    let private = octets.pop()?;
    let public = octets.pop()?;
    Some(KeyFile { public, private })
}

fn der(place: &Place<'_>) -> Option<Vec<u8>> {
    let pem = std::fs::read_to_string(place.openssl.dir().join("new.pem")).ok()?;
    let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    base64::decode_block(&body).ok()
}

/// Tag, content and what follows of a DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (size, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let size = digits
                .iter()
                .fold(0, |size, &digit| size << 8 | usize::from(digit));
            (size, rest)
        }
    };
    let (content, after) = rest.split_at_checked(size)?;
    Some((tag, content, after))
}

/// What is wrong with the key that was made.
fn wrong_key(case: &Case<'_>) -> Option<Harm> {
    let place = case.place;
    if der(place).is_some_and(|der| keys::is_own_inside(&der)) {
        return Some(Harm::KeyIsTheirs);
    }
    let Some((file, area)) = key_file(place).and_then(|file| {
        let area = Area::read(&file.public)?;
        Some((file, area))
    }) else {
        return Some(Harm::NoKey);
    };
    if keys::is_own(&area) {
        return Some(Harm::KeyIsTheirs);
    }
    if case
        .earlier
        .as_ref()
        .is_some_and(|earlier| earlier.0.unique == area.unique)
    {
        return Some(Harm::OldKey);
    }
    if case
        .control
        .is_some_and(|control| control.0.template() != area.template())
    {
        return Some(Harm::OtherKind);
    }
    (!loads(&file, case.tpm)).then_some(Harm::NoKey)
}

/// Whether the TPM has the private half.
fn loads(file: &KeyFile, tpm: &Swtpm) -> bool {
    let mut raw = tpm.raw();
    let parameters = [sized(&file.private), sized(&file.public)].concat();
    let (rc, answer) = raw.authorized(cc::LOAD, &[SRK], &parameters);
    if rc != 0 {
        return false;
    }
    raw.flush(u32::from_be_bytes(
        answer[..4].try_into().expect("a handle"),
    ));
    true
}

/// Whether `new.pem` is the world's software key, and its private half is in the TPM.
fn is_imported(case: &Case<'_>) -> bool {
    let Some((file, area)) = key_file(case.place).and_then(|file| {
        let area = Area::read(&file.public)?;
        Some((file, area))
    }) else {
        return false;
    };
    let spki = case.place.world.openssl.dir().read("soft.pub");
    let known = PKey::public_key_from_pem(&spki).and_then(|key| key.public_key_to_der());
    let known = known.expect("the world's public key");
    known.ends_with(&area.unique.concat()) && loads(&file, case.tpm)
}

/// Whether the world's key is persistent in the operation's TPM.
fn is_persistent(case: &Case<'_>, key: &str) -> bool {
    let mut raw = case.own_tpm.raw();
    let (rc, answer) = raw.plain(cc::READ_PUBLIC, &PERSISTED.to_be_bytes());
    let spki = case.place.world.openssl.dir().read(&format!("{key}.pub"));
    let known = PKey::public_key_from_pem(&spki).and_then(|key| key.rsa());
    let modulus = known.expect("the world's public key").n().to_vec();
    rc == 0 && answer.windows(modulus.len()).any(|part| part == modulus)
}

/// Whether the TPM gives the round's content back, for its PIN where it has one.
fn is_sealed(case: &Case<'_>) -> bool {
    let Some(file) = key_file(case.place) else {
        return false;
    };
    let dir = case.place.openssl.dir();
    dir.write("sealed.pub", sized(&file.public));
    dir.write("sealed.priv", sized(&file.private));
    let tool = |line: &str| case.tpm.tool(line).dir(dir.path()).done().status.success();
    let pin = match case.operation.name.contains("PIN") {
        true => format!("-p {}", super::world::PIN),
        false => String::new(),
    };
    let loaded = tool("tpm2_load -Q -C 0x81000001 -u sealed.pub -r sealed.priv -c sealed.ctx");
    let unsealed = loaded
        && tool(&format!(
            "tpm2_unseal -Q -c sealed.ctx {pin} -o sealed.clear"
        ));
    case.tpm.flush();
    unsealed && dir.read("sealed.clear") == content(case.round)
}

fn wrong_certificate(case: &Case<'_>) -> Option<Harm> {
    let wrong = wrong_key(case);
    if wrong.is_some() {
        return wrong;
    }
    let certificate = X509::from_pem(&case.place.openssl.dir().read("new.crt")).ok();
    let signed = certificate.and_then(|certificate| {
        let key = certificate.public_key().ok()?;
        certificate.verify(&key).ok()
    });
    (signed != Some(true)).then_some(Harm::WrongSignature)
}

fn wrong_result(wanted: Wanted, case: &Case<'_>, done: &Done) -> Option<Harm> {
    let (place, round) = (case.place, case.round);
    let left = |name: &str| std::fs::read(place.openssl.dir().join(name)).unwrap_or_default();
    let truth = |name: &str| place.world.openssl.dir().read(name);
    let (right, harm) = match wanted {
        Wanted::Key | Wanted::Certificate | Wanted::Imported | Wanted::Persistent(_) => {
            unreachable!("judged above")
        }
        Wanted::Signature(key, padding) => (
            verifies(
                &truth(&format!("{key}.pub")),
                padding,
                &truth(&format!("message{round}")),
                &left("sig"),
            ),
            Harm::WrongSignature,
        ),
        Wanted::SshSignature(key) => (
            verifies_for_ssh(
                place,
                &truth(&format!("{key}.ssh")),
                truth(&format!("message{round}")),
            ),
            Harm::WrongSignature,
        ),
        Wanted::Sealed => (is_sealed(case), Harm::NoData),
        Wanted::Plaintext => (left("clear") == content(round), Harm::FalsePlaintext),
        Wanted::Shared(key) => (
            left("shared") == truth(&format!("{key}.shared{round}")),
            Harm::FalsePlaintext,
        ),
        Wanted::Public(file) => (left("out.pub") == truth(file), Harm::OtherPublicHalf),
        Wanted::Content => (left("out.der") == truth("nv.der"), Harm::FalseContent),
        Wanted::Told(told) => (is_told(told, place, done), Harm::FalseReport),
    };
    (!right).then_some(harm)
}

fn verifies(public: &[u8], padding: Padding, message: &[u8], signature: &[u8]) -> bool {
    let key = PKey::public_key_from_pem(public).expect("the world's public key");
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
    if padding == Padding::Pss {
        verifier
            .set_rsa_padding(RsaPadding::PKCS1_PSS)
            .and_then(|()| verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH))
            .expect("PSS");
    }
    verifier.verify_oneshot(signature, message).unwrap_or(false)
}

/// Whether OpenSSH says that `sig` is the message's signature by this key.
fn verifies_for_ssh(place: &Place<'_>, public: &[u8], message: Vec<u8>) -> bool {
    let dir = place.openssl.dir();
    dir.write("allowed", [b"tpm ", public].concat());
    let words = "-Y verify -n file -I tpm -f allowed -s sig";
    let run = Run::new(need("ssh-keygen", "openssh-client")).words(words);
    run.dir(dir.path()).stdin(message).done().status.success()
}

fn is_told(told: Told, place: &Place<'_>, done: &Done) -> bool {
    let said = done.out() + &done.err();
    match told {
        Told::SrkName => said.contains(&place.world.parent_name),
        Told::SelfTest => said.contains("succeeded"),
        Told::Register => said.contains(&"0".repeat(64)),
        Told::KeyFile => said.contains("2048"),
    }
}
