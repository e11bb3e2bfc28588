//! Operations by the PKCS#11 module and by the agent: with pkcs11-tool and ssh-keygen.

use super::operations::Place;
use super::world::PIN;
use std::fs;
use testkit::process::{Done, Run};
use testkit::tools::{module, need, tpmctl};

/// An agent that serves as long as something is signed.
const AGENT: &str = r#"
"$TPMCTL" ssh-agent -l "$PWD/agent" --key-dir "$PWD/keys" &
for each in $(seq 400); do [ -S agent ] && break; sleep 0.05; done
status=0
SSH_AUTH_SOCK=$PWD/agent ssh-keygen -Y sign -n file -f public.pub <"$MESSAGE" >sig || status=$?
kill $!
wait $! || true
exit $status
"#;

impl Place<'_> {
    /// The directory of keys with these of the world's, and the settings where this front end looks for them.
    fn only(&self, names: &[&str]) {
        let dir = self.openssl.dir();
        let keys = dir.join("keys");
        let _ = fs::remove_dir_all(&keys);
        let config = dir.join(".config/tpm-provider");
        for each in [&keys, &config] {
            fs::create_dir_all(each).expect("a directory");
        }
        for name in names {
            let file = self.world.file(&format!("{name}.pem"));
            fs::copy(file, keys.join(format!("{name}.tpm"))).expect("a copy");
        }
        let text = dir.read_text("openssl.cnf");
        let (_, section) = text.split_once("[tpm_sect]\n").expect("the settings");
        let lines = section.lines().take_while(|line| !line.starts_with('['));
        let known = ["parent-name", "trust-dir", "sessions", "timeout"];
        let settings: String = lines
            .filter(|line| {
                known
                    .iter()
                    .any(|name| line.starts_with(&format!("{name} = ")))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(config.join("pkcs11.conf"), settings).expect("a file");
    }

    fn pkcs11_tool(&self, words: &str) -> Run {
        let dir = self.openssl.dir();
        Run::new(need("pkcs11-tool", "opensc"))
            .dir(dir.path())
            .env("TPM_KEY_DIRS", dir.join("keys"))
            .env("TPM_LOG", "error")
            .env("HOME", dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .arg("--module")
            .arg(module())
            .words(words)
    }

    /// With the key of this name, which has a PIN if that says so.
    fn pkcs11_use(&self, name: &str, words: &str) -> Done {
        self.only(&[name]);
        let login = match name.contains("pin") {
            true => format!("--token-label {name} --login --pin {PIN}"),
            false => "--slot 1".to_owned(),
        };
        self.at(self.pkcs11_tool(&login).words(words))
    }

    pub(super) fn pkcs11_sign(&self, name: &str, round: u8) -> Done {
        let mechanism = match name.starts_with("ec") {
            true => "ECDSA-SHA256 --signature-format openssl",
            false => "SHA256-RSA-PKCS",
        };
        let message = self.world.file(&format!("message{round}"));
        self.pkcs11_use(name, &format!("--sign -m {mechanism} -i {message} -o sig"))
    }

    pub(super) fn pkcs11_decrypt(&self, name: &str, round: u8) -> Done {
        let sealed = self.world.file(&format!("{name}.sealed{round}"));
        let padding = "RSA-PKCS-OAEP --hash-algorithm SHA-1 --mgf MGF1-SHA1";
        self.pkcs11_use(
            name,
            &format!("--decrypt -m {padding} -i {sealed} -o clear"),
        )
    }

    pub(super) fn pkcs11_generate(&self) -> Done {
        self.only(&[]);
        let words = "--slot 1 --keypairgen --key-type EC:prime256v1 --label new";
        let done = self.at(self.pkcs11_tool(words));
        // Whatever it says: what there is is judged.
        let dir = self.openssl.dir();
        let _ = fs::rename(dir.join("keys/new.tpm"), dir.join("new.pem"));
        done
    }

    pub(super) fn ssh_agent_sign(&self, name: &str, round: u8) -> Done {
        self.only(&[name]);
        let dir = self.openssl.dir();
        let public = self.world.file(&format!("{name}.ssh"));
        fs::copy(public, dir.join("public.pub")).expect("a copy");
        need("ssh-keygen", "openssh-client");
        let message = self.world.file(&format!("message{round}"));
        let agent = self.openssl.client("/bin/sh");
        self.at(agent
            .args(["-ec", AGENT])
            .env("TPM_LOG", "error")
            .env("TPMCTL", tpmctl())
            .env("MESSAGE", message))
    }
}
