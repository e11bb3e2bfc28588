//! Policies in words, for command lines, URIs and `-pkeyopt`.
//!
//! ```text
//! POLICY := TERM ("+" TERM)*
//! TERM   := ["pcr:"] [BANK ":"] REGISTERS ["=" DIGEST]     sha256:0,7   pcr:1,3-5   sha256:0,7+sha1:4
//!         | "pin"                                          the key's authorization value
//!         | "locality:" N ("," N)*                         locality:0,3
//!         | "command:" ("sign" | "decrypt" | "agree" | "unseal")
//!         | "counter:" PART OP NUMBER                      counter:resets=5   counter:clock<3600000
//!         | "nv:" HANDLE ["@" OFFSET] OP HEX               nv:0x01500001>=05
//!         | "secret:" ENTITY ["," "ref=" HEX]              secret:owner   secret:0x81000002
//!         | "signed:" PATH ["," "ref=" HEX]                signed policies of this public key
//!         | "or(" POLICY ("|" POLICY)+ ")"
//!         | "file:" PATH                                   a policy file
//! ```
//!
//! Registers next to each other are one TPM2_PolicyPCR with several banks, as tpm2-tools write it. Without a digest
//! they stand for the values of the moment.
#![forbid(unsafe_code)]

use std::ops::RangeInclusive;

use tss::tpm2::constants::handle;
use tss::tpm2::policy::{Comparison, Operand, PcrSelection, PolicyCommand, digest_of};
use tss::tpm2::{AlgId, CommandCode, Entity, Policy, Public};

use crate::Error;
use crate::uri::parse_handle;

/// What words refer to and do not hold themselves.
pub trait Lookup {
    /// An object or an NV index with its name.
    fn entity(&self, handle: u32) -> Result<Entity, Error>;
    /// The public key in a file, as a TPM knows it.
    fn signer(&self, path: &str) -> Result<Public, Error>;
    /// The policy in a file.
    fn file(&self, path: &str) -> Result<Policy, Error>;
}

/// How deep alternatives may be inside each other.
const DEEPEST: usize = 8;
/// The banks that have names, by their algorithms.
const BANKS: [(&str, AlgId); 7] = [
    ("sha1", AlgId::SHA1),
    ("sha256", AlgId::SHA256),
    ("sha384", AlgId::SHA384),
    ("sha512", AlgId::SHA512),
    ("sha3_256", AlgId::SHA3_256),
    ("sha3_384", AlgId::SHA3_384),
    ("sha3_512", AlgId::SHA3_512),
];
/// `TPMS_TIME_INFO` (Part 2, 10.11.6): where its parts are and how many octets they have.
const PARTS: [(&str, u16, usize); 5] = [
    ("time", 0, 8),
    ("clock", 8, 8),
    ("resets", 16, 4),
    ("restarts", 20, 4),
    ("safe", 24, 1),
];
/// How comparisons are written; the longer signs first, since a shorter one may be their beginning.
const SIGNS: [(&str, &str); 6] = [
    ("!=", "neq"),
    ("<=", "ule"),
    (">=", "uge"),
    ("=", "eq"),
    ("<", "ult"),
    (">", "ugt"),
];
/// Others, by their names with a colon before and behind: `nv:0x01500001:bitset:01`.
const NAMED: [&str; 6] = ["sgt", "slt", "sge", "sle", "bitset", "bitclear"];
const COMMANDS: [(&str, CommandCode); 4] = [
    ("sign", CommandCode::SIGN),
    ("decrypt", CommandCode::RSA_DECRYPT),
    ("agree", CommandCode::ECDH_ZGEN),
    ("unseal", CommandCode::UNSEAL),
];
const HIERARCHIES: [(&str, u32); 4] = [
    ("owner", handle::OWNER),
    ("endorsement", handle::ENDORSEMENT),
    ("platform", handle::PLATFORM),
    ("lockout", handle::LOCKOUT),
];

