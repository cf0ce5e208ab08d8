//! A namespace that is deleted ends, with a real kube-controller-manager, whatever went first (L4).
//!
//! The operator's service account lives in another namespace, as it does in a cluster. These tests have a control
//! plane of their own: on the one that the others share, namespaces stay.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::http::{Method, Request, Response};
use control_plane::{ControlPlane, Options};
use k8s_openapi::api::{
    core::v1::Namespace,
    events::v1::Event,
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    client::Body,
};
use serde_json::json;
use server_group_operator::api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{When, world::Product};
use tokio::sync::OnceCell;
use tower::service_fn;

use crate::stage::{Rights, Stage, install, instance, instances, timing};

type Membership = ServerGroupMembership;
type Attachment = ScalingGroupAttachment;

/// What goes before the namespace does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The objects, whose release is under way when the namespace goes.
    Objects,
    ServerGroups,
    Account,
    Grant,
    /// The operator's rights.
    Binding,
}

const ORDERS: [First; 5] = [
    First::Objects,
    First::ServerGroups,
    First::Account,
    First::Grant,
    First::Binding,
];

/// A control plane whose kube-controller-manager ends namespaces; it ends with this binary.
async fn control_plane() -> &'static ControlPlane {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let start = async || {
        let options = Options {
            controller_manager: true,
            ..Options::default()
        };
        ControlPlane::start(&options).await.unwrap()
    };
    let own = OWN.get_or_init(start).await;
    INSTALLED.get_or_init(|| install(own)).await;
    own
}

/// A namespace with three members and an attachment registered, and nobody else who serves.
async fn stage(released: bool) -> Stage {
    stage_with(Rights::Everywhere, released).await
}

async fn stage_with(rights: Rights, released: bool) -> Stage {
    let control_plane = control_plane().await;
    let home = control_plane.namespace("home").await.unwrap();
    let namespace = control_plane.namespace("doomed").await.unwrap();
    let mut stage = Stage::at(control_plane, namespace, home, rights).await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Clb, "rsp-web");
        for id in ["sgp-1", "sgp-2"] {
            world.create_group(Product::Gwlb, id).drain_seconds = 0.0;
        }
        world.create_scaling_group("asg-1", [instance(7)]);
        world.attach("asg-1", "GWLB", "sgp-2", None, None);
        world.put_member("sgp-1", &instance(7), "", 6081, 100);
    }
    stage.start();
    let removal = json!({"removal": {"allowEmpty": released}});
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 3, Some(80)),
            removal.clone(),
        )
        .await;
    let mut more = json!({"forceDetach": true});
    crate::stage::merge(&mut more, removal);
    let groups = [json!({"type": "GWLB", "id": "sgp-1"})];
    stage.attachment("feed", "asg-1", &groups, more).await;
    stage.reason::<Membership>("web", "Converged").await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage
}

fn namespaces(stage: &Stage) -> Api<Namespace> {
    Api::all(stage.client.clone())
}

/// Deletes the namespace, and waits until it takes no event any more.
async fn delete_namespace(stage: &Stage) {
    let params = DeleteParams::default();
    let namespace = &stage.namespace;
    namespaces(stage).delete(namespace, &params).await.unwrap();
    let events = Api::<Event>::namespaced(stage.client.clone(), namespace);
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some("probe-".to_owned()),
            ..ObjectMeta::default()
        },
        ..Event::default()
    };
    stage.eventually("events are refused", async || {
        let refused = events.create(&PostParams::default(), &event).await;
        let forbidden =
            |error: &kube::Error| matches!(error, kube::Error::Api(said) if said.is_forbidden());
        refused.is_err_and(|error| forbidden(&error)).then_some(())
    })
    .await;
}

