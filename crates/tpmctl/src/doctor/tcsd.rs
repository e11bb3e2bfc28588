//! Layer 5: tcsd, through which programs share a TPM 1.2.

use std::env;

use tss::discovery::{Chip, TCSD_PORT, TCSD_USER, user_name};

use super::Scene;
use super::machine::Firmware;
use super::verdict::Finding;

/// Finding 5.
pub(super) fn finding(scene: &Scene, firmware: &Firmware, chip: Option<&Chip>) -> Finding {
    let address = scene.tcsd_port();
    let old = match chip {
        Some(chip) => chip.major == Some(1),
        None => firmware.tcpa && firmware.tpm2.is_none(),
    };
    if !old && address.is_none() {
        return Finding::not_applicable("tcsd is for TPM 1.2 only.");
    }
    let port = address
        .or_else(|| env::var("TSS_TCSD_PORT").ok()?.parse().ok())
        .unwrap_or(TCSD_PORT);
    let machine = &scene.machine;
    if chip.is_none() && machine.listener(port).is_none() {
        return Finding::not_checked("Without a TPM tcsd does not start (layers 1 and 2).");
    }
    let running = machine.processes("tcsd");
    match (machine.listener(port), running.as_slice()) {
        (Some(uid), pids) => {
            let owner = user_name(machine.root(), uid);
            let pid = pids.first().map_or_else(String::new, |pid| format!(" (process {pid})"));
            let listens = format!("tcsd{pid} listens at port {port} as {owner}.");
            let trusted = owner == TCSD_USER || uid == 0;
            if pids.is_empty() || !trusted {
                let what = format!(
                    "Somebody listens at port {port} as {owner}, and it is not tcsd as user {TCSD_USER}."
                );
                // The provider asks nobody else either, whatever the address says.
                let (finding, why) = match address.is_some() && !trusted {
                    true => (
                        Finding::problem(what),
                        "It is refused: whoever listens there sees every request, and could answer in the TPM's \
                         place. Find out who it is, end it, and start tcsd.",
                    ),
                    false => (
                        Finding::warning(what),
                        "Whoever listens there sees every request, and could answer in the TPM's place.",
                    ),
                };
                return finding
                    .why(why)
                    .command(format!("ss -ltnp 'sport = :{port}'"));
            }
            Finding::ok(listens)
        }
        (None, [pid, ..]) => Finding::problem(format!(
            "tcsd (process {pid}) runs, and does not listen at port {port}."
        ))
        .why("Another port is in its configuration. Name it as in tcsd:port=N.")
        .command("grep port /etc/tcsd.conf"),
        (None, []) if address.is_some() => Finding::problem("tcsd does not run.")
            .why(
                "Programs share a TPM 1.2 through it. It needs /dev/tpm0, and /etc/tcsd.conf as root:tss \
                 with mode 0640.",
            )
            .command("systemctl enable --now tcsd")
            .command("journalctl -u tcsd"),
        (None, []) => Finding::warning("tcsd does not run.")
            .why("Without it one program at a time can use a TPM 1.2, by /dev/tpm0.")
            .command("systemctl enable --now tcsd")
            .command("export TPM_TCTI=tcsd"),
    }
}
