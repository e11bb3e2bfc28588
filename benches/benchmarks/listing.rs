//! Listing a directory of key files through PKCS#11.

use crate::Plan;
use crate::report::Report;
use openssl::base64::{decode_block, encode_block};
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::nid::Nid;
use std::fs;
use std::path::Path;
use std::ptr;
use std::time::Instant;
use testkit::bench::Bench;
use testkit::p11;
use testkit::pkcs11::Module;
use testkit::scratch::Scratch;

/// The octets of an uncompressed point on P-256 behind its first.
const POINT: usize = 64;
/// Between a public area's coordinates, in a TPM2B each, are the second one's length.
const HALF: usize = POINT / 2;

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(
        "C_Initialize, C_GetSlotList, C_OpenSession and a search for all objects, in a directory of so many key files, each \
         of another key: the first time, and again when nothing has changed. Raw is reading every file of the \
         directory, in the same process, just before. No TPM is asked.",
    );
    let bench = Bench::new();
    bench.tpmctl("key new -o key.tpm").ok();
    let pem = bench.openssl.dir().read_text("key.tpm");
    let mut rows = Vec::new();
    for count in [10, 100, plan.choose(1000, 10_000)] {
        let dir = Scratch::new();
        for number in 0..count {
            dir.write(&format!("{number}.tpm"), another(&pem));
        }
        let start = Instant::now();
        read_all(dir.path());
        let raw = start.elapsed();
        let start = Instant::now();
        let module = Module::start(&format!("key-dirs={}", dir.path().display()));
        let first_objects = objects(&module);
        let first = start.elapsed();
        let start = Instant::now();
        let again_objects = objects(&module);
        let again = start.elapsed();
        // A private and a public key for each file, and the module's profile.
        assert_eq!(
            (first_objects, again_objects),
            (2 * count + 1, 2 * count + 1)
        );
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
        rows.push(vec![
            count.to_string(),
            format!("{:.1}", milliseconds(raw)),
            format!("{:.1}", milliseconds(first)),
            format!("{:.1}", milliseconds(again)),
            format!("{:.2}", milliseconds(first) / milliseconds(raw)),
        ]);
    }
    report.table(
        &[
            "files",
            "raw, ms",
            "first, ms",
            "again, ms",
            "first, of raw",
        ],
        &rows,
    );
}

/// The key file with the point of another key: whether the private part is its own only the TPM would tell.
fn another(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = decode_block(&body).expect("base64");
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let key = EcKey::generate(&group).expect("a key");
    let mut context = BigNumContext::new().expect("a context");
    let form = PointConversionForm::UNCOMPRESSED;
    let point = key.public_key().to_bytes(&group, form, &mut context);
    let point = point.expect("a point");
    // The public area ends in both coordinates; the private part follows it.
    let coordinate = [0, 32];
    let place = (0..der.len() - POINT - 4)
        .find(|&at| {
            der[at..].starts_with(&coordinate) && der[at + 2 + HALF..].starts_with(&coordinate)
        })
        .expect("a point in the file");
    der[place + 2..place + 2 + HALF].copy_from_slice(&point[1..=HALF]);
    der[place + 4 + HALF..place + 4 + POINT].copy_from_slice(&point[1 + HALF..]);
    let body = encode_block(&der);
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .map(|at| &body[at..body.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN TSS2 PRIVATE KEY-----\n{}\n-----END TSS2 PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

fn read_all(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert!(!fs::read(path).expect("a file").is_empty());
    }
}

/// How many objects are found in the slots that there are.
fn objects(module: &Module) -> usize {
    let mut found = 0;
    for slot in module.slots() {
        let session = module.open(slot);
        assert_eq!(
            p11!(module, C_FindObjectsInit, session, ptr::null_mut(), 0),
            0
        );
        loop {
            let mut handles = [0; 256];
            let mut count = 0;
            assert_eq!(
                p11!(
                    module,
                    C_FindObjects,
                    session,
                    handles.as_mut_ptr(),
                    256,
                    &mut count
                ),
                0
            );
            if count == 0 {
                break;
            }
            found += usize::try_from(count).expect("few");
        }
        assert_eq!(p11!(module, C_FindObjectsFinal, session), 0);
        assert_eq!(p11!(module, C_CloseSession, session), 0);
    }
    found
}
