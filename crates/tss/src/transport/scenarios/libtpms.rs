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

fn answer(transaction: &mut Transaction<'_>, command: &[u8]) -> u32 {
    code(&transaction.transact(command).unwrap())
}

#[test]
fn a_new_directory_becomes_a_tpm() {
    in_own_process("libtpms::a_new_directory_becomes_a_tpm", || {
        let place = Place::new();
        let state = place.path().join("new").join("tpm");
        let mut transport = place.transport(&address(&state));
        assert_eq!(transport.endpoint().family(), Some(Family::Tpm2));
        assert!(!state.exists(), "nothing happens before the first use");
        for _ in 0..2 {
            let mut transaction = transport.transaction().unwrap();
            assert_eq!(transaction.continuity(), Continuity::Reset);
            assert_eq!(transaction.sharing(), Sharing::InProcess);
            assert!(transaction.record().is_none());
            assert_ne!(random(&mut transaction), random(&mut transaction));
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
        let mut inside = place.transport(&address(&state));
        let mut transaction = inside.transaction().unwrap();
        assert_ne!(answer(&mut transaction, &READ_PUBLIC), 0);
        assert_eq!(answer(&mut transaction, &DEFINE), 0);
        drop(transaction);

        let swtpm = Swtpm::unix_of(Family::Tpm2, &state, place.path());
        let mut outside = place.transport(&swtpm.address);
        let mut transaction = outside.transaction().unwrap();
        assert_eq!(answer(&mut transaction, &READ_PUBLIC), 0);
        assert_eq!(answer(&mut transaction, &UNDEFINE), 0);
        assert_eq!(answer(&mut transaction, &SHUTDOWN), 0);
        let error = inside.transaction_within(BRIEF).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains("is swtpm running"), "{error}");
        drop(transaction);
        drop(swtpm);

        assert_ne!(answer(&mut inside.transaction().unwrap(), &READ_PUBLIC), 0);
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
        let mut transport = place.transport(&address(&state));
        assert_eq!(transport.endpoint().family(), Some(Family::Tpm12));
        // TPM_GetRandom of eight bytes.
        let command = [0x00, 0xc1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8];
        for _ in 0..2 {
            assert_eq!(answer(&mut transport.transaction().unwrap(), &command), 0);
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
                .transport(&address(&place.state()))
                .transaction()
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
        random(
            &mut place
                .transport(&address(&place.state()))
                .transaction()
                .unwrap(),
        );
        let second = place
            .transport(&address(&place.path().join("second")))
            .transaction()
            .err();
        let error = second.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains(place.state().to_str().unwrap()),
            "{error}"
        );
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.state(), &link).unwrap();
        random(&mut place.transport(&address(&link)).transaction().unwrap());
    });
}

#[test]
fn threads_share_the_one_instance() {
    in_own_process("libtpms::threads_share_the_one_instance", || {
        let place = Place::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut transport = place.transport(&address(&place.state()));
                    let queue = transport.endpoint().queue();
                    for _ in 0..8 {
                        let _turn = queue.enter();
                        random(&mut transport.transaction().unwrap());
                    }
                });
            }
        });
        // Who does not wait for the turn is refused, and harms nobody.
        let [mut first, mut second] = [(); 2].map(|()| place.transport(&address(&place.state())));
        let mut transaction = first.transaction().unwrap();
        let error = second.transaction().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("another thread"), "{error}");
        random(&mut transaction);
        drop(transaction);
        random(&mut second.transaction().unwrap());
    });
}

#[test]
fn a_forked_childs_tpm_is_not_a_copy() {
    in_own_process("libtpms::a_forked_childs_tpm_is_not_a_copy", || {
        let place = Place::new();
        let address = address(&place.state());
        let mut transport = place.transport(&address);
        // Forked with the TPM switched on: the child inherits it running.
        let mut transaction = transport.transaction().unwrap();
        random(&mut transaction);
        let child = || {
            let mut transport = place.transport(&address);
            let mut transaction = transport.transaction().unwrap();
            assert_eq!(transaction.continuity(), Continuity::Reset);
            random(&mut transaction).to_vec()
        };
        let children = [Forked::new(child), Forked::new(child)];
        thread::sleep(BRIEF);
        let own = random(&mut transaction).to_vec();
        assert_eq!(answer(&mut transaction, &DEFINE), 0);
        drop(transaction);
        let [first, second] = children.map(|child| child.wait().unwrap());
        assert!(own != first && own != second && first != second);
        assert_eq!(
            answer(&mut transport.transaction().unwrap(), &READ_PUBLIC),
            0
        );
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
        let mut transport = place.transport(&address(&place.state()));
        transport.endpoint().hold(Hold::Private);
        let child = Forked::new(|| {
            let root = place.path().join("locks");
            let root = CString::new(root.to_str().unwrap()).unwrap();
            // SAFETY: a NUL-terminated path.
            assert_eq!(unsafe { libc::chroot(root.as_ptr()) }, 0);
            std::env::set_current_dir("/").unwrap();
            random(&mut transport.transaction().unwrap()).to_vec()
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
            let mut transport = place.transport(&address(&place.state()));
            let mut transaction = transport.transaction().unwrap();
            random(&mut transaction);
            // Not even root can write beside a directory of the temporary file's name.
            let obstacle = place.state().join(".tpm2-00.permall.new");
            fs::create_dir(&obstacle).unwrap();
            let error = transaction.transact(&DEFINE).unwrap_err();
            assert!(error.to_string().contains("writing"), "{error}");
            assert!(error.to_string().contains("tpm2-00.permall"), "{error}");
            drop(transaction);
            fs::remove_dir(&obstacle).unwrap();
            let mut transaction = transport.transaction().unwrap();
            assert_ne!(
                answer(&mut transaction, &READ_PUBLIC),
                0,
                "it was never saved"
            );
        },
    );
}
