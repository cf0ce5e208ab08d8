//! Waiting for the servers, and telling why one does not come.

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tokio::time::timeout;

use crate::supervisor::Supervisor;
use crate::{Access, Error, Patience, Program};

/// A server that accepts and then says nothing must not outlast our patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Waits until the API server answers, and becomes its administrator.
pub(crate) async fn wait(
    directory: &Path,
    port: u16,
    token: &str,
    supervisor: &Supervisor,
) -> Result<Access, Error> {
    let mut patience = Patience::default();
    loop {
        for program in [Program::Etcd, Program::ApiServer] {
            if supervisor.ended(program) {
                return Err(not_ready(directory, format!("{} ended", program.name())));
            }
        }
        let answer = timeout(ANSWER_WITHIN, answering(directory, port, token)).await;
        let seen = match answer {
            Ok(Ok(admin)) => return Ok(admin),
            Ok(Err(seen)) => seen,
            Err(_) => "no answer".to_owned(),
        };
        if let Err(why) = patience.pause(seen.clone()).await {
            let what = format!("kube-apiserver is not ready ({seen}): {why}");
            return Err(not_ready(directory, what));
        }
    }
}

/// Waits until kube-controller-manager does its work: the first thing to see of it is the service account that it makes in
/// each namespace.
pub(crate) async fn wait_for_controllers(
    directory: &Path,
    admin: &Access,
    supervisor: &Supervisor,
) -> Result<(), Error> {
    let accounts = Api::<ServiceAccount>::namespaced(admin.client().await?, "default");
    let mut patience = Patience::default();
    while accounts.get_opt("default").await?.is_none() {
        let name = Program::ControllerManager.name();
        if supervisor.ended(Program::ControllerManager) {
            return Err(not_ready(directory, format!("{name} ended")));
        }
        if let Err(why) = patience.pause(()).await {
            return Err(not_ready(directory, format!("{name} does nothing: {why}")));
        }
    }
    Ok(())
}

/// `Ok` once the server calls itself ready and has made the namespace `default`; else how far it has come.
async fn answering(directory: &Path, port: u16, token: &str) -> Result<Access, String> {
    // Written by the server itself, and its own authority.
    let authority = fs::read(directory.join("certs/apiserver.crt"))
        .map_err(|error| format!("no certificate: {error}"))?;
    let admin = Access::new(
        format!("https://127.0.0.1:{port}"),
        authority,
        token.to_owned(),
    );
    let mut config = admin.config().await.map_err(|error| error.chain())?;
    // This loop is the retry; the client's would hide the servers' end from it.
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(|error| Error::from(error).chain())?;
    for path in ["/readyz", "/api/v1/namespaces/default"] {
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| error.to_string())?;
        // It names the checks that it does not pass so far.
        let answer = client.request_text(request).await;
        answer.map_err(|error| format!("{path}: {}", Error::from(error).chain()))?;
    }
    Ok(admin)
}

fn not_ready(directory: &Path, what: String) -> Error {
    Error::NotReady {
        what,
        logs: last_words(directory),
    }
}

/// The end of each server's log.
pub(crate) fn last_words(directory: &Path) -> String {
    let programs = [
        Program::Etcd,
        Program::ApiServer,
        Program::ControllerManager,
    ];
    let words = programs.into_iter().filter_map(|program| {
        let name = format!("{}.log", program.name());
        let log = fs::read(directory.join(&name)).ok()?;
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = lines.len().saturating_sub(LINES_SHOWN);
        Some(format!("--- {name}\n{}", lines[last..].join("\n")))
    });
    words.collect::<Vec<_>>().join("\n")
}

/// The reason is among the last words, after a stack of goroutines at worst.
const LINES_SHOWN: usize = 25;
