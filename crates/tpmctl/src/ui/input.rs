//! Keys from what a terminal sends. Octets are read into memory that is wiped, since a secret may be among them, and
//! nothing else keeps them.

use zeroize::Zeroizing;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// With the control key.
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    /// Any other.
    Unknown,
}

impl Key {
    /// How it is called on the screen.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(character) => character.to_string(),
            Self::Ctrl(character) => format!("Ctrl-{}", character.to_ascii_uppercase()),
            Self::PageUp => "PgUp".to_owned(),
            Self::PageDown => "PgDn".to_owned(),
            Self::BackTab => "Shift-Tab".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// The longest sequence that is waited for.
const LONGEST: usize = 16;

/// What has come and is no key yet.
pub(crate) struct Decoder {
    octets: Zeroizing<Vec<u8>>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            octets: Zeroizing::new(Vec::with_capacity(2 * LONGEST)),
        }
    }

    /// Whether something is there that may be the beginning of more.
    pub(crate) fn is_open(&self) -> bool {
        !self.octets.is_empty()
    }

    /// The key that ends with this octet, if one does.
    pub(crate) fn push(&mut self, octet: u8) -> Option<Key> {
        self.octets.push(octet);
        let (key, is_whole) = decode(&self.octets);
        if is_whole || self.octets.len() >= LONGEST {
            self.wipe();
            return key;
        }
        None
    }

    /// Nothing more has come: what is there is a key by itself.
    pub(crate) fn flush(&mut self) -> Option<Key> {
        let first = self.octets.first().copied();
        self.wipe();
        match first {
            Some(0x1b) => Some(Key::Esc),
            Some(_) => Some(Key::Unknown),
            None => None,
        }
    }

    fn wipe(&mut self) {
        // Truncating leaves the octets where they are.
        self.octets.iter_mut().for_each(|octet| *octet = 0);
        self.octets.clear();
    }
}

/// A key, and whether the octets are whole.
fn decode(octets: &[u8]) -> (Option<Key>, bool) {
    let whole = |key| (Some(key), true);
    match octets {
        [0x1b] | [0x1b, b'['] | [0x1b, b'O'] => (None, false),
        [0x1b, 0x1b] => whole(Key::Esc),
        [0x1b, b'O', last] => whole(named(*last)),
        [0x1b, b'[', parameters @ .., last] => match last {
            0x40..=0x7e => whole(sequence(parameters, *last)),
            0x20..=0x3f => (None, false),
            _ => whole(Key::Unknown),
        },
        // With the Alt key.
        [0x1b, _] => whole(Key::Unknown),
        [b'\r' | b'\n'] => whole(Key::Enter),
        [b'\t'] => whole(Key::Tab),
        [0x08 | 0x7f] => whole(Key::Backspace),
        [0] => whole(Key::Unknown),
        [control @ 1..=0x1a] => whole(Key::Ctrl(char::from(control | 0x60))),
        [0x1c..=0x1f] => whole(Key::Unknown),
        [first, ..] => {
            let length = match first {
                0..=0x7f => 1,
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return whole(Key::Unknown),
            };
            if octets.len() < length {
                return (None, false);
            }
            let character = std::str::from_utf8(octets)
                .ok()
                .and_then(|text| text.chars().next());
            whole(character.map_or(Key::Unknown, Key::Char))
        }
        [] => (None, false),
    }
}

fn named(last: u8) -> Key {
    match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'Z' => Key::BackTab,
        b'M' => Key::Enter,
        _ => Key::Unknown,
    }
}

fn sequence(parameters: &[u8], last: u8) -> Key {
    match (parameters, last) {
        (b"1" | b"7", b'~') => Key::Home,
        (b"4" | b"8", b'~') => Key::End,
        (b"5", b'~') => Key::PageUp,
        (b"6", b'~') => Key::PageDown,
        ([], last) => named(last),
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(octets: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::new();
        let mut keys: Vec<Key> = octets
            .iter()
            .filter_map(|octet| decoder.push(*octet))
            .collect();
        keys.extend(decoder.flush());
        keys
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[5~\x1b[Zq\r\x03\x7f\t"),
            [
                Key::Up,
                Key::Down,
                Key::PageUp,
                Key::BackTab,
                Key::Char('q'),
                Key::Enter,
                Key::Ctrl('c'),
                Key::Backspace,
                Key::Tab
            ]
        );
        assert_eq!(
            keys("é€😀".as_bytes()),
            [Key::Char('é'), Key::Char('€'), Key::Char('😀')]
        );
        assert_eq!(keys(b"\x1b"), [Key::Esc]);
        assert_eq!(keys(b"\x1b\x1b"), [Key::Esc]);
        assert_eq!(keys(b"\x1b[1;5Cx"), [Key::Unknown, Key::Char('x')]);
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_keys(octets in proptest::collection::vec(0u8.., 0..64)) {
            let mut decoder = Decoder::new();
            for octet in octets {
                let _ = decoder.push(octet);
                assert!(decoder.octets.len() < LONGEST);
            }
            let _ = decoder.flush();
            assert!(!decoder.is_open());
        }
    }
}
