//! What clients send to the agent that they should not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use testkit::process::{Run, wait_for};
use testkit::scratch::set_mode;
use testkit::service::Service;
use testkit::tools::{is_root, need};

use super::Home;
use super::agent::signs;

fn connect(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.file("run/tpm-ssh-agent.sock")).expect("the agent");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    stream
}

/// The type of the answer to a message; nothing if the agent has left.
fn answer(stream: &mut UnixStream, message: &[u8]) -> Option<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length[..], message].concat()).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).ok()?;
    body.first().copied()
}

fn running(home: &Home) -> Service {
    home.key("");
    home.agent("")
}

const FAILURE: u8 = 5;

/// Every type with bodies of every length: a refusal, or what an empty agent says, and the connection stays.
#[test]
fn messages_of_every_type() {
    let home = Home::new();
    let mut agent = running(&home);
    let mut stream = connect(&home);
    for kind in 0..=u8::MAX {
        for body in [&[][..], &[0; 3], &[0xff; 4], &[0; 64], &[0xff; 300]] {
            // Locking with an empty passphrase is allowed, and undone.
            if kind == 22 && body == [0; 64] {
                continue;
            }
            let got = answer(&mut stream, &[&[kind][..], body].concat());
            let wanted = match kind {
                11 => 12,
                _ => FAILURE,
            };
            assert_eq!(got, Some(wanted), "{kind} {}", body.len());
        }
    }
    assert!(agent.ended() || answer(&mut stream, &[11]) == Some(12));
    signs(&home, ".ssh/id_tpm.pub");
}

/// A request to sign, cut everywhere and longer: refused, without the TPM.
#[test]
fn requests_that_are_cut() {
    let home = Home::new();
    let _agent = running(&home);
    let blob = home.text(".ssh/id_tpm.pub");
    let blob =
        openssl::base64::decode_block(blob.split(' ').nth(1).expect("a key")).expect("base64");
    let string = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
        [&length[..], bytes].concat()
    };
    let whole = [&[13][..], &string(&blob), &string(b"data"), &[0; 4]].concat();
    let mut stream = connect(&home);
    for length in 1..whole.len() {
        assert_eq!(
            answer(&mut stream, &whole[..length]),
            Some(FAILURE),
            "{length}"
        );
    }
    assert_eq!(
        answer(&mut stream, &[&whole[..], &[0]].concat()),
        Some(FAILURE)
    );
    assert_eq!(home.bench.tap.counts().of("Sign"), 0);
    assert_eq!(answer(&mut stream, &whole), Some(14));
}

/// Lengths that no message has end the connection and nothing else.
#[test]
fn absurd_lengths() {
    let home = Home::new();
    let _agent = running(&home);
    for length in [0, 256 * 1024 + 1, u32::MAX] {
        let mut stream = connect(&home);
        stream.write_all(&length.to_be_bytes()).expect("sent");
        assert_eq!(stream.read(&mut [0; 8]).expect("an end"), 0, "{length}");
    }
    // The longest that there is.
    let mut stream = connect(&home);
    assert_eq!(answer(&mut stream, &vec![99; 256 * 1024]), Some(FAILURE));
    signs(&home, ".ssh/id_tpm.pub");
}

/// A thousand at once, some of which stop in the middle of a message: the others are served.
#[test]
fn a_thousand_connections() {
    let home = Home::new();
    let _agent = running(&home);
    let mut streams: Vec<UnixStream> = (0..1000).map(|_| connect(&home)).collect();
    for stream in streams.iter_mut().step_by(3) {
        stream.write_all(&[0, 0, 0, 9, 13]).expect("sent");
    }
    signs(&home, ".ssh/id_tpm.pub");
    for stream in streams.iter_mut().skip(1).step_by(3) {
        assert_eq!(answer(stream, &[11]), Some(12));
    }
    // More than there may be are turned away, and come in when others have gone.
    let more: Vec<UnixStream> = (0..100).map(|_| connect(&home)).collect();
    drop(streams);
    drop(more);
    wait_for("a place", Duration::from_secs(60), || {
        answer(&mut connect(&home), &[11]) == Some(12)
    });
    signs(&home, ".ssh/id_tpm.pub");
}

/// One with the right to connect is turned away all the same.
#[test]
fn another_user() {
    assert!(is_root(), "another user takes root: run the tests as root");
    let home = Home::new();
    let _agent = running(&home);
    for (name, mode) in [
        ("", 0o755),
        ("run", 0o755),
        ("run/tpm-ssh-agent.sock", 0o666),
    ] {
        set_mode(&home.file(name), mode);
    }
    let list = |run: Run| {
        run.arg("-L")
            .env("SSH_AUTH_SOCK", home.file("run/tpm-ssh-agent.sock"))
    };
    let add = || Run::new(need("ssh-add", "openssh-client"));
    // By a signal where it is still writing.
    let done = list(add()).as_nobody().done();
    assert!(!done.status.success() && done.out().is_empty(), "{done}");
    let ours = list(add()).ok();
    assert!(ours.out().contains("ecdsa"), "{ours}");
}