/// Reads a policy. The digests of alternatives are left out until the values of registers are known: see [`completed`].
///
/// # Errors
///
/// Words that are none, by the term that is wrong; what `lookup` says.
pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Policy, Error> {
    let mut parser = Parser {
        lookup,
        signed: None,
    };
    let commands = parser.policy(text, 0)?;
    let mut policy = Policy::new(commands);
    if let Some(signed) = parser.signed {
        policy.authorized = signed.authorized;
    }
    Ok(policy)
}

struct Parser<'a> {
    lookup: &'a dyn Lookup,
    /// The policy of a file that has signed policies.
    signed: Option<Policy>,
}

impl Parser<'_> {
    fn policy(&mut self, text: &str, depth: usize) -> Result<Vec<PolicyCommand>, Error> {
        if depth > DEEPEST {
            return Err(wrong(text, "alternatives are too deep inside each other"));
        }
        let mut commands: Vec<PolicyCommand> = Vec::new();
        for term in split(text, '+')? {
            let more = self.term(term, depth, commands.is_empty())?;
            for command in more {
                match (commands.last_mut(), command) {
                    (
                        Some(PolicyCommand::Pcr {
                            registers,
                            digest: None,
                        }),
                        PolicyCommand::Pcr {
                            registers: more,
                            digest: None,
                        },
                    ) => registers.extend(more),
                    (_, command) => commands.push(command),
                }
            }
        }
        Ok(commands)
    }

    fn term(&mut self, term: &str, depth: usize, first: bool) -> Result<Vec<PolicyCommand>, Error> {
        let (kind, rest) = term.split_once(':').unwrap_or((term, ""));
        let one = match kind {
            "pin" if term == "pin" => PolicyCommand::AuthValue,
            "locality" => localities(term, rest)?,
            "command" => {
                let code = COMMANDS.iter().find(|(name, _)| *name == rest);
                let (_, code) =
                    code.ok_or_else(|| wrong(term, "expected sign, decrypt, agree or unseal"))?;
                PolicyCommand::CommandCode(*code)
            }
            "counter" => counter(term, rest)?,
            "nv" => self.nv(term, rest)?,
            "secret" => {
                let (entity, policy_ref) = reference(term, rest)?;
                let named = HIERARCHIES.iter().find(|(name, _)| *name == entity);
                PolicyCommand::Secret {
                    entity: match named {
                        Some((_, handle)) => Entity::permanent(*handle),
                        None => self.lookup.entity(parse_handle(entity).ok_or_else(|| {
                            wrong(
                                term,
                                "expected owner, endorsement, platform, lockout or a handle",
                            )
                        })?)?,
                    },
                    policy_ref,
                }
            }
            "signed" => {
                if !(first && depth == 0) {
                    return Err(wrong(term, "signed policies are the first term, or none"));
                }
                let (path, policy_ref) = reference(term, rest)?;
                PolicyCommand::Authorize {
                    key: self.lookup.signer(path)?,
                    policy_ref,
                    signature: None,
                }
            }
            "file" => return self.file(term, rest, depth, first),
            _ if term.starts_with("or(") => self.alternatives(term, depth)?,
            _ => registers(term)?,
        };
        Ok(vec![one])
    }

    fn file(
        &mut self,
        term: &str,
        path: &str,
        depth: usize,
        first: bool,
    ) -> Result<Vec<PolicyCommand>, Error> {
        let policy = self.lookup.file(path)?;
        let commands = policy.commands.clone();
        let is_signed = matches!(
            commands.first(),
            Some(PolicyCommand::Authorize {
                signature: None,
                ..
            })
        );
        if is_signed && !(first && depth == 0) {
            return Err(wrong(
                term,
                "a file with signed policies is the first term, or none",
            ));
        }
        if !policy.authorized.is_empty() {
            self.signed = Some(policy);
        }
        Ok(commands)
    }

    fn alternatives(&mut self, term: &str, depth: usize) -> Result<PolicyCommand, Error> {
        let inner = term
            .strip_prefix("or(")
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| wrong(term, "expected or(POLICY|POLICY)"))?;
        let branches = split(inner, '|')?
            .into_iter()
            .map(|branch| self.policy(branch, depth + 1))
            .collect::<Result<Vec<_>, _>>()?;
        if !(2..=8).contains(&branches.len()) {
            return Err(wrong(term, "a TPM takes two to eight alternatives"));
        }
        Ok(PolicyCommand::Or {
            digests: Vec::new(),
            branches,
        })
    }

    fn nv(&mut self, term: &str, rest: &str) -> Result<PolicyCommand, Error> {
        let (place, comparison, value) = comparison(term, rest)?;
        let (index, offset) = place.split_once('@').unwrap_or((place, "0"));
        let index = parse_handle(index).filter(|index| handle::kind(*index) == 1);
        let index = index.ok_or_else(|| wrong(term, "expected nv:0x01......[@OFFSET]=HEX"))?;
        let offset = offset
            .parse()
            .map_err(|_| wrong(term, "the offset is no number of bytes"))?;
        Ok(PolicyCommand::Nv {
            authority: None,
            index: self.lookup.entity(index)?,
            operand: Operand {
                value: octets_of(term, value)?,
                offset,
                comparison,
            },
        })
    }
}

