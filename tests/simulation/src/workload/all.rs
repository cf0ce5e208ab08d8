//! The workloads.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Trouble::{
        self, Clocks, Crash, Failures, Labels, Lag, Late, Lists, Lost, Outage, Pause, Refusals,
        Throttle, Trail, Unlisted,
    },
    Workload,
    builders::{
        TEAM, account, attachment, create, ending, feed, grants, ground, group, make_attachment,
        make_membership, membership, one, scaling_group, server, servers, taking_over, usual,
    },
};
use crate::{lab::Lab, plan::Deed};

const EVERYTHING: &[Trouble] = &[
    Lost, Late, Crash, Pause, Lag, Refusals, Throttle, Outage, Failures, Unlisted, Lists, Clocks,
    Labels, Trail,
];
const HONEST: &[Trouble] = &[
    Lost, Late, Crash, Pause, Lag, Refusals, Throttle, Outage, Failures, Clocks, Labels, Trail,
];
const UNLISTED: &[Trouble] = &[
    Lost, Late, Crash, Pause, Lag, Refusals, Throttle, Outage, Failures, Clocks, Labels, Unlisted,
    Unlisted, Trail,
];
const CALM: Duration = Duration::from_secs(420);

/// All of them.
#[must_use]
pub fn all() -> Vec<Workload> {
    let usual = |name, setup, deed| Workload {
        name,
        replicas: 1,
        setup,
        deed,
        deeds: 4,
        troubles: HONEST,
        most: 3,
        calm: CALM,
    };
    vec![
        usual(
            "clb",
            |lab| alone(lab, "rsp-x", json!({})),
            |random| usual_of(random, "rsp-x", &["a"]),
        ),
        usual(
            "clb-two",
            |lab| two(lab, "rsp-x", json!({})),
            |random| usual_of(random, "rsp-x", &["a", "b"]),
        ),
        usual(
            "alb-two",
            |lab| two(lab, "sgp-alb-x", json!({})),
            |random| usual_of(random, "sgp-alb-x", &["a", "b"]),
        ),
        usual(
            "nlb-drain",
            |lab| two(lab, "sgp-nlb-x", json!({"removal": {"drainSeconds": 20}})),
            |random| usual_of(random, "sgp-nlb-x", &["a", "b"]),
        ),
        usual(
            "gwlb-two",
            |lab| two(lab, "sgp-gw-x", json!({})),
            |random| usual_of(random, "sgp-gw-x", &["a", "b"]),
        ),
        Workload {
            deeds: 5,
            troubles: EVERYTHING,
            ..usual("exclusive", exclusive, strangers)
        },
        Workload {
            deeds: 6,
            ..usual("feeds", feeds, feeding)
        },
        Workload {
            troubles: UNLISTED,
            ..usual("last-ones", last_ones, leaving)
        },
        Workload {
            replicas: 2,
            troubles: UNLISTED,
            ..usual("leaders-last-ones", last_ones, leaving)
        },
        Workload {
            deeds: 5,
            troubles: EVERYTHING,
            ..usual("feeds-alb", feeds_alb, feeding_alb)
        },
        Workload {
            deeds: 5,
            ..usual("balancers", balancers, balancing)
        },
        Workload {
            deeds: 6,
            ..usual("endings", |lab| two(lab, "rsp-x", json!({})), ending_things)
        },
        Workload {
            deeds: 6,
            ..usual("grants", |lab| two(lab, "sgp-nlb-x", json!({})), granting)
        },
        Workload {
            replicas: 2,
            ..usual(
                "leaders",
                |lab| two(lab, "rsp-x", json!({})),
                |random| usual_of(random, "rsp-x", &["a", "b"]),
            )
        },
        Workload {
            replicas: 2,
            deeds: 5,
            troubles: EVERYTHING,
            ..usual("leaders-feeds", feeds, feeding)
        },
        Workload {
            deeds: 8,
            troubles: EVERYTHING,
            ..usual("many", many, much)
        },
        Workload {
            deeds: 7,
            most: 1,
            ..usual(
                "ailing",
                |lab| two(lab, "rsp-x", json!({})),
                listing_who_ails,
            )
        },
    ]
}

fn usual_of(random: &mut fastrand::Rng, group: &str, names: &[&str]) -> Deed {
    let name = *one(random, names);
    match (random.u32(0..15), name) {
        (0, _) => Deed::Delete(membership(name)),
        (5, _) => ailing(random),
        (6, _) => taking_over(random, &membership(name)),
        (1 | 2, "b") => again(group, "b", &[2, 3]),
        (3 | 4, "a") => again(group, "a", &[0, 1]),
        _ => usual(random, &membership(name), group),
    }
}

/// A server stops, or runs again.
fn ailing(random: &mut fastrand::Rng) -> Deed {
    let id = server(random.usize(0..4));
    match random.bool() {
        true => Deed::Stop(id),
        false => Deed::Run(id),
    }
}

