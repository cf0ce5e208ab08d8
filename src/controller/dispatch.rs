//! Gives objects their passes, in the order of the queue, from the moment this replica leads until it is told to finish.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    managed::{Managed, key},
    pass::Work,
    queue::{Back, Key, Kind, Level, PLACES, Queue, Turn},
    reconcile::{Next, reconcile},
    registry::Registry,
    signals::Signal,
};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Grant, Ticket},
    metrics::QueueSeen,
};

/// The verdict of a pass that panicked, as metrics tell it.
const PANICKED: &str = "Panicked";

/// Signals that are taken in before the next pass begins.
const SIGNALS: usize = 1024;

/// Runs passes while this replica leads. Once `finish` is asked for, no pass begins, and this returns when the last one
/// has ended.
pub async fn dispatch(
    ctx: Arc<Context>,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    leads: watch::Receiver<bool>,
    finish: CancellationToken,
) {
    if !leads_at_last(leads, &finish, &mut signals).await {
        return;
    }
    let mut dispatcher = Dispatcher::new(ctx);
    dispatcher.take_over();
    let mut arrived = Vec::new();
    while !finish.is_cancelled() || !dispatcher.passes.is_empty() {
        dispatcher.queue.is_at(dispatcher.ctx.now());
        if !finish.is_cancelled() {
            dispatcher.begin();
        }
        dispatcher.tell();
        let due = dispatcher.next_due();
        tokio::select! {
            biased;
            () = finish.cancelled(), if !finish.is_cancelled() => {}
            ended = dispatcher.passes.join_next(), if !dispatcher.passes.is_empty() => {
                let (key, next) = ended.expect("there are some").expect("a panic is caught within");
                dispatcher.ended(&key, next);
            }
            granted = dispatcher.tickets.next(), if !dispatcher.tickets.is_empty() => {
                if let Some(Ok((key, grant))) = granted {
                    dispatcher.granted(key, grant);
                }
            }
            count = signals.recv_many(&mut arrived, SIGNALS) => {
                if count == 0 {
                    return;
                }
                for signal in arrived.drain(..) {
                    dispatcher.take(signal);
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                dispatcher.fire();
            }
        }
    }
}

/// Waits until this replica leads; says whether it ever did. A replica that only waits to lead needs no queue: it looks
/// at everything once it leads.
async fn leads_at_last(
    mut leads: watch::Receiver<bool>,
    finish: &CancellationToken,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
) -> bool {
    while !*leads.borrow() {
        tokio::select! {
            biased;
            _ = leads.changed() => {}
            () = finish.cancelled() => return false,
            _ = signals.recv() => {}
        }
    }
    true
}

struct Dispatcher {
    ctx: Arc<Context>,
    queue: Queue,
    passes: JoinSet<(Key, Next)>,
    /// Objects that wait until a call may leave.
    tickets: FuturesUnordered<Abortable<BoxFuture<'static, (Key, Grant)>>>,
    waiting: BTreeMap<Key, AbortHandle>,
    /// Calls that may leave, of objects whose pass is about to begin.
    granted: BTreeMap<Key, Grant>,
}

impl Dispatcher {
    fn new(ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            queue: Queue::new(PLACES),
            passes: JoinSet::new(),
            tickets: FuturesUnordered::new(),
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    /// Queues everything. Objects that somebody changed since they were last looked at go first.
    fn take_over(&mut self) {
        let ctx = Arc::clone(&self.ctx);
        self.queue_all(&ctx.memberships);
        self.queue_all(&ctx.attachments);
    }

    fn queue_all<M: Managed>(&mut self, registry: &Registry<M>) {
        for found in registry.found() {
            let level = if found.waits {
                Level::Asked
            } else {
                Level::Sweep
            };
            self.queue.wake(&key::<M>(found.name), found.takes, level);
        }
    }

    /// When something is due next: an object, or a view to be forgotten.
    fn next_due(&self) -> Option<tokio::time::Instant> {
        let views = self.ctx.turns.next_view();
        let due = self.queue.next_due().into_iter().chain(views).min();
        due.map(|due| self.ctx.started + due)
    }

    /// Queues the objects that are due, and forgets views that are too old for a decision.
    fn fire(&mut self) {
        let now = self.ctx.now();
        self.queue.fire(now);
        let too_old = now.saturating_sub(self.ctx.timing.view_age_max);
        self.ctx.turns.forget_views(now, self.ctx.started + too_old);
    }

    /// Begins as many passes as there are places.
    fn begin(&mut self) {
        while let Some(turn) = self.queue.begin_next() {
            self.ctx.metrics().queue_waits.took([], turn.waited);
            self.leave_line(&turn.key);
            let grant = self.granted.remove(&turn.key);
            self.passes.spawn(pass(Arc::clone(&self.ctx), turn, grant));
        }
    }

    /// Tells the metrics how the queue looks.
    fn tell(&self) {
        self.ctx.metrics().queue_is(QueueSeen {
            waiting: self.queue.waiting(),
            working: self.passes.len(),
            for_a_call: self.waiting.len(),
            oldest: self.queue.oldest(),
        });
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Asked(key, takes, level) => {
                self.leave_line(&key);
                self.queue.changed(&key, takes, level);
            }
            // An object that stands in a line looks when it comes to the front, and keeps its place until then.
            Signal::Look(key, takes, level) => {
                if !self.waiting.contains_key(&key) {
                    self.queue.wake(&key, takes, level);
                }
            }
            Signal::Gone(key) => {
                self.leave_line(&key);
                self.granted.remove(&key);
                self.queue.forget(&key);
            }
            Signal::Aside(key) => self.queue.step_aside(&key),
            Signal::Back(key) => self.queue.step_back(&key),
        }
    }

    fn ended(&mut self, key: &Key, next: Next) {
        let back = match next {
            Next::After(delay, level) => Back::At(self.ctx.now() + delay, level),
            Next::With(groups) => Back::With(groups),
            Next::Never => Back::Never,
            Next::Call(ticket) => {
                self.queue.done(key, Back::WhenTold);
                // Unless somebody asked for a look meanwhile.
                if self.queue.rests(key) {
                    self.stand_in_line(key.clone(), ticket);
                }
                return;
            }
        };
        self.queue.done(key, back);
    }

    fn stand_in_line(&mut self, key: Key, ticket: Ticket) {
        let (abort, registration) = AbortHandle::new_pair();
        self.waiting.insert(key.clone(), abort);
        let granted = ticket.map(move |grant| (key, grant)).boxed();
        self.tickets.push(Abortable::new(granted, registration));
    }

    fn leave_line(&mut self, key: &Key) {
        if let Some(place) = self.waiting.remove(key) {
            place.abort();
        }
    }

    fn granted(&mut self, key: Key, grant: Grant) {
        self.waiting.remove(&key);
        self.queue.granted(&key);
        self.granted.insert(key, grant);
    }
}

/// Runs one pass. A mistake of ours about one object must not take the others along.
async fn pass(ctx: Arc<Context>, turn: Turn, grant: Option<Grant>) -> (Key, Next) {
    let Turn {
        key, level, also, ..
    } = turn;
    let work = Work { level, also, grant };
    let run = async {
        match key.kind {
            Kind::Membership => reconcile::<ServerGroupMembership>(&ctx, &key.name, work).await,
            Kind::Attachment => reconcile::<ScalingGroupAttachment>(&ctx, &key.name, work).await,
        }
    };
    let ended = AssertUnwindSafe(run).catch_unwind().await;
    let next = ended.unwrap_or_else(|_| {
        // Everything that the pass held is free again.
        ctx.metrics().passes.one([key.kind.name(), PANICKED]);
        let again_in = ctx.timing.backoff_max;
        tracing::error!(object = %key.name, "the pass panicked: please report this; trying again in {again_in:?}");
        Next::After(again_in, Level::Sweep)
    });
    (key, next)
}
