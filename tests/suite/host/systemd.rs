//! The sample drop-in for systemd: what it lets a service open, and that systemd takes it.

use std::fs;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::tools::{need, root};

const SAMPLE: &str = "conf/systemd/nginx.service.d-tpm.conf";

/// The settings in section `[Service]` that are not commented out.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim) {
        match line.split_once('=') {
            _ if line.is_empty() || line.starts_with(['#', ';']) => {}
            _ if line.starts_with('[') => section = line,
            Some((name, value)) if section == "[Service]" => {
                settings.push((name.to_owned(), value.to_owned()));
            }
            _ => panic!("{line}"),
        }
    }
    settings
}

#[test]
fn the_sample_opens_the_tpm_and_no_other_device() {
    let text = fs::read_to_string(root().join(SAMPLE)).expect("the sample");
    let settings = settings(&text);
    let all = |name: &str| -> Vec<&str> {
        settings
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    };
    assert_eq!(all("SupplementaryGroups"), ["tss"]);
    assert_eq!(all("DevicePolicy"), ["closed"]);
    assert_eq!(all("DeviceAllow"), ["/dev/tpmrm0 rw"]);
    // Private devices are a /dev without the TPM.
    assert_eq!(all("PrivateDevices"), ["no"]);
    let dir = Scratch::new();
    fs::create_dir(dir.join("sample.service.d")).expect("made");
    dir.write("sample.service.d/tpm.conf", &text);
    let unit = dir.write(
        "sample.service",
        "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n",
    );
    let done = Run::new(need("systemd-analyze", "systemd"))
        .words("verify --man=no")
        .arg(&unit)
        .ok();
    // What it does not know it only tells.
    assert!(!done.err().contains("tpm.conf"), "{done}");
    let wrong = text.replace("DevicePolicy=closed", "DevicePolicy=shut");
    dir.write("sample.service.d/tpm.conf", wrong);
    Run::new(need("systemd-analyze", "systemd"))
        .words("verify --man=no")
        .arg(&unit)
        .done()
        .says("tpm.conf");
}
