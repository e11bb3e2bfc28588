//! Ownership, states and the endorsement key, on a bare TPM and through tcsd.
#![forbid(unsafe_code)]

use super::*;

/// Both ways to a TPM without an owner.
fn unowned() -> [Simulator; 2] {
    [
        Simulator::unowned(Server::Unix),
        Simulator::behind_tcsd(Simulator::unowned(Server::Tcp), false),
    ]
}

fn password(text: &str) -> AuthValue {
    AuthValue::from_password(text.as_bytes())
}

#[track_caller]
fn code(error: &Error) -> u32 {
    failure(error).code().0
}

/// A TPM that has an owner with this secret, and an SRK with the well-known one.
fn taken(simulator: &Simulator, owner: &AuthValue) {
    let client = simulator.client().0;
    let key = client.create_endorsement().unwrap();
    client.take_ownership(&key, owner, &zeros()).unwrap();
}

#[test]
fn ownership_is_taken_changed_and_given_up() {
    for simulator in unowned() {
        let (client, log) = simulator.client();
        let (first, second) = (password("first"), password("second"));
        assert_eq!(code(&client.endorsement_public().unwrap_err()), 0x23);
        let endorsement = client.create_endorsement().unwrap();
        assert_eq!(client.endorsement_public().unwrap(), endorsement);
        log.clear();
        let srk = client
            .take_ownership(&endorsement, &first, &zeros())
            .unwrap();
        log.expect("OIAP TakeOwnership");
        assert!(client.properties().unwrap().owned);
        assert_eq!(client.srk_public_for_owner(&first).unwrap(), srk);
        // There is one now, and only its owner reads the endorsement key.
        let again = client.take_ownership(&endorsement, &first, &zeros());
        assert_eq!(code(&again.unwrap_err()), 0x14);
        assert_eq!(code(&client.endorsement_public().unwrap_err()), 8);
        let read = client.endorsement_public_for_owner(&first).unwrap();
        assert_eq!(read, endorsement);
        // A key under its SRK.
        let key = client
            .create(
                &zeros(),
                &Template::signing(1024, false),
                &zeros(),
                &zeros(),
            )
            .unwrap();
        sign(&client, &Key::new(key.clone(), zeros()), None);
        client.release();
        log.clear();
        client.change_owner(&first, &second).unwrap();
        log.expect("OSAP ChangeAuthOwner");
        let wrong = client.srk_public_for_owner(&first).unwrap_err();
        assert!(matches!(
            failure(&wrong),
            Failure::WrongSecret {
                whose: Whose::Owner,
                again: false,
                ..
            }
        ));
        log.clear();
        let wrong = client.owner_clear(&first).unwrap_err();
        assert!(matches!(
            failure(&wrong),
            Failure::WrongSecret { again: true, .. }
        ));
        log.expect("");
        // The SRK's secret, with which keys are loaded.
        let srk_secret = password("srk");
        client.change_srk(&second, &srk_secret).unwrap();
        sign(&client, &Key::new(key.clone(), srk_secret.clone()), None);
        client.release();
        log.clear();
        client.owner_clear(&second).unwrap();
        log.expect("OIAP OwnerClear");
        assert!(!client.properties().unwrap().owned);
        simulator.assert_empty();
    }
}

/// A wrong secret goes once and is counted, and a wrong answer is not believed.
#[test]
fn who_answers_in_the_tpms_place_is_not_believed() {
    let simulator = Simulator::unowned(Server::Unix);
    let owner = password("owner");
    taken(&simulator, &owner);
    let (client, log) = simulator.client();
    let new = password("new");
    for fault in [Fault::FlipHmac, Fault::NoAuth] {
        log.inject("OwnerSetDisable", fault);
        let error = client.owner_set_disable(&owner, false).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
    }
    log.inject("ChangeAuthOwner", Fault::FlipHmac);
    let error = client.change_owner(&owner, &new).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
        "{error}"
    );
    // The TPM has done it nevertheless.
    client.owner_set_disable(&new, false).unwrap();
    let tries = || client.lockout().unwrap().unwrap().count.unwrap();
    let before = tries();
    client
        .owner_set_disable(&password("wrong"), true)
        .unwrap_err();
    assert_eq!(tries(), before + 1);
    client.reset_lockout(&new).unwrap();
    assert_eq!(tries(), 0);
    client.owner_clear(&new).unwrap();
    simulator.assert_empty();
}

#[test]
fn an_endorsement_key_that_is_not_the_answer_is_refused() {
    let simulator = Simulator::unowned(Server::Unix);
    let (client, log) = simulator.client();
    client.create_endorsement().unwrap();
    // The checksum, the modulus.
    for from_end in [3, 60] {
        log.inject("ReadPubek", Fault::FlipParameter(from_end));
        let error = client.endorsement_public().unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }
    client.endorsement_public().unwrap();
    assert_eq!(code(&client.create_endorsement().unwrap_err()), 8);
}

