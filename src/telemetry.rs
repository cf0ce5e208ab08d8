//! Logs: JSON in a cluster, readable on a terminal. Secrets never reach it: their types print as `***`.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{MakeWriter, time::uptime},
    util::SubscriberInitExt,
};

/// The libraries that say at `info` what only their authors want to know. Who asks for more of one gets it.
const QUIET: &str = "kube=warn,hyper=warn,h2=warn,tower=warn,reqwest=warn,rustls=warn";

/// Our modules, which need not be called by their whole name.
const MODULES: [&str; 7] = [
    "cloud",
    "controller",
    "leader",
    "metrics",
    "probes",
    "run",
    "cli",
];

/// Starts logging to standard error what `levels` lets through, such as `info` or `info,cloud=debug`.
///
/// # Errors
///
/// The levels cannot be read.
pub fn start(levels: &str) -> Result<(), ParseError> {
    // A second start, in tests, changes nothing.
    if std::io::stderr().is_terminal() {
        let logs = tracing_subscriber::fmt().with_env_filter(filter(levels)?);
        let logs = logs.with_writer(std::io::stderr).compact();
        _ = logs.with_target(false).with_timer(uptime()).try_init();
    } else {
        _ = json(levels, std::io::stderr)?.try_init();
    }
    Ok(())
}

/// Logs to `writer`, a JSON object a line, with the fields of each event beside its message.
///
/// # Errors
///
/// The levels cannot be read.
pub fn json<W>(
    levels: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter(levels)?)
        .with_writer(writer);
    Ok(logs.json().flatten_event(true).finish())
}

fn filter(levels: &str) -> Result<EnvFilter, ParseError> {
    let ours = levels.split(',').map(|directive| {
        let module = directive.split(['=', ':']).next().unwrap_or_default();
        match MODULES.contains(&module.trim()) {
            true => format!("server_group_operator::{}", directive.trim()),
            false => directive.trim().to_owned(),
        }
    });
    let ours = ours.collect::<Vec<_>>().join(",");
    EnvFilter::builder().parse(format!("{QUIET},{ours}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(levels: &str, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let logs = json(levels, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(logs, log);
        String::from_utf8(written.0.lock().clone()).unwrap()
    }

    #[test]
    fn levels_are_set_module_by_module_ours_by_their_short_names() {
        let log = || {
            tracing::debug!(target: "server_group_operator::cloud::transport", "1");
            tracing::debug!(target: "server_group_operator::controller", "2");
            tracing::info!(target: "kube_client", "3");
            tracing::info!(target: "hyper", "4");
            tracing::info!(target: "server_group_operator::run", "5");
        };
        let messages = |levels| {
            let text = written(levels, log);
            let lines = text.lines().map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["message"].as_str().unwrap().to_owned()
            });
            lines.collect::<String>()
        };
        assert_eq!(messages("info"), "5");
        assert_eq!(messages("warn"), "");
        assert_eq!(messages("info,cloud=debug"), "15");
        assert_eq!(messages("info, controller=debug,kube=info"), "235");
        assert_eq!(messages("off,server_group_operator::cloud=debug"), "1");
    }

    #[test]
    fn fields_stand_beside_the_message() {
        let text = written("info", || {
            tracing::info!(object = "a/b", members = 3, "said")
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["object"], &line["members"]),
            (&"a/b".into(), &3.into())
        );
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn levels_that_are_none_are_refused() {
        assert!(filter("cloud=loud").is_err());
    }
}
