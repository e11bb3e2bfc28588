//! What ran where: facts of the run, asked of the machine.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;
use testkit::tools::{find, root};

/// Names and values, for the head of the document.
pub fn facts() -> Vec<[String; 2]> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(
            || "unknown".to_owned(),
            |kib| format!("{:.1} GiB", kib / 1024.0 / 1024.0),
        );
    let system = field("/etc/os-release", "PRETTY_NAME").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let package = concat!("tpm-provider ", env!("CARGO_PKG_VERSION"));
    [
        ("date", first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("tpm-provider", format!("{package}{}", commit())),
        ("processor", format!("{processor}; {cores} cores")),
        ("memory", memory),
        (
            "system",
            format!("{}, Linux {}", system.trim_matches('"'), kernel.trim()),
        ),
        ("OpenSSL", openssl::version::version().to_owned()),
        ("TPM", swtpm()),
        ("nginx", tail(&first_line("nginx", &["-v"]), '/')),
        ("HAProxy", haproxy()),
    ]
    .map(|(name, value)| [name.to_owned(), value])
    .to_vec()
}

/// How busy the machine is, whoever keeps it so: the load of the last minute.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn commit() -> String {
    let at = root().display().to_string();
    let text = first_line("git", &["-C", &at, "describe", "--always", "--dirty"]);
    if text.is_empty() || text.contains(' ') {
        // Not a repository.
        String::new()
    } else {
        format!(", commit {text}")
    }
}

fn swtpm() -> String {
    let text = first_line("swtpm", &["--version"]);
    let version = text
        .split(' ')
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    format!("swtpm {}", version.unwrap_or(&text).trim_end_matches(','))
}

fn haproxy() -> String {
    let text = first_line("haproxy", &["-v"]);
    text.split(' ').nth(2).unwrap_or(&text).to_owned()
}

/// The value of `name` in a file of lines `name : value` or `name=value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.trim_start();
        Some(value.strip_prefix([':', '='])?.trim().to_owned())
    })
}

/// The first line that a program prints, on either output.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = find(program).and_then(|path| Command::new(path).args(arguments).output().ok());
    let Some(output) = output else {
        return "not installed".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn tail(text: &str, after: char) -> String {
    text.rsplit(after).next().unwrap_or(text).to_owned()
}
