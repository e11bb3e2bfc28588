//! The documentation of tpm2-openssl, command by command, with this provider in its place, and
//! docs/coming-from-tpm2-openssl.md, whose tables are made from it.

mod lines;
mod symptoms;

use std::fs;

use testkit::bench::Bench;
use testkit::openssl::{Config, Openssl, Order};
use testkit::process::{Done, Run};
use testkit::tools::root;

use lines::{Cell, Line, Proof, SECTIONS};

/// What openssl.cnf activates: nothing, as their documentation has it, or both providers, as ours has it.
#[derive(Clone, Copy, Debug)]
enum Setting {
    Nothing,
    Both(Order),
}

#[test]
fn with_nothing_active_in_openssl_cnf() {
    walk(Setting::Nothing);
}

#[test]
fn with_both_providers_active() {
    walk(Setting::Both(Order::DefaultFirst));
}

#[test]
fn with_both_providers_active_and_ours_first() {
    walk(Setting::Both(Order::TpmFirst));
}

/// `UPDATE=1` in the environment writes the tables instead of comparing them.
#[test]
fn the_document_is_the_table() {
    let (begin, end) = ("<!-- lines: begin -->\n", "<!-- lines: end -->");
    let path = root().join("docs/coming-from-tpm2-openssl.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(begin).expect("a begin mark");
    let (_, after) = rest.split_once(end).expect("an end mark");
    let wanted = format!("{before}{begin}\n{}{end}{after}", markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, wanted).expect("written");
    } else {
        assert!(
            text == wanted,
            "docs/coming-from-tpm2-openssl.md is not the table: UPDATE=1 writes it"
        );
    }
}

/// Goes through every line in the order of the table: later ones use what earlier ones have made.
fn walk(setting: Setting) {
    let config = match setting {
        Setting::Nothing => Config::new(),
        Setting::Both(order) => Config::new().order(order),
    };
    let bench = Bench::with(config);
    prepare(&bench);
    let Bench { openssl, tpm, .. } = &bench;
    let mut faults = Vec::new();
    for line in SECTIONS.iter().flat_map(|section| section.lines) {
        if let Err(fault) = judge(openssl, setting, line) {
            faults.push(format!("{}\n{fault}", line.theirs));
        }
    }
    assert!(faults.is_empty(), "{setting:?}:\n{}", faults.join("\n\n"));
    tpm.assert_clean();
}

