use super::*;

const NOW: Duration = Duration::ZERO;

/// An object written `namespace/name`, on a group of its own unless another is given after `@`, of the account and region
/// `a` unless others are given after `#`.
fn parse(text: &str) -> (Key, Takes) {
    let (text, place) = text.split_once('#').unwrap_or((text, "a/a"));
    let (name, group) = text.split_once('@').unwrap_or((text, text));
    let (namespace, name) = name.split_once('/').unwrap_or(("ns", name));
    let (account, region) = place.split_once('/').unwrap();
    let key = Key {
        kind: Kind::Membership,
        name: Name {
            namespace: namespace.into(),
            name: name.into(),
        },
    };
    let takes = Takes {
        group: group_id(group),
        account: account.into(),
        region: region.into(),
    };
    (key, takes)
}

fn group_id(group: &str) -> GroupId {
    GroupId::new("r", "CLB", group)
}

fn key(text: &str) -> Key {
    parse(text).0
}

fn places(all: usize, share: usize, together: usize) -> Queue {
    Queue::new(Places {
        all,
        share,
        together,
    })
}

fn wide() -> Queue {
    places(1000, 1000, 1000)
}

fn wake(queue: &mut Queue, level: Level, objects: &str) {
    for object in objects.split_whitespace() {
        let (key, takes) = parse(object);
        queue.wake(&key, takes, level);
    }
}

/// Takes the next out of the queue until there is none.
fn begin(queue: &mut Queue) -> String {
    let mut begun = Vec::new();
    while let Some(turn) = queue.begin_next() {
        let namespace = match &*turn.key.name.namespace {
            "ns" => String::new(),
            other => format!("{other}/"),
        };
        begun.push(format!("{namespace}{}", turn.key.name.name));
    }
    begun.join(" ")
}

#[test]
fn a_namespace_is_served_first_come_first_served_and_namespaces_take_turns() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "n/3 n/1 n/2 m/9 m/8 n/4");
    assert_eq!(begin(&mut queue), "m/9 n/3 m/8 n/1 n/2 n/4");
}

#[test]
fn what_a_person_waits_for_goes_before_the_sweep() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1 2 3");
    wake(&mut queue, Level::Asked, "9");
    // An edit of what is queued already takes it along.
    wake(&mut queue, Level::Asked, "2");
    assert_eq!(begin(&mut queue), "9 2 1 3");
}

#[test]
fn the_sweep_goes_on_however_much_is_asked_for() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "s1 s2");
    wake(&mut queue, Level::Asked, "1 2 3 4 5 6 7 8 9");
    assert_eq!(begin(&mut queue), "1 2 3 4 s1 5 6 7 8 s2 9");
}

#[test]
fn one_object_of_a_group_is_at_work_and_the_next_follows() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1@g 2@g 3@h 4@g");
    assert_eq!(begin(&mut queue), "1 3");
    // An edit also goes first among those that wait for the group.
    wake(&mut queue, Level::Asked, "4@g");
    assert_eq!(begin(&mut queue), "");
    queue.done(&key("1"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "4");
    queue.done(&key("4"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "2");
}

#[test]
fn what_happens_to_an_object_at_work_has_it_looked_at_once_more() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1");
    assert_eq!(begin(&mut queue), "1");
    wake(&mut queue, Level::Sweep, "1");
    wake(&mut queue, Level::Asked, "1");
    wake(&mut queue, Level::Sweep, "1");
    assert_eq!(begin(&mut queue), "");
    let later = Back::At(Duration::from_secs(9), Level::Sweep);
    queue.done(&key("1"), later.clone());
    let again = queue.begin_next().unwrap();
    assert_eq!((again.key, again.level), (key("1"), Level::Asked));
    queue.done(&key("1"), later);
    assert_eq!(begin(&mut queue), "", "once");
    assert_eq!(queue.next_due(), Some(Duration::from_secs(9)));
}

#[test]
fn what_is_due_comes_in_the_order_of_its_time() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1 2 3");
    begin(&mut queue);
    for (name, at) in [("1", 7), ("2", 5), ("3", 5)] {
        queue.done(&key(name), Back::At(Duration::from_secs(at), Level::Sweep));
    }
    assert_eq!(queue.next_due(), Some(Duration::from_secs(5)));
    queue.fire(Duration::from_secs(4));
    assert_eq!(begin(&mut queue), "");
    queue.fire(Duration::from_secs(9));
    assert_eq!(begin(&mut queue), "2 3 1");
    assert_eq!(queue.next_due(), None);
}

#[test]
fn who_is_woken_is_not_due_any_more() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1");
    begin(&mut queue);
    queue.done(&key("1"), Back::At(Duration::from_secs(5), Level::Sweep));
    wake(&mut queue, Level::Asked, "1");
    assert_eq!(queue.next_due(), None);
    assert_eq!(begin(&mut queue), "1");
}

