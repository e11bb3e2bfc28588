//! `tpmctl ssh setup`: what ssh is told in its configuration.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keys::printable;

use super::args::SshSetup;
use super::home;
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::key::file::Target;
use crate::output;

const BEGIN: &str = "# Written by `tpmctl ssh setup`, which takes it away with --remove.";
const END: &str = "# End of what `tpmctl ssh setup` has written.";

/// Changes the file.
pub(crate) fn run(global: &Global, args: &SshSetup) -> Result<(), Error> {
    if global.json {
        Cli::conflict("ssh setup has no result but the file: leave --json out");
    }
    let path = match &args.config {
        Some(path) => path.clone(),
        None => home::dir()?.join("config"),
    };
    let shown = printable::path(&path);
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::new(format!("{shown} cannot be read: {error}"))),
    };
    let rest = without_ours(&before).ok_or_else(|| {
        Error::new(format!(
            "{shown} has the line `{BEGIN}` and no `{END}` behind it"
        ))
    })?;
    let after = match args.remove {
        true => rest,
        false => with_ours(&rest, &line(args)?),
    };
    if after == before {
        output::note(&format!("{shown} is as it shall be."));
        return Ok(());
    }
    // Its directory is there, or it has no configuration: a key is made first.
    Target::new(&path, true)?.write(&after)?;
    match args.remove {
        true => output::note(&format!("{shown} has nothing of ours any more.")),
        false => output::print_as_is(&format!("{shown}: {}\n", line(args)?))?,
    }
    Ok(())
}

fn line(args: &SshSetup) -> Result<String, Error> {
    if args.agent {
        return Ok(format!("IdentityAgent {}", quoted(&home::socket()?)?));
    }
    let module = match &args.module {
        Some(path) => fs::canonicalize(path)
            .map_err(|error| Error::new(format!("{}: {error}", printable::path(path))))?,
        None => installed()?,
    };
    Ok(format!("PKCS11Provider {}", quoted(&module)?))
}

/// As ssh_config(5) has arguments with blanks.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\n']));
    let text = text.ok_or_else(|| {
        Error::new(format!(
            "{} has characters that no line of ssh_config can have",
            printable::path(path)
        ))
    })?;
    Ok(match text.contains([' ', '\t', '#', '\'', '%']) {
        true => format!("\"{}\"", text.replace('%', "%%")),
        false => text.to_owned(),
    })
}

/// The module beside this command: PREFIX/lib/TRIPLET/pkcs11 of PREFIX/bin.
fn installed() -> Result<PathBuf, Error> {
    let own = env::current_exe().ok();
    let prefix = own.as_deref().and_then(Path::parent).and_then(Path::parent);
    let libs = prefix.map(|prefix| prefix.join("lib"));
    let places = libs.iter().flat_map(|lib| {
        let below = fs::read_dir(lib).into_iter().flatten().flatten();
        let mut dirs: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        dirs.sort();
        dirs.push(lib.clone());
        dirs
    });
    let found = places
        .map(|dir| dir.join("pkcs11").join("tpm.so"))
        .find(|module| module.is_file());
    found.ok_or_else(|| {
        Error::new(
            "the PKCS#11 module is not installed beside this command (lib/*/pkcs11/tpm.so): say with --module where it \
             is, or use the agent (--agent)",
        )
    })
}

/// The text without our part; `None` where that has no end.
fn without_ours(text: &str) -> Option<String> {
    let mut rest = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => inside = true,
            END if inside => inside = false,
            _ if inside => {}
            _ => rest.push_str(line),
        }
    }
    (!inside).then_some(rest)
}

/// The text and behind it our part, which is for every host.
fn with_ours(rest: &str, line: &str) -> String {
    let gap = if rest.is_empty() || rest.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{rest}{gap}{BEGIN}\nHost *\n    {line}\n{END}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_goes_without_a_trace() {
        for text in ["", "Host a\n  Port 2\n", "Port 2"] {
            let with = with_ours(text, "PKCS11Provider /x");
            assert!(with.contains("\nHost *\n    PKCS11Provider /x\n"));
            let without = without_ours(&with).unwrap();
            assert_eq!(without.trim_end(), text.trim_end());
            // A second time changes nothing.
            assert_eq!(with_ours(&without, "PKCS11Provider /x"), with);
        }
        assert_eq!(without_ours(&format!("{BEGIN}\nHost *\n")), None);
    }

    #[test]
    fn paths_with_blanks() {
        assert_eq!(quoted(Path::new("/a/b.so")).unwrap(), "/a/b.so");
        assert_eq!(
            quoted(Path::new("/a b/100%.so")).unwrap(),
            "\"/a b/100%%.so\""
        );
        assert!(quoted(Path::new("/a\"b")).is_err());
    }
}
