//! Tests of the PEM armour.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn pem_among_other_things() {
    let (_, text, _) = FILES[1];
    let expected = KeyFile::from_pem(text).unwrap();
    let text = std::str::from_utf8(text).unwrap();
    let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let one_line: String = {
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        format!("-----BEGIN {LABEL}-----\n{body}\n-----END {LABEL}-----")
    };
    for variant in [
        text.to_owned(),
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
        text.replace('\n', " \t\n"),
        format!("\u{feff}{text}"),
        format!("a comment\n\n{other}{text}{other}"),
        format!("0 begins like DER\n{text}"),
        format!("{text}{}", full().to_pem()),
        one_line,
    ] {
        assert_eq!(
            KeyFile::from_pem(variant.as_bytes()).as_ref(),
            Ok(&expected),
            "{variant}"
        );
        assert_eq!(
            KeyFile::from_bytes(variant.as_bytes()).as_ref(),
            Ok(&expected)
        );
    }
}

#[test]
fn pem_errors() {
    let pem = full().to_pem();
    let error = |text: &str| KeyFile::from_pem(text.as_bytes()).unwrap_err();
    let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(error(""), FileError::NoBlock { labels: vec![] });
    assert_eq!(
        error(&other.repeat(2)).to_string(),
        "key file: no TSS2 PRIVATE KEY block found, there is \"CERTIFICATE\"; give the file that the key \
         was written to"
    );
    let tpm12 = "-----BEGIN TSS KEY BLOB-----\nAAAA\n-----END TSS KEY BLOB-----\n";
    assert_eq!(error(tpm12), FileError::Tpm12);
    assert!(
        error(tpm12)
            .to_string()
            .contains("TPM 1.2 key; a TPM 2.0 cannot load it")
    );
    // A key of ours beside it is found all the same.
    assert!(KeyFile::from_pem(format!("{tpm12}{pem}").as_bytes()).is_ok());

    let line = |text: &str| match error(text) {
        FileError::Armour { line, problem, .. } => (line, problem),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        line(pem.trim_end().trim_end_matches('-')).1,
        "the END line names another label"
    );
    assert_eq!(
        line(&format!("x\n{}", pem.split_once("-----END").unwrap().0)),
        (2, "there is no END line")
    );
    let headers = pem.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1);
    assert_eq!(line(&headers).0, 2);
    assert_eq!(
        line(&pem.replacen("MI", "!I", 1)).1,
        "the base64 before it is not valid"
    );
    assert!(matches!(
        error(&pem.replacen("MI", "M", 1)),
        FileError::Armour { .. }
    ));
    let label = pem.replace(LABEL, LEGACY_LABEL);
    assert_eq!(
        line(&label),
        (1, "the label does not belong to this type of key")
    );
    let label = legacy().to_pem().replace(LEGACY_LABEL, LABEL);
    assert_eq!(line(&label).0, 1);
    let nested = pem.replacen('\n', "\n-----BEGIN X-----\n", 1);
    assert_eq!(line(&nested), (2, "expected base64 or the END line"));
}
