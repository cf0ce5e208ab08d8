//! The language of the membership tests, for attachments: names stand for `GWLB/NAME`, or with a weight
//! for `ALB/NAME:80`, or with a port for `ALB/NAME:PORT`.

use super::*;
use crate::claim::Standing;

fn key(name: &str) -> (AttachmentKey, Option<Weight>) {
    match name.split_once('=') {
        Some((name, weight)) => (
            format!("ALB/{name}:80").parse().unwrap(),
            Some(weight.parse().unwrap()),
        ),
        None if name.contains(':') => (format!("ALB/{name}").parse().unwrap(), None),
        None => (format!("GWLB/{name}").parse().unwrap(), None),
    }
}

fn keys(words: &[&str]) -> BTreeSet<AttachmentKey> {
    words.iter().map(|word| key(word).0).collect()
}

fn world(text: &str) -> World {
    let mut world = World {
        purpose: Purpose::Converge,
        allow_empty: false,
        force_detach: false,
        desired: BTreeMap::new(),
        attached: BTreeMap::new(),
        view_permits_removal: true,
        ledger: Ledger::default(),
        age: (5, String::new()),
        others: Vec::new(),
        unsettled: BTreeSet::new(),
        awaited: BTreeSet::new(),
        parked: BTreeSet::new(),
        feeds: BTreeMap::new(),
        left_out: BTreeSet::new(),
        contended: BTreeSet::new(),
        spoken_of: Family::ALL.into(),
        foreigners: BTreeMap::new(),
    };
    for sentence in text.split(';') {
        let words: Vec<_> = sentence.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else {
            continue;
        };
        match *verb {
            "want" => world.desired = rest.iter().map(|word| key(word)).collect(),
            "have" => world.attached = rest.iter().map(|word| key(word)).collect(),
            "own" => world.ledger.registered = keys(rest),
            "kept" => world.ledger.adopted = keys(rest),
            "unsettled" => world.unsettled = keys(rest),
            "left-out" => world.left_out = keys(rest),
            "empty-allowed" => world.allow_empty = true,
            "contended" => world.contended = keys(rest),
            "silent" => world.spoken_of.clear(),
            "stranger" | "unconfirmed" => {
                let foreigner = match *verb {
                    "stranger" => Foreigner::Stranger,
                    _ => Foreigner::Unconfirmed,
                };
                let names = keys(rest).into_iter();
                world.foreigners.extend(names.map(|key| (key, foreigner)));
            }
            "forced" => world.force_detach = true,
            "release" => world.purpose = Purpose::Release,
            "partial" => world.view_permits_removal = false,
            "feeds" => {
                let [name, ours, elsewhere, claimed @ ..] = rest else {
                    panic!("feeds NAME OURS ELSEWHERE [UNCLAIMED CLAIMANT]")
                };
                let number = |word: &str| word.parse().unwrap();
                let feed = Feed {
                    ours: number(ours),
                    serving: number(ours),
                    elsewhere: number(elsewhere),
                    late: 0,
                    unclaimed: claimed
                        .first()
                        .filter(|word| **word != "?")
                        .map_or(0, |word| number(word)),
                    missing: claimed.first() == Some(&"?"),
                    claimed_by: claimed.get(1).map(|name| (*name).to_owned()),
                };
                world.feeds.insert(key(name).0, feed);
            }
            "late" => {
                let [name, late] = rest else {
                    panic!("late NAME MEMBERS, after feeds")
                };
                let feed = world.feeds.get_mut(&key(name).0).unwrap();
                feed.late = late.parse().unwrap();
            }
            "listed-by-another" => world.others.push(another(keys(rest), BTreeSet::new())),
            "held-by-another" => world.others.push(another(keys(rest), keys(rest))),
            "given-by-another" => world.others.push(another(BTreeSet::new(), keys(rest))),
            other => panic!("{other} is not a word of this language"),
        }
    }
    world
}

/// A younger object that acts, and attached itself what it holds.
fn another(
    lists: BTreeSet<AttachmentKey>,
    ledger: BTreeSet<AttachmentKey>,
) -> Claimant<AttachmentKey> {
    Claimant {
        name: "ns/other".into(),
        age: (9, String::new()),
        lists,
        registered: ledger.clone(),
        ledger,
        standing: Standing::Enforcing,
    }
}

fn told(plan: &Plan) -> String {
    fn list<'a>(verb: &str, names: impl Iterator<Item = &'a AttachmentKey>) -> Option<String> {
        let short = |key: &AttachmentKey| {
            key.server_group()
                .map(|(_, id)| id.to_owned())
                .unwrap_or_default()
        };
        let names: Vec<_> = names.map(short).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(" ")))
    }
    let mut said: Vec<_> = [
        list("attach", plan.attach.keys()),
        list("adopt", plan.adopt.iter()),
        list("inherit", plan.inherit.iter()),
        list("detach", plan.detach.iter()),
        list("leave", plan.leave.iter()),
        list("swap", plan.swap.iter()),
        list("hand-over", plan.hand_over.iter()),
        list("absent", plan.absent.iter()),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (key, hold) in &plan.held {
        said.push(format!(
            "{} {hold:?}",
            list("hold", [key].into_iter()).unwrap_or_default()
        ));
    }
    if plan.retain {
        said.push("retain".into());
    }
    said.join("; ")
}

