//! Layers 1 to 5: from the firmware to whoever has the device open.

use std::net::{ToSocketAddrs, UdpSocket};

use tss::discovery::{Chip, User, group_name, kernel_device, user_name};
use tss::transport::AddressKind;

use super::Scene;
use super::device_paths::DeviceFile;
use super::drivers;
use super::machine::{Firmware, Holder, Machine};
use super::verdict::Finding;

/// What the layers are about, which the address decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// TPM number N of the kernel; the device's path if one is named.
    Kernel(u32, Option<String>),
    /// A device that the kernel's TPM drivers do not name.
    Device(String),
    /// A simulator or a TPM inside the process.
    Software(String),
    /// tcsd on another machine.
    Remote(String),
}

impl Target {
    /// Where an address leads.
    pub(super) fn of(address: Option<&AddressKind>, text: &str) -> Self {
        match address {
            None => Self::Kernel(0, None),
            Some(AddressKind::Device(path)) => {
                let number = path.file_name().and_then(kernel_device);
                let path = path.display().to_string();
                match number {
                    Some(number) => Self::Kernel(number, Some(path)),
                    None => Self::Device(path),
                }
            }
            Some(AddressKind::Tcsd { host, .. }) => {
                if is_here(host) {
                    Self::Kernel(0, None)
                } else {
                    Self::Remote(text.to_owned())
                }
            }
            Some(_) => Self::Software(text.to_owned()),
        }
    }

    /// Why the kernel's layers do not matter, if they do not.
    fn elsewhere(&self) -> Option<Finding> {
        match self {
            Self::Kernel(..) => None,
            Self::Device(path) => Some(Finding::not_applicable(format!(
                "{path} is not a device of the kernel's TPM drivers."
            ))),
            Self::Software(address) => Some(Finding::not_applicable(format!(
                "{address} is a TPM in software."
            ))),
            Self::Remote(address) => Some(Finding::not_applicable(format!(
                "{address} is on another machine."
            ))),
        }
    }
}

/// Findings 1 to 5.
pub(super) fn findings(scene: &Scene) -> Vec<Finding> {
    let firmware = scene.machine.firmware();
    let chips = scene.machine.chips();
    let number = match scene.target {
        Target::Kernel(number, _) => number,
        _ => 0,
    };
    let chip = chips.iter().find(|chip| chip.number == number);
    let elsewhere = scene.target.elsewhere().or_else(|| {
        // tcsd may have a TPM that this kernel does not: in software, or in the container's host.
        let port = scene.tcsd_port()?;
        (chip.is_none() && scene.machine.listener(port).is_some())
            .then(|| Finding::not_applicable("tcsd runs without a device of this kernel's."))
    });
    match elsewhere {
        Some(finding) => {
            let device = match &scene.target {
                Target::Device(path) => device_file(scene, path, None),
                _ => finding.clone(),
            };
            let tcsd = match &scene.target {
                Target::Kernel(..) => super::tcsd::finding(scene, &firmware, chip),
                _ => finding.clone(),
            };
            vec![finding.clone(), finding.clone(), device, finding, tcsd]
        }
        None => vec![
            announced(&scene.machine, &firmware, chip),
            driver(&scene.machine, &firmware, chip, number),
            device(scene, chip, number),
            holder(scene, chip, number),
            super::tcsd::finding(scene, &firmware, chip),
        ],
    }
}

/// Whether a host is this machine, whatever it is called: nobody else can listen at its address.
fn is_here(host: &str) -> bool {
    let addresses = (host, 0).to_socket_addrs();
    addresses.is_ok_and(|mut all| {
        all.any(|address| address.ip().is_loopback() || UdpSocket::bind(address).is_ok())
    })
}

