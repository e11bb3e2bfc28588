//! What `tpmctl owner` does with a TPM 1.2.

mod clear;
mod passwd;
mod show;
mod take;

use tss::tpm12::Client;

use crate::cli::Global;
use crate::error::Error;
use crate::owner::args::{Clear, ClearLock, Passwd, Take};
use crate::settings::Chosen;

pub(crate) use passwd::{srk as srk_passwd, srk_restrict};

pub(crate) fn show(global: &Global, client: &Client) -> Result<(), Error> {
    show::run(global, client)
}

pub(crate) fn take(global: &Global, args: &Take, client: &Client) -> Result<(), Error> {
    take::run(global, args, client)
}

pub(crate) fn passwd(global: &Global, args: &Passwd, client: &Client) -> Result<(), Error> {
    passwd::owner(global, args, client)
}

pub(crate) fn clear(
    global: &Global,
    args: &Clear,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    clear::run(global, args, chosen, client)
}

pub(crate) fn clear_lock(global: &Global, args: &ClearLock, client: &Client) -> Result<(), Error> {
    clear::lock(global, args, client)
}
