//! Turns flags and environment into the settings that the subcommands run with.

#![expect(clippy::doc_markdown, reason = "help texts are printed as they stand")]

use std::{io::Write, net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::sync::CancellationToken;

use crate::{
    api::crds,
    cloud::{Endpoints, Environment, Roots, Signature, Transport, TransportConfig},
    leader::thread::LeaseThread,
    metrics,
    permissions::Manifests,
    run::{Candidate, Operator, gethostname},
    telemetry,
    timing::Timing,
};

/// Keeps Alibaba Cloud server groups and ESS attachments as declared in Kubernetes.
///
/// A member is removed only if its object owns it, the list no longer has it, the whole group was just read, and others keep serving.
#[derive(Debug, Parser)]
#[command(name = "server-group-operator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator until it is told to end (SIGTERM, or Ctrl-C).
    Run(Box<Run>),
    /// Prints the custom resource definitions as YAML: `server-group-operator crds | kubectl apply --server-side -f -`.
    Crds(Crds),
    /// Prints docs/metrics.md.
    #[command(hide = true)]
    Metrics,
    /// Prints the smallest RAM policy under which the objects in these manifests can be looked after.
    Permissions(Permissions),
}

/// The flags of `run`. Each has an environment variable.
#[derive(Debug, Args)]
struct Run {
    /// Kubeconfig file to use [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, env = "SERVER_GROUP_OPERATOR_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
    /// Address that serves /healthz, /readyz and /metrics.
    #[arg(
        long,
        env = "SERVER_GROUP_OPERATOR_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Where an API of the cloud answers, as PRODUCT=URL: ess, slb, alb, nlb, gwlb, ecs, sts, metadata, or * for all.
    ///
    /// May be repeated, or several separated by commas. {region} in the URL is filled in; a path is kept, and signed.
    /// Plain http is taken here only.
    #[arg(
        long = "endpoint",
        env = "SERVER_GROUP_OPERATOR_ENDPOINT",
        value_name = "PRODUCT=URL"
    )]
    endpoints: Vec<Endpoints>,
    /// Certificates as PEM, of authorities that are believed in when the cloud is asked, besides the bundled ones: that of a proxy which
    /// looks into TLS, say.
    #[arg(long, env = "SERVER_GROUP_OPERATOR_CA_FILE", value_name = "FILE")]
    ca_file: Option<std::path::PathBuf>,
    /// How requests to the cloud are signed.
    #[arg(long, env = "SERVER_GROUP_OPERATOR_SIGNATURE", default_value = "v3")]
    signature: SignatureFlag,
    /// Namespace that holds the operator's lease and the Secrets of accounts [default: POD_NAMESPACE, else server-group-operator].
    #[arg(
        long,
        env = "SERVER_GROUP_OPERATOR_OPERATOR_NAMESPACE",
        value_name = "NAMESPACE"
    )]
    operator_namespace: Option<String>,
    /// Namespace whose objects are looked after; may be repeated, or several separated by commas [default: all].
    ///
    /// Rights in these namespaces are enough then. Accounts are read everywhere.
    #[arg(
        long = "namespace",
        env = "SERVER_GROUP_OPERATOR_NAMESPACE",
        value_delimiter = ',',
        value_parser = namespace_name,
        value_name = "NAMESPACE"
    )]
    namespaces: Vec<String>,
    /// Looks at everything and shows what would be done, as in Plan mode, and changes nothing: neither the cloud, nor a finalizer.
    #[arg(long, env = "SERVER_GROUP_OPERATOR_READ_ONLY")]
    read_only: bool,
    /// Whether replicas elect a leader. Turn it off only where there is never more than one.
    #[arg(long, env = "SERVER_GROUP_OPERATOR_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    leader_elect: bool,
    /// The messages to log: error, warn, info, debug or trace, and for single modules more or less: info,cloud=debug.
    #[arg(
        long,
        env = "SERVER_GROUP_OPERATOR_LOG",
        default_value = "info",
        value_name = "LEVELS"
    )]
    log: String,
}

/// The flags of `crds`.
#[derive(Debug, Args)]
struct Crds {
    /// Writes one file a kind into this folder instead of printing.
    #[arg(long, value_name = "FOLDER")]
    write: Option<std::path::PathBuf>,
}

