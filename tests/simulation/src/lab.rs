//! The world of one schedule: Kubernetes, the cloud, replicas, and an agenda of what happens when.

mod happenings;
mod servers;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use server_group_operator::timing::Timing;
use server_group_sim::{Offline, Options};
use tokio::sync::oneshot;

use streams::{BOOKMARK, LAG, Stream};

use crate::{
    clock::{Clock, date},
    dice::Dice,
    effect::{Effect, Sort},
    gate::{Ask, Question, Reply},
    kubernetes::Cluster,
    oracle::Oracles,
    plan::{Happening, Name, What, When},
    replica::{Replica, Start},
    trouble::Troubles,
};

/// The usual way to Kubernetes or back, at most.
const NEAR: Duration = Duration::from_millis(8);
/// The usual way to the cloud or back, at most.
const FAR: Duration = Duration::from_millis(60);
/// A long way, at most.
const LONG: Duration = Duration::from_millis(400);
/// A long way to the cloud, at most.
const VERY_LONG: Duration = Duration::from_secs(5);
/// Effects within one second of virtual time beyond which something spins, as long as objects are few.
const SPINS: usize = 600;

/// The world of one schedule.
pub struct Lab {
    /// Virtual time.
    pub clock: Clock,
    /// Kubernetes.
    pub cluster: Cluster,
    /// The cloud.
    pub cloud: Offline,
    /// The rules, and what they need to know.
    pub oracles: Oracles,
    /// What happens besides.
    pub troubles: Troubles,
    /// What happened, as far as a person wants to know.
    pub trace: Vec<String>,
    /// How many effects there were.
    pub effects: usize,
    /// How many bytes of objects Kubernetes answered, other than by watches, once somebody wants to know.
    pub read: Option<usize>,
    /// The names of the effects since the workload was armed, with their sorts.
    pub named: Vec<(Name, Sort)>,
    /// Effects within one second of virtual time beyond which something spins.
    pub spins: usize,
    digest: u64,
    dice: Dice,
    elects: bool,
    replicas: BTreeMap<usize, Replica>,
    paused: BTreeMap<usize, Duration>,
    started: usize,
    agenda: BTreeMap<(Duration, u64), Todo>,
    scheduled: u64,
    counts: BTreeMap<(usize, String), u64>,
    streams: BTreeMap<u64, Stream>,
    opened: u64,
    told: usize,
    audited: usize,
    unlisted_until: Duration,
    out_until: Duration,
    trails: BTreeMap<String, Duration>,
    hanging: Vec<oneshot::Sender<Reply>>,
    silent: BTreeSet<String>,
    stalls: BTreeMap<(usize, String), Duration>,
    second: (u64, usize),
    quiet: bool,
}

enum Todo {
    Arrive(Box<Arriving>),
    Answer(oneshot::Sender<Reply>, Reply, Option<Name>),
    Land(Box<Arriving>),
    Line(u64),
    EndStream(u64),
    Bookmarks,
    LookAround,
    Start(Start),
    Wake(usize),
    Sweep(String),
}

struct Arriving {
    effect: Effect,
    name: Name,
    question: Question,
    reply: Option<oneshot::Sender<Reply>>,
    left: Duration,
}

