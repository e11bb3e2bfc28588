//! Names of response codes and a sentence for each (Part 2, 6.6.3).
#![forbid(unsafe_code)]

/// Format-zero codes: `TPM_RC_VER1` (0x100) and `TPM_RC_WARN` (0x900).
pub(crate) const FORMAT_ZERO_CODES: &[(u32, &str, &str)] = &[
    (
        0x01e,
        "TPM_RC_BAD_TAG",
        "this is not a TPM 2.0, or the command was garbled",
    ),
    (
        0x100,
        "TPM_RC_INITIALIZE",
        "the TPM was not started up (TPM2_Startup), or was started twice",
    ),
    (
        0x101,
        "TPM_RC_FAILURE",
        "the TPM is in failure mode; it must be reset",
    ),
    (0x103, "TPM_RC_SEQUENCE", "a sequence is used wrongly"),
    (
        0x10b,
        "TPM_RC_PRIVATE",
        "the private part is not acceptable",
    ),
    (0x119, "TPM_RC_HMAC", "an HMAC does not match"),
    (0x120, "TPM_RC_DISABLED", "the command is disabled"),
    (
        0x121,
        "TPM_RC_EXCLUSIVE",
        "another audit session is exclusive",
    ),
    (
        0x124,
        "TPM_RC_AUTH_TYPE",
        "the authorization is of a type this handle does not accept",
    ),
    (0x125, "TPM_RC_AUTH_MISSING", "an authorization is missing"),
    (0x126, "TPM_RC_POLICY", "a policy is wrong or missing"),
    (0x127, "TPM_RC_PCR", "the PCR values do not match"),
    (
        0x128,
        "TPM_RC_PCR_CHANGED",
        "the PCR changed since the policy was checked",
    ),
    (
        0x12d,
        "TPM_RC_UPGRADE",
        "the TPM waits for a firmware update",
    ),
    (
        0x12e,
        "TPM_RC_TOO_MANY_CONTEXTS",
        "the context counter is at its end; the TPM must be reset",
    ),
    (
        0x12f,
        "TPM_RC_AUTH_UNAVAILABLE",
        "neither authorization value nor policy may be used with this key for this",
    ),
    (0x130, "TPM_RC_REBOOT", "the TPM must be reset first"),
    (
        0x131,
        "TPM_RC_UNBALANCED",
        "hash and symmetric algorithm differ in strength",
    ),
    (0x142, "TPM_RC_COMMAND_SIZE", "the command has a wrong size"),
    (
        0x143,
        "TPM_RC_COMMAND_CODE",
        "the TPM does not have this command",
    ),
    (
        0x144,
        "TPM_RC_AUTHSIZE",
        "the authorization area has a wrong size",
    ),
    (
        0x145,
        "TPM_RC_AUTH_CONTEXT",
        "this command takes no authorization",
    ),
    (0x146, "TPM_RC_NV_RANGE", "beyond the end of the NV index"),
    (0x147, "TPM_RC_NV_SIZE", "the NV space is too small"),
    (0x148, "TPM_RC_NV_LOCKED", "the NV index is locked"),
    (
        0x149,
        "TPM_RC_NV_AUTHORIZATION",
        "the NV index does not accept this authorization",
    ),
    (
        0x14a,
        "TPM_RC_NV_UNINITIALIZED",
        "the NV index was defined but never written",
    ),
    (0x14b, "TPM_RC_NV_SPACE", "the TPM's NV memory is full"),
    (
        0x14c,
        "TPM_RC_NV_DEFINED",
        "the handle or NV index is already in use",
    ),
    (
        0x150,
        "TPM_RC_BAD_CONTEXT",
        "the saved context is not valid",
    ),
    (
        0x151,
        "TPM_RC_CPHASH",
        "the policy allows another command only",
    ),
    (0x152, "TPM_RC_PARENT", "this handle is not a parent"),
    (0x153, "TPM_RC_NEEDS_TEST", "the TPM needs a self-test"),
    (0x154, "TPM_RC_NO_RESULT", "no result is available yet"),
    (
        0x155,
        "TPM_RC_SENSITIVE",
        "the private part does not have the right form",
    ),
    (
        0x901,
        "TPM_RC_CONTEXT_GAP",
        "an old saved session blocks the use of new ones",
    ),
    (
        0x902,
        "TPM_RC_OBJECT_MEMORY",
        "the TPM has no room for another object",
    ),
    (
        0x903,
        "TPM_RC_SESSION_MEMORY",
        "the TPM has no room for another session",
    ),
    (0x904, "TPM_RC_MEMORY", "the TPM is out of memory"),
    (
        0x905,
        "TPM_RC_SESSION_HANDLES",
        "the TPM has no handle left for a session",
    ),
    (
        0x906,
        "TPM_RC_OBJECT_HANDLES",
        "the TPM has no handle left for an object",
    ),
    (0x907, "TPM_RC_LOCALITY", "not allowed at this locality"),
    (
        0x908,
        "TPM_RC_YIELDED",
        "the TPM yielded; the command must be repeated",
    ),
    (0x909, "TPM_RC_CANCELED", "the command was cancelled"),
    (0x90a, "TPM_RC_TESTING", "the TPM is testing itself"),
    (
        0x920,
        "TPM_RC_NV_RATE",
        "the TPM limits writes to protect its memory",
    ),
    (
        0x921,
        "TPM_RC_LOCKOUT",
        "too many wrong authorization values: the TPM refuses keys with dictionary attack protection",
    ),
    (
        0x922,
        "TPM_RC_RETRY",
        "the TPM is busy; the command must be repeated",
    ),
    (
        0x923,
        "TPM_RC_NV_UNAVAILABLE",
        "the TPM's NV memory cannot be written now",
    ),
];

