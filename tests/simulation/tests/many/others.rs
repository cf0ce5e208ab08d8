//! What it costs to ask, before a removal, what others claim and have open on the group.

use std::time::Duration;

use serde_json::{Value, json};
use server_group_sim::world::Product;
use simulation::{
    plan::{Deed, What},
    workload::builders::{
        attachment, create, feed, make_attachment, make_membership, membership, scaling_group,
        server, servers,
    },
};

use crate::{
    crowd::{Crowd, MEMBERSHIPS, SELDOM},
    figures::row,
};

/// What one removal reads of Kubernetes beside so many objects of both kinds on other groups: bytes.
fn read_for_a_removal(memberships: usize, attachments: usize) -> usize {
    let mut crowd = Crowd::of(MEMBERSHIPS);
    let seldom = || json!({"intervalSeconds": SELDOM});
    let group = |crowd: &Crowd, id: &str, members: &[usize]| {
        let mut world = crowd.lab.cloud.look();
        world.create_group(Product::Clb, id);
        for number in members {
            world.put_member(id, &server(*number), "", 80, 100);
        }
    };
    group(&crowd, "rsp-x", &[]);
    let body = make_membership(&membership("x"), "rsp-x", &[0, 1], seldom());
    create(&mut crowd.lab, &membership("x"), body);
    for number in 0..memberships {
        let (id, object) = (
            format!("rsp-{number:05}"),
            membership(&format!("m-{number}")),
        );
        group(&crowd, &id, &[0]);
        let body = make_membership(&object, &id, &[0], seldom());
        create(&mut crowd.lab, &object, body);
    }
    group(&crowd, "rsp-fed", &[]);
    for number in 0..attachments {
        let (id, object) = (format!("asg-{number}"), attachment(&format!("f-{number}")));
        scaling_group(&mut crowd.lab, &id, &[]);
        let feeds: Value = [feed("rsp-fed", 80, 50)].into_iter().collect();
        let body = make_attachment(&object, &id, feeds, seldom());
        create(&mut crowd.lab, &object, body);
    }
    crowd.converge(Duration::from_hours(1));
    // What was added before is nothing that a removal waits for any more.
    crowd.pass(Duration::from_mins(5));
    crowd.lab.read = Some(0);
    let one = json!({"servers": servers("rsp-x", &[0], None)});
    crowd
        .lab
        .happen(&What::Deed(Deed::Edit(membership("x"), one)), None);
    crowd.pass(Duration::from_mins(2));
    let removed = |call: &server_group_sim::audit::Entry| call.action.starts_with("Remove");
    assert_eq!(crowd.calls(removed), 1);
    crowd.lab.read.unwrap_or_default()
}

#[test]
fn a_removal_reads_the_objects_on_its_group_and_the_names_of_all_attachments() {
    let alone = read_for_a_removal(0, 0);
    let kib = |bytes: usize| bytes.div_ceil(1024);
    row("Kubernetes: KiB read for a removal", 0, kib(alone), 8);
    let beside_memberships = read_for_a_removal(2000, 0);
    // Versions have more digits there.
    assert!(
        beside_memberships < alone + 100,
        "memberships on other groups are read: {beside_memberships} bytes"
    );
    let beside_attachments = read_for_a_removal(0, 1000) - alone;
    let each = beside_attachments.div_ceil(1000);
    row(
        "Kubernetes: bytes for each attachment besides",
        0,
        each,
        700,
    );
}
