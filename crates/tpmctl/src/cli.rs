//! The command line. The man page, docs/tpmctl.1.md, lists the same; a test compares them.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{
    ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint,
};
use clap_complete::Shell;
use crypto::{Curve, Hash};
use keys::{Family, KeyType, ParentChoice};
use tss::transport::Address;
use zeroize::Zeroizing;

use crate::action::persistent;
use crate::counter::args::CounterCommand;
use crate::ek::args::EkCommand;
use crate::key::convert::args::Convert;
use crate::nv::args::NvCommand;
use crate::offered::Offered;
use crate::owner::args::OwnerCommand;
use crate::pcr::args::PcrCommand;
use crate::policy::args::PolicyCommand;
use crate::print::wrap;
use crate::seal::args::{Seal, Unseal};
use crate::setup::args::Setup;
use crate::ssh::args::{SshAgent, SshCommand};
use crate::state::args::StateCommand;

/// Looks after TPMs and the keys that the OpenSSL provider `tpm` keeps in them.
#[derive(Parser)]
#[command(
    name = "tpmctl",
    version = env!("TPM_PROVIDER_BUILD"),
    propagate_version = false,
    disable_help_subcommand = true,
    after_help = "The TPM is the one of --tcti, else of TPM_TCTI in the environment, else of tcti in the \
                  provider's section of openssl.cnf, else the first of /dev/tpmrm0 and /dev/tpm0.\n\n\
                  Examples:\n  \
                  tpmctl info\n  \
                  tpmctl key new -o www.key\n  \
                  tpmctl key test www.key --cert www.crt --user www-data\n  \
                  tpmctl help key new\n\n\
                  See tpmctl(1)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Default)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Global {
    /// The TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) tcti: Option<Address>,

    /// Authorization value of the parent key or hierarchy, or file:PATH
    #[arg(long, global = true, value_name = "VALUE", value_parser = secret)]
    pub(crate) parent_auth: Option<Zeroizing<String>>,

    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Log to standard error; -vv and -vvv say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the state of the TPM, what it holds and what it can do
    #[command(after_help = "Examples:\n  \
        tpmctl info\n  \
        tpmctl info -a\n  \
        tpmctl info --json | jq -r .srk.name")]
    Info(Info),
    /// Show the versions of this command and of the TPM
    #[command(after_help = "Examples:\n  tpmctl version\n  tpmctl version --tcti tcsd")]
    Version,
    /// Have the TPM test itself and show the result
    Selftest(Selftest),
    /// Look at all between TPM and OpenSSL, and say what to type
    Doctor(Doctor),
    /// Tell OpenSSL of the provider, for a service or the whole machine
    Setup(Setup),
    /// Make, inspect and try key files
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl key new -o www.key\n  \
        tpmctl key show www.key\n  \
        tpmctl key test www.key"
    )]
    Key(KeyCommand),
    /// Write, show and sign policies of keys
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl policy new sha256:0,7 -o boot.policy\n  \
        tpmctl policy show www.key\n  \
        tpmctl policy sign --key vendor.pem sha256:4,7 -o k612.policy"
    )]
    Policy(PolicyCommand),
    /// Encrypt data so that only this TPM gives them back
    Seal(Seal),
    /// Get back what was sealed
    Unseal(Unseal),
    /// Make the storage root key, and say which one is trusted
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl srk create\n  \
        sudo tpmctl srk trust"
    )]
    Srk(SrkCommand),
    /// Make and set up keys for SSH
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl ssh new\n  \
        tpmctl ssh setup"
    )]
    Ssh(SshCommand),
    /// Serve the keys of TPMs to ssh, git and sshd
    SshAgent(SshAgent),
    /// Protect the TPM as a whole
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl owner show\n  \
        sudo tpmctl owner take --random /root/tpm-owner\n  \
        tpmctl owner clear --dry-run"
    )]
    Owner(OwnerCommand),
    /// Show and switch what of the TPM works
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl state show\n  \
        tpmctl state set endorsement off --dry-run"
    )]
    State(StateCommand),
    /// Show and change the TPM's protection against guessing
    Lockout(Lockout),
    /// Look at the keys by which a TPM is known
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl ek show\n  \
        tpmctl ek certificates --verify tpm-vendors.pem"
    )]
    Ek(EkCommand),
    /// Look at the TPM's NV memory and use it
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl nv list\n  \
        tpmctl nv define 0x01800001 --size 32\n  \
        tpmctl nv read 0x01800001 --hex"
    )]
    Nv(NvCommand),
    /// Use the monotonic counters of a TPM 1.2
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl counter list\n  \
        tpmctl counter increment 0x00000000"
    )]
    Counter(CounterCommand),
    /// Look at the registers (PCRs), and at what was measured into them
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        tpmctl pcr read sha256:0,7\n  \
        sudo tpmctl pcr log"
    )]
    Pcr(PcrCommand),
    /// Print random bytes of the TPM
    Random(Random),
    /// Remove what was left in a TPM without a resource manager
    Flush(Flush),
    /// Look after TPMs and keys in a terminal, panel by panel
    Ui(Ui),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the help of a command, as its option --help does
    Help(Help),
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key in the TPM and write its key file
    New(New),
    /// Take a software key into the TPM and write its key file
    Import(Import),
    /// Import an importable key file for ever
    Finish(Finish),
    /// Wrap a software key for the TPMs of other machines, without a TPM
    Wrap(Wrap),
    /// Make the key in a file persistent, and print its handle
    Persist(Persist),
    /// Remove a persistent key
    Evict(Evict),
    /// List key files and the persistent keys
    List(List),
    /// Write a key in another form, or take over one of another tool's
    Convert(Convert),
    /// Say what is in a key file, without a TPM
    Show(Show),
    /// Try whether a key works here, for a user and with a certificate
    Test(Test),
    /// Print the public half of a key file, without a TPM
    Public(Public),
    /// Make a certificate request, signed with the key
    Csr(Csr),
    /// Give the key in a file another authorization value (PIN), or none
    Passwd(KeyPasswd),
}