fn announced(machine: &Machine, firmware: &Firmware, chip: Option<&Chip>) -> Finding {
    let mut signs = Vec::new();
    if firmware.tpm2.is_some() {
        signs.push("the ACPI table TPM2 (a TPM 2.0)".to_owned());
    }
    if firmware.tcpa {
        signs.push("the ACPI table TCPA (a TPM 1.2's log)".to_owned());
    }
    if let Some(compatible) = &firmware.compatible {
        signs.push(format!("the device tree ({compatible})"));
    }
    if signs.is_empty() && !firmware.devices.is_empty() {
        signs.push(format!("the device {}", firmware.devices.join(", ")));
    }
    if !signs.is_empty() {
        return Finding::ok(format!(
            "The firmware announces a TPM: {}.",
            signs.join(", ")
        ));
    }
    if chip.is_some() {
        return Finding::ok(
            "The firmware announces no TPM, but a driver has found one: usual for virtual ones.",
        );
    }
    if machine.is_container() {
        return Finding::problem("This is a container, and no TPM is visible in it.")
            .why("The host must have a TPM and hand its device in when it starts the container.")
            .command("docker run --device /dev/tpmrm0 ...");
    }
    let (what, why) = if firmware.acpi {
        (
            "The firmware announces no TPM: there is no ACPI table TPM2 or TCPA.",
            "There is none, or it is switched off. Enable it in the firmware setup (BIOS), where it \
             is called TPM, Security Device, Intel PTT or AMD fTPM; give a virtual machine one \
             (libvirt: <tpm>, qemu: -tpmdev emulator). Until then a TPM in software is good for trying things \
             out.",
        )
    } else {
        (
            "No firmware tables are visible: neither ACPI nor a device tree.",
            "In a container or a small virtual machine that is usual; the host must hand in a TPM. \
             Until then a TPM in software is good for trying things out.",
        )
    };
    let finding = Finding::problem(what).why(why);
    let finding = match firmware.acpi {
        true => finding.command("systemctl reboot --firmware-setup"),
        false => finding,
    };
    finding.command("tpmctl --tcti libtpms:$HOME/tpm info")
}

fn driver(machine: &Machine, firmware: &Firmware, chip: Option<&Chip>, number: u32) -> Finding {
    if let Some(chip) = chip {
        let bound = match &chip.driver {
            Some(driver) => {
                format!(
                    "The driver {driver} ({}) is bound to tpm{number}",
                    drivers::describe(driver)
                )
            }
            None => format!("tpm{number} is a virtual TPM, which a program feeds (tpm_vtpm_proxy)"),
        };
        return match chip.major {
            Some(1) => Finding::ok(format!("{bound}; the kernel calls it a TPM 1.2.")),
            Some(2) => Finding::ok(format!("{bound}; the kernel calls it a TPM 2.0.")),
            Some(other) => {
                Finding::warning(format!("{bound}; the kernel calls it version {other}."))
                    .why("TPM 1.2 and 2.0 are supported.")
            }
            None => Finding::ok(format!(
                "{bound}; the kernel is older than 5.6 and does not tell its version."
            )),
        };
    }
    if !firmware.announces() {
        return Finding::not_checked("There is no TPM to drive (layer 1).");
    }
    let wanted = drivers::wanted(firmware);
    let loaded: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|module| machine.has_module(module))
        .collect();
    if loaded.is_empty() {
        let finding =
            Finding::problem("No driver is bound to the TPM, and none that fits is loaded.")
                .why("Without a driver there is no /dev/tpm0.");
        return wanted
            .iter()
            .fold(finding, |finding, module| {
                finding.command(format!("modprobe {module}"))
            })
            .command("journalctl -k --grep tpm");
    }
    Finding::problem(format!(
        "{} is loaded and has not found tpm{number}.",
        loaded.join(", ")
    ))
    .why(
        "The kernel's log says why: often the chip is disabled in the firmware setup, or its \
         firmware did not answer.",
    )
    .command("journalctl -k --grep tpm")
}

/// The devices of a TPM: behind the resource manager, and bare.
fn devices(number: u32) -> [String; 2] {
    [format!("/dev/tpmrm{number}"), format!("/dev/tpm{number}")]
}

fn device(scene: &Scene, chip: Option<&Chip>, number: u32) -> Finding {
    if chip.is_none() {
        // In a container sysfs may be hidden, and the device handed in.
        let handed = devices(number)
            .iter()
            .any(|path| matches!(scene.machine.device(path), Ok(Some(_))));
        if !handed {
            return Finding::not_checked("No driver makes a device (layers 1 and 2).");
        }
    }
    let [managed, bare] = devices(number);
    let path = match &scene.target {
        Target::Kernel(_, Some(path)) => path.clone(),
        _ => match scene.machine.device(&managed) {
            Ok(None) => bare.clone(),
            _ => managed.clone(),
        },
    };
    if let Ok(None) = scene.machine.device(&path) {
        if path == managed && chip.and_then(|chip| chip.major) == Some(1) {
            return Finding::problem(format!("{path} does not exist."))
                .why("The kernel manages no resources of a TPM 1.2: its device is /dev/tpm0, or tcsd's.")
                .command(format!("tpmctl --tcti device:{bare} doctor"));
        }
        return missing(&scene.machine, &path);
    }
    device_file(scene, &path, chip)
}

