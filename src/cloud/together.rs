//! Reads that objects share: rows asked for by id within a short window travel in one call.
//!
//! Room that is left in a call is given to ids that will be asked for next, so that objects which look once in an
//! interval keep each other company. An answer is handed out again only to who accepts one that old; a row that was
//! not there is asked for anew by everybody. One id that spoils a call for the others is asked for by itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    call::Service,
    endpoint::Network,
    error::{Error, Kind},
};

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// It was asked for no earlier than this.
    pub since: Instant,
    /// For how long the next one may be kept for whoever asked now.
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

/// As whom and where something is asked: answers are shared within, never across.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) access_key_id: String,
    pub(super) region: String,
    pub(super) network: Network,
    pub(super) service: Service,
}

/// Rows by id, and the moment from which they were asked for.
pub(super) type Fetched<R> = Result<(Instant, BTreeMap<String, R>), Error>;

/// Sends one call for up to [`IDS_PER_CALL`] ids.
pub(super) type Fetch<R> = Arc<dyn Fn(Vec<String>) -> BoxFuture<'static, Fetched<R>> + Send + Sync>;

/// Ids that one call may name.
///
/// Source: `ListServerGroups` 20, `DescribeScalingGroups` 20; for `ListAsynJobs` as the cloud's own controller manager has it.
pub(super) const IDS_PER_CALL: usize = 20;

/// After how many times what it is kept for a row is forgotten that nobody asks for: an object looks every nine or ten.
const FORGOTTEN_AFTER: u32 = 12;

/// One kind of row.
pub(super) struct Together<R>(Arc<Inner<R>>);

struct Inner<R> {
    window: Duration,
    scopes: Mutex<HashMap<Scope, Scoped<R>>>,
}

struct Scoped<R> {
    known: BTreeMap<String, Known<R>>,
    open: Option<Open<R>>,
    opened: u64,
    under_way: Vec<UnderWay<R>>,
}

impl<R> Default for Scoped<R> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            open: None,
            opened: 0,
            under_way: Vec::new(),
        }
    }
}

struct Known<R> {
    row: R,
    begun: Instant,
    asked: Instant,
    keep: Duration,
}

/// A call that has not left yet.
struct Open<R> {
    number: u64,
    ids: Arc<Mutex<Ids>>,
    full: Arc<Notify>,
    answer: Shared<BoxFuture<'static, Answer<R>>>,
}

/// A call that has left, or is full and about to.
struct UnderWay<R> {
    number: u64,
    /// When nobody could join any more, and whom it names since.
    left: Option<(Instant, BTreeSet<String>)>,
    answer: Shared<BoxFuture<'static, Answer<R>>>,
}

/// Ids, and for how long the answer about each may be kept.
type Ids = BTreeMap<String, Duration>;