#[test]
fn so_many_are_at_work_at_once() {
    let mut queue = places(2, 2, 2);
    wake(&mut queue, Level::Sweep, "1 2 3");
    assert_eq!(begin(&mut queue), "1 2");
    queue.done(&key("2"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "3");
}

#[test]
fn an_account_or_region_that_does_not_answer_keeps_its_share_and_no_more() {
    let mut queue = places(8, 2, 2);
    wake(
        &mut queue,
        Level::Asked,
        "1#a/r 2#a/r 3#a/s 4#b/r 5#b/s 6#b/t 7#c/t",
    );
    // The account `a` is full with two, so is the region `r`.
    assert_eq!(begin(&mut queue), "1 3 6 4 7");
    queue.done(&key("1"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "2", "`b` has its two");
    queue.done(&key("6"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "5");
}

/// A region that hung once took the share of its account, and with it that of every other region.
#[test]
fn a_region_that_does_not_answer_leaves_something_to_the_others_of_its_account() {
    let mut queue = places(8, 4, 3);
    wake(&mut queue, Level::Sweep, "1#a/r 2#a/r 3#a/r 4#a/r");
    assert_eq!(begin(&mut queue), "1 2 3");
    wake(&mut queue, Level::Sweep, "5#a/s 6#b/r 7#b/r");
    assert_eq!(begin(&mut queue), "5 6", "the region has its share");
}

#[test]
fn who_waits_in_the_middle_of_its_work_has_no_place_and_keeps_its_group() {
    let mut queue = places(1, 1, 1);
    wake(&mut queue, Level::Sweep, "1@g 2@h 3@g");
    assert_eq!(begin(&mut queue), "1");
    queue.step_aside(&key("1"));
    queue.step_aside(&key("1"));
    assert_eq!(begin(&mut queue), "2");
    queue.step_back(&key("1"));
    queue.done(&key("2"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "", "it took its place again");
    queue.done(&key("1"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "3");
}

#[test]
fn who_needs_other_groups_as_well_comes_once_all_are_free() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "forced@asg on@g");
    assert_eq!(begin(&mut queue), "forced on");
    let groups = BTreeSet::from([group_id("g"), group_id("h")]);
    queue.done(&key("forced"), Back::With(groups.clone()));
    wake(&mut queue, Level::Sweep, "2@g 3@h");
    assert_eq!(begin(&mut queue), "3", "somebody is at work on g");
    queue.done(&key("on"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "2", "h is taken as well");
    queue.done(&key("3"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "");
    queue.done(&key("2"), Back::WhenTold);
    let turn = queue.begin_next().unwrap();
    assert_eq!((turn.key, turn.also), (key("forced"), groups));
    wake(&mut queue, Level::Asked, "2@g 3@h");
    assert_eq!(begin(&mut queue), "");
    queue.done(&key("forced"), Back::WhenTold);
    assert_eq!(begin(&mut queue), "3 2");
    // It asked for them once.
    wake(&mut queue, Level::Sweep, "forced@asg");
    assert_eq!(queue.begin_next().unwrap().also, BTreeSet::new());
}

#[test]
fn an_edit_is_looked_at_though_the_object_waits_for_other_groups() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "forced@asg on@g");
    begin(&mut queue);
    queue.done(&key("forced"), Back::With(BTreeSet::from([group_id("g")])));
    assert_eq!(begin(&mut queue), "");
    let (forced, takes) = parse("forced@asg");
    queue.changed(&forced, takes, Level::Asked);
    assert_eq!(begin(&mut queue), "forced");
}

#[test]
fn who_waits_until_a_call_may_leave_comes_next_then() {
    let mut queue = places(1, 1, 1);
    wake(&mut queue, Level::Sweep, "1");
    begin(&mut queue);
    queue.done(&key("1"), Back::WhenTold);
    assert!(queue.rests(&key("1")));
    wake(&mut queue, Level::Asked, "2 3");
    queue.granted(&key("1"));
    assert_eq!(begin(&mut queue), "1");
}

#[test]
fn an_object_that_is_gone_keeps_nobody_waiting() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1@g 2@g 3@g");
    assert_eq!(begin(&mut queue), "1");
    queue.done(&key("1"), Back::Never);
    // It was let through to the group, and goes before its turn comes.
    queue.forget(&key("2"));
    assert_eq!(begin(&mut queue), "3");
    wake(&mut queue, Level::Asked, "3@g");
    queue.forget(&key("3"));
    queue.done(&key("3"), Back::Never);
    assert_eq!(begin(&mut queue), "", "gone while it was at work");
    assert_eq!(queue.next_due(), None);
    assert!(queue.entries.is_empty() && queue.busy.is_empty() && queue.behind.is_empty());
    assert_eq!((queue.working, queue.accounts.len()), (0, 0));
}

/// One whose place was counted under another account than it was taken under would count for ever.
#[test]
fn an_object_that_is_made_anew_under_another_account_gives_back_what_it_took() {
    let mut queue = wide();
    wake(&mut queue, Level::Sweep, "1@g#a/r");
    begin(&mut queue);
    wake(&mut queue, Level::Asked, "1@h#b/s");
    queue.done(&key("1"), Back::Never);
    assert_eq!(begin(&mut queue), "1");
    let counted: Vec<_> = queue.accounts.keys().map(|name| &**name).collect();
    assert_eq!(counted, ["b"]);
    assert_eq!(queue.busy, BTreeSet::from([group_id("h")]));
}

/// However events follow each other, nobody is left behind and no group has two at work.
#[test]
fn nobody_is_left_behind_in_ten_thousand_random_turns() {
    let names = [
        "a/1@g",
        "a/2@g",
        "b/3@h",
        "b/4@g#b/a",
        "c/5@h#b/b",
        "c/6@i#a/b",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut queue = places(3, 2, 2);
    let mut working: BTreeMap<Key, BTreeSet<GroupId>> = BTreeMap::new();
    let mut aside = BTreeSet::new();
    for step in 0..10_000_u64 {
        let (key, takes) = parse(names[random.usize(..names.len())]);
        let level = if random.bool() {
            Level::Sweep
        } else {
            Level::Asked
        };
        match random.u8(..8) {
            0 | 1 => queue.wake(&key, takes, level),
            2 if random.u8(..9) == 0 => queue.forget(&key),
            3 => queue.fire(Duration::from_millis(step)),
            4 if working.contains_key(&key) => {
                queue.step_aside(&key);
                aside.insert(key);
            }
            5 if aside.remove(&key) => queue.step_back(&key),
            6 => {
                if working.remove(&key).is_some() {
                    aside.remove(&key);
                    queue.done(
                        &key,
                        match random.u8(..4) {
                            0 => Back::Never,
                            1 => Back::With([group_id("g"), group_id("h")].into()),
                            2 => Back::WhenTold,
                            _ => Back::At(Duration::from_millis(step + 5), level),
                        },
                    );
                }
            }
            _ => {
                if let Some(turn) = queue.begin_next() {
                    let (_, takes) = names
                        .map(parse)
                        .into_iter()
                        .find(|(key, _)| *key == turn.key)
                        .unwrap();
                    let mut groups = turn.also;
                    groups.insert(takes.group);
                    assert!(
                        working.values().all(|others| others.is_disjoint(&groups)),
                        "{step}"
                    );
                    assert!(working.insert(turn.key, groups).is_none());
                }
            }
        }
    }
    for key in std::mem::take(&mut working).into_keys() {
        queue.done(&key, Back::WhenTold);
    }
    for name in names {
        let (key, takes) = parse(name);
        queue.wake(&key, takes, Level::Sweep);
    }
    let mut served = BTreeSet::new();
    while let Some(turn) = queue.begin_next() {
        queue.done(&turn.key, Back::Never);
        served.insert(turn.key);
    }
    assert_eq!(served.len(), names.len());
    assert_eq!(
        (queue.working, queue.busy.len(), queue.behind.len()),
        (0, 0, 0)
    );
    queue.fire(NOW);
}

#[test]
fn who_waits_does_so_from_when_it_came_whatever_its_line() {
    let seconds = Duration::from_secs;
    let mut queue = wide();
    queue.is_at(seconds(1));
    wake(&mut queue, Level::Sweep, "1 2@g");
    queue.is_at(seconds(5));
    wake(&mut queue, Level::Asked, "1 3@g");
    assert_eq!((queue.waiting(), queue.oldest()), (3, Some(seconds(1))));
    queue.is_at(seconds(7));
    let waited: Vec<_> = std::iter::from_fn(|| queue.begin_next())
        .map(|turn| (turn.key, turn.waited))
        .collect();
    assert_eq!(waited, [(key("1"), seconds(6)), (key("3"), seconds(2))]);
    // It waits for its group.
    assert_eq!((queue.waiting(), queue.oldest()), (1, Some(seconds(1))));
    queue.forget(&key("2"));
    assert_eq!((queue.waiting(), queue.oldest()), (0, None));
    queue.done(&key("1"), Back::At(seconds(60), Level::Sweep));
    queue.fire(seconds(61));
    assert_eq!((queue.waiting(), queue.oldest()), (1, Some(seconds(61))));
}