/// Format-one codes, without parameter, handle or session number.
pub(crate) const FORMAT_ONE_CODES: &[(u32, &str, &str)] = &[
    (
        0x081,
        "TPM_RC_ASYMMETRIC",
        "this asymmetric algorithm is not supported",
    ),
    (
        0x082,
        "TPM_RC_ATTRIBUTES",
        "the key's attributes do not allow this",
    ),
    (
        0x083,
        "TPM_RC_HASH",
        "this hash algorithm is not supported or not the right one",
    ),
    (0x084, "TPM_RC_VALUE", "a value is out of range"),
    (
        0x085,
        "TPM_RC_HIERARCHY",
        "the hierarchy is disabled or not the right one",
    ),
    (0x087, "TPM_RC_KEY_SIZE", "this key size is not supported"),
    (
        0x088,
        "TPM_RC_MGF",
        "this mask generation function is not supported",
    ),
    (
        0x089,
        "TPM_RC_MODE",
        "this mode of operation is not supported",
    ),
    (0x08a, "TPM_RC_TYPE", "the type is not the right one"),
    (0x08b, "TPM_RC_HANDLE", "there is nothing at this handle"),
    (
        0x08c,
        "TPM_RC_KDF",
        "this key derivation function is not supported",
    ),
    (0x08d, "TPM_RC_RANGE", "a value is out of range"),
    (
        0x08e,
        "TPM_RC_AUTH_FAIL",
        "the authorization value is wrong; this try counts against the lockout",
    ),
    (0x08f, "TPM_RC_NONCE", "a nonce has a wrong size"),
    (0x090, "TPM_RC_PP", "physical presence is required"),
    (0x092, "TPM_RC_SCHEME", "the key does not allow this scheme"),
    (0x095, "TPM_RC_SIZE", "a size is wrong"),
    (
        0x096,
        "TPM_RC_SYMMETRIC",
        "this symmetric algorithm is not supported",
    ),
    (0x097, "TPM_RC_TAG", "a structure tag is wrong"),
    (0x098, "TPM_RC_SELECTOR", "a selector is wrong"),
    (0x09a, "TPM_RC_INSUFFICIENT", "a structure is cut short"),
    (0x09b, "TPM_RC_SIGNATURE", "the signature is wrong"),
    (0x09c, "TPM_RC_KEY", "the key does not fit this use"),
    (
        0x09d,
        "TPM_RC_POLICY_FAIL",
        "the key's policy is not satisfied",
    ),
    (
        0x09f,
        "TPM_RC_INTEGRITY",
        "the private part was not protected by this parent",
    ),
    (0x0a0, "TPM_RC_TICKET", "the ticket is not valid"),
    (0x0a1, "TPM_RC_RESERVED_BITS", "reserved bits are set"),
    (0x0a2, "TPM_RC_BAD_AUTH", "the authorization value is wrong"),
    (0x0a3, "TPM_RC_EXPIRED", "the policy has expired"),
    (
        0x0a4,
        "TPM_RC_POLICY_CC",
        "the policy allows another command only",
    ),
    (
        0x0a5,
        "TPM_RC_BINDING",
        "public and private part do not belong together",
    ),
    (0x0a6, "TPM_RC_CURVE", "this curve is not supported"),
    (0x0a7, "TPM_RC_ECC_POINT", "the point is not on the curve"),
    (
        0x0a8,
        "TPM_RC_FW_LIMITED",
        "the key is limited to another firmware",
    ),
    (
        0x0a9,
        "TPM_RC_SVN_LIMITED",
        "the key is limited to another firmware version",
    ),
];