/// Splits at a sign that is in no parentheses.
fn split(text: &str, at: char) -> Result<Vec<&str>, Error> {
    let (mut depth, mut from, mut parts) = (0usize, 0, Vec::new());
    for (place, sign) in text.char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| wrong(text, "there is a ) too many"))?;
            }
            sign if sign == at && depth == 0 => {
                parts.push(text.get(from..place).unwrap_or_default());
                from = place + sign.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(wrong(text, "there is a ) missing"));
    }
    parts.push(text.get(from..).unwrap_or_default());
    match parts.iter().any(|part| part.is_empty()) {
        true => Err(wrong(text, "a term is empty")),
        false => Ok(parts),
    }
}

fn registers(term: &str) -> Result<PolicyCommand, Error> {
    let (selected, digest) = term
        .split_once('=')
        .map_or((term, None), |(selected, digest)| (selected, Some(digest)));
    let selected = selected.strip_prefix("pcr:").unwrap_or(selected);
    let selection = selection(selected).ok_or_else(|| {
        wrong(
            term,
            "expected registers such as sha256:0,7 (banks sha1, sha256, sha384, sha512, sha3_256 ...; registers 0 to \
             23), or pin, locality:, command:, counter:, nv:, secret:, signed:, or(...), file:",
        )
    })?;
    let digest = digest.map(|digest| octets_of(term, digest)).transpose()?;
    if digest
        .as_ref()
        .is_some_and(|digest| !matches!(digest.len(), 20 | 32 | 48 | 64))
    {
        return Err(wrong(term, "behind = is no digest"));
    }
    Ok(PolicyCommand::Pcr {
        registers: vec![selection],
        digest,
    })
}

/// Reads registers of a bank, `sha256:0,3-5`; the bank is sha256 where none is named.
pub fn selection(text: &str) -> Option<PcrSelection> {
    let (bank, list) = text.split_once(':').unwrap_or(("sha256", text));
    let bank = bank.to_ascii_lowercase();
    let (_, bank) = BANKS.iter().find(|(name, _)| *name == bank)?;
    let mut registers = Vec::new();
    for part in list.split(',') {
        registers.extend(range(part)?);
    }
    PcrSelection::new(*bank, &registers)
}

