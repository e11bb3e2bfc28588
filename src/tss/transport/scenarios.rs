//! The transport against real parts: swtpm, libtpms, forks, other processes.

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::testing::{
    FakeDevice, Forked, GET_RANDOM, Generation, Place, Swtpm, alone, code, endpoint_in,
    in_own_process, limits, random, start_alone, wait_for,
};
use super::*;

const BRIEF: Duration = Duration::from_millis(80);

fn round_trips(place: &Place, address: &str, mode: u32) {
    let mut channel = place.channel(address);
    let mut section = channel.section().unwrap();
    assert_eq!(
        (section.continuity(), section.sharing()),
        (Continuity::Reset, Sharing::Bare)
    );
    assert_ne!(random(&mut section), random(&mut section));
    let record = section.record().unwrap();
    assert_eq!(record.bytes(), b"");
    record.set(b"remember");
    drop(section);

    let section = channel.section().unwrap();
    assert_eq!(section.continuity(), Continuity::Released);
    drop(section);

    let mut other = place.channel(address);
    let mut section = other.section().unwrap();
    assert_eq!(
        section.continuity(),
        Continuity::Reset,
        "another channel has loaded nothing"
    );
    assert_eq!(section.record().unwrap().bytes(), b"remember");
    random(&mut section);
    let error = channel.section_within(BRIEF).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(section);
    random(&mut channel.section().unwrap());

    let [lock] = &place.lock_files()[..] else {
        panic!("{:?}", place.lock_files())
    };
    assert_eq!(fs::metadata(lock).unwrap().mode() & 0o7777, mode);
}

#[test]
fn swtpm_over_tcp() {
    let place = Place::new();
    let swtpm = Swtpm::tcp(&place.state());
    round_trips(&place, &swtpm.address, 0o666);
}

#[test]
fn swtpm_over_a_local_socket() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    round_trips(&place, &swtpm.address, 0o666);
}

#[test]
fn a_local_socket_with_a_path_too_long_for_an_address() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let deep = place.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let socket = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    fs::rename(socket, deep.join("s")).unwrap();
    let address = format!("swtpm:path={}/s", deep.display());
    random(&mut place.channel(&address).section().unwrap());
}

#[test]
fn a_simulator_that_ends_is_an_error_and_the_next_section_finds_its_successor() {
    let place = Place::new();
    let mut swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let mut channel = place.channel(&swtpm.address);
    let mut section = channel.section().unwrap();
    random(&mut section);
    swtpm.kill();
    let error = section.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cut, "{error}");
    assert!(
        error
            .to_string()
            .contains("from TPM_TCTI in the environment"),
        "{error}"
    );
    let again = section.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Cut);
    assert!(again.to_string().contains("given up earlier"), "{again}");
    drop(section);

    let error = channel.section().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("is swtpm running?"), "{error}");
    let _successor = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    random(&mut channel.section().unwrap());
}

