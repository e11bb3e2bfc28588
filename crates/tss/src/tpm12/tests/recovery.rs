//! What was put into a bare TPM by a command whose answer never came, or was not believed.
#![forbid(unsafe_code)]

use super::*;
use crate::os::process::Process;
use crate::tpm12::transaction::exec::Authority;
use crate::tpm12::transaction::loaded::Awaited;

/// An answer that was not made by somebody who knows the SRK's secret: its handle is worth nothing, but
/// something may have been loaded.
#[test]
fn a_key_whose_answer_was_not_believed_is_found() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let (plain, secret) = (key_file("tss.pem"), key_file("tss-auth.pem"));
    for fault in [Fault::FlipHmac, Fault::NoAuth] {
        log.inject("LoadKey2", fault);
        client.sign(&plain, &zeros(), &digest_info()).unwrap_err();
        log.clear();
        sign(&client, &plain, None);
        log.expect("GetCapability GetPubKey FlushSpecific OIAP LoadKey2 Sign");
        client.release();
    }
    // The TPM does not tell what a key with a password is. That it does not is no wrong try.
    let before = client.lockout().unwrap();
    log.inject("LoadKey2", Fault::FlipHmac);
    let password = AuthValue::from_password(PASSWORD);
    client.sign(&secret, &password, &digest_info()).unwrap_err();
    log.clear();
    sign(&client, &secret, Some(PASSWORD));
    log.expect("GetCapability GetPubKey!1 FlushSpecific OIAP LoadKey2 OIAP Sign FlushSpecific");
    assert_eq!(client.lockout().unwrap(), before);
    client.release();
    simulator.assert_empty();
}

#[test]
fn what_the_tpm_refused_is_not_looked_for() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let plain = key_file("tss.pem");
    for command in ["OIAP", "LoadKey2"] {
        log.inject(command, Fault::Code(9));
        client.sign(&plain, &zeros(), &digest_info()).unwrap_err();
        log.clear();
        sign(&client, &plain, None);
        log.expect("OIAP LoadKey2 Sign");
        client.release();
        log.clear();
    }
    simulator.assert_empty();
}

/// A key that is alone and not in the table, while another one is awaited.
#[test]
fn a_key_that_does_not_look_like_the_awaited_one_stays() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let (plain, secret) = (key_file("tss.pem"), key_file("tss-auth.pem"));
    for (there, needs_auth) in [(&plain, false), (&plain, true), (&secret, false)] {
        let handle = client.with(|tpm| tpm.load(there, true)).unwrap();
        client
            .with(|tpm| {
                tpm.state.loaded.remove(handle);
                let awaited = Awaited::Key {
                    modulus: [7; 32],
                    needs_auth,
                };
                let ended = Process {
                    pid: u32::MAX,
                    started: 1,
                };
                tpm.state.loaded.await_answer(Some((awaited, ended)));
                tpm.save();
                Ok(())
            })
            .unwrap();
        log.clear();
        assert_eq!(client.loaded_keys().unwrap(), [handle]);
        let refused = if there.blob().needs_auth() { "!1" } else { "" };
        log.expect(&format!("GetCapability GetPubKey{refused} GetCapability"));
        client
            .with(|tpm| {
                tpm.flush_key(handle);
                Ok(())
            })
            .unwrap();
    }
    simulator.assert_empty();
}

/// Sessions in the table are flushed, one that nobody heard of only if it is alone and its connection was cut
/// just now.
#[test]
fn a_session_that_was_left_behind_is_found() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let another = Process {
        pid: u32::MAX,
        started: 1,
    };
    let leave = |noted: bool, owner: Option<Process>| {
        client
            .with(|tpm| {
                let opened = tpm.run(&commands::session::Oiap, Authority::None)?;
                let sessions = if noted { vec![opened.handle] } else { vec![] };
                tpm.state.loaded.set_sessions(sessions);
                let owner = owner.unwrap_or(tpm.state.process());
                let awaited = (!noted).then_some((Awaited::Session, owner));
                tpm.state.loaded.await_answer(awaited);
                tpm.save();
                Ok(opened.handle)
            })
            .unwrap()
    };
    for (noted, owner) in [(true, None), (false, None)] {
        leave(noted, owner);
        log.clear();
        client.loaded_keys().unwrap();
        log.expect("GetCapability FlushSpecific GetCapability");
    }
    simulator.assert_empty();
    let first = leave(false, Some(another));
    log.clear();
    client.loaded_keys().unwrap();
    log.expect("GetCapability");
    let second = leave(false, None);
    log.clear();
    client.loaded_keys().unwrap();
    log.expect("GetCapability GetCapability");
    client
        .with(|tpm| {
            tpm.end_session(first);
            tpm.end_session(second);
            Ok(())
        })
        .unwrap();
    log.expect("FlushSpecific FlushSpecific");
    simulator.assert_empty();
}
