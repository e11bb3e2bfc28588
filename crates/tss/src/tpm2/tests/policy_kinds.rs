//! Every command of a policy, against the digests of tpm2-tools and the judgement of a TPM.
#![forbid(unsafe_code)]

use super::policy::{pcr, sign_by, with_policy};
use super::services::tool;
use super::*;
use crate::ErrorKind;
use crate::tpm2::policy::{AuthorizedPolicy, Comparison, Operand, Signer};

/// The policy digest that tpm2-tools make with these commands, each without its session.
#[track_caller]
fn digest_by_tools(simulator: &Simulator, commands: &[&[&str]]) -> Vec<u8> {
    tool(simulator, &["tpm2_startauthsession", "-S", "session"]);
    for command in commands {
        let (name, arguments) = command.split_first().unwrap();
        let session = ["-S", "session", "-L", "digest"];
        tool(simulator, &[&[*name][..], &session, arguments].concat());
    }
    tool(simulator, &["tpm2_flushcontext", "session"]);
    simulator.clear_away();
    fs::read(simulator.directory.path().join("digest")).unwrap()
}

fn one(command: PolicyCommand) -> Policy {
    Policy::new(vec![command])
}

fn digest_of(policy: &Policy) -> Vec<u8> {
    policy.digest(AlgId::SHA256).unwrap().unwrap()
}

fn key_for(client: &Client, policy: &Policy, auth: &[u8]) -> Object {
    make(client, &owner(), &with_policy(&sign_only(), policy), auth)
}

fn operand(value: &[u8], offset: u16, comparison: &str) -> Operand {
    Operand {
        value: value.to_vec(),
        offset,
        comparison: Comparison::from_name(comparison).unwrap(),
    }
}

/// swtpm answers from locality 0 unless it is told otherwise.
#[test]
fn a_locality() {
    let simulator = Simulator::new();
    simulator.provision();
    let here = one(PolicyCommand::Locality(0b0_0001));
    let by_tools = digest_by_tools(&simulator, &[&["tpm2_policylocality", "zero"]]);
    assert_eq!(by_tools, digest_of(&here));
    let (client, log) = simulator.client(Sessions::Auto);
    let key = key_for(&client, &here, b"");
    log.take();
    sign_by(&client, &key, &here, b"").unwrap();
    sign_by(&client, &key, &here, b"").unwrap();
    log.expect(
        "ReadPublic StartAuthSession Load StartAuthSession PolicyLocality Sign \
         StartAuthSession PolicyLocality Sign",
    );
    let elsewhere = one(PolicyCommand::Locality(0b0_1000));
    let key = key_for(&client, &elsewhere, b"");
    let error = sign_by(&client, &key, &elsewhere, b"").unwrap_err();
    assert!(error.to_string().contains("locality"), "{error}");
    client.release();
    simulator.assert_empty();
}

#[test]
fn one_command_only() {
    let simulator = Simulator::new();
    simulator.provision();
    let signing = one(PolicyCommand::CommandCode(CommandCode::SIGN));
    let by_tools = digest_by_tools(&simulator, &[&["tpm2_policycommandcode", "TPM2_CC_Sign"]]);
    assert_eq!(by_tools, digest_of(&signing));
    let (client, log) = simulator.client(Sessions::Auto);
    let key = key_for(&client, &signing, b"");
    sign_by(&client, &key, &signing, b"").unwrap();
    // What it does not allow is not tried.
    let decrypting = one(PolicyCommand::CommandCode(CommandCode::RSA_DECRYPT));
    let key = key_for(&client, &decrypting, b"");
    log.take();
    let error = sign_by(&client, &key, &decrypting, b"").unwrap_err();
    assert!(
        error.to_string().contains("allows TPM2_RSA_Decrypt only"),
        "{error}"
    );
    log.expect("");
}

