//! Single responses: read by every command, in clear and in sessions.
#![forbid(unsafe_code)]

use crypto::Hash;
use crypto::Secret;
use crypto::fuzzing::input::Input;
use zeroize::Zeroizing;

use crate::tpm2::commands::{self, Request};
use crate::tpm2::constants::{AlgId, capability, handle, tag};
use crate::tpm2::public::{Public, Scheme};
use crate::tpm2::session::{AuthSession, Opening, Purpose, attribute};
use crate::tpm2::transaction::exchange::Exchange;
use crate::tpm2::transaction::exec::{Authorization, execute};
use crate::tpm2::wire::{Reader, Writer};
use crate::tpm2::{Entity, Name, ResponseCode, Signature};
use crate::transport::fuzzing::frame;
use crate::transport::{Continuity, Sharing, TransportError};

/// Runs `$run` with every request there is, chosen by `$choice`.
macro_rules! with_request {
    ($choice:expr, $run:expr) => {{
        let key = || Entity::object(handle::TRANSIENT_FIRST, Name::default());
        let template = Public::ecc_primary().unwrap();
        let auth = Secret::empty();
        let capability = |capability| commands::capability::GetCapability {
            capability,
            property: 0,
            count: 1,
        };
        match $choice % 29 {
            0 => $run(&commands::object::ReadPublic::of(handle::SRK)),
            1 => $run(&commands::object::Create {
                parent: key(),
                auth: &auth,
                data: &auth,
                template: &template,
            }),
            2 => $run(&commands::object::Load {
                parent: key(),
                private: &[0, 0],
                public: &template,
            }),
            3 => $run(&commands::hierarchy::CreatePrimary {
                hierarchy: handle::OWNER,
                template: &template,
            }),
            4 => $run(&commands::signing::Sign {
                key: key(),
                digest: &[1; 32],
                scheme: Scheme::Null,
                ticket: commands::hash::Ticket::null(),
            }),
            5 => $run(&commands::asymmetric::RsaDecrypt {
                key: key(),
                ciphertext: &[1; 256],
                scheme: Scheme::Null,
                label: &[],
            }),
            6 => $run(&commands::asymmetric::EcdhZGen {
                key: key(),
                x: &[1; 32],
                y: &[2; 32],
            }),
            7 => $run(&commands::asymmetric::RsaEncrypt {
                handle: handle::TRANSIENT_FIRST,
                message: &[1],
                scheme: Scheme::Null,
                label: &[],
            }),
            8 => $run(&commands::hash::Hash {
                data: &[1],
                hash: AlgId::SHA256,
                hierarchy: handle::OWNER,
            }),
            9 => $run(&commands::hash::HashSequenceStart {
                hash: AlgId::SHA256,
            }),
            10 => $run(&commands::hash::SequenceComplete {
                sequence: handle::TRANSIENT_FIRST,
                data: &[1],
                hierarchy: handle::OWNER,
            }),
            11 => $run(&commands::nv::NvReadPublic::of(handle::NV_FIRST)),
            12 => $run(&commands::nv::NvRead {
                authority: key(),
                index: key(),
                size: 4,
                offset: 0,
            }),
            13 => $run(&capability(capability::ALGS)),
            14 => $run(&capability(capability::HANDLES)),
            15 => $run(&capability(capability::COMMANDS)),
            16 => $run(&capability(capability::TPM_PROPERTIES)),
            17 => $run(&capability(capability::ECC_CURVES)),
            18 => $run(&commands::context::ContextSave {
                handle: handle::TRANSIENT_FIRST,
            }),
            19 => $run(&commands::context::ContextLoad { context: &[1; 20] }),
            20 => $run(&Opening::new(Purpose::Hmac, None).unwrap().request()),
            21 => $run(&commands::random::GetRandom { count: 8 }),
            22 => $run(&commands::testing::GetTestResult),
            23 => $run(&commands::policy::PcrRead { registers: &[] }),
            24 => $run(&commands::policy::PolicySecret {
                entity: key(),
                session: handle::HMAC_SESSION_FIRST,
                policy_ref: &[],
            }),
            25 => $run(&commands::object::LoadExternal {
                public: &template,
                hierarchy: handle::OWNER,
            }),
            26 => $run(&commands::signing::VerifySignature {
                key: key(),
                digest: &[1; 32],
                signature: &Signature::Rsa {
                    scheme: AlgId::RSASSA,
                    hash: AlgId::SHA256,
                    bytes: vec![1; 256],
                },
            }),
            27 => $run(&commands::object::Unseal { item: key() }),
            _ => $run(&commands::duplication::Import {
                parent: key(),
                public: &template,
                duplicate: &[0, 0],
                encrypted_seed: &[0, 0],
            }),
        }
    }};
}

/// Whole responses as they come from a wire, or parameters put into a frame that is right.
pub fn responses(data: &[u8]) {
    let mut input = Input::new(data);
    let (choice, mode) = (input.u8(), input.u8());
    with_request!(choice, |request| response(request, mode, input.clone()));
}