fn check(text: &str, expected: &str) {
    let world = world(text);
    let plan = plan(&world);
    assert_eq!(told(&plan), expected, "in the world {text:?}");
    for (batch, forced) in [(&plan.detach, world.force_detach), (&plan.swap, false)] {
        let batch: Vec<_> = batch.iter().cloned().collect();
        let how = if forced {
            guard::Detach::Forced
        } else {
            guard::Detach::Unforced
        };
        if !batch.is_empty() {
            assert_eq!(
                guard::detach(&world, &batch, how),
                Ok(()),
                "planner and guard disagree in {text:?}"
            );
        }
    }
}

#[test]
fn attaches_what_is_missing_and_detaches_what_is_ours() {
    check("want a b; have a; own a", "attach b");
    check("want a; have a b x; own a b", "detach b");
    check("want a; have a", "adopt a");
}

#[test]
fn attaches_before_it_detaches() {
    check(
        "want b; have a; own a",
        "attach b; hold a WaitsForReplacement",
    );
    check("want b; have a b; own a b", "detach a");
}

#[test]
fn an_empty_list_detaches_nothing_unasked() {
    check(
        "have a b; own a b",
        "hold a LastServing; hold b LastServing",
    );
    check("have a b; own a b; empty-allowed", "detach a b");
    check("release; have a b; own a; kept b", "detach a; hand-over b");
}

#[test]
fn a_changed_weight_is_detached_and_attached_again_unless_it_is_the_last() {
    check("want a=10 b=10; have a=20 b=10; own a=1 b=1", "swap a");
    check(
        "want a=10 b=10; have a=20 b=20; own a=1 b=1",
        "swap a; hold b LastServing",
    );
    check("want a=10; have a=20; own a=1", "hold a LastServing");
    check("want a=10; have a=20; own a=1; empty-allowed", "swap a");
    check("want a=10; own a=1", "attach a");
}

#[test]
fn a_forced_detach_needs_somebody_else_who_serves() {
    check(
        "forced; want a; have a b; own a b; feeds b 3 0",
        "hold b LastServing",
    );
    check("forced; want a; have a b; own a b; feeds b 3 1", "detach b");
    check("forced; want a; have a b; own a b; feeds b 0 0", "detach b");
    check("forced; want a; have a b; own a b", "hold b ViewIncomplete");
    check(
        "forced; want a; have a b; own a b; empty-allowed; feeds b 3 0",
        "detach b",
    );
    check(
        "forced; release; have a b; own a b; feeds a 3 0; feeds b 3 1",
        "hold a LastServing; retain",
    );
}

#[test]
fn what_is_unsettled_or_partly_seen_is_left_alone() {
    check("want a; have a b; own a b; unsettled b", "hold b InFlight");
    check(
        "want a; have a b; own a b; partial",
        "hold b ViewIncomplete",
    );
}

#[test]
fn what_another_object_lists_stays_in_our_ledger_until_it_is_in_its_own() {
    for begin in ["want a", "release"] {
        let own = if begin == "release" {
            "own b"
        } else {
            "own a b"
        };
        check(
            &format!("{begin}; have a b; {own}; listed-by-another b"),
            "hold b InFlight",
        );
        check(
            &format!("{begin}; have a b; {own}; held-by-another b"),
            "hand-over b",
        );
    }
    check("want a; have a; own a b; listed-by-another b", "absent b");
    check("want a b; have a b; own a; given-by-another b", "inherit b");
    check(
        "want a b; have a; own a; given-by-another b",
        "hold b InFlight",
    );
}

#[test]
fn strangers_are_detached_and_nothing_else() {
    check("want a; have a x; own a; stranger x", "detach x");
    check("want a; have a x; own a; unconfirmed x", "hold x InFlight");
    check("want a; have a x; own a", "");
    check(
        "want a; have a x; own a; stranger x; listed-by-another x",
        "",
    );
    check("have x; stranger x", "hold x LastServing");
    check("want a; have a b; own a b; contended b", "hold b Contended");
}

#[test]
fn of_what_the_spec_has_no_list_for_it_has_no_opinion() {
    check("silent; have a; own a; empty-allowed", "");
    check("silent; own a", "absent a");
    check("silent; release; have a; own a", "detach a");
}

