//! The TPM inside the process.

use super::*;

/// TPM2_NV_DefineSpace of index 0x01000001, with the owner's empty authorization.
const DEFINE: [u8; 45] = [
    0x80, 2, 0, 0, 0, 45, 0, 0, 0x01, 0x2a, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0,
    0, 0, 0, 0, 14, 1, 0, 0, 1, 0, 0x0b, 2, 6, 0, 6, 0, 0, 0, 8,
];
/// TPM2_NV_UndefineSpace of it.
const UNDEFINE: [u8; 31] = [
    0x80, 2, 0, 0, 0, 31, 0, 0, 0x01, 0x22, 0x40, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0, 9,
    0, 0, 0, 0, 0,
];
/// TPM2_NV_ReadPublic of it.
const READ_PUBLIC: [u8; 14] = [0x80, 1, 0, 0, 0, 14, 0, 0, 0x01, 0x69, 1, 0, 0, 1];
const SHUTDOWN: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0];

fn address(directory: &Path) -> String {
    format!("libtpms:{}", directory.display())
}

fn answer(section: &mut Transaction<'_>, command: &[u8]) -> u32 {
    code(&section.transact(command).unwrap())
}

#[test]
fn a_new_directory_becomes_a_tpm() {
    in_own_process("libtpms::a_new_directory_becomes_a_tpm", || {
        let place = Place::new();
        let state = place.path().join("new").join("tpm");
        let mut channel = place.channel(&address(&state));
        assert_eq!(channel.endpoint().family(), Some(Family::Tpm2));
        assert!(!state.exists(), "nothing happens before the first use");
        for _ in 0..2 {
            let mut section = channel.section().unwrap();
            assert_eq!(section.continuity(), Continuity::Reset);
            assert_eq!(section.sharing(), Sharing::InProcess);
            assert!(section.record().is_none());
            assert_ne!(random(&mut section), random(&mut section));
        }
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        let file = fs::metadata(state.join("tpm2-00.permall")).unwrap();
        assert_eq!(file.mode() & 0o777, 0o600);
    });
}

#[test]
fn a_state_moves_to_swtpm_and_back() {
    in_own_process("libtpms::a_state_moves_to_swtpm_and_back", || {
        let place = Place::new();
        let state = place.state();
        let swtpm = Swtpm::unix_of(Family::Tpm2, &state, place.path());
        wait_for("swtpm's state", || state.join("tpm2-00.permall").exists());
        drop(swtpm);
        let mut inside = place.channel(&address(&state));
        let mut section = inside.section().unwrap();
        assert_ne!(answer(&mut section, &READ_PUBLIC), 0);
        assert_eq!(answer(&mut section, &DEFINE), 0);
        drop(section);

        let swtpm = Swtpm::unix_of(Family::Tpm2, &state, place.path());
        let mut outside = place.channel(&swtpm.address);
        let mut section = outside.section().unwrap();
        assert_eq!(answer(&mut section, &READ_PUBLIC), 0);
        assert_eq!(answer(&mut section, &UNDEFINE), 0);
        assert_eq!(answer(&mut section, &SHUTDOWN), 0);
        let error = inside.section_within(BRIEF).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains("is swtpm running"), "{error}");
        drop(section);
        drop(swtpm);

        assert_ne!(answer(&mut inside.section().unwrap(), &READ_PUBLIC), 0);
    });
}

#[test]
fn a_tpm_1_2_is_known_by_its_state() {
    in_own_process("libtpms::a_tpm_1_2_is_known_by_its_state", || {
        let place = Place::new();
        let state = place.state();
        let swtpm = Swtpm::unix_of(Family::Tpm12, &state, place.path());
        wait_for("swtpm's state", || state.join("tpm-00.permall").exists());
        drop(swtpm);
        let mut channel = place.channel(&address(&state));
        assert_eq!(channel.endpoint().family(), Some(Family::Tpm12));
        // TPM_GetRandom of eight bytes.
        let command = [0x00, 0xc1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8];
        for _ in 0..2 {
            assert_eq!(answer(&mut channel.section().unwrap(), &command), 0);
        }
    });
}

#[test]
fn a_state_that_is_not_swtpms_is_refused_and_kept() {
    in_own_process(
        "libtpms::a_state_that_is_not_swtpms_is_refused_and_kept",
        || {
            let place = Place::new();
            let file = place.state().join("tpm2-00.permall");
            fs::write(&file, b"something else altogether").unwrap();
            let error = place
                .channel(&address(&place.state()))
                .section()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Library);
            assert!(
                error.to_string().contains("not a state file of swtpm"),
                "{error}"
            );
            assert_eq!(fs::read(&file).unwrap(), b"something else altogether");
        },
    );
}

