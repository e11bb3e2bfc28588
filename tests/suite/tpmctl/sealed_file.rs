//! Sealed files, read and written by hand: nothing in here is shared with what is tested.

use openssl::base64;
use openssl::symm::{Cipher, decrypt_aead};

/// 2.23.133.10.1.5.
pub(super) const SEALED_DATA: &[u8] = &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x05];

/// The fields of a sealed file, each with its tag and what is in it.
pub(super) struct Sealed {
    pub(super) tags: Vec<u8>,
    pub(super) fields: Vec<Vec<u8>>,
}

impl Sealed {
    /// Of an object that another tool has made.
    pub(super) fn new(parent: u32, empty_auth: bool, public: &[u8], private: &[u8]) -> Self {
        let number = [&[0][..], &parent.to_be_bytes()].concat();
        // As old tools write TRUE.
        let empty_auth = [1, 1, u8::from(empty_auth)].to_vec();
        Self {
            tags: vec![0x06, 0xa0, 0x02, 0x04, 0x04],
            fields: vec![
                SEALED_DATA.to_vec(),
                empty_auth,
                number,
                public.to_vec(),
                private.to_vec(),
            ],
        }
    }

    /// Of the first block in a text.
    pub(super) fn of_pem(text: &str) -> Self {
        Self::of_der(&block(text, "TSS2 PRIVATE KEY"))
    }

    pub(super) fn of_der(der: &[u8]) -> Self {
        let mut rest = der;
        let (tag, whole) = element(&mut rest);
        assert_eq!((tag, rest.len()), (0x30, 0));
        let mut inside = &whole[..];
        let mut sealed = Self {
            tags: Vec::new(),
            fields: Vec::new(),
        };
        while !inside.is_empty() {
            let (tag, content) = element(&mut inside);
            sealed.tags.push(tag);
            sealed.fields.push(content);
        }
        sealed
    }

    /// The last but one field: a whole TPM2B_PUBLIC.
    pub(super) fn public(&self) -> &[u8] {
        &self.fields[self.fields.len() - 2]
    }

    /// The last one: a whole TPM2B_PRIVATE.
    pub(super) fn private(&self) -> &[u8] {
        &self.fields[self.fields.len() - 1]
    }

    /// What has to be imported first has the seed that it is encrypted with: a whole TPM2B_ENCRYPTED_SECRET.
    pub(super) fn add_secret(&mut self, seed: &[u8]) {
        self.tags.insert(2, 0xa2);
        self.fields.insert(2, written(0x04, seed));
    }

    pub(super) fn to_der(&self) -> Vec<u8> {
        let fields = self.tags.iter().zip(&self.fields);
        let content: Vec<u8> = fields
            .flat_map(|(tag, field)| written(*tag, field))
            .collect();
        written(0x30, &content)
    }

    pub(super) fn to_pem(&self) -> String {
        let label = "TSS2 PRIVATE KEY";
        let body = base64::encode_block(&self.to_der());
        let lines: Vec<&str> = (0..body.len())
            .step_by(64)
            .map(|at| &body[at..body.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    }
}

/// The octets in a field with an explicit tag.
pub(super) fn explicit(field: &[u8]) -> Vec<u8> {
    let mut rest = field;
    let (tag, content) = element(&mut rest);
    assert_eq!((tag, rest.len()), (0x04, 0));
    content
}

/// The contents of a whole file, by the manual's description.
pub(super) fn open_contents(whole: &[u8], key: &[u8]) -> Vec<u8> {
    let end = b"-----END TPM SEALED DATA-----\n";
    let head = whole.windows(end.len()).position(|window| window == end);
    let (head, chunks) = whole.split_at(head.expect("a second block") + end.len());
    let header = block(&String::from_utf8_lossy(head), "TPM SEALED DATA");
    let prefix = &header[header.len() - 7..];
    let pieces: Vec<&[u8]> = chunks.chunks(65536 + 16).collect();
    let open = |(number, piece): (usize, &&[u8])| {
        let (encrypted, tag) = piece.split_at(piece.len() - 16);
        let number_of = u32::try_from(number).expect("few").to_be_bytes();
        let last = u8::from(number + 1 == pieces.len());
        let nonce = [prefix, &number_of, &[last]].concat();
        let cipher = Cipher::aes_256_gcm();
        decrypt_aead(cipher, key, Some(&nonce), &header, encrypted, tag).expect("authentic")
    };
    pieces.iter().enumerate().flat_map(open).collect()
}

fn block(text: &str, label: &str) -> Vec<u8> {
    let begin = format!("-----BEGIN {label}-----\n");
    let (_, behind) = text.split_once(&begin).expect("the block begins");
    let (body, _) = behind.split_once("-----END ").expect("and ends");
    base64::decode_block(&body.replace('\n', "")).expect("base64")
}

fn element(rest: &mut &[u8]) -> (u8, Vec<u8>) {
    let tag = rest[0];
    let (length, start) = match rest[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(rest[2]), 3),
        0x82 => (usize::from(rest[2]) << 8 | usize::from(rest[3]), 4),
        other => panic!("a length of {other:#x}"),
    };
    let content = rest[start..start + length].to_vec();
    *rest = &rest[start + length..];
    (tag, content)
}

fn written(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}
