//! The rights that operators have in Kubernetes: those that are shipped, and no others.

use k8s_openapi::api::{
    authorization::v1::SelfSubjectAccessReview,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use super::eventually;

/// The rights that the operator of a stage has in Kubernetes; both are those that are shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those for some namespaces alone.
    Here,
    /// Those for all namespaces.
    Everywhere,
}

/// Gives the service account in `home` the shipped rights in one namespace, and waits until they hold.
pub async fn give(admin: &Client, namespace: &str, home: &str, operator: Client) {
    let shipped = include_str!("../../deploy/rbac/namespaced/role.yaml");
    create(admin, shipped, namespace, home).await;
    // To try would be a request that is denied, and none is to be.
    let review: SelfSubjectAccessReview =
        serde_json::from_value(json!({"spec": {"resourceAttributes": {
            "namespace": namespace, "verb": "list",
            "group": "servergroup.alicloud.dev", "resource": "servergroupmemberships",
        }}}))
        .unwrap();
    let (reviews, params) = (
        Api::<SelfSubjectAccessReview>::all(operator),
        PostParams::default(),
    );
    eventually("the rights hold", || async {
        let answer = reviews.create(&params, &review).await.unwrap();
        answer
            .status
            .is_some_and(|status| status.allowed)
            .then_some(())
    })
    .await;
}

/// Gives the service account in `home` the shipped rights there: the lease, and the Secret that the role names.
pub async fn give_own(admin: &Client, home: &str) {
    let shipped = include_str!("../../deploy/rbac/role.yaml");
    create(admin, shipped, home, home).await;
}

/// Makes a shipped Role in a namespace, and binds it to the service account in `home`.
async fn create(admin: &Client, shipped: &str, namespace: &str, home: &str) {
    let [role, binding] = &shipped.split("\n---\n").collect::<Vec<_>>()[..] else {
        panic!("a Role and its RoleBinding are shipped");
    };
    let mut role: Role = serde_saphyr::from_str(role).unwrap();
    let mut binding: RoleBinding = serde_saphyr::from_str(binding).unwrap();
    role.metadata.namespace = Some(namespace.to_owned());
    binding.metadata.namespace = Some(namespace.to_owned());
    for subject in binding.subjects.iter_mut().flatten() {
        "operator".clone_into(&mut subject.name);
        subject.namespace = Some(home.to_owned());
    }
    let params = PostParams::default();
    let roles = Api::<Role>::namespaced(admin.clone(), namespace);
    roles.create(&params, &role).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(admin.clone(), namespace);
    bindings.create(&params, &binding).await.unwrap();
}
