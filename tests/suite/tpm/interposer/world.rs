//! What the operations work with: a TPM's state with keys in it, their files, and what everybody knows of them. Made
//! once, with nobody in between; each worker has copies of the state.

use openssl::pkey::PKey;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use testkit::interposer::area::Area;
use testkit::interposer::{Known, Learned};
use testkit::key;
use testkit::net::Endpoint;
use testkit::openssl::Openssl;
use testkit::scratch::Scratch;
use testkit::swtpm::{SRK, Swtpm};
use testkit::tools::{need, tpmctl};
use testkit::tpm::cc;

/// In the interposer's dictionary.
pub const PIN: &str = "tango-4711";
/// What it takes PINs for.
const DICTIONARY: [&str; 5] = ["1234", "password", "tango-4710", PIN, "secret"];

/// Keys at handles: the one that is used, the one with a PIN, and others for confusion.
pub const KEY: u32 = 0x8100_0002;
pub const PIN_KEY: u32 = 0x8100_0003;
pub const OTHER_RSA: u32 = 0x8100_0004;
pub const OTHER_EC: u32 = 0x8100_0005;
/// Where a key is made persistent.
pub const PERSISTED: u32 = 0x8102_0000;
pub const CERTIFICATE: u32 = 0x01C1_0102;

/// The rounds of an operation: a replay has heard the first when it strikes the second, about something else.
pub const ROUNDS: [u8; 2] = [0, 1];

pub struct World {
    /// Key files, messages, ciphertexts; read only.
    pub openssl: Openssl,
    /// TPM states with and without the storage root key at 0x81000001.
    with_srk: PathBuf,
    without_srk: PathBuf,
    pub known: Arc<Known>,
    /// The parent's name, for `parent-name`.
    pub parent_name: String,
    _states: Scratch,
}

impl World {
    /// The world that another test has just now, or a new one.
    pub fn shared() -> Arc<Self> {
        static NOW: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
        now.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::make());
            *now = Arc::downgrade(&world);
            world
        })
    }

    fn make() -> Self {
        let mut tpm = Swtpm::start();
        tpm.provision_srk();
        // Wrong tries are part of many attacks, and no cell shall suffer from another's.
        tpm.tool(
            "tpm2_dictionarylockout --setup-parameters --max-tries=1000000 --recovery-time=1 \
             --lockout-recovery-time=1",
        )
        .ok();
        let openssl = Openssl::new(&tpm.address());
        persistent_keys(&tpm, &openssl);
        key_files(&tpm, &openssl);
        inputs(&openssl);
        certificate(&tpm, &openssl);
        let known = Arc::new(known(&tpm, &openssl));
        let parent_name = hex::encode(known.parent().name());
        let states = Scratch::new();
        let with_srk = states.join("with");
        keep_state(&mut tpm, &with_srk);
        tpm.start_again();
        tpm.tool("tpm2_evictcontrol -Q -C o -c 0x81000001").ok();
        let without_srk = states.join("without");
        keep_state(&mut tpm, &without_srk);
        Self {
            openssl,
            with_srk,
            without_srk,
            known,
            parent_name,
            _states: states,
        }
    }

    /// A TPM of one's own with the world's keys.
    pub fn tpm(&self, srk: bool) -> Swtpm {
        Swtpm::with_state(if srk {
            &self.with_srk
        } else {
            &self.without_srk
        })
    }

    /// The path of one of the world's files.
    pub fn file(&self, name: &str) -> String {
        self.openssl.dir().join(name).display().to_string()
    }
}

