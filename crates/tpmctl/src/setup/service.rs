//! What one service needs: a configuration of OpenSSL of its own, the name of it in its environment, the TPM's device.

use std::os::unix::fs::MetadataExt;

use tss::discovery::{User, group_name};
use tss::transport::AddressKind;

use super::mark;
use super::place::Root;
use super::step::{Act, Step};
use crate::cli::Global;
use crate::cnf;
use crate::error::Error;
use crate::setup::args::Setup;

const SAMPLE: &str = include_str!("../../../../conf/openssl.cnf");
const AS_SERVICE: &str = include_str!("../../../../conf/as-service");
const NGINX_ENV: &str = include_str!("../../../../conf/nginx-env.conf");
const NGINX_ENV_AT: &str = "/etc/nginx/modules-enabled/90-tpm.conf";
/// The line of the sample that names a TPM.
const NO_ADDRESS: &str = "#tcti = device:/dev/tpmrm0\n";
/// In the drop-in, for the day when it goes.
const JOINED: &str = "# Put into the group for it: ";

/// A server that opens no device but the TPM, with what is peculiar to it.
struct Known {
    name: &'static str,
    /// Who its processes are in the end: a file, and what stands before the name there.
    user: (&'static str, &'static str),
    /// The file that its unit and its commands read for their environment.
    environment: Option<&'static str>,
    /// Whether its command is typed by people, who have none of it.
    is_typed: bool,
}

const KNOWN: [Known; 3] = [
    Known {
        name: "nginx",
        user: ("/etc/nginx/nginx.conf", "user "),
        environment: None,
        is_typed: true,
    },
    Known {
        name: "apache2",
        user: ("/etc/apache2/envvars", "export APACHE_RUN_USER="),
        // apache2ctl reads it, which the unit calls, too.
        environment: Some("/etc/apache2/envvars"),
        is_typed: false,
    },
    Known {
        name: "haproxy",
        user: ("/etc/haproxy/haproxy.cfg", "user "),
        environment: None,
        is_typed: true,
    },
];

/// A service on a machine.
pub(super) struct Service<'a> {
    root: &'a Root,
    name: &'a str,
    known: Option<&'static Known>,
    unit: Option<String>,
    /// Where its configuration of OpenSSL is.
    pub(super) openssl_cnf: String,
    environment: String,
    drop_in: String,
}

/// Its TPM, if that is a device.
struct Device {
    path: String,
    group: String,
}

