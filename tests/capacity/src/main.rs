//! What the operator costs by the thousand objects of ten members each: `make bench`, and in brief `make test`.
//!
//! ```text
//!            objects, edits                    Ready, writes
//!  this ───────────────────▶ kube-apiserver ───────────────▶ this
//!                                 ▲  │
//!                                 │  ▼
//!   /proc ◀──────────────── the operator's release binary ──▶ simulated cloud in this process ──▶ calls
//! ```
//!
//! The operator is a process and is measured from outside: processor time and memory by the kernel's account, writes by
//! that of the API server, calls by that of the cloud. The machine is shared by all of them, so that seconds say more
//! about the machine than processor time does.

#![allow(unreachable_pub, reason = "a program exports nothing")]

mod cloud;
mod converged;
mod figures;
mod fleet;
mod goals;
mod measure;
mod process;
mod table;
mod usage;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Measures the operator with many objects, and fails when a count or a ratio is not as it should be.
#[derive(Parser)]
struct Cli {
    /// The operator's binary, built by the release profile.
    #[arg(long, env = "OPERATOR", value_name = "FILE")]
    operator: PathBuf,
    /// How many objects; one run each.
    #[arg(default_values_t = [1000, 2000, 4000, 10_000], value_parser = size)]
    sizes: Vec<usize>,
    /// Single edits, of as many objects.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    edits: usize,
    /// The size that also rests with an interval of 300 s, which takes that long.
    #[arg(long, default_value_t = 10_000, value_name = "SIZE")]
    usual_interval: usize,
    /// Measures nothing but what it can fail for, which takes a third of the time.
    #[arg(long)]
    brief: bool,
}

/// Two objects are needed for the takeovers, and one more to be edited.
fn size(text: &str) -> Result<usize, String> {
    let size = text.parse::<usize>().map_err(|error| error.to_string())?;
    match size {
        10..=1_000_000 => Ok(size),
        _ => Err("10 to 1000000".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = async {
        tokio::select! {
            outcome = bench(Cli::parse()) => outcome,
            told = told_to_end() => told.map(|()| ExitCode::FAILURE),
        }
    };
    outcome.await.unwrap_or_else(|error| {
        _ = writeln!(io::stderr(), "bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whoever ends the bench ends what it started: the guards have to run.
async fn told_to_end() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

async fn bench(cli: Cli) -> Result<ExitCode> {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.run/capacity");
    let program = process::Program::new(&cli.operator, &logs)?;
    print(&format!("{}\n\n{}", table::LEGEND, table::head()))?;
    let mut all = Vec::new();
    for size in cli.sizes {
        let plan = measure::Plan {
            size,
            brief: cli.brief,
            edits: cli.edits,
            usual_interval: size == cli.usual_interval,
        };
        let figures = measure::measure(&program, &plan).await;
        print(&table::row(&figures))?;
        all.push(figures);
    }
    let goals = goals::judge(&all);
    print("")?;
    for goal in &goals {
        print(&goal.to_string())?;
    }
    let failed = goals.iter().any(|goal| goal.gated && !goal.reached);
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn print(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot print")
}
