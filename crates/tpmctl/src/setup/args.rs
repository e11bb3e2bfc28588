//! The arguments of `tpmctl setup`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::Consent;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl setup --service nginx\n  \
    tpmctl setup --service nginx --dry-run\n  \
    tpmctl setup --service nginx --remove\n  \
    tpmctl setup")]
pub(crate) struct Setup {
    /// The service that shall use keys of the TPM, such as nginx [default: every program of the machine]
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub(crate) service: Option<String>,

    /// Who is put into the group of the TPM [default: the user of the service, where it tells]
    #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
    pub(crate) user: Option<String>,

    /// Write below DIR, as for an image of another machine
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub(crate) root: PathBuf,

    /// Take away what it has written
    #[arg(long, conflicts_with = "user")]
    pub(crate) remove: bool,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// The name of a unit, which becomes part of paths.
fn service(text: &str) -> Result<String, String> {
    let name = text.strip_suffix(".service").unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(allowed) {
        true => Ok(name.to_owned()),
        false => Err("not the name of a service, such as nginx".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::service;

    #[test]
    fn names_lead_nowhere_else() {
        assert_eq!(service("nginx.service").as_deref(), Ok("nginx"));
        assert_eq!(service("stunnel@web").as_deref(), Ok("stunnel@web"));
        for bad in ["", ".service", "../x", "a/b", "-x", "..", "a b", "a\n", "é"] {
            assert!(service(bad).is_err(), "{bad:?}");
        }
    }
}
