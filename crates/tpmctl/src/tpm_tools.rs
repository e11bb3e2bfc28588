//! The commands of tpm-tools 1.3, and what is typed here in their place: `tpmctl help tpm_takeownership`.

/// A command of theirs.
struct Tool {
    name: &'static str,
    /// What is typed here.
    here: &'static [&'static str],
    /// What is different.
    note: &'static str,
}

const fn tool(name: &'static str, here: &'static [&'static str], note: &'static str) -> Tool {
    Tool { name, here, note }
}

const TOOLS: [Tool; 29] = [
    tool(
        "tpm_changeownerauth",
        &["tpmctl owner passwd --hierarchy owner --old file:OLD --new file:NEW"],
        "In a TPM 2.0 owner, endorsement and lockout have a value each.",
    ),
    tool(
        "tpm_clear",
        &[
            "tpmctl owner clear --dry-run",
            "tpmctl owner clear --auth file:VALUE",
        ],
        "It says first what is lost. A TPM 1.2 is cleared on its owner's word, or by somebody who stands before it \
         (--by presence, which is -f there); a TPM 2.0 on that of the lockout hierarchy.",
    ),
    tool(
        "tpm_createek",
        &["tpmctl ek create"],
        "A TPM 2.0 makes its endorsement keys of a seed whenever they are needed; this makes one persistent.",
    ),
    tool("tpm_getpubek", &["tpmctl ek show"], ""),
    tool(
        "tpm_nvdefine",
        &["tpmctl nv define 0x01800001 --size 32"],
        "Who may read and write is said in words: --read and --write.",
    ),
    tool(
        "tpm_nvinfo",
        &["tpmctl nv list", "tpmctl nv show 0x01800001"],
        "",
    ),
    tool("tpm_nvread", &["tpmctl nv read 0x01800001 --hex"], ""),
    tool("tpm_nvrelease", &["tpmctl nv release 0x01800001"], ""),
    tool("tpm_nvwrite", &["tpmctl nv write 0x01800001 -i FILE"], ""),
    tool(
        "tpm_resetdalock",
        &["tpmctl lockout reset --auth file:VALUE"],
        "",
    ),
    tool(
        "tpm_restrictpubek",
        &["tpmctl ek restrict --auth file:VALUE"],
        "TPM 1.2 only: the public half of a TPM 2.0's endorsement key is no secret.",
    ),
    tool(
        "tpm_restrictsrk",
        &[
            "tpmctl srk restrict on --auth file:VALUE",
            "tpmctl srk restrict off --auth file:VALUE",
        ],
        "off is -a there, on is -r. TPM 1.2 only: keys and sessions of a TPM 2.0 are encrypted to its storage root key, which \
         everybody may read.",
    ),
    tool(
        "tpm_revokeek",
        &["tpmctl ek revoke --auth file:VALUE"],
        "TPM 1.2 only: the seed of a TPM 2.0's endorsement keys is changed by the firmware alone.",
    ),
    tool(
        "tpm_sealdata",
        &["tpmctl seal -i FILE -o SEALED"],
        "--pcr is -p there.",
    ),
    tool(
        "tpm_selftest",
        &["tpmctl selftest"],
        "-l and -r are the same.",
    ),
    tool(
        "tpm_setactive",
        &["tpmctl state set active on", "tpmctl state set active off"],
        "TPM 1.2 only: a TPM 2.0 is always active; its hierarchies can be switched off (`tpmctl state show`).",
    ),
    tool(
        "tpm_setclearable",
        &[
            "tpmctl owner clear-lock show",
            "tpmctl owner clear-lock on --auth file:VALUE",
        ],
        "",
    ),
    tool(
        "tpm_setenable",
        &["tpmctl state show", "tpmctl state set enabled on"],
        "TPM 1.2 only: a TPM 2.0 is always enabled; its hierarchies can be switched off (`tpmctl state set owner off`).",
    ),
    tool(
        "tpm_setoperatorauth",
        &["tpmctl state set operator on --new file:VALUE"],
        "TPM 1.2 only: a TPM 2.0 knows no operator.",
    ),
    tool(
        "tpm_setownable",
        &[
            "tpmctl state set ownable on",
            "tpmctl state set ownable off",
        ],
        "TPM 1.2 only: a TPM 2.0 has no owner to be installed; who sets its values is its owner.",
    ),
    tool(
        "tpm_setpresence",
        &["tpmctl state show", "tpmctl state set presence on"],
        "TPM 1.2 only: the firmware of a TPM 2.0 says who stands before the machine, in the platform hierarchy's name.",
    ),
    tool(
        "tpm_takeownership",
        &["tpmctl owner take --random /root/tpm-owner"],
        "The value is in a file, and not asked for. -z is not needed: the storage root key has the well-known secret unless \
         --srk-auth says another one.",
    ),
    tool(
        "tpm_unsealdata",
        &["tpmctl unseal -i SEALED -o FILE"],
        "Files of tpm_sealdata are read, too.",
    ),
    tool("tpm_version", &["tpmctl version"], ""),
    tool(
        "tpmtoken_import",
        &["tpmctl key import FILE -o KEY.tpm"],
        "A key file in a key directory is what a token's object is there: tpm-pkcs11(7).",
    ),
    tool(
        "tpmtoken_init",
        &["tpmctl key new -o KEY.tpm"],
        "There is no token to be initialised: a directory of key files is one, tpm-pkcs11(7).",
    ),
    tool("tpmtoken_objects", &["tpmctl key list"], ""),
    tool(
        "tpmtoken_protect",
        &[
            "tpmctl seal -i FILE -o SEALED",
            "tpmctl unseal -i SEALED -o FILE",
        ],
        "",
    ),
    tool(
        "tpmtoken_setpasswd",
        &["tpmctl key passwd KEY.tpm"],
        "Each key has a value of its own.",
    ),
];

/// What to type in a command's place; `None` for none of theirs.
pub(crate) fn help(name: &str) -> Option<String> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    let mut text = format!("{} is of tpm-tools. Type here:\n\n", tool.name);
    for line in tool.here {
        text += &format!("  {line}\n");
    }
    if !tool.note.is_empty() {
        text += &format!("\n{}\n", tool.note);
    }
    text += "\nSee docs/coming-from-tpm-tools.md, and tpmctl help with the words before the first option.\n";
    Some(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_is_typed_is_taken() {
        for line in TOOLS.iter().flat_map(|tool| tool.here) {
            let words = line.split_whitespace();
            let taken = Cli::command().try_get_matches_from(words);
            assert!(taken.is_ok(), "{line}: {taken:?}");
        }
        assert!(help("tpm_clear").unwrap().contains("owner clear"));
        assert_eq!(help("tpm_frobnicate"), None);
    }
}
