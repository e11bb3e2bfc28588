//! What the kernel shows of a TPM: firmware tables, drivers, devices, who has them open. Everything is
//! read below a root, so that a copy of another machine's files can be looked at as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keys::printable;

use tss::discovery::{self, Chip};
use tss::tpm2::Name;

use super::device_paths::{DeviceFile, DevicePaths};

/// A machine, or a copy of its files.
pub(crate) struct Machine {
    root: PathBuf,
    devices: Box<dyn DevicePaths>,
}

/// How the firmware says that a TPM 2.0 is spoken to (TCG ACPI Specification, table 7: start method).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// The FIFO interface, which tpm_tis drives.
    Fifo,
    /// The command-response buffer, which tpm_crb drives.
    Crb,
    /// Something else, or only root may read the table.
    Unknown,
}

/// What the firmware announces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Firmware {
    /// Whether there are any ACPI tables.
    pub(super) acpi: bool,
    /// The table TPM2.
    pub(super) tpm2: Option<Interface>,
    /// The table TCPA, of a TPM 1.2.
    pub(super) tcpa: bool,
    /// ACPI and PNP devices that are TPMs: `MSFT0101`, `PNP0C31` ...
    pub(super) devices: Vec<String>,
    /// What a device tree calls its TPM: `tcg,tpm_tis-spi` ...
    pub(super) compatible: Option<String>,
}

impl Firmware {
    /// Whether it announces a TPM at all.
    pub(super) fn announces(&self) -> bool {
        self.tpm2.is_some() || self.tcpa || !self.devices.is_empty() || self.compatible.is_some()
    }
}

/// A process that has a device open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) device: String,
}

/// Who has a TPM's devices open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Holders {
    pub(crate) holders: Vec<Holder>,
    /// Processes of others, whose files only root sees.
    pub(crate) hidden: usize,
}

impl Machine {
    /// The machine whose files are below `root`.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: fs::canonicalize(root)?,
            devices: super::device_paths::below(root)?,
        })
    }

    /// Whether this is the machine that the command runs on.
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where an absolute path of that machine is here.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The content of a text file; nothing if it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// The names in a directory, sorted; none if it cannot be read.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// What is at this path of /dev.
    pub(super) fn device(&self, path: &str) -> io::Result<Option<DeviceFile>> {
        self.devices.file(path)
    }

    /// Whether programs here live in a container, to which its host hands devices.
    pub(super) fn is_container(&self) -> bool {
        [
            "/.dockerenv",
            "/run/.containerenv",
            "/run/systemd/container",
        ]
        .iter()
        .any(|path| self.exists(path))
    }

    /// What the firmware announces.
    pub(super) fn firmware(&self) -> Firmware {
        const TABLES: &str = "/sys/firmware/acpi/tables";
        let table = |name: &str| format!("{TABLES}/{name}");
        Firmware {
            acpi: self.exists(TABLES),
            tpm2: self
                .exists(&table("TPM2"))
                .then(|| start_method(&fs::read(self.at(table("TPM2"))).unwrap_or_default())),
            tcpa: self.exists(&table("TCPA")),
            devices: self.firmware_devices(),
            compatible: self.tree("/sys/firmware/devicetree/base", 0),
        }
    }

    fn firmware_devices(&self) -> Vec<String> {
        // ACPI devices are called by their identifier; PNP devices tell it in a file.
        let acpi = self.names("/sys/bus/acpi/devices");
        let acpi = acpi
            .iter()
            .filter_map(|name| Some(name.split_once(':')?.0.to_owned()));
        let pnp = self.names("/sys/bus/pnp/devices");
        let pnp = pnp
            .iter()
            .filter_map(|name| self.text(&format!("/sys/bus/pnp/devices/{name}/id")))
            .flat_map(|ids| {
                ids.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            });
        let mut devices: Vec<String> = acpi
            .chain(pnp)
            .filter(|id| super::drivers::of_identifier(id).is_some())
            .collect();
        devices.sort();
        devices.dedup();
        devices
    }

    /// The first `compatible` of the first node that is called tpm, or for what it emulates.
    fn tree(&self, directory: &str, depth: u8) -> Option<String> {
        const DEEPEST: u8 = 8;
        for name in self.names(directory) {
            let path = format!("{directory}/{name}");
            if !self.at(&path).is_dir() {
                continue;
            }
            let bare = name.split('@').next().unwrap_or_default();
            if ["tpm", "ftpm", "vtpm", "tpm_tis"].contains(&bare)
                && let Some(text) = self.text(&format!("{path}/compatible"))
            {
                let first = text.split('\0').next().unwrap_or_default();
                return Some(first.trim().to_owned());
            }
            if depth < DEEPEST
                && let Some(found) = self.tree(&path, depth + 1)
            {
                return Some(found);
            }
        }
        None
    }

    /// TPMs that drivers have registered, by number.
    pub(super) fn chips(&self) -> Vec<Chip> {
        discovery::chips(&self.root)
    }

    /// What the kernel calls the null hierarchy's primary of TPM `number`, if it encrypts its own sessions.
    pub(super) fn null_name(&self, number: u32) -> Option<Name> {
        let text = self.text(&format!("sys/class/tpm/tpm{number}/null_name"))?;
        Name::from_hex(text.trim())
    }

    /// Whether a driver's module is loaded or built in.
    pub(super) fn has_module(&self, name: &str) -> bool {
        self.exists(&format!("/sys/module/{name}"))
    }

    /// Who has one of these devices open.
    pub(crate) fn holders(&self, devices: &[&str]) -> Holders {
        let mut found = Holders::default();
        let this = std::process::id();
        for name in self.names("/proc") {
            let Ok(pid) = name.parse::<u32>() else {
                continue;
            };
            if self.is_this() && pid == this {
                continue;
            }
            let entries = match fs::read_dir(self.at(format!("/proc/{pid}/fd"))) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    found.hidden += 1;
                    continue;
                }
                // It has ended meanwhile.
                Err(_) => continue,
            };
            let mut open: Vec<PathBuf> = entries
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .collect();
            open.sort();
            open.dedup();
            for device in devices {
                if open.iter().any(|target| target == Path::new(device)) {
                    found.holders.push(Holder {
                        pid,
                        name: self.process(pid),
                        device: (*device).to_owned(),
                    });
                }
            }
        }
        found.holders.sort_by_key(|holder| holder.pid);
        found
    }

    fn process(&self, pid: u32) -> String {
        let name = self.text(&format!("/proc/{pid}/comm")).unwrap_or_default();
        printable::name(name.trim())
    }

    /// Processes of this name.
    pub(super) fn processes(&self, name: &str) -> Vec<u32> {
        self.names("/proc")
            .iter()
            .filter_map(|pid| pid.parse().ok())
            .filter(|&pid| self.process(pid) == name)
            .collect()
    }

    /// As whom somebody listens at a TCP port.
    pub(super) fn listener(&self, port: u16) -> Option<u32> {
        discovery::listeners(&self.root, port).first().copied()
    }
}