#[derive(Subcommand)]
pub(crate) enum SrkCommand {
    /// Show which parents are trusted, without a TPM command
    #[command(after_help = "Example:\n  tpmctl srk show")]
    Show,
    /// Trust the parents that the TPM has now, and no others
    Trust(Trust),
    /// Make the storage root key at 0x81000001, the parent of key files
    #[command(after_help = "Examples:\n  \
        tpmctl srk create\n  \
        tpmctl srk create --parent-auth file:/root/tpm-owner")]
    Create,
    /// Write the storage root key's public half, for key wrap
    Export(SrkExport),
    /// Remove the storage root key at 0x81000001
    Remove(SrkRemove),
    /// Have only the owner read its public half (TPM 1.2)
    Restrict(SrkRestrict),
    /// Give the storage root key another secret (TPM 1.2)
    Passwd(SrkPasswd),
}

#[derive(Args)]
pub(crate) struct Info {
    /// Everything: algorithms, curves, sizes of RSA keys and limits, too
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl selftest\n  tpmctl selftest -r")]
pub(crate) struct Selftest {
    /// How much is said besides the result
    #[arg(short, long, value_enum, value_name = "LEVEL", default_value_t = Level::Error)]
    pub(crate) log: Level,

    /// Test nothing, show the results of the last test only
    #[arg(short, long)]
    pub(crate) results: bool,
}

/// The levels of tpm_selftest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// The exit status alone tells a failure
    None,
    /// Failures are told
    Error,
    /// Success is told, too
    Info,
    /// Every command to the TPM is told
    Debug,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl doctor\n  tpmctl doctor --user www-data")]
pub(crate) struct Doctor {
    /// Look at sysfs, /dev, /proc and /etc below DIR: a copy of another machine's
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Whose permissions to judge, such as www-data [default: one's own]
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    pub(crate) user: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key new -o www.key\n  \
    tpmctl key new --type rsa -o www.key\n  \
    tpmctl key new --curve P-384 --auth file:www.pin -o www.key\n  \
    tpmctl key new --pcr sha256:0,7 -o boot.key\n  \
    tpmctl key new --tpm 1.2 -o old.key")]
pub(crate) struct New {
    /// Where the key file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace FILE if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Type of the key [default: ec; rsa with --bits and in a TPM 1.2]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) key_type: Option<Type>,

    /// Size of an RSA key's modulus [default: 2048]
    #[arg(long)]
    pub(crate) bits: Option<u32>,

    /// Curve of an EC key, by any name that OpenSSL has for it: P-256, P-384, brainpoolP256r1 ... (what
    /// this TPM has, `tpmctl info -a` lists) [default: P-256]
    #[arg(long, value_parser = Offered::new(curve, CURVES), hide_possible_values = true, conflicts_with = "bits")]
    pub(crate) curve: Option<Curve>,

    /// Parent: owner, null, endorsement, platform, or a persistent handle such as 0x81000001
    #[arg(long, default_value = "owner", value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: ParentChoice,

    /// Authorization value of the new key, file:PATH (so that ps does not show it), or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Registers (PCRs) whose present values the key is bound to, such as sha256:0,7; may be repeated
    #[arg(long, value_name = "BANK:REGISTERS")]
    pub(crate) pcr: Vec<String>,

    /// Policy that the key is used by: a policy file, or words (see tpmctl policy new); may be repeated
    #[arg(long, value_name = "FILE|WORDS")]
    pub(crate) policy: Vec<String>,

    /// Digest that the key is bound to; an RSA or EC key then only signs [default for rsa-pss: SHA2-256]
    #[arg(long, value_parser = Offered::new(digest, DIGESTS), hide_possible_values = true)]
    pub(crate) digest: Option<Hash>,

    /// In what kind of TPM: 1.2 or 2.0, for a machine with both [default: the one that there is]
    #[arg(long, value_name = "VERSION", value_parser = Offered::new(family, &["1.2", "2.0"]), hide_possible_values = true)]
    pub(crate) tpm: Option<Family>,

    /// A key of a TPM 1.2 that signs and does not decrypt
    #[arg(long)]
    pub(crate) sign_only: bool,

    /// FileForm of the key file
    #[arg(long, value_enum, value_name = "FORM", default_value_t = FileForm::Tss2)]
    pub(crate) form: FileForm,
}

/// Forms of key files.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileForm {
    /// TSS2 PRIVATE KEY, which all programs for TPM keys know (TSS KEY BLOB for a TPM 1.2)
    Tss2,
    /// The same inside PKCS#8 (PRIVATE KEY), for programs that go by the label
    Pkcs8,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key import software.key -o tpm.key\n  \
    tpmctl key import www.p12 --passin file:www.pass --auth file:www.pin -o www.key")]
pub(crate) struct Import {
    /// The private key: PKCS#8, PKCS#1 or SEC 1 (PEM or DER), PKCS#12, or OpenSSH's form
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the key file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Authorization value that the key shall have, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Passphrase of FILE, file:PATH, or `-` to be asked [default: asked for if FILE is encrypted]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) passin: Option<Zeroizing<String>>,

    /// Parent: owner, null, endorsement, platform, or a persistent handle such as 0x81000001
    #[arg(long, default_value = "owner", value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: ParentChoice,

    /// Digest that the key is bound to; it then only signs
    #[arg(long, value_parser = Offered::new(digest, DIGESTS), hide_possible_values = true)]
    pub(crate) digest: Option<Hash>,

    /// Registers (PCRs) whose present values the key is bound to, such as sha256:0,7; may be repeated
    #[arg(long, value_name = "BANK:REGISTERS")]
    pub(crate) pcr: Vec<String>,

    /// Policy that the key is used by: a policy file, or words (see tpmctl policy new); may be repeated
    #[arg(long, value_name = "FILE|WORDS")]
    pub(crate) policy: Vec<String>,

    /// Write an importable file, which the TPM imports when the key is first used
    #[arg(long)]
    pub(crate) importable: bool,

    /// Into what kind of TPM: 1.2 or 2.0, for a machine with both [default: the one that there is]
    #[arg(long, value_name = "VERSION", value_parser = Offered::new(family, &["1.2", "2.0"]), hide_possible_values = true)]
    pub(crate) tpm: Option<Family>,

    /// A key of a TPM 1.2 that signs and does not decrypt
    #[arg(long)]
    pub(crate) sign_only: bool,

    /// Secret of a TPM 1.2's owner, or file:PATH; needed unless `tpmctl srk restrict off` was typed
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) owner_auth: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key finish www.key\n  \
    tpmctl key finish imported.key -o www.key")]
pub(crate) struct Finish {
    /// The importable key file, PEM or DER, or the one that was wrapped with --require-attested
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Write to NEWFILE and leave FILE alone [default: FILE is written anew]
    #[arg(short, long, value_name = "NEWFILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Replace NEWFILE if it exists
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,

