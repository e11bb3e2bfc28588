//! Policies in key files: `policy`, `authPolicy` and our own `branches`.
#![forbid(unsafe_code)]

use tss::tpm2::policy::{AuthorizedPolicy, PolicyCommand};
use tss::tpm2::{Policy, wire::Malformed};

use super::body::{self, Unreadable};
use crate::Error;
use crate::tss2::{self, KeyFile, PolicyFields};

/// Commands that are read in one file: real ones have a few.
const MOST_COMMANDS: usize = 1024;
/// Signed policies in one file.
const MOST_AUTHORIZED: usize = 128;
/// How deep alternatives may be inside each other.
const DEEPEST: usize = 8;

/// The policy of a key file; an empty one if it has none.
///
/// # Errors
///
/// A command that this version does not run, or whose body is not as its form says, by its place in the file; signed
/// policies that are not as the draft wants them.
pub fn of_file(file: &KeyFile) -> Result<Policy, Error> {
    of_fields(&PolicyFields::from(file))
}

/// The policy in these fields; see [`of_file`]. A policy without commands may be signed policies alone, which are for a
/// key's.
pub(super) fn of_fields(file: &PolicyFields) -> Result<Policy, Error> {
    let mut reading = Reading {
        branches: file.branches.iter(),
        left: MOST_COMMANDS,
    };
    if file.auth_policies.len() > MOST_AUTHORIZED {
        return Err(unusable(
            "authPolicy",
            &format!(
                "there are {} signed policies, and {MOST_AUTHORIZED} is the most that is taken: `tpmctl policy remove` \
                 takes old ones away",
                file.auth_policies.len()
            ),
        ));
    }
    let commands = reading.commands(&file.policy, "policy", 0)?;
    let authorized = file
        .auth_policies
        .iter()
        .enumerate()
        .map(|(number, entry)| {
            let place = format!("authPolicy[{number}].policy");
            let commands = reading.commands(&entry.policy, &place, 0)?;
            match commands.split_last() {
                Some((
                    PolicyCommand::Authorize {
                        signature: Some(_), ..
                    },
                    before,
                )) => refuse_unsigned(before, &place)?,
                _ => {
                    return Err(unusable(
                        &place,
                        "a signed policy ends with PolicyAuthorize and its signature",
                    ));
                }
            }
            Ok(AuthorizedPolicy {
                name: entry.name.clone(),
                commands,
            })
        });
    let authorized = authorized.collect::<Result<Vec<_>, Error>>()?;
    if reading.branches.next().is_some() {
        return Err(unusable(
            "branches",
            "there are alternatives without a PolicyOR",
        ));
    }
    let rest = match commands.split_first() {
        Some((
            PolicyCommand::Authorize {
                signature: None, ..
            },
            rest,
        )) => rest,
        _ if !authorized.is_empty() && !commands.is_empty() => {
            return Err(unusable(
                "authPolicy",
                "there are signed policies, and the key's policy does not begin with PolicyAuthorize",
            ));
        }
        _ => &commands,
    };
    refuse_unsigned(rest, "policy")?;
    Ok(Policy {
        commands,
        authorized,
    })
}

/// Puts a policy into a key file, in the place of the one that it has.
///
/// # Errors
///
/// A part that is too long for its size field.
pub fn into_file(policy: &Policy, file: &mut KeyFile) -> Result<(), Malformed> {
    let fields = fields_of(policy)?;
    file.policy = fields.policy;
    file.auth_policies = fields.auth_policies;
    file.branches = fields.branches;
    Ok(())
}

