//! The machine's TPMs: devices in /dev, and what the kernel says of them without a command.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use super::text;
use crate::transport::address::Address;
use crate::transport::endpoint::Family;
use crate::transport::error::{ErrorKind, Fault, TransportError};

const HOW_TO_NAME_ONE: &str = "name a TPM with TPM_TCTI in the environment or tcti = in the \
                               provider's section of openssl.cnf";

/// The first of `dev/tpmrm0` and `dev/tpm0` that exists below `root`.
pub(crate) fn detect(root: &Path) -> Result<Address, TransportError> {
    for name in ["dev/tpmrm0", "dev/tpm0"] {
        let path = root.join(name);
        match fs::metadata(&path) {
            Ok(_) => return Ok(Address::device(path)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => {
                let doing = format!("looking for {}", path.display());
                return Err(TransportError::unplaced(
                    Fault::os(doing, &error).hint(HOW_TO_NAME_ONE),
                ));
            }
        }
    }
    let what = "no TPM found: there is neither /dev/tpmrm0 nor /dev/tpm0";
    let hint = format!("is the TPM switched on in the firmware setup? Otherwise {HOW_TO_NAME_ONE}");
    Err(TransportError::unplaced(
        Fault::new(ErrorKind::NotFound, what).hint(hint),
    ))
}

/// A TPM that a driver has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// As in tpm0.
    pub number: u32,
    /// The bound driver's name; absent for a TPM that a program feeds (tpm_vtpm_proxy).
    pub driver: Option<String>,
    /// The kernel's `tpm_version_major`: 1 or 2. Kernels before 5.6 do not tell.
    pub major: Option<u32>,
}

impl Chip {
    fn read(root: &Path, number: u32) -> Self {
        let directory = format!("sys/class/tpm/tpm{number}");
        let driver = fs::read_link(root.join(&directory).join("device/driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name);
        // Kernels before 5.6 do not tell the version; there a TPM 1.2 has a file that others lack.
        let is_old = || {
            let mut places = ["caps", "device/caps"].iter();
            places.any(|name| root.join(&directory).join(name).exists())
        };
        Self {
            number,
            driver: driver.map(|name| name.to_string_lossy().into_owned()),
            major: match text(root, &format!("{directory}/tpm_version_major")) {
                Some(version) => version.trim().parse().ok(),
                None => is_old().then_some(1),
            },
        }
    }
}

/// TPMs that drivers have registered, by number.
pub fn chips(root: &Path) -> Vec<Chip> {
    let entries = fs::read_dir(root.join("sys/class/tpm"));
    let names = entries.into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| number_of(&entry.file_name(), "tpm"));
    let mut chips: Vec<Chip> = numbers.map(|number| Chip::read(root, number)).collect();
    chips.sort_by_key(|chip| chip.number);
    chips
}

/// The specification that the first TPM follows; `None` if the kernel does not tell, or has no TPM.
pub(crate) fn family(root: &Path) -> Option<Family> {
    match Chip::read(root, 0).major {
        Some(1) => Some(Family::Tpm12),
        Some(2) => Some(Family::Tpm2),
        _ => None,
    }
}

/// Which TPM of the kernel's a device of this name leads to: the first of `tpm0` and of `tpmrm0`, which is behind the
/// resource manager.
pub fn kernel_device(name: &OsStr) -> Option<u32> {
    number_of(name, "tpmrm").or_else(|| number_of(name, "tpm"))
}

fn number_of(name: &OsStr, prefix: &str) -> Option<u32> {
    let digits = name.to_str()?.strip_prefix(prefix)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn detection_takes_the_first_device_that_exists() {
        let root = tempfile::tempdir().unwrap();
        let none = detect(root.path()).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
        assert!(none.to_string().contains("TPM_TCTI"), "{none}");
        assert!(none.to_string().contains("tcti ="), "{none}");

        let dev = root.path().join("dev");
        fs::create_dir(&dev).unwrap();
        detect(root.path()).unwrap_err();
        fs::write(dev.join("tpm0"), b"").unwrap();
        let found = |name: &str| Address::device(dev.join(name));
        assert_eq!(detect(root.path()).unwrap(), found("tpm0"));
        fs::write(dev.join("tpmrm0"), b"").unwrap();
        assert_eq!(detect(root.path()).unwrap(), found("tpmrm0"));
    }

    #[test]
    fn chips_have_numbers_drivers_and_versions() {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("tpm1/caps", "Manufacturer: 0x49465800\n"),
            ("tpm0/tpm_version_major", "2\n"),
            ("tpm0/device/x", ""),
            ("tpmrm0/x", ""),
        ] {
            let path = root.path().join("sys/class/tpm").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        symlink(
            "../../../../bus/platform/drivers/tpm_crb",
            root.path().join("sys/class/tpm/tpm0/device/driver"),
        )
        .unwrap();
        let chip = |number, driver: Option<&str>, major| Chip {
            number,
            driver: driver.map(str::to_owned),
            major,
        };
        let expected = [chip(0, Some("tpm_crb"), Some(2)), chip(1, None, Some(1))];
        assert_eq!(chips(root.path()), expected);
    }

    #[test]
    fn the_kernels_devices_have_numbers() {
        let number = |name: &str| kernel_device(OsStr::new(name));
        assert_eq!(number("tpm0"), Some(0));
        assert_eq!(number("tpmrm12"), Some(12));
        for other in ["tpm", "tpmrm", "tpmx0", "tpm+1", "pts", "tpm0x", ""] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn the_version_decides_and_without_one_the_file_of_a_tpm_12() {
        let of = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join("sys/class/tpm/tpm0").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            family(root.path())
        };
        assert_eq!(of(&[("tpm_version_major", "1\n")]), Some(Family::Tpm12));
        assert_eq!(of(&[("tpm_version_major", "2\n")]), Some(Family::Tpm2));
        let both = [("tpm_version_major", "2\n"), ("caps", "")];
        assert_eq!(of(&both), Some(Family::Tpm2));
        assert_eq!(of(&[("tpm_version_major", "3\n"), ("caps", "")]), None);
        assert_eq!(of(&[("caps", "")]), Some(Family::Tpm12));
        assert_eq!(of(&[("device/caps", "")]), Some(Family::Tpm12));
        assert_eq!(of(&[("device/x", "")]), None);
        assert_eq!(of(&[]), None);
    }
}
