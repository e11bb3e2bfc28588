//! Layer 12: whether OpenSSL loads the provider, and in which order.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::address::sentence;
use super::verdict::Finding;
use crate::cnf::{self, Found, Listed};
use crate::display::shell_word;
use crate::settings;

/// What `openssl list -providers` says of one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Provider {
    name: String,
    version: String,
    active: bool,
}

/// Finding 12.
pub(super) fn finding(found: &Found) -> Finding {
    if let Some(problem) = &found.problem {
        let finding = Finding::problem(sentence(&problem.to_string()))
            .why("OpenSSL then reads no configuration at all, and many programs say nothing.");
        return match problem.is_named && !problem.file.exists() {
            true => finding.command("unset OPENSSL_CONF"),
            false => {
                let file = shell_word(&problem.file.display().to_string());
                finding.command(format!("editor {file}"))
            }
        };
    }
    let text = match openssl(&["list", "-providers"]) {
        Ok(text) => text,
        Err(finding) => return *finding,
    };
    judge(found, &providers(&text))
}

fn judge(found: &Found, providers: &[Provider]) -> Finding {
    let file = match &found.file {
        Some(file) => file.display().to_string(),
        None => match cnf::path() {
            Some((path, _)) => path.display().to_string(),
            None => "openssl.cnf".to_owned(),
        },
    };
    let ours = found.providers.iter().position(|listed| listed.ours);
    let name = ours.map_or("tpm", |at| found.providers[at].name.as_str());
    let listed = |name: &str| providers.iter().find(|provider| provider.name == name);
    let Some(provider) = listed(name).filter(|provider| provider.active) else {
        return match ours {
            Some(at) => not_loaded(&found.providers[at], &file),
            None => not_named(found, &file),
        };
    };
    if !listed("default").is_some_and(|provider| provider.active) {
        return Finding::problem(format!(
            "OpenSSL loads the provider {name}, and not its own `default`."
        ))
        .why(format!(
            "Once {file} lists providers, OpenSSL activates no others: there are no digests, no ciphers, no \
             TLS. Name `default` first, as conf/openssl.cnf does."
        ))
        .command(format!("editor {}", shell_word(&file)));
    }
    let default = found
        .providers
        .iter()
        .position(|listed| listed.name == "default");
    if default > ours {
        return Finding::warning(format!(
            "OpenSSL loads the provider {name}, but {file} names it before `default`."
        ))
        .why(
            "Keys that are not in the TPM may then be taken for ours, too, which costs time and some \
             programs' keys. Name `default` first.",
        )
        .command(format!("editor {}", shell_word(&file)));
    }
    if provider.version != env!("CARGO_PKG_VERSION") {
        return Finding::warning(format!(
            "OpenSSL loads the provider {name} of version {}; this tpmctl is of {}.",
            provider.version,
            env!("CARGO_PKG_VERSION")
        ))
        .why("What tpmctl says of keys and TPMs may not be what the provider does. Install both anew.")
        .command("openssl version -m");
    }
    Finding::ok(format!(
        "OpenSSL loads the provider {name}, after `default`, as {file} says."
    ))
}

/// The configuration does not mention us.
fn not_named(found: &Found, file: &str) -> Finding {
    let what = match &found.file {
        Some(_) => format!("{file} names no provider `tpm`."),
        None => format!("There is no {file}."),
    };
    Finding::problem(what)
        .why(
            "Programs then take a TPM key for a file that they cannot read. Copy the sections of the \
             sample, or name it in OPENSSL_CONF for a trial.",
        )
        .command("export OPENSSL_CONF=/usr/local/share/doc/tpm-provider/conf/openssl.cnf")
        .command("openssl list -providers")
}

/// The configuration names us, and nothing comes of it.
fn not_loaded(listed: &Listed, file: &str) -> Finding {
    let name = &listed.name;
    let what = format!("{file} names the provider {name}, and OpenSSL does not load it.");
    let setting = |name: &str| listed.section.as_ref()?.get(name).map(str::to_owned);
    let on = |value: &String| ["1", "yes", "true", "on"].contains(&value.to_lowercase().as_str());
    if !setting("activate").as_ref().is_some_and(on) {
        return Finding::problem(what)
            .why("Its section lacks `activate = 1`.")
            .command(format!("editor {}", shell_word(file)));
    }
    let module = PathBuf::from(setting("module").unwrap_or_else(|| format!("{name}.so")));
    let directory = modules_directory();
    let path = match (&directory, module.is_absolute()) {
        (Some(directory), false) => directory.join(&module),
        _ => module.clone(),
    };
    if !path.exists() {
        return Finding::problem(what)
            .why(format!(
                "Its module is not at {}, and OpenSSL passes that over in silence. Install it, or name the \
                 right path with `module =` in its section.",
                path.display()
            ))
            .command("make install")
            .command("openssl version -m");
    }
    // Loaded by name OpenSSL says why it fails.
    let why = load_error(&path).unwrap_or_else(|| "OpenSSL does not say why".to_owned());
    Finding::problem(what)
        .why(format!(
            "Its module is {}. {}",
            path.display(),
            sentence(&why)
        ))
        .command(format!(
            "openssl list -providers -provider {}",
            shell_word(&path.display().to_string())
        ))
}

