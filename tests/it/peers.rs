//! What tools of the same kind get wrong, each as a test of its own name. Those that belong to a subject stand there:
//! a failed job is not success, and one bad server does not stop 199, in `products`; an empty list removes nothing in
//! `removal`; a batch over the limit is never sent in `counts`.

use serde_json::json;
use server_group_operator::api::ServerGroupMembership;
use server_group_sim::world::Product;

use crate::stage::{Stage, instance, instances};

type Membership = ServerGroupMembership;

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_100_members_is_repaired_within_one_interval_without_an_event() {
    let stage = Stage::new("drift-100").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let interval = 1800.0;
    stage
        .membership(
            "web",
            "rsp-web",
            &instances(0, 250, Some(80)),
            json!({"intervalSeconds": interval}),
        )
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    let (deleted_at, before) = {
        let mut world = stage.simulator.world();
        (0..100).for_each(|number| world.delete_member("rsp-web", &instance(number)));
        (world.now, world.audit.len())
    };
    stage
        .eventually("all are back", async || {
            (stage.simulator.world().serving("rsp-web") == 250).then_some(())
        })
        .await;
    {
        let world = stage.simulator.world();
        let looks = world.audit[before..].iter();
        let mut looks = looks.filter(|call| call.action == "DescribeVServerGroupAttribute");
        let found = looks.next().unwrap().at;
        // The look comes after 0.9 of it at the latest; whether a bit later is up to the machine.
        let waited = found - deleted_at;
        assert!(waited < 1.7 * interval, "{waited} s");
        // At once, and not at the look after that.
        let repaired = world.changing_calls().last().unwrap().number;
        let more = looks.filter(|call| call.number < repaired).count();
        assert_eq!(more, 0, "looks before it was repaired");
    }
    let later: Membership = stage.reason("web", "Converged").await;
    assert_eq!(later.metadata.generation, web.metadata.generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn deregister_never_runs_before_register() {
    for (product, group) in [
        (Product::Clb, "rsp-web"),
        (Product::Alb, "sgp-alb-web"),
        (Product::Nlb, "sgp-nlb-web"),
        (Product::Gwlb, "sgp-web"),
    ] {
        let stage = Stage::new("register-first").await;
        stage
            .simulator
            .world()
            .create_group(product, group)
            .drain_seconds = 0.0;
        let port = (product != Product::Gwlb).then_some(80);
        stage
            .membership("web", group, &instances(0, 30, port), json!({}))
            .await;
        stage.reason::<Membership>("web", "Converged").await;
        let before = stage.simulator.world().audit.len();
        stage
            .membership("web", group, &instances(100, 30, port), json!({}))
            .await;
        stage.reason::<Membership>("web", "Converged").await;
        let world = stage.simulator.world();
        let calls = world.audit[before..].iter().filter(|call| call.changes);
        let calls: Vec<_> = calls.map(|call| call.action.as_str()).collect();
        let first_out = calls.iter().position(|call| call.starts_with("Remove"));
        let last_in = calls.iter().rposition(|call| call.starts_with("Add"));
        assert!(first_out > last_in, "{product:?}: {calls:?}");
        let serving = world.audit[before..].iter().flat_map(|call| &call.serving);
        let least = serving.map(|serving| serving.after).min();
        assert_eq!(least, Some(30), "{product:?}");
    }
}
