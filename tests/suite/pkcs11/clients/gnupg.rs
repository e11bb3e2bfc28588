//! GnuPG's gpgsm, by gnupg-pkcs11-scd in the place of its daemon for cards.

use std::fs;

use testkit::process::Run;
use testkit::scratch::set_mode;
use testkit::tools::need;

use super::table::find;
use super::{Case, PIN, Seen, configuration, each_cell};

/// Who asks for PINs: in place of a window.
const PINENTRY: &str = "#!/bin/sh
echo 'OK ready'
while read -r command rest; do
  case $command in
    GETPIN) echo GETPIN >>asked; echo \"D PIN\"; echo OK ;;
    BYE) echo OK; exit ;;
    *) echo OK ;;
  esac
done
";

/// A home of GnuPG's. Its agent ends with it.
struct Home<'a>(&'a Case);

impl<'a> Home<'a> {
    fn new(case: &'a Case) -> Self {
        need("gnupg-pkcs11-scd", "gnupg-pkcs11-scd");
        let dir = case.path("gpg");
        fs::create_dir(&dir).unwrap();
        set_mode(&dir, 0o700);
        let pinentry = dir.join("pinentry");
        fs::write(
            &pinentry,
            PINENTRY.replace("PIN\"", &format!("{}\"", case.pin.unwrap_or(PIN))),
        )
        .unwrap();
        set_mode(&pinentry, 0o755);
        let scd = need("gnupg-pkcs11-scd", "gnupg-pkcs11-scd");
        let agent = format!(
            "scdaemon-program {}\npinentry-program {}\n",
            scd.display(),
            pinentry.display()
        );
        fs::write(dir.join("gpg-agent.conf"), agent).unwrap();
        let text = configuration("gnupg-pkcs11-scd.conf");
        fs::write(dir.join("gnupg-pkcs11-scd.conf"), text).unwrap();
        Self(case)
    }

    fn run(&self, program: &str, words: &str) -> Run {
        self.0
            .keys
            .program(program, "gpgsm")
            .env("GNUPGHOME", self.0.path("gpg"))
            // The daemon has a directory for its socket there, and leaves it when a signal ends it.
            .env("TMPDIR", self.0.path("gpg"))
            .words(words)
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.run("gpgconf", "--kill all").done();
    }
}

#[test]
pub fn gpgsm_signs() {
    each_cell(find(gpgsm_signs), |case| {
        let home = Home::new(case);
        home.run("gpgsm", "--learn-card").done();
        let keys = home.run("gpgsm", "--with-colons -K").done().out();
        let Some(print) = keys.lines().find_map(|line| line.strip_prefix("fpr:")) else {
            return Seen::Failure;
        };
        let print = print.trim_matches(':');
        let print = print.split(':').next().unwrap_or(print);
        fs::write(case.path("gpg/trustlist.txt"), format!("{print} S relax\n")).unwrap();
        home.run("gpgconf", "--reload gpg-agent").ok();
        let done = home
            .run("gpgsm", "--disable-crl-checks --batch --sign -u")
            .arg(format!("0x{print}"))
            .stdin("a message")
            .done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        case.keys.openssl.dir().write("signed", done.stdout);
        let done = home
            .run("gpgsm", "--disable-crl-checks --verify signed")
            .ok();
        assert!(
            done.err().contains("Good signature from \"/CN=tpm\""),
            "{done}"
        );
        let entries = fs::read_dir(case.path("gpg")).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name());
        assert!(names.any(|name| name.to_string_lossy().starts_with("gnupg-pkcs11-scd.")));
        Seen::Operations(1)
    });
}
