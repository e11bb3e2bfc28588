//! Lock files that a user without the TPM has made first, and old and new versions of the module beside each other.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use testkit::locks;
use testkit::openssl::clean;
use testkit::process::{Done, Run, unbroken};
use testkit::scratch::{Scratch, set_mode};
use testkit::swtpm::Swtpm;
use testkit::tools::{is_root, need, root, tpmctl};

/// A user without access to the TPM, and one with.
const STRANGER: u32 = 65534;
const MEMBER: u32 = 4242;

/// A simulator for the user [`MEMBER`] and root alone.
struct Guarded {
    tpm: Swtpm,
    socket: PathBuf,
}

impl Guarded {
    fn new() -> Self {
        assert!(is_root(), "other users need root: run the tests as root");
        let tpm = Swtpm::start();
        let socket = PathBuf::from(tpm.address().strip_prefix("swtpm:path=").expect("a socket"));
        chown(&socket, Some(MEMBER), Some(MEMBER)).expect("root may");
        set_mode(&socket, 0o660);
        set_mode(socket.parent().expect("a directory"), 0o755);
        Self { tpm, socket }
    }

    fn directory(&self) -> &Path {
        self.socket.parent().expect("a directory")
    }

    /// Its lock files, made by a first use of root's.
    fn lock_files(&self) -> [PathBuf; 2] {
        self.use_by(0).expect("root may");
        let files = locks::of_sockets_in(self.directory());
        let at = |directory: &str| {
            let found = files.iter().find(|path| path.starts_with(directory));
            found
                .unwrap_or_else(|| panic!("none in {directory}: {files:?}"))
                .clone()
        };
        [at("/run/lock"), at("/run/tpm-provider")]
    }

    fn command(&self, user: u32, line: &str) -> Done {
        let as_user = format!("--reuid {user} --regid {user} --clear-groups");
        clean(Run::new(need("setpriv", "util-linux")))
            .words(&as_user)
            .arg(tpmctl())
            .words(line)
            .env("OPENSSL_CONF", "/dev/null")
            .env("TPM_LOG", "warn")
            .env("TPM_TCTI", self.tpm.address())
            .done()
    }

    /// Uses the TPM.
    fn use_by(&self, user: u32) -> Result<String, String> {
        let done = self.command(user, "info");
        match done.status.success() {
            true => Ok(done.err()),
            false => Err(unbroken(&done.err())),
        }
    }
}

/// `touch` by somebody who may not use the TPM.
fn touch(path: &Path) {
    let user = format!("--reuid {STRANGER} --regid {STRANGER} --clear-groups");
    clean(Run::new(need("setpriv", "util-linux")))
        .words(&user)
        .arg("touch")
        .arg(path)
        .ok();
    assert_eq!(fs::metadata(path).expect("made").uid(), STRANGER);
}

#[test]
fn one_touch_denies_nothing() {
    let tpm = Guarded::new();
    let [shared, guarded] = tpm.lock_files();
    assert_eq!(fs::metadata(&guarded).expect("made").uid(), MEMBER);
    fs::remove_file(&shared).expect("root may");
    touch(&shared);
    // Who may not replace it goes without it, and says so.
    let said = tpm.use_by(MEMBER).expect("not denied");
    assert!(said.contains("not excluded"), "{said}");
    assert_eq!(fs::metadata(&shared).expect("there").uid(), STRANGER);
    // Doctor sees it before root's use removes it.
    let doctor = tpm.command(0, "doctor");
    let shown = shared.display().to_string();
    assert!(
        doctor.out().contains(&format!("rm {shown}")),
        "{}",
        doctor.out()
    );
    assert_eq!(fs::metadata(&shared).expect("made").uid(), MEMBER);
    let said = tpm.use_by(MEMBER).expect("as before");
    assert_eq!(said, "");
    // The stranger cannot be first in the other directory, nor use what is there.
    let done = tpm.command(STRANGER, "info");
    assert!(!done.status.success(), "{}", done.out());
    let user = format!("--reuid {STRANGER} --regid {STRANGER} --clear-groups");
    for line in ["touch", "cat"] {
        let other = if line == "cat" {
            guarded.clone()
        } else {
            guarded.with_extension("x")
        };
        clean(Run::new(need("setpriv", "util-linux")))
            .words(&user)
            .arg(line)
            .arg(other)
            .fails();
    }
}

/// Without a guarded lock file, the error tells the way out, and root's next use is one.
#[test]
fn a_squatted_lock_is_no_dead_end() {
    let tpm = Guarded::new();
    let [shared, guarded] = tpm.lock_files();
    fs::remove_file(&shared).expect("root may");
    fs::remove_file(&guarded).expect("root may");
    touch(&shared);
    let said = tpm.use_by(MEMBER).expect_err("nothing guards it yet");
    assert!(said.contains("sudo rm /run/lock/tpm-provider-"), "{said}");
    tpm.use_by(0).expect("root replaces it");
    tpm.use_by(MEMBER).expect("and helps everybody");
}

/// A lock as a version of the module takes it that knows only one of the two files.
fn lock(path: &Path) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("root may");
    // SAFETY: an all-zero `flock` is valid: integers only.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the call reads the structure, which outlives it.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock) };
    assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
    file
}

