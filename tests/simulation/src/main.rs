//! `make simulate`: plays schedules and prints what they came to; exit code 1 when a rule was broken.

#![allow(clippy::print_stdout, reason = "it is a report")]
#![allow(clippy::struct_excessive_bools, reason = "they are flags")]

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use clap::Parser;
use serde_json::json;
use simulation::{
    schedule::{Outcome, Schedule},
    search::{Sum, hunt, pairs_of_faults, play_all, short_plans, shorten, single_faults},
    workload::{Workload, all},
};

/// Plays schedules of the operator in virtual time.
#[derive(Debug, Parser)]
struct Flags {
    /// How many schedules.
    #[arg(long, env = "SCHEDULES", default_value_t = 2000)]
    schedules: u64,
    /// The first seed.
    #[arg(long, env = "SEED_FROM", default_value_t = 1)]
    seed_from: u64,
    /// Only this one, with everything that happens in it.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// Only these workloads, separated by commas.
    #[arg(long, env = "WORKLOADS", value_delimiter = ',')]
    workloads: Vec<String>,
    /// A plan to play instead of what the seed draws: a file of one happening in JSON a line.
    #[arg(long, env = "PLAN")]
    plan: Option<std::path::PathBuf>,
    /// Every way takes the same short time.
    #[arg(long, env = "QUIET")]
    quiet: bool,
    /// What the operator logs, as a filter such as info; only with one seed.
    #[arg(long, env = "LOG")]
    log: Option<String>,
    /// How many processes play.
    #[arg(long, env = "JOBS", default_value_t = 2)]
    jobs: usize,
    /// Instead of what seeds draw, one fault at each effect of six workloads.
    #[arg(long)]
    single: bool,
    /// Instead of what seeds draw, each pair of a crash and a lost answer in three short workloads.
    #[arg(long)]
    pairs: bool,
    /// Play until this rule is broken, and print in JSON how many schedules that took.
    #[arg(long)]
    until: Option<String>,
    /// Print a number that stands for all that happened in each schedule, and no report.
    #[arg(long)]
    digests: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let workloads: Vec<_> = all()
        .into_iter()
        .filter(|workload| {
            flags.workloads.is_empty() || flags.workloads.iter().any(|name| name == workload.name)
        })
        .collect();
    if workloads.is_empty() {
        println!(
            "there is no such workload; there are: {}",
            all()
                .iter()
                .map(|workload| workload.name)
                .collect::<Vec<_>>()
                .join(", ")
        );
        return ExitCode::from(2);
    }
    if let Some(seed) = flags.seed {
        return one(&flags, &workloads, seed);
    }
    let begun = Instant::now();
    let schedules: Vec<_> = match () {
        () if flags.single => short_plans().iter().flat_map(single_faults).collect(),
        () if flags.pairs => short_plans()
            .iter()
            .take(3)
            .flat_map(pairs_of_faults)
            .collect(),
        () => (flags.seed_from..flags.seed_from + flags.schedules)
            .map(|seed| Schedule::drawn(turn(&workloads, seed), seed))
            .collect(),
    };
    if flags.digests {
        for schedule in schedules {
            println!("{} {:016x}", schedule.seed, schedule.play().digest);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(rule) = &flags.until {
        let hunt = hunt(rule, &schedules, flags.jobs);
        println!("{}", json!(hunt));
        return ExitCode::from(u8::from(!hunt.found));
    }
    let sum = play_all(&schedules, flags.jobs);
    report(&sum, begun);
    ExitCode::from(u8::from(!sum.found.is_empty()))
}

/// Whose turn it is with this seed.
fn turn(workloads: &[Workload], seed: u64) -> Workload {
    workloads[usize::try_from(seed).unwrap_or_default() % workloads.len()]
}

fn one(flags: &Flags, workloads: &[Workload], seed: u64) -> ExitCode {
    if let Some(filter) = &flags.log {
        server_group_operator::telemetry::start(filter).expect("a filter such as info");
    }
    let plan = flags.plan.as_ref().map(|file| {
        let text = std::fs::read_to_string(file).expect("the plan can be read");
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(kept) if kept["plan"].is_array() => {
                serde_json::from_value(kept["plan"].clone()).expect("happenings")
            }
            _ => text
                .lines()
                .map(|line| serde_json::from_str(line).expect("a happening in JSON"))
                .collect(),
        }
    });
    let workload = turn(workloads, seed);
    let schedule = Schedule {
        workload,
        seed,
        plan,
        quiet: flags.quiet,
    };
    let outcome = schedule.play();
    println!("workload {}", schedule.workload.name);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("digest {:016x}", outcome.digest);
    match &outcome.broken {
        Some(how) => {
            println!("{how}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn report(sum: &Sum, begun: Instant) {
    let took = begun.elapsed().as_secs_f64();
    let hours = sum.simulated.as_secs_f64() / 3600.0;
    println!(
        "{} schedules, {} effects, {hours:.1} simulated hours in {took:.1} s: {:.1} schedules/s",
        sum.schedules,
        sum.effects,
        f64::from(u32::try_from(sum.schedules).unwrap_or(u32::MAX)) / took
    );
    println!("happened: {:?}", sum.happened);
    println!("asked: {:?}", sum.asked);
    println!("excused: {:?}", sum.excused);
    println!("noticed: {:?}", sum.noticed);
    let blind: Vec<_> = sum.blind.iter().take(12).collect();
    println!("blind in: {blind:?}");
    let mut kinds: BTreeMap<String, Vec<&(Schedule, Outcome)>> = BTreeMap::new();
    for found in &sum.found {
        let rule = found.1.rule().unwrap_or_default();
        kinds
            .entry(format!("{rule} {}", found.0.workload.name))
            .or_default()
            .push(found);
    }
    for (kind, all) in &kinds {
        let seeds: Vec<_> = all
            .iter()
            .take(8)
            .map(|(schedule, _)| schedule.seed)
            .collect();
        println!("BROKEN {kind}: {} schedules, seeds {seeds:?}", all.len());
        println!("   {}", all[0].1.broken.as_deref().unwrap_or_default());
    }
    // The first of each kind in short.
    for all in kinds.values().take(6) {
        let (schedule, outcome) = all[0];
        let (short, outcome) = shorten(schedule, outcome.clone(), 20);
        println!(
            "\nworkload {} seed {}{}: {}",
            short.workload.name,
            short.seed,
            if short.quiet { " quiet" } else { "" },
            outcome.broken.as_deref().unwrap_or_default()
        );
        for happening in short.plan.iter().flatten() {
            println!("   {happening}");
        }
        let kept = json!({"workload": short.workload.name, "seed": short.seed, "quiet": short.quiet, "plan": short.plan});
        println!("   to keep: {kept}");
    }
}
