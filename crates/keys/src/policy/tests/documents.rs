//! Policy files.
#![forbid(unsafe_code)]

use super::*;
use crate::Error;

fn registers_then_pin() -> Policy {
    Policy::new(vec![
        PolicyCommand::Pcr {
            registers: registers(),
            digest: Some(vec![0xaa; 32]),
        },
        PolicyCommand::AuthValue,
    ])
}

#[test]
fn hexadecimal_lines_of_openssl_tpm2_engine() {
    let lines = [
        format!("0000017f00000001000b03810000{}", thirty_two("aa")),
        "0000016b".into(),
    ];
    for text in [
        lines.join("\n"),
        lines.join("\r\n") + "\r\n",
        format!("\n  {} \n\n\t{}\n", lines[0].to_uppercase(), lines[1]),
    ] {
        assert_eq!(
            document::read(text.as_bytes()).unwrap(),
            registers_then_pin(),
            "{text}"
        );
    }
}

#[test]
fn lines_that_cannot_be_executed() {
    // Half an octet.
    let Err(Error::Data(text)) = document::read(b"0000016b\n0000016f0\n") else {
        panic!()
    };
    assert!(text.contains("0000016f0"), "{text}");
    // The tool has a hash in the place of what is compared.
    let line = format!("0000016d{}", thirty_two("aa"));
    let Err(Error::Unsupported(text)) = document::read(line.as_bytes()) else {
        panic!()
    };
    assert!(text.contains("`tpmctl policy new counter:...`"), "{text}");
    for (line, parts) in [
        ("0000016f", ["policy[0]", "PolicyLocality (0 bytes)"]),
        (
            "0000018800",
            ["policy[0]", "PolicyDuplicationSelect (0x188)"],
        ),
    ] {
        let Err(Error::Unsupported(text)) = document::read(line.as_bytes()) else {
            panic!("{line}")
        };
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_file_with_or_without_a_key() {
    let policy = registers_then_pin();
    let written = document::write(&policy).unwrap();
    assert!(
        written.starts_with("-----BEGIN TSS2 POLICY-----\n"),
        "{written}"
    );
    assert_eq!(document::read(written.as_bytes()).unwrap(), policy);
    // Text around it is none of it, and a key file's policy is its own.
    let mut key = with(vec![]);
    file::into_file(&policy, &mut key).unwrap();
    for text in [
        format!("0000016b\n{written}0000016b\n"),
        format!("{written}{}", with(vec![]).to_pem()),
        key.to_pem(),
    ] {
        assert_eq!(document::read(text.as_bytes()).unwrap(), policy, "{text}");
    }
    assert_eq!(document::read(&key.to_der()).unwrap(), policy);
}

#[test]
fn the_octets_of_a_policy_file() {
    // SEQUENCE { [1] { SEQUENCE OF SEQUENCE { [0] INTEGER, [1] OCTET STRING } } }
    let der = hex("3010 a10e 300c 300a a004 0202016b a102 0400");
    let text = format!(
        "-----BEGIN TSS2 POLICY-----\n{}\n-----END TSS2 POLICY-----\n",
        openssl::base64::encode_block(&der)
    );
    let pin = Policy::new(vec![PolicyCommand::AuthValue]);
    assert_eq!(document::read(text.as_bytes()).unwrap(), pin);
    assert_eq!(document::write(&pin).unwrap(), text);
}

#[test]
fn what_is_no_policy_file() {
    let written = document::write(&registers_then_pin()).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    for text in [
        "",
        "\n\n",
        "0000",
        "pin",
        "0000016b\npin\n",
        // Its end is missing, or a line of it.
        &lines[..lines.len() - 1].join("\n"),
        &[lines[0], lines[lines.len() - 1]].join("\n"),
        // Something else follows.
        "-----BEGIN TSS2 POLICY-----\nMAAFAA==\n-----END TSS2 POLICY-----\n",
        "-----BEGIN TSS2 POLICY-----\nBAA=\n-----END TSS2 POLICY-----\n",
    ] {
        assert!(document::read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(document::read(&[0xff; 100]).is_err());
    // A damaged policy is not passed over for the key behind it.
    let damaged = written.replacen('M', "!", 1) + &with(vec![]).to_pem();
    assert!(document::read(damaged.as_bytes()).is_err());
    let line = "0000016b\n";
    let most = line.repeat((256 << 10) / line.len() + 1);
    let Err(Error::Data(text)) = document::read(most.as_bytes()) else {
        panic!()
    };
    assert!(text.contains("more than 262144 bytes"), "{text}");
}

#[test]
fn errors_have_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("update.policy");
    let missing = document::read_at(&path).unwrap_err().to_string();
    std::fs::write(&path, "pin").unwrap();
    let none = document::read_at(&path).unwrap_err().to_string();
    for text in [missing, none] {
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
    std::fs::write(&path, "0000016b").unwrap();
    assert_eq!(
        document::read_at(&path).unwrap().commands,
        [PolicyCommand::AuthValue]
    );
}