async fn namespace_is_gone(stage: &Stage) {
    stage
        .eventually("the namespace is gone", async || {
            let found = namespaces(stage).get_opt(&stage.namespace).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    stage.gone::<Membership>("web").await;
    stage.gone::<Attachment>("feed").await;
}

/// Deletes the namespace after what goes first, and gives back what the operator lacks.
async fn end(stage: &Stage, first: First) {
    match first {
        First::Objects => {
            let look = "DescribeVServerGroupAttribute";
            let mut held = stage
                .simulator
                .hold(When::Before, move |call| call.action == look);
            stage.delete::<Membership>("web").await;
            stage.delete::<Attachment>("feed").await;
            stage.awaited("the call", held.arrived()).await;
            delete_namespace(stage).await;
            held.release();
        }
        First::ServerGroups => {
            for id in ["rsp-web", "sgp-1"] {
                stage.simulator.world().delete_group(id);
            }
            delete_namespace(stage).await;
        }
        First::Account | First::Grant => {
            take_away(stage, first).await;
            stage.grant_all(&[&stage.namespace]).await;
        }
        First::Binding => {
            let bindings = Api::<ClusterRoleBinding>::all(stage.client.clone());
            let name = format!("{}:operator", stage.home);
            let mut binding = bindings.get(&name).await.unwrap();
            bindings
                .delete(&name, &DeleteParams::default())
                .await
                .unwrap();
            delete_namespace(stage).await;
            deletion_reaches_the_objects(stage).await;
            let (looks, changes) = (stage.all_calls(), stage.changes());
            stage
                .reached("it goes on looking", looks + 6, || stage.all_calls())
                .await;
            let changed = stage.changes() - changes;
            assert_eq!(changed, 0, "what cannot be written down is not sent");
            binding.metadata = ObjectMeta {
                name: Some(name),
                ..ObjectMeta::default()
            };
            bindings
                .create(&PostParams::default(), &binding)
                .await
                .unwrap();
        }
    }
}

/// Waits until both objects are being deleted.
async fn deletion_reaches_the_objects(stage: &Stage) {
    let deleted = |meta: &ObjectMeta| meta.deletion_timestamp.is_some();
    stage
        .until("its deletion", "web", |web: &Membership| {
            deleted(web.meta())
        })
        .await;
    stage
        .until("its deletion", "feed", |feed: &Attachment| {
            deleted(feed.meta())
        })
        .await;
}

/// Takes account or grant away and deletes the namespace; both objects say what they lack.
async fn take_away(stage: &Stage, first: First) {
    let reason = if first == First::Account {
        let accounts = Api::<CloudAccount>::all(stage.client.clone());
        let (name, params) = (stage.account(), DeleteParams::default());
        accounts.delete(&name, &params).await.unwrap();
        // It would wait for its objects: somebody takes its finalizer away.
        let none = json!({"metadata": {"finalizers": null}});
        let params = PatchParams::default();
        accounts
            .patch(&name, &params, &Patch::Merge(&none))
            .await
            .unwrap();
        "AccountNotFound"
    } else {
        stage.grant(&[]).await;
        "NotGranted"
    };
    // Both have heard of it, so that neither is released under what is gone.
    stage.reason::<Membership>("web", reason).await;
    stage.reason::<Attachment>("feed", reason).await;
    let calls = stage.all_calls();
    delete_namespace(stage).await;
    deletion_reaches_the_objects(stage).await;
    stage.reason::<Membership>("web", reason).await;
    stage.reason::<Attachment>("feed", reason).await;
    assert_eq!(
        stage.all_calls(),
        calls,
        "nothing is called without a grant"
    );
}

/// Members that are still registered, and whether the server group is still attached.
fn left(stage: &Stage) -> (usize, bool) {
    let world = stage.simulator.world();
    let attached = &world.scaling_groups["asg-1"].attachments;
    assert!(
        attached.iter().any(|had| had.group == "sgp-2"),
        "somebody else's attachment stays"
    );
    let ours = attached.iter().any(|had| had.group == "sgp-1");
    (world.serving("rsp-web"), ours)
}

/// Runs one case for each order, all at once: most of the time goes by while Kubernetes waits.
async fn each<F: Future<Output = ()> + Send + 'static>(
    orders: impl IntoIterator<Item = First>,
    case: impl Fn(First) -> F,
) {
    let started = orders
        .into_iter()
        .map(|first| (first, tokio::spawn(case(first))));
    for (first, case) in started.collect::<Vec<_>>() {
        case.await
            .unwrap_or_else(|failed| panic!("{first:?} first: {failed}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_ends_whatever_goes_first_and_what_was_registered_leaves() {
    each(ORDERS, async |first| {
        let stage = stage(true).await;
        end(&stage, first).await;
        namespace_is_gone(&stage).await;
        assert_eq!(left(&stage), (0, false), "{first:?}\n{}", stage.calls());
    })
    .await;
}

/// A client whose first write of a status is forbidden once it is armed, as while rights are on their way back.
fn forbidding_once(client: Client, armed: Arc<AtomicBool>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let forbidden = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "not now",
    });
    let forbidding = service_fn(move |request: Request<Body>| {
        let writes = request.uri().path().ends_with("/status") && request.method() == Method::PUT;
        let forbids = writes && armed.swap(false, Ordering::SeqCst);
        let (client, forbidden) = (client.clone(), forbidden.to_string());
        async move {
            if !forbids {
                return client.send(request).await;
            }
            let answer = Response::builder().status(403);
            Ok(answer.body(Body::from(forbidden.into_bytes())).unwrap())
        }
    });
    Client::new(forbidding, namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_come_back_in_the_middle_of_a_pass_are_not_taken_for_gone() {
    let mut stage = stage(true).await;
    stage.stop().await;
    let armed = Arc::new(AtomicBool::new(false));
    let client = forbidding_once(stage.operator_client(), Arc::clone(&armed));
    stage.start_with(client, timing());
    armed.store(true, Ordering::SeqCst);
    delete_namespace(&stage).await;
    namespace_is_gone(&stage).await;
    assert!(!armed.load(Ordering::SeqCst), "a write was forbidden");
    assert_eq!(left(&stage), (0, false), "{}", stage.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_ends_whatever_goes_first_and_the_last_that_serve_stay() {
    each(ORDERS, async |first| {
        let stage = stage(false).await;
        let changes = stage.changes();
        end(&stage, first).await;
        namespace_is_gone(&stage).await;
        if first == First::ServerGroups {
            // Nobody serves in a group that is gone.
            assert_eq!(left(&stage), (0, false));
        } else {
            assert_eq!(left(&stage), (3, true), "{first:?}\n{}", stage.calls());
            assert_eq!(stage.changes(), changes);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_ends_at_once_without_account_or_grant_when_its_objects_are_abandoned() {
    each([First::Account, First::Grant], async |first| {
        let stage = stage(true).await;
        take_away(&stage, first).await;
        stage.annotate::<Membership>("web", "abandon", "true").await;
        stage
            .annotate::<Attachment>("feed", "abandon", "true")
            .await;
        namespace_is_gone(&stage).await;
        assert_eq!(left(&stage), (3, true), "{first:?}\n{}", stage.calls());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_ends_though_the_rights_in_it_went_first_and_what_was_registered_stays() {
    let stage = stage_with(Rights::Here, true).await;
    let bindings = Api::<RoleBinding>::namespaced(stage.client.clone(), &stage.namespace);
    let all = ListParams::default();
    bindings
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
    delete_namespace(&stage).await;
    namespace_is_gone(&stage).await;
    assert_eq!(left(&stage), (3, true), "{}", stage.calls());
}