/// The value of a hierarchy, of a key and of an NV index. It never crosses the bus, whatever the key's own value is.
#[test]
fn the_value_of_something_else() {
    let simulator = Simulator::new();
    simulator.provision();
    let pin = std::str::from_utf8(PIN).unwrap();
    let attributes = "authread|authwrite|no_da";
    let define = ["tpm2_nvdefine", "0x01500001", "-s", "8", "-a", attributes];
    tool(&simulator, &[&define[..], &["-p", pin]].concat());
    let (client, log) = simulator.client(Sessions::Auto);
    let other = make(&client, &owner(), &sign_only(), PIN);
    let persistent = 0x8100_0077;
    client
        .evict_control(&other, persistent, &Secret::empty())
        .unwrap();
    client.release();
    simulator.clear_away();
    tool(&simulator, &["tpm2_changeauth", "-c", "o", pin]);
    let index = client.nv_read_public(0x0150_0001).unwrap();
    let key_object = Entity::object(persistent, other.name.clone());
    let nv_index = Entity::object(0x0150_0001, index.name);
    let hidden = Entity::object(0, key_object.name.clone());
    for (entity, by_tools, looked_up) in [
        (Entity::permanent(handle::OWNER), &["-c", "o", pin][..], ""),
        (key_object, &["-c", "0x81000077", pin], "ReadPublic "),
        (nv_index, &["-c", "0x01500001", pin], "NV_ReadPublic "),
        (
            hidden,
            &["-c", "0x81000077", pin],
            // The index and the root key are looked at, too.
            "GetCapability NV_ReadPublic GetCapability ReadPublic ReadPublic ",
        ),
    ] {
        let policy = one(PolicyCommand::Secret {
            entity,
            policy_ref: b"ref".to_vec(),
        });
        let arguments = [&["tpm2_policysecret"][..], by_tools, &["-q", "726566"]].concat();
        let by_tools = digest_by_tools(&simulator, &[&arguments]);
        assert_eq!(by_tools, digest_of(&policy));
        let (client, log) = simulator.client(Sessions::Auto);
        let parent = Parent::new(handle::SRK);
        let key = make(
            &client,
            &parent,
            &with_policy(&sign_only(), &policy),
            b"own",
        );
        log.take();
        sign_by(&client, &key, &policy, PIN).unwrap();
        log.expect(&format!(
            "StartAuthSession Load StartAuthSession {looked_up}StartAuthSession PolicySecret Sign FlushContext"
        ));
        assert!(!log.carried(PIN));
        // It is looked up once.
        sign_by(&client, &key, &policy, PIN).unwrap();
        log.expect("StartAuthSession StartAuthSession PolicySecret Sign FlushContext");
        let error = sign_by(&client, &key, &policy, b"own").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::WrongAuth { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("policy asks for"), "{error}");
        // The answer is authenticated.
        log.inject("PolicySecret", Fault::Flip(1));
        let error = sign_by(&client, &key, &policy, PIN).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
        client.release();
        simulator.assert_empty();
    }
    drop(log);
    // What is gone is said to be, and nobody's value goes anywhere.
    let gone = one(PolicyCommand::Secret {
        entity: Entity::object(0x8100_0099, Name::from_bytes(&[0, 11, 7])),
        policy_ref: Vec::new(),
    });
    let (client, log) = simulator.client(Sessions::Auto);
    let parent = Parent::new(handle::SRK);
    let key = make(&client, &parent, &with_policy(&sign_only(), &gone), b"");
    let error = sign_by(&client, &key, &gone, PIN).unwrap_err();
    assert!(
        error.to_string().contains("has nothing with the name"),
        "{error}"
    );
    assert!(!log.take().contains(&"PolicySecret".to_owned()));
}

