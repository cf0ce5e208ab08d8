//! The handles that a pass needs.

use std::time::Duration;

use kube::Client;
use server_group_core::{attachment::AttachmentKey, server::ServerKey};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{
    accounts, identity, joined, lag, late_moves, memory, open, registry, scaling_activity, scope,
    signals, sources, turns, upkeep, watches,
};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::Transport,
    leader::Leadership,
    metrics::Metrics,
    timing::Timing,
};

/// Requests to Kubernetes, watches apart, that may be under way at once. A server takes some hundred of one client.
pub const KUBERNETES_REQUESTS_MAX: usize = 32;

/// The handles that a pass needs.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// The cloud.
    pub transport: Transport,
    /// Where keys come from.
    pub sources: sources::Sources,
    /// The cloud accounts that keys belong to.
    pub identities: identity::Identities,
    /// The right to change the cloud.
    pub leadership: Leadership,
    /// Durations and clocks.
    pub timing: Timing,
    /// The moment from which this process counts.
    pub started: Instant,
    /// Accounts and their grants.
    pub accounts: accounts::Accounts,
    /// Memberships as last seen or written.
    pub memberships: registry::Registry<ServerGroupMembership>,
    /// Attachments as last seen or written.
    pub attachments: registry::Registry<ScalingGroupAttachment>,
    /// Whose objects are looked after.
    pub scopes: Vec<scope::Scope>,
    /// Lists of memberships that are under way.
    pub membership_lists: joined::Joined,
    /// Lists of attachments that are under way.
    pub attachment_lists: joined::Joined,
    /// Counts and waits of memberships.
    pub membership_memories: memory::Memories<ServerKey>,
    /// Counts and waits of attachments.
    pub attachment_memories: memory::Memories<AttachmentKey>,
    /// Whether the operator shows what it would do and changes nothing.
    pub read_only: bool,
    /// The way to the queue.
    pub signals: signals::Signals,
    /// Turns on groups.
    pub turns: turns::Turns,
    /// Calls whose object is gone.
    pub orphans: open::Orphans,
    /// Changes that no memory of a group has.
    pub lag: lag::Lag,
    /// Settled calls that may still move instances.
    pub late_calls: late_moves::LateCalls,
    /// The scaling groups that move instances.
    pub running: scaling_activity::Running,
    /// Rings when an object was seen that cannot be read.
    pub unreadable: Notify,
    /// Rings when something changed that concerns the upkeep of accounts.
    pub upkeep: upkeep::Bell,
    /// The operator's own namespace, by which its installation is told from others.
    pub installation: String,
    /// How the watches stand.
    pub watches: watches::Watches,
    /// Requests to Kubernetes that may be under way at once: with more, its flow control turns some away.
    pub kubernetes: Semaphore,
    /// The name of this process in events, which is the pod's in a cluster.
    pub instance: String,
}

impl Context {
    /// Time since the start of the process.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        self.transport.metrics()
    }

    /// Waits for an answer of Kubernetes, in turn and not for ever.
    ///
    /// # Errors
    ///
    /// The errors of the request, and one that says that there was no answer in time.
    pub async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let turn = self.kubernetes.acquire().await;
        let _turn = turn.expect("it is never closed");
        let asked = Instant::now();
        let answered = tokio::time::timeout(self.timing.kubernetes_deadline, request).await;
        let answered = answered.unwrap_or_else(|_| {
            let late = "the API server did not answer in time";
            Err(kube::Error::Service(late.into()))
        });
        let metrics = self.metrics();
        metrics.kubernetes_times.took([], asked.elapsed());
        metrics
            .kubernetes_requests
            .one([request_outcome(&answered)]);
        answered
    }
}

/// The outcome of a request, as metrics tell it.
fn request_outcome<T>(answered: &Result<T, kube::Error>) -> &'static str {
    match answered {
        Ok(_) => "ok",
        Err(kube::Error::Api(status)) if status.is_conflict() => "conflict",
        Err(kube::Error::Api(status)) if status.is_not_found() => "not_found",
        Err(kube::Error::Api(_)) => "refused",
        Err(_) => "failed",
    }
}
