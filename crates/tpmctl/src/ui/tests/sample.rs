//! A machine that is made up, for screens that are the same everywhere.

use crate::ui::model::facts::{
    CertificateFacts, FindingFacts, HierarchyFacts, KeyFacts, KeysFacts, LockoutFacts, Mark,
    NvFacts, NvMemory, OwnerFacts, Place, RegisterFacts, TpmFacts,
};
use crate::ui::model::job::{Job, Of, Report, Value};
use crate::ui::model::{Event, Model, Panel};

/// Everything was read.
pub(super) fn model() -> Model {
    let mut model = Model::new(Panel::Overview);
    model.update(Event::Resize { height: 24 });
    model.start();
    for (panel, value, at, took_ms) in [
        (Panel::Overview, Value::Overview(tpms()), "13:37:00", 184),
        (Panel::Keys, Value::Keys(keys()), "13:37:02", 231),
        (
            Panel::Registers,
            Value::Registers(registers("00")),
            "13:37:03",
            96,
        ),
        (
            Panel::Registers,
            Value::Registers(registers("b4")),
            "13:37:04",
            97,
        ),
        (Panel::Nv, Value::Nv(indices()), "13:37:04", 143),
        (Panel::Owner, Value::Owner(owner()), "13:37:04", 88),
        (Panel::Doctor, Value::Doctor(findings()), "13:37:05", 412),
    ] {
        model.update(Event::Report(Box::new(report(
            Job::Read(panel),
            Ok(value),
            at,
            took_ms,
        ))));
    }
    // Nothing waits: what was asked for has come.
    model.busy = None;
    model.message = None;
    model
}

pub(super) fn report(job: Job, result: Result<Value, String>, at: &str, took_ms: u64) -> Report {
    Report {
        of: Of::new(&job, None),
        result,
        lockout: None,
        at: at.to_owned(),
        took_ms,
        notes: Vec::new(),
    }
}

pub(super) fn lockout() -> LockoutFacts {
    LockoutFacts {
        locked: false,
        counter: Some(2),
        max_tries: Some(32),
        interval: Some(7200),
        recovery: Some(86400),
        auth_set: Some(true),
    }
}

fn tpms() -> Vec<TpmFacts> {
    vec![
        TpmFacts {
            address: "device:/dev/tpmrm0".into(),
            origin: "detected".into(),
            is_chosen: true,
            family: "2.0".into(),
            vendor: "IFX SLB9670".into(),
            firmware: "7.85.17.51968".into(),
            sharing: "resource-managed: every connection has its own objects".into(),
            mark: Mark::Good,
            state: "works".into(),
            lockout: Some(lockout()),
            owner_set: Some(true),
            holders: vec!["nginx (812)".into(), "tpm2-abrmd (640)".into()],
            holders_note: "3 processes of others are seen by root alone".into(),
            problem: None,
        },
        TpmFacts {
            address: "device:/dev/tpm1".into(),
            origin: "the kernel has it".into(),
            family: "1.2".into(),
            vendor: "STM".into(),
            firmware: "1.2.13.12".into(),
            sharing: "bare: one client at a time, objects are everybody's".into(),
            mark: Mark::Warning,
            state: "has no owner".into(),
            ..TpmFacts::default()
        },
        TpmFacts {
            address: "device:/dev/tpmrm2".into(),
            origin: "the kernel has it".into(),
            mark: Mark::Bad,
            state: "no answer".into(),
            problem: Some(
                "TPM device:/dev/tpmrm2 (--tcti): opening /dev/tpmrm2 failed: Permission denied; the device belongs to \
                 the group tss: `sudo usermod -aG tss alice`, then log in anew"
                    .into(),
            ),
            ..TpmFacts::default()
        },
    ]
}

fn key(place: Place, algorithm: &str, kind: &str) -> KeyFacts {
    KeyFacts {
        place,
        algorithm: algorithm.into(),
        purpose: "signs".into(),
        kind: kind.into(),
        has_pin: false,
        policy: String::new(),
        registers: Vec::new(),
        holds: None,
        certificate: None,
        used_by: Vec::new(),
        name: "000b".to_owned() + &"5c".repeat(32),
        parent: "0x40000001".into(),
        problem: None,
    }
}

fn file(name: &str, algorithm: &str, kind: &str) -> KeyFacts {
    key(
        Place::File(format!("/etc/tpm-provider/keys/{name}").into()),
        algorithm,
        kind,
    )
}

pub(super) fn keys() -> KeysFacts {
    let mut www = file("www.tpm", "EC P-256", "loadable");
    www.certificate = Some((Mark::Good, "until 2027-03-01".into()));
    www.used_by = vec!["stunnel4 (977)".into()];
    let mut mail = file("mail.tpm", "RSA 2048", "loadable");
    mail.has_pin = true;
    mail.certificate = Some((
        Mark::Bad,
        "has expired (2026-10-31 23:59 UTC): /etc/tpm-provider/keys/mail.crt".into(),
    ));
    let mut boot = file("boot.tpm", "EC P-384", "loadable");
    boot.policy = "sha256:0,7".into();
    boot.registers = vec!["sha256:0".into(), "sha256:7".into()];
    boot.holds = Some((
        Mark::Bad,
        "sha256:0,7: the registers have other values than those that the key is bound to".into(),
    ));
    let mut disk = file("disk.tpm", "sealed data", "sealed");
    disk.policy = "sha256:7+pin".into();
    disk.purpose = "holds data".into();
    disk.has_pin = true;
    disk.registers = vec!["sha256:7".into()];
    disk.holds = Some((Mark::Good, "sha256:7+pin".into()));
    let mut broken = file("old.tpm", "", "loadable");
    broken.problem = Some("the key's public area is damaged: it ends too early".into());
    let mut srk = key(Place::Handle(0x8100_0001), "EC P-256", "persistent");
    srk.purpose = "storage key, the parent of others".into();
    srk.parent = String::new();
    KeysFacts {
        keys: vec![boot, disk, mail, broken, www, srk],
        problem: None,
        only_files: false,
        usage_note:
            "with the module loaded: nginx (812). A server closes a key file when it has read it."
                .into(),
    }
}

