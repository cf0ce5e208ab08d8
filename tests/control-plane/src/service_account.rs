//! Becoming a service account, as the operator does in a cluster.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};

use crate::{Access, ControlPlane, Error, Patience};

impl ControlPlane {
    /// Makes the service account `namespace/name`, binds `cluster_role` to it, and becomes it.
    ///
    /// The built-in roles that aggregate others, `view` among them, are empty without
    /// kube-controller-manager.
    ///
    /// # Errors
    ///
    /// [`Error::Kubernetes`]; also when there is no such role, or the account or its binding is
    /// already there. [`Error::NotBound`] when the binding has no effect.
    ///
    /// # Panics
    ///
    /// As [`Self::token`].
    pub async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        cluster_role: &str,
    ) -> Result<Access, Error> {
        let client = self.admin().client().await?;
        let post = PostParams::default();
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        Api::namespaced(client.clone(), namespace)
            .create(&post, &account)
            .await?;

        let binding = ClusterRoleBinding {
            metadata: ObjectMeta {
                name: Some(format!("{namespace}:{name}")),
                ..ObjectMeta::default()
            },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: cluster_role.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
                ..Subject::default()
            }]),
        };
        Api::all(client.clone()).create(&post, &binding).await?;

        let access = self.token(namespace, name).await?;
        let role = Api::all(client).get(cluster_role).await?;
        wait_until_bound(&access, &role).await?;
        Ok(access)
    }

    /// Becomes a service account that exists, for an hour.
    ///
    /// # Errors
    ///
    /// [`Error::Kubernetes`] when there is no such account.
    ///
    /// # Panics
    ///
    /// When the server grants a token without handing it out.
    pub async fn token(&self, namespace: &str, name: &str) -> Result<Access, Error> {
        let accounts = Api::<ServiceAccount>::namespaced(self.admin().client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(3600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let granted = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await?;
        let token = granted
            .status
            .expect("a granted request has a status")
            .token;
        Ok(self.admin().with_token(token))
    }
}

/// Waits until the authorizer has heard of the binding, which it watches for like everybody else.
async fn wait_until_bound(access: &Access, role: &ClusterRole) -> Result<(), Error> {
    let not_bound = || Error::NotBound {
        role: role.metadata.name.clone().unwrap_or_default(),
    };
    if role.rules.as_ref().is_none_or(Vec::is_empty) {
        return Err(not_bound());
    }
    let Some(attributes) = first_permission(role) else {
        return Ok(());
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(access.client().await?);
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let mut patience = Patience::default();
    loop {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        // Usually a few milliseconds.
        patience.pause(()).await.map_err(|_| not_bound())?;
    }
}

/// Something that the role allows, or `None` when it allows named objects or paths alone.
fn first_permission(role: &ClusterRole) -> Option<ResourceAttributes> {
    let mut rules = role.rules.iter().flatten();
    let asked = rules.find(|rule| {
        rule.resources.is_some() && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
    })?;
    let (resource, subresource) = match asked.resources.as_ref()?.first()?.split_once('/') {
        Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
        None => (asked.resources.as_ref()?.first()?.clone(), None),
    };
    Some(ResourceAttributes {
        group: asked.api_groups.as_ref()?.first().cloned(),
        resource: Some(resource),
        subresource,
        verb: asked.verbs.first().cloned(),
        ..ResourceAttributes::default()
    })
}
