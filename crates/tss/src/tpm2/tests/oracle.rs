//! A second opinion on the wire format: tpm2-protocol reads every command and response of the other
//! tests, writes it again, and must come to the same bytes.
#![forbid(unsafe_code)]

use tpm2_protocol::TpmWriter;
use tpm2_protocol::frame::*;

use super::super::constants::{CommandCode, tag};
use super::super::session::attribute;

/// Handles and parameters, written again.
fn again(body: &impl TpmMarshalBody) -> (Vec<u8>, Vec<u8>) {
    let (mut handles, mut parameters) = ([0; 4096], [0; 4096]);
    let mut writer = TpmWriter::new(&mut handles);
    body.marshal_handles(&mut writer).unwrap();
    let handles = writer.as_bytes().to_vec();
    let mut writer = TpmWriter::new(&mut parameters);
    body.marshal_parameters(&mut writer).unwrap();
    (handles, writer.as_bytes().to_vec())
}

fn same_command<C: TpmUnmarshalBody + TpmMarshalBody>(command: &TpmCommand, what: CommandCode) {
    let body: C = command
        .unmarshal()
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let (handles, parameters) = again(&body);
    assert_eq!(handles, command.handles().unwrap(), "{what}");
    assert_eq!(parameters, command.parameters().unwrap(), "{what}");
}

fn same_response<R: TpmUnmarshalBody + TpmMarshalBody>(bytes: &[u8], what: CommandCode) {
    let response = TpmResponse::cast(bytes).unwrap();
    let body: R = response
        .unmarshal()
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let (handles, parameters) = again(&body);
    let mut rest = &bytes[10..];
    assert_eq!(handles, rest[..handles.len()], "{what}");
    rest = &rest[handles.len()..];
    if bytes[..2] == tag::SESSIONS.to_be_bytes() {
        rest = &rest[4..];
    }
    assert_eq!(parameters, rest[..parameters.len()], "{what}");
}

/// The attributes of a command's sessions, together.
fn session_attributes(command: &TpmCommand) -> u8 {
    let mut area = command.auth_area().unwrap();
    let mut attributes = 0;
    while let Some(size) = area.get(4..6) {
        let nonce = usize::from(u16::from_be_bytes([size[0], size[1]]));
        attributes |= area[6 + nonce];
        let hmac = &area[7 + nonce..];
        area = &hmac[2 + usize::from(u16::from_be_bytes([hmac[0], hmac[1]]))..];
    }
    attributes
}

macro_rules! opinions {
    ($($code:ident: $command:ty, $response:ty;)*) => {
        /// Reads and writes a command and its successful response again.
        pub(super) fn second_opinion(command: &[u8], response: &[u8]) {
            let code = CommandCode(u32::from_be_bytes(command[6..10].try_into().unwrap()));
            let command = TpmCommand::cast(command).unwrap();
            let attributes = session_attributes(command);
            let success = response[6..10] == [0; 4];
            match code {
                $(CommandCode::$code => {
                    // What is encrypted cannot be read, except where it has no form anyway.
                    if attributes & attribute::DECRYPT == 0 {
                        same_command::<$command>(command, code);
                    }
                    if success && attributes & attribute::ENCRYPT == 0 {
                        same_response::<$response>(response, code);
                    }
                })*
                super::sessions::CERTIFY => {
                    if attributes & attribute::DECRYPT == 0 {
                        same_command::<TpmCertifyCommand>(command, code);
                    }
                    if success && attributes & attribute::ENCRYPT == 0 {
                        same_response::<TpmCertifyResponse>(response, code);
                    }
                }
                // The other implementation wants a private part, which is optional.
                CommandCode::LOAD_EXTERNAL => {
                    same_response::<TpmLoadExternalResponse>(response, code);
                }
                other => panic!("no second opinion on {other}"),
            }
        }
    };
}

