//! Files of sealed data, as far as they need no TPM.

use std::io::{BufReader, Read};

use tss::tpm2::Unique;

use super::container::{Head, HeadError, Header, InTpm, LABEL};
use super::contents::{CHUNK, Failure, decrypt, encrypt};
use super::*;
use crate::tss2::LABEL as KEY_LABEL;

/// What another tool sealed.
const FOREIGN: &[u8] = include_bytes!("../../../../tests/data/tpm2/j_seal.pem");
/// Bytes by which an encrypted chunk is longer.
const TAG: usize = 16;

fn key_file() -> KeyFile {
    KeyFile::from_pem(FOREIGN).unwrap()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

/// A whole file, with the key that would be sealed in it.
fn file(contents: &[u8]) -> (ContentsKey, Vec<u8>) {
    let (key, header) = (ContentsKey::new().unwrap(), Header::new().unwrap());
    let mut whole = [key_file().to_pem(), header.to_pem()].concat().into_bytes();
    let done = encrypt(&key, &header, &mut &*contents, &mut whole, &mut |_| true).unwrap();
    assert_eq!(done, contents.len() as u64);
    (key, whole)
}

/// What comes out of a file, and of a damaged one before the damage.
fn opened(key: &ContentsKey, whole: &[u8]) -> Result<Vec<u8>, (Option<Failure>, Vec<u8>)> {
    let mut input = BufReader::with_capacity(100, whole);
    let mut out = Vec::new();
    let head = Head::read(&mut input).map_err(|_| (None, Vec::new()))?;
    let header = head.contents.ok_or((None, Vec::new()))?;
    match decrypt(key, &header, &mut input, &mut out, &mut |_| true) {
        Ok(done) => {
            assert_eq!(done, out.len() as u64);
            Ok(out)
        }
        Err(failure) => Err((Some(failure), out)),
    }
}

fn head(bytes: &[u8]) -> Result<Head, HeadError> {
    Head::read(&mut &*bytes)
}

#[test]
fn contents_of_every_length_come_back() {
    for length in [
        0,
        1,
        129,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK,
        3 * CHUNK + 7,
    ] {
        let contents = bytes(length);
        let (key, whole) = file(&contents);
        assert_eq!(opened(&key, &whole).unwrap(), contents, "{length}");
        // No more is written than there is: a tag for each chunk, and at least one chunk.
        let chunks = length.div_ceil(CHUNK).max(1);
        let start = whole.len() - length - chunks * TAG;
        assert!(whole[..start].ends_with(format!("-----END {LABEL}-----\n").as_bytes()));
        let text = String::from_utf8(whole[..start].to_vec()).unwrap();
        assert!(text.starts_with(&format!("-----BEGIN {KEY_LABEL}-----\n")));
    }
}

/// A file that was cut off gives no more than whole chunks before, and says so, wherever that was.
#[test]
fn a_file_that_was_cut_off_is_noticed() {
    let contents = bytes(3 * CHUNK);
    let (key, whole) = file(&contents);
    let start = whole.len() - 3 * (CHUNK + TAG);
    for chunks in 0..3 {
        for more in [0, 1, TAG - 1, TAG, CHUNK + TAG - 1] {
            let cut = start + chunks * (CHUNK + TAG) + more;
            let (failure, out) = opened(&key, &whole[..cut]).unwrap_err();
            let from = match failure {
                Some(Failure::Damaged { from }) => from as usize,
                other => panic!("{chunks} {more}: {other:?}"),
            };
            // The last whole chunk does not say that it is the last, so it is none either.
            assert!(from <= chunks * CHUNK, "{chunks} {more}");
            assert_eq!(out, contents[..from]);
        }
    }
    for cut in (0..start).step_by(7).chain([start - 1]) {
        assert!(opened(&key, &whole[..cut]).is_err(), "{cut}");
    }
    let (failure, _) = opened(&key, &[&whole[..], b"x"].concat()).unwrap_err();
    assert!(matches!(failure, Some(Failure::Damaged { .. })));
}

#[test]
fn chunks_that_were_moved_doubled_or_left_out_are_noticed() {
    let contents = bytes(3 * CHUNK + 5);
    let (key, whole) = file(&contents);
    let start = whole.len() - contents.len() - 4 * TAG;
    let (front, chunks) = whole.split_at(start);
    let chunks: Vec<&[u8]> = chunks.chunks(CHUNK + TAG).collect();
    for order in [
        &[1, 0, 2, 3][..],
        &[0, 2, 1, 3],
        &[0, 1, 3],
        &[0, 0, 1, 2, 3],
        &[3],
        &[0, 1, 2, 3, 3],
        &[],
    ] {
        let parts: Vec<&[u8]> = order.iter().map(|number| chunks[*number]).collect();
        let mixed = [front, &parts.concat()].concat();
        let (_, out) = opened(&key, &mixed).unwrap_err();
        assert!(contents.starts_with(&out), "{order:?}");
    }
    // An empty last chunk behind a full one is how nobody writes it.
    let (other, header) = (ContentsKey::new().unwrap(), Header::new().unwrap());
    let mut stream =
        crypto::aead::Stream::new(&other.sealed()[16..], header.prefix(), &header.to_der())
            .unwrap();
    let (mut full, mut empty) = (bytes(CHUNK), Vec::new());
    stream.seal(&mut full, false).unwrap();
    stream.seal(&mut empty, true).unwrap();
    let chunks = [full, empty].concat();
    let failure = decrypt(&other, &header, &mut &*chunks, &mut Vec::new(), &mut |_| {
        true
    });
    assert!(matches!(failure, Err(Failure::Damaged { from }) if from == CHUNK as u64));
}

/// A changed byte is noticed, or makes no difference to what comes out.
#[test]
fn a_byte_that_was_changed_never_gives_other_contents() {
    let contents = bytes(CHUNK + 300);
    let (key, whole) = file(&contents);
    let start = whole.len() - contents.len() - 2 * TAG;
    let places = (0..start).chain((start..whole.len()).step_by(509));
    for place in places.chain([whole.len() - 1]) {
        for change in [0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[place] ^= change;
            match opened(&key, &damaged) {
                Ok(out) => assert!(place < start && out == contents, "{place}"),
                Err((_, out)) => assert!(contents.starts_with(&out), "{place}"),
            }
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    let (_, whole) = file(b"contents");
    let (failure, out) = opened(&ContentsKey::new().unwrap(), &whole).unwrap_err();
    assert!(matches!(failure, Some(Failure::Damaged { from: 0 })));
    assert!(out.is_empty());
}

/// What does not say that it is a key for contents is none, and what does is no data.
#[test]
fn a_key_is_told_from_data() {
    let key = ContentsKey::new().unwrap();
    assert!(ContentsKey::is_in(key.sealed()) && !fits(key.sealed()));
    assert_eq!(key.sealed().len(), 48);
    assert!(ContentsKey::from_sealed(key.sealed().clone()).is_some());
    for other in [&b""[..], &[7; 32], &[7; 48], &key.sealed()[..47]] {
        assert!(ContentsKey::from_sealed(other.into()).is_none());
    }
    for (length, small) in [(0, false), (1, true), (128, true), (129, false)] {
        assert_eq!(fits(&bytes(length)), small, "{length}");
    }
}

#[test]
fn interrupted_it_ends() {
    let (key, header) = (ContentsKey::new().unwrap(), Header::new().unwrap());
    let mut endless = std::io::repeat(0).take(1 << 40);
    let mut seen = 0;
    let mut progress = |done| {
        seen = done;
        done < 3 * CHUNK as u64
    };
    let failure = encrypt(
        &key,
        &header,
        &mut endless,
        &mut std::io::sink(),
        &mut progress,
    );
    assert!(matches!(failure, Err(Failure::Interrupted)));
    assert_eq!(seen, 3 * CHUNK as u64);
}

#[test]
fn every_form_of_file_is_read() {
    let file = key_file();
    let pem = file.to_pem();
    let hex = to_hex(&file);
    let header = Header::new().unwrap().to_pem();
    for (form, contents) in [
        (pem.clone().into_bytes(), false),
        (file.to_der(), false),
        (hex.clone().into_bytes(), false),
        (format!("{}\n", hex.to_uppercase()).into_bytes(), false),
        (pem.replace('\n', "\r\n").into_bytes(), false),
        (format!("a note\n{pem}\nanother\n").into_bytes(), false),
        (format!("{pem}{header}").into_bytes(), true),
        (
            format!("a note\n{pem}\n\n{header}chunks").into_bytes(),
            true,
        ),
    ] {
        let read = head(&form).unwrap();
        assert_eq!(read.sealed, InTpm::Two(Box::new(file.clone())));
        assert_eq!(read.contents.is_some(), contents);
    }
}

#[test]
fn what_is_no_sealed_file_is_refused() {
    let pem = key_file().to_pem();
    let header = Header::new().unwrap().to_pem();
    let newer = header_of(&[0x30, 0x03, 2, 1, 2]);
    for (text, word) in [
        (String::new(), "no TSS2 PRIVATE KEY"),
        ("text\n".into(), "no TSS2 PRIVATE KEY"),
        ("0123".into(), "damaged"),
        (
            format!("{pem}{}", &header[..header.len() - 9]),
            "incomplete",
        ),
        (format!("{pem}{}", header_of(b"")), "damaged"),
        (format!("{pem}{}", header_of(&[0x30, 0])), "damaged"),
        (format!("{pem}{newer}"), "newer"),
        ("x".repeat(2 << 20), "more than"),
    ] {
        let error = head(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

fn header_of(der: &[u8]) -> String {
    crate::format::pem::write(LABEL, der)
}

#[test]
fn what_cannot_be_unsealed_is_said_before() {
    let good = key_file();
    Sealed::check_file(&good).unwrap();
    let with = |change: &dyn Fn(&mut KeyFile)| {
        let mut file = good.clone();
        change(&mut file);
        Sealed::check_file(&file).unwrap_err().to_string()
    };
    let text = with(&|file| file.kind = Kind::Loadable);
    assert!(text.contains("holds a key"), "{text}");
    // Sealed elsewhere, to be imported.
    let mut elsewhere = good.clone();
    elsewhere.secret = Some(vec![0, 1, 7]);
    Sealed::check_file(&elsewhere).unwrap();
    // A signing bit, another type, and no way to be used.
    let text = with(&|file| file.public[7] |= 4);
    assert!(text.contains("another kind"), "{text}");
    let text = with(&|file| file.public[9] &= !0x40);
    assert!(text.contains("policy only"), "{text}");
}

#[test]
fn readers_refuse_what_they_cannot_read() {
    let srk = ParentChoice::parse("0x81000001").unwrap();
    let kernel = Options {
        parent: srk,
        reader: Reader::Kernel,
        ..Options::default()
    };
    let grub = Options {
        policy: "sha256:0".into(),
        reader: Reader::Grub,
        ..Options::default()
    };
    for (size, options, word) in [
        (31, kernel.clone(), "32 to 128"),
        (129, kernel.clone(), "32 to 128"),
        (
            32,
            Options {
                parent: ParentChoice::OWNER,
                ..kernel.clone()
            },
            "0x81000001",
        ),
        (
            32,
            Options {
                policy: "sha256:0".into(),
                ..kernel.clone()
            },
            "with a policy",
        ),
        (
            32,
            Options {
                auth: Secret::new(vec![b'1'; 21]),
                ..kernel.clone()
            },
            "20 bytes",
        ),
        (
            32,
            Options {
                auth: b"two words"[..].into(),
                ..kernel.clone()
            },
            "blanks",
        ),
        (
            1,
            Options {
                policy: String::new(),
                ..grub.clone()
            },
            "--pcr",
        ),
        (
            1,
            Options {
                auth: b"pin"[..].into(),
                ..grub.clone()
            },
            "--auth",
        ),
        (
            1,
            Options {
                parent: ParentChoice::parse("null").unwrap(),
                ..grub.clone()
            },
            "0x40000007",
        ),
    ] {
        let error = options.reader.check(size, &options).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    for size in [32, 128] {
        kernel.reader.check(size, &kernel).unwrap();
    }
    grub.reader.check(1, &grub).unwrap();
    assert!(Reader::Grub.check_size(129).is_err());
    assert!(Reader::Any.check_size(usize::MAX).is_ok());
}

#[test]
fn hexadecimal_is_that_alone() {
    assert_eq!(from_hex(b"30FF\r\n"), Some(vec![0x30, 0xff]));
    for text in [&b""[..], b"\n", b"3", b"30 31", b"0x30", b"3g"] {
        assert_eq!(from_hex(text), None);
    }
}

/// What is sealed for a storage key in software is in the form that openssl_tpm2_engine has, and needs no TPM.
#[test]
fn for_another_machine_without_a_tpm() {
    let point = Unique::Ecc {
        x: hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").unwrap(),
        y: hex::decode("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").unwrap(),
    };
    let template = Public::ecc_primary().unwrap();
    let parent = template.with(template.attributes(), &[], point).unwrap();
    let data = Secret::from(&b"secret"[..]);
    let file = seal_for(&data, &Options::default(), &parent).unwrap();
    assert_eq!(
        (file.kind, file.parent, file.empty_auth),
        (Kind::Sealed, 0x4000_0001, true)
    );
    assert!(file.secret.is_some());
    Sealed::check_file(&file).unwrap();
    assert_eq!(KeyFile::from_pem(file.to_pem().as_bytes()), Ok(file));
    // A parent that is none, data that do not fit, and what only the other machine knows.
    let options = |policy: &str| Options {
        policy: policy.into(),
        ..Options::default()
    };
    let long = Secret::new(vec![7; MOST + 1]);
    let zeros = "0".repeat(64);
    for (data, options, parent, word) in [
        (&data, options(""), &sealed_public(), "no storage key"),
        (&long, options(""), &parent, "1 to 128 bytes"),
        (&Secret::empty(), options(""), &parent, "1 to 128 bytes"),
        (&data, options("sha256:7"), &parent, "sha256:7=DIGEST"),
        (&data, options("nv:0x01500001=05"), &parent, "policy new"),
    ] {
        let error = seal_for(data, &options, parent).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    seal_for(&data, &options(&format!("sha256:7={zeros}")), &parent).unwrap();
}

fn sealed_public() -> Public {
    Public::from_tpm2b(&key_file().public).unwrap()
}

/// The block of a TPM 1.2, with a structure that any TPM 1.2 may have made.
#[test]
fn what_a_tpm_12_has_sealed_is_read_as_it_was_written() {
    let stored = [&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], &[7; 256]].concat();
    let data = tss::tpm12::StoredData::parse(&stored).unwrap();
    let header = Header::new().unwrap();
    for needs_auth in [false, true] {
        let sealed = tpm12::Sealed12 {
            needs_auth,
            data: data.clone(),
        };
        let text = format!("a note\n{}{}chunks", sealed.to_pem(), header.to_pem());
        let read = head(text.as_bytes()).unwrap();
        assert_eq!(read.sealed, InTpm::One(Box::new(sealed)));
        assert_eq!(read.contents, Some(header.clone()));
    }
    let block = |der: &[u8]| crate::format::pem::write(tpm12::LABEL, der);
    for (text, word) in [
        (block(&[]), "damaged"),
        (block(&[0x30, 0]), "damaged"),
        (block(&[0x30, 3, 2, 1, 2]), "newer"),
        (block(&[0x30, 6, 2, 1, 1, 1, 1, 0]), "damaged"),
        // Truth in another octet, and octets behind.
        (block(&[0x30, 10, 2, 1, 1, 1, 1, 1, 4, 2, 1, 1]), "damaged"),
    ] {
        let error = head(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
