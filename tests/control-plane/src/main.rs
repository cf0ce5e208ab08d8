//! The control plane by hand, for the demo and for looking around.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};
use control_plane::{ControlPlane, Error, Options, Program, find};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Runs a real etcd and kube-apiserver on free ports of the loopback interface.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start, write DIR/kubeconfig, print its path once the API server is ready, and run until
    /// SIGTERM or SIGINT. The servers end with this process, however it ends.
    Up {
        /// Holds the kubeconfig, the logs and the data. Data of an earlier run is removed.
        #[arg(long)]
        dir: PathBuf,
        /// Also start kube-controller-manager: garbage collection and deletion of namespaces.
        #[arg(long)]
        controller_manager: bool,
        /// Also stop when standard input ends.
        #[arg(long)]
        until_stdin_ends: bool,
    },
    /// Print where an installed program is.
    Find {
        /// etcd, kube-apiserver, kube-controller-manager or kubectl.
        #[arg(value_parser = program)]
        program: Program,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Verb::Up {
            dir,
            controller_manager,
            until_stdin_ends,
        } => {
            up(
                Options {
                    controller_manager,
                    directory: Some(dir),
                    ..Options::default()
                },
                until_stdin_ends,
            )
            .await
        }
        Verb::Find { program } => find(program).and_then(|path| say(&path.display().to_string())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("control-plane: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn up(options: Options, until_stdin_ends: bool) -> Result<(), Error> {
    // Before the start, so that a signal during it still takes the servers along.
    let listen = |kind| {
        signal(kind).map_err(|source| Error::Io {
            action: "listen for signals".to_owned(),
            source,
        })
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let run = async {
        let control_plane = ControlPlane::start(&options).await?;
        say(&control_plane.kubeconfig().display().to_string())?;
        if until_stdin_ends {
            end_of_stdin().await;
            return Ok(());
        }
        std::future::pending().await
    };
    tokio::select! {
        outcome = run => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// A thread of its own, which nobody joins: the runtime would wait for a read that never returns.
async fn end_of_stdin() {
    let (ended, end) = oneshot::channel::<()>();
    thread::spawn(move || {
        _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ended);
    });
    _ = end.await;
}

fn program(name: &str) -> Result<Program, String> {
    [
        Program::Etcd,
        Program::ApiServer,
        Program::ControllerManager,
        Program::Kubectl,
    ]
    .into_iter()
    .find(|program| program.name() == name)
    .ok_or_else(|| "no such program".to_owned())
}

fn say(line: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|source| Error::Io {
        action: "print".to_owned(),
        source,
    })
}
