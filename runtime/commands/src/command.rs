//! The command line: what a person can type.

use std::path::PathBuf;

use argh::FromArgs;

use crate::Exit;

/// A sidecar proxy and mesh gateway for Consul service mesh in one small binary.
#[derive(FromArgs, Debug)]
#[argh(
    example = "lictor check gateway.hcl\nlictor explain --sni api.default.dc1.internal.TRUST-DOMAIN gateway.hcl\nlictor run gateway.hcl",
    note = "FILE is HCL, JSON or YAML by its ending, or a directory of such files; see configs/ for examples. BLOB is what lictor compile makes, or what lictor run remembers.",
    error_code(1, "lictor diff found a difference"),
    error_code(64, "the command line is not understood"),
    error_code(70, "the system refused something, or a defect"),
    error_code(
        78,
        "the configuration cannot be used; standard error says where and why"
    )
)]
pub(crate) struct Lictor {
    /// print the version, the target and the features, and end
    #[argh(switch)]
    pub(crate) version: bool,

    #[argh(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(crate) enum Command {
    Run(Run),
    Check(Check),
    Explain(Explain),
    Compile(Compile),
    Inspect(Inspect),
    Diff(Diff),
}

/// Make a blob of what the files say: a device runs it without reading any file.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "compile")]
pub(crate) struct Compile {
    /// where the blob is written; certificates and keys go to BLOB.identities beside it
    #[argh(option, short = 'o', arg_name = "BLOB")]
    pub(crate) output: PathBuf,

    /// leave certificates and keys out
    #[argh(switch)]
    pub(crate) no_identities: bool,

    /// configuration files or directories
    #[argh(positional, arg_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Show what a blob says; keys are never shown.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "inspect")]
pub(crate) struct Inspect {
    /// as JSON
    #[argh(switch)]
    pub(crate) json: bool,

    /// a blob, or a state directory, of which the newest plan is taken
    #[argh(positional, arg_name = "BLOB")]
    pub(crate) blob: PathBuf,
}

/// Show what differs between two blobs: - only in the first, + only in the second, ~ in both.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "diff")]
pub(crate) struct Diff {
    /// a blob or a state directory
    #[argh(positional, arg_name = "A")]
    pub(crate) one: PathBuf,

    /// another one
    #[argh(positional, arg_name = "B")]
    pub(crate) other: PathBuf,
}

/// Run what the files say until SIGTERM; reload on SIGHUP and when a file changes.
#[derive(FromArgs, Clone, Debug)]
#[argh(subcommand, name = "run")]
pub(crate) struct Run {
    /// where state is kept, whatever the files say, and also when they cannot be read
    #[argh(option, arg_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// run the sidecar of this service instance, as Consul has it registered; may be repeated
    #[argh(option, arg_name = "ID")]
    pub(crate) sidecar_for: Vec<String>,

    /// run the proxy of this ID, as Consul has it registered: a sidecar, or with --gateway a gateway
    #[argh(option, arg_name = "ID")]
    pub(crate) proxy_id: Option<String>,

    /// run the gateway of this kind, as Consul has it registered: mesh
    #[argh(option, arg_name = "KIND")]
    pub(crate) gateway: Option<String>,

    /// register at the local agent, and keep registered: with --gateway the gateway, with --sidecar-for the service, as FILE
    /// defines it, and its sidecar
    #[argh(switch)]
    pub(crate) register: bool,

    /// with --register: take it away at the end
    #[argh(switch)]
    pub(crate) deregister: bool,

    /// with --register: the name of the service; mesh-gateway unless given
    #[argh(option, arg_name = "NAME")]
    pub(crate) service: Option<String>,

    /// with --register: ip:port where this datacenter reaches it
    #[argh(option, arg_name = "ADDRESS")]
    pub(crate) address: Option<String>,

    /// with --register: host:port where other datacenters reach it; --address unless given
    #[argh(option, arg_name = "ADDRESS")]
    pub(crate) wan_address: Option<String>,

    /// with --register: name=ip:port where it listens; may be repeated; --address unless given, and --wan-address if it is this
    /// machine's
    #[argh(option, arg_name = "ADDRESS")]
    pub(crate) bind_address: Vec<String>,

    /// with --register: let other datacenters reach Consul's servers through it, for WAN federation
    #[argh(switch)]
    pub(crate) expose_servers: bool,

    /// where Consul's HTTP API is, several with commas between; CONSUL_HTTP_ADDR or 127.0.0.1:8500 unless given
    #[argh(option, arg_name = "ADDRESS")]
    pub(crate) http_addr: Option<String>,

    /// the file with the token for Consul; CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN unless given
    #[argh(option, arg_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// ask Consul's servers, where no agent runs: proxies stand in the catalog, on a node of their own
    #[argh(switch)]
    pub(crate) agentless: bool,

    /// with --agentless: the name of that node; lictor-HOSTNAME unless given
    #[argh(option, arg_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// configuration files or directories, or one blob of lictor compile
    #[argh(positional, arg_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Say what the files would run, or what is wrong with them.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "check")]
pub(crate) struct Check {
    /// configuration files or directories
    #[argh(positional, arg_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Say where a server name leads, or through which gateways an upstream is reached, and why.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "explain")]
pub(crate) struct Explain {
    /// the server name (SNI) of a connection that comes in
    #[argh(option, arg_name = "NAME")]
    pub(crate) sni: Option<String>,

    /// the destination of an upstream of a sidecar
    #[argh(option, arg_name = "NAME")]
    pub(crate) upstream: Option<String>,

    /// ask a blob or a state directory instead of files
    #[argh(option, arg_name = "BLOB")]
    pub(crate) blob: Option<PathBuf>,

    /// ask the lictor that runs with this admin address (ip:port or unix:///path), and what Consul told it
    #[argh(option, arg_name = "ADDRESS", from_str_fn(config::admin_address))]
    pub(crate) admin: Option<plan::Address>,

    /// configuration files or directories
    #[argh(positional, arg_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

pub(crate) fn print_version() -> Exit {
    println!(
        "lictor {} for {}\nfeatures: mesh-gateway (SNI passthrough), splice, local file (HCL, JSON, YAML){}{}\n\
         kernel TLS: {} by this kernel, {}",
        env!("CARGO_PKG_VERSION"),
        env!("LICTOR_TARGET"),
        if cfg!(feature = "sidecar") {
            ", sidecar (TLS 1.2 and 1.3)"
        } else {
            ""
        },
        if cfg!(feature = "consul") {
            ", Consul (HTTP API)"
        } else {
            ""
        },
        if sys::ktls::is_offered() {
            "offered"
        } else {
            "not offered"
        },
        if cfg!(feature = "ktls") {
            "used where tcp.kernel_tls says so"
        } else {
            "not used"
        },
    );
    Exit::Ok
}
