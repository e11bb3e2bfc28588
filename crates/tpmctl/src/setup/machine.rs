//! What the whole machine needs: the provider in the openssl.cnf that every program reads.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use keys::printable;
use rustix::fs::{MemfdFlags, memfd_create};

use super::mark;
use super::place::{Root, failed};
use super::step::Step;
use crate::cli::Global;
use crate::cnf::{self, Found};
use crate::error::Error;

/// The steps: the file is somebody else's, and gets a part of ours.
pub(super) fn steps(root: &Root, global: &Global, file: &str) -> Result<Option<Step>, Error> {
    let place = root.place(file)?;
    let path = place.path.clone();
    Step::parts(place, |rest| {
        with_ours(rest, global, &|text| parsed(&path, text))
    })
}

pub(super) fn back(root: &Root, file: &str) -> Result<Option<Step>, Error> {
    Step::without_parts(root.place(file)?)
}

/// A text as OpenSSL reads it; no file is needed for that.
fn parsed(file: &Path, text: &str) -> Result<Found, Error> {
    let written = memfd_create("openssl.cnf", MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(io::Error::from)
        .and_then(|mut new| new.write_all(text.as_bytes()).map(|()| new));
    let new = written.map_err(|error| failed(file, &error))?;
    let name = format!("/proc/self/fd/{}", new.as_raw_fd());
    cnf::read(Path::new(&name)).map_err(|why| {
        Error::new(format!(
            "OpenSSL cannot read {}: {why}; nothing was changed",
            printable::path(file)
        ))
    })
}

/// The text with what it lacks: `rest` has nothing of ours.
fn with_ours(
    rest: &str,
    global: &Global,
    parsed: &dyn Fn(&str) -> Result<Found, Error>,
) -> Result<String, Error> {
    let found = parsed(rest)?;
    let address = global.tcti.as_ref().map(ToString::to_string);
    let ours = found.providers.iter().find(|listed| listed.ours);
    if let Some(ours) = ours
        && is_active(ours)
        && (address.is_none()
            || ours.section.as_ref().and_then(|it| it.get("tcti")) == address.as_deref())
    {
        return Ok(rest.to_owned());
    }
    let names = Names::of(&found);
    let mut top = String::new();
    if found.start.is_none() {
        // `openssl x509` of 4.0 takes what stands at the beginning for extensions, unless it is told where those are.
        top = format!("openssl_conf = {}\n", names.init);
        if !defines(rest, "extensions") {
            top += "extensions = no_extensions\n[no_extensions]\n[default]\n";
        }
        top = mark::block(&top);
    }
    let mut part = String::new();
    if found.list.is_none() {
        part += &format!("[{}]\nproviders = {}\n\n", names.init, names.list);
    }
    let default = found
        .providers
        .iter()
        .find(|listed| listed.name == "default");
    // Who lists a provider as active has chosen which ones; where nobody has, OpenSSL activates its own.
    let chosen = found
        .providers
        .iter()
        .any(|listed| is_active(listed) && !listed.ours);
    part += &format!("[{}]\n", names.list);
    if !chosen && default.is_none() {
        part += "default = tpm_default_sect\n";
    }
    if ours.is_none() {
        part += "tpm = tpm_sect\n";
    }
    if !chosen {
        let section = default
            .and_then(|listed| listed.at.as_deref())
            .unwrap_or("tpm_default_sect");
        part += &format!("\n[{section}]\nactivate = 1\n");
    }
    let section = ours
        .and_then(|listed| listed.at.as_deref())
        .unwrap_or("tpm_sect");
    part += &format!("\n[{section}]\nactivate = 1\n");
    if let Some(address) = &address {
        part += &format!("tcti = {address}\n");
    }
    let gap = if rest.is_empty() || rest.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let text = format!("{top}{rest}{gap}{}", mark::block(&part));
    check(&parsed(&text)?)?;
    Ok(text)
}

/// A machine whose programs lack OpenSSL's own provider is one that nobody can log in to.
fn check(found: &Found) -> Result<(), Error> {
    let ours = found
        .providers
        .iter()
        .any(|listed| listed.ours && is_active(listed));
    let others = found
        .providers
        .iter()
        .any(|listed| !listed.ours && is_active(listed));
    match ours && others {
        true => Ok(()),
        false => Err(Error::new(
            "the provider could not be added to openssl.cnf such that OpenSSL activates it beside its own; nothing was \
             changed. Add the sections of conf/openssl.cnf by hand",
        )),
    }
}

fn is_active(listed: &cnf::Listed) -> bool {
    let value = listed
        .section
        .as_ref()
        .and_then(|section| section.get("activate"));
    value.is_some_and(|value| ["1", "yes", "true", "on"].contains(&value.to_lowercase().as_str()))
}

/// Whether a name is set before the first section.
fn defines(text: &str, name: &str) -> bool {
    let lines = text
        .lines()
        .map(str::trim_start)
        .take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once('='))
        .any(|(key, _)| key.trim() == name)
}

/// What the sections are called, or shall be.
struct Names {
    init: String,
    list: String,
}

impl Names {
    fn of(found: &Found) -> Self {
        let or = |name: &Option<String>, new: &str| name.clone().unwrap_or_else(|| new.to_owned());
        Self {
            init: or(&found.start, "tpm_openssl_init"),
            list: or(&found.list, "tpm_provider_list"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, Error> {
        with_ours(text, &Global::default(), &|text| {
            parsed(Path::new("openssl.cnf"), text)
        })
    }

    /// The providers that OpenSSL activates, in their order.
    fn active(text: &str) -> Vec<String> {
        let found = parsed(Path::new("openssl.cnf"), text).unwrap();
        let active = found.providers.iter().filter(|listed| is_active(listed));
        active.map(|listed| listed.name.clone()).collect()
    }

    #[test]
    fn what_a_file_lacks_is_added() {
        for text in [
            "",
            "x = 1",
            "[req]\nx = 1\n",
            "openssl_conf = i\n[i]\n",
            "openssl_conf = i\n[i]\nssl_conf = s\n[s]\n",
            "openssl_conf = i\n[i]\nproviders = p\n[p]\n# default = d\n",
            "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\n[d]\n#activate = 1\n",
            "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\n[d]\nactivate = 1\n",
            "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\ntpm = t\n[d]\nactivate = 1\n[t]\nlog = warn\n",
        ] {
            let new = with(text).unwrap();
            assert_eq!(active(&new), ["default", "tpm"], "{new}");
            let (rest, _) = mark::without(&new).unwrap();
            assert_eq!(rest.trim_end(), text.trim_end());
            assert_eq!(with(&new).unwrap(), new, "a second time");
        }
    }

    #[test]
    fn who_has_chosen_providers_keeps_them() {
        let fips = "openssl_conf = i\n[i]\nproviders = p\n[p]\nfips = f\nbase = b\n[f]\nactivate = 1\n[b]\nactivate = 1\n";
        assert_eq!(active(&with(fips).unwrap()), ["fips", "base", "tpm"]);
        assert!(with("[open\n").is_err());
    }
}