/// Why a module cannot be loaded: the first line of OpenSSL's errors.
fn load_error(module: &Path) -> Option<String> {
    let output = Command::new("openssl")
        .args(["list", "-providers", "-provider"])
        .arg(module)
        .env("OPENSSL_CONF", "/dev/null")
        .output()
        .ok()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    errors
        .lines()
        .find(|line| line.contains(":error:"))
        .map(|line| line.rsplit("/dso/").next().unwrap_or(line).to_owned())
}

/// Where OpenSSL looks for modules.
fn modules_directory() -> Option<PathBuf> {
    if let Some(directory) = settings::environment("OPENSSL_MODULES") {
        return Some(directory.into());
    }
    let text = openssl(&["version", "-m"]).ok()?;
    // MODULESDIR: "/usr/lib/x86_64-linux-gnu/ossl-modules"
    text.split('"').nth(1).map(PathBuf::from)
}

/// Standard output of the openssl command, or what its absence or failure means.
fn openssl(args: &[&str]) -> Result<String, Box<Finding>> {
    let output = Command::new("openssl").args(args).output();
    let output = output.map_err(|error| {
        Box::new(
            Finding::not_checked(format!("The openssl command cannot be run: {error}."))
                .why("It is not needed to use the provider, only to see what OpenSSL loads.")
                .command("apt-get install openssl"),
        )
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().next().unwrap_or_default().to_owned();
    Err(Box::new(
        Finding::problem(format!("`openssl {}` fails.", args.join(" ")))
            .why(sentence(&first))
            .command(format!("openssl {}", args.join(" "))),
    ))
}

/// Reads `openssl list -providers`: names with two blanks before them, facts with four.
fn providers(text: &str) -> Vec<Provider> {
    let mut list: Vec<Provider> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (indent, line.trim().split_once(": "), list.last_mut()) {
            (2, None, _) => list.push(Provider {
                name: line.trim().to_owned(),
                ..Provider::default()
            }),
            (4, Some(("version", version)), Some(last)) => last.version = version.to_owned(),
            (4, Some(("status", status)), Some(last)) => last.active = status == "active",
            _ => {}
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;

    const LIST: &str = "Providers:\n  default\n    name: OpenSSL Default Provider\n    version: 3.0.22\n    \
                        status: active\n  tpm\n    name: TPM provider\n    version: 9.9.9\n    status: inactive\n";

    fn found(names: &[&str]) -> Found {
        Found {
            file: Some("/etc/ssl/openssl.cnf".into()),
            providers: names
                .iter()
                .map(|&name| Listed {
                    name: name.to_owned(),
                    at: None,
                    section: Some([("activate", "1")].into()),
                    ours: name == "tpm",
                })
                .collect(),
            ..Found::default()
        }
    }

    fn loaded(names: &[&str]) -> Vec<Provider> {
        let provider = |&name: &&str| Provider {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            active: true,
        };
        names.iter().map(provider).collect()
    }

    #[test]
    fn a_listing_is_read() {
        let list = providers(LIST);
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].name.as_str(), list[0].active), ("default", true));
        assert_eq!(list[1].version, "9.9.9");
        assert!(!list[1].active);
        assert!(providers("").is_empty());
        assert!(providers("Providers:\n    version: 1\n").is_empty());
    }

    #[test]
    fn order_company_and_version_are_judged() {
        let verdict = |config: &[&str], list: &[Provider]| judge(&found(config), list).verdict;
        let both = ["default", "tpm"];
        assert_eq!(verdict(&both, &loaded(&both)), Verdict::Ok);
        assert_eq!(
            verdict(&["tpm", "default"], &loaded(&both)),
            Verdict::Warning
        );
        assert_eq!(verdict(&["tpm"], &loaded(&["tpm"])), Verdict::Problem);
        assert_eq!(
            verdict(&["default"], &loaded(&["default"])),
            Verdict::Problem
        );
        let mut old = loaded(&both);
        old[1].version = "0.0.1".to_owned();
        assert_eq!(verdict(&both, &old), Verdict::Warning);
        old[1].active = false;
        assert_eq!(verdict(&both, &old), Verdict::Problem);
    }
}