#[test]
fn the_guard_objects_to_each_rule_by_itself() {
    for (text, name, how, rule) in [
        (
            "want a; have a b; own a b; partial",
            "b",
            guard::Detach::Unforced,
            "S5",
        ),
        (
            "want a; have a b; own a",
            "b",
            guard::Detach::Unforced,
            "S1",
        ),
        (
            "want a b; have a b; own a b",
            "b",
            guard::Detach::Forced,
            "S1",
        ),
        (
            "want a; have a b; own a b; listed-by-another b",
            "b",
            guard::Detach::Unforced,
            "S1",
        ),
        (
            "want a; have a b; own a b; unsettled b",
            "b",
            guard::Detach::Unforced,
            "S6",
        ),
        (
            "want a; have a b; own a b; feeds b 1 0",
            "b",
            guard::Detach::Forced,
            "S4",
        ),
        (
            "want a; have a b; own a b",
            "b",
            guard::Detach::Forced,
            "S4",
        ),
        ("want a; have b; own b", "b", guard::Detach::Unforced, "S4"),
    ] {
        let violation = guard::detach(&world(text), &[key(name).0], how).expect_err(text);
        assert_eq!(violation.rule, rule, "in the world {text:?}");
    }
}

/// Each of the two was once allowed for the members that the other one brings.
#[test]
fn two_ports_of_one_group_do_not_count_on_each_other() {
    let both = "forced; want a; have a b:80 b:81; own a b:80 b:81;";
    let alone = format!("{both} feeds b:80 3 3; feeds b:81 3 3");
    check(&alone, "detach b; hold b LastServing");
    let with_others = format!("{both} feeds b:80 3 4; feeds b:81 3 4");
    check(&with_others, "detach b b");
    check(&format!("{alone}; empty-allowed"), "detach b b");
    let release = alone.replace("want a; have a", "release; have a");
    check(
        &format!("{release}; feeds a 0 1"),
        "hold b LastServing; retain",
    );
    let batch = [key("b:80").0, key("b:81").0];
    let forced = |text: &str| guard::detach(&world(text), &batch, guard::Detach::Forced);
    assert_eq!(forced(&alone).unwrap_err().rule, "S4");
    assert_eq!(forced(&with_others), Ok(()));
    for one in &batch {
        let one = std::slice::from_ref(one);
        assert_eq!(
            guard::detach(&world(&alone), one, guard::Detach::Forced),
            Ok(())
        );
    }
}

/// The object went at once and left all its attachments, for the sake of members that a late call might take.
#[test]
fn a_forced_release_waits_for_a_late_call_and_does_not_end_with_attachments_left_behind() {
    let late = "forced; release; have a; own a; feeds a 3 0; late a 1";
    check(late, "hold a LastServing");
    check("forced; release; have a; own a; feeds a 3 1", "detach a");
    check(
        "forced; release; have a b; own a b; feeds a 3 0; late a 1; feeds b 3 0",
        "hold a LastServing; hold b LastServing; retain",
    );
}

/// Attachments whose groups could be read left, and then everything was said to stay.
#[test]
fn a_forced_release_waits_until_every_group_was_seen() {
    let unread = "forced; release; have a b; own a b; feeds a 3 1";
    check(unread, "hold b ViewIncomplete");
    check(
        &format!("{unread}; feeds b 3 0"),
        "hold b LastServing; retain",
    );
    check(&format!("{unread}; feeds b 3 1"), "detach a b");
}

/// Before each call only the server groups of that call are read: the others of the release were taken for unread, and
/// nothing was ever detached.
#[test]
fn a_forced_release_of_several_calls_goes_on_though_each_look_is_about_one_of_them() {
    let about_a = "forced; release; have a b; own a b; left-out b";
    check(
        &format!("{about_a}; feeds a 3 1"),
        "detach a; hold b ViewIncomplete",
    );
    check(
        &format!("{about_a}; feeds a 3 0"),
        "hold a LastServing; hold b ViewIncomplete; retain",
    );
    check(about_a, "hold a ViewIncomplete; hold b ViewIncomplete");
}

#[test]
fn a_forced_detach_takes_no_instance_out_that_another_object_lists() {
    // All of them are listed elsewhere: they change hands, and nobody else has to serve.
    check(
        "forced; want a; have a b; own a b; feeds b 3 0 0 ns/web",
        "leave b",
    );
    // Some are: it would take those out, or leave the rest behind.
    check(
        "forced; want a; have a b; own a b; feeds b 3 2 1 ns/web",
        "hold b Conflict",
    );
    // A group that seems to be gone is let go of without moving anybody.
    check(
        "forced; want a; have a b; own a b; feeds b 0 0 ?",
        "leave b",
    );
    // A deletion waits for nobody's list.
    check(
        "forced; release; have a; own a; feeds a 3 2 1 ns/web",
        "leave a",
    );
    check(
        "forced; empty-allowed; want a; have a b; own a b",
        "hold b ViewIncomplete",
    );
}