fn range(text: &str) -> Option<RangeInclusive<u8>> {
    let number = |text: &str| {
        let digits = text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse::<u8>()
            .ok()
            .filter(|number| digits && *number < 24)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

/// `TPMA_LOCALITY` (Part 2, 8.5): a bit for each of 0 to 4, and a number of its own for each from 32.
fn localities(term: &str, list: &str) -> Result<PolicyCommand, Error> {
    let numbers: Option<Vec<u8>> = list.split(',').map(|number| number.parse().ok()).collect();
    let bits = match numbers.as_deref() {
        Some([extended @ 32..=255]) => Some(*extended),
        Some(numbers) => numbers.iter().try_fold(0u8, |bits, number| {
            (*number < 5).then(|| bits | 1 << number)
        }),
        None => None,
    };
    bits.map(PolicyCommand::Locality)
        .ok_or_else(|| wrong(term, "expected localities 0 to 4, or one from 32 to 255"))
}

fn counter(term: &str, rest: &str) -> Result<PolicyCommand, Error> {
    let (part, comparison, number) = comparison(term, rest)?;
    let known = PARTS.iter().find(|(name, ..)| *name == part);
    let (_, offset, size) =
        known.ok_or_else(|| wrong(term, "expected time, clock, resets, restarts or safe"))?;
    let number: u64 = number
        .parse()
        .map_err(|_| wrong(term, "behind the comparison is no number"))?;
    let bytes = number.to_be_bytes();
    let (zeros, value) = bytes.split_at(bytes.len() - size);
    if zeros.iter().any(|octet| *octet != 0) {
        return Err(wrong(
            term,
            "the number is larger than what it is compared with",
        ));
    }
    Ok(PolicyCommand::CounterTimer(Operand {
        value: value.to_vec(),
        offset: *offset,
        comparison,
    }))
}

/// What is compared, how, and with what.
fn comparison<'a>(term: &str, text: &'a str) -> Result<(&'a str, Comparison, &'a str), Error> {
    let named = NAMED.iter().find_map(|name| {
        let (left, right) = text.split_once(&format!(":{name}:"))?;
        Some((left, *name, right))
    });
    let found = named.or_else(|| {
        let place = text.find(['=', '<', '>', '!'])?;
        let (left, rest) = text.split_at_checked(place)?;
        let (sign, name) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        Some((left, *name, rest.get(sign.len()..)?))
    });
    found
        .and_then(|(left, name, right)| Some((left, Comparison::from_name(name)?, right)))
        .ok_or_else(|| {
            wrong(
                term,
                "expected a comparison: = != < <= > >=, or :bitset: :bitclear: :sgt: :slt: :sge: :sle:",
            )
        })
}

/// What comes before `,ref=HEX`, and the reference.
fn reference<'a>(term: &str, rest: &'a str) -> Result<(&'a str, Vec<u8>), Error> {
    let (what, policy_ref) = match rest.rsplit_once(",ref=") {
        Some((what, digits)) => (what, octets_of(term, digits)?),
        None => (rest, Vec::new()),
    };
    match what.is_empty() {
        true => Err(wrong(term, "something is missing behind the colon")),
        false => Ok((what, policy_ref)),
    }
}

fn octets_of(term: &str, digits: &str) -> Result<Vec<u8>, Error> {
    hex::decode(digits)
        .ok()
        .filter(|octets| !octets.is_empty())
        .ok_or_else(|| wrong(term, "expected hexadecimal digits, two for each byte"))
}

/// The octets that hexadecimal digits are for.
///
/// # Errors
///
/// None, or what are no pairs of digits.
pub fn octets(digits: &str) -> Result<Vec<u8>, Error> {
    octets_of(digits, digits)
}

fn wrong(term: &str, what: &str) -> Error {
    Error::Setting(format!("policy {term:?}: {what}"))
}

/// The same policy with the digests of its alternatives, for an object whose name has this algorithm. The values of
/// registers must be known.
pub fn completed(policy: &Policy, algorithm: AlgId) -> Result<Policy, Error> {
    Ok(Policy {
        commands: complete(&[], &policy.commands, algorithm)?,
        authorized: policy.authorized.clone(),
    })
}

