//! Many schedules: drawn by seeds, or with every single fault at every effect; and how a finding is made short.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;

use crate::{
    effect::Sort,
    oracle::BLIND,
    plan::{Deed, Happening, What, When},
    schedule::{Outcome, Schedule},
    workload::{
        Workload,
        builders::{attachment, membership, servers},
    },
};

/// What many schedules came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many there were.
    pub schedules: usize,
    /// Effects in all of them.
    pub effects: usize,
    /// How long they lasted.
    pub simulated: Duration,
    /// What happened besides, by kind.
    pub happened: BTreeMap<String, usize>,
    /// How often each rule was asked.
    pub asked: BTreeMap<&'static str, usize>,
    /// How often something beyond our control explained what looked like a breach.
    pub excused: BTreeMap<&'static str, usize>,
    /// What one record of each group would have known, by kind.
    pub noticed: BTreeMap<&'static str, usize>,
    /// The first schedules in which something was noticed that nobody remembers.
    pub blind: BTreeSet<(&'static str, u64)>,
    /// Schedules in which a rule was broken.
    pub found: Vec<(Schedule, Outcome)>,
}

impl Sum {
    /// Takes in what came of one.
    pub fn add(&mut self, schedule: &Schedule, outcome: Outcome) {
        self.schedules += 1;
        self.effects += outcome.effects;
        self.simulated += outcome.simulated;
        for happening in &outcome.plan {
            let text = serde_json::to_value(&happening.what).unwrap_or_default();
            let kind = match &text {
                serde_json::Value::Object(fields) => {
                    fields.keys().next().cloned().unwrap_or_default()
                }
                other => other.as_str().unwrap_or_default().to_owned(),
            };
            *self.happened.entry(kind).or_default() += 1;
        }
        for (rule, times) in &outcome.asked {
            *self.asked.entry(rule).or_default() += times;
        }
        for (why, times) in &outcome.excused {
            *self.excused.entry(why).or_default() += times;
        }
        for (kind, times) in &outcome.noticed {
            *self.noticed.entry(kind).or_default() += times;
        }
        if outcome.noticed.contains_key(BLIND) {
            self.blind.insert((schedule.workload.name, schedule.seed));
        }
        if outcome.broken.is_some() {
            self.found.push((schedule.clone(), outcome));
        }
    }

    /// Takes in what another search came to.
    pub fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.effects += other.effects;
        self.simulated += other.simulated;
        for (kind, times) in other.happened {
            *self.happened.entry(kind).or_default() += times;
        }
        for (rule, times) in other.asked {
            *self.asked.entry(rule).or_default() += times;
        }
        for (why, times) in other.excused {
            *self.excused.entry(why).or_default() += times;
        }
        for (kind, times) in other.noticed {
            *self.noticed.entry(kind).or_default() += times;
        }
        self.blind.extend(other.blind);
        self.found.extend(other.found);
    }
}

/// Plays these, by so many threads.
///
/// # Panics
///
/// If a schedule cannot be played.
#[must_use]
pub fn play_all(schedules: &[Schedule], threads: usize) -> Sum {
    let next = AtomicUsize::new(0);
    let play = || {
        let mut sum = Sum::default();
        while let Some(schedule) = schedules.get(next.fetch_add(1, Ordering::Relaxed)) {
            sum.add(schedule, schedule.play());
        }
        sum
    };
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        for thread in threads {
            sum.merge(thread.join().expect("schedules can be played"));
        }
    });
    sum.found.sort_by_key(|(schedule, _)| schedule.seed);
    sum
}

/// Short plans in which everything happens that matters, for searches that try everything at each of their effects.
#[must_use]
pub fn short_plans() -> Vec<Schedule> {
    let plans = [
        (
            "clb-two",
            vec![edit("a", "rsp-x", &[1]), edit("b", "rsp-x", &[2, 0])],
        ),
        (
            "alb-two",
            vec![
                edit("a", "sgp-alb-x", &[1, 3]),
                edit("b", "sgp-alb-x", &[0]),
            ],
        ),
        (
            "gwlb-two",
            vec![edit("a", "sgp-gw-x", &[1]), Deed::Delete(membership("b"))],
        ),
        ("nlb-drain", vec![edit("a", "sgp-nlb-x", &[1])]),
        (
            "feeds",
            vec![
                Deed::Edit(attachment("f"), json!({"serverGroups": []})),
                Deed::Delete(membership("b")),
            ],
        ),
        (
            "leaders",
            vec![edit("a", "rsp-x", &[3]), edit("b", "rsp-x", &[2, 1])],
        ),
    ];
    let plans = plans.into_iter().enumerate();
    plans
        .map(|(index, (name, deeds))| {
            let at = |number: usize| When::At(20_000 + 4_000 * number as u64);
            let deeds = deeds.into_iter().enumerate();
            let plan = deeds.map(|(number, deed)| Happening {
                when: at(number),
                what: What::Deed(deed),
            });
            Schedule {
                workload: Workload::named(name).expect("it is there"),
                seed: index as u64,
                plan: Some(plan.collect()),
                quiet: true,
            }
        })
        .collect()
}

fn edit(name: &str, group: &str, numbers: &[usize]) -> Deed {
    Deed::Edit(
        membership(name),
        json!({"servers": servers(group, numbers, None)}),
    )
}