    /// Authorization value of the endorsement hierarchy, where one is set, or file:PATH
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) endorsement_auth: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key wrap www.pem --for node1.pem --for node2.pem -o wrapped\n  \
    tpmctl key wrap fleet.pem --storage-key --for node1.pem --for node2.pem -o wrapped\n  \
    tpmctl key wrap www.pem --for node1.pem --require-attested tpm-vendors.pem -o wrapped")]
pub(crate) struct Wrap {
    /// The private key: PKCS#8, PKCS#1 or SEC 1 (PEM or DER), PKCS#12, or OpenSSH's form
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// A machine's storage key, as `tpmctl srk export` writes it there, or systemd; may be repeated
    #[arg(long = "for", value_name = "SRK", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) targets: Vec<PathBuf>,

    /// The directory for the key files: NAME.tpm for the machine of NAME.pem
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,

    /// Replace files that exist
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Passphrase of FILE, file:PATH, or `-` to be asked [default: asked for if FILE is encrypted]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) passin: Option<Zeroizing<String>>,

    /// Authorization value that the key shall have, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Digest that the key is bound to; it then only signs
    #[arg(long, value_parser = Offered::new(digest, DIGESTS), hide_possible_values = true)]
    pub(crate) digest: Option<Hash>,

    /// Policy file that the key is used by, with the values of its registers
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,