/// `commands` behind `before`.
fn complete(
    before: &[PolicyCommand],
    commands: &[PolicyCommand],
    algorithm: AlgId,
) -> Result<Vec<PolicyCommand>, Error> {
    let mut whole = before.to_vec();
    for command in commands {
        let command = match command {
            PolicyCommand::Or { digests, branches } if digests.is_empty() => {
                let branches = branches
                    .iter()
                    .map(|branch| complete(&whole, branch, algorithm))
                    .collect::<Result<Vec<_>, Error>>()?;
                let digest = |branch: &Vec<PolicyCommand>| {
                    let whole = [&whole[..], branch].concat();
                    digest_of(&whole, algorithm)?.ok_or_else(|| {
                        Error::Setting(
                            "alternatives need the values of their registers: say them (sha256:0,7=DIGEST)".into(),
                        )
                    })
                };
                PolicyCommand::Or {
                    digests: branches.iter().map(digest).collect::<Result<_, _>>()?,
                    branches,
                }
            }
            command => command.clone(),
        };
        whole.push(command);
    }
    Ok(whole.split_off(before.len()))
}

/// A policy in the words that [`parse`] takes, as far as it has any: a signature is `...`, and what is loaded from a file
/// is named by what it is.
pub fn display(commands: &[PolicyCommand]) -> String {
    let terms: Vec<String> = commands.iter().map(term).collect();
    terms.join("+")
}

fn term(command: &PolicyCommand) -> String {
    match command {
        PolicyCommand::Pcr { registers, digest } => {
            let mut text = PcrSelection::list(registers);
            if let Some(digest) = digest {
                text.push('=');
                text.push_str(&hex::encode(digest));
            }
            text
        }
        PolicyCommand::AuthValue | PolicyCommand::Password => "pin".into(),
        PolicyCommand::Secret { entity, policy_ref } => {
            let named = HIERARCHIES
                .iter()
                .find(|(_, handle)| *entity == Entity::permanent(*handle));
            let what = named.map_or_else(
                || format!("0x{:08x}", entity.handle),
                |(name, _)| (*name).to_owned(),
            );
            format!("secret:{what}{}", suffix(policy_ref))
        }
        PolicyCommand::Signed { policy_ref, .. } => {
            format!("signature{}", suffix(policy_ref))
        }
        PolicyCommand::Authorize {
            key, policy_ref, ..
        } => {
            let name = key.name().map(|name| name.to_string());
            format!("signed:{}{}", name.unwrap_or_default(), suffix(policy_ref))
        }
        PolicyCommand::Locality(bits) => {
            let numbers: Vec<String> = match bits {
                32.. => vec![bits.to_string()],
                bits => (0..5)
                    .filter(|number| bits & 1 << number != 0)
                    .map(|number: u8| number.to_string())
                    .collect(),
            };
            format!("locality:{}", numbers.join(","))
        }
        PolicyCommand::CounterTimer(operand) => {
            let known = PARTS.iter().find(|(_, offset, size)| {
                *offset == operand.offset && *size == operand.value.len()
            });
            let number = operand
                .value
                .iter()
                .fold(0u64, |number, octet| number << 8 | u64::from(*octet));
            match known {
                Some((part, ..)) => format!("counter:{part}{}{number}", sign(operand.comparison)),
                None => format!(
                    "counter:@{}{}{}",
                    operand.offset,
                    sign(operand.comparison),
                    hex::encode(&operand.value)
                ),
            }
        }
        PolicyCommand::Nv { index, operand, .. } => {
            let offset = match operand.offset {
                0 => String::new(),
                offset => format!("@{offset}"),
            };
            format!(
                "nv:0x{:08x}{offset}{}{}",
                index.handle,
                sign(operand.comparison),
                hex::encode(&operand.value)
            )
        }
        PolicyCommand::CommandCode(code) => {
            let known = COMMANDS.iter().find(|(_, known)| known == code);
            format!(
                "command:{}",
                known.map_or_else(|| code.to_string(), |(name, _)| (*name).to_owned())
            )
        }
        PolicyCommand::Or { branches, .. } => {
            let branches: Vec<String> = branches.iter().map(|branch| display(branch)).collect();
            format!("or({})", branches.join("|"))
        }
    }
}

fn sign(comparison: Comparison) -> String {
    let name = comparison.to_string();
    let known = SIGNS.iter().find(|(_, known)| *known == name);
    known.map_or_else(|| format!(":{name}:"), |(sign, _)| (*sign).to_owned())
}