/// Unsigned comparisons hold for every version of libtpms.
#[test]
fn the_counter_of_resets() {
    let mut simulator = Simulator::new();
    simulator.provision();
    // TPMS_TIME_INFO: time, then clock, resetCount, restartCount and safe.
    let resets = 16;
    fs::write(simulator.directory.path().join("two"), [0, 0, 0, 2]).unwrap();
    let early = one(PolicyCommand::CounterTimer(operand(
        &[0, 0, 0, 2],
        resets,
        "ult",
    )));
    let by_tools = digest_by_tools(
        &simulator,
        &[&["tpm2_policycountertimer", "--ult", "resets=2"]],
    );
    assert_eq!(by_tools, digest_of(&early));
    let (client, log) = simulator.client(Sessions::Auto);
    let key = key_for(&client, &early, b"");
    log.take();
    sign_by(&client, &key, &early, b"").unwrap();
    log.expect("ReadPublic StartAuthSession Load StartAuthSession PolicyCounterTimer Sign");
    client.release();
    for _ in 0..3 {
        simulator.restart();
    }
    let (client, _) = simulator.client(Sessions::Auto);
    let error = sign_by(&client, &key, &early, b"").unwrap_err();
    assert!(
        error.to_string().contains("PolicyCounterTimer is refused"),
        "{error}"
    );
    client.release();
    simulator.assert_empty();
}

#[test]
fn what_an_index_has() {
    let simulator = Simulator::new();
    simulator.provision();
    let attributes = "authread|ownerread|ownerwrite";
    tool(
        &simulator,
        &["tpm2_nvdefine", "0x01500002", "-s", "2", "-a", attributes],
    );
    let write = |value: &[u8]| {
        fs::write(simulator.directory.path().join("value"), value).unwrap();
        tool(
            &simulator,
            &["tpm2_nvwrite", "0x01500002", "-C", "o", "-i", "value"],
        );
    };
    write(&[1, 5]);
    let (client, log) = simulator.client(Sessions::Auto);
    let index = client.nv_read_public(0x0150_0002).unwrap();
    let index = Entity::object(0x0150_0002, index.name);
    fs::write(simulator.directory.path().join("five"), [5]).unwrap();
    let by_tools = digest_by_tools(
        &simulator,
        &[&[
            "tpm2_policynv",
            "0x01500002",
            "uge",
            "-i",
            "five",
            "--offset",
            "1",
            "-C",
            "o",
        ]],
    );
    for authority in [None, Some(Entity::permanent(handle::OWNER))] {
        let policy = one(PolicyCommand::Nv {
            authority,
            index: index.clone(),
            operand: operand(&[5], 1, "uge"),
        });
        assert_eq!(by_tools, digest_of(&policy));
        let key = key_for(&client, &policy, b"");
        log.take();
        sign_by(&client, &key, &policy, b"").unwrap();
        assert!(
            log.take()
                .ends_with(&["PolicyNV", "Sign"].map(String::from))
        );
        write(&[1, 4]);
        let error = sign_by(&client, &key, &policy, b"").unwrap_err();
        assert!(error.to_string().contains("PolicyNV"), "{error}");
        write(&[1, 200]);
        sign_by(&client, &key, &policy, b"").unwrap();
    }
    client.release();
    simulator.assert_empty();
}

/// A key of whoever signs policies, outside the TPM.
struct Author {
    key: openssl::pkey::PKey<openssl::pkey::Private>,
    public: Public,
}

impl Author {
    fn ec() -> Self {
        use openssl::{bn, ec, nid, pkey};
        let group = ec::EcGroup::from_curve_name(nid::Nid::X9_62_PRIME256V1).unwrap();
        let key = ec::EcKey::generate(&group).unwrap();
        let mut context = bn::BigNumContext::new().unwrap();
        let (mut x, mut y) = (bn::BigNum::new().unwrap(), bn::BigNum::new().unwrap());
        let point = key.public_key();
        point
            .affine_coordinates(&group, &mut x, &mut y, &mut context)
            .unwrap();
        let unique = Unique::Ecc {
            x: x.to_vec_padded(32).unwrap(),
            y: y.to_vec_padded(32).unwrap(),
        };
        let key = pkey::PKey::from_ec_key(key).unwrap();
        Self::new(key, &sign_only(), unique)
    }

