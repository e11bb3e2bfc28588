//! Layer 13: whether the provider can use its settings, and what those that are set cost in safety.

use std::ffi::CStr;

use keys::config::{Fault, MISTAKES, SETTINGS, not_a_setting};
use tss::transport::Origin;

use super::address::sentence;
use super::verdict::Finding;
use crate::cnf::{Found, Section};
use crate::display::shell_word;
use crate::settings;

/// What OpenSSL itself reads in a provider's section.
const OPENSSL_S: [&str; 4] = ["activate", "identity", "module", "soft_load"];

/// Settings that give something up, and what.
const RISKS: [(&str, &str, &str); 3] = [
    (
        "sessions",
        "never",
        "Authorization values and decrypted data cross the bus in clear, and whoever is between this machine and its \
         TPM can answer in its place.",
    ),
    (
        "verify",
        "off",
        "A wrong signature of a faulty TPM is handed out; some wrong RSA signatures tell the private key.",
    ),
    (
        "chroot",
        "directory",
        "Whoever runs code in a program that has changed its root directory can get out of it, as the program's user.",
    ),
];

/// Finding 13; `faults` are those of the settings themselves.
pub(super) fn finding(found: &Found, faults: &[Fault]) -> Finding {
    if found.problem.is_some() {
        return Finding::not_checked("OpenSSL does not read the file that they are in (layer 12).");
    }
    let names = found.section.iter().flat_map(unknown);
    let (resembling, strange): (Vec<Unknown<'_>>, Vec<Unknown<'_>>) =
        names.partition(|unknown| unknown.meant.is_some());
    let resembling = resembling
        .iter()
        .filter_map(|unknown| Some(not_a_setting(unknown.name, unknown.meant?)));
    let problems: Vec<String> = faults
        .iter()
        .map(Fault::to_string)
        .chain(resembling)
        .map(|text| match text.starts_with("the ") {
            true => sentence(&text),
            // A name stays as it is written.
            false => text + ".",
        })
        .collect();
    let finding = if !problems.is_empty() {
        Finding::problem(problems.join(" ")).why(match faults.is_empty() {
            true => "It is ignored, and the setting that is meant has its default.",
            false => {
                "The first TPM key of every program is refused, with the first of these errors."
            }
        })
    } else if let Some(unknown) = strange.first() {
        Finding::warning(format!(
            "The provider's openssl.cnf section has {:?}, which is not a setting and is ignored.",
            unknown.name
        ))
        .why("tpm-provider(7) has the list of settings.")
    } else {
        return judge(found);
    };
    match &found.file {
        Some(file) => finding.command(format!(
            "editor {}",
            shell_word(&file.display().to_string())
        )),
        None => finding.command("env | grep ^TPM"),
    }
}

/// Settings that can be used.
fn judge(found: &Found) -> Finding {
    let mut set = settings::set(found);
    // The address has a layer of its own.
    set.retain(|(setting, ..)| ![c"tcti", c"tcti12"].contains(&setting.key));
    let risk = set.iter().find_map(|(setting, value, _)| {
        let is_meant = |(name, risky, _): &&(&str, &str, &str)| {
            setting.name() == *name && value.trim() == *risky
        };
        RISKS.iter().find(is_meant)
    });
    if let Some((name, value, why)) = risk {
        return Finding::warning(format!("{name} = {value} gives protection up.")).why(*why);
    }
    if set.is_empty() {
        return Finding::ok("Nothing besides the address is set.");
    }
    let names: Vec<&str> = set
        .iter()
        .map(|(setting, _, origin)| match origin {
            Origin::Environment(name) => name,
            _ => setting.name(),
        })
        .collect();
    Finding::ok(format!("In order; set are {}.", names.join(", ")))
}

/// A name in the section that is none of ours.
struct Unknown<'a> {
    name: &'a str,
    /// The setting that it resembles.
    meant: Option<&'static str>,
}

fn unknown(section: &Section) -> impl Iterator<Item = Unknown<'_>> {
    // The provider itself notices some mistakes.
    let known = |name: &&str| {
        let is = |key: &CStr| key.to_bytes() == name.as_bytes();
        OPENSSL_S.contains(name)
            || SETTINGS
                .iter()
                .any(|setting| !setting.of_pkcs11 && is(setting.key))
            || MISTAKES.iter().any(|(mistake, _)| is(mistake))
    };
    section
        .names()
        .filter(move |name| !known(name))
        .map(|name| Unknown {
            name,
            meant: resembled(name),
        })
}

/// The setting whose name is the same but for its case, its separators and a letter or two.
fn resembled(name: &str) -> Option<&'static str> {
    let bare = |name: &str| -> String {
        let letters = name.chars().filter(|letter| letter.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let name = bare(name);
    let distance = |setting: &str| strsim::damerau_levenshtein(&name, &bare(setting));
    SETTINGS
        .iter()
        .map(|setting| (distance(setting.name()), setting.name()))
        // Short names are all near each other.
        .filter(|(distance, setting)| *distance <= setting.len() / 4)
        .min()
        .map(|(_, setting)| setting)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;

    fn found(lines: impl Into<Section>) -> Found {
        Found {
            file: Some("/etc/ssl/openssl.cnf".into()),
            section: Some(lines.into()),
            ..Found::default()
        }
    }

    #[test]
    fn names_that_resemble_a_setting_are_known() {
        for (name, meant) in [
            ("time-out", Some("timeout")),
            ("Parent-Name", Some("parent-name")),
            ("sesions", Some("sessions")),
            ("verfiy", Some("verify")),
            ("lock_timeout", Some("lock-timeout")),
            ("TCTI", Some("tcti")),
            ("description", None),
            ("x", None),
        ] {
            assert_eq!(resembled(name), meant, "{name}");
        }
    }

    #[test]
    fn names_and_risks_are_judged() {
        let verdict = |lines: Section| finding(&found(lines), &[]).verdict;
        assert_eq!(verdict([("activate", "1")].into()), Verdict::Ok);
        assert_eq!(verdict([("sesions", "auto")].into()), Verdict::Problem);
        assert_eq!(verdict([("comment", "x")].into()), Verdict::Warning);
        for (name, value, _) in RISKS {
            assert_eq!(verdict([(name, value)].into()), Verdict::Warning, "{name}");
        }
    }
}
