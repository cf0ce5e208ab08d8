//! What the operators of this process log.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use serde_json::Value;
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

    /// All lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = self.0.lock();
        let lines = text.split(|byte| *byte == b'\n');
        let whole = lines.filter(|line| line.ends_with(b"}"));
        whole
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The lines about objects of a namespace.
    pub fn about(&self, namespace: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| {
            let object = line["object"].as_str().unwrap_or_default();
            object.split('/').next() == Some(namespace)
        });
        lines
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