type Answer<R> = Result<Arc<(Instant, BTreeMap<String, R>)>, Failed>;

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
    /// Waits for others for `window` before a call leaves.
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
    /// What `fetch` ends with.
    pub(super) async fn ask(
        &self,
        scope: Scope,
        id: &str,
        freshness: Freshness,
        fetch: Fetch<R>,
    ) -> Result<Option<(Instant, R)>, Error> {
        let answer = {
            let mut scopes = self.0.scopes.lock();
            let scoped = scopes.entry(scope.clone()).or_default();
            if let Some(known) = scoped.known.get_mut(id) {
                known.asked = Instant::now();
                known.keep = freshness.keep;
                if known.begun >= freshness.since {
                    return Ok(Some((known.begun, known.row.clone())));
                }
            }
            let named = |call: &&UnderWay<R>| {
                let left = call.left.as_ref();
                left.is_some_and(|(at, ids)| *at >= freshness.since && ids.contains(id))
            };
            // Somebody has just asked for it along with others.
            let answer = scoped.under_way.iter().find(named);
            let answer = answer.map(|call| call.answer.clone());
            answer.unwrap_or_else(|| scoped.join(&self.0, &scope, id, freshness.keep, &fetch))
        };
        match answer.await {
            Ok(answered) => {
                let row = answered.1.get(id);
                Ok(row.map(|row| (answered.0, row.clone())))
            }
            Err(failed) if failed.may_be_anothers() => {
                let alone = fetch(vec![id.to_owned()]).await;
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

impl<R: Clone + Send + Sync + 'static> Scoped<R> {
    /// Joins the call that has not left yet, or opens one.
    fn join(
        &mut self,
        inner: &Arc<Inner<R>>,
        scope: &Scope,
        id: &str,
        keep: Duration,
        fetch: &Fetch<R>,
    ) -> Shared<BoxFuture<'static, Answer<R>>> {
        let open = self.open.get_or_insert_with(|| {
            self.opened += 1;
            inner.open(self.opened, scope.clone(), Arc::clone(fetch))
        });
        let answer = open.answer.clone();
        let asked = {
            let mut ids = open.ids.lock();
            ids.insert(id.to_owned(), keep);
            ids.len()
        };
        if asked >= IDS_PER_CALL {
            open.full.notify_one();
            self.nobody_joins();
        }
        answer
    }

    /// Closes the open call.
    fn nobody_joins(&mut self) {
        self.under_way.extend(self.open.take().map(|open| UnderWay {
            number: open.number,
            left: None,
            answer: open.answer,
        }));
    }
}

impl<R: Clone + Send + Sync + 'static> Inner<R> {
    /// A call that leaves when it is full, or when nobody joined it for a while.
    ///
    /// It runs by itself: whoever waits for it may leave, and it holds no turn at a bucket of calls for ever then.
    fn open(self: &Arc<Self>, number: u64, scope: Scope, fetch: Fetch<R>) -> Open<R> {
        let (ids, full) = (Arc::<Mutex<Ids>>::default(), Arc::new(Notify::new()));
        let (inner, joined, filled) = (Arc::clone(self), Arc::clone(&ids), Arc::clone(&full));
        let call = tokio::spawn(async move {
            tokio::select! {
                () = sleep(inner.window) => {}
                () = filled.notified() => {}
            }
            let (asked, named) = inner.close(&scope, number, &joined);
            let ids = named.len();
            let fetched = fetch(named.iter().cloned().collect()).await;
            inner.is_back(&scope, number);
            match fetched {
                Ok((begun, rows)) => {
                    inner.learn(&scope, &asked, begun, &rows);
                    Ok(Arc::new((begun, rows)))
                }
                Err(error) => {
                    let failed = Failed { error, ids };
                    if failed.may_be_anothers() {
                        // Whoever came along unasked may be the one.
                        let unasked = |id: &str| named.contains(id) && !asked.contains_key(id);
                        inner.forget(&scope, unasked);
                    }
                    Err(failed)
                }
            }
        });
        let answer = async {
            match call.await {
                Ok(answer) => answer,
                Err(ended) => match ended.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Everything ends.
                    Err(_) => std::future::pending().await,
                },
            }
        };
        Open {
            number,
            ids,
            full,
            answer: answer.boxed().shared(),
        }
    }

    /// Lets nobody join any more; returns who did, and whom the call names.
    fn close(&self, scope: &Scope, number: u64, joined: &Mutex<Ids>) -> (Ids, BTreeSet<String>) {
        let mut scopes = self.scopes.lock();
        let scoped = scopes.entry(scope.clone()).or_default();
        if scoped
            .open
            .as_ref()
            .is_some_and(|open| open.number == number)
        {
            scoped.nobody_joins();
        }
        let asked = std::mem::take(&mut *joined.lock());
        let named = in_company(scoped, &asked);
        let this = scoped.under_way.iter_mut();
        for call in this.filter(|call| call.number == number) {
            call.left = Some((Instant::now(), named.clone()));
        }
        (asked, named)
    }

    /// Notes that a call was answered.
    fn is_back(&self, scope: &Scope, number: u64) {
        let mut scopes = self.scopes.lock();
        if let Some(scoped) = scopes.get_mut(scope) {
            scoped.under_way.retain(|call| call.number != number);
        }
    }

    fn forget(&self, scope: &Scope, which: impl Fn(&str) -> bool) {
        let mut scopes = self.scopes.lock();
        if let Some(scoped) = scopes.get_mut(scope) {
            scoped.known.retain(|id, _| !which(id));
        }
    }

    fn learn(&self, scope: &Scope, asked: &Ids, begun: Instant, rows: &BTreeMap<String, R>) {
        let mut scopes = self.scopes.lock();
        let known = &mut scopes.entry(scope.clone()).or_default().known;
        for (id, row) in rows {
            match (known.get_mut(id), asked.get(id)) {
                (Some(known), _) if known.begun <= begun => {
                    (known.row, known.begun) = (row.clone(), begun);
                }
                (None, Some(keep)) if !keep.is_zero() => {
                    let known_now = Known {
                        row: row.clone(),
                        begun,
                        asked: Instant::now(),
                        keep: *keep,
                    };
                    known.insert(id.clone(), known_now);
                }
                _ => {}
            }
        }
        // What is gone is nobody's company.
        known.retain(|id, _| rows.contains_key(id) || !asked.contains_key(id));
    }
}

/// The ids to name: those asked for, and those that will be asked for next as far as there is room.
fn in_company<R>(scoped: &mut Scoped<R>, asked: &Ids) -> BTreeSet<String> {
    let now = Instant::now();
    scoped
        .known
        .retain(|_, known| now < known.asked + known.keep * FORGOTTEN_AFTER);
    let under_way = |id: &String| {
        let mut calls = scoped
            .under_way
            .iter()
            .filter_map(|call| call.left.as_ref());
        calls.any(|(_, ids)| ids.contains(id))
    };
    let mut next: Vec<_> = scoped
        .known
        .iter()
        .filter(|(id, _)| !asked.contains_key(*id) && !under_way(id))
        // Who looks once in an interval is due the sooner the older its last answer is.
        .map(|(id, known)| (known.begun, id))
        .collect();
    next.sort_unstable();
    let next = next.into_iter().map(|(_, id)| id);
    asked
        .keys()
        .chain(next)
        .take(IDS_PER_CALL.max(asked.len()))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
