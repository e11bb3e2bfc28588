//! `tpmctl srk create`: the storage root key at 0x81000001.

use serde::Serialize;
use tss::tpm2::PublicInfo;
use tss::tpm2::constants::handle;

use crate::display::hex;
use crate::error::Error;
use crate::info::collect::{Srk, describe_srk};
use crate::settings::Chosen;

/// What is at 0x81000001 now.
#[derive(Serialize)]
pub(crate) struct RootKey {
    pub(crate) address: String,
    /// Whether it was made just now.
    pub(crate) created: bool,
    pub(crate) srk: Srk,
}

/// Makes it, unless there is one.
pub(crate) fn create(chosen: &Chosen) -> Result<RootKey, Error> {
    let client = chosen.client()?;
    let is_there = client
        .handles(handle::PERSISTENT_FIRST)?
        .contains(&handle::SRK);
    let found = match is_there {
        true => client.read_public(handle::SRK)?,
        false => make(chosen)?,
    };
    let srk = describe_srk(Some(&found));
    if srk.template.is_none() || srk.of_owner != Some(true) {
        return Err(Error::new(format!(
            "another key is at {} already, which is no standard primary of the owner hierarchy; whoever made it may need \
             it. `tpmctl info` shows it",
            hex(handle::SRK)
        )));
    }
    Ok(RootKey {
        address: client.endpoint().address().to_string(),
        created: !is_there,
        srk,
    })
}

fn make(chosen: &Chosen) -> Result<PublicInfo, Error> {
    let owner = &chosen.tpm.config().parent_auth;
    let made = chosen.client()?.make_storage_root_key(owner);
    made.map_err(Error::of_the_owner)
}