/// What the lines take for granted: keys and a public key in the TPM, files.
fn prepare(bench: &Bench) {
    let Bench { openssl, .. } = bench;
    let plain = openssl.plain();
    openssl
        .dir()
        .write("bare.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
    openssl.dir().write("testdata", "what is signed");
    for line in [
        "tpm2_createek -Q -G rsa -c ek.ctx",
        "tpm2_flushcontext -t",
        "tpm2_createak -Q -C ek.ctx -G rsa -g sha256 -s rsassa -c ak.ctx",
        "tpm2_flushcontext -t",
        "tpm2_flushcontext -l",
        "tpm2_evictcontrol -Q -C o -c ak.ctx -o ak_rsa.obj 0x81000000",
        "tpm2_flushcontext -t",
        "tpm2_create -Q -C 0x81000001 -G rsa -p abc -u p.pub -r p.priv",
        "tpm2_load -Q -C 0x81000001 -u p.pub -r p.priv -c p.ctx",
        "tpm2_evictcontrol -Q -C o -c p.ctx 0x81000002",
        "tpm2_flushcontext -t",
        "tpm2_create -Q -C 0x81000001 -G ecc -u e.pub -r e.priv",
        "tpm2_load -Q -C 0x81000001 -u e.pub -r e.priv -c e.ctx",
        "tpm2_evictcontrol -Q -C o -c e.ctx 0x81000003",
        "tpm2_flushcontext -t",
        "tpm2_readpublic -Q -c 0x81000003 -f pem -o persistent.pub",
    ] {
        bench.tool(line);
    }
    for name in ["peer", "testkey2"] {
        plain.ok(&format!(
            "genpkey -algorithm EC -pkeyopt group:P-256 -out {name}.pem"
        ));
        plain.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
    }
    let size = openssl.dir().read("peer.pub").len();
    bench.tool(&format!(
        "tpm2_nvdefine -Q 0x1000010 -C o -s {size} -a ownerread|authread|ownerwrite|authwrite"
    ));
    bench.tool("tpm2_nvwrite -Q 0x1000010 -C o -i peer.pub");
}

fn judge(openssl: &Openssl, setting: Setting, line: &Line) -> Result<(), String> {
    let own = here(line.theirs);
    let cell = match setting {
        Setting::Nothing => line.nothing,
        Setting::Both(_) => line.both,
    };
    match cell {
        Cell::Works => prove(openssl, setting, &own, &line.proof),
        Cell::Write(other, _) => {
            // The difference is one: the line as it is has not this effect.
            if prove(openssl, setting, &own, &line.proof).is_ok() {
                return Err("works as it is".to_owned());
            }
            prove(openssl, setting, other, &line.proof)
        }
        Cell::Never(says, _) => {
            let done = run(openssl, setting, &own).done();
            match !done.status.success() && done.err().contains(says) {
                true => Ok(()),
                false => Err(format!("should fail and say {says:?}\n{done:#}")),
            }
        }
    }
}

/// Runs a line and looks at what it should have done.
fn prove(openssl: &Openssl, setting: Setting, line: &str, proof: &Proof) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    for pair in words.windows(2) {
        if ["-out", "-keyout", "-certout"].contains(&pair[0]) {
            // What was there before proves nothing.
            let _ = fs::remove_file(openssl.dir().join(pair[1]));
        }
    }
    let done = run(openssl, setting, line).done();
    if !done.status.success() {
        return Err(format!("{done:#}"));
    }
    let read = |file: &str| fs::read(openssl.dir().join(file)).unwrap_or_default();
    let plainly = |line: &str| -> Result<Done, String> {
        let done = openssl.plain().run(line).done();
        match done.status.success() {
            true => Ok(done),
            false => Err(format!("{done:#}")),
        }
    };
    let holds = match proof {
        Proof::Prints(text) => done.out().contains(text),
        Proof::Key(file) => read(file).starts_with(b"-----BEGIN TSS2 PRIVATE KEY-----"),
        Proof::Plain(line) => plainly(line).map(|_| true)?,
        Proof::Same(file, line, other) => {
            plainly(line)?;
            !read(file).is_empty() && read(file) == read(other)
        }
        Proof::Digits(count) => {
            let out = done.out();
            out.trim().len() == *count && out.trim().bytes().all(|b| b.is_ascii_hexdigit())
        }
        Proof::Size(file, size) => read(file).len() == *size,
        Proof::Text(file, text) => String::from_utf8_lossy(&read(file)).contains(text),
    };
    match holds {
        true => Ok(()),
        false => Err(format!("not proven: {proof:?}\n{done:#}")),
    }
}

fn run(openssl: &Openssl, setting: Setting, line: &str) -> Run {
    let bare = matches!(setting, Setting::Nothing).then(|| openssl.dir().join("bare.cnf"));
    let line = line
        .replace('\'', "")
        .replace("$PWD", &openssl.dir().path().display().to_string());
    let run = openssl.run(&line).env("PASSWORD", "abc");
    match bare {
        Some(bare) => run.env("OPENSSL_CONF", bare),
        None => run,
    }
}

/// Their line with our name in it, which is all that most need.
fn here(theirs: &str) -> String {
    theirs
        .replace("-provider tpm2", "-provider tpm")
        .replace("provider=tpm2", "provider=tpm")
        .replace("tpm2.digest", "tpm.digest")
}

fn markdown() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&format!(
            "### {}\n\n| `openssl ...` of tpm2-openssl | nothing active in openssl.cnf | `default` and `tpm` active |\n\
             |---|---|---|\n",
            section.heading
        ));
        for line in section.lines {
            let (nothing, both) = (cell(line.nothing), cell(line.both));
            text.push_str(&format!("| `{}` | {nothing} | {both} |\n", line.theirs));
        }
        text.push('\n');
    }
    text
}

fn cell(cell: Cell) -> String {
    match cell {
        Cell::Works => "works".to_owned(),
        Cell::Write(line, why) => format!("`{line}`: {why}"),
        Cell::Never(says, why) => format!("no (\"{says}\"): {why}"),
    }
}
