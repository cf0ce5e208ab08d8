//! How the calls of one client get their turn: how soon they are wanted, and a turn that was waited for beforehand.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    line::Urgency,
    rate::{Bucket, Grant},
};

/// The turns that a client and its clones share: a held turn is there for whichever of them needs it first.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    pub(super) urgency: Urgency,
    held: Arc<Mutex<Option<Grant>>>,
}

impl Turns {
    /// The same for calls of this `urgency`.
    pub(super) fn wanted(&self, urgency: Urgency) -> Self {
        Self {
            urgency,
            held: Arc::clone(&self.held),
        }
    }

    /// Holds `grant`, for this client and those that are cloned from it from now on.
    pub(super) fn hold(&mut self, grant: Grant) {
        self.held = Arc::new(Mutex::new(Some(grant)));
    }

    /// Whether a turn at this bucket is held.
    pub(super) fn is_held(&self, bucket: &Arc<Bucket>) -> bool {
        let held = self.held.lock();
        held.as_ref().is_some_and(|grant| grant.is_of(bucket))
    }

    /// The turn at this bucket that is held, or the next one in the line.
    pub(super) async fn take(&self, bucket: &Arc<Bucket>) -> Grant {
        let held = self.held.lock().take_if(|grant| grant.is_of(bucket));
        match held {
            Some(grant) => grant,
            None => bucket.take(self.urgency).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, http::Response};
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        cloud::{
            Cloud, Freshness, Service,
            stub::{Asked, Stub, cloud_at, ok},
        },
        timing::Timing,
    };

    const READ: &str = "DescribeScalingGroups";

    fn no_groups(_: usize, _: &Asked) -> Response<Body> {
        ok(&json!({"RequestId": "r", "TotalCount": 0, "ScalingGroups": {"ScalingGroup": []}}))
    }

    /// A client without any room for the read, and one call that may leave. There is none more for minutes.
    async fn exhausted(stub: &Stub) -> (Cloud, Grant) {
        let mut timing = Timing::production();
        timing.rate_minute = Duration::from_hours(100);
        let cloud = cloud_at(&stub.url, timing);
        let bucket = cloud.transport.bucket(&cloud.caller, Service::Ess, READ);
        let grant = bucket.take(Urgency::Sweep).await;
        while cloud.room(Service::Ess, READ).is_none() {
            bucket.take(Urgency::Sweep).await.spend();
        }
        (cloud, grant)
    }

    async fn leaves(call: impl Future) -> bool {
        // Long enough to be answered, and to be seen waiting.
        timeout(Duration::from_secs(1), call).await.is_ok()
    }

    #[tokio::test]
    async fn a_call_that_was_granted_leaves_at_once_and_only_once() {
        let stub = Stub::start(no_groups).await;
        let (cloud, grant) = exhausted(&stub).await;
        let granted = cloud.clone().granted(grant);
        assert!(cloud.room(Service::Ess, READ).is_some());
        assert!(granted.room(Service::Ess, READ).is_none());
        assert!(leaves(granted.describe_scaling_groups(&["asg-1"])).await);
        assert!(granted.room(Service::Ess, READ).is_some());
        assert!(!leaves(granted.describe_scaling_groups(&["asg-1"])).await);
        assert_eq!(stub.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_shared_read_leaves_with_the_grant_of_who_opens_it() {
        let stub = Stub::start(no_groups).await;
        let (cloud, grant) = exhausted(&stub).await;
        let granted = cloud.clone().granted(grant);
        assert!(leaves(granted.scaling_group("asg-1", Freshness::now())).await);
        assert!(!leaves(cloud.scaling_group("asg-1", Freshness::now())).await);
        assert_eq!(stub.asked().len(), 1);
    }

    #[tokio::test]
    async fn what_was_granted_goes_back_unused_with_the_last_clone() {
        let stub = Stub::start(no_groups).await;
        let (cloud, grant) = exhausted(&stub).await;
        let granted = cloud.clone().granted(grant);
        let clone = granted.clone();
        drop(granted);
        assert!(cloud.room(Service::Ess, READ).is_some());
        drop(clone);
        assert!(cloud.room(Service::Ess, READ).is_none());
    }

    #[tokio::test]
    async fn what_was_granted_is_for_the_very_same_bucket() {
        let stub = Stub::start(no_groups).await;
        let (cloud, grant) = exhausted(&stub).await;
        let elsewhere = cloud.clone().granted(grant);
        assert!(leaves(elsewhere.ready(Service::Ess, "AttachServerGroups")).await);
        assert!(elsewhere.room(Service::Ess, READ).is_none(), "still held");
        let other = elsewhere.of_account("2");
        assert!(leaves(other.ready(Service::Ess, READ)).await);
        assert!(leaves(other.of_account("").ready(Service::Ess, READ)).await);
        assert!(!leaves(cloud.ready(Service::Ess, READ)).await);
    }
}
