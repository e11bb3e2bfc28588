//! Devices, and hosts that confine themselves before the first use.

use super::*;

/// A device with an answer to every command: eight bytes, counting up.
fn counting_device() -> FakeDevice {
    let mut count = 0;
    FakeDevice::new(move |_| {
        count += 1;
        [
            &[0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0][..],
            &[count],
        ]
        .concat()
    })
}

#[test]
fn a_managed_device_stays_open_between_sections() {
    let place = Place::new();
    let device = counting_device();
    let mut transport = place.transport(&device.managed(&place));
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(
        (transaction.continuity(), transaction.sharing()),
        (Continuity::Reset, Sharing::Managed)
    );
    assert!(transaction.record().is_none());
    assert_eq!(random(&mut transaction)[7], 1);
    assert_eq!(random(&mut transaction)[7], 2);
    drop(transaction);
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(transaction.continuity(), Continuity::Kept);
    random(&mut transaction);
    drop(transaction);
    transport.release();
    assert_eq!(
        transport.transaction().unwrap().continuity(),
        Continuity::Reset
    );
    assert!(place.lock_files().is_empty());
}

#[test]
fn a_managed_device_is_opened_again_after_a_fork_and_after_its_descriptor_is_lost() {
    in_own_process(
        "devices::a_managed_device_is_opened_again_after_a_fork_and_after_its_descriptor_is_lost",
        || {
            let place = Place::new();
            let device = counting_device();
            let mut transport = place.transport(&device.managed(&place));
            random(&mut transport.transaction().unwrap());
            let child = Forked::new(|| {
                let mut transaction = transport.transaction().unwrap();
                assert_eq!(transaction.continuity(), Continuity::Reset);
                random(&mut transaction);
                drop(transaction);
                assert_eq!(
                    transport.transaction().unwrap().continuity(),
                    Continuity::Kept
                );
                Vec::new()
            });
            assert!(child.wait().is_some());
            assert_eq!(
                transport.transaction().unwrap().continuity(),
                Continuity::Kept
            );

            // A host that closes everything it does not know, and goes on opening files.
            // SAFETY: close takes integers; this process has no other test that owns descriptors.
            unsafe {
                let keep = device.terminal.as_raw_fd();
                assert_eq!(
                    libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0),
                    0
                );
            }
            let files: Vec<_> = (0..8)
                .map(|_| fs::File::open(place.path()).unwrap())
                .collect();
            let mut transaction = transport.transaction().unwrap();
            assert_eq!(transaction.continuity(), Continuity::Reset);
            random(&mut transaction);
            drop(transaction);
            assert!(files.iter().all(|file| file.metadata().is_ok()));
        },
    );
}

/// How many descriptors of this process lead to the device; one is the test's own.
fn descriptors_of(device: &FakeDevice) -> u8 {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let paths = entries.map(|entry| fs::read_link(entry.unwrap().path()));
    let found = paths.filter(|path| path.as_ref().is_ok_and(|path| *path == device.path));
    found.count().try_into().unwrap()
}

/// What a child has open that does nothing, and what a child of its own has.
fn in_idle_children(device: &FakeDevice) -> Option<Vec<u8>> {
    let child = Forked::new(|| {
        let grandchild = Forked::new(|| vec![descriptors_of(device)]);
        let mut counts = vec![descriptors_of(device)];
        counts.extend(grandchild.wait().unwrap());
        counts
    });
    child.wait()
}

#[test]
fn a_child_that_uses_no_tpm_keeps_no_copy_of_a_device() {
    let place = Place::new();
    let devices = [counting_device(), counting_device()];
    let mut transport = place.transport(&devices[0].managed(&place));
    random(&mut transport.transaction().unwrap());
    assert_eq!(descriptors_of(&devices[0]), 2);
    assert_eq!(in_idle_children(&devices[0]), Some(vec![1, 1]));

    // Another one beside it, in the middle of a transaction.
    let mut bare = place.transport(&devices[1].bare());
    let mut transaction = bare.transaction().unwrap();
    random(&mut transaction);
    assert_eq!(descriptors_of(&devices[1]), 2);
    for device in &devices {
        assert_eq!(in_idle_children(device), Some(vec![1, 1]));
    }

    // The parent's own are as they were.
    random(&mut transaction);
    drop(transaction);
    assert_eq!(
        transport.transaction().unwrap().continuity(),
        Continuity::Kept
    );
    random(&mut transport.transaction().unwrap());
    transport.release();
    assert_eq!(descriptors_of(&devices[0]), 1);
    assert_eq!(in_idle_children(&devices[0]), Some(vec![1, 1]));
}

/// Forks at any moment, while other threads open and close the device: a child with a copy would keep it busy, for
/// itself too.
#[test]
fn no_child_gets_a_copy_of_a_device_that_is_opened_and_closed() {
    const NAME: &str = "devices::no_child_gets_a_copy_of_a_device_that_is_opened_and_closed";
    in_own_process(NAME, || {
        let place = Place::new();
        let devices = [counting_device(), counting_device()];
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for device in &devices {
                let mut transport = place.transport(&device.bare());
                let done = &done;
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        drop(transport.transaction().unwrap());
                    }
                });
            }
            let children = (0..400).map(|_| {
                let child = Forked::new(|| devices.iter().map(descriptors_of).collect());
                child.wait()
            });
            let others: Vec<_> = children
                .filter(|found| *found != Some(vec![1, 1]))
                .collect();
            done.store(true, Ordering::Relaxed);
            assert_eq!(others, []);
        });
    });
}