    /// Where the storage key is in those TPMs: owner, or a persistent handle
    #[arg(long, default_value = "owner", value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: ParentChoice,

    /// The key becomes a storage key, the parent of keys that all these machines can load
    #[arg(long)]
    pub(crate) storage_key: bool,

    /// Only for genuine TPMs, as `tpmctl srk export --attest` describes them; their manufacturers' certificates in PEM, or
    /// endorsement keys that are known; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) require_attested: Vec<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key persist www.key\n  \
    tpmctl key persist www.key 0x81020007")]
pub(crate) struct Persist {
    /// The key file, PEM or DER
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The handle [default: the first free one from 0x81020000 on]
    #[arg(value_name = "HANDLE", value_parser = persistent::parse)]
    pub(crate) handle: Option<u32>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key evict 0x81020000\n  \
    tpmctl key evict 0x81020000 --yes")]
pub(crate) struct Evict {
    /// The handle of the persistent key
    #[arg(value_name = "HANDLE", value_parser = persistent::parse)]
    pub(crate) handle: u32,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl srk export -o node1.pem\n  \
    tpmctl srk export | ssh admin@example.org 'cat >node1.pem'\n  \
    tpmctl srk export --attest -o node1.pem")]
pub(crate) struct SrkExport {
    /// Where the public key goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Write what --require-attested of `tpmctl key wrap` wants, too: the endorsement key's certificate
    #[arg(long)]
    pub(crate) attest: bool,

    /// Authorization value of the endorsement hierarchy, where one is set, or file:PATH
    #[arg(long, value_name = "VALUE", requires = "attest", value_parser = secret)]
    pub(crate) endorsement_auth: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl srk remove\n  \
    tpmctl srk remove --yes")]
pub(crate) struct SrkRemove {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What somebody says beforehand to a command that changes something.
#[derive(Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be changed only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl --tcti device:/dev/tpm0 srk restrict on --auth file:/root/tpm-owner\n  \
    tpmctl srk restrict off --dry-run")]
pub(crate) struct SrkRestrict {
    /// on: only the owner reads it; off: whoever uses it does, too
    #[arg(value_enum, value_name = "STATE")]
    pub(crate) state: Switched,