fn suffix(policy_ref: &[u8]) -> String {
    match policy_ref {
        [] => String::new(),
        policy_ref => format!(",ref={}", hex::encode(policy_ref)),
    }
}

#[cfg(test)]
mod tests {
    use tss::tpm2::Name;

    use super::*;

    struct World;

    impl Lookup for World {
        fn entity(&self, handle: u32) -> Result<Entity, Error> {
            Ok(Entity::object(handle, Name::from_bytes(&[7; 34])))
        }

        fn signer(&self, _: &str) -> Result<Public, Error> {
            Ok(Public::ecc_primary()?)
        }

        fn file(&self, path: &str) -> Result<Policy, Error> {
            parse(path, self)
        }
    }

    #[test]
    fn words_come_back() {
        let digest = "ab".repeat(32);
        for text in [
            "sha256:0,7",
            "sha256:0,7+sha1:4",
            "sha256:0,1,2,3+pin",
            &format!("sha384:23={digest}+locality:0,4"),
            "locality:32",
            "command:decrypt+counter:resets=5",
            "counter:clock>=3600000",
            "counter:safe!=1",
            "nv:0x01500001@2>=05",
            "nv:0x01500001:bitset:80",
            "secret:owner",
            "secret:0x81000002,ref=c0ffee",
            "or(sha256:0|pin|locality:3+or(command:sign|command:agree|command:unseal))",
        ] {
            let policy = parse(text, &World).unwrap();
            assert_eq!(display(&policy.commands), text);
        }
        for (text, shown) in [
            ("pcr:1,3-5", "sha256:1,3,4,5"),
            ("pcr:sha1:0", "sha1:0"),
            ("7", "sha256:7"),
            ("SHA256:7", "sha256:7"),
            ("file:pin", "pin"),
        ] {
            assert_eq!(display(&parse(text, &World).unwrap().commands), shown);
        }
    }

    #[test]
    fn registers_next_to_each_other_are_one_command() {
        let policy = parse("sha256:0+sha1:4+pin+sha256:1", &World).unwrap();
        let sizes: Vec<usize> = policy
            .commands
            .iter()
            .filter_map(|command| match command {
                PolicyCommand::Pcr { registers, .. } => Some(registers.len()),
                _ => None,
            })
            .collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        for text in [
            "",
            "+",
            "pin+",
            "sha256:",
            "sha256:24",
            "sha256:0,,7",
            "sha256:7-3",
            "sha256:+7",
            "sha999:0",
            "md5:0",
            "sha256:0=abc",
            "sha256:0=abcd",
            "pin:x",
            "locality:5",
            "locality:1,32",
            "locality:",
            "command:certify",
            "counter:resets",
            "counter:resets=x",
            "counter:resets=4294967296",
            "counter:years=1",
            "nv:0x81000001=00",
            "nv:0x01500001",
            "nv:0x01500001=0",
            "secret:",
            "secret:nobody",
            "pin+signed:key.pem",
            "or(pin)",
            "or(pin|",
            "or(pin|pin))",
            "or(pin|signed:key.pem)",
            &format!("or({}|{})", "or(".repeat(9), "pin"),
        ] {
            assert!(parse(text, &World).is_err(), "{text}");
        }
        let nine = ["pin"; 9].join("|");
        assert!(parse(&format!("or({nine})"), &World).is_err());
    }

    /// An alternative's digest is that of everything before it, too.
    #[test]
    fn digests_of_alternatives() {
        let policy = parse("locality:1+or(pin|command:sign)", &World).unwrap();
        let policy = completed(&policy, AlgId::SHA256).unwrap();
        let [locality, PolicyCommand::Or { digests, branches }] = &policy.commands[..] else {
            panic!("{policy:?}")
        };
        for (digest, branch) in digests.iter().zip(branches) {
            let whole = [&[locality.clone()][..], branch].concat();
            assert_eq!(digest_of(&whole, AlgId::SHA256).unwrap().unwrap(), *digest);
        }
        let open = parse("or(sha256:0|pin)", &World).unwrap();
        assert!(completed(&open, AlgId::SHA256).is_err());
    }
}
