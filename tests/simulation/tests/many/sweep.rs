//! Whoever asks for something goes before the regular look at everything (L2), and that still comes to its end.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use server_group_sim::{
    fault::{Fault, What as CloudFault},
    world::Product,
};
use simulation::{
    plan::{Deed, What},
    workload::builders::{create, make_membership, membership, server, servers},
};

use crate::crowd::{Crowd, MEMBERSHIPS, SELDOM};

/// How many objects there are.
const MANY: usize = 10_000;

/// The one whose group does not answer.
const HANGS: usize = 200;

/// The one about whose group the cloud takes no call.
const THROTTLED: usize = 100;

/// What an edit may wait for its first call.
const SOON: Duration = Duration::from_secs(2);

/// For ever.
const ALWAYS: u32 = 1_000_000;

/// The call that looks at a group.
const LOOK: &str = "DescribeVServerGroupAttribute";

fn name(number: usize) -> String {
    format!("many-{number:05}")
}

fn group(number: usize) -> String {
    format!("rsp-many-{number:05}")
}

/// Memberships of one server each, which its group has already.
fn ten_thousand() -> Crowd {
    let mut crowd = Crowd::of(MEMBERSHIPS);
    for number in 0..MANY {
        let (id, object) = (group(number), membership(&name(number)));
        {
            let mut world = crowd.lab.cloud.look();
            world.create_group(Product::Clb, &id);
            world.put_member(&id, &server(0), "", 80, 100);
        }
        let seldom = json!({"intervalSeconds": SELDOM});
        let body = make_membership(&object, &id, &[0], seldom);
        create(&mut crowd.lab, &object, body);
    }
    crowd
}

/// Edits an object and returns how long it took until the cloud was first called about its group.
fn edit(crowd: &mut Crowd, number: usize) -> Duration {
    let id = group(number);
    let about = |crowd: &Crowd| crowd.calls(|call| call.resource == id);
    let (begun, before) = (crowd.lab.now(), about(crowd));
    let two = json!({"servers": servers(&id, &[0, 1], None)});
    let deed = Deed::Edit(membership(&name(number)), two);
    crowd.lab.happen(&What::Deed(deed), None);
    while about(crowd) == before && crowd.lab.now() < begun + SOON {
        crowd.pass(Duration::from_millis(20));
    }
    crowd.lab.now().saturating_sub(begun)
}

/// The quotas of production let 25 of them a second be looked at: the sweep takes minutes, an edit does not.
#[test]
fn an_edit_goes_before_a_sweep_of_ten_thousand_a_group_that_hangs_and_one_that_is_throttled() {
    let mut crowd = ten_thousand();
    crowd.converge(Duration::from_mins(30));
    crowd.lab.happen(&What::Silence(group(HANGS)), None);
    let too_many = Fault::on(LOOK, CloudFault::Throttle).times(ALWAYS);
    let too_many = too_many.about(&group(THROTTLED));
    crowd.lab.cloud.world().faults.push(too_many);
    let before = crowd.lab.cloud.look().audit.len();
    crowd.restart();
    crowd.pass(Duration::from_secs(2));
    // By turns those whose look has been, and those who wait for theirs.
    let turns = (0..).flat_map(|nth| [nth, MANY - 1 - nth]);
    let (mut seen, mut told) = (BTreeSet::new(), before);
    for number in turns {
        let waited = edit(&mut crowd, number);
        let at = crowd.lab.now();
        assert!(
            waited < SOON,
            "the edit of {number} waits {waited:?} at {at:?}"
        );
        crowd.pass(Duration::from_secs(30).saturating_sub(waited));
        let world = crowd.lab.cloud.look();
        let looks = world.audit[told..]
            .iter()
            .filter(|call| call.action == LOOK);
        let looked_at = seen.len();
        seen.extend(looks.map(|call| call.resource.clone()));
        told = world.audit.len();
        drop(world);
        println!(
            "{at:?}: first call after {waited:?}, {} looked at",
            seen.len()
        );
        if seen.len() == MANY - 1 {
            break;
        }
        assert!(seen.len() > looked_at, "the sweep has come to a halt");
    }
    assert!(!seen.contains(&group(HANGS)), "nobody answers there");
}