    /// The owner's secret: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(
    group = ArgGroup::new("value").required(true),
    override_usage = "tpmctl srk passwd <--new file:PATH | --random FILE> [OPTIONS]\n       tpmctl srk passwd --well-known [OPTIONS]",
    after_help = "Examples:\n  \
    tpmctl srk passwd --auth file:/root/tpm-owner --random /root/tpm-srk\n  \
    tpmctl srk passwd --auth file:/root/tpm-owner --well-known --dry-run")]
pub(crate) struct SrkPasswd {
    /// The new secret: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file, group = "value")]
    pub(crate) new: Option<PathBuf>,

    /// Make up a secret and write it to FILE, which must not exist, for its owner alone to read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "value")]
    pub(crate) random: Option<PathBuf>,

    /// The well-known secret of 20 zeros, with which keys are used unless srk-auth says another
    #[arg(long, group = "value")]
    pub(crate) well_known: bool,

    /// The owner's secret: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// A switch.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switched {
    /// It holds
    On,
    /// It does not
    Off,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl random 32 --hex\n  \
    tpmctl random 4096 -o seed")]
pub(crate) struct Random {
    /// How many, 1048576 at most
    #[arg(value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) bytes: u32,

    /// Where they go; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// In hexadecimal
    #[arg(long)]
    pub(crate) hex: bool,

    /// In base64
    #[arg(long, conflicts_with = "hex")]
    pub(crate) base64: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key list\n  \
    tpmctl key list /etc/nginx/keys\n  \
    tpmctl key list --persistent --json | jq -r '.[].handle'")]
pub(crate) struct List {
    /// Key files, and directories of them [default: ~/.ssh, ~/.local/share/tpm-provider/keys and
    /// /etc/tpm-provider/keys]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,

    /// Key files only, without a TPM [default with PATH]
    #[arg(long)]
    pub(crate) files: bool,

    /// Persistent keys only
    #[arg(long, conflicts_with_all = ["files", "paths"])]
    pub(crate) persistent: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key show www.key\n  \
    tpmctl key show --compat www.key\n  \
    tpmctl key show --json www.key | jq .usable")]
pub(crate) struct Show {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Say which other programs refuse the file, and why
    #[arg(long)]
    pub(crate) compat: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key test www.key\n  \
    sudo tpmctl key test www.key --cert www.crt --user www-data --auth file:www.pin")]
pub(crate) struct Test {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The certificate that goes with it, PEM or DER
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,

    /// Use the TPM as this user, such as the one that a server runs as; only root can [default: oneself]
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    pub(crate) user: Option<String>,

    /// The key's authorization value, file:PATH, or `-` to be asked [default: pin-source in openssl.cnf]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key public www.key -o www.pub\n  \
    tpmctl key public --form ssh login.key >>authorized_keys")]
pub(crate) struct Public {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// How it is written
    #[arg(long, value_enum, default_value_t = PublicForm::Pem)]
    pub(crate) form: PublicForm,

    /// What stands behind the key in a line for SSH
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,

    /// Where it goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Forms of a public key.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PublicForm {
    /// PUBLIC KEY, as OpenSSL writes it
    Pem,
    /// A line of OpenSSH's authorized_keys
    Ssh,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key csr www.key --san www.example.org -o www.csr\n  \
    tpmctl key csr www.key --subject '/O=Example/CN=www.example.org' --san www.example.org --san 192.0.2.1")]
pub(crate) struct Csr {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The subject, such as /O=Example/CN=www.example.org [default: the first --san as CN]
    #[arg(long, value_name = "NAME", required_unless_present = "san")]
    pub(crate) subject: Option<String>,

    /// A name of the server, or an IP address; may be repeated
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(crate) san: Vec<String>,

