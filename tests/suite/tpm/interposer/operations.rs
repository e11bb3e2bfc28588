//! The operations of the product as values: how each is started, and what it should leave.

use super::world::{self, CERTIFICATE, KEY, OTHER_EC, OTHER_RSA, PERSISTED, PIN_KEY, World};
use testkit::interposer::Aim;
use testkit::openssl::Openssl;
use testkit::process::{Done, Run};
use testkit::tools::tpmctl;

/// Where an operation runs.
pub struct Place<'a> {
    pub world: &'a World,
    /// Its own directory, and the settings.
    pub openssl: &'a Openssl,
    /// Of the TPM, or whoever answers for it.
    pub address: String,
}

/// What an operation leaves if all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `new.pem`, like the one that was made with nobody in between, and in the TPM.
    Key,
    /// `new.pem`, the world's software key, in the TPM.
    Imported,
    /// The world's key of this name at the handle that was printed.
    Persistent(&'static str),
    /// `new.crt` and the key in `new.pem` that it is for.
    Certificate,
    /// `sig`, of the round's message, by the world's key of this name.
    Signature(&'static str, Padding),
    /// `sig`, of the round's message, by the world's key of this name, as OpenSSH has it.
    SshSignature(&'static str),
    /// `clear`, the round's content.
    Plaintext,
    /// `new.pem`, the round's content sealed in the TPM.
    Sealed,
    /// `shared`, the same as the peer has with the world's key of this name.
    Shared(&'static str),
    /// `out.pub`, the same as the world's file.
    Public(&'static str),
    /// `out.der`, the certificate in the TPM.
    Content,
    /// Output that says this.
    Told(Told),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    Pkcs1,
    Pss,
    Ecdsa,
}

/// Reports of tpmctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The true name of the storage root key.
    SrkName,
    /// The self-test's success.
    SelfTest,
    /// The size of the key in the file.
    KeyFile,
    /// The value of register 16.
    Register,
}

pub struct Operation {
    pub name: &'static str,
    /// Whether the TPM has a storage root key at 0x81000001.
    pub srk: bool,
    pub wanted: Wanted,
    /// A setting besides those of the table.
    pub setting: Option<(&'static str, &'static str)>,
    pub run: fn(&Place<'_>, u8) -> Done,
}

impl Operation {
    const fn new(name: &'static str, wanted: Wanted, run: fn(&Place<'_>, u8) -> Done) -> Self {
        Self {
            name,
            srk: false,
            wanted,
            setting: None,
            run,
        }
    }

    /// On a TPM with a storage root key at 0x81000001.
    const fn srk(mut self) -> Self {
        self.srk = true;
        self
    }

    const fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.setting = Some((name, value));
        self
    }

    /// What an attack must know of it.
    pub fn aim(&self) -> Aim {
        let ec = matches!(
            self.wanted,
            Wanted::Shared(_) | Wanted::Signature(_, Padding::Ecdsa) | Wanted::SshSignature(_)
        );
        Aim {
            decrypting: self.wanted == Wanted::Plaintext,
            secret: matches!(
                self.wanted,
                Wanted::Plaintext | Wanted::Sealed | Wanted::Shared(_)
            ),
            other: if ec { OTHER_EC } else { OTHER_RSA },
        }
    }
}

/// All of them.
pub fn operations() -> Vec<Operation> {
    use Padding::{Ecdsa, Pkcs1, Pss};
    use Wanted::{
        Certificate, Content, Imported, Key, Persistent, Plaintext, Public, Sealed, Shared,
        Signature, SshSignature,
    };
    let op = Operation::new;
    let more = vec![
        op("PKCS#11: C_Sign, RSA", Signature("rsa", Pkcs1), |p, r| {
            p.pkcs11_sign("rsa", r)
        }),
        op(
            "PKCS#11: C_Sign, EC, under 0x81000001",
            Signature("ec", Ecdsa),
            |p, r| p.pkcs11_sign("ec", r),
        )
        .srk(),
        op(
            "PKCS#11: C_Login and C_Sign, RSA with a PIN",
            Signature("rsapin", Pkcs1),
            |p, r| p.pkcs11_sign("rsapin", r),
        ),
        op(
            "PKCS#11: C_Login and C_Sign, EC for signatures only, with a PIN",
            Signature("ecsignpin", Ecdsa),
            |p, r| p.pkcs11_sign("ecsignpin", r),
        )
        .srk(),
        op("PKCS#11: C_Decrypt, RSA", Plaintext, |p, r| {
            p.pkcs11_decrypt("rsa", r)
        }),
        op(
            "PKCS#11: C_Login and C_Decrypt, RSA with a PIN",
            Plaintext,
            |p, r| p.pkcs11_decrypt("rsapin", r),
        )
        .srk(),
        op(
            "PKCS#11: C_GenerateKeyPair, EC, under the owner hierarchy",
            Key,
            |p, _| p.pkcs11_generate(),
        ),
        op(
            "tpmctl ssh-agent, EC, under 0x81000001",
            SshSignature("ec"),
            |p, r| p.ssh_agent_sign("ec", r),
        )
        .srk(),
    ];
    let mut all = vec![
        op("genpkey RSA, under the owner hierarchy", Key, |p, _| {
            p.genpkey("RSA -pkeyopt bits:2048")
        }),
        op(
            "genpkey EC for signatures only, under 0x81000001",
            Key,
            |p, _| p.genpkey("EC -pkeyopt digest:sha256 -pkeyopt parent:0x81000001"),
        )
        .srk(),
        op("genpkey EC, under the owner hierarchy", Key, |p, _| {
            p.genpkey("EC -pkeyopt group:P-256")
        }),
        op("genpkey EC, under 0x81000001", Key, |p, _| {
            p.genpkey("EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001")
        })
        .srk(),
        op(
            "genpkey EC with a PIN, under the owner hierarchy",
            Key,
            |p, _| p.genpkey(&format!("EC -pkeyopt group:P-256 {}", p.user_auth())),
        ),
        op("tpmctl key new, under the owner hierarchy", Key, |p, _| {
            p.tpmctl("key new --type ec --force --output new.pem")
        }),
        op(
            "tpmctl key new with a PIN, under 0x81000001",
            Key,
            |p, _| {
                let line = format!(
                    "key new --type ec --force --output new.pem --parent 0x81000001 --auth file:{}",
                    p.world.file("pin")
                );
                p.tpmctl(&line)
            },
        )
        .srk(),
        op(
            "tpmctl key new with registers, under the owner hierarchy",
            Key,
            |p, _| p.tpmctl("key new --type ec --force --output new.pem --pcr sha256:16"),
        ),
        op(
            "tpmctl key new with registers, under 0x81000001",
            Key,
            |p, _| p.tpmctl("key new --type ec -f -o new.pem --pcr sha256:16 --parent 0x81000001"),
        )
        .srk(),
        op(
            "tpmctl key import, under the owner hierarchy",
            Imported,
            |p, _| {
                p.tpmctl(&format!(
                    "key import {} -f -o new.pem",
                    p.world.file("soft.pem")
                ))
            },
        ),
        op(
            "tpmctl key import with a PIN, under 0x81000001",
            Imported,
            |p, _| {
                p.tpmctl(&format!(
                    "key import {} -f -o new.pem --parent 0x81000001 --auth file:{}",
                    p.world.file("soft.pem"),
                    p.world.file("pin")
                ))
            },
        )
        .srk(),
        op("tpmctl key finish", Imported, |p, _| {
            p.tpmctl(&format!(
                "key finish {} -f -o new.pem",
                p.world.file("importable.pem")
            ))
        }),
        op("tpmctl key finish, under 0x81000001", Imported, |p, _| {
            p.tpmctl(&format!(
                "key finish {} -f -o new.pem",
                p.world.file("importsrk.pem")
            ))
        })
        .srk(),
        op("sign, EC, importable", Signature("soft", Ecdsa), |p, r| {
            p.sign("importable.pem", r, "")
        }),
        op(
            "sign, EC, importable, under 0x81000001",
            Signature("soft", Ecdsa),
            |p, r| p.sign("importsrk.pem", r, ""),
        )
        .srk(),
        op("tpmctl key persist", Persistent("rsa"), |p, _| {
            p.tpmctl(&format!(
                "key persist {} {PERSISTED:#x}",
                p.world.file("rsa.pem")
            ))
        }),
        op(
            "tpmctl key persist, the SRK in the parent's place",
            Persistent("rsa"),
            |p, _| {
                p.tpmctl(&format!(
                    "key persist {} {PERSISTED:#x}",
                    p.world.file("rsa.pem")
                ))
            },
        )
        .srk(),
        op("tpmctl srk export", Public("srk.pub"), |p, _| {
            p.tpmctl("srk export -f -o out.pub")
        }),
        op(
            "tpmctl srk export, from 0x81000001",
            Public("srk.pub"),
            |p, _| p.tpmctl("srk export -f -o out.pub"),
        )
        .srk(),
        op("tpmctl seal, under the owner hierarchy", Sealed, |p, r| {
            p.seal(r, "")
        }),
        op(
            "tpmctl seal with a PIN, under 0x81000001",
            Sealed,
            |p, r| {
                let pin = p.world.file("pin");
                p.seal(r, &format!("--parent 0x81000001 --auth file:{pin}"))
            },
        )
        .srk(),
        op("tpmctl unseal", Plaintext, |p, r| p.unseal("data", r)),
        op("tpmctl unseal with a PIN", Plaintext, |p, r| {
            p.unseal("pindata", r)
        })
        .srk(),
        op("tpmctl unseal, sealed elsewhere", Plaintext, |p, r| {
            p.unseal("elsewhere", r)
        }),
        op("req -x509 with a new key", Certificate, |p, _| {
            p.openssl(
                "req -x509 -newkey ec -pkeyopt group:P-256 -propquery ?provider=tpm -noenc -keyout new.pem -out new.crt \
                 -subj /CN=x -days 2",
            )
        }),
        op("sign, RSA", Signature("rsa", Pkcs1), |p, r| {
            p.sign("rsa.pem", r, "")
        }),
        op(
            "sign, RSA, the SRK in the parent's place",
            Signature("rsa", Pkcs1),
            |p, r| p.sign("rsa.pem", r, ""),
        )
        .srk(),
        op(
            "sign, RSA, load = eager",
            Signature("rsa", Pkcs1),
            |p, r| p.sign("rsa.pem", r, ""),
        )
        .with("load", "eager"),
        op(
            "sign, RSA with a PIN",
            Signature("rsapin", Pkcs1),
            |p, r| p.sign("rsapin.pem", r, ""),
        ),
        op(
            "sign, RSA for signatures only, with a PIN",
            Signature("signpin", Pkcs1),
            |p, r| p.sign("signpin.pem", r, ""),
        ),
        op(
            "sign, PSS, padded in software",
            Signature("rsa", Pss),
            |p, r| p.sign("rsa.pem", r, PSS),
        )
        .srk(),
        op(
            "sign, PSS, padded by the TPM",
            Signature("pss", Pss),
            |p, r| p.sign("pss.pem", r, PSS),
        ),
        op(
            "sign, restricted key",
            Signature("restricted", Pkcs1),
            |p, r| {
                let line = format!(
                    "dgst -sha256 -sign {} -out sig {}",
                    p.world.file("restricted.pem"),
                    p.world.file(&format!("message{r}"))
                );
                p.openssl(&line)
            },
        )
        .srk(),
        op(
            "sign, EC, under 0x81000001",
            Signature("ec", Ecdsa),
            |p, r| p.sign("ec.pem", r, ""),
        )
        .srk(),
        op(
            "sign, EC for signatures only, with a PIN",
            Signature("ecsignpin", Ecdsa),
            |p, r| p.sign("ecsignpin.pem", r, ""),
        )
        .srk(),
        op("decrypt, RSA", Plaintext, |p, r| {
            p.decrypt("rsa", &p.world.file("rsa.pem"), r)
        }),
        op("decrypt, RSA with a PIN", Plaintext, |p, r| {
            p.decrypt("rsapin", &p.world.file("rsapin.pem"), r)
        })
        .srk(),
        op("ECDH, under 0x81000001", Shared("ec"), |p, r| {
            p.derive("ec.pem", r)
        })
        .srk(),
        op("ECDH with a PIN", Shared("ecpin"), |p, r| {
            p.derive("ecpin.pem", r)
        }),
        op("handle:, public half", Public("0x81000002.pub"), |p, _| {
            p.openssl(&format!("pkey -in handle:{KEY:#x} -pubout -out out.pub"))
        })
        .srk(),
        op("handle:, sign", Signature("0x81000002", Pkcs1), |p, r| {
            p.sign_with(&format!("handle:{KEY:#x}"), r, "")
        })
        .srk(),
        op(
            "handle:?pass, sign",
            Signature("0x81000003", Pkcs1),
            |p, r| p.sign_with(&format!("handle:{PIN_KEY:#x}?pass"), r, ""),
        )
        .srk(),
        op(
            "handle:?name, public half",
            Public("0x81000002.pub"),
            |p, _| p.openssl(&format!("pkey -in {} -pubout -out out.pub", p.named(KEY))),
        )
        .srk(),
        op(
            "handle:?name, sign",
            Signature("0x81000002", Pkcs1),
            |p, r| p.sign_with(&p.named(KEY), r, ""),
        )
        .srk(),
        op(
            "handle:?name&pass, sign",
            Signature("0x81000003", Pkcs1),
            |p, r| p.sign_with(&format!("{}&pass", p.named(PIN_KEY)), r, ""),
        )
        .srk(),
        op("handle:?name&pass, decrypt", Plaintext, |p, r| {
            p.decrypt("0x81000003", &format!("{}&pass", p.named(PIN_KEY)), r)
        })
        .srk(),
        op("handle:, decrypt", Plaintext, |p, r| {
            p.decrypt("0x81000002", &format!("handle:{KEY:#x}"), r)
        })
        .srk(),
        op("handle:?pass, decrypt", Plaintext, |p, r| {
            p.decrypt("0x81000003", &format!("handle:{PIN_KEY:#x}?pass"), r)
        })
        .srk(),
        op("a certificate in NV", Content, |p, _| {
            p.openssl(&format!(
                "x509 -in handle:{CERTIFICATE:#010x} -outform DER -out out.der"
            ))
        }),
        op("tpmctl nv read, a certificate", Content, |p, _| {
            p.tpmctl(&format!("nv read {CERTIFICATE:#010x} -f -o out.der"))
        })
        .srk(),
        op(
            "key file, public half and listing",
            Public("rsa.pub"),
            |p, _| {
                let file = p.world.file("rsa.pem");
                let listed = p.openssl(&format!("storeutl -noout {file}"));
                if !listed.status.success() {
                    return listed;
                }
                p.openssl(&format!("pkey -in {file} -pubout -out out.pub"))
            },
        ),
        op("tpmctl key show", Wanted::Told(Told::KeyFile), |p, _| {
            p.tpmctl(&format!("key show {}", p.world.file("rsa.pem")))
        }),
        op("tpmctl info", Wanted::Told(Told::SrkName), |p, _| {
            p.tpmctl("info")
        })
        .srk(),
        op("tpmctl pcr read", Wanted::Told(Told::Register), |p, _| {
            p.tpmctl("pcr read sha256:16")
        }),
        op(
            "tpmctl pcr read, with 0x81000001",
            Wanted::Told(Told::Register),
            |p, _| p.tpmctl("pcr read sha256:16"),
        )
        .srk(),
        op("tpmctl selftest", Wanted::Told(Told::SelfTest), |p, _| {
            p.tpmctl("selftest --log info")
        }),
    ];
    all.extend(more);
    all
}

const PSS: &str = "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest";

impl Place<'_> {
    fn openssl(&self, line: &str) -> Done {
        self.at(self.openssl.run(line))
    }

    fn tpmctl(&self, line: &str) -> Done {
        self.at(self.openssl.client(tpmctl()).words(line))
    }

    pub(super) fn at(&self, run: Run) -> Done {
        run.env("TPM_TCTI", &self.address).done()
    }

    fn genpkey(&self, arguments: &str) -> Done {
        self.openssl(&format!(
            "genpkey -propquery provider=tpm -out new.pem -algorithm {arguments}"
        ))
    }

    fn seal(&self, round: u8, options: &str) -> Done {
        let clear = self.world.file(&format!("clear{round}"));
        self.tpmctl(&format!("seal -i {clear} -o new.pem -f {options}"))
    }

    fn unseal(&self, name: &str, round: u8) -> Done {
        let sealed = self.world.file(&format!("{name}.sealed{round}"));
        let pin = self.world.file("pin");
        self.tpmctl(&format!("unseal -i {sealed} -o clear -f --auth file:{pin}"))
    }

    fn user_auth(&self) -> String {
        format!("-pkeyopt user-auth:file:{}", self.world.file("pin"))
    }

    /// The URI of a persistent key with its name.
    fn named(&self, handle: u32) -> String {
        let name = self.world.known.persistent[&handle].name();
        format!("handle:{handle:#x}?name={}", hex::encode(name))
    }

    fn pin(&self) -> String {
        format!("-passin file:{}", self.world.file("pin"))
    }

    fn sign(&self, key: &str, round: u8, options: &str) -> Done {
        self.sign_with(&self.world.file(key), round, options)
    }

    fn sign_with(&self, key: &str, round: u8, options: &str) -> Done {
        self.openssl(&format!(
            "pkeyutl -sign -inkey {key} -in {} -out sig -pkeyopt digest:sha256 {options} {}",
            self.world.file(&format!("digest{round}")),
            self.pin()
        ))
    }

    fn decrypt(&self, name: &str, key: &str, round: u8) -> Done {
        self.openssl(&format!(
            "pkeyutl -decrypt -inkey {key} -in {} -out clear -pkeyopt rsa_padding_mode:oaep {}",
            self.world.file(&format!("{name}.sealed{round}")),
            self.pin()
        ))
    }

    fn derive(&self, key: &str, round: u8) -> Done {
        self.openssl(&format!(
            "pkeyutl -derive -inkey {} -peerkey {} -out shared {}",
            self.world.file(key),
            self.world.file(&format!("peer{round}.pub")),
            self.pin()
        ))
    }
}

/// What a round's decryption should give.
pub fn content(round: u8) -> Vec<u8> {
    world::content(round).into_bytes()
}
