//! Agreement on secrets: ECDH.
#![forbid(unsafe_code)]

use crypto::ecdh;
use crypto::ecdsa::EcPublic;
use zeroize::Zeroizing;

use crate::{Error, Key};

impl Key {
    /// Whether the key can agree on secrets; costs nothing.
    pub fn check_agreement(&self) -> Result<(), Error> {
        self.public().ec()?;
        self.backend.check_agreement()
    }

    /// The shared secret with `peer` (SP 800-56A, 5.7.1.2): the x coordinate, as long as the curve's
    /// field. Like a signature, what the TPM returned is looked at before it is handed out.
    pub fn agree(&self, peer: &EcPublic) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check_agreement()?;
        let curve = self.public().ec()?.curve();
        if peer.curve() != curve {
            return Err(Error::Data(format!(
                "the peer's key is on {}, this key on {}",
                peer.curve(),
                curve
            )));
        }
        let (x, y) = self.backend.agree(&self.credential, peer)?;
        ecdh::shared_secret(curve, &x, &y).ok_or_else(|| {
            Error::Data(format!(
                "the TPM returned something that is not a point on {curve} as the result of a key agreement; \
                 it was not handed out: the TPM may be faulty, or its answer was changed on its way"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tss::tpm2::fuzzing::{ADDRESS, POINT, deceive_one, tell};
    use tss::tpm2::{Attributes, Sessions};
    use tss::transport::{Limits, Origin};

    use super::*;
    use crate::tss2::KeyFile;
    use crate::{Ask, Config, Tpm};

    /// The start of a script: somebody manages the TPM, the connection stays, and at the script's end
    /// everything succeeds.
    const MANAGED: [u8; 2] = [2 | 1 << 2 | 16, 0];

    /// A key for agreements in the scripted TPM.
    fn scripted_key() -> Key {
        let limits = Limits {
            command_wait: Duration::from_secs(91),
            ..Limits::default()
        };
        // Its parent gets one handle and the key the next, so that the key stays when the parent goes.
        deceive_one(&[&MANAGED[..], &[5, 0, 0], &[5, 1, 0]].concat(), limits);
        let tpm = Tpm::new(Config {
            address: Some((ADDRESS.parse().unwrap(), Origin::CommandLine)),
            sessions: Sessions::Never,
            limits,
            ..Config::default()
        });
        let pem = include_bytes!("../../../tss/src/tpm2/tests/data/o_ec.pem");
        let mut file = KeyFile::from_pem(pem).unwrap();
        // Behind size, type and name algorithm (Part 2, 12.2.4).
        let attributes = file.public[6..].first_chunk_mut().unwrap();
        *attributes = (u32::from_be_bytes(*attributes) | Attributes::DECRYPT.0).to_be_bytes();
        Key::from_file(&tpm.unwrap(), file, Ask::Now(&mut |_| None)).unwrap()
    }

    /// Has the TPM answer the next command with that point.
    fn answer(x: &[u8], y: &[u8]) {
        let sized = |bytes: &[u8]| {
            let size = u16::try_from(bytes.len()).unwrap();
            [&size.to_be_bytes(), bytes].concat()
        };
        let point = sized(&[sized(x), sized(y)].concat());
        let length = u8::try_from(point.len()).unwrap();
        // These parameters, and no handle.
        tell(&[&MANAGED[..], &[2, length], &point, &[0; 3]].concat());
    }

    #[test]
    fn points_of_a_scripted_tpm_that_are_off_the_curve_are_refused() {
        let key = scripted_key();
        let peer = key.public().ec().unwrap().clone();
        let (x, y) = (&POINT.0[..], &POINT.1[..]);
        assert_eq!(**key.agree(&peer).unwrap(), *x);
        let mut near = POINT.1;
        near[31] ^= 1;
        let long = [&[0], x].concat();
        for (what, x, y) in [
            ("next to the curve", x, &near[..]),
            ("coordinates exchanged", y, x),
            ("x alone", x, &[]),
            ("at infinity", &[], &[]),
            ("at infinity in zeros", &[0; 32], &[0; 32]),
            ("x beyond the field", &[0xff; 32], y),
            ("y beyond the field", x, &[0xff; 32]),
            ("x longer than the field", &long, y),
            ("a point on a larger curve", &[1; 48], &[1; 48]),
        ] {
            answer(x, y);
            let error = key.agree(&peer).unwrap_err();
            assert!(matches!(error, Error::Data(_)), "{what}: {error:?}");
            assert!(error.to_string().contains("not a point on P-256"), "{what}");
        }
        answer(x, y);
        assert_eq!(**key.agree(&peer).unwrap(), *x);
    }
}