    /// The key's authorization value, file:PATH, or `-` to be asked [default: pin-source in openssl.cnf]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Where the request goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key passwd www.key\n  \
    tpmctl key passwd www.key --old file:old.pin --new file:new.pin\n  \
    tpmctl key passwd www.key --none -o open.key")]
pub(crate) struct KeyPasswd {
    /// The key file, PEM or DER
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The value that the key has, file:PATH, or `-` to be asked [default: asked for if the file says it has one]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) old: Option<Zeroizing<String>>,

    /// The value that it shall have, file:PATH, or `-` to be asked [default: asked for]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) new: Option<Zeroizing<String>>,

    /// It shall have none
    #[arg(long, conflicts_with = "new")]
    pub(crate) none: bool,

    /// Write to NEWFILE and leave FILE alone [default: FILE is written anew]
    #[arg(short, long, value_name = "NEWFILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Replace NEWFILE if it exists
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl lockout\n  \
    tpmctl lockout reset --auth file:/root/tpm-lockout\n  \
    tpmctl lockout set --max-tries 32 --interval 600 --dry-run")]
pub(crate) struct Lockout {
    #[command(subcommand)]
    pub(crate) command: Option<LockoutCommand>,
}

#[derive(Subcommand)]
pub(crate) enum LockoutCommand {
    /// Show its state; spends no try
    #[command(after_help = "Examples:\n  \
        tpmctl lockout show\n  \
        tpmctl lockout show --json | jq .tries_left")]
    Show,
    /// Have the TPM forget all wrong tries, which ends a lockout
    Reset(LockoutReset),
    /// Set its limits
    Set(LockoutSet),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl lockout reset\n  \
    tpmctl lockout reset --auth file:/root/tpm-lockout --yes")]
pub(crate) struct LockoutReset {
    /// The lockout authorization, where one is set: file:PATH, whose first line it is (TPM 1.2: the owner's secret)
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show the state only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl lockout set --max-tries 32 --dry-run\n  \
    tpmctl lockout set --max-tries 32 --interval 600 --recovery 86400 --auth file:/root/tpm-lockout")]
#[command(
    group = ArgGroup::new("limits").required(true).multiple(true),
    override_usage = "tpmctl lockout set <LIMIT>... [OPTIONS]"
)]
pub(crate) struct LockoutSet {
    /// Wrong tries at which the TPM locks
    #[arg(long, value_name = "N", group = "limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tries: Option<u32>,

    /// Seconds until one wrong try is forgotten; 0: tries are not counted
    #[arg(long, value_name = "SECONDS", group = "limits")]
    pub(crate) interval: Option<u32>,

    /// Seconds for which no lockout authorization is taken after a wrong one; 0: until the next restart
    #[arg(long, value_name = "SECONDS", group = "limits")]
    pub(crate) recovery: Option<u32>,

    /// The lockout authorization, where one is set: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl flush --dry-run\n  \
    tpmctl --tcti device:/dev/tpm0 flush --yes")]
pub(crate) struct Flush {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// List only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,

    /// Objects only, unless --sessions is given, too
    #[arg(long)]
    pub(crate) objects: bool,

    /// Sessions only, unless --objects is given, too
    #[arg(long)]
    pub(crate) sessions: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  sudo tpmctl srk trust\n  tpmctl srk trust --dry-run")]
pub(crate) struct Trust {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be trusted only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,

    /// Trust nothing: the next use of the TPM is its first one
    #[arg(long, conflicts_with = "parent")]
    pub(crate) remove: bool,

    /// Another parent besides the storage root key and the owner's primaries: endorsement, platform, or a handle
    #[arg(long, value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: Vec<ParentChoice>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl ui\n  tpmctl ui keys\n  tpmctl ui doctor --plain")]
pub(crate) struct Ui {
    /// The panel that is shown first
    #[arg(value_enum, value_name = "PANEL")]
    pub(crate) panel: Option<UiPanel>,

    /// Write what the panel shows, or all of them do, as text
    #[arg(long)]
    pub(crate) plain: bool,

    /// Signs and lines of ASCII characters alone [default: where the locale is not UTF-8]
    #[arg(long)]
    pub(crate) ascii: bool,