impl<'a> Service<'a> {
    /// # Errors
    ///
    /// The machine has no such service.
    pub(super) fn find(root: &'a Root, name: &'a str, remove: bool) -> Result<Self, Error> {
        // An instance has the unit of its template.
        let file = match name.split_once('@') {
            Some((template, _)) => format!("{template}@.service"),
            None => format!("{name}.service"),
        };
        let places = [
            "/etc/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ];
        let unit = places
            .iter()
            .find_map(|dir| root.read(&format!("{dir}/{file}")));
        if unit.is_none() && !remove && root.read(&format!("/etc/init.d/{name}")).is_none() {
            return Err(Error::new(format!(
                "there is no service {name}: neither a unit {file} nor /etc/init.d/{name}; `systemctl list-unit-files` has \
                 the names, and a program that is no service takes OPENSSL_CONF from whoever starts it"
            )));
        }
        let known = KNOWN.iter().find(|known| known.name == name);
        let bare = name.split('@').next().unwrap_or(name);
        let own = format!("/etc/{bare}");
        let environment = known.and_then(|known| known.environment);
        Ok(Self {
            openssl_cnf: match root.has_dir(&own) {
                true => format!("{own}/openssl-tpm.cnf"),
                false => format!("/etc/tpm-provider/{name}.cnf"),
            },
            environment: environment.map_or_else(|| format!("/etc/default/{bare}"), str::to_owned),
            drop_in: format!("/etc/systemd/system/{name}.service.d/tpm.conf"),
            root,
            name,
            known,
            unit,
        })
    }

    /// What is to be done for it.
    pub(super) fn steps(&self, global: &Global, args: &Setup) -> Result<Vec<Step>, Error> {
        let device = self.device(global)?;
        let mut steps = Vec::new();
        steps.extend(self.openssl_cnf(global)?);
        let line = format!("OPENSSL_CONF={}", self.openssl_cnf);
        let place = self.root.place(&self.environment)?;
        steps.extend(Step::parts(place, |rest| {
            self.with_environment(rest, &line)
        })?);
        let mut joined = self.joined()?;
        let user = args.user.clone().or_else(|| self.user());
        if let (Some(user), Some(device)) = (user, &device) {
            let found = User::named(self.root.path(), &user)
                .ok_or_else(|| Error::new(format!("/etc/passwd has no user {user}")))?;
            let is_in = found
                .groups
                .iter()
                .any(|&gid| group_name(self.root.path(), gid) == device.group);
            if !is_in {
                let group = device.group.clone();
                joined = Some((user.clone(), group.clone()));
                steps.push(Step::member(Act::Join { user, group }));
            }
        }
        let text = self.drop_in(device.as_ref(), joined.as_ref(), &line);
        steps.extend(Step::whole(self.root.place(&self.drop_in)?, &text, 0o644));
        if self.known.is_some_and(|known| known.is_typed) {
            let place = self.root.place(&self.command())?;
            steps.extend(Step::whole(place, AS_SERVICE, 0o755));
        }
        if self.name == "nginx" {
            if self.root.has_dir("/etc/nginx/modules-enabled") {
                let place = self.root.place(NGINX_ENV_AT)?;
                steps.extend(Step::whole(place, NGINX_ENV, 0o644));
            }
            steps.extend(Step::directory(
                "/etc/nginx/tls",
                self.root,
                Act::Directory,
            )?);
        }
        Ok(steps)
    }

    /// What is to be undone.
    pub(super) fn back(&self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        if let Some((user, group)) = self.joined()? {
            steps.push(Step::member(Act::Leave { user, group }));
        }
        for name in [
            self.drop_in.as_str(),
            &self.command(),
            NGINX_ENV_AT,
            &self.openssl_cnf,
        ] {
            // Those two are nginx'.
            if name != NGINX_ENV_AT || self.name == "nginx" {
                steps.extend(Step::without_whole(self.root.place(name)?));
            }
        }
        steps.extend(Step::without_parts(self.root.place(&self.environment)?)?);
        let dir = self.drop_in.trim_end_matches("/tpm.conf");
        let mut dirs = vec![dir, "/etc/tpm-provider"];
        if self.name == "nginx" {
            dirs.push("/etc/nginx/tls");
        }
        // They go when there is something else to take away: they may be somebody's who has none of us.
        if !steps.is_empty() {
            for dir in dirs {
                steps.extend(Step::directory(dir, self.root, Act::RemoveDirectory)?);
            }
        }
        Ok(steps)
    }

    /// What is to be typed then.
    pub(super) fn next(&self, removed: bool) -> Vec<String> {
        let mut next = vec![
            "systemctl daemon-reload".to_owned(),
            format!("systemctl restart {}", self.name),
        ];
        if self.name == "nginx" && !removed {
            next.insert(0, "tpmctl key new -o /etc/nginx/tls/tpm.key".to_owned());
        }
        next
    }

    /// The sample. One that somebody has made, or changed, is left as it is if it serves.
    fn openssl_cnf(&self, global: &Global) -> Result<Option<Step>, Error> {
        let place = self.root.place(&self.openssl_cnf)?;
        let wanted = global.tcti.as_ref().map(ToString::to_string);
        if place
            .text
            .as_deref()
            .is_some_and(|text| mark::of_whole(text) != mark::Whose::Ours)
            && let Ok(found) = cnf::read(&place.path)
            && let Some(section) = found.section
            && section.get("activate").is_some()
            && (wanted.is_none() || wanted.as_deref() == section.get("tcti"))
        {
            return Ok(None);
        }
        let text = match &wanted {
            Some(address) => SAMPLE.replace(NO_ADDRESS, &format!("tcti = {address}\n")),
            None => SAMPLE.to_owned(),
        };
        Ok(Step::whole(place, &text, 0o644))
    }

    fn with_environment(&self, rest: &str, line: &str) -> Result<String, Error> {
        let value = |text: &str| -> Option<String> {
            let text = text.trim_start();
            let text = text.strip_prefix("export ").unwrap_or(text);
            Some(
                text.strip_prefix("OPENSSL_CONF=")?
                    .trim()
                    .trim_matches(['"', '\''])
                    .to_owned(),
            )
        };
        match rest.lines().filter_map(value).next_back() {
            Some(set) if set == self.openssl_cnf => return Ok(rest.to_owned()),
            Some(set) => {
                return Err(Error::new(format!(
                    "{} sets OPENSSL_CONF={set} already: put the provider into that file (conf/openssl.cnf has its sections), \
                     or take the line out and type this again",
                    self.environment
                )));
            }
            None => {}
        }
        let gap = if rest.is_empty() || rest.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Ok(format!(
            "{rest}{gap}{}",
            mark::block(&format!("{line}\nexport OPENSSL_CONF\n"))
        ))
    }

    /// The TPM's device and its group.
    fn device(&self, global: &Global) -> Result<Option<Device>, Error> {
        let named = match global.tcti.as_ref().map(|address| address.kind()) {
            Some(AddressKind::Device(path)) => Some(path.to_string_lossy().into_owned()),
            Some(_) => return Ok(None),
            None => None,
        };
        let there = |path: &str| self.root.look(path).is_some();
        let path = named.unwrap_or_else(|| {
            let bare = !there("/dev/tpmrm0") && there("/dev/tpm0");
            (if bare { "/dev/tpm0" } else { "/dev/tpmrm0" }).to_owned()
        });
        let group = match self.root.look(&path) {
            Some(found) if found.mode() & 0o060 == 0o060 && found.gid() != 0 => {
                group_name(self.root.path(), found.gid())
            }
            _ => "tss".to_owned(),
        };
        // A unit with a group that does not exist does not start.
        let groups = self.root.read("/etc/group").unwrap_or_default();
        if !groups
            .lines()
            .any(|line| line.split(':').next() == Some(group.as_str()))
        {
            return Err(Error::new(format!(
                "there is no group {group}, to which the TPM's device would belong: on Debian `apt-get install tpm-udev` makes \
                 it and gives the device to it, and elsewhere the package tpm2-tss; `tpmctl doctor` has more of it"
            )));
        }
        Ok(Some(Device { path, group }))
    }

    /// Who its processes are.
    fn user(&self) -> Option<String> {
        let (file, before) = self.known?.user;
        let text = self.root.read(file)?;
        let name = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(before))?;
        let end = |c: char| c.is_whitespace() || c == ';';
        let name = name.trim().split(end).next().unwrap_or_default();
        (!name.is_empty() && name != "root").then(|| name.to_owned())
    }

