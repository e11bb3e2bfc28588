//! Which TPM is meant where neither a key file nor the user says of which family it is: that of a new key,
//! and the one that `tpmctl` looks at.
//!
//! A named address comes before what is detected. One that is named for TPM 1.2 alone counts unless the machine
//! has a TPM 2.0 besides. No TPM is asked.
#![forbid(unsafe_code)]

use std::path::Path;

use tss::transport::{Address, Endpoint, Family, Origin, TransportError};

use super::Config;

impl Config {
    /// The family of the TPM that is meant, as far as files below `root` tell it. Of an address that is named for
    /// all keys they tell nothing.
    pub fn family(&self, root: &Path) -> Option<Family> {
        let detected = || Endpoint::detect_family(root);
        match (&self.address, &self.address12) {
            (Some(_), _) => None,
            (None, Some(_)) => detected()
                .filter(|family| *family == Family::Tpm2)
                .or(Some(Family::Tpm12)),
            (None, None) => match Endpoint::detect_daemon(root) {
                Some(_) => Some(Family::Tpm12),
                None => detected(),
            },
        }
    }

    /// The address that is named for it; `None` means detection.
    pub fn named(&self, root: &Path) -> Option<&(Address, Origin)> {
        let only12 = || {
            let address12 = self.address12.as_ref()?;
            (self.family(root) == Some(Family::Tpm12)).then_some(address12)
        };
        self.address.as_ref().or_else(only12)
    }

    /// Its address, named or detected below `root`.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::detect`].
    pub fn place(&self, root: &Path) -> Result<(Address, Origin), TransportError> {
        if let Some(named) = self.named(root) {
            return Ok(named.clone());
        }
        let daemon = match &self.address12 {
            Some(_) => None,
            None => Endpoint::detect_daemon(root),
        };
        let address = match daemon {
            Some(daemon) => daemon,
            None => self.detect(root)?,
        };
        Ok((address, Origin::Detected))
    }

    /// The device that is there.
    pub(crate) fn detect(&self, root: &Path) -> Result<Address, TransportError> {
        Endpoint::detect(root).map_err(|error| match self.address_of_another {
            true => error.hinting(
                "TPM2OPENSSL_TCTI is set, which tpm2-openssl reads and this provider does not: say TPM_TCTI",
            ),
            false => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DEVICE: &str = "dev/tpm0";
    const MANAGED: &str = "dev/tpmrm0";
    const VERSION: &str = "sys/class/tpm/tpm0/tpm_version_major";

    /// What is meant on a machine with these files, and where; detected devices by their names.
    fn meant(
        address: Option<&str>,
        address12: Option<&str>,
        files: &[(&str, &str)],
    ) -> (Option<Family>, Option<String>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let named = |text: Option<&str>, origin| Some((text?.parse().unwrap(), origin));
        let config = Config {
            address: named(address, Origin::Setting("tcti")),
            address12: named(address12, Origin::Setting("tcti12")),
            ..Config::default()
        };
        let place = config.place(root.path()).ok().map(|(address, origin)| {
            let below = format!("{}/", root.path().display());
            assert_eq!(
                origin == Origin::Detected,
                config.named(root.path()).is_none()
            );
            address.to_string().replace(&below, "")
        });
        (config.family(root.path()), place)
    }

    fn at(place: &str) -> Option<String> {
        Some(place.to_owned())
    }

    #[test]
    fn an_address_for_tpm_12_alone_counts_unless_there_is_a_tpm_2() {
        const TCSD: &str = "tcsd:host=127.0.0.1,port=99";
        let one = |files: &[(&str, &str)]| meant(None, Some(TCSD), files);
        let tcsd = (Some(Family::Tpm12), at(TCSD));
        assert_eq!(one(&[]), tcsd);
        // The device that tcsd holds, on a kernel that tells its version and on one that does not.
        assert_eq!(one(&[(DEVICE, ""), (VERSION, "1\n")]), tcsd);
        assert_eq!(one(&[(DEVICE, "")]), tcsd);
        // A TPM 2.0 whose device nobody can open, as in a container.
        assert_eq!(one(&[(VERSION, "2\n")]), tcsd);
        let two = |name: &str| (Some(Family::Tpm2), at(&format!("device:{name}")));
        assert_eq!(one(&[(MANAGED, ""), (DEVICE, "")]), two(MANAGED));
        assert_eq!(one(&[(DEVICE, ""), (VERSION, "2\n")]), two(DEVICE));
    }

    #[test]
    fn an_address_for_all_keys_counts_whatever_there_is() {
        const SWTPM: &str = "swtpm:path=/tpm";
        for address12 in [None, Some("tcsd")] {
            for files in [&[][..], &[(DEVICE, ""), (VERSION, "1\n")]] {
                assert_eq!(meant(Some(SWTPM), address12, files), (None, at(SWTPM)));
            }
        }
    }

    #[test]
    fn without_any_address_there_is_what_is_detected() {
        assert_eq!(meant(None, None, &[]), (None, None));
        let device = at("device:dev/tpm0");
        assert_eq!(meant(None, None, &[(DEVICE, "")]), (None, device.clone()));
        let one = [(DEVICE, ""), (VERSION, "1\n")];
        assert_eq!(meant(None, None, &one), (Some(Family::Tpm12), device));
        let tcsd = (
            "proc/net/tcp",
            "0: 0100007F:7533 00000000:0000 0A 0:0 0:0 0 0 0 4711\n",
        );
        assert_eq!(
            meant(None, None, &[one[0], one[1], tcsd]),
            (Some(Family::Tpm12), at("tcsd:host=127.0.0.1,port=30003"))
        );
    }

    #[test]
    fn an_address_for_another_provider_is_named_where_there_is_no_tpm() {
        let root = tempfile::tempdir().unwrap();
        let failure = |address_of_another| {
            let config = Config {
                address_of_another,
                ..Config::default()
            };
            config.place(root.path()).unwrap_err().to_string()
        };
        assert!(!failure(false).contains("TPM2OPENSSL"));
        let text = failure(true);
        assert!(text.starts_with("no TPM found"), "{text}");
        assert!(text.contains("TPM2OPENSSL_TCTI is set"), "{text}");
        assert!(text.ends_with("say TPM_TCTI"), "{text}");
        // A device that is there is used: the variable may be for the other provider alone.
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join(DEVICE), "").unwrap();
        let config = Config {
            address_of_another: true,
            ..Config::default()
        };
        assert!(config.place(root.path()).is_ok());
    }
}