    /// No colours [default: with NO_COLOR in the environment]
    #[arg(long)]
    pub(crate) no_color: bool,
}

/// The panels of the manager.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UiPanel {
    /// The TPMs of this machine
    #[default]
    Overview,
    /// Key files and persistent keys
    Keys,
    /// Registers (PCRs)
    Registers,
    /// Sealed files
    Sealed,
    /// NV indices and certificates
    Nv,
    /// Hierarchies and lockout
    Owner,
    /// What the doctor finds
    Doctor,
    /// What was done
    Log,
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  tpmctl help\n  tpmctl help key new\n  tpmctl help tpm_takeownership"
)]
pub(crate) struct Help {
    /// Which one, such as `key new`; a command of tpm-tools, for what is typed here in its place
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Args)]
#[command(after_help = "Example:\n  tpmctl completions bash >/etc/bash_completion.d/tpmctl")]
pub(crate) struct Completions {
    /// bash, zsh or fish
    #[arg(value_parser = Offered::new(shell, &["bash", "zsh", "fish"]), hide_possible_values = true)]
    pub(crate) shell: Shell,
}

/// The types as the command line spells them.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Type {
    /// Signatures with PKCS#1 v1.5 or PSS, and decryption
    Rsa,
    /// PSS signatures with one digest
    RsaPss,
    /// ECDSA signatures and ECDH
    Ec,
}

impl From<Type> for KeyType {
    fn from(key_type: Type) -> Self {
        match key_type {
            Type::Rsa => Self::Rsa,
            Type::RsaPss => Self::RsaPss,
            Type::Ec => Self::Ec,
        }
    }
}

/// What shells offer; other names of the same things, and other handles, are taken as well.
const CURVES: &[&str] = &[
    "P-256",
    "P-384",
    "P-521",
    "P-192",
    "P-224",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
];
const DIGESTS: &[&str] = &["sha256", "sha384", "sha512", "sha1"];
pub(crate) const PARENTS: &[&str] = &["owner", "null", "endorsement", "platform", "0x81000001"];

impl Cli {
    /// Reads the arguments of the process; ends it with status 2 when they are wrong.
    pub(crate) fn read() -> Self {
        let matches = Self::wrapped().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line, its help as wide as all text.
    fn wrapped() -> clap::Command {
        Self::command().term_width(wrap::width(&console::Term::stdout()))
    }

    /// The help of the command that these words name, as `--help` prints it.
    pub(crate) fn help(words: &[String]) -> Result<String, String> {
        let mut root = Self::wrapped();
        // Names in usages, and common options.
        root.build();
        let mut command = &mut root;
        for word in words {
            command = command
                .find_subcommand_mut(word)
                .ok_or_else(|| format!("there is no command {}", words.join(" ")))?;
        }
        Ok(command.render_long_help().to_string())
    }

    /// Ends the process with status 2: the options do not go together.
    pub(crate) fn conflict(text: &str) -> ! {
        Self::wrapped()
            .error(clap::error::ErrorKind::ArgumentConflict, text)
            .exit()
    }
}

/// A secret, or where it is. What stands on a command line is anybody's to see; the copy is wiped all the same.
pub(crate) fn secret(text: &str) -> Result<Zeroizing<String>, Infallible> {
    Ok(Zeroizing::new(text.to_owned()))
}

/// Where a secret is. One that stands on the command line, `ps` shows to everybody.
pub(crate) fn in_file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("write file:PATH; the value is the file's first line".to_owned()),
    }
}

pub(crate) fn parent(text: &str) -> Result<ParentChoice, String> {
    ParentChoice::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn family(text: &str) -> Result<Family, String> {
    keys::parse_family(text).map_err(|error| error.to_string())
}

fn digest(text: &str) -> Result<Hash, String> {
    Hash::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = Hash::ALL.iter().map(|hash| hash.name()).collect();
        format!("known are {}", known.join(", "))
    })
}

fn curve(text: &str) -> Result<Curve, String> {
    Curve::from_name(text).ok_or_else(|| format!("known are {}", Curve::names()))
}

/// Only the shells that `make install` serves are promised.
fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("known are bash, zsh and fish".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }
}
