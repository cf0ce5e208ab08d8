//! One small language for worlds, so that the tests are data.
//!
//! `want a b=0` lists members and weights, `have a b=0 c!adding` is what the group holds, `own a` was
//! registered, `kept a` adopted, `other NAME AGE enforcing|idle|leaving lists … holds …` is another object.
//! `brought a`: an attached scaling group brings it. Further words set the rest: `empty-allowed`, `min N`, `release`, `unsettled a`, `parked a`, `partial`, `gwlb`.

use super::*;
use crate::claim::Standing;

fn key(text: &str) -> ServerKey {
    text.parse().unwrap()
}

fn keys(words: &[&str]) -> BTreeSet<ServerKey> {
    words.iter().map(|word| key(word)).collect()
}

fn weighted(word: &str) -> (&str, Option<Weight>) {
    match word.split_once('=') {
        Some((name, weight)) => (name, Some(weight.parse().unwrap())),
        None => (word, None),
    }
}

fn row(word: &str) -> (ServerKey, Row) {
    let (word, state) = word.split_once('!').unwrap_or((word, "available"));
    let (name, weight) = weighted(word);
    let state = match state {
        "available" => State::Available,
        "adding" => State::Adding,
        "configuring" => State::Configuring,
        "removing" => State::Removing,
        "draining" => State::Draining,
        _ => State::Other,
    };
    (
        key(name),
        Row {
            kind: ServerKind::Ecs,
            weight: weight.or(Some(100)),
            state,
            remote_ip: None,
        },
    )
}

fn claimant(words: &[&str]) -> Claimant<ServerKey> {
    let [name, age, standing, rest @ ..] = words else {
        panic!("other NAME AGE STANDING …")
    };
    let holds = rest
        .iter()
        .position(|word| *word == "holds")
        .unwrap_or(rest.len());
    let standing = match *standing {
        "enforcing" => Standing::Enforcing,
        "idle" => Standing::Idle,
        _ => Standing::Leaving,
    };
    let lists = rest.get(1..holds).map(keys).unwrap_or_default();
    let held = rest.get(holds + 1..).unwrap_or_default();
    let put = held.iter().position(|word| *word == "put");
    let (adopted, put) = held.split_at(put.unwrap_or(held.len()));
    let registered = put.get(1..).map(keys).unwrap_or_default();
    Claimant {
        name: (*name).to_owned(),
        age: (age.parse().unwrap(), String::new()),
        lists,
        ledger: keys(adopted).union(&registered).cloned().collect(),
        registered,
        standing,
    }
}

/// Our own age in every world.
const AGE: i64 = 5;