#[test]
fn nobody_listening_is_said() {
    let place = Place::new();
    let port = super::testing::free_port();
    for scheme in ["swtpm", "mssim"] {
        let address = format!("{scheme}:host=127.0.0.1,port={port}");
        let error = place.channel(&address).section().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("is swtpm running?"), "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[test]
fn a_command_of_the_wrong_size_is_not_sent() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let mut channel = place.channel(&swtpm.address);
    let mut section = channel.section().unwrap();
    assert_eq!(
        section.transact(&GET_RANDOM[..11]).unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert_eq!(
        section.transact(&[0; 5000]).unwrap_err().kind(),
        ErrorKind::Limit
    );
    random(&mut section);
}

#[test]
fn an_address_that_somebody_else_occupies_times_out() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let socket = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    let mut occupant = std::os::unix::net::UnixStream::connect(socket).unwrap();
    // swtpm serves whoever it has heard from.
    occupant.write_all(&GET_RANDOM).unwrap();
    occupant.read_exact(&mut [0; 20]).unwrap();
    let limits = Limits {
        command_wait: BRIEF,
        ..limits()
    };
    let mut channel = Channel::new(place.endpoint(&swtpm.address), limits);
    let mut section = channel.section().unwrap();
    let error = section.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(
        error.to_string().contains("one client at a time"),
        "{error}"
    );
}

/// What the reference simulator does, with swtpm behind it.
fn relay(listener: &TcpListener, platform: &TcpListener, data: &Path, signals: &mut Vec<u32>) {
    let word = |stream: &mut TcpStream| {
        let mut word = [0; 4];
        stream
            .read_exact(&mut word)
            .map(|()| u32::from_be_bytes(word))
            .unwrap()
    };
    let (mut client, _) = listener.accept().unwrap();
    let (mut control, _) = platform.accept().unwrap();
    loop {
        let signal = word(&mut control);
        signals.push(signal);
        if signal == 20 {
            break;
        }
        control.write_all(&[0; 4]).unwrap();
    }
    let mut tpm = std::os::unix::net::UnixStream::connect(data).unwrap();
    loop {
        let what = word(&mut client);
        signals.push(what);
        if what == 20 {
            return;
        }
        let mut locality = [9];
        client.read_exact(&mut locality).unwrap();
        assert_eq!(locality, [0]);
        let mut command = vec![0; word(&mut client) as usize];
        client.read_exact(&mut command).unwrap();
        tpm.write_all(&command).unwrap();
        let mut response = vec![0; 4096];
        let length = tpm.read(&mut response).unwrap();
        client.write_all(&(length as u32).to_be_bytes()).unwrap();
        client.write_all(&response[..length]).unwrap();
        client.write_all(&[0; 4]).unwrap();
    }
}

#[test]
fn the_reference_simulators_protocol() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let data = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    let (listener, platform) = loop {
        let port = super::testing::free_port();
        let Some(next) = port.checked_add(1) else {
            continue;
        };
        let bound = (
            TcpListener::bind(("127.0.0.1", port)),
            TcpListener::bind(("127.0.0.1", next)),
        );
        if let (Ok(listener), Ok(platform)) = bound {
            break (listener, platform);
        }
    };
    let port = listener.local_addr().unwrap().port();
    let mut signals = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| relay(&listener, &platform, Path::new(data), &mut signals));
        let mut channel = place.channel(&format!("mssim:host=localhost,port={port}"));
        let mut section = channel.section().unwrap();
        assert_ne!(random(&mut section), random(&mut section));
    });
    assert_eq!(signals, [1, 11, 20, 8, 8, 20]);
}

#[test]
fn another_process_holds_the_tpm() {
    if let Some(argument) = alone() {
        // The other process: says that it holds the TPM, and does until its input ends.
        let (locks, address) = argument.split_once(' ').unwrap();
        let mut channel = Channel::new(endpoint_in(Path::new(locks), address), limits());
        let mut section = channel.section().unwrap();
        section.record().unwrap().set(b"from the other process");
        random(&mut section);
        println!("\nHELD");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
    let argument = format!("{}/locks {}", place.path().display(), swtpm.address);
    let start = || {
        let mut other = start_alone("another_process_holds_the_tpm", &argument);
        let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap() == "HELD"),
            "the other process must get the TPM"
        );
        (other, lines)
    };
    let mut channel = place.channel(&swtpm.address);

    let (mut other, lines) = start();
    let error = channel.section_within(BRIEF).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(
        error
            .to_string()
            .contains(&format!("process {} holds it", other.id())),
        "{error}"
    );
    drop(other.stdin.take());
    let mut section = channel.section().unwrap();
    assert_eq!(section.record().unwrap().bytes(), b"from the other process");
    random(&mut section);
    drop(section);
    lines.for_each(drop);
    assert!(other.wait().unwrap().success());

    // One that is killed leaves neither the lock nor the connection behind.
    let (mut other, _lines) = start();
    other.kill().unwrap();
    random(&mut channel.section().unwrap());
    other.wait().unwrap();
}

#[test]
fn threads_take_turns() {
    let place = Place::new();
    let swtpm = Swtpm::tcp(&place.state());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut channel = place.channel(&swtpm.address);
                for _ in 0..25 {
                    random(&mut channel.section().unwrap());
                }
            });
        }
    });
}

