//! One key, or one storage key, for several machines: each serves with its own TPM, and no other can.

use std::fs;

use testkit::bench::Bench;
use testkit::nginx::{Block, Config as NginxConfig, Nginx};
use testkit::tls::Load;

use super::import::{P256, refuses, signs, software};
use super::{fails, ok};

/// Where the fleet's storage key is in each TPM.
const FLEET: &str = "0x81020000";

/// Three machines; the storage keys of the first `named` are at the office as `node0.pem` and so on.
fn machines(office: &Bench, named: usize) -> Vec<Bench> {
    fs::create_dir(office.openssl.dir().join("out")).expect("a directory");
    let machines: Vec<Bench> = (0..3).map(|_| Bench::new()).collect();
    for (number, machine) in machines.iter().enumerate().take(named) {
        ok(machine, "srk export -o srk.pem");
        bring(machine, "srk.pem", office, &format!("node{number}.pem"));
    }
    machines
}

fn bring(from: &Bench, file: &str, to: &Bench, name: &str) {
    to.openssl.dir().write(name, from.openssl.dir().read(file));
}

fn certificate(office: &Bench, name: &str) {
    office.openssl.plain().ok(&format!(
        "req -x509 -key {name}.pem -subj /CN=localhost -days 2 -out {name}.crt"
    ));
}

/// An nginx with these certificates and keys serves, each from its own block.
fn serves(machine: &Bench, names: &[&str], extra: &str) {
    let own = machine.openssl.dir();
    let blocks: Vec<Block> = names
        .iter()
        .map(|name| {
            let block = Block::new(
                own.join(&format!("{name}.crt")),
                own.join(&format!("{name}.key")),
            );
            match extra {
                "" => block,
                extra => block.extra(extra),
            }
        })
        .collect();
    let mut server = Nginx::start(&machine.openssl, &NginxConfig::new(blocks).workers(2));
    for (n, name) in names.iter().enumerate() {
        Load::new(server.port(n), 6)
            .clients(2)
            .trusting(own.join(&format!("{name}.crt")))
            .run()
            .all(6);
    }
    server.reload();
    Load::new(server.port(0), 4).clients(2).run().all(4);
    server.quit();
    machine.tpm.assert_clean();
}

/// Three nginx, one certificate.
#[test]
fn one_key_on_three_machines() {
    let office = Bench::without_srk();
    let machines = machines(&office, 2);
    for (name, kind) in [("ec", P256), ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048")] {
        software(&office, name, kind);
        certificate(&office, name);
        ok(
            &office,
            &format!("key wrap {name}.pem --for node0.pem --for node1.pem -f -o out"),
        );
        for (number, machine) in machines.iter().enumerate() {
            for extension in ["crt", "pub"] {
                let file = format!("{name}.{extension}");
                bring(&office, &file, machine, &file);
            }
            let own = format!("out/node{}.tpm", number.min(1));
            bring(&office, &own, machine, &format!("{name}.key"));
        }
        // The third was not named.
        refuses(&machines[2], &format!("{name}.key"), &["another TPM"]);
        fails(
            &machines[2],
            &format!("key finish {name}.key"),
            &["another TPM"],
        );
        machines[2].tpm.assert_clean();
    }
    for machine in &machines[..2] {
        serves(machine, &["ec", "rsa"], "");
    }
    // Added later, with one file more.
    ok(&machines[2], "srk export -o srk.pem");
    bring(&machines[2], "srk.pem", &office, "node2.pem");
    for name in ["ec", "rsa"] {
        ok(
            &office,
            &format!("key wrap {name}.pem --for node2.pem -f -o out"),
        );
        bring(
            &office,
            "out/node2.tpm",
            &machines[2],
            &format!("{name}.key"),
        );
        ok(&machines[2], &format!("key finish {name}.key"));
    }
    serves(&machines[2], &["ec", "rsa"], "");
}

/// Machines with one storage key: a certificate's key is one file for all of them.
#[test]
fn two_certificates_below_one_storage_key() {
    let office = Bench::without_srk();
    let machines = machines(&office, 3);
    software(&office, "fleet", P256);
    ok(
        &office,
        "key wrap fleet.pem --storage-key --for node0.pem --for node1.pem -o out",
    );
    for (number, machine) in machines.iter().enumerate().take(2) {
        bring(
            &office,
            &format!("out/node{number}.tpm"),
            machine,
            "fleet.tpm",
        );
        ok(machine, &format!("key persist fleet.tpm {FLEET}"));
    }
    for (name, kind) in [("ec", P256), ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048")] {
        software(&office, name, kind);
        certificate(&office, name);
        ok(
            &office,
            &format!("key wrap {name}.pem --for fleet.pub --parent {FLEET} -f -o out"),
        );
        for machine in &machines {
            bring(&office, "out/fleet.tpm", machine, &format!("{name}.key"));
            bring(
                &office,
                &format!("{name}.crt"),
                machine,
                &format!("{name}.crt"),
            );
        }
    }
    for machine in &machines[..2] {
        serves(machine, &["ec", "rsa"], "");
    }
    // The third has not got it: nothing at the handle, and then another key there.
    let outsider = &machines[2];
    refuses(outsider, "ec.key", &[FLEET]);
    bring(&office, "out/node0.tpm", outsider, "fleet.tpm");
    fails(
        outsider,
        &format!("key persist fleet.tpm {FLEET}"),
        &["another TPM"],
    );
    outsider.tool("tpm2_createprimary -Q -C e -g sha256 -G ecc -c p.ctx");
    outsider.tool(&format!("tpm2_evictcontrol -Q -C o -c p.ctx {FLEET}"));
    outsider.tpm.flush();
    refuses(outsider, "ec.key", &["another TPM"]);
    outsider.tpm.assert_clean();
}

/// A child of the fleet's key with a PIN: by openssl a wrong one costs one try, and by nginx it serves, also after a reload.
#[test]
fn a_pin_below_the_fleets_key() {
    let office = Bench::without_srk();
    let machines = machines(&office, 1);
    let machine = &machines[0];
    software(&office, "fleet", P256);
    ok(
        &office,
        "key wrap fleet.pem --storage-key --for node0.pem -o out",
    );
    bring(&office, "out/node0.tpm", machine, "fleet.tpm");
    ok(machine, &format!("key persist fleet.tpm {FLEET}"));
    software(&office, "www", P256);
    certificate(&office, "www");
    ok(
        &office,
        &format!("key wrap www.pem --for fleet.pub --parent {FLEET} --auth correct-horse -o out"),
    );
    bring(&office, "out/fleet.tpm", machine, "www.key");
    for file in ["www.crt", "www.pub"] {
        bring(&office, file, machine, file);
    }
    machine.tap.reset();
    for _ in 0..2 {
        let wrong = machine.openssl.fails(
            "pkeyutl -sign -inkey www.key -in www.pub -rawin -digest sha256 -out sig -passin pass:wrong",
        );
        drop(wrong.never_says("panicked"));
        signs(machine, "www.key", "www.pub", "-passin pass:correct-horse");
    }
    assert!(!machine.tap.saw(b"correct-horse"));
    let pin = machine.openssl.dir().write("pin", "correct-horse\n");
    let extra = format!("ssl_password_file {};", pin.display());
    serves(machine, &["www"], &extra);
    // Made for ever.
    ok(machine, "key finish www.key");
    signs(machine, "www.key", "www.pub", "-passin pass:correct-horse");
    serves(machine, &["www"], &extra);
}
