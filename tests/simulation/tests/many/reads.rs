//! Reads that objects share, as they come with the durations and quotas of production.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_sim::world::Product;
use simulation::workload::builders::{
    attachment, create, feed, group, make_attachment, make_membership, membership, scaling_group,
};

use crate::{
    crowd::{ATTACHMENTS, Crowd, MEMBERSHIPS, SELDOM},
    figures::row,
};

#[test]
fn a_hundred_scaling_groups_of_ten_attachments_take_five_reads_a_pass() {
    let mut crowd = Crowd::of(ATTACHMENTS);
    let groups: Vec<_> = (0..10).map(|number| format!("sgp-nlb-{number}")).collect();
    for id in &groups {
        group(&mut crowd.lab, id);
    }
    let feeds: Value = groups.iter().map(|id| feed(id, 80, 50)).collect();
    for number in 0..100 {
        let (id, name) = (format!("asg-{number:03}"), format!("feed-{number:03}"));
        scaling_group(&mut crowd.lab, &id, &[]);
        let usual = json!({"intervalSeconds": 300});
        let body = make_attachment(&attachment(&name), &id, feeds.clone(), usual);
        create(&mut crowd.lab, &attachment(&name), body);
    }
    crowd.converge(Duration::from_mins(20));
    let attaches = crowd.calls(|call| call.action == "AttachServerGroups");
    row("ESS: calls for 100 x 10 attachments", 200, attaches, 200);
    let changes = |crowd: &Crowd| crowd.calls(|call| call.changes);
    let reads = |crowd: &Crowd| crowd.calls(|call| !call.changes);
    let before = (reads(&crowd), changes(&crowd), crowd.writes());
    crowd.restart();
    // Nobody is due again for 80 % of the interval.
    crowd.pass(Duration::from_secs(200));
    let first = reads(&crowd) - before.0;
    let what = "ESS: reads after a restart, 100 scaling groups";
    row(what, 5, first, 5);
    // And then in company again: each call takes along those who are due next.
    crowd.pass(Duration::from_secs(200));
    let next = reads(&crowd) - before.0 - first;
    row("ESS: reads of the next interval", 5, next, 5);
    let writes = crowd.writes() - before.2;
    row("ESS: writes of two passes at rest", 0, writes, 0);
    assert_eq!(changes(&crowd), before.1);
}

#[test]
fn a_thousand_gwlb_memberships_take_a_thousand_writes_and_read_nothing_twice_for_a_look() {
    let mut crowd = Crowd::of(MEMBERSHIPS);
    for number in 0..1000 {
        let (id, name) = (format!("sgp-gw-{number:04}"), format!("web-{number:04}"));
        crowd.lab.cloud.look().create_group(Product::Gwlb, &id);
        let servers: Vec<_> = (0..10).map(|nth| 10 * (number % 100) + nth).collect();
        let seldom = json!({"intervalSeconds": SELDOM});
        let body = make_membership(&membership(&name), &id, &servers, seldom);
        create(&mut crowd.lab, &membership(&name), body);
    }
    crowd.converge(Duration::from_mins(20));
    let named = |crowd: &Crowd, action: &str| crowd.calls(|call| call.action == action);
    let adds = named(&crowd, "AddServersToServerGroup");
    row("GWLB: writes, 1000 groups x 10", 1000, adds, 1000);
    let lists = named(&crowd, "ListServerGroupServers");
    row("GWLB: lists of members, 2 looks", 2000, lists, 2000);
    // One after the other gets its turn for the list, and what was just changed is waited for: then few ask for the state
    // together. None asks for it twice.
    let states = named(&crowd, "ListServerGroups");
    row("GWLB: reads of the state, 2 looks", 100, states, 2000);
    let before = (crowd.calls(|_| true), crowd.writes());
    crowd.restart();
    crowd.pass(Duration::from_mins(20));
    // As above: nobody knows yet who could keep whom company.
    let what = "GWLB: reads after a restart, 1000 groups";
    row(what, 1050, crowd.calls(|_| true) - before.0, 2000);
    let changes = crowd.calls(|call| call.changes) - adds;
    row("GWLB: writes after a restart", 0, changes, 0);
    let writes = crowd.writes() - before.1;
    row("GWLB: status writes after a restart", 0, writes, 0);
}

/// An intent for each action, a final status for each pass, and once the finalizer. A CLB group takes all its calls in one
/// pass.
#[test]
fn a_thousand_members_take_two_writes_an_action() {
    for (id, actions) in [
        ("rsp-x", 1),
        ("sgp-alb-x", 5),
        ("sgp-nlb-x", 5),
        ("sgp-gw-x", 5),
    ] {
        let mut crowd = Crowd::of(MEMBERSHIPS);
        group(&mut crowd.lab, id);
        // As it is when somebody asked for more.
        crowd.lab.cloud.look().groups.get_mut(id).unwrap().quota = 1000;
        let servers: Vec<_> = (0..1000).collect();
        let body = make_membership(&membership("x"), id, &servers, json!({}));
        create(&mut crowd.lab, &membership("x"), body);
        crowd.converge(Duration::from_hours(1));
        let what = format!("{id}: writes for 1000 additions");
        row(&what, actions + 1, crowd.writes(), 2 * actions + 2);
    }
}