/// The flags of `permissions`.
#[derive(Debug, Args)]
struct Permissions {
    /// Manifests: YAML of one or more documents; - for standard input. May be repeated.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<std::path::PathBuf>,
    /// The CloudAccount whose policy it is [default: the only one that the objects use].
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// How the policy is written.
    #[arg(long, default_value = "json")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// As RAM takes it.
    Json,
    /// For people.
    Yaml,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignatureFlag {
    /// ACS3-HMAC-SHA256.
    V3,
    /// HMAC-SHA1, for gateways that know nothing else.
    V1,
}

/// Runs the program: exit code 0 when it was told to end, 1 on an error, 2 on wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let outcome = match Cli::parse().command {
        Command::Run(flags) => run(*flags),
        Command::Crds(flags) => print_crds(&flags),
        Command::Metrics => {
            write!(std::io::stdout(), "{}", metrics::reference()).context("cannot print")
        }
        Command::Permissions(flags) => print_permissions(&flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain is printed once, here.
            _ = writeln!(std::io::stderr(), "server-group-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps the memory of this process, which has keys in it, out of core dumps and from other processes of the same user.
#[cfg(target_os = "linux")]
fn keep_memory_private() -> anyhow::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("the kernel does not keep this process from being dumped")
}

/// Other systems are for development.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it may fail elsewhere")]
fn keep_memory_private() -> anyhow::Result<()> {
    Ok(())
}

fn run(flags: Run) -> anyhow::Result<()> {
    keep_memory_private()?;
    telemetry::start(&flags.log).with_context(|| {
        format!(
            "--log {:?} does not say what to log; write a level, and after commas MODULE=LEVEL: info,cloud=debug",
            flags.log
        )
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads to run on")?;
    let lease = LeaseThread::start().context("no thread for the lease")?;
    runtime.block_on(async {
        let operator = operator(flags, lease.runtime()).await?;
        let stop = CancellationToken::new();
        tokio::spawn(end_when_told(stop.clone()));
        Box::pin(operator.run(stop)).await?;
        Ok(())
    })
}

/// A namespace as Kubernetes names them. Source: Kubernetes, DNS label names.
fn namespace_name(name: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    match (1..=63).contains(&name.len()) && name.chars().all(word) && ends {
        true => Ok(name.to_owned()),
        false => Err("a namespace has 1 to 63 lower case letters, digits and -".to_owned()),
    }
}

async fn operator(flags: Run, lease: &Handle) -> anyhow::Result<Operator> {
    let timing = Timing::production();
    let config = kubernetes(flags.kubeconfig.as_deref(), &timing).await?;
    let roots = match &flags.ca_file {
        Some(file) => Roots::read(file)
            .with_context(|| format!("--ca-file {} cannot be used", file.display()))?,
        None => Roots::default(),
    };
    let to_the_cloud = TransportConfig {
        signature: match flags.signature {
            SignatureFlag::V3 => Signature::V3,
            SignatureFlag::V1 => Signature::V1,
        },
        endpoints: flags
            .endpoints
            .into_iter()
            .fold(Endpoints::default(), Endpoints::and),
        timing: timing.clone(),
    };
    let transport = Transport::trusting(&roots, to_the_cloud)?;
    let probes = TcpListener::bind(flags.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: choose another address with --listen, or end what listens there",
            flags.listen
        )
    })?;
    let (namespaces, read_only) = (flags.namespaces, flags.read_only);
    let namespace = flags
        .operator_namespace
        .or_else(|| std::env::var("POD_NAMESPACE").ok())
        .unwrap_or_else(|| "server-group-operator".to_owned());
    let identity = format!("{}-{}", gethostname(), timing.chance.hexadecimal(8));
    let client = || {
        kube::Client::try_from(config.clone())
            .context("the kubeconfig names keys or certificates that cannot be used")
    };
    let election = match flags.leader_elect {
        true => Some(Candidate {
            namespace: namespace.clone(),
            identity,
            client: {
                // Its connections live where the lease is renewed.
                let _there = lease.enter();
                client()?
            },
            runtime: lease.clone(),
        }),
        false => None,
    };
    Ok(Operator {
        client: client()?,
        transport,
        environment: Environment::of_process(),
        timing,
        namespaces,
        read_only,
        operator_namespace: namespace,
        election,
        probes: Some(probes),
    })
}

/// The given kubeconfig, else the one in the usual places.
async fn kubernetes(
    file: Option<&std::path::Path>,
    timing: &Timing,
) -> anyhow::Result<kube::Config> {
    let mut config = match file {
        Some(file) => {
            let what = || format!("the kubeconfig {} cannot be used", file.display());
            let read = kube::config::Kubeconfig::read_from(file).with_context(what)?;
            kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()).await.with_context(what)?
        }
        None => kube::Config::infer().await.context(
            "there is no usable kubeconfig and this is no pod: name one with --kubeconfig or KUBECONFIG, or run in a cluster",
        )?,
    };
    config.connect_timeout = Some(timing.connect_deadline);
    config.default_retry = false;
    Ok(config)
}

async fn end_when_told(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("told to end: finishing what runs");
    stop.cancel();
}

fn print_crds(flags: &Crds) -> anyhow::Result<()> {
    for (name, yaml) in generated_crds()? {
        match &flags.write {
            Some(folder) => {
                let file = folder.join(name);
                std::fs::write(&file, yaml)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}").context("cannot print")?,
        }
    }
    Ok(())
}

fn print_permissions(flags: &Permissions) -> anyhow::Result<()> {
    let mut manifests = Manifests::default();
    for file in &flags.files {
        let text = match file.to_str() {
            Some("-") => std::io::read_to_string(std::io::stdin()),
            _ => std::fs::read_to_string(file),
        };
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        let read = manifests.read(&text);
        read.with_context(|| format!("{} is not as it should be", file.display()))?;
    }
    let account = manifests.account(flags.account.as_deref())?;
    let policy = manifests.policy(account)?;
    let text = match flags.format {
        Format::Json => serde_json::to_string_pretty(&policy)? + "\n",
        Format::Yaml => serde_saphyr::to_string(&policy)?,
    };
    write!(std::io::stdout(), "{text}").context("cannot print")?;
    if let Some(role) = manifests.assumed_role(account) {
        _ = writeln!(
            std::io::stderr(),
            "this is for the role {role}; the keys of the account's source need sts:AssumeRole on it, and nothing else"
        );
    }
    Ok(())
}

/// The definitions as files: name and content.
///
/// # Errors
///
/// Never for the kinds of this program.
pub fn generated_crds() -> anyhow::Result<Vec<(String, String)>> {
    let head = "# Generated from the Rust types by `make generate`; do not edit.\n";
    crds()
        .into_iter()
        .map(|crd| {
            let yaml = serde_saphyr::to_string(&crd)?;
            Ok((
                format!("{}.yaml", crd.spec.names.plural),
                format!("{head}{yaml}"),
            ))
        })
        .collect()
}
