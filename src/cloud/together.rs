//! Reads that objects share: rows asked for by id travel in one call.
//!
//! A call waits a short window for company. An object that asks while a call is on its way joins the next one, which
//! leaves a window after the first was answered: however fast objects ask, one call follows the other. Ids may join
//! until the call has its turn at the bucket. Urgent reads have calls of their own, which do not wait behind those of
//! the regular looks.
//!
//! Room that is left in a call is given to ids that will be asked for next, so that objects which look once in an
//! interval keep each other company. An answer is handed out again only to an object that accepts one that old; a row
//! that was not there is asked for anew by everybody. An id that spoils a call for the others is asked for by itself.
//!
//! ```text
//!  ask ──▶ joins ──▶ nobody on the way for a window, or full ──▶ turn ──▶ leaves ──▶ answered
//!            ▲            (at the latest after a hundred)          │
//!            └──────────────── ids may still join ─────────────────┘
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    call::Service,
    endpoint::Network,
    error::{Error, Kind, Outcome},
    line::Urgency,
};

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The earliest moment at which the answer may have been asked for.
    pub since: Instant,
    /// How long the next answer may be kept for whoever asked now.
    pub keep: Duration,
}

impl Freshness {
    /// Nothing that was asked for before now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            since: Instant::now(),
            keep: Duration::ZERO,
        }
    }
}

/// The keys and the place that something is asked with: answers are shared within a scope, never across.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) access_key_id: String,
    pub(super) region: String,
    pub(super) network: Network,
    pub(super) service: Service,
    /// The call that is shared.
    pub(super) action: &'static str,
}

/// Rows by id, and the moment from which they were asked for.
pub(super) type Fetched<R> = Result<(Instant, BTreeMap<String, R>), Error>;

/// Waits until a call may leave.
pub(super) type Fetch<R> = Arc<dyn Fn() -> BoxFuture<'static, Exchange<R>> + Send + Sync>;

/// Sends one call for up to [`IDS_PER_CALL`] ids. Dropped, it gives its turn back.
pub(super) type Exchange<R> = Box<dyn FnOnce(Vec<String>) -> BoxFuture<'static, Fetched<R>> + Send>;

/// Ids that one call may name.
///
/// Source: `ListServerGroups` 20, `DescribeScalingGroups` 20; for `ListAsynJobs` as the cloud's own controller manager has it.
pub(super) const IDS_PER_CALL: usize = 20;

/// A row that nobody asks for is forgotten after so many times the time it is kept: an object looks every nine or ten.
const FORGOTTEN_AFTER: u32 = 12;

/// How many windows a call waits for another one to be answered: two seconds. A call that hangs takes up to a read's deadline
/// several times, and is no reason for everybody else to wait that long.
const WINDOWS_AT_MOST: u32 = 100;

/// One kind of row.
pub(super) struct Together<R>(Arc<Inner<R>>);

struct Inner<R> {
    window: Duration,
    scopes: Mutex<HashMap<Scope, Scoped<R>>>,
}

struct Scoped<R> {
    known: BTreeMap<String, Known<R>>,
    /// Calls that are not answered, in the order in which they were opened.
    calls: BTreeMap<u64, Call<R>>,
    opened: u64,
}

impl<R> Default for Scoped<R> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            calls: BTreeMap::new(),
            opened: 0,
        }
    }
}

struct Known<R> {
    row: R,
    begun: Instant,
    asked: Instant,
    keep: Duration,
}

/// A call that is not answered.
struct Call<R> {
    urgent: bool,
    ids: BTreeMap<String, Waiting<R>>,
    /// When it leaves if no other is on its way.
    alone: Instant,
    /// When it leaves whatever else is on its way.
    latest: Instant,
    /// Notified when it may be due: it is full, or another one was answered.
    changed: Arc<Notify>,
    /// When nobody could join any more.
    left: Option<Instant>,
}

impl<R> Call<R> {
    fn is_full(&self) -> bool {
        self.ids.len() >= IDS_PER_CALL
    }
}

/// The number of a call that has just been opened, and what wakes it.
type Opened = (u64, Arc<Notify>);

