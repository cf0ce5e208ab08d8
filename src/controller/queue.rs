//! Which object is looked at next: pure state, without a clock, a lock or a task.
//!
//! Objects that a person waits for go before the regular look for drift; within each, regions, accounts and namespaces
//! take turns, and a namespace is served first come, first served. One object of a group is at work at a time (S6). The
//! number at work is limited in all, and to a share of that for one account or region: one that does not answer keeps
//! nobody else waiting (L2), not even the other regions of its account. An object that waits, for whatever reason, has
//! no place.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use super::turns::GroupId;

/// How many may be at work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// How many in all.
    pub all: usize,
    /// How many of one account, and how many of one region.
    pub share: usize,
    /// How many of one account in one region: with less than a share, the account's other regions have some left.
    pub together: usize,
}

/// A quarter of all for an account or a region, and so many of both together that they fill a shared read of twenty.
pub const PLACES: Places = Places {
    all: 96,
    share: 24,
    together: 20,
};

/// How often in a row an object that somebody waits for goes first while the regular look waits too: drift has to be
/// found as well.
const ASKED_IN_A_ROW: u32 = 4;

/// A kind of object that has passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `ServerGroupMembership`
    Membership,
    /// `ScalingGroupAttachment`
    Attachment,
}

impl Kind {
    /// As manifests have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Membership => "ServerGroupMembership",
            Self::Attachment => "ScalingGroupAttachment",
        }
    }
}

/// The name of an object; in order by namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// The group, account and region that an object takes up while it is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takes {
    /// Its group, which it has for itself.
    pub group: GroupId,
    /// Its account.
    pub account: Arc<str>,
    /// Its region.
    pub region: Arc<str>,
}

/// How soon an object is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The regular look.
    Sweep,
    /// Somebody waits: an edit, a deletion, a request, or something that moves.
    Asked,
}

/// When an object that was at work comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// At this time.
    At(Duration, Level),
    /// As soon as it can have these groups besides its own.
    With(BTreeSet<GroupId>),
    /// When [`Queue::granted`] or [`Queue::wake`] says so.
    WhenTold,
    /// Never, unless it is made again.
    Never,
}

/// The objects that are queued, at work, and due.
#[derive(Debug)]
pub struct Queue {
    places: Places,
    entries: BTreeMap<Key, Entry>,
    lines: Levels<Line>,
    /// Objects that wait for a group that another object has.
    behind: BTreeMap<GroupId, Levels<VecDeque<Numbered>>>,
    due: BTreeMap<(Duration, u64), (Key, Level)>,
    busy: BTreeSet<GroupId>,
    working: usize,
    accounts: BTreeMap<Arc<str>, usize>,
    regions: BTreeMap<Arc<str>, usize>,
    together: BTreeMap<(Arc<str>, Arc<str>), usize>,
    /// Numbers entries of lines, to tell those that still count from those that do not, and orders objects that are due
    /// at once.
    counter: u64,
    asked_in_a_row: u32,
    /// The time as it was told last.
    now: Duration,
    /// Since when each object that waits for its turn does so, with its number.
    since: BTreeSet<(Duration, u64)>,
}

#[derive(Debug)]
struct Entry {
    takes: Takes,
    /// Groups that it needs besides its own, for once.
    also: BTreeSet<GroupId>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Until it is told, or due.
    Resting { due: Option<(Duration, u64)> },
    /// In a line, where only the entry with this number counts.
    Queued {
        level: Level,
        number: u64,
        since: Duration,
    },
    /// At work, or waiting in the middle of it.
    Running(Work),
}

/// The place and the groups that an object at work takes up, whatever becomes of the object meanwhile.
#[derive(Debug)]
struct Work {
    takes: Takes,
    groups: BTreeSet<GroupId>,
    again: Option<Level>,
    aside: bool,
}

/// An object whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The object.
    pub key: Key,
    /// How soon it was to be looked at.
    pub level: Level,
    /// The groups that it has besides its own.
    pub also: BTreeSet<GroupId>,
    /// How long it has waited.
    pub waited: Duration,
}