#[test]
fn a_devices_failures_end_the_connection() {
    let place = Place::new();
    let short = FakeDevice::new(|_| vec![0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0]);
    let mut transport = place.transport(&short.bare());
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(transaction.sharing(), Sharing::Bare);
    assert_eq!(
        transaction.transact(&GET_RANDOM).unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert_eq!(
        transaction.transact(&GET_RANDOM).unwrap_err().kind(),
        ErrorKind::Cut
    );
    drop(transaction);

    let place = Place::new();
    let mute = FakeDevice::new(|_| Vec::new());
    let limits = Limits {
        command_wait: BRIEF,
        ..limits()
    };
    let mut transport = Transport::new(place.endpoint(&mute.managed(&place)), limits);
    let error = transport
        .transaction()
        .unwrap()
        .transact(&GET_RANDOM)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        transport.transaction().unwrap().continuity(),
        Continuity::Reset
    );
}

#[test]
fn what_is_no_device_is_refused() {
    let place = Place::new();
    fs::write(place.path().join("tpmrm0"), b"").unwrap();
    let address = format!("device:{}/tpmrm0", place.path().display());
    let error = place.transport(&address).transaction().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
    let error = place
        .transport("device:/dev/null")
        .transaction()
        .unwrap()
        .transact(&GET_RANDOM);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cut);
}

/// Becomes an ordinary user, if this process may.
fn drop_privileges() {
    // SAFETY: all take integers or null. Without privileges they fail, and nothing is to be done.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setgid(65534);
        libc::setuid(65534);
    }
}

#[test]
fn a_device_in_use_is_busy_and_a_forbidden_one_names_the_group() {
    in_own_process(
        "devices::a_device_in_use_is_busy_and_a_forbidden_one_names_the_group",
        || {
            let place = Place::new();
            // In a child, so that the place is removed by who has made it.
            let child = Forked::new(|| {
                drop_privileges();
                let device = counting_device();
                // SAFETY: takes no argument. It makes further opens fail with EBUSY, except for root.
                let exclusive = unsafe { libc::ioctl(device.terminal.as_raw_fd(), libc::TIOCEXCL) };
                assert_eq!(exclusive, 0);
                let error = place
                    .transport(&device.bare())
                    .transaction_within(BRIEF)
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                assert!(error.to_string().contains("tcsd or tpm2-abrmd"), "{error}");
                assert!(error.to_string().contains("device:/dev/tpmrm0"), "{error}");

                let device = counting_device();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
                fs::set_permissions(&device.path, mode).unwrap();
                let before = place.lock_files();
                let error = Transport::new(place.endpoint(&device.bare()), limits())
                    .transaction()
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                assert!(error.to_string().contains("group tss"), "{error}");
                // A lock file of this user's would keep out those who may use the device.
                assert_eq!(place.lock_files(), before);
                Vec::new()
            });
            assert!(child.wait().is_some());
        },
    );
}

/// A host like HAProxy: root at the start, then an ordinary user in an empty root directory.
fn confined(address: &str, place: &Place, root_first: bool) {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not run: chroot needs root");
        return;
    }
    let mut transport = place.transport(address);
    transport.endpoint().hold(Hold::Private);
    if root_first {
        random(&mut transport.transaction().unwrap());
    }
    let root = place.path().join("empty");
    fs::create_dir(&root).unwrap();
    let child = Forked::new(|| {
        let root = CString::new(root.to_str().unwrap()).unwrap();
        // SAFETY: a NUL-terminated path.
        assert_eq!(unsafe { libc::chroot(root.as_ptr()) }, 0);
        std::env::set_current_dir("/").unwrap();
        drop_privileges();
        for _ in 0..3 {
            random(&mut transport.transaction().unwrap());
        }
        Vec::new()
    });
    assert!(child.wait().is_some());
    // Whoever of the two has made the lock file, both may use it.
    random(&mut transport.transaction().unwrap());
}

#[test]
fn a_local_socket_is_found_after_chroot_and_setuid() {
    in_own_process(
        "devices::a_local_socket_is_found_after_chroot_and_setuid",
        || {
            let place = Place::new();
            let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
            confined(&swtpm.address, &place, false);
        },
    );
}

#[test]
fn a_named_host_is_found_after_chroot_and_setuid() {
    in_own_process(
        "devices::a_named_host_is_found_after_chroot_and_setuid",
        || {
            let place = Place::new();
            let swtpm = Swtpm::tcp(&place.state());
            confined(
                &swtpm.address.replace("127.0.0.1", "localhost"),
                &place,
                true,
            );
        },
    );
}

#[test]
fn a_device_is_found_after_chroot_and_setuid() {
    in_own_process("devices::a_device_is_found_after_chroot_and_setuid", || {
        let place = Place::new();
        let device = counting_device();
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(&device.path, everyone).unwrap();
        confined(&device.managed(&place), &place, true);
    });
}
