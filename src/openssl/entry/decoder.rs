//! The entries of decoders: provider-decoder(7).

use std::ffi::{CStr, c_int, c_long, c_void};
use std::ptr;
use std::sync::Arc;

use super::keymgmt::KeyData;
use super::param::ParamList;
use super::{Callback, Held, Reference, Table, borrow_instance, guard};
use crate::openssl::Instance;
use crate::openssl::abi::{OSSL_CALLBACK, OSSL_CORE_BIO, OSSL_DISPATCH, OSSL_PASSPHRASE_CALLBACK};
use crate::openssl::core::{Error, Passphrase};

/// `OSSL_OBJECT_PKEY`: the object is a key.
pub(crate) const OBJECT_PKEY: i32 = 2;
/// `OSSL_OBJECT_CERT`: the object is a certificate in DER.
pub(crate) const OBJECT_CERTIFICATE: i32 = 3;

/// What a decoder made of its input.
pub(crate) enum Decoded {
    /// The input is somebody else's. Nothing is raised: every key file of a machine passes here.
    NotOurs,
    /// DER for the next decoder.
    Der {
        /// The bytes.
        der: Vec<u8>,
        /// The structure that the next decoder must understand.
        structure: &'static CStr,
        /// What keymgmt calls the type of key in it: decoders of other types need not look.
        key_type: &'static str,
    },
    /// A key of the type that keymgmt calls by this name.
    Key(&'static str, KeyData),
}

/// What an input was found to be.
pub(crate) enum Text {
    /// It has this PEM block.
    Pem(Vec<u8>),
    /// It has none, and is this.
    Plain(Vec<u8>),
}

/// What a decoder reads from, for the time of one call.
pub(crate) struct Input<'a> {
    instance: &'a Instance,
    bio: *mut OSSL_CORE_BIO,
}

impl Input<'_> {
    /// Everything up to `limit` bytes; `None` when it is longer.
    pub(crate) fn all(&mut self, limit: usize) -> Option<Vec<u8>> {
        // SAFETY: the core lends the BIO for the time of the call that made this value.
        unsafe { self.instance.read_to_end(self.bio, limit) }
    }

    /// Where it is read next; `None` where it cannot go back.
    pub(crate) fn position(&mut self) -> Option<Position> {
        // SAFETY: as above.
        unsafe { self.instance.position(self.bio) }.map(Position)
    }

    /// Leaves the rest from `position` on to others.
    pub(crate) fn go_back(&mut self, position: Position) {
        // SAFETY: as above.
        unsafe { self.instance.go_back(self.bio, position.0) };
    }

    /// The next PEM block with its BEGIN and END lines, and not a byte more: what follows, perhaps
    /// a certificate, is read by others. Without a block, all there is. `None` when either is longer than
    /// `limit` bytes.
    pub(crate) fn text(&mut self, limit: usize) -> Option<Text> {
        let (mut block, mut before, mut fits) = (Vec::new(), Vec::new(), true);
        loop {
            // SAFETY: as above.
            let line = unsafe { self.instance.read_line(self.bio) };
            // An editor may have left a mark before the first line.
            let line = line
                .as_deref()
                .map(|line| line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line));
            let Some(line) = line else {
                // A block without its end is for its parser to complain about.
                return match block.is_empty() {
                    true => fits.then_some(Text::Plain(before)),
                    false => Some(Text::Pem(block)),
                };
            };
            if block.is_empty() && !line.starts_with(b"-----BEGIN ") {
                fits &= before.len() + line.len() <= limit;
                if fits {
                    before.extend_from_slice(line);
                }
                continue;
            }
            block.extend_from_slice(line);
            if block.len() > limit {
                return None;
            }
            if line.starts_with(b"-----END ") {
                return Some(Text::Pem(block));
            }
        }
    }
}

/// Where an input can be read again from.
#[derive(Clone, Copy)]
pub(crate) struct Position(c_long);

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One decoder.
pub(crate) trait Decoder: 'static {
    /// Decodes `input`, asking for a passphrase only when the key needs one.
    fn decode(
        instance: &Arc<Instance>,
        input: &mut Input<'_>,
        selection: c_int,
        passphrase: &mut Passphrase,
    ) -> Result<Decoded, Error>;
    /// Whether this decoder can deliver the parts in `selection`.
    fn does(selection: c_int) -> bool;
}

