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
mod line;
mod list;
mod load_balancer;
mod members;
mod rate;
#[cfg(test)]
mod recorded;
mod reply;
mod request;
mod roots;
pub mod sign;
#[cfg(test)]
mod stub;
mod together;
mod transport;
mod turn;
mod wire;

use std::{future::Future, sync::Arc};

use futures::FutureExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::leader::Leave;
use together::{Exchange, Fetch, Fetched, Scope, Together};
use turn::Turns;

pub use attachments::attachment_action;
pub use call::{Call, Effect, Parameters, Service};
pub use credential::{
    Credential, Environment, InstanceRole, Keys, KeysStand, Oidc, Place, ReadSecret, Role,
    Unavailable, keys_of_secret,
};
pub use endpoint::{Endpoints, InvalidEndpoint, Network};
pub use error::{Error, Kind, Outcome};
pub use ess::{
    Activity, ActivityStatus, AttachedGroup, AttachedLoadBalancer, AttachedVServerGroup, Force,
    ScalingGroup, ScalingInstance,
};
pub use jobs::{Job, JobStatus};
pub use line::Urgency;
pub use load_balancer::{LoadBalancer, LoadBalancerStatus};
pub use members::{
    GroupStatus, GroupView, Member, MemberChange, MemberStatus, ServerKind, add_action,
    list_action, remove_action, service, weight_action,
};
pub use rate::{Grant, Pace, Ticket};
pub use request::Prepared;
pub use roots::{BadRoots, Roots};
pub use together::Freshness;
pub use transport::{Caller, NoClient, Signature, Transport, TransportConfig};
pub use wire::{NoAnswer, Wire};

/// The cloud as one account in one region sees it. Cheap to make and to clone.
#[derive(Clone)]
pub struct Cloud {
    transport: Transport,
    caller: Caller,
    turns: Turns,
    leave: Option<Leave>,
}

/// The answer to an accepted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To quote to the cloud's support.
    pub request_id: String,
    /// The job or scaling activity that carries it out, where there is one.
    pub reference: Option<String>,
}

/// The identity of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the cloud account.
    pub account_id: String,
    /// The user or role.
    pub arn: String,
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
            account: String::new(),
        };
        Self {
            transport: transport.clone(),
            caller,
            turns: Turns::default(),
            leave: None,
        }
    }

    /// The same, known to act in this cloud account: its calls are counted together with those of all who do.
    #[must_use]
    pub fn of_account(mut self, id: &str) -> Self {
        id.clone_into(&mut self.caller.account);
        self
    }

    /// The same with calls of this `urgency`; else they are those of a regular look.
    #[must_use]
    pub const fn wanted(mut self, urgency: Urgency) -> Self {
        self.turns.urgency = urgency;
        self
    }

    /// The same with a `grant`: its next call that the very same bucket counts does not wait, and is not counted again.
    /// A grant that it held before is given back. So is this one if the last clone is dropped before it was used.
    #[must_use]
    pub fn granted(mut self, grant: Grant) -> Self {
        self.turns.hold(grant);
        self
    }

    /// The same, which may send changing calls until this leave ends. Without, it sends none.
    #[must_use]
    pub const fn with_leave(mut self, leave: Leave) -> Self {
        self.leave = Some(leave);
        self
    }

    /// A place in the line before the bucket that counts these calls, or `None` if a call would leave at once.
    ///
    /// Nothing is taken by asking. Before a read that objects share, it is asked with the action that would be sent.
    #[must_use]
    pub fn room(&self, service: Service, action: &'static str) -> Option<Ticket> {
        let bucket = self.transport.bucket(&self.caller, service, action);
        match self.turns.is_held(&bucket) {
            true => None,
            false => bucket.room(self.turns.urgency),
        }
    }

    /// Waits until a changing call may leave, and counts it: to be done before the last look at what it changes.
    ///
    /// It waits as a call that continues an operation, however urgent other calls of this client are.
    pub async fn ready(&self, service: Service, action: &'static str) {
        let turns = self.turns.wanted(Urgency::Begun);
        let bucket = self.transport.bucket(&self.caller, service, action);
        turns.take(&bucket).await.spend();
    }

    /// The region in which calls are made.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.caller.region
    }

    /// The endpoints that are used.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.caller.network
    }

    /// The time by the cloud's clock, as far as it is known.
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
        let keys = self.caller.credential.keys().await;
        let keys = keys.map_err(|error| transport::unavailable(GET_CALLER_IDENTITY, error))?;
        Ok(keys.id)
    }

    /// The same with one set of keys from now on, whatever the source has later.
    ///
    /// # Errors
    ///
    /// As [`Cloud::access_key_id`].
    pub async fn pinned(mut self) -> Result<Self, Error> {
        let pinned = self.caller.credential.pinned().await;
        self.caller.credential =
            pinned.map_err(|error| transport::unavailable(GET_CALLER_IDENTITY, error))?;
        Ok(self)
    }

    /// The identity of the caller: its cloud account.
    ///
    /// # Errors
    ///
    /// The errors of any reading call.
    ///
    /// Source: STS 2015-04-01, `GetCallerIdentity`.
    pub async fn get_caller_identity(&self) -> Result<Identity, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            account_id: String,
            #[serde(default)]
            arn: String,
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
            arn: reply.arn,
        })
    }

    async fn send(&self, call: &Call) -> Result<Value, Error> {
        self.read(call).await.map(|(_, answer)| answer)
    }

    /// Sends a call; with its answer comes the moment at which it left.
    async fn read(&self, call: &Call) -> Result<(Instant, Value), Error> {
        let (turns, leave) = (&self.turns, self.leave.as_ref());
        self.transport
            .exchange(&self.caller, turns, leave, call)
            .await
    }

    /// One row that others may be asking for too, by the reading call `action`. When a call has its turn, `read` sends
    /// it as the client that opened it.
    async fn shared<R, F>(
        &self,
        rows: &Together<R>,
        (service, action): (Service, &'static str),
        id: &str,
        freshness: Freshness,
        read: impl Fn(Self, Vec<String>) -> F + Clone + Send + Sync + 'static,
    ) -> Result<Option<(Instant, R)>, Error>
    where
        R: Clone + Send + Sync + 'static,
        F: Future<Output = Fetched<R>> + Send + 'static,
    {
        let scope = Scope {
            access_key_id: self.access_key_id().await?,
            region: self.caller.region.clone(),
            network: self.caller.network,
            service,
            action,
        };
        let cloud = self.clone();
        let fetch: Fetch<R> = Arc::new(move || {
            let (cloud, read) = (cloud.clone(), read.clone());
            async move {
                let bucket = cloud.transport.bucket(&cloud.caller, service, action);
                let cloud = {
                    let grant = cloud.turns.take(&bucket).await;
                    cloud.granted(grant)
                };
                let exchange: Exchange<R> = Box::new(move |ids| read(cloud, ids).boxed());
                exchange
            }
            .boxed()
        });
        rows.ask(scope, self.turns.urgency, id, freshness, fetch)
            .await
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