/// The askers that wait for a row.
struct Waiting<R> {
    /// How long the answer may be kept; absent if the row was named unasked.
    keep: Option<Duration>,
    who: Vec<oneshot::Sender<Answer<R>>>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self {
            keep: None,
            who: Vec::new(),
        }
    }
}

impl<R> Waiting<R> {
    fn add(&mut self, keep: Duration) -> oneshot::Receiver<Answer<R>> {
        let (answered, answer) = oneshot::channel();
        self.keep = Some(keep);
        self.who.push(answered);
        answer
    }

    fn take_in(&mut self, other: Self) {
        self.keep = other.keep.or(self.keep);
        self.who.extend(other.who);
    }
}

/// A row and the moment from which it was asked for, if there is one.
type Answer<R> = Result<Option<(Instant, R)>, Failed>;

#[derive(Clone)]
struct Failed {
    error: Error,
    ids: usize,
}

impl Failed {
    /// Whether another id of the call may be at fault: not when the call as such did not get through.
    fn may_be_anothers(&self) -> bool {
        let of_the_call = matches!(
            self.error.kind,
            Kind::Throttled | Kind::Transient | Kind::Credentials | Kind::ClockSkew
        );
        self.ids > 1 && !of_the_call
    }
}

impl<R: Clone + Send + Sync + 'static> Together<R> {
    /// Rows whose calls wait for others for `window` before they leave.
    pub(super) fn new(window: Duration) -> Self {
        Self(Arc::new(Inner {
            window,
            scopes: Mutex::default(),
        }))
    }

    /// One row, and the moment from which it was asked for; `None` if there is none with this id.
    ///
    /// # Errors
    ///
    /// The error that the call ends with.
    pub(super) async fn ask(
        &self,
        scope: Scope,
        urgency: Urgency,
        id: &str,
        freshness: Freshness,
        fetch: Fetch<R>,
    ) -> Result<Option<(Instant, R)>, Error> {
        let (answer, opened) = {
            let mut scopes = self.0.scopes.lock();
            let scoped = scopes.entry(scope.clone()).or_default();
            if let Some(known) = scoped.known.get_mut(id) {
                known.asked = Instant::now();
                known.keep = freshness.keep;
                if known.begun >= freshness.since {
                    return Ok(Some((known.begun, known.row.clone())));
                }
            }
            let urgent = urgency > Urgency::Sweep;
            match scoped.named(urgent, id, freshness.since) {
                Some(waiting) => (waiting.add(freshness.keep), None),
                None => scoped.join(urgent, id, freshness.keep, self.0.window),
            }
        };
        if let Some((number, changed)) = opened {
            let call = OnItsWay {
                inner: Arc::clone(&self.0),
                scope: scope.clone(),
                number,
            };
            // Not while anything is locked: a task that cannot be spawned is dropped at once, and its drop locks.
            tokio::spawn(call.run(changed, Arc::clone(&fetch)));
        }
        match answer.await.unwrap_or_else(|_| Err(ended(&scope))) {
            Ok(row) => Ok(row),
            Err(failed) if failed.may_be_anothers() => {
                let alone = fetch().await(vec![id.to_owned()]).await;
                if alone.is_err() {
                    // It is no company for others until it can be read again.
                    self.0.forget(&scope, |known| known == id);
                }
                let (begun, mut rows) = alone?;
                Ok(rows.remove(id).map(|row| (begun, row)))
            }
            Err(failed) => Err(failed.error),
        }
    }
}

/// Only a mistake in here, or the end of everything, ends a call without an answer.
fn ended(scope: &Scope) -> Failed {
    let error = Error {
        action: scope.action,
        code: String::new(),
        message: "the call ended before it was answered".into(),
        request_id: None,
        http_status: None,
        kind: Kind::Transient,
        outcome: Outcome::Unknown,
        retry_after: None,
    };
    Failed { error, ids: 1 }
}

impl<R> Scoped<R> {
    /// The askers that wait for this id in a call that is as urgent, or in one that has left no earlier than `since`.
    fn named(&mut self, urgent: bool, id: &str, since: Instant) -> Option<&mut Waiting<R>> {
        let mut calls = self.calls.values_mut();
        calls.find_map(|call| {
            let fits = match call.left {
                Some(at) => at >= since,
                None => call.urgent >= urgent,
            };
            call.ids.get_mut(id).filter(|_| fits)
        })
    }

