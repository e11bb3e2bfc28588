//! The command lines of `tpmctl ssh` and `tpmctl ssh-agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use zeroize::Zeroizing;

use super::agent::lifetime;
use crate::cli::secret;

#[derive(Subcommand)]
pub(crate) enum SshCommand {
    /// Make a key for logging in: ~/.ssh/NAME.tpm and NAME.pub
    New(SshNew),
    /// Take a key that there is already to ~/.ssh/NAME.tpm
    Import(SshImport),
    /// List the keys in ~/.ssh that are in a TPM, without a TPM command
    List(SshList),
    /// Have ssh use the keys: a line in ~/.ssh/config
    Setup(SshSetup),
    /// Make host keys for sshd, and what serves them
    HostKeys(SshHostKeys),
}

/// Types of keys that SSH has.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SshType {
    /// ecdsa-sha2-nistp256
    Ec,
    /// ssh-rsa, of 2048 bits
    Rsa,
}

/// Where a key for logging in goes.
#[derive(Args)]
pub(crate) struct Place {
    /// Name of the key: ~/.ssh/NAME.tpm, or a path
    #[arg(value_name = "NAME", default_value = "id_tpm")]
    pub(crate) name: PathBuf,

    /// Comment in the public half [default: the user and the machine]
    #[arg(short = 'C', long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,

    /// Replace the files if they exist
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ssh new\n  \
    tpmctl ssh new work --type rsa --pin\n  \
    tpmctl ssh new backup --pin=file:backup.pin")]
pub(crate) struct SshNew {
    #[command(flatten)]
    pub(crate) place: Place,

    /// Type of the key
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = SshType::Ec)]
    pub(crate) key_type: SshType,

    /// Give the key a PIN (authorization value): asked for, or file:PATH
    #[arg(long, value_name = "VALUE", value_parser = secret, num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) pin: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ssh import ~/.ssh/id_ecdsa\n  \
    tpmctl ssh import ~/.ssh/id_rsa old --pin\n  \
    tpmctl ssh import ~/.simple-tpm-pk11/config old")]
pub(crate) struct SshImport {
    /// A private key of OpenSSH or in PEM, a TPM's key file, or simple-tpm-pk11's config
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) place: Place,

    /// Give the key a PIN (authorization value): asked for, or file:PATH
    #[arg(long, value_name = "VALUE", value_parser = secret, num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) pin: Option<Zeroizing<String>>,

    /// Passphrase of FILE, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) passin: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl ssh list\n  tpmctl ssh list /etc/ssh")]
pub(crate) struct SshList {
    /// Directories to look in [default: ~/.ssh]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dirs: Vec<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ssh setup\n  \
    tpmctl ssh setup --agent\n  \
    tpmctl ssh setup --remove")]
pub(crate) struct SshSetup {
    /// The file to change [default: ~/.ssh/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// By the agent of `tpmctl ssh-agent` instead of the PKCS#11 module
    #[arg(long, conflicts_with = "module")]
    pub(crate) agent: bool,

    /// The PKCS#11 module [default: where it is installed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) module: Option<PathBuf>,

    /// Take away what setup has written
    #[arg(long)]
    pub(crate) remove: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo tpmctl ssh host-keys\n  \
    sudo tpmctl ssh host-keys --remove")]
pub(crate) struct SshHostKeys {
    /// Write below DIR, as for an image of another machine
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub(crate) root: PathBuf,

    /// Take away what it has written, but for the keys
    #[arg(long)]
    pub(crate) remove: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ssh-agent\n  \
    tpmctl ssh-agent --confirm --proxy \"$SSH_AUTH_SOCK\"\n  \
    tpmctl ssh-agent --install")]
pub(crate) struct SshAgent {
    /// Socket to listen on [default: $XDG_RUNTIME_DIR/tpm-ssh-agent.sock]
    #[arg(short = 'l', long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,

    /// Directory with key files; may be repeated [default: ~/.ssh]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) key_dir: Vec<PathBuf>,

    /// Socket of another agent, whose keys are offered, too; may be repeated
    #[arg(short = 'A', long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) proxy: Vec<PathBuf>,

    /// Ask before each use of a key
    #[arg(short = 'c', long)]
    pub(crate) confirm: bool,

    /// Forget a PIN that long after it was given: 90s, 10m, 1h30m [default: when the agent ends]
    #[arg(short = 't', long, value_name = "TIME", value_parser = lifetime)]
    pub(crate) pin_lifetime: Option<Duration>,

    /// Print the socket's path, and do nothing else
    #[arg(long, exclusive = true)]
    pub(crate) print_socket: bool,

    /// Write systemd units for this user, with --confirm and --pin-lifetime, and do nothing else
    #[arg(long, conflicts_with_all = ["socket", "key_dir", "proxy"])]
    pub(crate) install: bool,
}
