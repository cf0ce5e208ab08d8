//! Events: what changed, once for each change, aggregated over a batch. Never a reason to fail.

use std::fmt::Write;

use kube::runtime::events::{Event, EventType};
use tokio::time::timeout;

use super::{managed::Managed, pass::Pass};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Members were put into a group.
    Added,
    /// Members were taken out of a group.
    Removed,
    /// Members were given another weight.
    Reweighed,
    /// Members were sent weight 0, to be removed later.
    Drained,
    /// Server groups were attached.
    Attached,
    /// Server groups were detached.
    Detached,
    /// What was already there is now kept.
    Adopted,
    /// What is carried out is not what `Plan` mode showed last.
    PlanChanged,
    /// The cloud refused something.
    Failed,
    /// Everything stays although the object was deleted.
    Retained,
}

impl Change {
    const fn severity(self) -> EventType {
        match self {
            Self::Failed | Self::Retained | Self::PlanChanged => EventType::Warning,
            Self::Added
            | Self::Removed
            | Self::Reweighed
            | Self::Drained
            | Self::Attached
            | Self::Detached
            | Self::Adopted => EventType::Normal,
        }
    }
}

/// The longest note that Kubernetes takes.
const NOTE_MAX: usize = 1024;

/// Tells what changed. A namespace that is being deleted refuses events, which changes nothing.
pub async fn publish<M: Managed>(pass: &Pass<'_, M>, change: Change, mut note: String) {
    let end = note
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= NOTE_MAX)
        .last();
    note.truncate(end.unwrap_or_default());
    let event = Event {
        type_: change.severity(),
        reason: format!("{change:?}"),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let reference = pass.object.object_ref(&());
    let published = pass.ctx.recorder.publish(&event, &reference);
    match timeout(pass.ctx.timing.kubernetes_deadline, published).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an event was not taken"),
        Err(_) => tracing::debug!("an event was not taken in time"),
    }
}

/// An error and what caused it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("a string takes everything");
        source = cause.source();
    }
    text
}