fn world(text: &str) -> World {
    let mut world = World {
        product: Product::Clb,
        purpose: Purpose::Converge,
        policy: Policy {
            min_serving: Amount::Count(1),
            max_unavailable: Amount::Percent(25),
            allow_empty: false,
        },
        desired: BTreeMap::new(),
        rows: BTreeMap::new(),
        view_permits_removal: true,
        ledger: Ledger::default(),
        age: (AGE, String::new()),
        others: Vec::new(),
        unsettled: BTreeSet::new(),
        parked: BTreeSet::new(),
        quota_reached: false,
        may_be_taken: BTreeSet::new(),
        awaited: BTreeSet::new(),
        contended: BTreeSet::new(),
        drains: false,
        draining: BTreeMap::new(),
        foreigners: BTreeMap::new(),
        brought: Some(BTreeSet::new()),
        keep: false,
    };
    for sentence in text.split(';') {
        let words: Vec<_> = sentence.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else {
            continue;
        };
        match *verb {
            "want" => {
                for (name, weight) in rest.iter().map(|word| weighted(word)) {
                    world.desired.insert(
                        key(name),
                        Wish {
                            kind: ServerKind::Ecs,
                            weight,
                            remote_ip: None,
                        },
                    );
                }
            }
            "have" => world.rows = rest.iter().map(|word| row(word)).collect(),
            "own" => world.ledger.registered = keys(rest),
            "kept" => world.ledger.adopted = keys(rest),
            "other" => world.others.push(claimant(rest)),
            "empty-allowed" => world.policy.allow_empty = true,
            "min" => world.policy.min_serving = rest[0].parse().unwrap(),
            "release" => world.purpose = Purpose::Release,
            "unsettled" => world.unsettled = keys(rest),
            "awaited" => world.awaited = keys(rest),
            "late" => world.may_be_taken = keys(rest),
            "parked" => world.parked = keys(rest),
            "contended" => world.contended = keys(rest),
            "drains" => world.drains = true,
            "draining" => {
                for word in rest {
                    let (word, due) = word
                        .strip_suffix("!due")
                        .map_or((*word, false), |word| (word, true));
                    let (name, weight) = weighted(word);
                    let weight = weight.unwrap_or(100);
                    world.draining.insert(key(name), Drain { weight, due });
                }
            }
            "stranger" | "unconfirmed" | "ess" | "unknown" => {
                let foreigner = match *verb {
                    "stranger" => Foreigner::Stranger,
                    "unconfirmed" => Foreigner::Unconfirmed,
                    "ess" => Foreigner::EssManaged,
                    _ => Foreigner::Unknown,
                };
                let names = keys(rest).into_iter();
                world.foreigners.extend(names.map(|key| (key, foreigner)));
            }
            "no-room" => world.quota_reached = true,
            "dip" => world.policy.max_unavailable = rest[0].parse().unwrap(),
            "brought" => world.brought = Some(keys(rest)),
            "ess-silent" => world.brought = None,
            "keep" => world.keep = true,
            "partial" => world.view_permits_removal = false,
            "gwlb" => world.product = Product::Gwlb,
            other => panic!("{other} is not a word of this language"),
        }
    }
    world
}

