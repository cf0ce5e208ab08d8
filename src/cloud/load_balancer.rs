//! CLB instances: whether they can be used, and the members of their default groups.

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use super::{
    Cloud, Member,
    call::{Call, Effect, Service},
    error::Error,
    list::Pages,
    members::{Backends, row_key},
    reply::decode,
};

/// A CLB instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Whether it can be used.
    pub status: LoadBalancerStatus,
    /// Members of its default group.
    pub members: Vec<Member>,
}

/// Whether a CLB instance can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancerStatus {
    /// It can.
    Active,
    /// It was stopped.
    Inactive,
    /// It was locked, for debts or by the cloud.
    Locked,
    /// Something that this version does not know.
    Unknown(String),
}

impl fmt::Display for LoadBalancerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Locked => "locked",
            Self::Unknown(text) => text,
        })
    }
}

impl Cloud {
    /// A CLB instance with the members of its default group.
    ///
    /// # Errors
    ///
    /// [`super::Kind::GroupNotFound`] when it is gone.
    ///
    /// Source: SLB 2014-05-15, `DescribeLoadBalancerAttribute`.
    pub async fn load_balancer(&self, id: &str) -> Result<LoadBalancer, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            load_balancer_status: String,
            backend_servers: Backends,
        }
        let action = "DescribeLoadBalancerAttribute";
        let arguments = json!({"RegionId": self.region(), "LoadBalancerId": id});
        let call = Call::new(Service::Slb, action, Effect::Reads, &arguments);
        let reply: Reply = decode(action, self.send(&call).await?)?;
        let mut pages = Pages::new(action);
        pages.take(reply.backend_servers.into_members(), None, row_key)?;
        Ok(LoadBalancer {
            status: match reply.load_balancer_status.as_str() {
                "active" => LoadBalancerStatus::Active,
                "inactive" => LoadBalancerStatus::Inactive,
                "locked" => LoadBalancerStatus::Locked,
                _ => LoadBalancerStatus::Unknown(reply.load_balancer_status),
            },
            members: pages.whole()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{
        Kind,
        stub::{Stub, ok, refusal},
    };

    #[tokio::test]
    async fn a_locked_one_says_so_and_shows_its_default_group() {
        let stub = Stub::start(|_, _| {
            ok(&json!({
                "RequestId": "r", "LoadBalancerStatus": "locked",
                "BackendServers": {"BackendServer": [{"ServerId": "i-1", "Weight": "50", "Type": "ecs"}]},
            }))
        })
        .await;
        let found = stub.cloud().load_balancer("lb-1").await.unwrap();
        assert_eq!(found.status, LoadBalancerStatus::Locked);
        assert_eq!(
            (found.members[0].port, found.members[0].weight),
            (None, Some(50))
        );
    }

    #[tokio::test]
    async fn one_that_is_gone_is_not_found() {
        let stub = Stub::start(|_, _| refusal(404, "InvalidLoadBalancerId.NotFound", "")).await;
        let error = stub.cloud().load_balancer("lb-1").await.unwrap_err();
        assert_eq!(error.kind, Kind::GroupNotFound);
    }
}
