//! Writing the DER.
#![forbid(unsafe_code)]

use crypto::der::{element, oid, sequence, tag, unsigned};

use super::{AuthPolicy, KeyFile, PolicyCommand, PolicyFields, TYPES};

pub(super) fn key_file(file: &KeyFile) -> Vec<u8> {
    let mut fields = TYPES
        .iter()
        .find(|(_, kind, legacy)| *legacy == file.legacy && (*legacy || *kind == file.kind))
        .map_or_else(Vec::new, |(value, ..)| oid(value));
    let parent = unsigned(&file.parent.to_be_bytes());
    let public = element(tag::OCTET_STRING, &[&file.public]);

    // Absent means the same as FALSE, but tpm2-openssl takes an absent field for TRUE.
    if file.empty_auth || !file.legacy {
        fields.extend(explicit(0, &boolean(file.empty_auth)));
    }
    if file.legacy {
        fields.extend(explicit(1, &parent));
        fields.extend(explicit(2, &public));
        if !file.policy.is_empty() {
            fields.extend(explicit(3, &policy(&file.policy)));
        }
    } else {
        if !file.policy.is_empty() {
            fields.extend(explicit(1, &policy(&file.policy)));
        }
        if let Some(secret) = &file.secret {
            fields.extend(explicit(2, &element(tag::OCTET_STRING, &[secret])));
        }
        if !file.auth_policies.is_empty() {
            fields.extend(explicit(3, &auth_policies(&file.auth_policies)));
        }
        if let Some(text) = &file.description {
            fields.extend(explicit(4, &element(tag::UTF8_STRING, &[text.as_bytes()])));
        }
        if file.rsa_parent {
            fields.extend(explicit(5, &boolean(true)));
        }
        if !file.branches.is_empty() {
            fields.extend(explicit(6, &branches(&file.branches)));
        }
        fields.extend(parent);
        fields.extend(public);
    }
    fields.extend(element(tag::OCTET_STRING, &[&file.private]));
    sequence(&[&fields])
}

pub(super) fn policy_file(file: &PolicyFields) -> Vec<u8> {
    let mut fields = Vec::new();
    if !file.policy.is_empty() {
        fields.extend(explicit(1, &policy(&file.policy)));
    }
    if !file.auth_policies.is_empty() {
        fields.extend(explicit(3, &auth_policies(&file.auth_policies)));
    }
    if !file.branches.is_empty() {
        fields.extend(explicit(6, &branches(&file.branches)));
    }
    sequence(&[&fields])
}

fn auth_policies(list: &[AuthPolicy]) -> Vec<u8> {
    let mut entries = Vec::new();
    for entry in list {
        let name = entry
            .name
            .as_ref()
            .map(|name| explicit(0, &element(tag::UTF8_STRING, &[name.as_bytes()])))
            .unwrap_or_default();
        entries.extend(sequence(&[&name, &explicit(1, &policy(&entry.policy))]));
    }
    sequence(&[&entries])
}

fn branches(each: &[Vec<Vec<PolicyCommand>>]) -> Vec<u8> {
    let of_one = |branches: &Vec<Vec<PolicyCommand>>| {
        let alternatives: Vec<Vec<u8>> = branches.iter().map(|branch| policy(branch)).collect();
        sequence(&[&alternatives.concat()])
    };
    sequence(&[&each.iter().flat_map(of_one).collect::<Vec<u8>>()])
}

fn policy(commands: &[PolicyCommand]) -> Vec<u8> {
    let mut list = Vec::new();
    for command in commands {
        let code = explicit(0, &unsigned(&command.code.to_be_bytes()));
        let body = explicit(1, &element(tag::OCTET_STRING, &[&command.body]));
        list.extend(sequence(&[&code, &body]));
    }
    sequence(&[&list])
}

fn boolean(value: bool) -> Vec<u8> {
    element(tag::BOOLEAN, &[&[if value { 0xff } else { 0 }]])
}

fn explicit(n: u8, inner: &[u8]) -> Vec<u8> {
    element(tag::explicit(n), &[inner])
}
