//! Listing a directory of key files through PKCS#11.

use crate::Plan;
use crate::report::Report;
use keys::tss2::KeyFile;
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

/// The octets of a coordinate on P-256.
const COORDINATE: usize = 32;

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(
        "C_Initialize, C_GetSlotList, C_OpenSession and a search for all objects, in a directory of so many key files, each \
         of another key: the first time, and again when nothing has changed. Raw is reading every file of the \
         directory, in the same process, just before. No TPM is asked.",
    );
    let bench = Bench::new();
    bench.tpmctl("key new -o key.tpm").ok();
    let file = KeyFile::from_bytes(&bench.openssl.dir().read("key.tpm")).expect("a key file");
    let mut rows = Vec::new();
    for count in [10, 100, plan.choose(1000, 10_000)] {
        let dir = Scratch::new();
        for number in 0..count {
            dir.write(&format!("{number}.tpm"), another(&file));
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
fn another(file: &KeyFile) -> String {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let key = EcKey::generate(&group).expect("a key");
    let mut context = BigNumContext::new().expect("a context");
    let form = PointConversionForm::UNCOMPRESSED;
    let point = key.public_key().to_bytes(&group, form, &mut context);
    let point = point.expect("a point");
    let (x, y) = point[1..].split_at(COORDINATE);
    let mut other = file.clone();
    // The public area ends in both coordinates, each behind its length.
    let end = other.public.len();
    other.public[end - COORDINATE..].copy_from_slice(y);
    let end = end - COORDINATE - 2;
    other.public[end - COORDINATE..end].copy_from_slice(x);
    other.to_pem()
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