fn findings() -> Vec<FindingFacts> {
    let finding = |number, layer: &str, mark, verdict: &str, what: &str| FindingFacts {
        number,
        layer: layer.into(),
        mark,
        verdict: verdict.into(),
        what: what.into(),
        why: String::new(),
        commands: Vec::new(),
    };
    let mut all = vec![
        finding(
            1,
            "firmware",
            Mark::Good,
            "ok",
            "The firmware announces a TPM: the ACPI table TPM2 (a TPM 2.0).",
        ),
        finding(
            2,
            "driver",
            Mark::Good,
            "ok",
            "The driver tpm_tis has registered tpm0.",
        ),
        finding(
            3,
            "device",
            Mark::Good,
            "ok",
            "/dev/tpmrm0 is there, and alice may use it.",
        ),
        finding(
            4,
            "holder",
            Mark::Good,
            "ok",
            "/dev/tpmrm0 is open in nginx (812).",
        ),
        finding(
            5,
            "tcsd",
            Mark::Plain,
            "not needed",
            "A TPM 2.0 has no tcsd.",
        ),
        finding(
            6,
            "address",
            Mark::Good,
            "ok",
            "The TPM is device:/dev/tpmrm0, which was detected: nothing names another.",
        ),
        finding(
            7,
            "identity",
            Mark::Good,
            "ok",
            "This is a TPM 2.0 by IFX (SLB9670), firmware 7.85.17.51968.",
        ),
        finding(8, "self-test", Mark::Good, "ok", "The self-test succeeded."),
        finding(
            9,
            "lockout",
            Mark::Warning,
            "warning",
            "2 of 32 wrong tries are counted.",
        ),
        finding(
            10,
            "room",
            Mark::Good,
            "ok",
            "There is room for objects and sessions.",
        ),
        finding(
            11,
            "root key",
            Mark::Warning,
            "warning",
            "There is no storage root key at 0x81000001.",
        ),
        finding(
            12,
            "openssl",
            Mark::Good,
            "ok",
            "/etc/ssl/openssl.cnf activates default, then tpm.",
        ),
        finding(
            13,
            "settings",
            Mark::Good,
            "ok",
            "Nothing gives protection up.",
        ),
    ];
    all[8].why = "One is forgotten every 7200 s.".into();
    all[10].why =
        "Each key under the owner hierarchy needs its primary made anew when it is loaded.".into();
    all[10].commands = vec!["tpmctl srk create".into()];
    all
}

/// Register 7 has the value that is given, between two readings.
fn registers(seven: &str) -> Vec<RegisterFacts> {
    let register = |number: u8, value: String, purpose: &str| RegisterFacts {
        bank: "sha256".into(),
        number,
        value,
        purpose: purpose.into(),
    };
    let mut all = vec![
        register(0, "3d45".repeat(16), "the firmware"),
        register(4, "91aa".repeat(16), "boot loader, and what it starts"),
        register(7, seven.repeat(32), "Secure Boot"),
    ];
    all.extend((8..24).map(|number| register(number, "00".repeat(32), "")));
    all
}

fn indices() -> NvMemory {
    let index = |index: &str, purpose: &str, bytes| NvFacts {
        index: index.into(),
        purpose: purpose.into(),
        kind: "ordinary".into(),
        bytes,
        more: vec![
            ("read by".into(), "owner, value".into()),
            ("written by".into(), "platform".into()),
        ],
        is_written: Some(true),
        certificate: None,
    };
    let mut ek = index(
        "0x01c00002",
        "certificate of the endorsement key on RSA-2048",
        1184,
    );
    ek.certificate = Some(CertificateFacts {
        mark: Mark::Good,
        subject: "".into(),
        issuer: "C=DE, O=Infineon Technologies AG, CN=Infineon OPTIGA(TM) RSA Manufacturing CA 035"
            .into(),
        validity: "until 2033-08-17".into(),
    });
    let mut counter = index("0x01800001", "of the owner", 8);
    counter.kind = "counter".into();
    counter.is_written = Some(false);
    NvMemory {
        indices: vec![counter, ek],
        warning: None,
    }
}

fn owner() -> OwnerFacts {
    let hierarchy = |name: &str, mark, is_set, state: &str, meaning: &str| HierarchyFacts {
        name: name.into(),
        mark,
        is_set,
        state: state.into(),
        meaning: meaning.into(),
        commands: Vec::new(),
    };
    OwnerFacts {
        hierarchies: vec![
            hierarchy(
                "owner",
                Mark::Good,
                Some(true),
                "authorization value set",
                "Its value is needed for primary keys, for persistent keys and for NV memory.",
            ),
            hierarchy(
                "endorsement",
                Mark::Plain,
                Some(false),
                "authorization value empty",
                "For attestation.",
            ),
            hierarchy(
                "lockout",
                Mark::Warning,
                Some(false),
                "authorization value empty: whoever may use the TPM can clear it, which destroys every key",
                "Its value is needed to clear the TPM.",
            ),
        ],
        lockout: Some(lockout()),
        root_key: (
            Mark::Good,
            "at 0x81000001, of the standard template (ecc), a primary of the owner hierarchy"
                .into(),
        ),
        has_root_key: true,
        no_clear: None,
    }
}
