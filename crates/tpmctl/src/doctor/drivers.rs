//! Linux's TPM drivers, and which one a TPM needs.

use super::machine::{Firmware, Interface};

/// What a bound driver is for. Names are those in sysfs, which are not always the modules'.
const KNOWN: [(&str, &str); 19] = [
    ("tpm_tis", "a TPM on the LPC bus, FIFO interface"),
    ("tpm_tis_core", "a TPM with the FIFO interface"),
    ("tpm_tis_spi", "a TPM on the SPI bus"),
    ("tpm_tis_i2c", "a TPM on the I2C bus"),
    ("tpm_tis_i2c_cr50", "a Google security chip on the I2C bus"),
    ("tpm_tis_synquacer", "a TPM of a SynQuacer machine"),
    (
        "tpm_crb",
        "a TPM with a command buffer, often in the processor's firmware",
    ),
    ("tpm_crb_ffa", "a TPM in Arm's secure world"),
    ("tpm_infineon", "an Infineon TPM 1.1 or 1.2"),
    ("tpm_inf_pnp", "an Infineon TPM 1.1 or 1.2"),
    ("tpm_nsc", "a National Semiconductor TPM 1.1"),
    ("tpm_atmel", "an Atmel TPM 1.1"),
    ("tpm_i2c_infineon", "an Infineon TPM 1.2 on the I2C bus"),
    ("tpm_i2c_atmel", "an Atmel TPM 1.2 on the I2C bus"),
    ("tpm_i2c_nuvoton", "a Nuvoton TPM on the I2C bus"),
    ("ftpm-tee", "a firmware TPM in OP-TEE"),
    ("tpm_ftpm_tee", "a firmware TPM in OP-TEE"),
    ("tpm_ibmvtpm", "a virtual TPM of a POWER hypervisor"),
    ("vtpm", "a virtual TPM of Xen"),
];

/// In a few words, what a driver drives.
pub(super) fn describe(driver: &str) -> &'static str {
    let known = KNOWN.iter().find(|(name, _)| *name == driver);
    match known {
        Some((_, text)) => text,
        None if driver.starts_with("st33zp24") => "an STMicroelectronics TPM 1.2",
        None => "a TPM",
    }
}

/// The module for an ACPI or PNP identifier, if it is a TPM's.
pub(super) fn of_identifier(id: &str) -> Option<&'static str> {
    Some(match id {
        "MSFT0101" => "tpm_crb",
        "IFX0101" => "tpm_infineon",
        "PNP0C31" | "ATM1200" | "IFX0102" | "BCM0101" | "BCM0102" | "NSC1200" | "ICO0102" => {
            "tpm_tis"
        }
        "SMO0768" => "tpm_tis_spi",
        "SMO3324" => "tpm_st33zp24_i2c",
        "GOOG0005" => "tpm_tis_i2c_cr50",
        _ => return None,
    })
}

/// The module for what a device tree calls compatible.
fn of_compatible(compatible: &str) -> &'static str {
    match compatible {
        "microsoft,ftpm" => "tpm_ftpm_tee",
        "IBM,vtpm" | "IBM,vtpm20" => "tpm_ibmvtpm",
        "tcg,tpm-tis-mmio" => "tpm_tis",
        "tcg,tpm-tis-i2c" | "infineon,slb9673" | "nuvoton,npct75x" => "tpm_tis_i2c",
        "google,cr50" => "tpm_tis_spi",
        "atmel,at97sc3204t" => "tpm_i2c_atmel",
        "infineon,tpm_i2c_infineon" | "infineon,slb9635tt" | "infineon,slb9645tt" => {
            "tpm_i2c_infineon"
        }
        "nuvoton,npct501" | "winbond,wpct301" => "tpm_i2c_nuvoton",
        "socionext,synquacer-tpm-mmio" => "tpm_tis_synquacer",
        "st,st33zp24-i2c" => "tpm_st33zp24_i2c",
        "st,st33zp24-spi" => "tpm_st33zp24_spi",
        _ => "tpm_tis_spi",
    }
}

/// The modules to try, the likeliest first, for what the firmware announces.
pub(super) fn wanted(firmware: &Firmware) -> Vec<&'static str> {
    let mut modules = Vec::new();
    match firmware.tpm2 {
        Some(Interface::Crb) => modules.push("tpm_crb"),
        Some(Interface::Fifo) => modules.push("tpm_tis"),
        Some(Interface::Unknown) => modules.extend(["tpm_crb", "tpm_tis"]),
        None => {
            let devices = firmware.devices.iter();
            modules.extend(devices.filter_map(|id| of_identifier(id)));
            if let Some(compatible) = &firmware.compatible {
                modules.push(of_compatible(compatible));
            }
            if modules.is_empty() && firmware.tcpa {
                // Old chips of three vendors had drivers of their own.
                modules.extend(["tpm_tis", "tpm_infineon", "tpm_nsc", "tpm_atmel"]);
            }
        }
    }
    modules.dedup();
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_leads_to_modules() {
        let firmware = |tpm2, devices: &[&str], compatible: Option<&str>| Firmware {
            tpm2,
            devices: devices.iter().map(|id| (*id).to_owned()).collect(),
            compatible: compatible.map(str::to_owned),
            ..Firmware::default()
        };
        let crb = firmware(Some(Interface::Crb), &["MSFT0101"], None);
        assert_eq!(wanted(&crb), ["tpm_crb"]);
        let fifo = firmware(Some(Interface::Fifo), &["MSFT0101"], None);
        assert_eq!(wanted(&fifo), ["tpm_tis"]);
        let hidden = firmware(Some(Interface::Unknown), &[], None);
        assert_eq!(wanted(&hidden), ["tpm_crb", "tpm_tis"]);
        assert_eq!(
            wanted(&firmware(None, &["IFX0101"], None)),
            ["tpm_infineon"]
        );
        let spi = firmware(None, &[], Some("infineon,slb9670"));
        assert_eq!(wanted(&spi), ["tpm_tis_spi"]);
        let i2c = firmware(None, &[], Some("infineon,slb9645tt"));
        assert_eq!(wanted(&i2c), ["tpm_i2c_infineon"]);
        let old = Firmware {
            tcpa: true,
            ..Firmware::default()
        };
        assert_eq!(wanted(&old)[0], "tpm_tis");
        assert!(wanted(&Firmware::default()).is_empty());
    }

    #[test]
    fn drivers_are_described() {
        assert!(describe("tpm_tis_spi").contains("SPI"));
        assert!(describe("st33zp24-i2c").contains("STMicroelectronics"));
        assert_eq!(describe("something_new"), "a TPM");
    }
}