/// The dispatch table of `D`.
pub(crate) const fn table<D: Decoder>() -> Table<OSSL_DISPATCH, 5> {
    dispatch![
        OSSL_FUNC_DECODER_NEWCTX: newctx => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_DECODER_FREECTX: freectx => fn(*mut c_void),
        OSSL_FUNC_DECODER_DOES_SELECTION: does_selection::<D> => fn(*mut c_void, c_int) -> c_int,
        OSSL_FUNC_DECODER_DECODE: decode::<D>
            => fn(
                *mut c_void,
                *mut OSSL_CORE_BIO,
                c_int,
                Option<OSSL_CALLBACK>,
                *mut c_void,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` here, a live core BIO, and callbacks with their argument.

unsafe extern "C" fn newctx(provctx: *mut c_void) -> *mut c_void {
    guard("decoder_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        Held::new(instance, ()).into_raw()
    })
}

unsafe extern "C" fn freectx(ctx: *mut c_void) {
    guard("decoder_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<()>::free(ctx) };
    });
}

unsafe extern "C" fn does_selection<D: Decoder>(_provctx: *mut c_void, selection: c_int) -> c_int {
    guard("decoder_does_selection", 0, || D::does(selection).into())
}

/// Returns 0 only for input that is ours and wrong: OpenSSL then stops and keeps the error. For
/// everything else it returns 1, and the next decoder has its turn.
unsafe extern "C" fn decode<D: Decoder>(
    ctx: *mut c_void,
    input: *mut OSSL_CORE_BIO,
    selection: c_int,
    callback: Option<OSSL_CALLBACK>,
    argument: *mut c_void,
    passphrase: Option<OSSL_PASSPHRASE_CALLBACK>,
    passphrase_argument: *mut c_void,
) -> c_int {
    guard("decoder_decode", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<()>::borrow(ctx) }) else {
            return 0;
        };
        let instance = &held.instance;
        // SAFETY: `callback` goes with `argument`, `passphrase` with `passphrase_argument`.
        let (callback, mut passphrase) = unsafe {
            (
                Callback::new(callback, argument),
                Passphrase::new(passphrase, passphrase_argument),
            )
        };
        let mut input = Input {
            instance,
            bio: input,
        };
        // A prompt that failed leaves its errors; the value may have come from elsewhere, and where it has not, ours
        // says it better: hosts that show one error show the oldest.
        let decoded =
            instance.unnoticed(|| D::decode(instance, &mut input, selection, &mut passphrase));
        match decoded {
            Ok(Decoded::NotOurs) => 1,
            Ok(Decoded::Der {
                der,
                structure,
                key_type,
            }) => {
                instance.unheard().take();
                let done = ParamList::new()
                    .text(c"data-type", key_type)
                    .text(c"data-structure", structure.to_str().unwrap_or(""))
                    .octets(c"data", &der)
                    .with(|params| callback.call(params));
                // The store wants everything that there is; who wants a key keeps all errors.
                if !done
                    && selection == 0
                    && let Some(error) = instance.unheard().take()
                {
                    instance.raise_again(&error, c"decoder_decode");
                }
                done.into()
            }
            Ok(Decoded::Key(name, data)) => deliver(instance, name, data, callback).into(),
            Err(error) => {
                instance.raise(&error, c"decoder_decode");
                instance.unheard().leave(&error);
                0
            }
        }
    })
}

/// Hands a key to the core through a callback that takes objects.
pub(crate) fn deliver(
    instance: &Arc<Instance>,
    name: &str,
    data: KeyData,
    callback: Callback,
) -> bool {
    Reference::lend(Held::new(Arc::clone(instance), data), |reference, size| {
        ParamList::new()
            .int(c"type", OBJECT_PKEY)
            .text(c"data-type", name)
            .lent(c"reference", reference, size)
            .with(|params| callback.call(params))
    })
}