impl Queue {
    /// An empty queue in which so many may be at work at once.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self {
            places,
            entries: BTreeMap::new(),
            lines: Levels::default(),
            behind: BTreeMap::new(),
            due: BTreeMap::new(),
            busy: BTreeSet::new(),
            working: 0,
            accounts: BTreeMap::new(),
            regions: BTreeMap::new(),
            together: BTreeMap::new(),
            counter: 0,
            asked_in_a_row: 0,
            now: Duration::ZERO,
            since: BTreeSet::new(),
        }
    }

    /// It is `now`, for those who come to wait.
    pub fn is_at(&mut self, now: Duration) {
        self.now = now;
    }

    /// How many wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.since.len()
    }

    /// Since when the first of them waits.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        self.since.first().map(|(since, _)| *since)
    }

    /// Has an object looked at; one that is at work is looked at once more afterwards.
    pub fn wake(&mut self, key: &Key, takes: Takes, level: Level) {
        let Some(entry) = self.entries.get_mut(key) else {
            let entry = Entry {
                takes,
                also: BTreeSet::new(),
                state: State::Resting { due: None },
            };
            self.entries.insert(key.clone(), entry);
            self.enqueue(key, level, End::Back);
            return;
        };
        entry.takes = takes;
        match &mut entry.state {
            State::Running(work) => work.again = work.again.max(Some(level)),
            State::Queued { level: before, .. } if *before >= level => {}
            State::Queued { .. } | State::Resting { .. } => self.enqueue(key, level, End::Back),
        }
    }

    /// As [`Queue::wake`], after somebody changed what the object asks for: whatever it waited for, it is looked at
    /// anew.
    pub fn changed(&mut self, key: &Key, takes: Takes, level: Level) {
        self.wake(key, takes, level);
        if let Some(entry) = self.entries.get_mut(key)
            && let State::Queued { level, .. } = entry.state
            && !std::mem::take(&mut entry.also).is_empty()
        {
            self.enqueue(key, level, End::Back);
        }
    }

    /// The call that an object waits for may leave: it comes next.
    pub fn granted(&mut self, key: &Key) {
        let resting = |entry: &Entry| matches!(entry.state, State::Resting { .. });
        if self.entries.get(key).is_some_and(resting) {
            self.enqueue(key, Level::Asked, End::Front);
        }
    }

    /// Forgets an object that is gone. One that is at work stays until it is done.
    pub fn forget(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let State::Running(work) = &mut entry.state {
            work.again = None;
            return;
        }
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        match entry.state {
            State::Resting { due } => _ = due.and_then(|due| self.due.remove(&due)),
            State::Queued { number, since, .. } => _ = self.since.remove(&(since, number)),
            State::Running(_) => {}
        }
        self.nudge(&entry.groups());
    }

    /// When the next object is due; that may be past.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Queues the objects that are due by `now`.
    pub fn fire(&mut self, now: Duration) {
        self.is_at(now);
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= now
        {
            let (key, level) = first.remove();
            self.enqueue(&key, level, End::Back);
        }
    }

    /// The next object to look at; from now on it is at work.
    pub fn begin_next(&mut self) -> Option<Turn> {
        while self.working < self.places.all {
            let (number, key, level) = self.pop()?;
            let counts = |entry: &&Entry| matches!(entry.state, State::Queued { number: now, .. } if now == number);
            let Some(entry) = self.entries.get(&key).filter(counts) else {
                continue;
            };
            let (groups, also) = (entry.groups(), entry.also.clone());
            if let Some(busy) = groups.iter().find(|group| self.busy.contains(group)) {
                let behind = self.behind.entry(busy.clone()).or_default();
                behind.at(level).push_back((number, key));
                // It will not take the groups that it was let through for.
                self.nudge(&groups);
                continue;
            }
            let waited = self.begin(&key, groups);
            self.asked_in_a_row = match level {
                Level::Asked => self.asked_in_a_row + 1,
                Level::Sweep => 0,
            };
            return Some(Turn {
                key,
                level,
                also,
                waited,
            });
        }
        None
    }

    /// Ends the work of an object, which comes back as `back` says.
    pub fn done(&mut self, key: &Key, back: Back) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let State::Running(work) =
            std::mem::replace(&mut entry.state, State::Resting { due: None })
        else {
            return;
        };
        entry.also.clear();
        match (back, work.again) {
            (Back::With(also), _) => {
                entry.also = also;
                self.enqueue(key, Level::Asked, End::Front);
            }
            (_, Some(level)) => self.enqueue(key, level, End::Back),
            (Back::At(at, level), None) => {
                self.counter += 1;
                let due = (at, self.counter);
                entry.state = State::Resting { due: Some(due) };
                self.due.insert(due, (key.clone(), level));
            }
            (Back::WhenTold, None) => {}
            (Back::Never, None) => _ = self.entries.remove(key),
        }
        if !work.aside {
            self.free_place(&work.takes);
        }
        for group in &work.groups {
            self.busy.remove(group);
        }
        self.nudge(&work.groups);
    }

    /// Takes the place from an object that waits in the middle of its work; it keeps its groups.
    pub fn step_aside(&mut self, key: &Key) {
        if let Some(work) = self.work(key)
            && !std::mem::replace(&mut work.aside, true)
        {
            let takes = work.takes.clone();
            self.free_place(&takes);
        }
    }

    /// An object goes on with its work. It does not wait for a place, so for a moment there may be more at work.
    pub fn step_back(&mut self, key: &Key) {
        if let Some(work) = self.work(key)
            && std::mem::replace(&mut work.aside, false)
        {
            let takes = work.takes.clone();
            self.take_place(&takes);
        }
    }

    fn work(&mut self, key: &Key) -> Option<&mut Work> {
        match &mut self.entries.get_mut(key)?.state {
            State::Running(work) => Some(work),
            State::Resting { .. } | State::Queued { .. } => None,
        }
    }

    /// Whether this object waits for [`Queue::granted`] or [`Queue::wake`], or for its time.
    #[must_use]
    pub fn rests(&self, key: &Key) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| matches!(entry.state, State::Resting { .. }))
    }

    /// Puts an object to work; says how long it has waited.
    fn begin(&mut self, key: &Key, groups: BTreeSet<GroupId>) -> Duration {
        self.busy.extend(groups.iter().cloned());
        let entry = self.entries.get_mut(key).expect("it was queued");
        let takes = entry.takes.clone();
        self.take_place(&takes);
        let entry = self.entries.get_mut(key).expect("it was queued");
        let work = State::Running(Work {
            takes,
            groups,
            again: None,
            aside: false,
        });
        match std::mem::replace(&mut entry.state, work) {
            State::Queued { number, since, .. } => {
                self.since.remove(&(since, number));
                self.now.saturating_sub(since)
            }
            State::Resting { .. } | State::Running(_) => Duration::ZERO,
        }
    }

    fn take_place(&mut self, takes: &Takes) {
        let Takes {
            account, region, ..
        } = takes;
        self.working += 1;
        *self.accounts.entry(account.clone()).or_default() += 1;
        *self.regions.entry(region.clone()).or_default() += 1;
        let both = (account.clone(), region.clone());
        *self.together.entry(both).or_default() += 1;
    }

    fn free_place(&mut self, takes: &Takes) {
        let Takes {
            account, region, ..
        } = takes;
        self.working -= 1;
        one_less(&mut self.accounts, account);
        one_less(&mut self.regions, region);
        let both = (account.clone(), region.clone());
        one_less(&mut self.together, &both);
    }

    /// The first in line whose account and region have a place left.
    fn pop(&mut self) -> Option<(u64, Key, Level)> {
        let Places {
            share, together, ..
        } = self.places;
        let taken = |count: Option<&usize>| count.copied().unwrap_or(0);
        let (accounts, regions, pairs) = (&self.accounts, &self.regions, &self.together);
        let left = |region: &Arc<str>, account: &Arc<str>| {
            taken(regions.get(region)) < share
                && taken(accounts.get(account)) < share
                && taken(pairs.get(&(account.clone(), region.clone()))) < together
        };
        let both = [Level::Asked, Level::Sweep];
        let order = match self.asked_in_a_row < ASKED_IN_A_ROW {
            true => both,
            false => [both[1], both[0]],
        };
        order.into_iter().find_map(|level| {
            let (number, key) = self.lines.at(level).pop(&left)?;
            Some((number, key, level))
        })
    }

    fn enqueue(&mut self, key: &Key, level: Level, end: End) {
        self.counter += 1;
        let number = self.counter;
        let entry = self
            .entries
            .get_mut(key)
            .expect("only what is known is queued");
        let since = match entry.state {
            State::Queued { number, since, .. } => {
                self.since.remove(&(since, number));
                since
            }
            State::Resting { due } => {
                _ = due.and_then(|due| self.due.remove(&due));
                self.now
            }
            State::Running(_) => self.now,
        };
        self.since.insert((since, number));
        entry.state = State::Queued {
            level,
            number,
            since,
        };
        let line = self.lines.at(level);
        line.push(&entry.takes, (number, key.clone()), end);
    }

    /// For each of these groups that is free, lets the first object that waits for it try.
    fn nudge(&mut self, groups: &BTreeSet<GroupId>) {
        for group in groups {
            if self.busy.contains(group) {
                continue;
            }
            let Some(behind) = self.behind.get_mut(group) else {
                continue;
            };
            while let Some((number, key)) = behind.pop() {
                let Some(entry) = self.entries.get(&key) else {
                    continue;
                };
                let State::Queued {
                    level, number: now, ..
                } = entry.state
                else {
                    continue;
                };
                if now != number {
                    continue;
                }
                let line = self.lines.at(level);
                line.push(&entry.takes, (number, key), End::Front);
                break;
            }
            if behind.is_empty() {
                self.behind.remove(group);
            }
        }
    }
}