#[test]
fn one_process_has_one_tpm() {
    in_own_process("libtpms::one_process_has_one_tpm", || {
        let place = Place::new();
        random(&mut place.channel(&address(&place.state())).section().unwrap());
        let second = place
            .channel(&address(&place.path().join("second")))
            .section()
            .err();
        let error = second.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains(place.state().to_str().unwrap()),
            "{error}"
        );
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.state(), &link).unwrap();
        random(&mut place.channel(&address(&link)).section().unwrap());
    });
}

#[test]
fn threads_share_the_one_instance() {
    in_own_process("libtpms::threads_share_the_one_instance", || {
        let place = Place::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut channel = place.channel(&address(&place.state()));
                    let queue = channel.endpoint().queue();
                    for _ in 0..8 {
                        let _turn = queue.enter();
                        random(&mut channel.section().unwrap());
                    }
                });
            }
        });
        // Who does not wait for the turn is refused, and harms nobody.
        let [mut first, mut second] = [(); 2].map(|()| place.channel(&address(&place.state())));
        let mut section = first.section().unwrap();
        let error = second.section().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("another thread"), "{error}");
        random(&mut section);
        drop(section);
        random(&mut second.section().unwrap());
    });
}

#[test]
fn a_forked_childs_tpm_is_not_a_copy() {
    in_own_process("libtpms::a_forked_childs_tpm_is_not_a_copy", || {
        let place = Place::new();
        let address = address(&place.state());
        let mut channel = place.channel(&address);
        // Forked with the TPM switched on: the child inherits it running.
        let mut section = channel.section().unwrap();
        random(&mut section);
        let child = || {
            let mut channel = place.channel(&address);
            let mut section = channel.section().unwrap();
            assert_eq!(section.continuity(), Continuity::Reset);
            random(&mut section).to_vec()
        };
        let children = [Forked::new(child), Forked::new(child)];
        thread::sleep(BRIEF);
        let own = random(&mut section).to_vec();
        assert_eq!(answer(&mut section, &DEFINE), 0);
        drop(section);
        let [first, second] = children.map(|child| child.wait().unwrap());
        assert!(own != first && own != second && first != second);
        assert_eq!(answer(&mut channel.section().unwrap(), &READ_PUBLIC), 0);
    });
}

#[test]
fn the_state_directory_is_found_after_chroot() {
    in_own_process("libtpms::the_state_directory_is_found_after_chroot", || {
        // SAFETY: takes nothing.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("not run: chroot needs root");
            return;
        }
        let place = Place::new();
        let mut channel = place.channel(&address(&place.state()));
        channel.endpoint().hold(Hold::Private);
        let child = Forked::new(|| {
            let root = place.path().join("locks");
            let root = CString::new(root.to_str().unwrap()).unwrap();
            // SAFETY: a NUL-terminated path.
            assert_eq!(unsafe { libc::chroot(root.as_ptr()) }, 0);
            std::env::set_current_dir("/").unwrap();
            random(&mut channel.section().unwrap()).to_vec()
        });
        assert!(child.wait().is_some());
        wait_for("the state", || {
            place.state().join("tpm2-00.permall").exists()
        });
    });
}

#[test]
fn a_state_that_cannot_be_written_is_an_error_that_says_so() {
    in_own_process(
        "libtpms::a_state_that_cannot_be_written_is_an_error_that_says_so",
        || {
            let place = Place::new();
            let mut channel = place.channel(&address(&place.state()));
            let mut section = channel.section().unwrap();
            random(&mut section);
            // Not even root can write beside a directory of the temporary file's name.
            let obstacle = place.state().join(".tpm2-00.permall.new");
            fs::create_dir(&obstacle).unwrap();
            let error = section.transact(&DEFINE).unwrap_err();
            assert!(error.to_string().contains("writing"), "{error}");
            assert!(error.to_string().contains("tpm2-00.permall"), "{error}");
            drop(section);
            fs::remove_dir(&obstacle).unwrap();
            let mut section = channel.section().unwrap();
            assert_ne!(answer(&mut section, &READ_PUBLIC), 0, "it was never saved");
        },
    );
}