/// Lists servers that no group takes at the moment, among others.
fn listing_who_ails(random: &mut fastrand::Rng) -> Deed {
    let pool: [&[usize]; 4] = [&[0, 1, 4], &[0, 5], &[0, 1, 4, 5], &[0, 1]];
    let numbers = *one(random, &pool);
    match random.u32(0..6) {
        0..3 => Deed::Stop(server(random.usize(4..6))),
        3 => Deed::Run(server(random.usize(4..6))),
        _ => Deed::Edit(
            membership("a"),
            json!({"servers": servers("rsp-x", numbers, None)}),
        ),
    }
}

fn again(group: &str, name: &str, numbers: &[usize]) -> Deed {
    let object = membership(name);
    let body = make_membership(&object, group, numbers, json!({}));
    Deed::Create(object, body)
}

fn alone(lab: &mut Lab, id: &str, more: Value) {
    ground(lab);
    group(lab, id);
    let object = membership("a");
    let body = make_membership(&object, id, &[0, 1], more);
    create(lab, &object, body);
}

fn two(lab: &mut Lab, id: &str, more: Value) {
    alone(lab, id, more.clone());
    let object = membership("b");
    let body = make_membership(&object, id, &[2], more);
    create(lab, &object, body);
}

fn exclusive(lab: &mut Lab) {
    two(lab, "rsp-x", json!({"ownership": "Exclusive"}));
    lab.cloud.world().put_member("rsp-x", "i-0020", "", 80, 100);
}

fn strangers(random: &mut fastrand::Rng) -> Deed {
    let stranger = server(random.usize(20..23));
    match random.u32(0..4) {
        0 => Deed::PutMember("rsp-x".into(), stranger),
        1 => Deed::TakeMember("rsp-x".into(), server(random.usize(0..3))),
        _ => usual_of(random, "rsp-x", &["a", "b"]),
    }
}

fn feeds(lab: &mut Lab) {
    two(lab, "rsp-x", json!({}));
    group(lab, "sgp-gw-y");
    scaling_group(lab, "asg-1", &[10, 11]);
    scaling_group(lab, "asg-2", &[12, 13]);
    for (name, of) in [("f", "asg-1"), ("g", "asg-2")] {
        let object = attachment(name);
        let force = json!({"forceAttach": true, "forceDetach": true});
        let body = make_attachment(&object, of, json!([feed("rsp-x", 80, 50)]), force);
        create(lab, &object, body);
    }
}

fn feeding(random: &mut fastrand::Rng) -> Deed {
    if random.u32(0..3) == 0 {
        return usual_of(random, "rsp-x", &["a", "b"]);
    }
    let name = *one(random, &["f", "g"]);
    let object = attachment(name);
    let weight = *one(random, &[50, 60]);
    let pool = [
        json!([feed("rsp-x", 80, weight)]),
        json!([feed("sgp-gw-y", 0, 0)]),
        json!([feed("rsp-x", 80, weight), feed("sgp-gw-y", 0, 0)]),
        json!([feed("rsp-x", 80, weight), feed("rsp-x", 81, weight)]),
        json!([]),
    ];
    let feeds = one(random, &pool).clone();
    match random.u32(0..10) {
        0 => Deed::Delete(object),
        1 => Deed::Edit(object, json!({"suspend": true})),
        2 => taking_over(random, &object),
        _ => Deed::Edit(
            object,
            json!({"suspend": false, "serverGroups": feeds, "forceDetach": random.u32(0..4) > 0}),
        ),
    }
}

/// Each of two objects brings what serves, and sees the other's members serve.
fn last_ones(lab: &mut Lab) {
    alone(
        lab,
        "rsp-x",
        json!({"servers": servers("rsp-x", &[0], None)}),
    );
    // So that the other one may go without leaving nothing attached.
    group(lab, "sgp-gw-y");
    scaling_group(lab, "asg-1", &[10, 11]);
    let object = attachment("f");
    let force = json!({"forceAttach": true, "forceDetach": true});
    let body = make_attachment(
        &object,
        "asg-1",
        json!([feed("rsp-x", 80, 50), feed("sgp-gw-y", 0, 0)]),
        force,
    );
    create(lab, &object, body);
}

fn leaving(random: &mut fastrand::Rng) -> Deed {
    let feeds = |feeds: Value| Deed::Edit(attachment("f"), json!({"serverGroups": feeds}));
    let lists = |numbers: &[usize]| {
        Deed::Edit(
            membership("a"),
            json!({"servers": servers("rsp-x", numbers, None)}),
        )
    };
    match random.u32(0..10) {
        0..3 => feeds(json!([feed("sgp-gw-y", 0, 0)])),
        3 => feeds(json!([feed("rsp-x", 80, 50), feed("sgp-gw-y", 0, 0)])),
        4 | 5 => Deed::Delete(membership("a")),
        6 => again("rsp-x", "a", &[0]),
        7 => lists(&[1]),
        8 => lists(&[0, 1]),
        _ => Deed::Annotate(
            membership("a"),
            "servergroup.alicloud.dev/abandon".into(),
            "true".into(),
        ),
    }
}