fn missing(machine: &Machine, path: &str) -> Finding {
    let finding = Finding::problem(format!("The driver is there, and {path} is not."));
    if machine.is_container() {
        return finding
            .why("This is a container: its host must hand the device in.")
            .command(format!("docker run --device {path} ..."));
    }
    finding
        .why("udev makes it when the driver finds the TPM.")
        .command("udevadm trigger --action=add --subsystem-match=tpm --subsystem-match=tpmrm")
        .command("udevadm settle")
}

/// Whether the device at `path` can be used by whoever is to use it.
fn device_file(scene: &Scene, path: &str, chip: Option<&Chip>) -> Finding {
    let machine = &scene.machine;
    let file = match machine.device(path) {
        Ok(Some(file)) => file,
        Ok(None) => return missing(machine, path),
        Err(error) => return Finding::problem(format!("{path} cannot be looked at: {error}.")),
    };
    if !file.is_device() {
        return Finding::problem(format!("{path} is not a device but something else of that name."))
            .why("Somebody wrote to it while there was no TPM, say. Remove it, and have udev make the device.")
            .command(format!("rm {path}"))
            .command("udevadm trigger --action=add --subsystem-match=tpm --subsystem-match=tpmrm");
    }
    let owner = user_name(machine.root(), file.uid);
    let group = group_name(machine.root(), file.gid);
    let is = format!(
        "{path} is {owner}'s and group {group}'s, {}",
        file.letters()
    );
    let Some(user) = &scene.user else {
        return Finding::not_checked(format!("{is}; whose access counts is not known."))
            .why("Name somebody with --user.");
    };
    if !file.lets(user.uid, &user.groups) {
        return forbidden(user, file, path, &is, &group);
    }
    let is = format!("{is}; {} may use it.", user.name);
    if chip.is_some_and(|chip| chip.major == Some(2)) && !path.starts_with("/dev/tpmrm") {
        let [managed, _] = devices(chip.map_or(0, |chip| chip.number));
        let finding = Finding::warning(is);
        return match machine.device(&managed) {
            Ok(Some(_)) => finding
                .why(format!(
                    "It is for one program at a time; {managed}, behind the kernel's resource manager, is for all."
                ))
                .command(format!("tpmctl --tcti device:{managed} doctor")),
            _ => finding.why(
                "It is for one program at a time, and the kernel has no resource manager \
                 (/dev/tpmrm0): it is older than 4.12, or was built without.",
            ),
        };
    }
    Finding::ok(is)
}

fn forbidden(user: &User, file: DeviceFile, path: &str, is: &str, group: &str) -> Finding {
    let name = &user.name;
    let finding = Finding::problem(format!("{is}: {name} may not use it."));
    if file.lets_group() && user.listed.contains(&file.gid) {
        return finding
            .why(format!(
                "{name} is in group {group} by now, but was not when this session began. Log in again, \
                 or restart the service; for this shell alone:"
            ))
            .command(format!("newgrp {group}"));
    }
    if file.lets_group() && file.gid != 0 {
        return finding
            .why(format!(
                "Whoever is in group {group} may. Afterwards log in again, or restart the service."
            ))
            .command(format!("usermod -aG {group} {name}"));
    }
    let kernel = if path.starts_with("/dev/tpmrm") {
        "tpmrm"
    } else {
        "tpm"
    };
    // Without the rules of tpm2-tss the device is root's alone.
    finding
        .why("Distributions have a package with udev's rule for it (Debian: tpm-udev); or write one, and join the group.")
        .command("groupadd --system --force tss")
        .command(format!(
            "echo 'KERNEL==\"{kernel}[0-9]*\", GROUP=\"tss\", MODE=\"0660\"' > /etc/udev/rules.d/60-tpm.rules"
        ))
        .command("udevadm control --reload && udevadm trigger --action=add --subsystem-match=tpm --subsystem-match=tpmrm")
        .command(format!("usermod -aG tss {name}"))
        .command(format!("ls -l {path}"))
}