    /// The membership that the drop-in knows of.
    fn joined(&self) -> Result<Option<(String, String)>, Error> {
        let text = self.root.place(&self.drop_in)?.text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(JOINED));
        Ok(line
            .and_then(|line| line.split_once(' '))
            .map(|(user, group)| (user.to_owned(), group.to_owned())))
    }

    fn command(&self) -> String {
        format!("/usr/local/sbin/{}", self.name)
    }

    fn drop_in(
        &self,
        device: Option<&Device>,
        joined: Option<&(String, String)>,
        line: &str,
    ) -> String {
        let mut text = format!(
            "# Lets {} reach the TPM. Restart it once after a change: a reload keeps the groups and the environment of before.\n",
            self.name
        );
        if let Some((user, group)) = joined {
            text += &format!("{JOINED}{user} {group}\n");
        }
        text += "\n[Service]\n";
        if let Some(Device { path, group }) = device {
            text += &format!("SupplementaryGroups={group}\n");
            let unit = self.unit.as_deref().unwrap_or_default();
            let says = |what: &str| unit.lines().any(|line| line.trim().starts_with(what));
            let private = ["yes", "true", "on", "1"]
                .iter()
                .any(|yes| says(&format!("PrivateDevices={yes}")));
            // Others may need devices that nobody has named.
            if private || self.known.is_some() {
                text += &format!("PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow={path} rw\n");
            } else if says("DeviceAllow=") || says("DevicePolicy=") {
                text += &format!("DeviceAllow={path} rw\n");
            }
        }
        text += &format!("Environment={line}\n");
        if self.known.is_none_or(|known| known.environment.is_none()) {
            text += &format!("EnvironmentFile=-{}\n", self.environment);
        }
        text
    }
}