fn response<R: Request>(request: &R, mode: u8, mut input: Input<'_>) {
    let with_password = mode & 1 == 1;
    let response = match mode & 2 == 2 {
        true => input.rest().to_vec(),
        false => {
            let handle = R::ANSWERS_HANDLE.then(|| input.u32());
            let area: &[u8] = if with_password { &[0, 0, 1, 0, 0] } else { &[] };
            framed(with_password, handle, input.rest(), area)
        }
    };
    frame(&response);
    let code = response
        .get(6..10)
        .map(|code| ResponseCode(u32::from_be_bytes(code.try_into().unwrap())));
    if let Some(code) = code {
        let _ = (code.to_string(), code.meaning(), code.is_retry());
    }
    let none = Secret::empty();
    let mut password = [Authorization::Password(&none)];
    let authorizations = &mut password[..usize::from(with_password)];
    let result = execute(&mut Once(Some(response)), request, authorizations);
    if let Err(error) = &result {
        let _ = (error.to_string(), error.code());
    }
    if code != Some(ResponseCode::SUCCESS) {
        assert!(result.is_err());
    }
}

/// A response with a right header.
fn framed(sessions: bool, handle: Option<u32>, parameters: &[u8], area: &[u8]) -> Vec<u8> {
    let mut body = Writer::new();
    if let Some(handle) = handle {
        body.u32(handle);
    }
    if sessions {
        body.u32(parameters.len() as u32);
    }
    body.bytes(parameters).bytes(area);
    let body = body.finish("response").unwrap();
    let mut whole = Writer::new();
    let tag = if sessions {
        tag::SESSIONS
    } else {
        tag::NO_SESSIONS
    };
    whole
        .u16(tag)
        .u32(10 + body.len() as u32)
        .u32(0)
        .bytes(&body);
    whole.finish("response").unwrap().to_vec()
}

/// Responses in an HMAC session: by a TPM that knows the session's key, so that what it says about
/// parameters and nonces is looked at; or by one that does not, whose word must never count.
pub fn sessions(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let mode = input.u8();
    with_request!(choice, |request| in_session(request, mode, input.clone()));
}

fn in_session<R: Request>(request: &R, mode: u8, mut input: Input<'_>) {
    let auth = Secret::from(input.bytes());
    let started = commands::session::StartedSession {
        handle: handle::HMAC_SESSION_FIRST,
        nonce: input.bytes().to_vec(),
    };
    let mut session = Opening::new(Purpose::Hmac, None).unwrap().complete(started);
    let honest = mode & 1 == 1;
    // A command that begins with no TPM2B cannot have it encrypted, nor its answer.
    let attributes = attribute::CONTINUE | if mode & 2 == 2 { attribute::ENCRYPT } else { 0 };
    let mut responder = Responder {
        auth: &auth,
        honest,
        handle: R::ANSWERS_HANDLE.then(|| input.u32()),
        nonce: input.bytes(),
        attributes: input.u8(),
        hmac: input.bytes(),
        parameters: input.rest(),
    };
    let result = run(&mut responder, request, &mut session, attributes);
    if let Err(error) = &result {
        let _ = error.to_string();
    }
    if !honest {
        assert!(
            result.is_err(),
            "a response without the right HMAC was taken"
        );
    }
}

fn run<R: Request>(
    responder: &mut Responder<'_>,
    request: &R,
    session: &mut AuthSession,
    attributes: u8,
) -> crate::Result<R::Response> {
    let auth = responder.auth;
    execute(
        responder,
        request,
        &mut [Authorization::Session {
            session,
            auth,
            attributes,
        }],
    )
}

/// Answers in the place of a TPM with an unsalted session.
struct Responder<'a> {
    auth: &'a Secret,
    honest: bool,
    handle: Option<u32>,
    nonce: &'a [u8],
    attributes: u8,
    hmac: &'a [u8],
    parameters: &'a [u8],
}

impl Exchange for Responder<'_> {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        // Our nonce stands behind the session's handle.
        let handle = handle::HMAC_SESSION_FIRST.to_be_bytes();
        let at = (14..).step_by(4).find(|&at| command[at..at + 4] == handle);
        let mut area = Reader::new(&command[at.unwrap() + 4..], "command");
        let nonce_caller = area.tpm2b().unwrap();
        let hmac = match self.honest {
            true => {
                let end = self.auth.iter().rposition(|&byte| byte != 0);
                let key = &self.auth[..end.map_or(0, |last| last + 1)];
                let covered = [&[0; 4], &command[6..10], self.parameters];
                let hash = crypto::hash(Hash::Sha256, &covered);
                let parts = [&hash, self.nonce, nonce_caller, &[self.attributes]];
                crypto::hmac(Hash::Sha256, key, &parts)
            }
            false => Zeroizing::new(self.hmac.to_vec()),
        };
        let mut area = Writer::new();
        area.tpm2b(self.nonce).u8(self.attributes).tpm2b(&hmac);
        let area = area.finish("area").unwrap();
        let response = framed(true, self.handle, self.parameters, &area);
        Ok(Zeroizing::new(response))
    }

    fn continuity(&self) -> Continuity {
        Continuity::Kept
    }

    fn sharing(&self) -> Sharing {
        Sharing::Managed
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn set_record(&mut self, _: &[u8]) {}
}

/// One response; who asks again gets TPM_RC_FAILURE.
struct Once(Option<Vec<u8>>);

impl Exchange for Once {
    fn transact(&mut self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        let failure = || [&[0x80, 1, 0, 0, 0, 10][..], &[0, 0, 1, 1]].concat();
        Ok(Zeroizing::new(self.0.take().unwrap_or_else(failure)))
    }

    fn continuity(&self) -> Continuity {
        Continuity::Kept
    }

    fn sharing(&self) -> Sharing {
        Sharing::Managed
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn set_record(&mut self, _: &[u8]) {}
}