fn told(plan: &Plan) -> String {
    fn list<'a>(verb: &str, names: impl Iterator<Item = &'a ServerKey>) -> Option<String> {
        let names: Vec<_> = names.map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(" ")))
    }
    let reweigh: Vec<_> = plan
        .reweigh
        .iter()
        .map(|(key, weight)| format!("{key}={weight}"))
        .collect();
    let held: Vec<_> = plan
        .held
        .iter()
        .map(|(key, hold)| format!("{key} {hold:?}"))
        .collect();
    let said = [
        list("add", plan.add.keys()),
        list("adopt", plan.adopt.iter()),
        list("inherit", plan.inherit.iter()),
        (!reweigh.is_empty()).then(|| format!("reweigh {}", reweigh.join(" "))),
        list("drain", plan.drain.keys()),
        list("remove", plan.remove.iter()),
        list("wait", plan.waiting.iter()),
        list("hand-over", plan.hand_over.iter()),
        list("absent", plan.absent.iter()),
        (!held.is_empty()).then(|| format!("hold {}", held.join(", "))),
        plan.retain.then(|| "retain".to_owned()),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn check(text: &str, expected: &str) {
    let world = world(text);
    let plan = plan(&world);
    assert_eq!(told(&plan), expected, "in the world {text:?}");
    let batch: Vec<_> = plan.remove.iter().cloned().collect();
    let weights: Vec<_> = plan
        .reweigh
        .iter()
        .map(|(key, weight)| (key.clone(), *weight))
        .collect();
    assert_eq!(
        guard::reweigh(&world, &weights),
        Ok(()),
        "planner and guard disagree in {text:?}"
    );
    let drained: Vec<_> = plan.drain.keys().cloned().collect();
    if !drained.is_empty() {
        assert_eq!(
            guard::drain(&world, &drained),
            Ok(()),
            "planner and guard disagree in {text:?}"
        );
    }
    if !batch.is_empty() {
        assert_eq!(
            guard::removal(&world, &batch),
            Ok(()),
            "planner and guard disagree in {text:?}"
        );
    }
}

#[test]
fn adds_what_is_listed_and_absent() {
    check("want a b; have a; own a", "add b");
    check("want a b", "add a b");
}

#[test]
fn what_is_listed_and_present_is_adopted_not_added() {
    check("want a b; have a b", "adopt a b");
    check("want a; have a!adding", "adopt a");
}

#[test]
fn removes_only_what_it_registered_or_adopted() {
    check("want a; have a b c; own a b", "remove b");
    check("want a; have a b; own a; kept b", "remove b");
    check("want a; have a x y; own a", "");
}

#[test]
fn an_empty_list_removes_nothing_unasked() {
    check("have a b; own a b", "hold a LastServing, b LastServing");
    check("have a b x y; own a b", "hold a LastServing, b LastServing");
    check("have a b; own a b; empty-allowed", "remove a b");
    check(
        "want c=0; have a c; own a c",
        "hold a LastServing, c LastServing",
    );
}

#[test]
fn a_weight_of_zero_does_not_silence_the_last_one_that_serves() {
    check("want a=0 b; have a b; own a b", "reweigh a=0");
    check("want a=0 b; have a b=0; own a b", "hold a LastServing");
    check("want a=0; have a x; own a", "hold a LastServing");
}

#[test]
fn waits_for_the_replacement_before_removing() {
    check("want b; have a; own a", "add b; hold a WaitsForReplacement");
    check(
        "want b; have a x; own a",
        "add b; hold a WaitsForReplacement",
    );
    check(
        "want b; have a b!adding; own a b",
        "hold a WaitsForReplacement",
    );
    check("want b; have a b; own a b", "remove a");
}

#[test]
fn one_bad_new_server_holds_back_one_old_one() {
    check(
        "want x y; have a b y; own a b y; parked x",
        "remove a; hold b WaitsForReplacement, x Parked",
    );
}

#[test]
fn a_swap_without_room_dips_by_what_is_allowed_and_no_further() {
    let swap = "want e f g h; have a b c d; own a b c d";
    check(
        swap,
        "add e f g h; hold a WaitsForReplacement, b WaitsForReplacement, c WaitsForReplacement, d WaitsForReplacement",
    );
    check(
        &format!("{swap}; no-room"),
        "add e f g h; remove a; hold b WaitsForReplacement, c WaitsForReplacement, d WaitsForReplacement",
    );
    check(
        &format!("{swap}; no-room; dip 2"),
        "add e f g h; remove a b; hold c WaitsForReplacement, d WaitsForReplacement",
    );
    check(
        "want e f g h; have b c d; own b c d; no-room",
        "add e f g h; hold b WaitsForReplacement, c WaitsForReplacement, d WaitsForReplacement",
    );
    check(
        "want e; have a; own a; no-room",
        "add e; hold a LastServing",
    );
}

#[test]
fn the_minimum_is_kept() {
    check(
        "want a b c; have a b d; own a b c d; min 3",
        "add c; hold d WaitsForReplacement",
    );
    check("want a b; have a b c d; own a b c d; min 100", "remove c d");
}

#[test]
fn members_that_do_not_serve_may_always_leave() {
    check("want b; have a=0; own a", "add b; remove a");
}

#[test]
fn what_is_in_transition_is_neither_missing_nor_surplus() {
    check("want b; have b a!adding; own a b", "hold a InFlight");
    check("want b; have b a!unheard-of; own a b", "hold a InFlight");
    check("want b; have b a!removing; own a b", "");
    check("want a b; have b a!removing; own a b", "hold a InFlight");
    check("want a b; have b a!draining; own a b", "hold a InFlight");
}

#[test]
fn a_draining_gwlb_member_that_is_wanted_again_is_added_again() {
    check("gwlb; want a b; have b a!draining; own a b", "add a");
}

#[test]
fn what_an_unsettled_change_names_is_left_alone_and_does_not_count() {
    check(
        "want b; have a b; own a b; unsettled b",
        "hold a WaitsForReplacement",
    );
    check(
        "want b c; have a b c; own a b c; unsettled a",
        "hold a InFlight",
    );
    check("want a; own a; unsettled a", "hold a InFlight");
}

#[test]
fn a_member_that_a_late_call_may_take_does_not_count_as_serving() {
    check(
        "want b; have a b; own a b; late b",
        "hold a WaitsForReplacement",
    );
    check("want b c; have a b c; own a b c; late a", "remove a");
    check(
        "want a=0 b; have a b; own a b; late b",
        "hold a LastServing",
    );
}

#[test]
fn who_may_be_taken_by_a_late_call_is_not_removed_as_if_it_served_nobody() {
    check("want b; have a b; own a b; late a b", "hold a LastServing");
    check("want b c; have a b c; own a b c; late a b", "remove a");
}

#[test]
fn who_may_be_taken_by_a_late_call_needs_a_replacement_all_the_same() {
    check(
        "want b c; have a c; own a c; late a",
        "add b; hold a WaitsForReplacement",
    );
    check("want b c; have a b c; own a b c; late a", "remove a");
    check("release; have a b; own a; late a", "remove a");
}

#[test]
fn what_was_accepted_is_not_sent_again_while_the_list_lags() {
    check("want a b; have b; own a b; awaited a", "hold a InFlight");
    check("want b; have a b; own a b; awaited a", "hold a InFlight");
    check("want a=5 b; have a b; own a b; awaited a", "reweigh a=5");
}

#[test]
fn a_ledger_entry_that_an_unsettled_addition_names_is_not_given_up() {
    check("want b; have b; own a b", "absent a");
    check("want b; have b; own a b; unsettled a", "");
}

#[test]
fn a_view_with_holes_adds_and_does_not_remove() {
    check(
        "want b; have a; own a; partial",
        "add b; hold a ViewIncomplete",
    );
}

#[test]
fn an_older_object_keeps_what_both_list() {
    check(
        "want a; have a; other old 1 enforcing lists a holds a",
        "hold a Conflict",
    );
    check("want a; other old 1 enforcing lists a", "hold a Conflict");
    check("want a; other young 9 enforcing lists a", "add a");
    check("want a; have a; own a; other old 1 enforcing lists a", "");
}

#[test]
fn what_another_object_lists_stays_in_our_ledger_until_it_is_in_its_own() {
    check(
        "want b; have a b; own a b; other x 9 enforcing lists a",
        "hold a InFlight",
    );
    check(
        "want b; have a b; own a b; other x 9 enforcing lists a holds a",
        "hand-over a",
    );
    check(
        "want b; have a b; own a b; other x 9 idle lists a",
        "remove a",
    );
    check(
        "want b; have a b; own a b; other x 9 idle lists a holds a",
        "hand-over a",
    );
    check(
        "release; have a b x; own a b; other x 9 enforcing lists a",
        "remove b; hold a InFlight",
    );
    check(
        "release; have a b x; own a b; other x 9 enforcing lists a holds a",
        "remove b; hand-over a",
    );
}

#[test]
fn nothing_is_kept_for_another_object_that_is_not_there() {
    check(
        "want b; have b; own a b; other x 9 enforcing lists a",
        "absent a",
    );
    check(
        "want a; other x 9 enforcing lists holds a",
        "hold a InFlight",
    );
}

#[test]
fn who_lists_what_another_object_lists_no_more_takes_it_over_as_that_one_had_it() {
    for giver in ["old 1 enforcing", "old 1 leaving", "young 9 leaving"] {
        check(
            &format!("want a b; have a b; other {giver} lists holds a put b"),
            "adopt a; inherit b",
        );
    }
    check(
        "want a; have a; other old 1 idle lists holds put a",
        "hold a Conflict",
    );
    // Its weight is the business of the other one until it is in no other ledger.
    check(
        "want a=20; have a=10; other old 1 leaving lists holds put a",
        "inherit a",
    );
}

#[test]
fn a_release_takes_what_was_registered_and_leaves_what_was_adopted() {
    check(
        "release; have a b x; own a; kept b",
        "remove a; hand-over b",
    );
}

#[test]
fn a_release_that_would_leave_nobody_serving_is_none() {
    check("release; have a b; own a b", "hold b LastServing; retain");
    check("release; have a b; own a b; empty-allowed", "remove a b");
    check("release; have a=0 b=0; own a b", "remove a b");
    check("release; have a b x; own a b", "remove a b");
    check(
        "release; have a b x=0; own a b",
        "hold b LastServing; retain",
    );
}

#[test]
fn drains_before_it_removes() {
    check("drains; want a; have a b=50; own a b", "drain b");
    check(
        "drains; want a; have a b=0; own a b; draining b=50",
        "wait b",
    );
    check(
        "drains; want a; have a b=0; own a b; draining b=50!due",
        "remove b",
    );
    check("drains; want a; have a b=0; own a b", "remove b");
    check("want a; have a b=50; own a b", "remove b");
    check(
        "drains; want b; have a b!adding; own a b",
        "hold a WaitsForReplacement",
    );
    check("drains; release; have a x; own a", "drain a");
    check("drains; have a; own a", "hold a LastServing");
}

#[test]
fn a_member_that_is_wanted_again_while_it_drains_gets_its_weight_back() {
    check(
        "want a b; have a b=0; own a b; draining b=50",
        "reweigh b=50",
    );
    check(
        "want a b; have a b=0; own a b; draining b=50!due",
        "reweigh b=50",
    );
    check(
        "want a b=20; have a b=0; own a b; draining b=50",
        "reweigh b=20",
    );
    check("want a b=0; have a b=0; own a b; draining b=50", "");
    check("want a b; have a b=100; own a b; draining b=50", "");
}

/// A deletion once ended with its members left behind because of a call that was not known to have passed by.
#[test]
fn a_release_waits_for_calls_that_may_still_land_and_does_not_end_because_of_them() {
    check("release; have a b x; own a; late x b", "hold a LastServing");
    check("release; have a b x; own a; late x", "remove a");
    check(
        "release; have a; own a; late a",
        "hold a LastServing; retain",
    );
}

#[test]
fn a_member_that_changes_hands_while_it_drains_gets_its_weight_back_first() {
    let other = "other x 9 enforcing lists b";
    check(
        &format!("want a; have a b=0; own a b; draining b=50; {other}"),
        "reweigh b=50",
    );
    check(
        &format!("want a; have a b=50; own a b; draining b=50; {other}"),
        "hold b InFlight",
    );
    check(
        &format!("want a; have a b=50; own a b; draining b=50; {other} holds b"),
        "hand-over b",
    );
    // Adopted, and the object goes: it stays, as it was found.
    check("release; have a b=0; kept b; draining b=50", "reweigh b=50");
    // A release that would leave nobody serving is none.
    check(
        "release; have a b=0; own a b; draining b=50",
        "reweigh b=50; hold a LastServing; retain",
    );
}

#[test]
fn strangers_leave_and_nobody_else_does() {
    check("want a; have a x; own a; stranger x", "remove x");
    check("want a; have a x; own a; unconfirmed x", "hold x InFlight");
    check("want a; have a x; own a; ess x", "hold x EssManaged");
    check(
        "want a; have a x; own a; unknown x",
        "hold x ViewIncomplete",
    );
    check("want a; have a x; own a", "");
    check("want a x; have a x; own a; stranger x", "adopt x");
    check(
        "want a; have a x; own a; stranger x; other o 9 idle lists x",
        "",
    );
    check(
        "want a; have a x; own a; stranger x; other o 9 idle holds x",
        "",
    );
    check(
        "want b; have x; stranger x",
        "add b; hold x WaitsForReplacement",
    );
    check("have x; stranger x", "hold x LastServing");
    check("drains; want a; have a x; own a; stranger x", "drain x");
}

#[test]
fn a_stranger_that_is_none_any_more_gets_its_weight_back() {
    check("want a; have a x=0; own a; draining x=50", "reweigh x=50");
    check(
        "want a; have a x=0; own a; unconfirmed x; draining x=50",
        "wait x",
    );
}

#[test]
fn what_keeps_coming_back_is_left_alone() {
    check("want a; have a b; own a b; contended b", "hold b Contended");
    check(
        "want a; have a x; own a; stranger x; contended x",
        "hold x Contended",
    );
    check("want a b; have b; own b; contended a", "add a");
}

#[test]
fn the_guard_objects_to_each_rule_by_itself() {
    for (text, batch, rule) in [
        ("want b; have a b; own a b; partial", "a", "S5"),
        ("want b; have a b", "a", "S1"),
        ("want a b; have a b; own a b", "a", "S1"),
        (
            "want b; have a b; own a b; other x 9 enforcing lists a",
            "a",
            "S1",
        ),
        ("release; have a b; kept a", "a", "S1"),
        (
            "want b; have a b; own a b; other x 1 enforcing lists holds a",
            "a",
            "S7",
        ),
        ("want b; have a b; own a b; unsettled a", "a", "S6"),
        ("want b; have a b; own a b; late b", "a", "S4"),
        ("want b; have a!adding b; own a b", "a", "S6"),
        ("have a b; own a b", "a", "S4"),
        ("want b; have a b=0; own a b", "a", "S4"),
        ("want b c; have a b x; own a b", "a", "S3"),
        ("drains; want b; have a b; own a b", "a", "S6"),
        (
            "drains; want b; have a=0 b; own a b; draining a=9",
            "a",
            "S6",
        ),
        ("want b; have a b; own b; unconfirmed a", "a", "S1"),
        (
            "want b; have a b; own b; stranger a; other x 9 idle lists a",
            "a",
            "S7",
        ),
        ("want b; have a b; own a b; contended a", "a", "S8"),
    ] {
        let violation = guard::removal(&world(text), &[key(batch)]).expect_err(text);
        assert_eq!(violation.rule, rule, "in the world {text:?}");
    }
    let many: Vec<_> = (0..21).map(|n| key(&format!("i-{n}"))).collect();
    assert_eq!(
        guard::removal(&world("want a"), &many).unwrap_err().rule,
        "S8"
    );
}

#[test]
fn the_guard_objects_to_silencing_the_last_one_that_serves() {
    for (text, name, rule) in [
        ("want a=0 b; have a b=0; own a b", "a", "S4"),
        ("want a=0 b c; have a b c; own a b c; min 3", "a", ""),
        ("want a=0 b; have a b", "a", "S1"),
        ("want a=0 b; have a b; own a b; unsettled a", "a", "S6"),
    ] {
        let outcome = guard::reweigh(&world(text), &[(key(name), 0)]);
        assert_eq!(
            outcome.err().map_or("", |violation| violation.rule),
            rule,
            "in the world {text:?}"
        );
    }
}

#[test]
fn counts_tell_how_far_it_is() {
    let counts = plan(&world(
        "want a b c d=0; have a b!adding d=0 e x; own a b d e",
    ))
    .counts;
    assert_eq!(
        counts,
        Counts {
            desired: 4,
            serving: 1,
            joining: 2,
            leaving: 0,
            draining: 0,
            foreign: 1,
            in_group: 3,
        }
    );
    let counts = plan(&world("want a; have a b c!removing; own a b c")).counts;
    assert_eq!(
        counts,
        Counts {
            desired: 1,
            serving: 1,
            joining: 0,
            leaving: 2,
            draining: 0,
            foreign: 0,
            in_group: 2,
        }
    );
}

#[test]
fn a_member_that_differs_in_what_no_call_changes_stays_and_is_held() {
    let a = key("a");
    for (wished, shown, differs) in [
        (Some(true), Some(false), true),
        (Some(false), Some(true), true),
        (Some(true), Some(true), false),
        (None, Some(true), false),
        (Some(true), None, false),
    ] {
        let mut world = world("want a=50 b; have a=50 b; own a b");
        world.desired.get_mut(&a).unwrap().remote_ip = wished;
        world.rows.get_mut(&a).unwrap().remote_ip = shown;
        let held = BTreeMap::from([(a.clone(), Hold::Immutable)]);
        let expected = if differs { held } else { BTreeMap::new() };
        let planned = plan(&world);
        assert!(planned.is_empty(), "{wished:?} {shown:?}: {planned:?}");
        assert_eq!(planned.held, expected, "{wished:?} {shown:?}");
        // What can be changed is changed all the same.
        world.rows.get_mut(&a).unwrap().weight = Some(7);
        let planned = plan(&world);
        assert_eq!(planned.reweigh, BTreeMap::from([(a.clone(), 50)]));
        assert!(planned.held.is_empty(), "{:?}", planned.held);
    }
}

#[test]
fn a_full_ledger_takes_nobody_in_and_says_so() {
    let mut world = world("want a b; have b");
    let known = (1..LEDGER_MAX).map(|number| key(&format!("i-{number}")));
    world.ledger.adopted = known.collect();
    world.rows.extend(world.ledger.adopted.iter().map(|key| {
        let (_, row) = row("b");
        (key.clone(), row)
    }));
    world.desired.extend(world.ledger.adopted.iter().map(|key| {
        let wish = Wish {
            kind: ServerKind::Ecs,
            weight: None,
            remote_ip: None,
        };
        (key.clone(), wish)
    }));
    let plan = plan(&world);
    assert_eq!(
        plan.add.len() + plan.adopt.len(),
        1,
        "there is room for one"
    );
    let held: Vec<_> = plan.held.values().collect();
    assert_eq!(held, [&Hold::LedgerFull]);
}

mod resolving {
    use super::*;
    use crate::membership::resolve::{Entry, Unclear, resolve};

    fn entry(text: &str) -> Entry {
        let key = key(text);
        Entry {
            kind: ServerKind::guessed_by(&key.id),
            id: key.id,
            ip: key.ip,
            port: key.port,
            weight: None,
            remote_ip: None,
        }
    }

    fn resolved(entries: &str, known: &str, have: &str) -> Result<String, Vec<Unclear>> {
        let entries: Vec<_> = entries.split_whitespace().map(entry).collect();
        let known: Vec<_> = known.split_whitespace().collect();
        let ledger = Ledger {
            registered: keys(&known),
            adopted: BTreeSet::new(),
        };
        let rows = have.split_whitespace().map(row).collect();
        let desired = resolve(Product::Clb, &entries, &ledger, &rows)?;
        Ok(desired
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn an_absent_address_means_the_only_row() {
        assert_eq!(
            resolved("eni-1:80", "", "eni-1@10.0.0.1:80"),
            Ok("eni-1@10.0.0.1:80".into())
        );
        assert_eq!(
            resolved("eni-1:80", "", "eni-1@10.0.0.1:81"),
            Ok("eni-1:80".into())
        );
        assert!(resolved("eni-1:80", "", "eni-1@10.0.0.1:80 eni-1@10.0.0.2:80").is_err());
    }

    #[test]
    fn the_ledger_decides_from_then_on() {
        let two = "eni-1@10.0.0.1:80 eni-1@10.0.0.2:80";
        assert_eq!(
            resolved("eni-1:80", "eni-1@10.0.0.2:80", two),
            Ok("eni-1@10.0.0.2:80".into())
        );
        assert_eq!(
            resolved("eni-1:80", "eni-1@10.0.0.2:80", ""),
            Ok("eni-1@10.0.0.2:80".into())
        );
    }

    #[test]
    fn two_entries_that_mean_one_member_are_told_apart_from_two_members() {
        let unclear = resolved("eni-1:80 eni-1@10.0.0.1:80", "", "eni-1@10.0.0.1:80").unwrap_err();
        assert!(matches!(
            unclear.as_slice(),
            [Unclear::Twice {
                first: 0,
                second: 1,
                ..
            }]
        ));
        assert!(resolved("i-1:80 i-1:81", "", "").is_ok());
    }

    /// Both were sent in one call, which the cloud refuses as a whole, again and again.
    #[test]
    fn an_absent_address_beside_a_written_one_is_not_clear_before_a_row_tells() {
        let entries = "eni-1:80 eni-1@10.0.0.4:80 eni-1@10.0.0.5:81";
        let unclear = resolved(entries, "", "").unwrap_err();
        assert!(matches!(
            unclear.as_slice(),
            [Unclear::Ambiguous { index: 0, .. }]
        ));
        assert!(resolved(entries, "", "eni-1@10.0.0.1:80").is_ok());
    }

    /// It was forgotten as absent, and stayed for ever.
    #[test]
    fn an_entry_that_may_mean_one_of_two_rows_is_not_absent() {
        let mut world = super::world("have eni-1@10.0.0.1:80 eni-1@10.0.0.2:80");
        world.ledger.registered = keys(&["eni-1:80"]);
        assert!(plan(&world).absent.is_empty());
        world.rows.clear();
        assert_eq!(plan(&world).absent, keys(&["eni-1:80"]));
    }

    #[test]
    fn a_ledger_entry_takes_the_address_of_its_row_at_first_sight() {
        let mut ledger = Ledger {
            registered: keys(&["eni-1:80", "i-1:80"]),
            adopted: BTreeSet::new(),
        };
        ledger.take_addresses(
            &["eni-1@10.0.0.1:80", "i-1:80"]
                .iter()
                .map(|word| row(word))
                .collect(),
        );
        assert_eq!(ledger.registered, keys(&["eni-1@10.0.0.1:80", "i-1:80"]));
        let mut unclear = Ledger {
            registered: keys(&["eni-2:80"]),
            adopted: BTreeSet::new(),
        };
        unclear.take_addresses(
            &["eni-2@10.0.0.1:80", "eni-2@10.0.0.2:80"]
                .iter()
                .map(|word| row(word))
                .collect(),
        );
        assert_eq!(unclear.registered, keys(&["eni-2:80"]));
    }
}

#[test]
fn what_an_attached_scaling_group_brings_changes_hands() {
    check("want a; have a b; own a b; brought b", "hand-over b");
    check("release; have a b; own a b; brought a b", "hand-over a b");
    check(
        "want a; have a b=0; own a b; draining b=70; brought b",
        "reweigh b=70",
    );
    check(
        "want a; have a b; own a b; ess-silent",
        "hold b ViewIncomplete",
    );
}

#[test]
fn what_is_kept_at_deletion_gets_its_weight_back_and_stays() {
    check(
        "release; keep; have a b=0 x; own a b; draining b=70",
        "reweigh b=70; retain",
    );
    check("release; keep; empty-allowed; have a b; own a b", "retain");
}

#[test]
fn what_drains_is_counted_whoever_it_is() {
    let world = world("want a; have a b=0; own a; draining b=70; unconfirmed b");
    let counts = plan(&world).counts;
    assert_eq!((counts.leaving, counts.draining, counts.foreign), (1, 1, 0));
}

#[test]
fn a_member_is_unfinished_until_it_is_there_as_listed_or_gone() {
    let unfinished = |wanted: Option<Option<Weight>>, present: Option<&str>, goes, drains| {
        let wish = wanted.map(|weight| Wish {
            kind: ServerKind::Ecs,
            weight,
            remote_ip: None,
        });
        let row = present.map(|word| row(word).1);
        is_unfinished(wish.as_ref(), row.as_ref(), goes, drains)
    };
    for (wanted, present, goes, drains, expected) in [
        (Some(None), None, false, false, true),
        (Some(None), Some("a=7"), false, false, false),
        (Some(None), Some("a=0"), false, true, true),
        (Some(Some(7)), Some("a=7"), false, false, false),
        (Some(Some(8)), Some("a=7"), false, false, true),
        (Some(None), Some("a!adding"), false, false, true),
        (None, Some("a"), true, false, true),
        (None, Some("a=0"), false, true, true),
        (None, Some("a"), false, false, false),
        (None, None, true, true, false),
    ] {
        let found = unfinished(wanted, present, goes, drains);
        assert_eq!(found, expected, "{wanted:?} {present:?} {goes} {drains}");
    }
}

/// It stayed in the group, and an old member left although the new one in its place did not come (S3).
#[test]
fn a_member_that_goes_to_another_object_stands_in_for_none_of_ours() {
    let text = "want c d; have a b c; own a b; parked d; other ns/o 9 enforcing lists a c holds c";
    let world = world(text);
    let planned = plan(&world);
    assert!(planned.remove.is_empty(), "{}", told(&planned));
    assert_eq!(planned.held[&key("b")], Hold::WaitsForReplacement);
    let removal = guard::removal(&world, &[key("b")]);
    assert_eq!(removal.unwrap_err().rule, "S3");
}
