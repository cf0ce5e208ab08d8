//! A thread for the lease alone: however busy the workers are, it is renewed in time.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A thread with a runtime of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct LeaseThread {
    runtime: Handle,
    _ends_with_this: oneshot::Sender<()>,
}

impl LeaseThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread, or no means to wait for a socket.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || _ = runtime.block_on(ended))?;
        Ok(Self {
            runtime: handle,
            _ends_with_this: ends,
        })
    }

    /// Where the election is to run.
    #[must_use]
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