    /// Joins the first call that has room and has not left, or opens one. Returns the number of an opened call, too,
    /// and the notification that wakes it.
    fn join(
        &mut self,
        urgent: bool,
        id: &str,
        keep: Duration,
        window: Duration,
    ) -> (oneshot::Receiver<Answer<R>>, Option<Opened>) {
        let mut calls = self.calls.iter();
        let open = calls
            .find(|(_, call)| call.urgent == urgent && call.left.is_none() && !call.is_full())
            .map(|(number, _)| *number);
        let number = open.unwrap_or(self.opened + 1);
        self.opened = self.opened.max(number);
        let call = self.calls.entry(number).or_insert_with(|| {
            let now = Instant::now();
            Call {
                urgent,
                ids: BTreeMap::new(),
                alone: now + window,
                latest: now + window * WINDOWS_AT_MOST,
                changed: Arc::default(),
                left: None,
            }
        });
        let answer = call.ids.entry(id.to_owned()).or_default().add(keep);
        if call.is_full() {
            call.changed.notify_one();
        }
        let opened = match open {
            Some(_) => None,
            None => Some((number, Arc::clone(&call.changed))),
        };
        (answer, opened)
    }

    /// When a call is due; `None` if it is full.
    fn due(&self, number: u64) -> Option<Instant> {
        let call = self.calls.get(&number)?;
        if call.is_full() {
            return None;
        }
        let before = self.calls.range(..number);
        let mut ahead = before.filter(|(_, other)| other.urgent == call.urgent);
        Some(match ahead.next() {
            Some(_) => call.latest,
            None => call.alone.min(call.latest),
        })
    }

    /// Takes ids out of calls that have not left, for a more urgent one that has room: all that are `named` in it
    /// anyway, and others as far as they fit.
    fn fetch_up(&mut self, named: &mut BTreeMap<String, Waiting<R>>) {
        let waiting = self.calls.values_mut();
        for call in waiting.filter(|call| !call.urgent && call.left.is_none()) {
            let mut room = IDS_PER_CALL.saturating_sub(named.len());
            let comes_along = |id: &String, _: &mut Waiting<R>| {
                let fits = named.contains_key(id) || room > 0;
                room -= usize::from(fits && !named.contains_key(id));
                fits
            };
            let come: Vec<_> = call.ids.extract_if(.., comes_along).collect();
            for (id, waiting) in come {
                named.entry(id).or_default().take_in(waiting);
            }
        }
    }

    /// Names the ids that will be asked for next, as far as there is room.
    fn add_company(&mut self, named: &mut BTreeMap<String, Waiting<R>>) {
        let now = Instant::now();
        self.known
            .retain(|_, known| now < known.asked + known.keep * FORGOTTEN_AFTER);
        let in_a_call = |id| self.calls.values().any(|call| call.ids.contains_key(id));
        let mut next: Vec<_> = self
            .known
            .iter()
            .filter(|(id, _)| !named.contains_key(*id) && !in_a_call(*id))
            // An object that looks once in an interval is due the sooner, the older its last answer is.
            .map(|(id, known)| (known.begun, id))
            .collect();
        next.sort_unstable();
        let room = IDS_PER_CALL.saturating_sub(named.len());
        for (_, id) in next.into_iter().take(room) {
            named.insert(id.clone(), Waiting::default());
        }
    }
}

impl<R> Inner<R> {
    fn forget(&self, scope: &Scope, which: impl Fn(&str) -> bool) {
        let mut scopes = self.scopes.lock();
        if let Some(scoped) = scopes.get_mut(scope) {
            scoped.known.retain(|id, _| !which(id));
        }
    }
}

/// A call from when it is opened until it is answered.
///
/// It runs by itself: if the askers that wait for it leave, it still does not hold a turn at a bucket for ever.
struct OnItsWay<R> {
    inner: Arc<Inner<R>>,
    scope: Scope,
    number: u64,
}