    fn rsa() -> Self {
        let key = openssl::rsa::Rsa::generate(2048).unwrap();
        let unique = Unique::Rsa(key.n().to_vec());
        let attributes = Attributes::SIGN;
        let template = Public::rsa_template(2048, 0, attributes, Scheme::Null, AlgId::SHA256);
        let key = openssl::pkey::PKey::from_rsa(key).unwrap();
        Self::new(key, &template.unwrap(), unique)
    }

    fn new(
        key: openssl::pkey::PKey<openssl::pkey::Private>,
        template: &Public,
        unique: Unique,
    ) -> Self {
        let attributes = Attributes::SIGN.with(Attributes::USER_WITH_AUTH);
        let parms = template.parms().clone();
        let public = Public::assemble(AlgId::SHA256, attributes, &[], parms, unique).unwrap();
        Self { key, public }
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let sha256 = openssl::hash::MessageDigest::sha256();
        let mut signer = openssl::sign::Signer::new(sha256, &self.key).unwrap();
        let signature = signer.sign_oneshot_to_vec(message).unwrap();
        match self.public.unique() {
            Unique::Rsa(_) => Signature::Rsa {
                scheme: AlgId::RSASSA,
                hash: AlgId::SHA256,
                bytes: signature,
            },
            _ => {
                let (r, s) = ecdsa::decode_signature(&signature).unwrap();
                Signature::Ecc {
                    scheme: AlgId::ECDSA,
                    hash: AlgId::SHA256,
                    r,
                    s,
                }
            }
        }
    }

    /// A policy that it signs.
    fn authorize(
        &self,
        name: &str,
        mut commands: Vec<PolicyCommand>,
        policy_ref: &[u8],
    ) -> AuthorizedPolicy {
        let approved = digest_of(&Policy::new(commands.clone()));
        commands.push(PolicyCommand::Authorize {
            key: self.public.clone(),
            policy_ref: policy_ref.to_vec(),
            signature: Some(self.sign(&[&approved, policy_ref].concat())),
        });
        AuthorizedPolicy {
            name: Some(name.to_owned()),
            commands,
        }
    }

    fn authority(&self, policy_ref: &[u8]) -> PolicyCommand {
        PolicyCommand::Authorize {
            key: self.public.clone(),
            policy_ref: policy_ref.to_vec(),
            signature: None,
        }
    }
}

fn pcr_other() -> PolicyCommand {
    PolicyCommand::Pcr {
        registers: vec![PcrSelection::new(AlgId::SHA256, &[16]).unwrap()],
        digest: Some(vec![7; 32]),
    }
}