impl Entry {
    fn groups(&self) -> BTreeSet<GroupId> {
        let own = std::iter::once(&self.takes.group);
        own.chain(&self.also).cloned().collect()
    }
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

/// An object in a line, with the number under which it counts.
type Numbered = (u64, Key);

#[derive(Clone, Copy, Debug)]
enum End {
    Front,
    Back,
}

/// One of something for each level.
#[derive(Debug, Default)]
struct Levels<T> {
    asked: T,
    sweep: T,
}

impl<T> Levels<T> {
    fn at(&mut self, level: Level) -> &mut T {
        match level {
            Level::Asked => &mut self.asked,
            Level::Sweep => &mut self.sweep,
        }
    }
}

impl Levels<VecDeque<Numbered>> {
    fn pop(&mut self) -> Option<Numbered> {
        self.asked.pop_front().or_else(|| self.sweep.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.sweep.is_empty()
    }
}

/// Regions take turns, in each its accounts, and in each of these its namespaces.
#[derive(Debug, Default)]
struct Line(Ring<Ring<Ring<VecDeque<Numbered>>>>);

impl Line {
    fn push(&mut self, takes: &Takes, item: Numbered, end: End) {
        let accounts = self.0.member(&takes.region);
        let namespaces = accounts.member(&takes.account);
        let queue = namespaces.member(&item.1.name.namespace);
        match end {
            End::Front => queue.push_front(item),
            End::Back => queue.push_back(item),
        }
    }