#[test]
fn forked_workers_share_a_bare_tpm() {
    in_own_process("forked_workers_share_a_bare_tpm", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
        let mut channel = place.channel(&swtpm.address);
        drop(channel.section().unwrap());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                Forked::new(|| {
                    let first = channel.section().unwrap().continuity();
                    assert_eq!(first, Continuity::Reset, "the parent loaded it, not we");
                    for _ in 0..50 {
                        let mut section = channel.section().unwrap();
                        assert_eq!(section.continuity(), Continuity::Released);
                        random(&mut section);
                    }
                    Vec::new()
                })
            })
            .collect();
        for worker in workers {
            assert!(worker.wait().is_some());
        }
        assert_eq!(
            channel.section().unwrap().continuity(),
            Continuity::Released
        );
    });
}

#[test]
fn a_fork_during_a_section_takes_nothing_away() {
    in_own_process("a_fork_during_a_section_takes_nothing_away", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
        let mut channel = place.channel(&swtpm.address);
        let mut section = channel.section().unwrap();
        let address = &swtpm.address;
        // It inherits the connection's descriptor, and wants the TPM for itself.
        let child = Forked::new(|| {
            random(&mut place.channel(address).section().unwrap());
            Vec::new()
        });
        thread::sleep(BRIEF);
        random(&mut section);
        drop(section);
        assert!(child.wait().is_some());
    });
}

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
    let mut channel = place.channel(&device.managed(&place));
    let mut section = channel.section().unwrap();
    assert_eq!(
        (section.continuity(), section.sharing()),
        (Continuity::Reset, Sharing::Managed)
    );
    assert!(section.record().is_none());
    assert_eq!(random(&mut section)[7], 1);
    assert_eq!(random(&mut section)[7], 2);
    drop(section);
    let mut section = channel.section().unwrap();
    assert_eq!(section.continuity(), Continuity::Kept);
    random(&mut section);
    drop(section);
    channel.release();
    assert_eq!(channel.section().unwrap().continuity(), Continuity::Reset);
    assert!(place.lock_files().is_empty());
}

#[test]
fn a_managed_device_is_opened_again_after_a_fork_and_after_its_descriptor_is_lost() {
    in_own_process(
        "a_managed_device_is_opened_again_after_a_fork_and_after_its_descriptor_is_lost",
        || {
            let place = Place::new();
            let device = counting_device();
            let mut channel = place.channel(&device.managed(&place));
            random(&mut channel.section().unwrap());
            let child = Forked::new(|| {
                let mut section = channel.section().unwrap();
                assert_eq!(section.continuity(), Continuity::Reset);
                random(&mut section);
                drop(section);
                assert_eq!(channel.section().unwrap().continuity(), Continuity::Kept);
                Vec::new()
            });
            assert!(child.wait().is_some());
            assert_eq!(channel.section().unwrap().continuity(), Continuity::Kept);

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
            let mut section = channel.section().unwrap();
            assert_eq!(section.continuity(), Continuity::Reset);
            random(&mut section);
            drop(section);
            assert!(files.iter().all(|file| file.metadata().is_ok()));
        },
    );
}

#[test]
fn a_devices_failures_end_the_connection() {
    let place = Place::new();
    let short = FakeDevice::new(|_| vec![0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0]);
    let mut channel = place.channel(&short.bare());
    let mut section = channel.section().unwrap();
    assert_eq!(section.sharing(), Sharing::Bare);
    assert_eq!(
        section.transact(&GET_RANDOM).unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert_eq!(
        section.transact(&GET_RANDOM).unwrap_err().kind(),
        ErrorKind::Cut
    );
    drop(section);

    let place = Place::new();
    let mute = FakeDevice::new(|_| Vec::new());
    let limits = Limits {
        command_wait: BRIEF,
        ..limits()
    };
    let mut channel = Channel::new(place.endpoint(&mute.managed(&place)), limits);
    let error = channel
        .section()
        .unwrap()
        .transact(&GET_RANDOM)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(channel.section().unwrap().continuity(), Continuity::Reset);
}

#[test]
fn what_is_no_device_is_refused() {
    let place = Place::new();
    fs::write(place.path().join("tpmrm0"), b"").unwrap();
    let address = format!("device:{}/tpmrm0", place.path().display());
    let error = place.channel(&address).section().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
    let error = place
        .channel("device:/dev/null")
        .section()
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
        "a_device_in_use_is_busy_and_a_forbidden_one_names_the_group",
        || {
            let place = Place::new();
            drop_privileges();
            let device = counting_device();
            // SAFETY: takes no argument. It makes further opens fail with EBUSY, except for root.
            assert_eq!(
                unsafe { libc::ioctl(device.terminal.as_raw_fd(), libc::TIOCEXCL) },
                0
            );
            let error = place
                .channel(&device.bare())
                .section_within(BRIEF)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
            assert!(error.to_string().contains("tcsd or tpm2-abrmd"), "{error}");
            assert!(error.to_string().contains("device:/dev/tpmrm0"), "{error}");

            let device = counting_device();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0);
            fs::set_permissions(&device.path, mode).unwrap();
            let error = Channel::new(place.endpoint(&device.bare()), limits())
                .section()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("group tss"), "{error}");
        },
    );
}