opinions! {
    CLEAR: TpmClearCommand, TpmClearResponse;
    CLEAR_CONTROL: TpmClearControlCommand, TpmClearControlResponse;
    CONTEXT_LOAD: TpmContextLoadCommand, TpmContextLoadResponse;
    CONTEXT_SAVE: TpmContextSaveCommand, TpmContextSaveResponse;
    CREATE: TpmCreateCommand, TpmCreateResponse;
    CREATE_PRIMARY: TpmCreatePrimaryCommand, TpmCreatePrimaryResponse;
    DICTIONARY_ATTACK_LOCK_RESET: TpmDictionaryAttackLockResetCommand, TpmDictionaryAttackLockResetResponse;
    DICTIONARY_ATTACK_PARAMETERS: TpmDictionaryAttackParametersCommand, TpmDictionaryAttackParametersResponse;
    ECDH_ZGEN: TpmEcdhZGenCommand, TpmEcdhZGenResponse;
    EVICT_CONTROL: TpmEvictControlCommand, TpmEvictControlResponse;
    FLUSH_CONTEXT: TpmFlushContextCommand, TpmFlushContextResponse;
    GET_CAPABILITY: TpmGetCapabilityCommand, TpmGetCapabilityResponse;
    GET_RANDOM: TpmGetRandomCommand, TpmGetRandomResponse;
    GET_TEST_RESULT: TpmGetTestResultCommand, TpmGetTestResultResponse;
    HASH: TpmHashCommand, TpmHashResponse;
    HASH_SEQUENCE_START: TpmHashSequenceStartCommand, TpmHashSequenceStartResponse;
    HIERARCHY_CHANGE_AUTH: TpmHierarchyChangeAuthCommand, TpmHierarchyChangeAuthResponse;
    HIERARCHY_CONTROL: TpmHierarchyControlCommand, TpmHierarchyControlResponse;
    IMPORT: TpmImportCommand, TpmImportResponse;
    LOAD: TpmLoadCommand, TpmLoadResponse;
    NV_DEFINE_SPACE: TpmNvDefineSpaceCommand, TpmNvDefineSpaceResponse;
    NV_READ: TpmNvReadCommand, TpmNvReadResponse;
    NV_READ_PUBLIC: TpmNvReadPublicCommand, TpmNvReadPublicResponse;
    NV_UNDEFINE_SPACE: TpmNvUndefineSpaceCommand, TpmNvUndefineSpaceResponse;
    NV_WRITE: TpmNvWriteCommand, TpmNvWriteResponse;
    OBJECT_CHANGE_AUTH: TpmObjectChangeAuthCommand, TpmObjectChangeAuthResponse;
    PCR_EXTEND: TpmPcrExtendCommand, TpmPcrExtendResponse;
    PCR_READ: TpmPcrReadCommand, TpmPcrReadResponse;
    PCR_RESET: TpmPcrResetCommand, TpmPcrResetResponse;
    POLICY_AUTHORIZE: TpmPolicyAuthorizeCommand, TpmPolicyAuthorizeResponse;
    POLICY_AUTH_VALUE: TpmPolicyAuthValueCommand, TpmPolicyAuthValueResponse;
    POLICY_COMMAND_CODE: TpmPolicyCommandCodeCommand, TpmPolicyCommandCodeResponse;
    POLICY_COUNTER_TIMER: TpmPolicyCounterTimerCommand, TpmPolicyCounterTimerResponse;
    POLICY_LOCALITY: TpmPolicyLocalityCommand, TpmPolicyLocalityResponse;
    POLICY_NV: TpmPolicyNvCommand, TpmPolicyNvResponse;
    POLICY_OR: TpmPolicyOrCommand, TpmPolicyOrResponse;
    POLICY_PASSWORD: TpmPolicyPasswordCommand, TpmPolicyPasswordResponse;
    POLICY_PCR: TpmPolicyPcrCommand, TpmPolicyPcrResponse;
    POLICY_RESTART: TpmPolicyRestartCommand, TpmPolicyRestartResponse;
    POLICY_SECRET: TpmPolicySecretCommand, TpmPolicySecretResponse;
    POLICY_SIGNED: TpmPolicySignedCommand, TpmPolicySignedResponse;
    READ_PUBLIC: TpmReadPublicCommand, TpmReadPublicResponse;
    RSA_DECRYPT: TpmRsaDecryptCommand, TpmRsaDecryptResponse;
    RSA_ENCRYPT: TpmRsaEncryptCommand, TpmRsaEncryptResponse;
    SELF_TEST: TpmSelfTestCommand, TpmSelfTestResponse;
    SEQUENCE_COMPLETE: TpmSequenceCompleteCommand, TpmSequenceCompleteResponse;
    SEQUENCE_UPDATE: TpmSequenceUpdateCommand, TpmSequenceUpdateResponse;
    SET_PRIMARY_POLICY: TpmSetPrimaryPolicyCommand, TpmSetPrimaryPolicyResponse;
    SHUTDOWN: TpmShutdownCommand, TpmShutdownResponse;
    SIGN: TpmSignCommand, TpmSignResponse;
    UNSEAL: TpmUnsealCommand, TpmUnsealResponse;
    VERIFY_SIGNATURE: TpmVerifySignatureCommand, TpmVerifySignatureResponse;
    START_AUTH_SESSION: TpmStartAuthSessionCommand, TpmStartAuthSessionResponse;
}