/// The start method of a table TPM2: after the common header come platform class, a reserved half-word
/// and the control area's address.
fn start_method(table: &[u8]) -> Interface {
    const AT: usize = 36 + 2 + 2 + 8;
    let method = table
        .get(AT..AT + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes);
    match method {
        Some(6) => Interface::Fifo,
        Some(2 | 7 | 8 | 11) => Interface::Crb,
        _ => Interface::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let machine = Machine::new(root.path()).unwrap();
        (root, machine)
    }

    #[test]
    fn a_table_tells_its_interface() {
        let mut table = vec![0; 52];
        for (method, interface) in [
            (6, Interface::Fifo),
            (7, Interface::Crb),
            (8, Interface::Crb),
            (2, Interface::Crb),
            (11, Interface::Crb),
            (0, Interface::Unknown),
        ] {
            table[48] = method;
            assert_eq!(start_method(&table), interface);
        }
        // Only root may read it.
        assert_eq!(start_method(&[]), Interface::Unknown);
        assert_eq!(start_method(&table[..51]), Interface::Unknown);
    }

    #[test]
    fn firmware_is_announced_in_three_ways() {
        let (_root, nothing) = machine(&[]);
        assert_eq!(nothing.firmware(), Firmware::default());
        let (_root, acpi) = machine(&[
            ("sys/firmware/acpi/tables/TCPA", b""),
            ("sys/bus/acpi/devices/MSFT0101:00/hid", b"MSFT0101\n"),
            ("sys/bus/acpi/devices/PNP0C0A:00/hid", b"PNP0C0A\n"),
            ("sys/bus/pnp/devices/00:05/id", b"IFX0102\nPNP0C31\n"),
        ]);
        let firmware = acpi.firmware();
        assert!(firmware.acpi && firmware.tcpa && firmware.announces());
        assert_eq!(firmware.tpm2, None);
        assert_eq!(firmware.devices, ["IFX0102", "MSFT0101", "PNP0C31"]);
        let (_root, tree) = machine(&[(
            "sys/firmware/devicetree/base/soc/spi@7e204000/tpm@1/compatible",
            b"infineon,slb9670\0tcg,tpm_tis-spi\0",
        )]);
        let firmware = tree.firmware();
        assert_eq!(firmware.compatible.as_deref(), Some("infineon,slb9670"));
        assert!(firmware.announces() && !firmware.acpi);
    }

    #[test]
    fn holders_are_found_by_their_descriptors() {
        let (root, machine) = machine(&[
            ("proc/7/comm", b"tcsd\n"),
            ("proc/7/fd/README", b""),
            ("proc/8/comm", b"cat\n"),
            ("proc/self/comm", b"x\n"),
        ]);
        symlink("/dev/tpm0", root.path().join("proc/7/fd/3")).unwrap();
        symlink("/dev/tpm0", root.path().join("proc/7/fd/4")).unwrap();
        symlink("/dev/tpm00", root.path().join("proc/7/fd/5")).unwrap();
        let found = machine.holders(&["/dev/tpm0", "/dev/tpmrm0"]);
        assert_eq!(
            found.holders,
            [Holder {
                pid: 7,
                name: "tcsd".to_owned(),
                device: "/dev/tpm0".to_owned()
            }]
        );
        assert_eq!(machine.processes("tcsd"), [7]);
        assert!(machine.processes("tpm2-abrmd").is_empty());
    }
}