fn holder(scene: &Scene, chip: Option<&Chip>, number: u32) -> Finding {
    let [managed, bare] = devices(number);
    let machine = &scene.machine;
    let exists = |path: &str| matches!(machine.device(path), Ok(Some(_)));
    if !exists(&managed) && !exists(&bare) {
        return Finding::not_checked("There is no device to hold (layers 1 to 3).");
    }
    let found = machine.holders(&[&managed, &bare]);
    let unseen = match found.hidden {
        0 => String::new(),
        1 => " One process shows its files to root alone.".to_owned(),
        hidden => format!(" {hidden} processes show their files to root alone."),
    };
    let names = |holders: &[&Holder]| {
        let names: Vec<String> = holders
            .iter()
            .map(|holder| format!("{} (process {})", holder.name, holder.pid))
            .collect();
        names.join(", ")
    };
    let (of_bare, others): (Vec<&Holder>, Vec<&Holder>) = found
        .holders
        .iter()
        .partition(|holder| holder.device == bare);
    if of_bare.is_empty() {
        return Finding::ok(match others.len() {
            0 => format!("Nobody has the TPM open.{unseen}"),
            _ => format!(
                "{} share {managed}, which the kernel manages.{unseen}",
                names(&others)
            ),
        });
    }
    let held = format!("{bare} is open in {}.{unseen}", names(&of_bare));
    let by_tcsd = of_bare.iter().all(|holder| holder.name == "tcsd");
    let through_tcsd = matches!(scene.kind(), Some(AddressKind::Tcsd { .. }));
    if by_tcsd && (through_tcsd || scene.through_tcsd(chip)) {
        return Finding::ok(format!(
            "{held} That is as it should be: everybody else asks tcsd."
        ));
    }
    let wants_managed = match &scene.target {
        Target::Kernel(_, Some(path)) => *path == managed,
        _ => exists(&managed),
    };
    if wants_managed {
        return Finding::warning(held).why(format!(
            "{managed} works beside it, but both use the same few places for keys and sessions; \
             programs should all use {managed}."
        ));
    }
    let finding = Finding::problem(held).why(if by_tcsd {
        "The kernel lets one program at a time have it. Ask tcsd instead."
    } else {
        "The kernel lets one program at a time have it, so everybody else is told that it is busy. \
         End that program, or use what it offers: tcsd for a TPM 1.2, /dev/tpmrm0 for a TPM 2.0."
    });
    if by_tcsd {
        return finding.command("export TPM_TCTI=tcsd");
    }
    let daemon = of_bare.iter().find(|holder| holder.name == "tpm2-abrmd");
    match (daemon, exists(&managed)) {
        (_, true) => finding.command(format!("export TPM_TCTI=device:{managed}")),
        (Some(_), _) => finding.command("systemctl stop tpm2-abrmd"),
        _ => finding.command(format!(
            "ps -fp {}",
            of_bare.first().map_or(0, |holder| holder.pid)
        )),
    }
}

#[cfg(test)]
mod tests {
    use tss::transport::Address;

    use super::*;

    #[test]
    fn an_address_says_which_layers_matter() {
        let target = |text: &str| {
            let address: Address = text.parse().unwrap();
            Target::of(Some(address.kind()), text)
        };
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(Target::of(None, ""), Target::Kernel(0, None));
        assert_eq!(
            target("device:/dev/tpmrm1"),
            Target::Kernel(1, path("/dev/tpmrm1"))
        );
        assert_eq!(
            target("device:/dev/tpm0"),
            Target::Kernel(0, path("/dev/tpm0"))
        );
        assert_eq!(
            target("device:/dev/pts/3"),
            Target::Device("/dev/pts/3".to_owned())
        );
        assert_eq!(target("tcsd"), Target::Kernel(0, None));
        assert!(matches!(
            target("tcsd:host=tpm.example.org"),
            Target::Remote(_)
        ));
        for text in ["swtpm:path=/x", "mssim", "libtpms:/x"] {
            assert!(matches!(target(text), Target::Software(_)), "{text}");
        }
    }
}