fn feeds_alb(lab: &mut Lab) {
    two(lab, "sgp-alb-x", json!({}));
    group(lab, "sgp-nlb-y");
    scaling_group(lab, "asg-1", &[10, 11]);
    let object = attachment("f");
    let force = json!({"forceAttach": true, "forceDetach": true});
    let body = make_attachment(
        &object,
        "asg-1",
        json!([feed("sgp-alb-x", 80, 50), feed("sgp-nlb-y", 80, 50)]),
        force,
    );
    create(lab, &object, body);
}

fn feeding_alb(random: &mut fastrand::Rng) -> Deed {
    let object = attachment("f");
    let weight = *one(random, &[50, 60]);
    let pool = [
        json!([feed("sgp-alb-x", 80, weight), feed("sgp-nlb-y", 80, weight)]),
        json!([feed("sgp-alb-x", 80, weight)]),
        json!([feed("sgp-nlb-y", 80, weight)]),
        json!([]),
    ];
    match random.u32(0..8) {
        0 => Deed::ScaleOut("asg-1".into(), server(random.usize(10..15))),
        1 => Deed::ScaleIn("asg-1".into(), server(random.usize(10..15))),
        2..5 => usual_of(random, "sgp-alb-x", &["a", "b"]),
        _ => Deed::Edit(
            object,
            json!({"serverGroups": one(random, &pool), "forceDetach": random.bool()}),
        ),
    }
}

fn balancers(lab: &mut Lab) {
    ground(lab);
    lab.cloud.world().create_load_balancer("lb-1");
    lab.cloud.world().create_load_balancer("lb-2");
    group(lab, "rsp-x");
    scaling_group(lab, "asg-1", &[10, 11]);
    let object = attachment("f");
    let more = json!({"forceAttach": true, "loadBalancers": [{"id": "lb-1", "weight": 50}]});
    let body = make_attachment(&object, "asg-1", json!([feed("rsp-x", 80, 50)]), more);
    create(lab, &object, body);
}

fn balancing(random: &mut fastrand::Rng) -> Deed {
    let object = attachment("f");
    let weight = *one(random, &[50, 60]);
    let pools = [
        json!([{"id": "lb-1", "weight": weight}]),
        json!([{"id": "lb-2", "weight": weight}]),
        json!([{"id": "lb-1", "weight": weight}, {"id": "lb-2", "weight": 50}]),
        json!([]),
    ];
    match random.u32(0..8) {
        0 => Deed::Delete(object),
        1 => Deed::Edit(object, json!({"suspend": random.bool()})),
        _ => Deed::Edit(
            object,
            json!({
                "suspend": false, "loadBalancers": one(random, &pools), "forceDetach": random.bool(),
                "serverGroups": one(random, &[json!([feed("rsp-x", 80, weight)]), json!([])]),
            }),
        ),
    }
}

fn ending_things(random: &mut fastrand::Rng) -> Deed {
    let name = *one(random, &["a", "b"]);
    let object = membership(name);
    match random.u32(0..3) {
        0 => usual_of(random, "rsp-x", &["a", "b"]),
        _ => {
            let again = make_membership(&object, "rsp-x", &[1, 2], json!({}));
            ending(random, &object, again)
        }
    }
}

fn granting(random: &mut fastrand::Rng) -> Deed {
    match random.u32(0..6) {
        0 => Deed::Edit(account("default"), json!({"grants": grants(&["team-b"])})),
        1 | 2 => Deed::Edit(account("default"), json!({"grants": grants(&["*"])})),
        3 if random.u32(0..4) == 0 => Deed::DeleteNamespace(TEAM.into()),
        _ => usual_of(random, "sgp-nlb-x", &["a", "b"]),
    }
}

fn many(lab: &mut Lab) {
    ground(lab);
    for (index, id) in ["rsp-x", "sgp-alb-x", "sgp-nlb-x", "sgp-gw-x"]
        .iter()
        .enumerate()
    {
        group(lab, id);
        for name in ["a", "b"] {
            let object = membership(&format!("{name}{index}"));
            let numbers: &[usize] = if name == "a" { &[0, 1] } else { &[2, 3] };
            let body = make_membership(&object, id, numbers, json!({}));
            create(lab, &object, body);
        }
    }
}

fn much(random: &mut fastrand::Rng) -> Deed {
    let index = random.usize(..4);
    let id = ["rsp-x", "sgp-alb-x", "sgp-nlb-x", "sgp-gw-x"][index];
    let object = membership(&format!("{}{index}", one(random, &["a", "b"])));
    usual(random, &object, id)
}
