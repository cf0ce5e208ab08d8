//! Objects of both kinds that meet on the instances of a scaling group, in two namespaces, where one of them does not
//! act: it asks for nothing, and keeps no more than what it has.

use futures::StreamExt;
use serde_json::{Value, json};
use server_group_operator::api::{ScalingGroupAttachment, ServerGroupMembership};
use server_group_sim::world::Product;

use crate::{
    stage::{Stage, instance, instances, merge},
    wide::Wide,
};

type Attachment = ScalingGroupAttachment;
type Membership = ServerGroupMembership;

/// Why an object does not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// It does, for comparison.
    No,
    Suspended,
    Planning,
    /// One entry stands twice in its list.
    Invalid,
    NotGranted,
}

const ALL: [Idle; 5] = [
    Idle::No,
    Idle::Suspended,
    Idle::Planning,
    Idle::Invalid,
    Idle::NotGranted,
];

impl Idle {
    fn reason(self) -> &'static str {
        match self {
            Self::No => "Converged",
            Self::Suspended => "Suspended",
            Self::Planning => "Planned",
            Self::Invalid => "InvalidSpec",
            Self::NotGranted => "NotGranted",
        }
    }

    fn fields(self) -> Value {
        match self {
            Self::Suspended => json!({"suspend": true}),
            Self::Planning => json!({"mode": "Plan"}),
            Self::No | Self::Invalid | Self::NotGranted => json!({}),
        }
    }

    fn entries(self, mut entries: Vec<Value>) -> Vec<Value> {
        if self == Self::Invalid {
            entries.push(entries[0].clone());
        }
        entries
    }

    /// Leaves only `granted` a grant, if that is what it lacks.
    async fn grants(self, granted: &Stage) {
        if self == Self::NotGranted {
            granted.grant_all(&[&granted.namespace]).await;
        }
    }
}

/// An NLB group for each letter, and a scaling group of the instances 0 and 1.
async fn wide() -> Wide {
    let wide = Wide::new("idle").await;
    {
        let mut world = wide.one.simulator.world();
        for group in ["sgp-nlb-x", "sgp-nlb-y", "sgp-nlb-z"] {
            world.create_group(Product::Nlb, group).drain_seconds = 0.0;
        }
        world.create_scaling_group("asg-1", (0..2).map(instance));
    }
    wide
}

async fn attach(stage: &Stage, groups: &[&str], idle: Idle) {
    let groups = groups
        .iter()
        .map(|group| json!({"type": "NLB", "id": group, "port": 80, "weight": 100}));
    let mut more = json!({"forceAttach": true, "forceDetach": true, "intervalSeconds": 30});
    merge(&mut more, idle.fields());
    let groups = idle.entries(groups.collect());
    stage.attachment("feed", "asg-1", &groups, more).await;
}

fn ids(stage: &Stage, group: &str) -> Vec<String> {
    let world = stage.simulator.world();
    world.groups[group].ids().into_iter().collect()
}

/// Both stages, in either order.
fn pair(wide: &Wide, swapped: bool) -> (&Stage, &Stage) {
    match swapped {
        false => (&wide.one, &wide.two),
        true => (&wide.two, &wide.one),
    }
}

async fn each(play: impl AsyncFn(Idle, bool)) {
    let rows = ALL
        .into_iter()
        .flat_map(|idle| [false, true].map(|swapped| (idle, swapped)));
    // A few at a time: each mostly waits.
    futures::stream::iter(rows)
        .for_each_concurrent(5, |(idle, swapped)| play(idle, swapped))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_detach_is_not_softened_by_a_membership_that_does_not_act() {
    each(async |idle, swapped| {
        let wide = wide().await;
        let (attaching, listing) = pair(&wide, swapped);
        attach(attaching, &["sgp-nlb-x", "sgp-nlb-y"], Idle::No).await;
        attaching.reason::<Attachment>("feed", "Converged").await;
        attaching
            .simulator
            .world()
            .put_member("sgp-nlb-x", "i-other", "", 80, 100);
        idle.grants(attaching).await;
        let servers = idle.entries(instances(0, 2, Some(80)));
        listing
            .membership("web", "sgp-nlb-x", &servers, idle.fields())
            .await;
        listing.reason::<Membership>("web", idle.reason()).await;
        attach(attaching, &["sgp-nlb-y"], Idle::No).await;
        attaching.reason::<Attachment>("feed", "Converged").await;
        let (expected, activities) = match idle {
            Idle::No => (vec![instance(0), instance(1), "i-other".into()], 1),
            _ => (vec!["i-other".into()], 2),
        };
        let what = format!("{idle:?}, swapped: {swapped}");
        attaching
            .eventually(&what, async || {
                (ids(attaching, "sgp-nlb-x") == expected).then_some(())
            })
            .await;
        assert_eq!(
            attaching.simulator.world().activities.len(),
            activities,
            "{what}"
        );
        assert_eq!(ids(attaching, "sgp-nlb-y"), [0, 1].map(instance), "{what}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_does_not_act_keeps_the_instances_of_what_its_ledger_holds() {
    each(async |idle, swapped| {
        let wide = wide().await;
        let (listing, attaching) = pair(&wide, swapped);
        attach(attaching, &["sgp-nlb-x", "sgp-nlb-y"], Idle::No).await;
        attaching.reason::<Attachment>("feed", "Converged").await;
        let list = async |from, count| {
            for (name, group) in [("x", "sgp-nlb-x"), ("z", "sgp-nlb-z")] {
                let servers = instances(from, count, Some(80));
                listing.membership(name, group, &servers, json!({})).await;
            }
            for name in ["x", "z"] {
                listing.reason::<Membership>(name, "Converged").await;
            }
        };
        list(0, 3).await;
        idle.grants(listing).await;
        // It lists one more, and gets to nothing.
        attach(attaching, &["sgp-nlb-x", "sgp-nlb-y", "sgp-nlb-z"], idle).await;
        attaching.reason::<Attachment>("feed", idle.reason()).await;
        list(2, 1).await;
        let what = format!("{idle:?}, swapped: {swapped}");
        assert_eq!(ids(listing, "sgp-nlb-x"), [0, 1, 2].map(instance), "{what}");
        let left = if idle == Idle::No {
            vec![0, 1, 2]
        } else {
            vec![2]
        };
        let left: Vec<_> = left.into_iter().map(instance).collect();
        assert_eq!(ids(listing, "sgp-nlb-z"), left, "{what}");
    })
    .await;
}