/// Each crash at one effect with each answer that is lost at another one.
#[must_use]
pub fn pairs_of_faults(base: &Schedule) -> Vec<Schedule> {
    let outcome = base.play();
    let plan = base.plan.clone().unwrap_or_default();
    let mut all = Vec::new();
    for (crash, at) in &outcome.named {
        for (lost, of) in &outcome.named {
            if crash == lost
                || !matches!(of, Sort::CloudChange | Sort::Write)
                || matches!(at, Sort::Watch | Sort::Event)
            {
                continue;
            }
            let mut plan = plan.clone();
            plan.push(Happening {
                when: When::Effect(lost.clone()),
                what: What::LoseAnswer { hangs: false },
            });
            plan.push(Happening {
                when: When::Effect(crash.clone()),
                what: What::CrashAfter(2000),
            });
            all.push(Schedule {
                plan: Some(plan),
                ..base.clone()
            });
        }
    }
    all
}

/// Faults that are tried at an effect of each sort.
#[must_use]
pub fn faults(sort: Sort) -> Vec<What> {
    let lost = [
        What::LoseRequest { hangs: true },
        What::LoseAnswer { hangs: true },
    ];
    let crashes = [What::CrashBefore(3000), What::CrashAfter(3000)];
    let mut all = Vec::new();
    match sort {
        Sort::CloudChange => {
            all.extend(lost);
            all.extend(crashes);
            all.extend([
                What::Late(30_000),
                What::Throttle,
                What::Fail,
                What::Unlisted(4000),
            ]);
        }
        Sort::Write => {
            all.extend(lost);
            all.extend(crashes);
            all.extend([404, 409, 429, 500].map(What::Refuse));
        }
        Sort::CloudRead => all.extend([
            What::LoseRequest { hangs: false },
            What::CrashBefore(3000),
            What::Stale,
            What::Torn,
        ]),
        Sort::Read => all.extend([
            What::LoseRequest { hangs: false },
            What::CrashBefore(3000),
            What::Refuse(500),
        ]),
        Sort::Lease => all.push(What::LoseRequest { hangs: true }),
        Sort::Watch | Sort::Event => {}
    }
    all
}

/// The schedules in which one thing goes wrong at one effect, for each effect of `base` and each fault.
#[must_use]
pub fn single_faults(base: &Schedule) -> Vec<Schedule> {
    let outcome = base.play();
    let plan = base.plan.clone().unwrap_or_default();
    let mut all = Vec::new();
    for (name, sort) in outcome.named {
        for what in faults(sort) {
            let mut plan = plan.clone();
            plan.push(Happening {
                when: When::Effect(name.clone()),
                what,
            });
            all.push(Schedule {
                plan: Some(plan),
                ..base.clone()
            });
        }
    }
    all
}

/// What came of looking for one rule.
#[derive(Debug, Serialize)]
pub struct Hunt {
    /// Whether a schedule broke it.
    pub found: bool,
    /// How many schedules there were until one did.
    pub played: usize,
    /// Which rules others of these broke, and how often.
    pub others: BTreeMap<String, usize>,
}

/// Plays schedules in order until one breaks `rule`.
#[must_use]
pub fn hunt(rule: &str, schedules: &[Schedule], threads: usize) -> Hunt {
    let mut hunt = Hunt {
        found: false,
        played: 0,
        others: BTreeMap::new(),
    };
    for some in schedules.chunks(8 * threads) {
        for (schedule, outcome) in play_all(some, threads).found {
            if outcome.rules.contains(rule) {
                let before = some.iter().position(|one| one.seed == schedule.seed);
                hunt.played += 1 + before.unwrap_or_default();
                hunt.found = true;
                return hunt;
            }
            let other = outcome.rule().unwrap_or_default().to_owned();
            *hunt.others.entry(other).or_default() += 1;
        }
        hunt.played += some.len();
    }
    hunt
}

/// Leaves out of a plan what is not needed for a rule to be broken; ends after `tries` plays.
#[must_use]
pub fn shorten(schedule: &Schedule, outcome: Outcome, tries: usize) -> (Schedule, Outcome) {
    let wanted = outcome.rule().map(ToOwned::to_owned);
    let mut left = tries;
    let mut best = (
        Schedule {
            plan: Some(outcome.plan.clone()),
            ..schedule.clone()
        },
        outcome,
    );
    for quiet in [true, false] {
        let candidate = Schedule {
            quiet,
            ..best.0.clone()
        };
        if quiet && !best.0.quiet {
            let outcome = candidate.play();
            left = left.saturating_sub(1);
            if outcome.rule() == wanted.as_deref() {
                best = (candidate, outcome);
                break;
            }
        }
    }
    let mut index = 0;
    while left > 0 {
        let plan = best.0.plan.clone().unwrap_or_default();
        if index >= plan.len() {
            break;
        }
        let mut shorter = plan;
        shorter.remove(index);
        let candidate = Schedule {
            plan: Some(shorter),
            ..best.0.clone()
        };
        let outcome = candidate.play();
        left -= 1;
        if outcome.rule() == wanted.as_deref() {
            best = (candidate, outcome);
        } else {
            index += 1;
        }
    }
    best
}
