//! Mail: CMS and S/MIME with a key in the TPM, read and written by an OpenSSL without us.

use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with;

pub const MESSAGE: &str = "hello\n";
const OAEP: &str = "-keyopt rsa_padding_mode:oaep";

/// An openssl with `key.pem` and `key.crt` in the TPM, and `other.pem` and `other.crt` in software.
fn each_order(test: impl Fn(&Openssl)) {
    each_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "key", 2048, "");
        key::certificate(openssl, "key");
        key::software_rsa(openssl, "other", 2048);
        key::certificate(openssl, "other");
        openssl.dir().write("message", MESSAGE);
        test(openssl);
    });
}

/// The file `clear` is the message; S/MIME has changed its line ends.
#[track_caller]
pub fn is_clear(openssl: &Openssl) {
    let clear = openssl.dir().read_text("clear").replace('\r', "");
    assert_eq!(clear, MESSAGE);
    openssl.dir().write("clear", "");
}

#[test]
fn cms_signatures() {
    each_order(|openssl| {
        for options in [
            "",
            "-md sha1",
            "-md sha512",
            "-md sha3-256",
            "-nodetach -noattr",
            "-outform DER",
            "-keyopt rsa_padding_mode:pss",
            "-md sha384 -keyopt rsa_padding_mode:pss",
            "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:max",
            "-keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1",
        ] {
            openssl.ok(&format!(
                "cms -sign -in message -signer key.crt -inkey key.pem -out signed {options}"
            ));
            let form = if options.contains("DER") {
                "-inform DER -content message"
            } else {
                ""
            };
            openssl.plain().ok(&format!(
                "cms -verify -in signed -CAfile key.crt -purpose any -out clear {form}"
            ));
            is_clear(openssl);
            openssl.ok(&format!(
                "cms -verify -in signed -CAfile key.crt -purpose any -out clear {form}"
            ));
            is_clear(openssl);
            let shown = openssl.plain().run("cms -cmsout -print -noout -in signed");
            let shown = shown
                .words(if form.is_empty() { "" } else { "-inform DER" })
                .ok()
                .out();
            let pss = options.contains("pss");
            assert_eq!(shown.contains("rsassaPss"), pss, "{options}: {shown}");
        }
    });
}

/// Two signers, one of them in software; another signature added later.
#[test]
fn cms_with_two_signers() {
    each_order(|openssl| {
        openssl.ok(
            "cms -sign -in message -signer key.crt -inkey key.pem -signer other.crt \
             -inkey other.pem -out both",
        );
        openssl.plain().ok(
            "cms -sign -in message -signer other.crt -inkey other.pem -outform PEM -nodetach \
             -out one",
        );
        openssl.ok(
            "cms -resign -in one -inform PEM -signer key.crt -inkey key.pem -outform PEM -out two",
        );
        openssl.dir().write(
            "all.crt",
            [
                openssl.dir().read("key.crt"),
                openssl.dir().read("other.crt"),
            ]
            .concat(),
        );
        for line in ["-in both", "-in two -inform PEM"] {
            openssl.plain().ok(&format!(
                "cms -verify {line} -CAfile all.crt -purpose any -out clear -signer signers"
            ));
            is_clear(openssl);
            let signers = openssl.dir().read_text("signers");
            assert_eq!(signers.matches("BEGIN CERTIFICATE").count(), 2, "{signers}");
        }
    });
}

#[test]
fn cms_decryption() {
    each_order(|openssl| {
        for options in [
            String::new(),
            OAEP.to_owned(),
            format!("{OAEP} -keyopt rsa_oaep_md:sha256"),
            format!("{OAEP} -keyopt rsa_oaep_md:sha512 -keyopt rsa_mgf1_md:sha256"),
            format!("{OAEP} -keyopt rsa_oaep_md:sha256 -keyopt rsa_oaep_label:6162"),
        ] {
            let encrypt =
                format!("cms -encrypt -in message -aes256 -out sealed -recip key.crt {options}");
            for encrypt in [openssl.plain().run(&encrypt), openssl.run(&encrypt)] {
                encrypt.ok();
                openssl.ok("cms -decrypt -in sealed -inkey key.pem -recip key.crt -out clear");
                is_clear(openssl);
                // Without the certificate every recipient is tried, in constant time.
                openssl.ok("cms -decrypt -in sealed -inkey key.pem -out clear");
                is_clear(openssl);
            }
            openssl.fails("cms -decrypt -in sealed -inkey other.pem -recip other.crt -out clear");
        }
    });
}

