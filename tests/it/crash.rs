//! The operator is stopped before and after each cloud call and each status write, and started again from what
//! Kubernetes and the cloud hold: it always ends at the same state, and the audit log shows no rule broken.
//!
//! Each example is first run to its end without a crash; that run says how many points there are and how the
//! end looks.

use std::{ops::Range, time::Duration};

use futures::StreamExt;
use serde_json::{Value, json};
use server_group_operator::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    timing::Timing,
};
use server_group_sim::{When, world::Product};

use crate::{
    stage::{Stage, instance, instances},
    wire::{Point, Tripwire, wired},
};

/// One of the three examples: how the cloud looks at first, and what is applied in which order.
#[derive(Clone, Copy, Debug)]
enum Example {
    Clb,
    Gwlb,
    ScalingGroup,
}

impl Example {
    fn prepare(self, stage: &Stage) {
        let mut world = stage.simulator.world();
        match self {
            Self::Clb => {
                world.create_group(Product::Clb, "rsp-web");
                world.put_member("rsp-web", "i-other", "", 80, 100);
            }
            Self::Gwlb => {
                world.create_group(Product::Gwlb, "sgp-fw").drain_seconds = 5.0;
                world.put_member("sgp-fw", "i-other", "", 6081, 100);
            }
            Self::ScalingGroup => {
                for number in 0..3 {
                    world.create_group(Product::Alb, &format!("sgp-{number}"));
                    world.put_member(&format!("sgp-{number}"), "i-other", "", 80, 100);
                }
                world.create_scaling_group("asg-web", (0..2).map(instance));
                for number in 0..2 {
                    world.put_member("sgp-1", &instance(number), "", 80, 50);
                }
            }
        }
    }

    async fn apply(self, stage: &Stage, step: usize) {
        match self {
            Self::Clb => {
                let list = if step == 0 {
                    instances(0, 25, Some(80))
                } else {
                    instances(20, 10, Some(80))
                };
                stage.membership("x", "rsp-web", &list, json!({})).await;
            }
            Self::Gwlb => {
                let list = if step == 0 {
                    instances(0, 4, None)
                } else {
                    instances(3, 2, None)
                };
                stage.membership("x", "sgp-fw", &list, json!({})).await;
            }
            Self::ScalingGroup => {
                let group = |number: usize| json!({"type": "ALB", "id": format!("sgp-{number}"), "port": 80, "weight": 50});
                let (groups, more): (Vec<Value>, _) = match step {
                    0 => ((0..3).map(group).collect(), json!({})),
                    _ => (vec![group(0), group(2)], json!({"forceDetach": true})),
                };
                stage.attachment("x", "asg-web", &groups, more).await;
            }
        }
    }

    async fn converged(self, stage: &Stage) {
        match self {
            Self::ScalingGroup => {
                _ = stage
                    .reason::<ScalingGroupAttachment>("x", "Converged")
                    .await;
            }
            Self::Clb | Self::Gwlb => {
                _ = stage
                    .reason::<ServerGroupMembership>("x", "Converged")
                    .await;
            }
        }
    }

    async fn deleted(self, stage: &Stage) {
        match self {
            Self::ScalingGroup => {
                stage.delete::<ScalingGroupAttachment>("x").await;
                stage.gone::<ScalingGroupAttachment>("x").await;
            }
            Self::Clb | Self::Gwlb => {
                stage.delete::<ServerGroupMembership>("x").await;
                stage.gone::<ServerGroupMembership>("x").await;
            }
        }
    }

    /// Applies the steps, waits for each, and deletes the object. The operator may be stopped and started meanwhile.
    async fn play(self, stage: &Stage) -> Vec<String> {
        let (mut states, mut steps) = (Vec::new(), Vec::new());
        for step in 0..2 {
            self.apply(stage, step).await;
            self.converged(stage).await;
            states.push(state(stage));
            steps.push(stage.simulator.world().audit.len());
        }
        self.replaces_before_removing(stage, steps[0]..steps[1]);
        self.deleted(stage).await;
        states.push(state(stage));
        states
    }

    /// What S3 says about the second step.
    fn replaces_before_removing(self, stage: &Stage, step: Range<usize>) {
        // Those that are listed by then, and the other one, which serves in every group.
        let least = match self {
            Self::Clb => 10 + 1,
            Self::Gwlb => 2 + 1,
            Self::ScalingGroup => 1,
        };
        let world = stage.simulator.world();
        for entry in &world.audit[step] {
            let enough = entry.serving.iter().all(|serving| serving.after >= least);
            assert!(enough, "{self:?}: fewer than {least} serve: {entry}");
        }
    }
}

