//! Logs: JSON in a cluster, readable on a terminal. Secrets never reach it: their types print as `***`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to standard error at `level`, a filter such as `info` or `info,server_group_operator=debug`.
///
/// # Errors
///
/// The filter cannot be read.
pub fn start(level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter =
        EnvFilter::builder().parse(format!("{level},kube=warn,hyper=warn,reqwest=warn"))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start, in tests, changes nothing.
    _ = if std::io::stderr().is_terminal() {
        logs.compact().try_init()
    } else {
        logs.json().try_init()
    };
    Ok(())
}
