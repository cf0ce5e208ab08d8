//! What `kubectl get` shows of a dozen objects, each in another state: the table in docs/reasons.md is what is printed here,
//! and the README shows some of its rows.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    timing::Timing,
};
use server_group_sim::world::Product;

use crate::stage::{Stage, control_plane, instance, instances, timing};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

/// Groups for every row, and grants for all but one of them.
async fn stage() -> Stage {
    let mut stage = Stage::new("shop").await;
    {
        let mut world = stage.simulator.world();
        for group in ["web", "cart", "mail", "jobs", "beta", "old", "big"] {
            world.create_group(Product::Clb, &format!("rsp-{group}"));
        }
        world.groups.get_mut("rsp-big").unwrap().quota = 10;
        world.create_group(Product::Alb, "sgp-alb-api");
        world.create_group(Product::Nlb, "sgp-nlb-dns");
        world.create_group(Product::Gwlb, "sgp-walls").drain_seconds = 1e6;
        for group in ["sgp-alb-a", "sgp-alb-b"] {
            world.create_group(Product::Alb, group);
        }
        world.create_scaling_group("asg-shop", (900..903).map(instance));
        world.create_scaling_group("asg-night", (910..912).map(instance));
    }
    let grant = json!({
        "name": "shop", "namespaces": [stage.namespace], "regions": ["*"], "scalingGroups": ["*"], "servers": ["i-*"],
        "serverGroups": ["rsp-web", "rsp-cart", "rsp-mail", "rsp-jobs", "rsp-beta", "rsp-old", "rsp-big", "sgp-*"],
    });
    stage.stop().await;
    stage.grant(&[grant]).await;
    let mut timing = timing();
    // What is parked is not tried again while the table is read.
    timing.parked_retry = Timing::production().parked_retry;
    stage.start_with(stage.operator_client(), timing);
    stage
}

/// Brings every object into its state.
async fn play(stage: &Stage) {
    let port = Some(8080);
    let list = async |name: &str, group: &str, from, count, more: Value| {
        let servers = instances(from, count, port);
        stage.membership(name, group, &servers, more).await;
    };
    let reached = async |name: &str, reason: &str| {
        stage.reason::<Membership>(name, reason).await;
    };
    list("web", "rsp-web", 0, 20, json!({})).await;
    reached("web", "Converged").await;
    list("web-canary", "rsp-web", 19, 2, json!({})).await;
    reached("web-canary", "Conflict").await;
    stage.simulator.world().bad_servers.insert(instance(107));
    list("cart", "rsp-cart", 100, 10, json!({})).await;
    reached("cart", "PartlyApplied").await;
    list("mail", "rsp-mail", 200, 4, json!({})).await;
    reached("mail", "Converged").await;
    list("mail", "rsp-mail", 200, 0, json!({})).await;
    reached("mail", "LastServing").await;
    list("jobs", "rsp-jobs", 300, 3, json!({"suspend": true})).await;
    reached("jobs", "Suspended").await;
    list("beta", "rsp-beta", 400, 6, json!({"mode": "Plan"})).await;
    reached("beta", "Planned").await;
    stage.simulator.world().delete_group("rsp-old");
    list("old", "rsp-old", 500, 2, json!({})).await;
    reached("old", "GroupNotFound").await;
    list("big", "rsp-big", 600, 12, json!({})).await;
    reached("big", "QuotaExceeded").await;
    list("secret", "rsp-secret", 700, 1, json!({})).await;
    reached("secret", "NotGranted").await;
    stage
        .membership("walls", "sgp-walls", &instances(0, 3, None), json!({}))
        .await;
    reached("walls", "Converged").await;
    stage
        .membership("walls", "sgp-walls", &instances(0, 2, None), json!({}))
        .await;
    let leaves = |walls: &Membership| {
        let summary = walls
            .status
            .as_ref()
            .and_then(|status| status.summary.clone());
        summary.as_deref() == Some("2/2 serving, 1 leaving")
    };
    stage.until("one leaves", "walls", leaves).await;
    let alb = |id: &str| json!({"type": "ALB", "id": id, "port": 80, "weight": 50});
    stage
        .attachment(
            "shop",
            "asg-shop",
            &[alb("sgp-alb-a"), alb("sgp-alb-b")],
            json!({}),
        )
        .await;
    stage.reason::<Attachment>("shop", "Converged").await;
    let forced = json!({"forceAttach": true, "forceDetach": true});
    let both = [alb("sgp-alb-b"), json!({"type": "GWLB", "id": "sgp-walls"})];
    stage
        .attachment("night", "asg-night", &both, forced.clone())
        .await;
    stage.reason::<Attachment>("night", "Converged").await;
    stage
        .attachment("night", "asg-night", &both[1..], forced)
        .await;
    stage.reason::<Attachment>("night", "LastServing").await;
    // Last, for these stay in motion and do so for a while.
    let slowly = json!({"removal": {"drainSeconds": 3600}});
    list("dns", "sgp-nlb-dns", 0, 5, slowly.clone()).await;
    reached("dns", "Converged").await;
    list("dns", "sgp-nlb-dns", 0, 4, slowly).await;
    reached("dns", "Draining").await;
    stage.simulator.world().endless_jobs = 1;
    stage
        .membership("api", "sgp-alb-api", &instances(0, 8, port), json!({}))
        .await;
    let joins = |api: &Membership| {
        let summary = api
            .status
            .as_ref()
            .and_then(|status| status.summary.clone());
        summary.as_deref() == Some("0/8 serving, 8 joining")
    };
    stage.until("they join", "api", joins).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dozen_objects_in_a_dozen_states_make_the_table_of_the_reasons() {
    let stage = stage().await;
    play(&stage).await;
    let control_plane = control_plane().await;
    let mut kubectl = control_plane.kubectl().unwrap();
    kubectl.args(["get", "sgm,sga", "-A"]);
    let output = tokio::task::spawn_blocking(move || kubectl.output().unwrap())
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    // Other tests have objects of their own; the namespace ends in what tells it from theirs.
    let ours = printed
        .lines()
        .filter(|line| line.starts_with(&stage.namespace) || line.starts_with("NAMESPACE"));
    let ours: Vec<_> = ours
        .map(|line| line.replace(&stage.namespace, "shop"))
        .collect();
    let page = |name: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(folder.join(name)).unwrap()
    };
    // Without the age.
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[..words.len().saturating_sub(1)].join(" ")
    };
    let rows = |text: &str| -> BTreeSet<String> {
        let rows = text.lines().map(row);
        rows.filter(|row| row.starts_with("shop ")).collect()
    };
    let (known, printed) = (rows(&page("docs/reasons.md")), rows(&ours.join("\n")));
    let missing: Vec<_> = printed.difference(&known).collect();
    let extra: Vec<_> = known.difference(&printed).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not in docs/reasons.md: {missing:#?}\nonly there: {extra:#?}\nthis was printed:\n{}",
        ours.join("\n")
    );
    assert!(printed.len() >= 12);
    // Of one kind, kubectl names neither the namespace nor the kind.
    let readme = page("README.md");
    let (_, shown) = readme.split_once("$ kubectl get sgm ").unwrap();
    let kind = "servergroupmembership.servergroup.alicloud.dev";
    let lines = shown.lines().skip(2).take_while(|line| *line != "```");
    let shown: Vec<_> = lines
        .map(|line| format!("shop {kind}/{}", row(line)))
        .collect();
    assert!(
        shown.len() > 3 && shown.iter().all(|row| printed.contains(row)),
        "the README shows {shown:#?}"
    );
}