/// Signed policies: a key goes on after its machine has changed, without another key.
#[test]
fn policies_that_somebody_signed() {
    for author in [Author::ec(), Author::rsa()] {
        let simulator = Simulator::new();
        simulator.provision();
        let mut policy = Policy::new(vec![author.authority(b"ref"), PolicyCommand::AuthValue]);
        let (client, log) = simulator.client(Sessions::Auto);
        let key = key_for(&client, &policy, PIN);
        // None yet.
        log.take();
        let error = sign_by(&client, &key, &policy, PIN).unwrap_err();
        assert!(error.to_string().contains("none is in its file"), "{error}");
        // Another's, another reference's, another digest's: refused without the TPM.
        let stranger = Author::ec();
        let forged = AuthorizedPolicy {
            name: Some("forged".into()),
            commands: vec![
                pcr(),
                match stranger.authorize("", vec![pcr()], b"ref").commands.pop() {
                    Some(PolicyCommand::Authorize {
                        signature,
                        policy_ref,
                        ..
                    }) => PolicyCommand::Authorize {
                        key: author.public.clone(),
                        policy_ref,
                        signature,
                    },
                    _ => unreachable!(),
                },
            ],
        };
        policy.authorized = vec![
            forged,
            stranger.authorize("stranger", vec![pcr()], b"ref"),
            author.authorize("elsewhere", vec![pcr()], b"other"),
        ];
        let error = sign_by(&client, &key, &policy, PIN).unwrap_err();
        log.expect("");
        for said in [
            "\"forged\"",
            "signature",
            "\"stranger\"",
            "\"elsewhere\"",
            "not the one",
        ] {
            assert!(error.to_string().contains(said), "{said}: {error}");
        }
        // The first one does not hold, the second does.
        policy
            .authorized
            .push(author.authorize("new", vec![pcr_other()], b"ref"));
        policy
            .authorized
            .push(author.authorize("old", vec![pcr()], b"ref"));
        log.take();
        sign_by(&client, &key, &policy, PIN).unwrap();
        let verified =
            "LoadExternal VerifySignature FlushContext PolicyAuthorize PolicyAuthValue Sign";
        let found = "PolicyPCR!1c4 PolicyRestart PolicyPCR";
        log.expect(&format!(
            "ReadPublic StartAuthSession Load StartAuthSession {found} {verified}"
        ));
        assert!(!log.carried(PIN));
        // The TPM's word for the signature is good for the next use.
        sign_by(&client, &key, &policy, PIN).unwrap();
        log.expect(&format!(
            "ReadPublic StartAuthSession {found} PolicyAuthorize PolicyAuthValue Sign"
        ));
        client.release();
        simulator.assert_empty();
    }
}

/// As GRUB and systemd write them: the values of the moment, and a reference that is empty.
#[test]
fn a_signed_policy_over_the_values_of_the_moment() {
    let simulator = Simulator::new();
    simulator.provision();
    let author = Author::rsa();
    let mut policy = one(author.authority(b""));
    let mut signed = author.authorize("grub", vec![pcr()], b"");
    let registers = vec![PcrSelection::new(AlgId::SHA256, &[0, 16]).unwrap()];
    signed.commands[0] = PolicyCommand::Pcr {
        registers,
        digest: None,
    };
    policy.authorized.push(signed);
    let (client, log) = simulator.client(Sessions::Auto);
    let key = key_for(&client, &policy, b"");
    log.take();
    sign_by(&client, &key, &policy, b"").unwrap();
    log.expect(
        "PCR_Read ReadPublic StartAuthSession Load StartAuthSession PolicyPCR LoadExternal VerifySignature \
         FlushContext PolicyAuthorize Sign",
    );
    let extend = format!("16:sha256={}", "ab".repeat(32));
    client.release();
    tool(&simulator, &["tpm2_pcrextend", &extend]);
    log.take();
    let error = sign_by(&client, &key, &policy, b"").unwrap_err();
    assert!(error.to_string().contains("sha256:0,16"), "{error}");
    log.expect("PCR_Read");
}

/// One signature for every use, without a nonce of the TPM's.
#[test]
fn a_signature_in_the_file() {
    for author in [Author::ec(), Author::rsa()] {
        let simulator = Simulator::new();
        simulator.provision();
        let message = [&0i32.to_be_bytes()[..], b"ref"].concat();
        let policy = one(PolicyCommand::Signed {
            key: Signer::Public(Box::new(author.public.clone())),
            cp_hash: Vec::new(),
            policy_ref: b"ref".to_vec(),
            expiration: 0,
            signature: author.sign(&message),
        });
        let (client, log) = simulator.client(Sessions::Auto);
        let key = key_for(&client, &policy, b"");
        log.take();
        sign_by(&client, &key, &policy, b"").unwrap();
        log.expect(
            "ReadPublic StartAuthSession Load StartAuthSession LoadExternal PolicySigned FlushContext Sign",
        );
        let [PolicyCommand::Signed { signature, .. }] = &policy.commands[..] else {
            unreachable!()
        };
        let mut wrong = policy.clone();
        let [
            PolicyCommand::Signed {
                signature: forged, ..
            },
        ] = &mut wrong.commands[..]
        else {
            unreachable!()
        };
        assert_eq!(signature, forged);
        *forged = author.sign(b"something else");
        let error = sign_by(&client, &key, &wrong, b"").unwrap_err();
        assert!(
            error.to_string().contains("PolicySigned is refused"),
            "{error}"
        );
        client.release();
        simulator.assert_empty();
    }
}

