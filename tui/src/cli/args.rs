//! What may be typed after `bespoke`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An operating system cut to fit one program.
#[derive(Parser, Debug)]
#[command(name = "bespoke", version, about, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "With no command the configurator opens. A CONFIG is a TOML file, or `preset:NAME`.\n\n\
    Start here:\n  \
    bespoke                              look around; ./bespoke.toml is used when it exists\n  \
    bespoke new /usr/bin/redis-server    a config that fits a program\n  \
    bespoke build redis-server.toml      one bootable file\n  \
    bespoke run redis-server.toml        boot it; the exit status is the program's own\n\n\
    Exit status: 0 done, 1 the answer is no, 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to open the configurator.
    #[command(flatten)]
    pub open: Open,
}

/// How to open the configurator.
#[derive(Args, Debug, Default)]
pub struct Open {
    /// The config to open [default: ./bespoke.toml]
    pub config: Option<String>,
    /// Draw with plain ASCII characters
    #[arg(long)]
    pub ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    pub no_mouse: bool,
    /// Forward a port of this machine to one of the program, when it is booted inside
    #[arg(short = 'p', long = "port", value_name = "HOST:GUEST")]
    pub ports: Vec<String>,
    /// Attach a disk when the program is booted inside
    #[arg(long = "disk", value_name = "FILE[:ro]")]
    pub disks: Vec<String>,
    /// Share a folder of this machine when the program is booted inside
    #[arg(long = "share", value_name = "HOSTDIR[:GUESTDIR][:ro]")]
    pub shares: Vec<String>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Inspect a program and write a config that fits it
    New(New),
    /// Find out what a config's program needs, and write it into the config with the reasons
    Fit(Fit),
    /// Turn parts on and off and set parameters
    Set(Set),
    /// Make the bootable image
    Build(Build),
    /// Boot a config or an image; the exit status is the program's own
    Run(Run),
    /// Make a disk for `run --disk`: a file with an empty ext4 file system
    Disk(Disk),
    /// Check every rule and every path
    Check(Check),
    /// Exact bytes: total, per part, and per toggle
    Size(Size),
    /// Why a part is on or off, what blocks it, what it costs
    Explain(Explain),
    /// Compare two configs: decisions, parts, bytes
    Diff(Diff),
    /// The tree of parts
    List(List),
    /// The configs that ship, and your own
    Preset(Preset),
}

/// `bespoke new`.
#[derive(Args, Debug)]
pub struct New {
    /// The program: an ELF executable for Linux on x86-64; with --image one in it, instead of the one that it starts
    #[arg(required_unless_present = "image")]
    pub program: Option<PathBuf>,
    /// Take the program from a container image: what `docker save` writes, or an OCI layout (file or folder)
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Take the program and its libraries from a folder with the root of another system; PROGRAM is a path in it. Its links
    /// never lead out of it
    #[arg(long, value_name = "DIR", conflicts_with = "image")]
    pub root: Option<PathBuf>,
    /// The image's name, when there are several
    #[arg(long, value_name = "NAME", requires = "image")]
    pub tag: Option<String>,
    /// Pack all files of the image, not just those that the program is likely to want
    #[arg(long, requires = "image")]
    pub all_files: bool,
    /// How many bytes the image may unpack to [default: 8G, and 200 times what is compressed]
    #[arg(long, value_name = "SIZE", requires = "image")]
    pub max_size: Option<String>,
    /// How many files the image may have [default: 1000000]
    #[arg(long, value_name = "COUNT", requires = "image")]
    pub max_files: Option<u64>,
    /// Where to write the config [default: PROGRAM's name with .toml, here]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// The preset to start from
    #[arg(long, default_value = "hello")]
    pub preset: String,
    /// Overwrite the config when it exists
    #[arg(long)]
    pub force: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Arguments for the program; with --image instead of the image's
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// `bespoke fit`.
#[derive(Args, Debug)]
#[command(
    after_help = "The program and its libraries are scanned each time. What is known is kept beside the config, in \
    CONFIG.evidence.toml, and runs that are watched add up."
)]
pub struct Fit {
    /// The config to fit
    pub config: String,
    /// Run the program here and watch it: the config's own, or the COMMAND behind `--`
    #[arg(long, conflicts_with_all = ["strace", "learn"])]
    pub trace: bool,
    /// Take what was seen from a log of `strace -f -o FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "learn")]
    pub strace: Option<PathBuf>,
    /// Boot the program with every part on, and watch what it uses; what it used is what counts, and a boot with that
    /// alone proves it, again with what only that boot shows (not with -p, or when it was asked to end)
    #[arg(long)]
    pub learn: bool,
    /// Ask the program to end after a time, such as 30s; SIGTERM does that too, and Ctrl-C (Ctrl-] at a terminal with --learn)
    #[arg(long = "for", value_name = "TIME", conflicts_with = "strace")]
    pub time: Option<String>,
    /// Forward a port of this machine to one of the program while learning
    #[arg(short = 'p', long = "port", value_name = "HOST:GUEST", requires = "learn")]
    pub ports: Vec<String>,
    /// Memory of the machine while learning
    #[arg(short, long, value_name = "SIZE", requires = "learn")]
    pub memory: Option<String>,
    /// Which needs count: `found`, all that were found or seen, or `seen`, those that were seen [default: found; with --learn seen]
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub keep: Option<KeepName>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// With --trace a command to watch instead; with --learn arguments for the program, instead of the config's
    #[arg(last = true, value_name = "COMMAND|ARGS")]
    pub args: Vec<String>,
}

