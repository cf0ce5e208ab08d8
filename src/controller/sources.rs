//! One source of keys for each account and region, kept as long as the account says the same.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::events::chain;
use crate::{
    api::{self, CredentialType},
    cloud::{
        Credential, Environment, InstanceRole, KeysStand, Network, Oidc, Place, ReadSecret, Role,
        Transport, Unavailable, keys_of_secret,
    },
    timing::Timing,
};

/// The identity as which an account's objects act: everything that a source is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where the keys come from.
    pub credentials: api::Credentials,
    /// A role that is assumed with them.
    pub assume_role: Option<api::AssumeRole>,
    /// Public or VPC endpoints.
    pub network: Network,
}

/// The most sources that are kept. A tenant may name regions that there are not, and each has one.
const KNOWN_MAX: usize = 1000;

/// The sources in use.
///
/// Each region asks its own STS: one that is out of reach, or that a tenant made up, keeps nobody elsewhere waiting.
pub struct Sources {
    client: Client,
    transport: Transport,
    environment: Environment,
    namespace: String,
    timing: Timing,
    /// By account and region.
    known: Mutex<BTreeMap<(String, String), Known>>,
}

/// A source, and for whom it was made.
type Known = (Arc<Identity>, Credential);

impl Sources {
    /// Sources of an operator that has this environment, and its Secrets in `namespace`.
    #[must_use]
    pub fn new(
        client: Client,
        transport: Transport,
        environment: Environment,
        namespace: String,
        timing: Timing,
    ) -> Self {
        Self {
            client,
            transport,
            environment,
            namespace,
            timing,
            known: Mutex::default(),
        }
    }

    /// The source of an account for work in `region`: the same one as long as the account says the same.
    pub fn of(&self, account: &str, identity: &Arc<Identity>, region: &str) -> Credential {
        let key = (account.to_owned(), region.to_owned());
        let mut known = self.known.lock();
        if let Some((of, credential)) = known.get(&key)
            && of == identity
        {
            return credential.clone();
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let credential = self.new_source(identity, region);
        known.insert(key, (Arc::clone(identity), credential.clone()));
        credential
    }

    /// How the sources stand that are asked for keys.
    pub fn stand(&self) -> Vec<KeysStand> {
        let known = self.known.lock();
        let sources = known.values().filter_map(|(_, source)| source.stands());
        sources.collect()
    }

    fn new_source(&self, identity: &Identity, region: &str) -> Credential {
        let place = Place {
            region: region.to_owned(),
            network: identity.network,
        };
        let (transport, given) = (&self.transport, &identity.credentials);
        let source = match given.type_ {
            CredentialType::Environment => Credential::environment(self.environment.clone()),
            CredentialType::Secret => {
                let name = given.secret.as_ref().map(|secret| secret.name.clone());
                Credential::secret(self.reader(name.unwrap_or_default()), transport)
            }
            CredentialType::Oidc => {
                let given = given.oidc.clone().unwrap_or_default();
                let oidc = Oidc {
                    role_arn: given.role_arn,
                    provider_arn: given.oidc_provider_arn,
                    token_file: given.token_file,
                };
                Credential::oidc(oidc, self.environment.clone(), transport, place.clone())
            }
            CredentialType::InstanceRole => {
                let given = given.instance_role.clone().unwrap_or_default();
                let role_name = given.role_name;
                Credential::instance_role(InstanceRole { role_name }, transport)
            }
        };
        match &identity.assume_role {
            None => source,
            Some(role) => source.assuming(in_client(role), transport, place),
        }
    }

    /// Reads a Secret of the operator's own namespace.
    fn reader(&self, name: String) -> ReadSecret {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let (namespace, patience) = (self.namespace.clone(), self.timing.kubernetes_deadline);
        Arc::new(move || {
            let (secrets, name, namespace) = (secrets.clone(), name.clone(), namespace.clone());
            async move {
                let read = tokio::time::timeout(patience, secrets.get_opt(&name)).await;
                let read = read.map_err(|_| late(&name))?;
                let secret = read.map_err(|error| unreadable(&name, &namespace, &error))?;
                let secret = secret.ok_or_else(|| {
                    Unavailable::because(format!(
                        "there is no Secret {name:?} in the operator's namespace {namespace}; create it, or correct \
                         spec.credentials.secret.name of the account"
                    ))
                })?;
                let data = secret.data.unwrap_or_default().into_iter();
                keys_of_secret(&name, &data.map(|(key, value)| (key, value.0.into())).collect())
            }
            .boxed()
        })
    }
}

fn late(name: &str) -> Unavailable {
    Unavailable::passing(format!("the Secret {name:?} could not be read in time"))
}

/// A refusal is for a person; any other reason why a Secret cannot be read passes.
fn unreadable(name: &str, namespace: &str, error: &kube::Error) -> Unavailable {
    match error {
        kube::Error::Api(status) if status.code == 403 => Unavailable::because(format!(
            "the operator may not read the Secret {name:?} in its namespace {namespace}; add the name to the Role in \
             deploy/rbac/role.yaml"
        )),
        error => Unavailable::passing(format!(
            "the Secret {name:?} could not be read: {}",
            chain(error)
        )),
    }
}

fn in_client(role: &api::AssumeRole) -> Role {
    let api::AssumeRole {
        role_arn,
        external_id,
        session_name,
        duration_seconds,
        policy,
    } = role.clone();
    Role {
        role_arn,
        external_id,
        session_name,
        duration_seconds,
        policy,
    }
}
