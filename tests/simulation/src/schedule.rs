//! One schedule from beginning to end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use crate::{
    dice::Dice,
    effect::Sort,
    lab::Lab,
    oracle::at_end,
    plan::{Happening, Name, What},
    trouble::{Drawn, Troubles},
    workload::{Trouble, Workload},
};

/// How long everything may take until it is ready for the first time.
const BEGINS: Duration = Duration::from_secs(180);
/// How long faults may still befall what follows from the last deed.
const SETTLES_IN: Duration = Duration::from_secs(8);
/// When troubles end.
const TROUBLED: Duration = Duration::from_secs(240);
/// After how long the last call that was lost can land no more, and what follows from that has been seen.
const LANDS: Duration = Duration::from_secs(1200);

/// What is done.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The world, and what may happen in it.
    pub workload: Workload,
    /// What everything is drawn from.
    pub seed: u64,
    /// What happens; absent = what the seed draws.
    pub plan: Option<Vec<Happening>>,
    /// Whether every way takes the same short time.
    pub quiet: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, and how.
    pub broken: Option<String>,
    /// The names of all rules that the same effect broke.
    pub rules: BTreeSet<String>,
    /// What happened besides.
    pub plan: Vec<Happening>,
    /// What happened, for a person.
    pub trace: Vec<String>,
    /// Effects since troubles could begin.
    pub named: Vec<(Name, Sort)>,
    /// How many effects there were.
    pub effects: usize,
    /// How long it lasted.
    pub simulated: Duration,
    /// A number that stands for all that happened.
    pub digest: u64,
    /// How often each rule was asked.
    pub asked: BTreeMap<&'static str, usize>,
    /// How often something beyond our control explained what looked like a breach.
    pub excused: BTreeMap<&'static str, usize>,
    /// What one record of each group would have known, by kind.
    pub noticed: BTreeMap<&'static str, usize>,
}

impl Outcome {
    /// The name of the rule that was broken.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.broken.as_deref().map(rule_of)
    }
}

/// The name of the rule that a text begins with.
fn rule_of(how: &str) -> &str {
    how.split(':').next().unwrap_or_default()
}

impl Schedule {
    /// What a seed draws for a workload.
    #[must_use]
    pub const fn drawn(workload: Workload, seed: u64) -> Self {
        Self {
            workload,
            seed,
            plan: None,
            quiet: false,
        }
    }

    /// Plays it.
    #[must_use]
    pub fn play(&self) -> Outcome {
        crate::panics::listen();
        let elects = self.workload.replicas > 1;
        let mut lab = Lab::new(self.seed, elects, self.quiet);
        lab.oracles.elects = elects;
        (self.workload.setup)(&mut lab);
        lab.look_at_setup();
        for number in 0..self.workload.replicas {
            lab.start_in(Duration::from_millis(10 + 1000 * number as u64));
        }
        while lab.oracles.broken().is_none() && !all_ready(&lab) {
            if lab.now() > BEGINS {
                lab.oracles
                    .breaks("L1: nothing is ready in three minutes without any trouble".to_owned());
            }
            lab.run_until(lab.now() + Duration::from_secs(1));
        }
        lab.remark("all is ready; now people and troubles");
        let troubles = match &self.plan {
            Some(plan) => Troubles::planned(plan),
            None => self.draw(lab.now()),
        };
        lab.arm(troubles);
        let end = lab.now() + TROUBLED;
        while lab.oracles.broken().is_none() && lab.troubles.pending() && lab.now() < end {
            lab.run_until(lab.now() + Duration::from_secs(1));
        }
        // What follows from the last of these is troubled too.
        if lab.oracles.broken().is_none() {
            lab.run_until(lab.now() + SETTLES_IN);
        }
        lab.remark("from now on nothing goes wrong");
        lab.calm();
        let lost = |happening: &Happening| {
            matches!(
                happening.what,
                What::LoseRequest { .. }
                    | What::LoseAnswer { .. }
                    | What::Late(_)
                    | What::CrashBefore(_)
                    | What::CrashAfter(_)
                    | What::Pause(_)
                    | What::Outage(_)
                    | What::ClockJump(_)
                    | What::Fail
                    // An old status may tell of a call that is long over.
                    | What::Deed(crate::plan::Deed::Restore(..))
            )
        };
        let long = lab.troubles.happened().iter().any(lost);
        let calm = if long { LANDS } else { self.workload.calm };
        lab.run_until(lab.now() + calm);
        if lab.oracles.broken().is_none() {
            at_end(&mut lab);
        }
        let broken = lab.oracles.broken().map(ToOwned::to_owned);
        let rules = lab.oracles.all_broken().iter();
        let rules = rules.map(|how| rule_of(how).to_owned()).collect();
        if broken.is_some() {
            lab.tell_state();
        }
        Outcome {
            broken,
            rules,
            plan: lab.troubles.happened().to_vec(),
            effects: lab.effects,
            simulated: lab.now(),
            digest: lab.digest(),
            asked: std::mem::take(&mut lab.oracles.asked),
            excused: std::mem::take(&mut lab.oracles.excused),
            noticed: std::mem::take(&mut lab.oracles.noticed),
            named: std::mem::take(&mut lab.named),
            trace: std::mem::take(&mut lab.trace),
        }
    }

