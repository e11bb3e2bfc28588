//! Java's SunPKCS11: its tools, signatures, and TLS.

use testkit::pkcs11::Module;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::table::{Kind, Tls, VERSIONS};
use testkit::tools::{need, root, sample, substitute};

use super::table::find;
use super::{Case, Seen, configuration, each_cell, page_is_right};

const PACKAGE: &str = "default-jdk-headless";

/// One of Java's programs; `java.cfg` and `java.security` are the samples, with the slot of the case's key.
fn java(case: &Case, program: &str) -> Run {
    let text = configuration("java.cfg");
    let slot = Module::start(&case.keys.settings()).slots()[0];
    let dir = case.keys.openssl.dir();
    dir.write(
        "java.cfg",
        substitute(&text, "slot = 1", &format!("slot = {slot}")),
    );
    let text = substitute(
        &sample("pkcs11/java.security"),
        "/etc/tpm-provider/java.cfg",
        &dir.join("java.cfg").display().to_string(),
    );
    dir.write("java.security", text);
    case.keys.program(program, PACKAGE)
}

/// The arguments of keytool and jarsigner that name the key store.
fn store(case: &Case, run: Run) -> Run {
    let run =
        run.words("-keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg java.cfg");
    match case.pin {
        None => run.args(["-storepass", ""]),
        Some(_) => run.args(["-storepass:file", "given"]),
    }
}

/// A program, compiled once for all of a row's cells.
fn compile(source: &str) -> Scratch {
    let classes = Scratch::new();
    Run::new(need("javac", PACKAGE))
        .arg("-d")
        .arg(classes.path())
        .arg(root().join(source))
        .ok();
    classes
}

/// `java` with a compiled program.
fn program(case: &Case, classes: &Scratch, class: &str) -> Run {
    java(case, "java")
        .words("-XX:TieredStopAtLevel=1 -Djava.security.properties=java.security")
        .words(
            "-Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit -cp",
        )
        .arg(classes.path())
        .arg(class)
}

#[test]
pub fn keytool_lists() {
    each_cell(find(keytool_lists), |case| {
        let done = store(case, java(case, "keytool").arg("-list")).done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        assert!(done.out().contains("tpm, PrivateKeyEntry"), "{done}");
        assert!(done.out().contains("contains 1 entry"), "{done}");
        Seen::Listing
    });
}

#[test]
pub fn jarsigner_signs() {
    each_cell(find(jarsigner_signs), |case| {
        case.keys
            .program("jar", PACKAGE)
            .words("cf a.jar software.crt")
            .ok();
        let done = store(case, java(case, "jarsigner"))
            .words("a.jar tpm")
            .done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        let done = case
            .keys
            .program("jarsigner", PACKAGE)
            .words("-verify a.jar")
            .ok();
        assert!(done.out().contains("jar verified"), "{done}");
        Seen::Operations(1)
    });
}

#[test]
pub fn java_signs() {
    let classes = compile("tests/java/Signatures.java");
    each_cell(find(java_signs), |case| {
        let (algorithms, others): (&[&str], _) = match case.kind {
            Kind::Rsa => (
                &["SHA256withRSA", "SHA512withRSA", "RSASSA-PSS"],
                "SHA256withECDSA SunEC",
            ),
            Kind::Ec => (
                &["SHA256withECDSA", "SHA1withECDSA"],
                "RSASSA-PSS SunRsaSign",
            ),
        };
        case.keys.openssl.plain().ok(
            "pkcs12 -export -inkey software.key -in software.crt -name software -out software.p12 \
             -passout pass:changeit",
        );
        let pin = if case.pin.is_some() { "given" } else { "-" };
        let done = program(case, &classes, "Signatures")
            .args([pin, "software.p12"])
            .args(algorithms)
            .done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        let lines = algorithms.iter().map(|algorithm| {
            format!("tpm {algorithm} SunPKCS11-TPM true\nsoftware {others} true\n")
        });
        assert_eq!(done.out(), lines.collect::<String>(), "{done}");
        Seen::Operations(algorithms.len())
    });
}

#[test]
pub fn java_connects() {
    let classes = compile("conf/pkcs11/Client.java");
    each_cell(find(java_connects), |case| {
        for version in VERSIONS {
            let server = case.server(version);
            if version == VERSIONS[0] {
                case.keys
                    .program("keytool", PACKAGE)
                    .words("-importcert -noprompt -alias inner -file inner.crt -keystore trust.p12 -storepass changeit")
                    .ok();
            }
            let only = match version {
                Tls::V12 => "TLSv1.2",
                Tls::V13 => "TLSv1.3",
            };
            let mut run = program(case, &classes, "Client")
                .arg(format!("https://localhost:{}/", server.port))
                .arg("tpm")
                .env(
                    "JAVA_TOOL_OPTIONS",
                    format!("-Djdk.tls.client.protocols={only}"),
                );
            if case.pin.is_some() {
                run = run.arg("given");
            }
            let done = run.done();
            if !page_is_right(&done, version) {
                println!("{done}{}", server.output());
                return Seen::Failure;
            }
        }
        Seen::Operations(VERSIONS.len())
    });
}