/// An alternative without a value is taken before one with it, so that no try is spent on finding out.
#[test]
fn one_of_several() {
    let simulator = Simulator::new();
    simulator.provision();
    let branches = vec![
        vec![PolicyCommand::AuthValue],
        vec![pcr_other()],
        vec![pcr(), PolicyCommand::CommandCode(CommandCode::SIGN)],
    ];
    let digests = branches
        .iter()
        .map(|branch| digest_of(&Policy::new(branch.clone())))
        .collect();
    let policy = one(PolicyCommand::Or { digests, branches });
    let (client, log) = simulator.client(Sessions::Auto);
    let key = key_for(&client, &policy, PIN);
    log.take();
    let known = KeyAuth {
        value: None,
        policy: Some(&policy),
        shown_right: None,
    };
    client.sign(&key, known, ECDSA, &digest()).unwrap();
    log.expect(
        "ReadPublic StartAuthSession Load StartAuthSession PolicyPCR!1c4 PolicyRestart PolicyPCR \
         PolicyCommandCode PolicyOR Sign",
    );
    // In another state the value is wanted, and said to be where it is not known.
    client.release();
    tool(
        &simulator,
        &["tpm2_pcrextend", &format!("16:sha256={}", "ab".repeat(32))],
    );
    let error = client.sign(&key, known, ECDSA, &digest()).unwrap_err();
    assert!(error.to_string().contains("sha256:16"), "{error}");
    log.take();
    sign_by(&client, &key, &policy, PIN).unwrap();
    let commands = log.take();
    assert!(
        commands
            .ends_with(&["PolicyAuthValue", "PolicyOR", "Sign", "FlushContext"].map(String::from)),
        "{commands:?}"
    );
    assert!(!log.carried(PIN));
    let error = sign_by(&client, &key, &policy, b"wrong").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WrongAuth { .. }),
        "{error}"
    );
    client.release();
    simulator.assert_empty();
}

/// The digest of alternatives, and of registers in two banks, as tpm2-tools make them.
#[test]
fn digests_are_those_of_tpm2_tools() {
    let simulator = Simulator::new();
    let at = |name| simulator.directory.path().join(name);
    let either = [
        vec![PolicyCommand::Locality(1)],
        vec![PolicyCommand::AuthValue],
    ];
    let digests: Vec<Vec<u8>> = either
        .iter()
        .map(|branch| digest_of(&Policy::new(branch.clone())))
        .collect();
    for (name, digest) in ["one", "two"].iter().zip(&digests) {
        fs::write(at(name), digest).unwrap();
    }
    let by_tools = digest_by_tools(
        &simulator,
        &[
            &["tpm2_policyauthvalue"],
            &["tpm2_policyor", "sha256:one,two"],
        ],
    );
    let policy = one(PolicyCommand::Or {
        digests,
        branches: either.to_vec(),
    });
    assert_eq!(by_tools, digest_of(&policy));
    let selected = [(AlgId::SHA256, &[0, 7][..]), (AlgId::SHA1, &[4])]
        .map(|(bank, registers)| PcrSelection::new(bank, registers).unwrap());
    let by_tools = digest_by_tools(
        &simulator,
        &[&["tpm2_policypcr", "-l", &PcrSelection::list(&selected)]],
    );
    let (client, _) = simulator.client(Sessions::Auto);
    let values = client.registers(&selected).unwrap();
    let open = one(PolicyCommand::Pcr {
        registers: selected.to_vec(),
        digest: None,
    });
    assert_eq!(open.digest(AlgId::SHA256), Ok(None));
    let fixed = open.fixed(AlgId::SHA256, &values);
    assert_eq!(by_tools, digest_of(&fixed));
    // A bank that the TPM lacks.
    let sha3 = PcrSelection::new(AlgId::SHA3_256, &[7]).unwrap();
    assert!(
        client
            .registers(std::slice::from_ref(&sha3))
            .unwrap()
            .is_empty()
    );
    let lacking = one(PolicyCommand::Pcr {
        registers: vec![sha3.clone()],
        digest: None,
    });
    let fixed = lacking.fixed(AlgId::SHA256, &values);
    assert_eq!(fixed.open_registers(), std::slice::from_ref(&sha3));
    for digest in [None, Some(vec![7; 32])] {
        let policy = one(PolicyCommand::Pcr {
            registers: vec![sha3.clone()],
            digest,
        });
        let made_for = policy.digest(AlgId::SHA256).unwrap();
        let template = match made_for {
            Some(_) => with_policy(&sign_only(), &policy),
            None => with_policy(&sign_only(), &one(PolicyCommand::AuthValue)),
        };
        let key = make(&client, &owner(), &template, b"");
        let error = sign_by(&client, &key, &policy, b"").unwrap_err();
        assert!(error.to_string().contains("no bank sha3_256"), "{error}");
    }
}