/// Whether an OpenSSL without us always finds a software key's part by trying, when `other` is a recipient too.
///
/// Since 3.6 the cms command does not: it leaves the implicit rejection of wrong PKCS#1 padding on while it tries the
/// recipients, so another recipient's part, opened with our key, gives a made-up content key in place of
/// the right one found before. Only a part that is no number below the modulus is an error that it passes over, which
/// is one message in two at most: so many in a row do not succeed by chance.
fn plain_openssl_finds_a_part_by_trying(openssl: &Openssl, options: &str) -> bool {
    const TRIES: usize = 16;
    (0..TRIES).all(|_| {
        let plain = openssl.plain();
        plain.ok(&format!(
            "cms -encrypt -in message -aes128 -out sealed -recip other.crt {options} \
             -recip soft.crt {options}"
        ));
        ["soft", "other"].into_iter().all(|name| {
            let line = format!("cms -decrypt -in sealed -inkey {name}.pem -out clear");
            let found = plain.run(&line).done().status.success();
            found && openssl.dir().read_text("clear").replace('\r', "") == MESSAGE
        })
    })
}

/// Among two recipients each finds its own part by its certificate, and by trying wherever a software key does.
#[test]
fn cms_with_two_recipients() {
    each_order(|openssl| {
        key::software_rsa(openssl, "soft", 2048);
        key::certificate(openssl, "soft");
        for options in ["", OAEP] {
            let by_trying = plain_openssl_finds_a_part_by_trying(openssl, options);
            openssl.plain().ok(&format!(
                "cms -encrypt -in message -aes128 -out sealed -recip other.crt {options} \
                 -recip key.crt {options}"
            ));
            for name in ["key", "other"] {
                openssl.ok(&format!(
                    "cms -decrypt -in sealed -inkey {name}.pem -recip {name}.crt -out clear"
                ));
                is_clear(openssl);
                let tried = openssl.run(&format!(
                    "cms -decrypt -in sealed -inkey {name}.pem -out clear"
                ));
                if by_trying {
                    tried.ok();
                    is_clear(openssl);
                } else {
                    // The message or a failure that is reported, as the numbers have it.
                    let done = tried.done();
                    assert!(matches!(done.status.code(), Some(0 | 4)), "{done:#}");
                }
            }
        }
    });
}

#[test]
fn smime() {
    each_order(|openssl| {
        for options in ["", "-md sha512", "-nodetach", "-nodetach -outform PEM"] {
            openssl.ok(&format!(
                "smime -sign -in message -signer key.crt -inkey key.pem -out signed {options}"
            ));
            let form = if options.contains("PEM") {
                "PEM"
            } else {
                "SMIME"
            };
            openssl.plain().ok(&format!(
                "smime -verify -in signed -inform {form} -CAfile key.crt -purpose any -out clear"
            ));
            is_clear(openssl);
        }
        for encryptor in [openssl.plain().run("smime"), openssl.run("smime")] {
            encryptor
                .words("-encrypt -in message -aes256 -out sealed key.crt")
                .ok();
            openssl.ok("smime -decrypt -in sealed -inkey key.pem -recip key.crt -out clear");
            is_clear(openssl);
            openssl.ok("smime -decrypt -in sealed -inkey key.pem -out clear");
            is_clear(openssl);
        }
        openssl
            .fails("smime -decrypt -in sealed -inkey key.pem -recip other.crt -out clear")
            .never_says(MESSAGE);
    });
}

/// Time stamps: a responder's key and its extended usage.
#[test]
fn time_stamps() {
    each_order(|openssl| {
        openssl.dir().write(
            "ts.cnf",
            "[tsa]\ndefault_tsa = own\n[own]\nserial = tsserial\nsigner_digest = sha256\n\
             default_policy = 1.2.3.4\ndigests = sha256\n",
        );
        openssl.ok("req -x509 -key key.pem -subj /CN=tsa -out tsa.crt -days 2 \
             -addext extendedKeyUsage=critical,timeStamping");
        openssl
            .plain()
            .ok("ts -query -data message -sha256 -cert -out request");
        openssl.ok(
            "ts -reply -config ts.cnf -queryfile request -signer tsa.crt -inkey key.pem \
             -chain tsa.crt -out answer",
        );
        let out = openssl
            .plain()
            .ok("ts -verify -queryfile request -in answer -CAfile tsa.crt")
            .out();
        assert!(out.contains("Verification: OK"), "{out}");
    });
}
