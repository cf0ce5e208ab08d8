//! What the operators of this process log.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use server_group_operator::telemetry;

use super::secrets;

/// The log of all of them, from the level `info` on; what they say below that is searched for keys, and not kept.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<Option<Log>> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let logs = telemetry::json("trace", move || writer.clone()).unwrap();
    let alone = tracing::subscriber::set_global_default(logs);
    alone.is_ok().then_some(log)
});

impl Log {
    /// All operators write into one log from now on. Those that write elsewhere do so because of `TEST_LOG`.
    pub fn begin() {
        LazyLock::force(&LOG);
    }

    /// The one that all write into.
    pub fn of_process() -> Self {
        let log = LOG.clone();
        log.expect("these tests need the log to themselves: unset TEST_LOG")
    }

    /// All of it, a line of JSON after the other.
    pub fn text(&self) -> Vec<u8> {
        self.0.lock().clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        secrets::search(line);
        let text = String::from_utf8_lossy(line);
        if !text.contains("\"level\":\"TRACE\"") && !text.contains("\"level\":\"DEBUG\"") {
            self.0.lock().extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
