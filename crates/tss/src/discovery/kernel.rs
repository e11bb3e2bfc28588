//! What the kernel says of the machine's first TPM, without a command to it.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use crate::transport::endpoint::Family;

/// The specification it follows; `None` if the kernel does not tell, or has no TPM. Files are looked at below
/// `root`.
///
/// Kernels before 5.6 do not tell the version; there a TPM 1.2 has a file that others lack.
pub(crate) fn family(root: &Path) -> Option<Family> {
    let directory = root.join("sys/class/tpm/tpm0");
    match fs::read_to_string(directory.join("tpm_version_major")) {
        Ok(version) => match version.trim() {
            "1" => Some(Family::Tpm12),
            "2" => Some(Family::Tpm2),
            _ => None,
        },
        Err(_) => ["caps", "device/caps"]
            .iter()
            .any(|name| directory.join(name).exists())
            .then_some(Family::Tpm12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_decides_and_without_one_the_file_of_a_tpm_12() {
        let told = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join("sys/class/tpm/tpm0").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            family(root.path())
        };
        assert_eq!(told(&[("tpm_version_major", "1\n")]), Some(Family::Tpm12));
        assert_eq!(told(&[("tpm_version_major", "2\n")]), Some(Family::Tpm2));
        let both = [("tpm_version_major", "2\n"), ("caps", "")];
        assert_eq!(told(&both), Some(Family::Tpm2));
        assert_eq!(told(&[("tpm_version_major", "3\n"), ("caps", "")]), None);
        assert_eq!(told(&[("caps", "")]), Some(Family::Tpm12));
        assert_eq!(told(&[("device/caps", "")]), Some(Family::Tpm12));
        assert_eq!(told(&[("device/x", "")]), None);
        assert_eq!(told(&[]), None);
    }
}