    /// The first whose region and account have a place `left`.
    fn pop(&mut self, left: &impl Fn(&Arc<str>, &Arc<str>) -> bool) -> Option<Numbered> {
        let usable = |region: &Arc<str>, accounts: &Ring<_>| {
            let mut names = accounts.members.keys();
            names.any(|account| left(region, account))
        };
        self.0
            .turn(usable, |region, accounts: &mut Ring<Ring<_>>| {
                let usable = |account: &Arc<str>, _: &_| left(region, account);
                let taken = accounts.turn(usable, |_, namespaces| {
                    let taken = namespaces.turn(
                        |_, _| true,
                        |_, queue: &mut VecDeque<_>| (queue.pop_front(), queue.is_empty()),
                    );
                    (taken.flatten(), namespaces.members.is_empty())
                });
                (taken.flatten(), accounts.members.is_empty())
            })?
    }
}

/// Members that take turns, in the order of their names.
#[derive(Debug)]
struct Ring<T> {
    members: BTreeMap<Arc<str>, T>,
    last: Option<Arc<str>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            members: BTreeMap::new(),
            last: None,
        }
    }
}

impl<T: Default> Ring<T> {
    fn member(&mut self, name: &Arc<str>) -> &mut T {
        self.members.entry(name.clone()).or_default()
    }

    /// Gives the turn to the next usable member, which leaves if `take` says that nothing is left of it.
    fn turn<R>(
        &mut self,
        usable: impl Fn(&Arc<str>, &T) -> bool,
        take: impl FnOnce(&Arc<str>, &mut T) -> (R, bool),
    ) -> Option<R> {
        let after = match &self.last {
            Some(last) => (Bound::Excluded(last.clone()), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let find = |(name, member): &(&Arc<str>, &T)| usable(name, member);
        let next = self.members.range::<Arc<str>, _>(after).find(find);
        let (name, _) = next.or_else(|| self.members.iter().find(find))?;
        let name = name.clone();
        let member = self.members.get_mut(&name).expect("found above");
        let (taken, empty) = take(&name, member);
        if empty {
            self.members.remove(&name);
        }
        self.last = Some(name);
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
