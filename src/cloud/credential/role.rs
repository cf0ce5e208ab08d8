//! Keys of a role that other keys may assume.

use serde_json::{Map, Value, json};

use super::{
    Credential, Place, Unavailable,
    issued::{Issued, read},
};
use crate::cloud::{Call, Caller, Effect, Service, Transport};

/// How the operator calls a session that has no other name.
pub(super) const SESSION: &str = "server-group-operator";

/// How long keys last unless a duration is given. Source: STS 2015-04-01, the default.
pub(super) const DURATION_SECONDS: i64 = 3600;

/// The role, and how it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `acs:ram::ACCOUNT:role/NAME`
    pub role_arn: String,
    /// The external id that the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// Shows in the cloud's own audit log.
    pub session_name: Option<String>,
    /// 900 to the role's maximum.
    pub duration_seconds: Option<i64>,
    /// A policy that narrows the permissions of the role.
    pub policy: Option<String>,
}

impl Role {
    pub(super) async fn issue(
        &self,
        base: &Credential,
        transport: &Transport,
        place: &Place,
    ) -> Result<Issued, Unavailable> {
        let caller = Caller {
            credential: base.clone(),
            region: place.region.clone(),
            network: place.network,
            account: String::new(),
        };
        let answer = transport.send(&caller, &self.call()).await;
        let answer = answer.map_err(|error| {
            Unavailable::after(
                &error,
                &format!(
                    "see whether the role {} exists and trusts whom the account's credentials belong to, and whether these may \
                     sts:AssumeRole",
                    self.role_arn
                ),
            )
        })?;
        read(answer)
    }

    /// The call that asks for it.
    #[must_use]
    pub fn call(&self) -> Call {
        let session = self.session_name.as_deref().unwrap_or(SESSION);
        let seconds = self.duration_seconds.unwrap_or(DURATION_SECONDS);
        let mut arguments = Map::new();
        for (name, value) in [
            ("RoleArn", Some(json!(self.role_arn))),
            ("RoleSessionName", Some(json!(session))),
            ("DurationSeconds", Some(json!(seconds))),
            ("ExternalId", self.external_id.as_ref().map(|id| json!(id))),
            ("Policy", self.policy.as_ref().map(|policy| json!(policy))),
        ] {
            if let Some(value) = value {
                arguments.insert(name.to_owned(), value);
            }
        }
        let arguments = Value::Object(arguments);
        Call::new(Service::Sts, "AssumeRole", Effect::Reads, &arguments)
    }
}
