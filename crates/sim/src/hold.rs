//! Calls that are stopped, so that a test can do something meanwhile.

use tokio::sync::oneshot;

use crate::audit::Entry;

/// Before or after a call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It has arrived and nothing was done.
    Before,
    /// It was carried out and not answered.
    After,
}

/// A call that will be stopped. Dropping this lets it go on.
#[derive(Debug)]
pub struct Held {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<GoOn>,
}

impl Held {
    /// Stops the first call that `fits`, once the server knows the other half.
    pub(crate) fn new(
        when: When,
        fits: impl FnMut(&Entry) -> bool + Send + 'static,
    ) -> (Self, Hold) {
        let (sender, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let hold = Hold {
            fits: Box::new(fits),
            when,
            arrived: sender,
            released,
        };
        (Self { arrived, release }, hold)
    }

    /// Waits until the call is there, and keeps it there.
    pub async fn arrived(&mut self) {
        // The sender goes only with the simulator; then nothing will ever arrive.
        if (&mut self.arrived).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the call go on, also when its client has given up: then it lands late.
    pub fn release(self) {
        // If the call was never made, nobody listens.
        _ = self.release.send(GoOn::Yes);
    }

    /// Breaks the connection. A call that was stopped before it was carried out never is.
    pub fn drop_connection(self) {
        _ = self.release.send(GoOn::No);
    }
}

/// Whether a call that was stopped goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoOn {
    Yes,
    No,
}

/// What stops a call.
pub(crate) struct Hold {
    pub(crate) fits: Box<dyn FnMut(&Entry) -> bool + Send>,
    pub(crate) when: When,
    pub(crate) arrived: oneshot::Sender<()>,
    pub(crate) released: oneshot::Receiver<GoOn>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({:?})", self.when)
    }
}