/// A host like HAProxy: root at the start, then an ordinary user in an empty root directory.
fn confined(address: &str, place: &Place) {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not run: chroot needs root");
        return;
    }
    let mut channel = place.channel(address);
    let root = place.path().join("empty");
    fs::create_dir(&root).unwrap();
    let child = Forked::new(|| {
        let root = CString::new(root.to_str().unwrap()).unwrap();
        // SAFETY: a NUL-terminated path.
        assert_eq!(unsafe { libc::chroot(root.as_ptr()) }, 0);
        std::env::set_current_dir("/").unwrap();
        drop_privileges();
        for _ in 0..3 {
            random(&mut channel.section().unwrap());
        }
        Vec::new()
    });
    assert!(child.wait().is_some());
    // The lock file of the ordinary user is root's as well.
    random(&mut channel.section().unwrap());
}

#[test]
fn a_local_socket_is_found_after_chroot_and_setuid() {
    in_own_process("a_local_socket_is_found_after_chroot_and_setuid", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Generation::Tpm2, &place.state(), place.path());
        confined(&swtpm.address, &place);
    });
}

#[test]
fn a_named_host_is_found_after_chroot_and_setuid() {
    in_own_process("a_named_host_is_found_after_chroot_and_setuid", || {
        let place = Place::new();
        let swtpm = Swtpm::tcp(&place.state());
        confined(&swtpm.address.replace("127.0.0.1", "localhost"), &place);
    });
}

#[test]
fn a_device_is_found_after_chroot_and_setuid() {
    in_own_process("a_device_is_found_after_chroot_and_setuid", || {
        let place = Place::new();
        let device = counting_device();
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(&device.path, everyone).unwrap();
        confined(&device.managed(&place), &place);
    });
}

mod libtpms {
    use super::*;

    /// TPM2_NV_DefineSpace of index 0x01000001, with the owner's empty authorization.
    const DEFINE: [u8; 45] = [
        0x80, 2, 0, 0, 0, 45, 0, 0, 0x01, 0x2a, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0,
        0, 0, 0, 0, 0, 14, 1, 0, 0, 1, 0, 0x0b, 2, 6, 0, 6, 0, 0, 0, 8,
    ];
    /// TPM2_NV_UndefineSpace of it.
    const UNDEFINE: [u8; 31] = [
        0x80, 2, 0, 0, 0, 31, 0, 0, 0x01, 0x22, 0x40, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0,
        9, 0, 0, 0, 0, 0,
    ];
    /// TPM2_NV_ReadPublic of it.
    const READ_PUBLIC: [u8; 14] = [0x80, 1, 0, 0, 0, 14, 0, 0, 0x01, 0x69, 1, 0, 0, 1];
    const SHUTDOWN: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0];

    fn address(directory: &Path) -> String {
        format!("libtpms:{}", directory.display())
    }

    fn answer(section: &mut Section<'_>, command: &[u8]) -> u32 {
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
            let swtpm = Swtpm::unix_of(Generation::Tpm2, &state, place.path());
            wait_for("swtpm's state", || state.join("tpm2-00.permall").exists());
            drop(swtpm);
            let mut inside = place.channel(&address(&state));
            let mut section = inside.section().unwrap();
            assert_ne!(answer(&mut section, &READ_PUBLIC), 0);
            assert_eq!(answer(&mut section, &DEFINE), 0);
            drop(section);

            let swtpm = Swtpm::unix_of(Generation::Tpm2, &state, place.path());
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
            let swtpm = Swtpm::unix_of(Generation::Tpm12, &state, place.path());
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
                        for _ in 0..8 {
                            random(&mut channel.section().unwrap());
                        }
                    });
                }
            });
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
}