/// Keys made with tpm2-tools, at handles.
fn persistent_keys(tpm: &Swtpm, openssl: &Openssl) {
    let tool = |line: &str| tpm.tool(line).dir(openssl.dir().path()).ok();
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|decrypt";
    for (handle, algorithm, more) in [
        (KEY, "rsa2048:null:null", "|noda"),
        (PIN_KEY, "rsa2048:null:null", ""),
        (OTHER_RSA, "rsa2048:null:null", "|noda"),
        (OTHER_EC, "ecc256:null:null", "|noda"),
    ] {
        let secret = match handle {
            PIN_KEY => format!("-p {PIN}"),
            _ => String::new(),
        };
        tool(&format!(
            "tpm2_create -Q -C 0x81000001 -G {algorithm} -a {attributes}{more} {secret} -u h.pub -r h.priv"
        ));
        tool("tpm2_load -Q -C 0x81000001 -u h.pub -r h.priv -c h.ctx");
        tool("tpm2_flushcontext -t");
        tool(&format!("tpm2_evictcontrol -Q -C o -c h.ctx {handle:#x}"));
        tool("tpm2_flushcontext -t");
        tool(&format!(
            "tpm2_readpublic -Q -c {handle:#x} -f pem -o {handle:#x}.pub"
        ));
    }
}

/// Key files of every kind: `NAME.pem`, `NAME.pub`.
fn key_files(tpm: &Swtpm, openssl: &Openssl) {
    openssl.dir().write("pin", format!("{PIN}\n"));
    let rsa = "RSA -pkeyopt bits:2048";
    let ec = "EC -pkeyopt group:P-256";
    let pin = "-pkeyopt user-auth:file:pin";
    let under_srk = "-pkeyopt parent:0x81000001";
    for (name, arguments) in [
        ("rsa", rsa.to_owned()),
        ("rsapin", format!("{rsa} {pin}")),
        ("signpin", format!("{rsa} -pkeyopt digest:sha256 {pin}")),
        ("pss", "RSA-PSS -pkeyopt bits:2048".to_owned()),
        ("ec", format!("{ec} {under_srk}")),
        ("ecpin", format!("{ec} {pin}")),
        (
            "ecsignpin",
            format!("{ec} -pkeyopt digest:sha256 {under_srk} {pin}"),
        ),
    ] {
        // The parts of the public key need no PIN, but a value is asked for when the file is read.
        openssl.ok(&format!(
            "genpkey -propquery provider=tpm -out {name}.pem -algorithm {arguments}"
        ));
        openssl.ok(&format!(
            "pkey -in {name}.pem -pubout -out {name}.pub -passin file:pin"
        ));
    }
    let ssh = "-i -m PKCS8 -f ec.pub";
    let ssh = openssl
        .client(need("ssh-keygen", "openssh-client"))
        .words(ssh);
    openssl.dir().write("ec.ssh", ssh.ok().stdout);
    // A key that was outside, and importable files of it.
    openssl
        .plain()
        .ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.pem");
    openssl
        .plain()
        .ok("pkey -in soft.pem -pubout -out soft.pub");
    for (name, options) in [("importable", ""), ("importsrk", "--parent 0x81000001")] {
        let line = format!("key import soft.pem --importable -o {name}.pem {options}");
        openssl.client(tpmctl()).words(&line).ok();
    }
    openssl.client(tpmctl()).words("srk export -o srk.pub").ok();
    let tool = |line: &str| tpm.tool(line).dir(openssl.dir().path()).ok();
    tool(
        "tpm2_create -Q -C 0x81000001 -G rsa2048:rsassa-sha256:null -u r.pub -r r.priv \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda",
    );
    tool("tpm2_encodeobject -C 0x81000001 -u r.pub -r r.priv -p -o restricted.pem");
    tool("tpm2_flushcontext -l");
    tool("tpm2_readpublic -Q -c 0x81000001 -f pem -o srk.pem");
    openssl.ok("pkey -in restricted.pem -pubout -out restricted.pub");
}