#[test]
fn a_reset_of_the_lockout_goes_through_tcsd_as_well() {
    let simulator = Simulator::with_tcsd();
    let (client, log) = simulator.client();
    let wrong = client.owner_set_disable(&password("wrong"), true);
    wrong.unwrap_err();
    let count = || client.lockout().unwrap().unwrap().count;
    assert_eq!(count(), Some(1));
    log.clear();
    client.reset_lockout(&zeros()).unwrap();
    log.expect("OIAP ResetLockValue");
    assert_eq!(count(), Some(0));
}

#[test]
fn states_are_switched_and_seen() {
    for simulator in unowned() {
        let owner = password("owner");
        taken(&simulator, &owner);
        let (client, _) = simulator.client();
        let flags = || client.properties().unwrap().permanent.unwrap();
        client.owner_set_disable(&owner, true).unwrap();
        assert!(flags().disable);
        let refused = client.random(8).unwrap_err();
        assert!(matches!(failure(&refused), Failure::SwitchedOff { .. }));
        client.owner_set_disable(&owner, false).unwrap();
        assert!(!flags().disable);
        assert!(!flags().read_srk_pub);
        client.restrict_srk(&owner, false).unwrap();
        assert!(flags().read_srk_pub);
        client.srk_public(&zeros()).unwrap();
        client.restrict_srk(&owner, true).unwrap();
        assert!(!flags().read_srk_pub);
        client.restrict_endorsement(&owner, true).unwrap();
        assert!(!flags().read_pubek);
        client.restrict_endorsement(&owner, false).unwrap();
        assert!(flags().read_pubek);
        client.disable_owner_clear(&owner).unwrap();
        assert!(flags().disable_owner_clear);
        assert_eq!(code(&client.owner_clear(&owner).unwrap_err()), 5);
        simulator.assert_empty();
    }
}

/// What needs somebody at the machine: a bare TPM is told so, tcsd passes that on in single-user mode only.
#[test]
fn what_somebody_at_the_machine_does() {
    let simulator = Simulator::unowned(Server::Unix);
    let (client, _) = simulator.client();
    let state = || client.properties().unwrap();
    client.presence(Presence::CommandEnable).unwrap();
    client.presence(Presence::Present).unwrap();
    assert!(state().volatile.unwrap().physical_presence);
    client.physical_set_disable(true).unwrap();
    assert!(state().permanent.unwrap().disable);
    client.physical_set_disable(false).unwrap();
    client.set_ownable(false).unwrap();
    assert!(!state().permanent.unwrap().ownership);
    client.set_ownable(true).unwrap();
    let operator = password("operator");
    client.set_operator(&operator).unwrap();
    assert!(state().permanent.unwrap().operator);
    client.disable_force_clear().unwrap();
    assert_eq!(code(&client.force_clear().unwrap_err()), 5);
    client.presence(Presence::NotPresent).unwrap();
    for refused in [
        client.physical_set_disable(true),
        client.set_ownable(false),
        client.set_operator(&operator),
        client.deactivate_until_start(None),
    ] {
        assert_eq!(code(&refused.unwrap_err()), 0x2d);
    }
    client.deactivate_until_start(Some(&operator)).unwrap();
    assert!(state().volatile.unwrap().deactivated);
    simulator.assert_empty();

    let simulator = Simulator::with_tcsd();
    let client = simulator.client().0;
    for refused in [
        client.presence(Presence::Present),
        client.presence(Presence::NotPresent),
    ] {
        assert_eq!(code(&refused.unwrap_err()), 0x2006);
    }
    let present = client.properties().unwrap().volatile.unwrap();
    let forced = client.physical_set_disable(false);
    assert_eq!(forced.is_ok(), present.physical_presence);
}

#[test]
fn an_endorsement_key_is_revoked_by_who_may() {
    for simulator in [
        Simulator::unowned(Server::Unix),
        Simulator::behind_tcsd(Simulator::unowned(Server::Tcp), false),
    ] {
        let client = simulator.client().0;
        let raw = simulator.raw_client().0;
        let value = password("revocation");
        let key = client.create_revocable_endorsement(&value).unwrap();
        assert_eq!(client.endorsement_public().unwrap(), key);
        assert!(
            client
                .properties()
                .unwrap()
                .permanent
                .unwrap()
                .revocable_endorsement
        );
        raw.presence(Presence::CommandEnable).unwrap();
        raw.presence(Presence::Present).unwrap();
        let wrong = client.revoke_endorsement(&zeros()).unwrap_err();
        assert!(matches!(
            failure(&wrong),
            Failure::WrongSecret {
                whose: Whose::Revocation,
                ..
            }
        ));
        client.revoke_endorsement(&value).unwrap();
        // It is switched off then.
        assert_eq!(code(&client.endorsement_public().unwrap_err()), 7);
    }
}
