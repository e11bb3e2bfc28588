//! The lines. Names of files and handles are the tests'; options and their order are the other documentation's.

/// Lines about one thing.
pub struct Section {
    pub heading: &'static str,
    pub lines: &'static [Line],
}

/// A line of theirs, after `openssl`.
pub struct Line {
    pub theirs: &'static str,
    /// Where openssl.cnf activates no provider.
    pub nothing: Cell,
    /// Where it activates `default` and `tpm`.
    pub both: Cell,
    pub proof: Proof,
}

/// What becomes of it, with `tpm` for `tpm2` as the provider's name.
#[derive(Clone, Copy)]
pub enum Cell {
    Works,
    /// What to write instead, and why.
    Write(&'static str, &'static str),
    /// What it says, and why there is no such thing.
    Never(&'static str, &'static str),
}

/// How it is known that a line has done what it is there for.
#[derive(Debug)]
pub enum Proof {
    /// Standard output has this text.
    Prints(&'static str),
    /// This file is a key of the TPM.
    Key(&'static str),
    /// An openssl without any provider of a TPM succeeds with this line.
    Plain(&'static str),
    /// This file is the same as what such an openssl writes by the line to the other file.
    Same(&'static str, &'static str, &'static str),
    /// Standard output is so many hexadecimal digits.
    Digits(usize),
    /// This file has so many bytes.
    Size(&'static str, usize),
    /// This file has this text in it.
    Text(&'static str, &'static str),
}

use Cell::{Never, Works, Write};
use Proof::{Digits, Key, Plain, Prints, Same, Size, Text};

const fn line(theirs: &'static str, proof: Proof) -> Line {
    Line {
        theirs,
        nothing: Works,
        both: Works,
        proof,
    }
}

impl Line {
    const fn nothing(mut self, cell: Cell) -> Self {
        self.nothing = cell;
        self
    }

    const fn both(mut self, cell: Cell) -> Self {
        self.both = cell;
        self
    }
}

const SOFTWARE: &str = "without a query `default` makes a software key";
const FILE_IN_SOFTWARE: &str =
    "the parameters are read as `default`'s, and the software key is made there";
const NOT_ENCRYPTED: &str =
    "without `-noenc` a passphrase is asked for, and a key file is not encrypted by one";

pub const SECTIONS: &[Section] = &[
    Section {
        heading: "Loading the provider",
        lines: &[
            line("list -providers -provider tpm2", Prints("tpm")),
            line(
                "list -public-key-algorithms -provider tpm2",
                Prints("@ tpm"),
            ),
        ],
    },
    Section {
        heading: "Making keys",
        lines: &[
            line(
                "genpkey -provider tpm2 -algorithm RSA -pkeyopt bits:1024 -out small.priv",
                Key("small.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:1024 -out small.priv",
                SOFTWARE,
            )),
            line(
                "genpkey -provider tpm2 -algorithm RSA -out testkey.priv",
                Key("testkey.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm RSA -out testkey.priv",
                SOFTWARE,
            )),
            line(
                "genpkey -provider tpm2 -algorithm RSA -pkeyopt user-auth:abc -out pin.priv",
                Key("pin.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt user-auth:abc -out pin.priv",
                "without a query `default` is asked, which does not know `user-auth`",
            )),
            line(
                "genpkey -provider tpm2 -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:abc -out ec.priv",
                Key("ec.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:abc -out ec.priv",
                "without a query `default` is asked, which does not know `user-auth`",
            )),
            line(
                "genpkey -provider tpm2 -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001 -out testkey1.priv",
                Key("testkey1.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001 -out testkey1.priv",
                "without a query `default` is asked, which does not know `parent`",
            )),
            line(
                "ecparam -name prime256v1 -out testparam.pem",
                Text("testparam.pem", "BEGIN EC PARAMETERS"),
            ),
            line(
                "genpkey -provider tpm2 -provider base -paramfile testparam.pem -out param.priv",
                Key("param.priv"),
            )
            .both(Write(
                "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:prime256v1 -out param.priv",
                FILE_IN_SOFTWARE,
            )),
        ],
    },
    Section {
        heading: "Looking at keys and exporting public halves",
        lines: &[
            line(
                "rsa -provider tpm2 -provider base -in testkey.priv -modulus -noout",
                Prints("Modulus="),
            ),
            line(
                "pkey -provider tpm2 -provider base -in testkey.priv -pubout -out testkey.pub",
                Plain("pkey -pubin -in testkey.pub -noout"),
            ),
            line(
                "pkey -provider tpm2 -provider base -in testkey.priv -pubout -outform der -out testkey.der",
                Plain("pkey -pubin -inform der -in testkey.der -noout"),
            ),
            line(
                "pkey -provider tpm2 -provider base -in testkey.priv -outform der -out key.der",
                Text("key.der", "\u{6}\u{6}g\u{fffd}\u{5}\n\u{1}\u{3}"),
            ),
            line(
                "rsa -provider tpm2 -provider base -in testkey.priv -RSAPublicKey_out -out pkcs1.pub",
                Plain("rsa -RSAPublicKey_in -in pkcs1.pub -noout"),
            ),
            line(
                "rsa -provider tpm2 -provider base -in testkey.priv -text -noout",
                Prints("TPM 2.0 RSA private key"),
            ),
            line(
                "rsa -provider tpm2 -provider base -modulus -noout -in file:$PWD/testkey.priv",
                Prints("Modulus="),
            ),
            line(
                "rsa -provider tpm2 -provider base -modulus -noout -in pin.priv -passin pass:abc",
                Prints("Modulus="),
            ),
            line(
                "rsa -modulus -noout -pubin -in testkey.pub",
                Prints("Modulus="),
            ),
            line(
                "rsa -provider tpm2 -modulus -noout -in handle:0x81000000",
                Prints("Modulus="),
            ),
            line(
                "rsa -provider tpm2 -modulus -noout -in handle:0x81000002?pass -passin env:PASSWORD",
                Prints("Modulus="),
            ),
            line(
                "rsa -provider tpm2 -modulus -noout -in object:ak_rsa.obj",
                Prints("Modulus="),
            ),
            line(
                "pkey -provider tpm2 -in handle:0x81000000 -pubout -out ak.pub",
                Plain("pkey -pubin -in ak.pub -noout"),
            ),
        ],
    },
    Section {
        heading: "Signing, decrypting, agreeing",
        lines: &[
            line(
                "pkeyutl -provider tpm2 -inkey handle:0x81000000 -sign -rawin -in testdata -out ak.sig",
                Plain("pkeyutl -verify -pubin -inkey ak.pub -rawin -in testdata -sigfile ak.sig"),
            ),
            line(
                "pkeyutl -provider tpm2 -provider base -sign -inkey testkey.priv -rawin -in testdata -digest sha512 -pkeyopt pad-mode:pss -out pss.sig",
                Plain(
                    "pkeyutl -verify -pubin -inkey testkey.pub -rawin -in testdata -digest sha512 -pkeyopt pad-mode:pss -sigfile pss.sig",
                ),
            ),
            line(
                "pkeyutl -verify -pubin -inkey testkey.pub -rawin -in testdata -digest sha512 -pkeyopt pad-mode:pss -sigfile pss.sig",
                Prints("Verified Successfully"),
            ),
            line(
                "pkeyutl -encrypt -pubin -inkey testkey.pub -in testdata -out testdata.crypt",
                Size("testdata.crypt", 256),
            ),
            line(
                "pkeyutl -provider tpm2 -provider base -inkey testkey.priv -decrypt -in testdata.crypt -out clear",
                Text("clear", "what is signed"),
            ),
            line(
                "pkey -provider tpm2 -provider base -in testkey1.priv -pubout -out testkey1.pub",
                Plain("pkey -pubin -in testkey1.pub -noout"),
            ),
            line(
                "pkeyutl -provider tpm2 -provider base -derive -inkey testkey1.priv -peerkey testkey2.pub -out secret.key",
                Same(
                    "secret.key",
                    "pkeyutl -derive -inkey testkey2.pem -peerkey testkey1.pub -out other.key",
                    "other.key",
                ),
            ),
            line(
                "pkeyutl -provider tpm2 -provider base -derive -inkey handle:0x81000003 -peerkey handle:0x1000010 -out secret.key",
                Same(
                    "secret.key",
                    "pkeyutl -derive -inkey peer.pem -peerkey persistent.pub -out other.key",
                    "other.key",
                ),
            ),
        ],
    },
    Section {
        heading: "Certificates and messages",
        lines: &[
            line(
                "req -provider tpm2 -provider default -propquery '?provider=tpm2' -x509 -subj /C=GB/CN=foo -keyout testkey.pem -out testcert.pem",
                Plain("x509 -in testcert.pem -noout"),
            )
            .nothing(Write(
                "req -provider tpm -provider default -propquery '?provider=tpm' -noenc -newkey rsa:2048 -x509 -subj /C=GB/CN=foo -keyout testkey.pem -out testcert.pem",
                NOT_ENCRYPTED,
            ))
            .both(Write(
                "req -propquery '?provider=tpm' -noenc -newkey rsa:2048 -x509 -subj /C=GB/CN=foo -keyout testkey.pem -out testcert.pem",
                NOT_ENCRYPTED,
            )),
            line(
                "req -provider tpm2 -provider default -propquery '?provider=tpm2' -new -subj /C=GB/CN=foo -key handle:0x81000000 -out testcsr.pem",
                Plain("req -in testcsr.pem -verify -noout"),
            ),
            line(
                "cms -sign -provider tpm2 -provider default -propquery '?provider=tpm2' -nodetach -md sha256 -inkey testkey.pem -signer testcert.pem -in testdata -text -out signed.cms",
                Plain("cms -verify -noverify -in signed.cms -text -out verified"),
            ),
            line(
                "cms -encrypt -aes128 -in testdata -out testdata.enc testcert.pem",
                Text("testdata.enc", "enveloped-data"),
            ),
            line(
                "cms -decrypt -provider tpm2 -provider default -propquery '?provider=tpm2' -inkey testkey.pem -recip testcert.pem -in testdata.enc -out decrypted",
                Text("decrypted", "what is signed"),
            ),
            line(
                "pkcs12 -export -provider tpm2 -provider default -inkey testkey.pem -in testcert.pem -passout pass:abc -out key.p12",
                Plain("pkcs12 -in key.p12 -noout -passin pass:abc"),
            )
            .nothing(Never(
                "private key cannot leave the TPM",
                "theirs has none either",
            ))
            .both(Never(
                "private key cannot leave the TPM",
                "theirs has none either",
            )),
        ],
    },
    Section {
        heading: "Random numbers, digests and ciphers",
        lines: &[
            line("rand -provider tpm2 -hex 10", Digits(20)),
            line(
                "dgst -provider tpm2 -sha256 testdata",
                Prints("819893434c4fe98186a93ce2782c7a73023a46b588b089bb559f98fc4b895c3c"),
            ),
            line(
                "enc -provider tpm2 -aes-128-cbc -e -K 000102030405060708090a0b0c0d0e0f -iv 000102030405060708090a0b0c0d0e0f -in testdata -out data.enc",
                Same(
                    "data.enc",
                    "enc -aes-128-cbc -e -K 000102030405060708090a0b0c0d0e0f -iv 000102030405060708090a0b0c0d0e0f -in testdata -out other.enc",
                    "other.enc",
                ),
            )
            .nothing(Write(
                "enc -provider default -aes-128-cbc -e -K 000102030405060708090a0b0c0d0e0f -iv 000102030405060708090a0b0c0d0e0f -in testdata -out data.enc",
                "there are no ciphers here, and `default` is faster",
            )),
        ],
    },
];
