//! Waiting for the API server, and telling why it does not come.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::supervisor::Supervisor;
use crate::{Access, Error, Program};

/// Three seconds on an idle machine with two cores; the rest is for a busy one.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A server that accepts and then says nothing must not outlast the deadline above.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Waits until the API server answers, and becomes its administrator.
pub(crate) async fn wait(
    directory: &Path,
    port: u16,
    token: &str,
    supervisor: &Supervisor,
) -> Result<Access, Error> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        for program in [Program::Etcd, Program::ApiServer] {
            if supervisor.ended(program) {
                return Err(not_ready(directory, format!("{} ended", program.name())));
            }
        }
        let answer = timeout(ANSWER_WITHIN, answering(directory, port, token)).await;
        if let Ok(Some(admin)) = answer {
            return Ok(admin);
        }
        if Instant::now() >= deadline {
            let what = format!(
                "kube-apiserver was not ready in {} s",
                READY_WITHIN.as_secs()
            );
            return Err(not_ready(directory, what));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// `Some` once the server calls itself ready and has made the namespace `default`.
async fn answering(directory: &Path, port: u16, token: &str) -> Option<Access> {
    // Written by the server itself, and its own authority.
    let authority = fs::read(directory.join("certs/apiserver.crt")).ok()?;
    let admin = Access::new(
        format!("https://127.0.0.1:{port}"),
        authority,
        token.to_owned(),
    );
    let mut config = admin.config().await.ok()?;
    // This loop is the retry; the client's would hide the servers' end from it.
    config.default_retry = false;
    let client = kube::Client::try_from(config).ok()?;
    for path in ["/readyz", "/api/v1/namespaces/default"] {
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        client.request_text(request).await.ok()?;
    }
    Some(admin)
}

fn not_ready(directory: &Path, what: String) -> Error {
    let logs = [Program::Etcd, Program::ApiServer].map(|program| {
        let name = format!("{}.log", program.name());
        let log = fs::read(directory.join(&name)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = lines.len().saturating_sub(LINES_SHOWN);
        format!("--- {name}\n{}", lines[last..].join("\n"))
    });
    Error::NotReady {
        what,
        logs: logs.join("\n"),
    }
}

/// The reason is among the last words, after a stack of goroutines at worst.
const LINES_SHOWN: usize = 25;