/// A policy as the fields of a file; see [`into_file`].
pub(super) fn fields_of(policy: &Policy) -> Result<PolicyFields, Malformed> {
    let mut branches = Vec::new();
    let commands = written(&policy.commands, &mut branches)?;
    let auth_policies = policy
        .authorized
        .iter()
        .map(|entry| {
            Ok(tss2::AuthPolicy {
                name: entry.name.clone(),
                policy: written(&entry.commands, &mut branches)?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    // Other programs refuse a file for this field: it is there only where it says something.
    if branches.iter().all(Vec::is_empty) {
        branches.clear();
    }
    Ok(PolicyFields {
        policy: commands,
        auth_policies,
        branches,
    })
}

fn written(
    commands: &[PolicyCommand],
    all: &mut Vec<Vec<Vec<tss2::PolicyCommand>>>,
) -> Result<Vec<tss2::PolicyCommand>, Malformed> {
    let mut list = Vec::new();
    for command in commands {
        list.push(body::write(command)?);
        if let PolicyCommand::Or { branches, .. } = command {
            let place = all.len();
            all.push(Vec::new());
            for branch in branches {
                let branch = written(branch, all)?;
                if let Some(own) = all.get_mut(place) {
                    own.push(branch);
                }
            }
        }
    }
    Ok(list)
}

struct Reading<'a> {
    branches: std::slice::Iter<'a, Vec<Vec<tss2::PolicyCommand>>>,
    left: usize,
}

impl Reading<'_> {
    fn commands(
        &mut self,
        list: &[tss2::PolicyCommand],
        place: &str,
        depth: usize,
    ) -> Result<Vec<PolicyCommand>, Error> {
        let mut commands = Vec::new();
        for (number, raw) in list.iter().enumerate() {
            let place = format!("{place}[{number}]");
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                unusable(
                    &place,
                    &format!("there are more than {MOST_COMMANDS} commands"),
                )
            })?;
            let mut command = body::read(raw).map_err(|problem| refusal(&place, raw, &problem))?;
            if let PolicyCommand::Or { branches, digests } = &mut command {
                if depth == DEEPEST {
                    return Err(unusable(
                        &place,
                        "alternatives are too deep inside each other",
                    ));
                }
                // A file without them can hold if what comes before is one of the alternatives.
                if let Some(of_this) = self.branches.next() {
                    if of_this.len() > digests.len() {
                        return Err(unusable(&place, "there are more alternatives than digests"));
                    }
                    for (number, branch) in of_this.iter().enumerate() {
                        let place = format!("{place}.branch[{number}]");
                        branches.push(self.commands(branch, &place, depth + 1)?);
                    }
                }
            }
            commands.push(command);
        }
        Ok(commands)
    }
}

/// A PolicyAuthorize without signature says "one of the signed policies", which the draft allows at the start only.
fn refuse_unsigned(commands: &[PolicyCommand], place: &str) -> Result<(), Error> {
    match commands.iter().any(has_unsigned) {
        true => Err(unusable(
            place,
            "a PolicyAuthorize without a signature is the first command of a policy, or none",
        )),
        false => Ok(()),
    }
}

fn has_unsigned(command: &PolicyCommand) -> bool {
    match command {
        PolicyCommand::Authorize { signature, .. } => signature.is_none(),
        PolicyCommand::Or { branches, .. } => branches.iter().flatten().any(has_unsigned),
        _ => false,
    }
}

fn refusal(place: &str, raw: &tss2::PolicyCommand, problem: &Unreadable) -> Error {
    let (name, code) = (raw.name(), raw.code);
    match problem {
        Unreadable::Unknown => unusable(
            place,
            &format!("this version does not execute {name} (0x{code:x})"),
        ),
        Unreadable::Malformed => unusable(
            place,
            &format!(
                "the body of {name} ({} bytes) is not as its form says; the file is damaged, or another program has a \
                 form of its own",
                raw.body.len()
            ),
        ),
        Unreadable::Useless(why) => unusable(place, &format!("{name} is of no use: {why}")),
    }
}

fn unusable(place: &str, what: &str) -> Error {
    Error::Unsupported(format!(
        "the key's policy cannot be executed ({place}): {what}"
    ))
}