impl<R: Clone + Send + Sync + 'static> OnItsWay<R> {
    async fn run(self, changed: Arc<Notify>, fetch: Fetch<R>) {
        while let Some(due) = self.due() {
            tokio::select! {
                biased;
                () = changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
        let exchange = fetch().await;
        let ids = self.leave();
        if ids.is_empty() {
            // A more urgent call took all ids along.
            return;
        }
        let count = ids.len();
        let fetched = exchange(ids).await;
        match fetched {
            Ok((begun, rows)) => self.answered(begun, &rows),
            Err(error) => self.failed(&Failed { error, ids: count }),
        }
    }

    /// Until when it waits, if it does.
    fn due(&self) -> Option<Instant> {
        let scopes = self.inner.scopes.lock();
        let due = scopes.get(&self.scope)?.due(self.number);
        due.filter(|due| Instant::now() < *due)
    }

    /// Lets nobody join any more; returns the ids that it names.
    fn leave(&self) -> Vec<String> {
        let mut scopes = self.inner.scopes.lock();
        let scoped = scopes.entry(self.scope.clone()).or_default();
        let call = scoped.calls.get_mut(&self.number);
        let call = call.expect("a call is there until it is answered");
        call.left = Some(Instant::now());
        let (urgent, mut named) = (call.urgent, std::mem::take(&mut call.ids));
        if urgent {
            scoped.fetch_up(&mut named);
        }
        if !named.is_empty() {
            scoped.add_company(&mut named);
        }
        let ids = named.keys().cloned().collect();
        if let Some(call) = scoped.calls.get_mut(&self.number) {
            call.ids = named;
        }
        ids
    }

    /// Hands the rows to the askers that wait for them, and keeps those that may be kept.
    fn answered(&self, begun: Instant, rows: &BTreeMap<String, R>) {
        let mut scopes = self.inner.scopes.lock();
        let scoped = scopes.entry(self.scope.clone()).or_default();
        let named = scoped.is_back(self.number, self.inner.window);
        for (id, waiting) in named {
            let row = rows.get(&id);
            for who in waiting.who {
                // An asker that gave up need not hear of it.
                who.send(Ok(row.map(|row| (begun, row.clone())))).ok();
            }
            scoped.learn(id, waiting.keep, begun, row);
        }
    }

    fn failed(&self, failed: &Failed) {
        let mut scopes = self.inner.scopes.lock();
        let scoped = scopes.entry(self.scope.clone()).or_default();
        let named = scoped.is_back(self.number, self.inner.window);
        for (id, waiting) in named {
            if waiting.keep.is_none() && failed.may_be_anothers() {
                // An id that came along unasked may be the one at fault.
                scoped.known.remove(&id);
            }
            for who in waiting.who {
                who.send(Err(failed.clone())).ok();
            }
        }
    }
}

impl<R> Drop for OnItsWay<R> {
    fn drop(&mut self) {
        let mut scopes = self.inner.scopes.lock();
        if let Some(scoped) = scopes.get_mut(&self.scope) {
            scoped.is_back(self.number, self.inner.window);
        }
    }
}

impl<R> Scoped<R> {
    /// Ends a call, if that is not done yet; the next one leaves after a window. Returns the ids that it named, each
    /// with its askers.
    fn is_back(&mut self, number: u64, window: Duration) -> BTreeMap<String, Waiting<R>> {
        let Some(ended) = self.calls.remove(&number) else {
            return BTreeMap::new();
        };
        let alone = Instant::now() + window;
        let alike = self.calls.values_mut();
        for call in alike.filter(|call| call.urgent == ended.urgent && call.left.is_none()) {
            call.alone = alone;
            call.changed.notify_one();
        }
        ended.ids
    }
}

impl<R: Clone> Scoped<R> {
    /// Keeps a row, if it is known already or the asker wants it kept; forgets one that is gone.
    fn learn(&mut self, id: String, keep: Option<Duration>, begun: Instant, row: Option<&R>) {
        match (row, self.known.get_mut(&id)) {
            (Some(row), Some(known)) if known.begun <= begun => {
                (known.row, known.begun) = (row.clone(), begun);
            }
            (Some(row), None) => {
                if let Some(keep) = keep.filter(|keep| !keep.is_zero()) {
                    let known = Known {
                        row: row.clone(),
                        begun,
                        asked: Instant::now(),
                        keep,
                    };
                    self.known.insert(id, known);
                }
            }
            // A row that is gone is nobody's company.
            (None, Some(_)) if keep.is_some() => _ = self.known.remove(&id),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
