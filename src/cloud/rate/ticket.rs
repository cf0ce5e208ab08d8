//! Waiting before a bucket as a value that a work queue can hold, poll and drop.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep};

use super::{Bucket, Turn, wake};
use crate::cloud::line::Place;

/// A place in the line before a bucket: a future that resolves when the call may leave. Dropping it leaves the line.
///
/// The first in line has to be polled when it is woken, as everybody behind waits for that.
#[must_use = "nobody goes who is not polled"]
pub struct Ticket {
    bucket: Arc<Bucket>,
    /// None once it has gone.
    place: Option<Place>,
    /// When it came.
    since: Instant,
    /// Until it has to ask again.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Ticket {
    pub(super) fn new(bucket: Arc<Bucket>, place: Place) -> Self {
        Self {
            bucket,
            place: Some(place),
            since: Instant::now(),
            wait: None,
        }
    }
}

impl Future for Ticket {
    type Output = Grant;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        let place = self.place.expect("nobody goes twice");
        loop {
            match self.bucket.go(place, context.waker()) {
                Turn::Goes(next) => {
                    self.place = None;
                    self.bucket.waited(self.since);
                    wake(next);
                    return Poll::Ready(Grant(Some(Arc::clone(&self.bucket))));
                }
                Turn::Waits(wait) => self.wait = wait.map(|wait| Box::pin(sleep(wait))),
            }
            let Some(wait) = &mut self.wait else {
                return Poll::Pending;
            };
            if wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.bucket.leave(place);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.place).finish()
    }
}

/// A call that may leave. Dropped unused, it is given back to the bucket.
#[must_use = "what is dropped is given back"]
pub struct Grant(Option<Arc<Bucket>>);

impl Grant {
    /// Whether this bucket counts the call.
    pub(in crate::cloud) fn is_of(&self, bucket: &Arc<Bucket>) -> bool {
        self.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, bucket))
    }

    /// The call leaves.
    pub(in crate::cloud) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(bucket) = self.0.take() {
            bucket.give_back();
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").finish_non_exhaustive()
    }
}
