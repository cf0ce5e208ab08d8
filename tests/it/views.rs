//! Views that do not say enough: which address is meant, whether the list is whole, whether the group exists.

use serde_json::json;
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::{
    fault::{Fault, What},
    world::Product,
};

use crate::stage::{Stage, condition, instance, instances, message};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_with_several_addresses_is_named_and_nothing_is_changed() {
    let stage = Stage::new("addresses").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Nlb, "sgp-nlb-web");
        for ip in ["10.0.0.1", "10.0.0.2"] {
            world.put_member("sgp-nlb-web", "eni-1", ip, 80, 100);
        }
    }
    let mut servers = instances(0, 2, Some(80));
    servers.push(json!({"id": "eni-1", "port": 80}));
    stage
        .membership("web", "sgp-nlb-web", &servers, json!({}))
        .await;
    let web: Membership = stage.reason("web", "InvalidSpec").await;
    assert!(
        message(&web).contains("spec.servers[2]"),
        "{}",
        message(&web)
    );
    assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
    assert_eq!(stage.changes(), 0);
    servers[2]["ip"] = json!("10.0.0.2");
    stage
        .membership("web", "sgp-nlb-web", &servers, json!({}))
        .await;
    let web: Membership = stage.reason("web", "Converged").await;
    let ledger = web.status.unwrap().ledger.unwrap();
    assert_eq!(ledger.adopted, ["eni-1@10.0.0.2:80"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_on_a_list_that_was_read_only_in_part() {
    for what in [What::Truncate, What::WrongTotal, What::Repeat, What::Cut] {
        let stage = Stage::new("in-part").await;
        let group = "sgp-nlb-web";
        stage.simulator.world().create_group(Product::Nlb, group);
        let often = json!({"intervalSeconds": 30});
        let three = instances(0, 3, Some(80));
        stage.membership("web", group, &three, often.clone()).await;
        stage.reason::<Membership>("web", "Converged").await;
        let changes = stage.changes();
        let fault = Fault::on("ListServerGroupServers", what).times(u32::MAX);
        stage.simulator.world().faults.push(fault);
        stage.membership("web", group, &three[..2], often).await;
        stage.reason::<Membership>("web", "Retrying").await;
        let looks = stage.all_calls();
        stage
            .reached("more looks", looks + 12, || stage.all_calls())
            .await;
        assert_eq!(stage.changes(), changes);
        stage.simulator.world().faults.clear();
        stage.reason::<Membership>("web", "Converged").await;
        assert_eq!(stage.simulator.world().serving(group), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attachment_keeps_its_weight_unless_it_may_be_empty() {
    let stage = Stage::new("last-weight").await;
    {
        let mut world = stage.simulator.world();
        world.create_group(Product::Alb, "sgp-alb-x");
        world.create_scaling_group("asg-1", [instance(0)]);
    }
    let weight =
        |weight: u8| json!({"type": "ALB", "id": "sgp-alb-x", "port": 80, "weight": weight});
    let apply = async |value: u8, empty: bool| {
        let spec = json!({"removal": {"allowEmpty": empty}});
        stage
            .attachment("feed", "asg-1", &[weight(value)], spec)
            .await;
    };
    apply(50, false).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    apply(60, false).await;
    stage.reason::<Attachment>("feed", "LastServing").await;
    assert_eq!(stage.simulator.world().calls("DetachServerGroups"), 0);
    apply(60, true).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(
        world.scaling_groups["asg-1"].attachments[0].weight,
        Some(60)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_from_a_group_that_seems_to_be_gone_is_not_forced() {
    let stage = Stage::new("gone-unforced").await;
    {
        let mut world = stage.simulator.world();
        for group in ["sgp-alb-x", "sgp-alb-y"] {
            world.create_group(Product::Alb, group);
        }
        world.create_scaling_group("asg-1", [instance(0)]);
    }
    let alb = |id: &str| json!({"type": "ALB", "id": id, "port": 80, "weight": 50});
    let both = [alb("sgp-alb-x"), alb("sgp-alb-y")];
    let forced = json!({"forceDetach": true});
    stage
        .attachment("feed", "asg-1", &both, forced.clone())
        .await;
    stage.reason::<Attachment>("feed", "Converged").await;
    stage.simulator.world().delete_group("sgp-alb-y");
    stage.attachment("feed", "asg-1", &both[..1], forced).await;
    stage.reason::<Attachment>("feed", "Converged").await;
    let world = stage.simulator.world();
    assert_eq!(world.scaling_groups["asg-1"].attachments.len(), 1);
    assert!(world.activities.is_empty(), "it moves nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_and_an_endpoint_that_is_another_are_said() {
    for (reason, code, advice) in [
        (
            "ClockSkew",
            "InvalidTimeStamp.Expired",
            "time synchronisation",
        ),
        (
            "WrongRegion",
            "InvalidAction.NotFound",
            "check spec.regionId",
        ),
    ] {
        let stage = Stage::new("far-off").await;
        let refuse = What::Refuse {
            status: 400,
            code: code.into(),
        };
        let fault = Fault::on("DescribeVServerGroupAttribute", refuse).times(u32::MAX);
        {
            let mut world = stage.simulator.world();
            world.create_group(Product::Clb, "rsp-web");
            world.faults.push(fault);
        }
        let often = json!({"intervalSeconds": 30});
        stage
            .membership("web", "rsp-web", &instances(0, 2, Some(80)), often)
            .await;
        let web: Membership = stage.reason("web", reason).await;
        let said = message(&web);
        assert!(said.contains(code) && said.contains(advice), "{said}");
        assert_eq!(condition(&web, "Stalled").unwrap().0, "True");
        assert_eq!(stage.changes(), 0);
        stage.simulator.world().faults.clear();
        stage.reason::<Membership>("web", "Converged").await;
    }
}
