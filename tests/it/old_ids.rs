//! Scaling groups, load balancers and instances from before 2017, whose ids have no prefix.

use serde_json::json;
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::stage::{Stage, message};

const INSTANCE: &str = "AY140700000000000000";
const BALANCER: &str = "15200000001-cn-hangzhou-dg-a01";
const SCALING_GROUP: &str = "AG6Cxxxxxxxxxxxxxxx0000";

#[tokio::test(flavor = "multi_thread")]
async fn an_old_instance_joins_and_leaves_a_group_of_each_product() {
    let stage = Stage::new("old-instance").await;
    for (name, group, product) in [
        ("clb", "rsp-x", Product::Clb),
        ("alb", "sgp-alb-x", Product::Alb),
        ("nlb", "sgp-nlb-x", Product::Nlb),
        ("gwlb", "sgp-x", Product::Gwlb),
    ] {
        stage
            .simulator
            .world()
            .create_group(product, group)
            .drain_seconds = 0.0;
        let server = |id: &str| match product {
            Product::Gwlb => json!({"id": id, "type": "Ecs"}),
            _ => json!({"id": id, "type": "Ecs", "port": 80}),
        };
        let both = [server(INSTANCE), server("i-1")];
        stage.membership(name, group, &both, json!({})).await;
        let object: ServerGroupMembership = stage.reason(name, "Converged").await;
        let ledger = object.status.unwrap().ledger.unwrap();
        let known = ledger
            .registered
            .iter()
            .any(|key| key.starts_with(INSTANCE));
        assert!(known, "{product:?}: {:?}", ledger.registered);
        assert_eq!(stage.simulator.world().serving(group), 2, "{product:?}");
        stage.membership(name, group, &both[1..], json!({})).await;
        stage
            .reason::<ServerGroupMembership>(name, "Converged")
            .await;
        let world = stage.simulator.world();
        let left: Vec<_> = world.groups[group].ids().into_iter().collect();
        assert_eq!(left, ["i-1"], "{product:?}");
        assert_eq!(world.violations().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_scaling_group_feeds_groups_of_an_old_load_balancer_as_far_as_it_is_granted() {
    let stage = Stage::new("old-balancer").await;
    {
        let mut world = stage.simulator.world();
        world.create_load_balancer(BALANCER);
        world.create_group(Product::Clb, "rsp-x").load_balancer = BALANCER.into();
        world.create_scaling_group(SCALING_GROUP, [INSTANCE.to_owned()]);
    }
    let grant = |balancers: &str| {
        json!({
            "name": "old", "namespaces": [stage.namespace], "regions": ["*"], "serverGroups": ["*"],
            "scalingGroups": [SCALING_GROUP], "loadBalancers": [balancers],
        })
    };
    stage.grant(&[grant("lb-*")]).await;
    let group = json!({"type": "CLB", "id": "rsp-x", "loadBalancerId": BALANCER, "port": 80});
    let more = json!({"loadBalancers": [{"id": BALANCER}], "forceAttach": true});
    stage.attachment("x", SCALING_GROUP, &[group], more).await;
    let refused: ScalingGroupAttachment = stage.reason("x", "NotGranted").await;
    assert!(
        message(&refused).contains(BALANCER),
        "{}",
        message(&refused)
    );
    stage.grant(&[grant("15200000001-*")]).await;
    let object: ScalingGroupAttachment = stage.reason("x", "Converged").await;
    let ledger = object.status.unwrap().ledger.unwrap();
    let keys = [format!("CLB/{BALANCER}/rsp-x:80"), format!("LB/{BALANCER}")];
    assert_eq!(ledger.registered, keys);
    for group in ["rsp-x", BALANCER] {
        assert_eq!(stage.simulator.world().serving(group), 1, "{group}");
    }
}
