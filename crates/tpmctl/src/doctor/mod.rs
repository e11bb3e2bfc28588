//! `tpmctl doctor`: one verdict for each layer between the hardware and OpenSSL, and what to type.
//!
//! Layers 1 to 5 are the machine's ([`system`], [`tcsd`]) and are read below a root; 6 is the
//! [`address`]; 7 to 11 are what the TPM says ([`probe`], [`probe12`]); 12 is OpenSSL's configuration ([`openssl`]), 13
//! what it says to the provider ([`settings`]).

mod address;
mod device_paths;
mod drivers;
mod lost;
mod machine;
mod null_name;
mod openssl;
mod probe;
mod probe12;
mod settings;
mod system;
mod tcsd;
mod trust;
mod verdict;

use std::io::{self, IsTerminal};

use console::Term;
use keys::Config;
use keys::config::Fault;
use tss::discovery::{Chip, User};
use tss::transport::AddressKind;

use crate::cli::{Doctor, Global};
use crate::cnf::{self, Found};
use crate::error::Error;
use crate::output;
use crate::print::wrap;
pub(crate) use machine::{Holder, Machine};
use system::Target;
pub(crate) use verdict::{Diagnosis, Verdict};

/// What is looked at: a machine, the TPM that the settings name, and who is to use it.
struct Scene {
    machine: Machine,
    /// The configuration of OpenSSL.
    found: Found,
    /// What is said in there or elsewhere of the TPM's address and of its parents.
    config: Config,
    /// What is wrong with them.
    problem: Option<String>,
    target: Target,
    user: Option<User>,
}

impl Scene {
    /// What kind of address is named, if one is.
    fn kind(&self) -> Option<&AddressKind> {
        let named = self.config.named(self.machine.root());
        named.map(|(address, _)| address.kind())
    }

    /// tcsd's port, if the address is tcsd's.
    fn tcsd_port(&self) -> Option<u16> {
        match self.kind() {
            Some(AddressKind::Tcsd { port, .. }) => Some(*port),
            _ => None,
        }
    }

    /// Whether programs reach this TPM through tcsd unless something else is said.
    fn through_tcsd(&self, chip: Option<&Chip>) -> bool {
        self.kind().is_none() && chip.is_some_and(|chip| chip.major == Some(1))
    }

    /// A text with the paths of the machine that is looked at.
    fn shown(&self, text: &str) -> String {
        if self.machine.is_this() {
            return text.to_owned();
        }
        text.replace(&*self.machine.root().to_string_lossy(), "")
    }
}

/// Looks at everything; the status is the number of the first layer that has a problem.
pub(crate) fn run(global: &Global, args: &Doctor) -> Result<u8, Error> {
    let diagnosis = examine(global, args)?;
    if global.json {
        output::print_json(&diagnosis)?;
    } else {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        output::print_as_is(&diagnosis.text(colour, wrap::width(&Term::stdout())))?;
    }
    Ok(diagnosis.first_problem)
}

/// What there is to say of each layer.
pub(crate) fn examine(global: &Global, args: &Doctor) -> Result<Diagnosis, Error> {
    let machine = Machine::new(&args.root).map_err(|error| {
        Error::new(format!(
            "{} cannot be looked at: {error}",
            args.root.display()
        ))
    })?;
    let user = match &args.user {
        Some(name) => Some(
            User::named(machine.root(), name)
                .ok_or_else(|| Error::new(format!("--user: /etc/passwd has no user {name}")))?,
        ),
        None => User::current(machine.root()),
    };
    let found = cnf::provider_section();
    let (read, faults) = crate::settings::examine(global, &found);
    let config = Config {
        address: read.config.address,
        address12: read.config.address12,
        parent_name: read.config.parent_name,
        trust_dir: read.config.trust_dir,
        ..Config::default()
    };
    let (addresses, others): (Vec<Fault>, Vec<Fault>) = faults
        .into_iter()
        .partition(|fault| fault.is_of(c"tcti") || fault.is_of(c"tcti12"));
    let addresses: Vec<String> = addresses.iter().map(Fault::to_string).collect();
    let mut problem = (!addresses.is_empty()).then(|| addresses.join("; and "));
    if let (None, None, Some(unread)) = (&problem, &config.address, &found.problem) {
        problem = Some(format!("{unread}; say with --tcti which TPM is meant"));
    }
    let target = match config.named(machine.root()) {
        Some((address, _)) => Target::of(Some(address.kind()), &address.to_string()),
        None => Target::of(None, ""),
    };
    let scene = Scene {
        machine,
        found,
        config,
        problem,
        target,
        user,
    };
    let mut findings = system::findings(&scene);
    let (finding, answer) = address::finding(&scene, &findings);
    findings.push(finding);
    findings.extend(probe::findings(&scene, &answer));
    let root_key = findings.pop();
    findings.extend(root_key.map(|root_key| {
        let root_key = trust::finding(root_key, &answer, &scene.config);
        let root_key = null_name::finding(root_key, &answer, &scene);
        match scene.machine.is_this() {
            true => lost::finding(root_key, &answer, global),
            false => root_key,
        }
    }));
    findings.push(openssl::finding(&scene.found));
    findings.push(settings::finding(&scene.found, &others));
    Ok(Diagnosis::new(findings))
}
