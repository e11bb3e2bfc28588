//! Key files as somebody else would write them: DER by hand, and the bodies of policies by the draft's text.

use std::fs;

use testkit::bench::Bench;

/// A policy command: its code and its body.
pub(super) type Command = (u32, Vec<u8>);

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..128 => out.push(length as u8),
        length @ 128..256 => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

fn number(value: u32) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    while bytes.len() > 1 && bytes[0] == 0 && bytes[1] < 128 {
        bytes.remove(0);
    }
    if bytes[0] >= 128 {
        bytes.insert(0, 0);
    }
    der(2, &bytes)
}

fn policy(commands: &[Command]) -> Vec<u8> {
    let each = commands.iter().flat_map(|(code, body)| {
        let code = der(0xa0, &number(*code));
        let body = der(0xa1, &der(4, body));
        der(0x30, &[code, body].concat())
    });
    der(0x30, &each.collect::<Vec<u8>>())
}

/// A key file in the making.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) empty_auth: bool,
    pub(super) policy: Vec<Command>,
    pub(super) signed: Vec<(Option<String>, Vec<Command>)>,
    /// Field 6: the alternatives of each PolicyOR.
    pub(super) branches: Vec<Vec<Vec<Command>>>,
    /// What comes behind field 6.
    pub(super) more: Vec<u8>,
}

impl File {
    pub(super) fn of(policy: Vec<Command>) -> Self {
        Self {
            empty_auth: true,
            policy,
            ..Self::default()
        }
    }

    pub(super) fn with_pin(policy: Vec<Command>) -> Self {
        Self {
            empty_auth: false,
            ..Self::of(policy)
        }
    }

    /// Writes `NAME.pem` from `NAME.u` and `NAME.r`, the halves as tpm2_create writes them.
    pub(super) fn write(&self, bench: &Bench, name: &str) {
        let dir = bench.openssl.dir();
        let mut fields = der(6, &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x03]);
        if self.empty_auth {
            fields.extend(der(0xa0, &der(1, &[0xff])));
        }
        if !self.policy.is_empty() {
            fields.extend(der(0xa1, &policy(&self.policy)));
        }
        if !self.signed.is_empty() {
            let entries = self.signed.iter().flat_map(|(name, commands)| {
                let name = name
                    .as_ref()
                    .map(|name| der(0xa0, &der(12, name.as_bytes())));
                let commands = der(0xa1, &policy(commands));
                der(0x30, &[name.unwrap_or_default(), commands].concat())
            });
            fields.extend(der(0xa3, &der(0x30, &entries.collect::<Vec<u8>>())));
        }
        if !self.branches.is_empty() {
            let each = self.branches.iter().flat_map(|branches| {
                let branches = branches.iter().flat_map(|branch| policy(branch));
                der(0x30, &branches.collect::<Vec<u8>>())
            });
            fields.extend(der(0xa6, &der(0x30, &each.collect::<Vec<u8>>())));
        }
        fields.extend(&self.more);
        fields.extend(number(0x8100_0001));
        fields.extend(der(4, &dir.read(&format!("{name}.u"))));
        fields.extend(der(4, &dir.read(&format!("{name}.r"))));
        let file = dir.write("key.der", der(0x30, &fields));
        let base64 = std::process::Command::new("base64")
            .arg(&file)
            .output()
            .expect("base64")
            .stdout;
        let text = String::from_utf8(base64).expect("base64");
        let pem =
            format!("-----BEGIN TSS2 PRIVATE KEY-----\n{text}-----END TSS2 PRIVATE KEY-----\n");
        fs::write(dir.join(&format!("{name}.pem")), pem).expect("a key file");
    }
}

pub(super) fn tpm2b(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

/// `TPML_PCR_SELECTION` of one bank.
pub(super) fn selection(bank: u16, registers: &[u8]) -> Vec<u8> {
    let mut bits = [0u8; 3];
    for register in registers {
        bits[usize::from(register / 8)] |= 1 << (register % 8);
    }
    let mut out = vec![0, 0, 0, 1];
    out.extend(bank.to_be_bytes());
    out.push(3);
    out.extend(bits);
    out
}

pub(super) const SHA256: u16 = 0x0b;

pub(super) fn pcr(registers: &[u8], digest: &[u8]) -> Command {
    (
        0x17f,
        [selection(SHA256, registers), digest.to_vec()].concat(),
    )
}

pub(super) fn auth_value() -> Command {
    (0x16b, Vec::new())
}