/// Messages, their digests, ciphertexts and peers, for each round.
fn inputs(openssl: &Openssl) {
    let plain = openssl.plain();
    for round in ROUNDS {
        openssl
            .dir()
            .write(&format!("message{round}"), format!("message {round}"));
        plain.ok(&format!(
            "dgst -sha256 -binary -out digest{round} message{round}"
        ));
        openssl
            .dir()
            .write(&format!("clear{round}"), content(round));
        for name in ["rsa", "rsapin", "0x81000002", "0x81000003"] {
            // Smaller than any modulus of this size: what another key makes of it does not hang on chance.
            let sealed = format!("{name}.sealed{round}");
            loop {
                plain.ok(&format!(
                    "pkeyutl -encrypt -pubin -inkey {name}.pub -in clear{round} -out {sealed} \
                     -pkeyopt rsa_padding_mode:oaep"
                ));
                if openssl.dir().read(&sealed)[0] < 0x80 {
                    break;
                }
            }
        }
        for (name, options) in [("data", ""), ("pindata", "--auth file:pin")] {
            let line = format!("seal -i clear{round} -o {name}.sealed{round} {options}");
            openssl.client(tpmctl()).words(&line).ok();
        }
        let line = format!("seal -i clear{round} -o elsewhere.sealed{round} --for srk.pem");
        openssl.client(tpmctl()).words(&line).ok();
        key::software_ec(openssl, &format!("peer{round}"), "P-256");
        for name in ["ec", "ecpin"] {
            plain.ok(&format!(
                "pkeyutl -derive -inkey peer{round}.pem -peerkey {name}.pub -out {name}.shared{round}"
            ));
        }
    }
}

/// What is encrypted in a round.
pub fn content(round: u8) -> String {
    format!("for the holder of the key only, {round}")
}

fn certificate(tpm: &Swtpm, openssl: &Openssl) {
    openssl.ok("req -x509 -key rsa.pem -outform DER -out nv.der -subj /CN=tpm -days 2");
    let size = openssl.dir().read("nv.der").len();
    let tool = |line: &str| tpm.tool(line).dir(openssl.dir().path()).ok();
    tool(&format!(
        "tpm2_nvdefine -Q -C o -s {size} -a ownerread|ownerwrite|authread|authwrite|no_da {CERTIFICATE:#x}"
    ));
    tool(&format!("tpm2_nvwrite -Q -C o -i nv.der {CERTIFICATE:#x}"));
}

fn known(tpm: &Swtpm, openssl: &Openssl) -> Known {
    let mut persistent = BTreeMap::new();
    let mut raw = tpm.raw();
    for handle in [SRK, KEY, PIN_KEY, OTHER_RSA, OTHER_EC] {
        let (rc, answer) = raw.plain(cc::READ_PUBLIC, &handle.to_be_bytes());
        assert_eq!(rc, 0, "ReadPublic of {handle:#x}");
        let size = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
        let area = Area::read(&answer[2..2 + size]).expect("a key's public area");
        persistent.insert(handle, area);
    }
    let soft = PKey::private_key_from_pem(&openssl.dir().read("soft.pem")).expect("a key");
    let scalar = soft.ec_key().expect("an EC key").private_key().to_vec();
    let mut treasures = vec![
        (Learned::Pin, PIN.as_bytes().to_vec()),
        (Learned::Key, scalar),
    ];
    for round in ROUNDS {
        treasures.push((Learned::Content, content(round).into_bytes()));
        for name in ["ec", "ecpin"] {
            let shared = openssl.dir().read(&format!("{name}.shared{round}"));
            treasures.push((Learned::Content, shared));
        }
    }
    Known {
        parent: persistent.get(&SRK).cloned(),
        persistent,
        dictionary: DICTIONARY.map(|word| word.as_bytes().to_vec()).to_vec(),
        treasures,
    }
}

/// Ends the TPM and keeps its state.
fn keep_state(tpm: &mut Swtpm, at: &std::path::Path) {
    tpm.stop();
    fs::create_dir(at).expect("a new directory");
    fs::copy(
        tpm.state().join("tpm2-00.permall"),
        at.join("tpm2-00.permall"),
    )
    .expect("the TPM's state");
}

/// Where a copy of the world's TPM listens.
pub fn endpoint(tpm: &Swtpm) -> &Endpoint {
    tpm.endpoint()
}