/// Who is where, in words.
fn state(stage: &Stage) -> String {
    let world = stage.simulator.world();
    let groups = world
        .groups
        .iter()
        .map(|(id, group)| format!("{id}: {:?}", group.ids()));
    let attached = world.scaling_groups.iter().map(|(id, group)| {
        let mut names: Vec<_> = group
            .attachments
            .iter()
            .map(|had| had.group.clone())
            .collect();
        names.sort();
        format!("{id}: {names:?}")
    });
    groups.chain(attached).collect::<Vec<_>>().join("; ")
}

/// Waits that a restart makes longer than the rest are shortened further: settling, and what lingers.
fn timing() -> Timing {
    let mut timing = crate::stage::timing();
    timing.settle_after_send = Duration::from_millis(150);
    timing.settle_gap = Duration::from_millis(15);
    timing.linger = Duration::from_millis(300);
    timing
}

/// What S1 and S8 say about the audit log.
fn check(stage: &Stage, example: Example, point: &str) {
    let world = stage.simulator.world();
    for entry in world.changing_calls() {
        let strangers = entry.names.iter().any(|name| name.starts_with("i-other"));
        assert!(
            !strangers,
            "{example:?} {point}: a stranger was named: {entry}"
        );
        let limit = match example {
            Example::Clb => 20,
            Example::Gwlb => 200,
            Example::ScalingGroup => 5,
        };
        assert!(entry.names.len() <= limit, "{example:?} {point}: {entry}");
    }
}

/// Plays an example with one crash, and compares with the run without. Tells whether the point was reached.
async fn crash(
    example: Example,
    kubernetes: Option<Point>,
    cloud: Option<Point>,
    reference: &[String],
) -> bool {
    let mut stage = Stage::without_operator("crash").await;
    example.prepare(&stage);
    let wire = Tripwire::new(kubernetes);
    let held = cloud.map(|point| {
        let mut seen = 0;
        stage.simulator.hold(point.when, move |call| {
            seen += usize::from(call.changes);
            call.changes && seen == point.at + 1
        })
    });
    let (client, restarted) = (wired(&stage, &wire), wired(&stage, &Tripwire::new(None)));
    stage.start_with(client, timing());
    let mut running = stage.take_running();
    let point = format!("at {kubernetes:?} {cloud:?}");
    let crashing = async {
        match held {
            Some(mut held) => {
                held.arrived().await;
                running.kill().await;
                held.release();
            }
            None => {
                wire.tripped.notified().await;
                running.kill().await;
            }
        }
        stage.run_with(restarted, timing())
    };
    let playing = example.play(&stage);
    tokio::pin!(playing, crashing);
    let (states, second) = tokio::select! {
        second = &mut crashing => (playing.await, Some(second)),
        states = &mut playing => (states, None),
    };
    assert_eq!(states, reference, "{example:?} {point}");
    check(&stage, example, &point);
    second.is_some()
}

async fn every_point(example: Example) {
    let mut stage = Stage::without_operator("reference").await;
    example.prepare(&stage);
    let wire = Tripwire::new(None);
    let client = wired(&stage, &wire);
    stage.start_with(client, timing());
    let reference = example.play(&stage).await;
    check(&stage, example, "without a crash");
    stage.stop().await;
    let (writes, calls) = (wire.seen(), stage.changes());
    let sides = [When::Before, When::After];
    let kubernetes = (0..writes).flat_map(|at| sides.map(|when| (Some(Point { at, when }), None)));
    let cloud = (0..calls).flat_map(|at| sides.map(|when| (None, Some(Point { at, when }))));
    let points: Vec<_> = kubernetes.chain(cloud).collect();
    // A few at a time: each mostly waits.
    let reference = &reference;
    let runs = futures::stream::iter(&points)
        .map(|(kubernetes, cloud)| crash(example, *kubernetes, *cloud, reference))
        .buffer_unordered(6);
    let crashed = runs
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .filter(|crashed| *crashed)
        .count();
    // How often a state is looked at and written depends on time, so the last points may lie beyond a run's end.
    let all = points.len();
    assert!(
        all >= 20 && crashed * 5 >= all * 4,
        "{example:?}: {crashed} crashes at {all} points"
    );
    eprintln!("{example:?}: {writes} writes and {calls} changing calls, {crashed} crashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clb_group_survives_a_crash_anywhere() {
    every_point(Example::Clb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gwlb_group_survives_a_crash_anywhere() {
    every_point(Example::Gwlb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_group_survives_a_crash_anywhere() {
    every_point(Example::ScalingGroup).await;
}