/// Three slots: the key, what signs, and the parent in turn.
#[test]
fn signed_policies_of_many_keys_on_three_slots() {
    let simulator = Simulator::new();
    simulator.provision();
    let author = Author::ec();
    let mut policy = one(author.authority(b""));
    policy
        .authorized
        .push(author.authorize("now", vec![pcr()], b""));
    let (client, _) = simulator.client(Sessions::Auto);
    let keys: Vec<Object> = (0..5).map(|_| key_for(&client, &policy, b"")).collect();
    for _ in 0..2 {
        for key in &keys {
            sign_by(&client, key, &policy, b"").unwrap();
        }
    }
    client.release();
    simulator.assert_empty();
}

/// A register changes between its assertion and the use: asserted again, once.
#[test]
fn registers_that_change_meanwhile() {
    let simulator = Simulator::new();
    simulator.provision();
    let policy = one(pcr());
    let (client, log) = simulator.managed_client(Sessions::Auto);
    let key = key_for(&client, &policy, b"");
    sign_by(&client, &key, &policy, b"").unwrap();
    log.take();
    log.inject("Sign", Fault::Code(0x128));
    sign_by(&client, &key, &policy, b"").unwrap();
    log.expect("PolicyPCR Sign!128 PolicyRestart PolicyPCR Sign");
    log.inject("Sign", Fault::Code(0x128));
    log.inject("Sign", Fault::Code(0x128));
    let error = sign_by(&client, &key, &policy, b"").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::PolicyNotMet { .. }),
        "{error}"
    );
}