impl Lab {
    /// An empty world.
    ///
    /// `quiet`: every way takes the same short time.
    #[must_use]
    pub fn new(seed: u64, elects: bool, quiet: bool) -> Self {
        let clock = Clock::default();
        let (elapsed, wall) = (clock.clone(), clock.clone());
        let clock_of_cloud =
            server_group_sim::Clock::new(move || elapsed.now(), move || wall.date());
        let options = Options {
            seed,
            ..Options::default()
        };
        let mut lab = Self {
            clock,
            cluster: Cluster::new(),
            cloud: Offline::new(options, clock_of_cloud),
            oracles: Oracles::default(),
            troubles: Troubles::default(),
            trace: Vec::new(),
            effects: 0,
            read: None,
            named: Vec::new(),
            spins: SPINS,
            digest: 0xcbf2_9ce4_8422_2325,
            dice: Dice::new(seed),
            elects,
            replicas: BTreeMap::new(),
            paused: BTreeMap::new(),
            started: 0,
            agenda: BTreeMap::new(),
            scheduled: 0,
            counts: BTreeMap::new(),
            streams: BTreeMap::new(),
            opened: 0,
            told: 0,
            audited: 0,
            unlisted_until: Duration::ZERO,
            out_until: Duration::ZERO,
            trails: BTreeMap::new(),
            hanging: Vec::new(),
            silent: BTreeSet::new(),
            stalls: BTreeMap::new(),
            second: (0, 0),
            quiet,
        };
        lab.schedule(BOOKMARK, Todo::Bookmarks);
        lab
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// A number that stands for everything that happened.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Has a replica started so much later.
    pub fn start_in(&mut self, delay: Duration) {
        self.started += 1;
        let start = Start {
            number: self.started,
            at: self.now() + delay,
            seed: self.dice.of("replica", self.started as u64).u64(..),
            elects: self.elects,
        };
        self.schedule(start.at, Todo::Start(start));
    }

    /// From now on things go wrong, as `troubles` have it.
    pub fn arm(&mut self, mut troubles: Troubles) {
        troubles.arm();
        for at in troubles.times() {
            self.schedule(at, Todo::LookAround);
        }
        self.troubles = troubles;
    }

    fn schedule(&mut self, at: Duration, todo: Todo) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), todo);
    }

    /// Notes something that happened; what is `told` is for a person too.
    fn note(&mut self, told: bool, text: impl FnOnce() -> String) {
        let now = self.now();
        let text = text();
        let mut hash = self.digest;
        for byte in text.bytes().chain(now.as_micros().to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest = hash;
        if told {
            self.trace
                .push(format!("{:10.3} s  {text}", now.as_secs_f64()));
        }
    }

    /// Tells a person something about the schedule itself.
    pub fn remark(&mut self, text: &str) {
        self.note(true, || text.to_owned());
    }

    /// Lets everything happen that happens until `then`, or until a rule is broken.
    pub fn run_until(&mut self, then: Duration) {
        while self.oracles.broken().is_none() {
            self.let_replicas_go_on(then);
            let Some(entry) = self.agenda.first_entry() else {
                self.clock.reach(then);
                return;
            };
            let at = entry.key().0;
            if at > then {
                self.clock.reach(then);
                return;
            }
            let todo = entry.remove();
            self.clock.reach(at);
            self.act(todo);
            self.look_around();
            if let Some(how) = crate::panics::take() {
                self.oracles.breaks(format!("panic: {how}"));
            }
        }
    }

    /// Each replica goes on until the next thing on the agenda, or until one asks something that comes before that.
    fn let_replicas_go_on(&mut self, then: Duration) {
        let numbers: Vec<_> = self.replicas.keys().copied().collect();
        for number in numbers {
            if self.paused.contains_key(&number) {
                continue;
            }
            self.replicas[&number].settle();
            self.collect(number);
            loop {
                let next = self
                    .agenda
                    .first_key_value()
                    .map_or(then, |((at, _), _)| *at);
                let Some(replica) = self.replicas.get(&number) else {
                    break;
                };
                if replica.now() >= next.min(then) {
                    break;
                }
                replica.run_until(next.min(then));
                replica.settle();
                self.collect(number);
            }
            self.bury(number);
        }
    }

    /// A replica that ended by itself is started again, as by a kubelet.
    fn bury(&mut self, number: usize) {
        if self.replicas.get(&number).is_some_and(Replica::has_ended)
            && let Some(replica) = self.replicas.remove(&number)
        {
            let why = replica.ended();
            self.oracles.replica_is_away(number);
            self.streams.retain(|_, stream| stream.replica != number);
            self.note(true, || format!("replica {number} ended: {why}"));
            self.start_in(Duration::from_secs(2));
        }
    }

    /// Takes in what a replica asked.
    fn collect(&mut self, number: usize) {
        let Some(replica) = self.replicas.get(&number) else {
            return;
        };
        for (left, ask) in replica.asks() {
            let Ask {
                question, reply, ..
            } = ask;
            let effect = Effect::of(&question);
            let count = self
                .counts
                .entry((number, effect.asks.clone()))
                .or_default();
            *count += 1;
            let name = Name {
                replica: number,
                asks: effect.asks.clone(),
                nth: *count,
            };
            let left = left.max(self.now());
            let way = self.way(&name, effect.sort, "there");
            self.effects += 1;
            let second = left.as_secs();
            match self.second.0 == second {
                true => self.second.1 += 1,
                false => self.second = (second, 1),
            }
            if self.second.1 > self.spins {
                let text = format!(
                    "nothing spins: more than {} requests in one second, the last: {name}",
                    self.spins
                );
                self.oracles.breaks(text);
            }
            self.oracles.asked(&effect, left);
            if effect.sort == Sort::CloudChange {
                self.oracles.sent(&name, &effect, left, &self.cloud);
            }
            let arriving = Arriving {
                effect,
                name,
                question,
                reply: Some(reply),
                left,
            };
            self.schedule(left + way, Todo::Arrive(Box::new(arriving)));
        }
    }

    fn way(&self, name: &Name, sort: Sort, leg: &str) -> Duration {
        let (usual, long) = match sort {
            Sort::CloudRead | Sort::CloudChange => (FAR, VERY_LONG),
            _ => (NEAR, LONG),
        };
        if self.quiet {
            return usual / 2;
        }
        let what = format!("{leg} {} {}", name.replica, name.asks);
        self.dice.leg(&what, name.nth, usual, long)
    }

    fn act(&mut self, todo: Todo) {
        match todo {
            Todo::Arrive(arriving) => self.arrive(*arriving),
            Todo::Answer(sender, reply, change) => {
                let heard = !matches!(reply, Reply::Broken);
                let refused =
                    matches!(&reply, Reply::Cloud(answer) if !answer.status().is_success());
                if sender.send(reply).is_ok()
                    && heard
                    && let Some(name) = change
                {
                    self.oracles.answered(&name, refused, self.clock.now());
                }
            }
            Todo::Land(arriving) => {
                let name = arriving.name.clone();
                self.note(true, || format!("late: {name}"));
                self.carry_out(&arriving, None);
            }
            Todo::Line(stream) => self.line(stream),
            Todo::EndStream(stream) => _ = self.streams.remove(&stream),
            Todo::Bookmarks => self.bookmarks(),
            Todo::LookAround => {}
            Todo::Start(start) => {
                self.note(true, || format!("replica {} starts", start.number));
                let start = Start {
                    at: self.now(),
                    ..start
                };
                self.oracles.replica_is_well(start.number, start.at);
                self.replicas.insert(start.number, Replica::start(&start));
            }
            Todo::Wake(number) => {
                self.paused.remove(&number);
                let now = self.now();
                self.oracles.replica_is_well(number, now);
                if let Some(replica) = self.replicas.get(&number) {
                    replica.wake_at(now);
                    self.note(true, || format!("replica {number} goes on"));
                }
            }
            Todo::Sweep(namespace) => {
                let now = self.clock.date();
                self.cluster.namespace_controller(now, &namespace);
                let there = self
                    .cluster
                    .object("namespaces", None, &namespace)
                    .is_some();
                if there {
                    self.schedule(self.now() + Duration::from_secs(1), Todo::Sweep(namespace));
                }
            }
        }
    }

    fn arrive(&mut self, mut arriving: Arriving) {
        let trouble = self.troubles.at(&arriving.name, arriving.effect.sort);
        if self.troubles.armed() {
            self.named
                .push((arriving.name.clone(), arriving.effect.sort));
        }
        let notable = matches!(arriving.effect.sort, Sort::CloudChange | Sort::Write);
        let told = notable || trouble.is_some();
        let text = match &trouble {
            None => arriving.name.to_string(),
            Some(what) => format!(
                "{}",
                Happening {
                    when: When::Effect(arriving.name.clone()),
                    what: what.clone()
                }
            ),
        };
        self.note(told, || text);
        if let Some(what) = &trouble {
            let now = self.clock.now();
            self.oracles.shaken(Some(&arriving.effect), what, now);
        }
        let number = arriving.name.replica;
        let lasts = match &trouble {
            None | Some(What::Deed(_)) => None,
            Some(What::LoseRequest { hangs: true } | What::LoseAnswer { hangs: true }) => {
                Some(Timing::production().kubernetes_deadline)
            }
            Some(_) => Some(Duration::ZERO),
        };
        if let Some(lasts) = lasts
            && self.replicas.contains_key(&number)
            && !self.paused.contains_key(&number)
        {
            let over = self.clock.now() + lasts;
            self.oracles.replica_is_well(number, over);
        }
        let silent = |group| self.silent.contains(group);
        match trouble {
            None if arriving.effect.groups.iter().any(silent) => {
                self.lose(arriving.reply.take(), true);
            }
            None => self.answer(arriving, None),
            Some(What::LoseRequest { hangs }) => self.lose(arriving.reply.take(), hangs),
            Some(What::LoseAnswer { hangs }) => {
                self.carry_out(&arriving, None);
                self.lose(arriving.reply.take(), hangs);
            }
            Some(What::Late(millis)) => {
                self.lose(arriving.reply.take(), false);
                let now = self.now();
                let due = now + Duration::from_millis(millis);
                self.oracles.lands_late(&arriving.effect, now, due);
                self.schedule(due, Todo::Land(Box::new(arriving)));
            }
            Some(What::CrashBefore(back)) => {
                self.crash(number, back);
            }
            Some(What::CrashAfter(back)) => {
                self.carry_out(&arriving, None);
                self.crash(number, back);
            }
            Some(What::Pause(millis)) => {
                self.pause(number, millis);
                self.answer(arriving, None);
            }
            Some(What::Unlisted(millis)) => {
                self.answer(arriving, None);
                self.unlisted_until = self.now() + Duration::from_millis(millis);
            }
            Some(What::Trail(millis)) => {
                let from = self.now();
                let until = from + Duration::from_millis(millis);
                for group in &arriving.effect.groups {
                    if self.oracles.was_shown(group) {
                        self.trails.insert(group.clone(), until);
                        self.oracles.trails(group, from, until);
                    }
                }
                self.answer(arriving, None);
            }
            Some(What::Outage(millis)) => {
                self.out_until = self.now() + Duration::from_millis(millis);
                self.answer(arriving, None);
            }
            Some(
                what @ (What::Refuse(_) | What::Throttle | What::Fail | What::Stale | What::Torn),
            ) => {
                self.answer(arriving, Some(&what));
            }
            Some(what) => {
                // Just before it arrives.
                self.happen(&what, Some(number));
                self.answer(arriving, None);
            }
        }
    }

    fn answer(&mut self, mut arriving: Arriving, trouble: Option<&What>) {
        let reply = self.carry_out(&arriving, trouble);
        let at = self.now() + self.way(&arriving.name, arriving.effect.sort, "back");
        if let Some(sender) = arriving.reply.take() {
            let change = arriving.effect.sort == Sort::CloudChange;
            let change = change.then(|| arriving.name.clone());
            self.schedule(at, Todo::Answer(sender, reply, change));
        }
    }

    /// What follows from what was done: lines for watches, and what the oracles see.
    fn look_around(&mut self) {
        for what in self.troubles.due(self.now()).unwrap_or_default() {
            self.happen(&what, None);
        }
        self.oracles.somebody_leads(self.clock.now());
        self.oracles.edits_are_heard(self.clock.now());
        self.oracles.note_unclaimed(self.clock.now(), &self.cloud);
        while self.told < self.cluster.history().len() {
            let change = &self.cluster.history()[self.told];
            self.told += 1;
            self.oracles.changed(change, self.clock.now(), &self.cloud);
        }
        let news: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| !stream.scheduled && self.cluster.pending(&stream.watch))
            .map(|(number, _)| *number)
            .collect();
        for number in news {
            let at = self.shown_at(number);
            self.schedule(at, Todo::Line(number));
        }
    }

    /// Shows the oracles what there is before anything happens.
    pub fn look_at_setup(&mut self) {
        self.look_around();
    }

    /// Adds to the trace how everything stands.
    pub fn tell_state(&mut self) {
        let kinds = ["servergroupmemberships", "scalinggroupattachments"];
        let objects: Vec<_> = kinds
            .iter()
            .flat_map(|kind| self.cluster.objects(kind))
            .map(|object| {
                format!(
                    "{} {}: spec {} status {}",
                    object["kind"], object["metadata"]["name"], object["spec"], object["status"]
                )
            })
            .collect();
        let groups: Vec<_> = self
            .cloud
            .look()
            .groups
            .iter()
            .map(|(id, group)| {
                let members: Vec<_> = group
                    .members
                    .iter()
                    .map(|(key, member)| {
                        format!(
                            "{}:{} {} {}",
                            key.0,
                            key.2,
                            member.status.name(),
                            member.weight
                        )
                    })
                    .collect();
                format!("{id}: {}", members.join(", "))
            })
            .collect();
        self.trace.extend(objects);
        self.trace.extend(groups);
    }

    /// Ends all troubles: what was stalled goes on, nothing is lost any more.
    pub fn calm(&mut self) {
        self.stalls.clear();
        self.unlisted_until = Duration::ZERO;
        self.out_until = Duration::ZERO;
        self.trails.clear();
        self.troubles.end();
        self.hanging.clear();
        self.silent.clear();
        self.look_around();
        let waiting: Vec<_> = self.streams.keys().copied().collect();
        for number in waiting {
            self.schedule(self.now() + LAG, Todo::Line(number));
        }
    }
}

/// A moment as a date, for objects that are made before a schedule begins.
#[must_use]
pub fn beginning() -> jiff::Timestamp {
    date(Duration::ZERO)
}
