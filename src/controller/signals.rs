//! The signals of passes and watches to the queue.

use tokio::sync::mpsc;

use super::queue::{Key, Level, Takes};

/// Something that changes what is to be done next.
#[derive(Debug)]
pub enum Signal {
    /// Somebody changed what the object asks for.
    Asked(Key, Takes, Level),
    /// Something changed on which a look at the object depends.
    Look(Key, Takes, Level),
    /// The object is gone.
    Gone(Key),
    /// Its pass waits in the middle of its work.
    Aside(Key),
    /// And goes on.
    Back(Key),
}

/// The way to the queue.
#[derive(Clone, Debug)]
pub struct Signals(mpsc::UnboundedSender<Signal>);

impl Signals {
    /// Signals, and where they arrive.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Signal>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends a signal. The receiver goes only when everything ends.
    pub fn send(&self, signal: Signal) {
        _ = self.0.send(signal);
    }
}