/// Which needs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepName {
    /// All: found in the program's code, or seen as it ran
    Found,
    /// Those that were seen as it ran
    Seen,
}

/// `bespoke set`.
#[derive(Args, Debug)]
pub struct Set {
    /// The config to change
    pub config: String,
    /// ID=on, ID=off, ID=auto (no decision), or PARAMETER=VALUE
    #[arg(required_unless_present = "random", value_name = "ID=VALUE")]
    pub decisions: Vec<String>,
    /// Decide at random instead: all that was set goes, and the same seed gives the same config
    #[arg(long, value_name = "SEED", conflicts_with = "decisions")]
    pub random: Option<u64>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke build`.
#[derive(Args, Debug)]
pub struct Build {
    /// The config to build
    pub config: String,
    /// Where to write the image [default: CONFIG with .img, beside it; with .oci.tar for --format oci]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// The form of the image: elf boots; oci is for registries and Kubernetes, a tar file or (where -o ends in / or is
    /// a folder) a layout
    #[arg(long, default_value = "elf", value_parser = ["elf", "oci"])]
    pub format: String,
    /// The image's name and tag, with --format oci [default: CONFIG's name, and latest]
    #[arg(long, value_name = "NAME:TAG")]
    pub tag: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke run`.
#[derive(Args, Debug)]
#[command(
    after_help = "What is typed or piped in is the program's standard input. At a terminal every key is the program's, Ctrl-C too; \
    Ctrl-] asks the program to end (SIGTERM), and pressed again stops the machine."
)]
pub struct Run {
    /// A config, or an image that was built
    #[arg(value_name = "CONFIG|IMAGE")]
    pub target: String,
    /// Memory of the machine
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Forward a port of this machine to one of the program
    #[arg(short = 'p', long = "port", value_name = "HOST:GUEST")]
    pub ports: Vec<String>,
    /// What the network card is connected to: user (QEMU's own network), none, tap:INTERFACE, or socket:PATH (passt, a switch)
    #[arg(long, value_name = "NETWORK", default_value = "user")]
    pub net: String,
    /// Attach a disk, or more in the order of fs.disk.at; `:ro` behind it: to be read only
    #[arg(long = "disk", value_name = "FILE[:ro]")]
    pub disks: Vec<String>,
    /// Share a folder of this machine, at /share unless said otherwise
    #[arg(long = "share", value_name = "HOSTDIR[:GUESTDIR][:ro]")]
    pub shares: Vec<String>,
    /// A socket device for AF_VSOCK: the CID that this machine's kernel knows the program by, or socket:PATH of a vhost-user daemon
    #[arg(long, value_name = "CID|socket:PATH")]
    pub vsock: Option<String>,
    /// The machine: microvm is the quickest to start, q35 a PC with PCI Express
    #[arg(long, value_name = "MACHINE", value_enum, default_value = "microvm", hide_possible_values = true)]
    pub machine: MachineName,
    /// Who executes the program: auto, tcg (QEMU translates) or kvm
    #[arg(long, value_name = "WHO", value_enum, default_value = "auto", hide_possible_values = true)]
    pub accel: AccelName,
    /// How long the program may take to end once SIGTERM, SIGINT or SIGHUP was passed on to it; then the machine is stopped
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub grace: u64,
    /// Arguments for the program, instead of the config's
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// `bespoke disk`.
#[derive(Args, Debug)]
pub struct Disk {
    /// The file to make; it takes room on this machine as it fills
    pub file: PathBuf,
    /// How large the disk is
    #[arg(long, default_value = "1G")]
    pub size: String,
    /// Overwrite the file when it exists
    #[arg(long)]
    pub force: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// A machine that QEMU makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineName {
    /// A machine of virtio-mmio devices and little else
    Microvm,
    /// A PC with PCI Express
    Q35,
}

/// Who executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelName {
    /// KVM where it was measured to be faster, QEMU's translator otherwise
    Auto,
    /// QEMU's translator
    Tcg,
    /// The processor
    Kvm,
}

/// `bespoke check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The config to check
    pub config: String,
    /// Fail when the image would be larger
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke size`.
#[derive(Args, Debug)]
pub struct Size {
    /// The config to measure
    pub config: String,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The config
    pub config: String,
    /// The part or parameter
    pub id: String,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// One config
    pub a: String,
    /// The other
    pub b: String,
    /// What both come from: tells what merging B into A takes, and what both changed
    #[arg(long, value_name = "CONFIG")]
    pub base: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke list`.
#[derive(Args, Debug)]
pub struct List {
    /// Print a JSON schema of configs, so that editors complete them (`#:schema FILE` in a config's first line)
    #[arg(long, conflicts_with = "json")]
    pub schema: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bespoke preset`.
#[derive(Args, Debug)]
pub struct Preset {
    /// What to do with presets.
    #[command(subcommand)]
    pub command: PresetCommand,
}

/// What to do with presets.
#[derive(Subcommand, Debug)]
pub enum PresetCommand {
    /// The presets that there are
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a preset
    Show {
        /// The preset
        name: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a config as a preset of your own
    Save {
        /// The config
        config: String,
        /// The name to keep it under
        name: String,
        /// Overwrite the preset when it exists
        #[arg(long)]
        force: bool,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}