#[test]
fn old_and_new_versions_exclude_each_other() {
    let tpm = Guarded::new();
    let conf = Scratch::new();
    let brief =
        "openssl_conf = o\n[o]\nproviders = p\n[p]\ntpm = t\n[t]\nactivate = 1\nlock-timeout = 1\n";
    let conf = conf.write("openssl.cnf", brief);
    for path in tpm.lock_files() {
        let held = lock(&path);
        for user in [0, MEMBER] {
            let as_user = format!("--reuid {user} --regid {user} --clear-groups");
            let done = clean(Run::new(need("setpriv", "util-linux")))
                .words(&as_user)
                .arg(tpmctl())
                .words("info")
                .env("OPENSSL_CONF", &conf)
                .env("TPM_TCTI", tpm.tpm.address())
                .fails();
            assert!(done.err().contains("stayed busy"), "{}", done.err());
            assert!(
                done.err().contains(&path.display().to_string()),
                "{}",
                done.err()
            );
        }
        drop(held);
        tpm.use_by(MEMBER).expect("free again");
    }
}

/// The file that systemd-tmpfiles makes for the kernel's bare device is the one that is looked for.
#[test]
fn tmpfiles_makes_the_lock_of_the_bare_device() {
    let text = fs::read_to_string(root().join("conf/tmpfiles.d/tpm-provider.conf")).expect("there");
    let files = locks::of_device(Path::new("/dev/tpm0"));
    let [.., guarded] = &files;
    assert!(
        text.contains(&format!("f {} ", guarded.display())),
        "{guarded:?}: {text}"
    );
    assert!(
        text.contains("d /run/tpm-provider 0755 root root"),
        "{text}"
    );
}

/// Owner, group and mode of the lock file of [`Guarded`] that everybody shares.
fn shape(path: &Path) -> (u32, u32, u32) {
    let found = fs::metadata(path).expect("a lock file");
    (found.uid(), found.gid(), found.mode() & 0o777)
}

/// A socket or device gets another mode, group or owner when udev's rule for it comes later: whoever may brings the lock file
/// up to date with his next use, and then the others can use the TPM.
#[test]
fn a_lock_file_follows_its_tpm() {
    let guarded = Guarded::new();
    let [shared, in_run] = guarded.lock_files();
    // Opened to all.
    set_mode(&guarded.socket, 0o666);
    let said = guarded.use_by(STRANGER).expect_err("the lock is of before");
    assert!(said.contains("sudo tpmctl info"), "{said}");
    guarded.use_by(0).expect("root may");
    assert_eq!(shape(&shared), (MEMBER, MEMBER, 0o666));
    guarded.use_by(STRANGER).expect("open to all");
    // And shut again: whoever may not use the TPM any more does not hold its lock either.
    set_mode(&guarded.socket, 0o660);
    guarded.use_by(0).expect("root may");
    assert_eq!(shape(&shared), (MEMBER, MEMBER, 0o660));
    guarded.use_by(STRANGER).expect_err("not his");
    // Another group, and another owner.
    for (owner, group, user) in [(MEMBER, 4343, 4343), (0, 4444, 4444)] {
        chown(&guarded.socket, Some(owner), Some(group)).expect("root may");
        guarded.use_by(0).expect("root may");
        for file in [&shared, &in_run] {
            assert_eq!(shape(file), (owner, group, 0o660), "{}", file.display());
        }
        guarded.use_by(user).expect("of the group");
    }
    guarded.tpm.assert_clean();
}

/// The same without root: whoever made the file, and owns the socket, does.
#[test]
fn a_user_s_own_lock_file_follows_his_tpm() {
    let guarded = Guarded::new();
    set_mode(&guarded.socket, 0o600);
    guarded.use_by(MEMBER).expect("his own");
    let [file] = &locks::of_sockets_in(guarded.directory())[..] else {
        panic!("one lock file");
    };
    assert_eq!(shape(file), (MEMBER, MEMBER, 0o600));
    set_mode(&guarded.socket, 0o666);
    guarded.use_by(STRANGER).expect_err("the lock is of before");
    guarded.use_by(MEMBER).expect("his own");
    assert_eq!(shape(file), (MEMBER, MEMBER, 0o666));
    guarded.use_by(STRANGER).expect("open to all");
}

/// What somebody has put in the place of a lock file is not opened to the TPM's users: neither a file of root's with something
/// else in it, nor what a link leads to.
#[test]
fn nothing_but_a_lock_file_is_brought_up_to_date() {
    let guarded = Guarded::new();
    let [shared, _] = guarded.lock_files();
    set_mode(&guarded.socket, 0o666);
    fs::remove_file(&shared).expect("it was there");
    fs::write(&shared, "root's secret").expect("written");
    set_mode(&shared, 0o600);
    guarded.use_by(0).expect("root may");
    // It is one only once nothing of it is left.
    let content = fs::read(&shared).expect("root may");
    let is_open = shape(&shared) != (0, 0, 0o600);
    assert!(!is_open || !content.ends_with(b"secret"), "{content:?}");
    fs::remove_file(&shared).expect("it was there");
    fs::write(&shared, "").expect("written");
    chown(&shared, Some(STRANGER), Some(STRANGER)).expect("root may");
    set_mode(&shared, 0o600);
    guarded.use_by(0).expect("root may");
    assert_eq!(
        shape(&shared),
        (STRANGER, STRANGER, 0o666),
        "an empty file of anybody's is a lock for all, and stays his"
    );
    let victim = guarded.directory().join("victim");
    fs::write(&victim, "").expect("written");
    set_mode(&victim, 0o600);
    for symbolic in [true, false] {
        fs::remove_file(&shared).expect("it was there");
        let made = match symbolic {
            true => std::os::unix::fs::symlink(&victim, &shared),
            false => fs::hard_link(&victim, &shared),
        };
        if made.is_err() {
            // Another file system.
            fs::write(&shared, "").expect("written");
            continue;
        }
        let _ = guarded.use_by(0);
        assert_eq!(shape(&victim), (0, 0, 0o600), "symbolic: {symbolic}");
    }
}
