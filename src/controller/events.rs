//! Events: what changed, once for each change, aggregated over a batch. Never a reason to fail.
//!
//! Each is an object of its own. The recorder of the library merges events of one reason for six minutes and keeps
//! the first note: *removed 25* and then *removed 3* would read *removed 25, twice*.

use std::fmt::Write;

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};

use super::{Context, change::Change, managed::Managed, pass::Pass};
use crate::chance::Chance;

/// The longest note that Kubernetes takes.
const NOTE_MAX: usize = 1024;

/// The name of the controller that reports events.
const CONTROLLER: &str = "server-group-operator";

/// Tells what changed. A namespace that is being deleted refuses events, which changes nothing.
pub async fn publish<M: Managed>(pass: &Pass<'_, M>, change: Change, note: String) {
    publish_about::<M>(pass.ctx, pass.object.meta(), change, note).await;
}

/// As [`publish`], about an object that has no pass.
pub async fn publish_about<M: Managed>(
    ctx: &Context,
    object: &ObjectMeta,
    change: Change,
    mut note: String,
) {
    let end = note
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= NOTE_MAX)
        .last();
    note.truncate(end.unwrap_or_default());
    let namespace = object.namespace.clone().unwrap_or_default();
    let object_name = object.name.clone().unwrap_or_default();
    let regarding = ObjectReference {
        api_version: Some(M::api_version(&()).into_owned()),
        kind: Some(M::kind(&()).into_owned()),
        name: Some(object_name.clone()),
        namespace: object.namespace.clone(),
        uid: object.uid.clone(),
        resource_version: object.resource_version.clone(),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: Some(change.severity().to_owned()),
        reason: Some(change.name().to_owned()),
        note: Some(note),
        action: Some("Reconcile".to_owned()),
        regarding: Some(regarding),
        event_time: Some(MicroTime(ctx.timing.wall_now())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(ctx.instance.clone()),
        metadata: ObjectMeta {
            name: Some(name(&object_name, &ctx.timing.chance)),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        ..Event::default()
    };
    let events = Api::<Event>::namespaced(ctx.client.clone(), &namespace);
    let params = PostParams::default();
    let published = events.create(&params, &event);
    if let Err(error) = ctx.ask(published).await {
        tracing::debug!(%error, "an event was not taken");
    }
}

/// A name for an event about `object`; both have at most 253 characters, all of them ASCII.
fn name(object: &str, chance: &Chance) -> String {
    let start = &object[..object.len().min(200)];
    format!("{start}.{}", chance.hexadecimal(16))
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