/// What a new policy is made of is authenticated: registers, and the names of what has a secret.
#[test]
fn what_a_policy_is_made_of_is_believed_in_a_session_only() {
    let none = Secret::empty();
    let simulator = Simulator::new();
    simulator.provision();
    let attributes = "authread|ownerread|ownerwrite";
    let define = ["tpm2_nvdefine", "0x01500003", "-s", "2", "-a", attributes];
    tool(&simulator, &define);
    let selected = [PcrSelection::new(AlgId::SHA256, &[0, 1, 2, 3, 4, 5, 6, 7, 16]).unwrap()];
    let (client, log) = simulator.client(Sessions::Auto);
    let values = client.believed_registers(&selected, &none).unwrap();
    assert_eq!(values, client.registers(&selected).unwrap());
    assert_eq!(
        log.take()[..5],
        [
            "ReadPublic",
            "StartAuthSession",
            "PCR_Read",
            "PCR_Read",
            "FlushContext"
        ]
        .map(String::from)
    );
    for from_end in [1, 40, 90, 200] {
        log.inject("PCR_Read", Fault::Flip(from_end));
        let error = client.believed_registers(&selected, &none).unwrap_err();
        let refused = matches!(
            error.kind(),
            ErrorKind::SessionIntegrity { .. } | ErrorKind::Malformed(_)
        );
        assert!(refused, "{from_end}: {error}");
    }
    for (handle, command) in [(handle::SRK, "ReadPublic"), (0x0150_0003, "NV_ReadPublic")] {
        let entity = client.believed_entity(handle, &none).unwrap();
        assert_eq!(entity.handle, handle);
        for from_end in [1, 30, 60, 100] {
            // The second time it is asked, in the session.
            log.inject(command, Fault::Later);
            log.inject(command, Fault::Flip(from_end));
            client.believed_entity(handle, &none).unwrap_err();
        }
    }
    client.believed_entity(0x0150_0099, &none).unwrap_err();
    let (client, log) = simulator.client(Sessions::Never);
    client.believed_registers(&selected, &none).unwrap();
    log.expect("PCR_Read PCR_Read");
    // Where there is no storage root key the session is salted to a primary, for which the owner's value may be needed.
    let simulator = Simulator::new();
    let pin = std::str::from_utf8(PIN).unwrap();
    tool(&simulator, &["tpm2_changeauth", "-c", "o", pin]);
    let (client, _) = simulator.client(Sessions::Auto);
    let error = client.believed_registers(&selected, &none).unwrap_err();
    assert!(error.is_of_parent(), "{error}");
    client.believed_registers(&selected, &PIN.into()).unwrap();
    client.release();
    simulator.assert_empty();
}

/// The table of costs in tpm-provider(7), row by row, for a P-256 key as it is made without options: the first use
/// besides loading, each further use, and the same where a resource manager keeps the sessions.
#[test]
fn the_table_of_costs_in_the_manual() {
    const PAGE: &str = include_str!("../../../../../docs/tpm-provider.7.md");
    let (_, table) = PAGE
        .split_once("| policy | first use, besides loading |")
        .unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let simulator = Simulator::new();
    simulator.provision();
    let author = Author::ec();
    let mut signed = one(author.authority(b""));
    signed
        .authorized
        .push(author.authorize("now", vec![pcr()], b""));
    let owner_value = PolicyCommand::Secret {
        entity: Entity::permanent(handle::OWNER),
        policy_ref: Vec::new(),
    };
    let policies = [
        ("sha256:0,16", one(pcr()), &b""[..]),
        (
            "sha256:0,16+pin",
            Policy::new(vec![pcr(), PolicyCommand::AuthValue]),
            PIN,
        ),
        ("secret:owner", one(owner_value), PIN),
        ("signed:KEY.pub, with sha256:0,16", signed, b""),
    ];
    let pin = std::str::from_utf8(PIN).unwrap();
    tool(&simulator, &["tpm2_changeauth", "-c", "o", pin]);
    let mut costs = Vec::new();
    for (words, policy, value) in &policies {
        let template = with_policy(&sign_and_decrypt(), policy);
        let mut row = vec![(*words).to_owned()];
        for managed in [false, true] {
            let (client, log) = simulator.client_with(options(Sessions::Auto), managed);
            let key = make(&client, &Parent::new(handle::SRK), &template, value);
            log.take();
            for use_ in ["first", "further"] {
                sign_by(&client, &key, policy, value).unwrap();
                let commands = log.take();
                let loaded = commands.iter().position(|command| command == "Load");
                let own = loaded.map_or(0, |place| place + 1);
                if !managed || use_ == "further" {
                    row.push(commands[own..].join(", "));
                }
            }
            client.release();
            simulator.clear_away();
        }
        costs.push(row);
    }
    assert_eq!(rows, costs);
}
