//! The only way out to the network: a signed client for the APIs in use.
//!
//! [`Cloud`] has one method per API action (one for the four products where they differ in names alone).
//! Changing calls are single attempts whose [`Outcome`] says what is known afterwards; reading calls return
//! whole answers or an error.

mod answer;
mod attachments;
mod call;
mod credential;
mod endpoint;
mod error;
mod ess;
mod jobs;
mod list;
mod load_balancer;
mod members;
mod reply;
mod request;
pub mod sign;
#[cfg(test)]
mod stub;
mod transport;

use serde::Deserialize;
use serde_json::Value;

pub use attachments::attachment_action;
pub use call::{Call, Effect, Parameters, Service};
pub use credential::{Credential, Environment, Keys, Unavailable};
pub use endpoint::{Endpoints, InvalidEndpoint, Network};
pub use error::{Error, Kind, Outcome};
pub use ess::{
    Activity, ActivityStatus, AttachedGroup, AttachedLoadBalancer, AttachedVServerGroup, Force,
    ScalingGroup, ScalingInstance,
};
pub use jobs::{Job, JobStatus};
pub use load_balancer::{LoadBalancer, LoadBalancerStatus};
pub use members::{
    GroupStatus, GroupView, Member, MemberChange, MemberStatus, ServerKind, add_action,
    remove_action, weight_action,
};
pub use request::Prepared;
pub use transport::{Caller, NoClient, Signature, Transport, TransportConfig};

/// The cloud as one account in one region sees it. Cheap to make and to clone.
#[derive(Clone)]
pub struct Cloud {
    transport: Transport,
    caller: Caller,
}

/// The answer to an accepted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To quote to the cloud's support.
    pub request_id: String,
    /// The job or scaling activity that carries it out, where there is one.
    pub reference: Option<String>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the cloud account.
    pub account_id: String,
}

impl Cloud {
    /// The cloud as `credential` sees `region`.
    #[must_use]
    pub fn new(
        transport: &Transport,
        credential: Credential,
        region: &str,
        network: Network,
    ) -> Self {
        let caller = Caller {
            credential,
            region: region.to_owned(),
            network,
        };
        Self {
            transport: transport.clone(),
            caller,
        }
    }

    /// What the cloud's clock says, as far as it is known.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.transport.cloud_now()
    }

    /// The access key id in use now.
    ///
    /// # Errors
    ///
    /// [`Kind::Credentials`] if the keys cannot be had.
    pub async fn access_key_id(&self) -> Result<String, Error> {
        match self.caller.credential.keys().await {
            Ok(keys) => Ok(keys.id),
            Err(Unavailable(message)) => Err(Error {
                action: GET_CALLER_IDENTITY,
                code: String::new(),
                message,
                request_id: None,
                http_status: None,
                kind: Kind::Credentials,
                outcome: Outcome::NotSent,
                retry_after: None,
            }),
        }
    }

    /// Whose account this is.
    ///
    /// # Errors
    ///
    /// What any reading call may end with.
    ///
    /// Source: STS 2015-04-01, `GetCallerIdentity`.
    pub async fn get_caller_identity(&self) -> Result<Identity, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            account_id: String,
        }
        let call = Call::new(
            Service::Sts,
            GET_CALLER_IDENTITY,
            Effect::Reads,
            &Value::Null,
        );
        let reply: Reply = reply::decode(GET_CALLER_IDENTITY, self.send(&call).await?)?;
        Ok(Identity {
            account_id: reply.account_id,
        })
    }

    fn region(&self) -> &str {
        &self.caller.region
    }

    async fn send(&self, call: &Call) -> Result<Value, Error> {
        self.transport.send(&self.caller, call).await
    }

    /// Sends a changing call.
    async fn change(&self, call: Call) -> Result<Answer, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            request_id: String,
            #[serde(default, alias = "ScalingActivityId", deserialize_with = "reply::text")]
            job_id: Option<String>,
        }
        let reply: Reply = reply::decode(call.action, self.send(&call).await?)?;
        Ok(Answer {
            request_id: reply.request_id,
            reference: reply.job_id,
        })
    }
}

const GET_CALLER_IDENTITY: &str = "GetCallerIdentity";