    fn draw(&self, now: Duration) -> Troubles {
        let mut random = Dice::new(self.seed).of("troubles", 0);
        let mut drawn = Vec::new();
        let mut timed = Vec::new();
        let mut at = now;
        for _ in 0..random.usize(1..=self.workload.deeds) {
            let deed = What::Deed((self.workload.deed)(&mut random));
            if random.u32(0..3) == 0 {
                let to = match random.bool() {
                    true => vec![Sort::CloudChange, Sort::Write],
                    false => vec![Sort::CloudRead, Sort::Read, Sort::Write],
                };
                drawn.push(Drawn {
                    what: deed,
                    to,
                    after: random.usize(0..8),
                });
            } else {
                let pause = [0.0, 0.3, 2.0, 8.0, 30.0, 70.0][random.usize(..6)];
                at += Duration::from_secs_f64(pause * (0.5 + random.f64()));
                timed.push((whole_millis(at), deed));
            }
        }
        let troubles = self.workload.troubles;
        for _ in 0..random.usize(0..=self.workload.most) {
            let trouble = troubles[random.usize(..troubles.len())];
            drawn.push(draw_trouble(&mut random, trouble));
        }
        Troubles::drawn(drawn, timed)
    }
}

/// Plans count in milliseconds.
fn whole_millis(at: Duration) -> Duration {
    Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or_default())
}

fn draw_trouble(random: &mut fastrand::Rng, trouble: Trouble) -> Drawn {
    let writes = [Sort::CloudChange, Sort::Write];
    let any = [
        Sort::CloudChange,
        Sort::Write,
        Sort::CloudRead,
        Sort::Read,
        Sort::Lease,
    ];
    let long = |random: &mut fastrand::Rng, most: u64| 500 + random.u64(0..most);
    let kinds = [
        "servergroupmemberships",
        "scalinggroupattachments",
        "cloudaccounts",
    ];
    let (what, to, most): (What, &[Sort], usize) = match trouble {
        Trouble::Lost => match random.bool() {
            true => (
                What::LoseRequest {
                    hangs: random.bool(),
                },
                &any,
                12,
            ),
            false => (
                What::LoseAnswer {
                    hangs: random.bool(),
                },
                &writes,
                6,
            ),
        },
        Trouble::Late => {
            let most = *[5_000, 60_000, 880_000]
                .get(random.usize(..3))
                .unwrap_or(&5_000);
            (What::Late(long(random, most)), &[Sort::CloudChange], 4)
        }
        Trouble::Crash => match random.bool() {
            true => (What::CrashBefore(long(random, 20_000)), &any, 20),
            false => (What::CrashAfter(long(random, 20_000)), &writes, 8),
        },
        Trouble::Pause => (What::Pause(long(random, 60_000)), &any, 20),
        Trouble::Lag => match random.u32(0..5) {
            0 => (What::Compact, &any, 20),
            _ => (
                What::Stall(kinds[random.usize(..3)].to_owned(), long(random, 90_000)),
                &any,
                12,
            ),
        },
        Trouble::Refusals => {
            let code = [404, 409, 429, 500][random.usize(..4)];
            (
                What::Refuse(code),
                &[Sort::Write, Sort::Read, Sort::Lease],
                10,
            )
        }
        Trouble::Throttle => (What::Throttle, &[Sort::CloudChange, Sort::CloudRead], 6),
        Trouble::Outage => {
            let calls = &[Sort::CloudChange, Sort::CloudRead];
            (What::Outage(long(random, 90_000)), calls, 10)
        }
        Trouble::Failures => (What::Fail, &[Sort::CloudChange], 4),
        Trouble::Unlisted => (What::Unlisted(4000), &[Sort::CloudChange], 3),
        Trouble::Lists => {
            let what = if random.bool() {
                What::Stale
            } else {
                What::Torn
            };
            (what, &[Sort::CloudRead], 10)
        }
        Trouble::Trail => (What::Trail(long(random, 27_000)), &[Sort::CloudChange], 4),
        Trouble::Clocks => (What::ClockJump(random.i64(-7_200_000..7_200_000)), &any, 20),
        Trouble::Labels => {
            let name = ["a", "b", "f"][random.usize(..3)];
            let object = if name == "f" {
                "scalinggroupattachments"
            } else {
                "servergroupmemberships"
            };
            let object = crate::plan::Object::new(object, "team-a", name);
            let number = random.u32(..).to_string();
            (
                What::Deed(crate::plan::Deed::Label(object, number)),
                &any,
                10,
            )
        }
    };
    Drawn {
        what,
        to: to.to_vec(),
        after: random.usize(0..most),
    }
}

fn all_ready(lab: &Lab) -> bool {
    let kinds = ["servergroupmemberships", "scalinggroupattachments"];
    let mut all = kinds.iter().flat_map(|kind| lab.cluster.objects(kind));
    all.all(|object| {
        let mut conditions = object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        conditions
            .any(|condition: &Value| condition["type"] == "Ready" && condition["status"] == "True")
    })
}
