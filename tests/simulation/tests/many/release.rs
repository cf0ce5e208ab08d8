//! What a release waits for, with many groups that have many members.

use std::time::Duration;

use serde_json::{Value, json};
use simulation::{
    plan::{Deed, What},
    workload::builders::{attachment, create, feed, group, make_attachment, scaling_group},
};

use crate::crowd::{ATTACHMENTS, Crowd};

/// All groups had to be read in the minute before each call: with so many members nothing was ever detached.
#[test]
fn a_forced_release_ends_though_its_groups_take_more_than_a_minute_to_read() {
    let mut crowd = Crowd::of(ATTACHMENTS);
    let ids: Vec<_> = (0..44).map(|number| format!("sgp-nlb-{number}")).collect();
    for id in &ids {
        group(&mut crowd.lab, id);
        let mut world = crowd.lab.cloud.look();
        world.groups.get_mut(id).unwrap().quota = 3000;
        for other in 0..2000 {
            world.put_member(id, &format!("i-other{other:04}"), "", 80, 100);
        }
    }
    // As it is when somebody asked for more.
    crowd.lab.cloud.look().attachments_max = ids.len();
    scaling_group(&mut crowd.lab, "asg-x", &[1, 2]);
    let feeds: Value = ids.iter().map(|id| feed(id, 80, 50)).collect();
    let forced = json!({"forceDetach": true});
    let body = make_attachment(&attachment("x"), "asg-x", feeds, forced);
    create(&mut crowd.lab, &attachment("x"), body);
    crowd.converge(Duration::from_hours(1));
    let before = crowd.calls(|call| call.action == "ListServerGroupServers");
    crowd
        .lab
        .happen(&What::Deed(Deed::Delete(attachment("x"))), None);
    let begun = crowd.lab.now();
    while crowd.lab.cluster.objects(ATTACHMENTS).next().is_some() {
        assert!(
            crowd.lab.now().saturating_sub(begun) < Duration::from_hours(1),
            "it never ends"
        );
        crowd.pass(Duration::from_secs(1));
    }
    let reads = crowd.calls(|call| call.action == "ListServerGroupServers") - before;
    let took = crowd.lab.now().saturating_sub(begun);
    eprintln!("released in {took:?}, {reads} pages");
    let serving = |id: &String| crowd.lab.cloud.look().groups[id].members.len();
    assert!(
        ids.iter().all(|id| serving(id) == 2000),
        "our instances left"
    );
}
