use serde_json::{Value, json};

use server_group_core::{claim::Standing, server::ServerKey};

use super::{derived::LAST_APPLIED, *};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership, status::Phase},
    controller::unreadable::Sent,
};

type Memberships = Registry<ServerGroupMembership>;
type Attachments = Registry<ScalingGroupAttachment>;

fn membership(name: &str, version: u64, more: Value) -> ServerGroupMembership {
    let mut object = json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership",
        "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}"), "generation": 1,
            "resourceVersion": version.to_string()},
        "spec": {"regionId": "cn-hangzhou", "serverGroup": {"type": "CLB", "id": "rsp-1"}, "servers": []},
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

fn attachment(name: &str, version: u64, groups: &[&str], status: &Value) -> ScalingGroupAttachment {
    let groups: Vec<_> = groups
        .iter()
        .map(|id| json!({"type": "GWLB", "id": id}))
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ScalingGroupAttachment",
        "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version.to_string()},
        "spec": {"regionId": "cn-hangzhou", "scalingGroupId": "asg-1", "serverGroups": groups},
        "status": status,
    }))
    .unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn everywhere() -> Scope {
    Scope::of(&[]).remove(0)
}

fn name(name: &str) -> Name {
    Name {
        namespace: "ns".into(),
        name: name.into(),
    }
}

fn group(product: &str, id: &str) -> GroupId {
    GroupId::new("cn-hangzhou", product, id)
}

/// A write of this process that changes nothing of what a status says.
fn write(registry: &Memberships, object: ServerGroupMembership) -> Option<News> {
    registry.wrote(&object.clone(), object)
}

fn version_of(registry: &Memberships, of: &str) -> String {
    let known = registry.get(&name(of)).unwrap();
    known.metadata.resource_version.clone().unwrap()
}

/// A watch lags behind the writes of the process; once it took a pass back to the ledger from before its own write.
#[test]
fn a_version_never_gives_way_to_an_older_one() {
    let registry = Memberships::default();
    registry.learn(membership("web", 9, json!({}))).unwrap();
    write(&registry, membership("web", 12, json!({}))).unwrap();
    assert_eq!(registry.learn(membership("web", 10, json!({}))), None);
    assert_eq!(registry.learn(membership("web", 12, json!({}))), None);
    assert_eq!(version_of(&registry, "web"), "12");
    // 100 comes after 12, though not in the order of texts.
    registry.learn(membership("web", 100, json!({}))).unwrap();
    assert_eq!(version_of(&registry, "web"), "100");
}

#[test]
fn a_write_brings_no_object_back_that_is_gone() {
    let registry = Memberships::default();
    let web = membership("web", 9, json!({}));
    registry.learn(web.clone());
    registry.forget(&web).unwrap();
    assert_eq!(write(&registry, membership("web", 12, json!({}))), None);
    assert!(registry.get(&name("web")).is_none());
    // Nor does it overwrite another one of its name, and neither does its end take that along.
    let again = membership("web", 20, json!({"metadata": {"uid": "another"}}));
    registry.learn(again);
    assert_eq!(write(&registry, membership("web", 25, json!({}))), None);
    assert_eq!(registry.forget(&web), None);
    assert_eq!(version_of(&registry, "web"), "20");
}

#[test]
fn an_object_made_anew_under_its_name_is_another_one_whatever_its_version() {
    let registry = Memberships::default();
    registry.learn(membership("web", 9, json!({})));
    let again = json!({"metadata": {"uid": "another"}, "spec": {"serverGroup": {"id": "rsp-2"}}});
    let news = registry.learn(membership("web", 5, again)).unwrap();
    assert_eq!(news.asks, Some(Level::Asked));
    assert!(registry.on(&group("CLB", "rsp-1"), "").is_empty());
    assert_eq!(registry.on(&group("CLB", "rsp-2"), "").len(), 1);
}

#[test]
fn what_a_list_of_one_namespace_lacks_is_gone_from_there_alone() {
    let registry = Memberships::default();
    let [here, there] = &Scope::of(&["ns".into(), "other".into()])[..] else {
        panic!("they are two");
    };
    let elsewhere = || {
        membership(
            "a",
            1,
            json!({"metadata": {"namespace": "other", "uid": "far"}}),
        )
    };
    let uids = |gone: Vec<Gone>| gone.into_iter().map(|gone| gone.uid).collect::<Vec<_>>();
    registry.begin_list(here);
    registry.begin_list(there);
    registry.learn(membership("b", 1, json!({})));
    registry.learn(elsewhere());
    assert!(registry.end_list(here).is_empty() && registry.end_list(there).is_empty());
    registry.begin_list(there);
    registry.begin_list(here);
    assert_eq!(uids(registry.end_list(there)), ["far"]);
    registry.learn(membership("b", 1, json!({})));
    assert!(registry.end_list(here).is_empty());
    registry.learn(elsewhere());
    let none = BTreeSet::new();
    let group = group("CLB", "rsp-1");
    assert_eq!(uids(registry.forget_on(there, &group, &none, 1)), ["far"]);
    registry.learn(elsewhere());
    assert_eq!(uids(registry.forget_but(here, &none, 1)), ["uid-b"]);
    assert_eq!(uids(registry.forget_but(there, &none, 1)), ["far"]);
}

#[test]
fn what_a_list_lacks_is_gone() {
    let registry = Memberships::default();
    for name in ["a", "b", "c"] {
        registry.learn(membership(name, 1, json!({})));
    }
    registry.begin_list(&everywhere());
    registry.learn(membership("a", 1, json!({})));
    registry.learn(membership("c", 2, json!({})));
    let gone: Vec<_> = registry
        .end_list(&everywhere())
        .into_iter()
        .map(|gone| gone.uid)
        .collect();
    assert_eq!(gone, ["uid-b"]);
    assert_eq!(registry.on(&group("CLB", "rsp-1"), "").len(), 2);
}

/// Once only what was open counted, and a late removal was forgotten with its object.
#[test]
fn what_settled_and_may_still_land_outlives_its_object() {
    let registry = Memberships::default();
    let late = |action: &str, until: &str, server: &str| json!({"action": action, "until": until, "servers": [server]});
    let mut last = late("Remove", "2026-01-01T00:15:00Z", "i-1:80");
    merge(
        &mut last,
        json!({"id": "op", "phase": "Settled", "epoch": 1}),
    );
    let status = json!({
        "observedGeneration": 1,
        "ledger": {"uid": "uid-web", "cloudAccountId": "1", "registered": [], "adopted": []},
        "operation": last,
        "settled": [late("Add", "2026-01-01T00:10:00Z", "i-2:80")],
    });
    let web = membership("web", 1, json!({"status": status}));
    registry.learn(web.clone());
    let gone = registry.forget(&web).unwrap();
    let left: Vec<_> = gone
        .open
        .iter()
        .map(|(_, late)| {
            let names: Vec<_> = late.names.iter().map(String::as_str).collect();
            (late.phase, late.action.as_str(), names)
        })
        .collect();
    assert_eq!(
        left,
        [
            (Phase::Settled, "Remove", vec!["i-1:80"]),
            (Phase::Settled, "Add", vec!["i-2:80"])
        ]
    );
    assert!(gone.open.iter().all(|(_, late)| late.until.is_some()));
    assert!(gone.open.iter().all(|(on, _)| *on == web.group()));
}

#[test]
fn objects_are_found_by_group_and_account_in_order() {
    let registry = Memberships::default();
    registry.learn(membership("b", 1, json!({})));
    registry.learn(membership(
        "a",
        1,
        json!({"metadata": {"namespace": "other"}}),
    ));
    registry.learn(membership(
        "c",
        1,
        json!({"spec": {"accountName": "theirs"}}),
    ));
    let names = |found: Vec<Found>| {
        let names = found.into_iter().map(|found| found.name.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    let rsp = group("CLB", "rsp-1");
    let on = registry.on(&rsp, "").into_iter();
    let on: Vec<_> = on.map(|known| name_of(&**known).to_string()).collect();
    assert_eq!(on, ["ns/b", "ns/c", "other/a"]);
    assert_eq!(names(registry.found_on(&rsp, &name("b"))), "ns/c other/a");
    assert_eq!(names(registry.found_of_account("default")), "ns/b other/a");
    assert_eq!(names(registry.found()), "ns/b ns/c other/a");
    assert!(registry.others_on(&rsp, "uid-b"));
    registry.forget(&membership("b", 1, json!({})));
    assert_eq!(names(registry.found_of_account("default")), "other/a");
    assert!(registry.found_of_account("nobody").is_empty());
}

#[test]
fn who_uses_an_account_and_who_holds_on_to_it_is_counted() {
    let registry = Memberships::default();
    let held = || json!({"metadata": {"finalizers": ["servergroup.alicloud.dev/release"]}});
    let counted = || {
        let users = registry.users_of("default", |_, _| true);
        (users.objects, users.held)
    };
    assert_eq!(counted(), (0, 0));
    assert!(registry.learn(membership("a", 1, json!({}))).unwrap().uses);
    assert!(registry.learn(membership("b", 2, held())).unwrap().uses);
    assert_eq!(counted(), (2, 1));
    assert!(registry.learn(membership("a", 3, held())).unwrap().uses);
    assert!(!registry.learn(membership("a", 4, held())).unwrap().uses);
    assert_eq!(counted(), (2, 2));
    assert_eq!(registry.holding("default", 1), [name("a")]);
    registry.learn(membership("a", 5, json!({})));
    assert_eq!(registry.holding("default", 2), [name("b")]);
    registry.forget(&membership("b", 2, held()));
    assert_eq!(counted(), (1, 0));
    registry.forget(&membership("a", 5, json!({})));
    assert_eq!(counted(), (0, 0));
}

#[test]
fn an_object_that_cannot_be_read_holds_on_to_its_account_too() {
    let registry = Memberships::default();
    registry.learn(membership("a", 1, json!({})));
    let mut newer = serde_json::to_value(membership("a", 2, json!({}))).unwrap();
    newer["metadata"]["finalizers"] = json!(["servergroup.alicloud.dev/release"]);
    newer["spec"]["servers"] = json!("all");
    match serde_json::from_value::<Sent<ServerGroupMembership>>(newer).unwrap() {
        Sent::Unreadable(object) => _ = registry.learn_unreadable(*object),
        Sent::Readable(_) => panic!("it can be read"),
    }
    let users = registry.users_of("default", |_, _| true);
    assert_eq!((users.objects, users.held), (1, 1));
}

/// An object without any grant chose the region in which the keys of an account were tried.
#[test]
fn the_region_of_an_account_is_that_of_an_object_that_may_use_it() {
    let registry = Memberships::default();
    registry.learn(membership("a", 1, json!({})));
    let region = |may: bool| registry.users_of("default", |_, _| may).region;
    assert_eq!(region(true).as_deref(), Some("cn-hangzhou"));
    assert_eq!(region(false), None);
}

#[test]
fn attachments_are_found_by_what_they_name_in_spec_ledger_and_open_operation() {
    let registry = Attachments::default();
    let found = |id: &str| registry.naming(&group("GWLB", id), "").len();
    registry.learn(attachment("x", 1, &["sgp-1", "sgp-2"], &Value::Null));
    assert_eq!((found("sgp-1"), found("sgp-2"), found("sgp-3")), (1, 1, 0));
    // It is off the list, and still in the ledger; another one is only named by the call under way.
    let ledger = json!({"uid": "x", "registered": ["GWLB/sgp-1"], "adopted": ["LB/lb-1"]});
    let operation = json!({"id": "1", "action": "DetachServerGroups", "phase": "Intended", "epoch": 1,
        "serverGroups": ["GWLB/sgp-3"]});
    let status = json!({"observedGeneration": 1, "ledger": ledger, "operation": operation});
    registry.learn(attachment("x", 2, &["sgp-2"], &status));
    assert_eq!((found("sgp-1"), found("sgp-2"), found("sgp-3")), (1, 1, 1));
    assert_eq!(registry.naming(&group("LB", "lb-1"), "").len(), 1);
    registry.learn(attachment("x", 3, &[], &Value::Null));
    assert_eq!((found("sgp-1"), found("sgp-2"), found("sgp-3")), (0, 0, 0));
}

#[test]
fn only_what_a_person_changes_asks_for_a_look() {
    let registry = Memberships::default();
    let asks = |version, more| {
        let news = registry.learn(membership("web", version, more));
        news.unwrap().asks
    };
    assert_eq!(asks(1, json!({})), Some(Level::Asked), "nobody has seen it");
    let seen = json!({"observedGeneration": 1});
    assert_eq!(asks(2, json!({"status": seen})), None, "our own status");
    let labelled =
        json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]}, "status": seen});
    assert_eq!(asks(3, labelled), None);
    let asked =
        json!({"metadata": {"annotations": {"servergroup.alicloud.dev/reconcile-at": "now"}}});
    assert_eq!(asks(4, asked), Some(Level::Asked));
    assert_eq!(
        asks(5, json!({"metadata": {"generation": 2}})),
        Some(Level::Asked)
    );
    // An object that was seen to match before this process looked has time.
    let registry = Memberships::default();
    let news = registry.learn(membership("web", 1, json!({"status": seen})));
    assert_eq!(news.unwrap().asks, Some(Level::Sweep));
}

#[test]
fn others_on_the_group_are_concerned_by_ledger_and_operation_and_by_no_other_status() {
    let registry = Memberships::default();
    let claims = |version, status: Value| {
        let news = registry.learn(membership("web", version, json!({"status": status})));
        news.unwrap().claims
    };
    let mut status = json!({"observedGeneration": 1});
    assert!(claims(1, status.clone()));
    status["summary"] = json!("1/1 serving");
    assert!(!claims(2, status.clone()));
    status["ledger"] = json!({"uid": "uid-web", "registered": ["i-1:80"]});
    assert!(claims(3, status.clone()));
    status["operation"] = json!({"id": "1", "action": "x", "phase": "Intended", "epoch": 1});
    assert!(claims(4, status.clone()));
    status["operation"]["requestId"] = json!("r");
    assert!(!claims(5, status));
}

/// A forged one was once taken for our own as soon as a write had carried it on.
#[test]
fn an_operation_that_a_write_carries_on_was_not_begun_by_this_process() {
    let registry = Memberships::default();
    let with = |version, id| {
        let operation = json!({"id": id, "action": "x", "phase": "Intended", "epoch": 1});
        let ledger = json!({"uid": "1", "cloudAccountId": "1", "registered": [], "adopted": []});
        let status = json!({"ledger": ledger, "operation": operation});
        membership("web", version, json!({"status": status}))
    };
    let began = |id| registry.began_operation(&name("web"), id);
    let forged = with(1, "forged");
    registry.learn(forged.clone());
    registry.wrote(&forged, with(2, "forged"));
    assert!(!began("forged"));
    registry.wrote(&with(2, "forged"), with(3, "ours"));
    assert!(began("ours"));
    registry.wrote(&with(3, "ours"), with(4, "ours"));
    registry.learn(with(5, "ours"));
    assert!(began("ours"), "carried on");
    registry.learn(with(6, "forged"));
    registry.wrote(&with(6, "forged"), with(7, "forged"));
    assert!(!began("forged"));
}

/// An emptied status took a forced call out of the mind of the process that had sent it.
#[test]
fn what_this_process_began_is_not_forgotten_with_a_status_that_somebody_empties() {
    let registry = Memberships::default();
    let with = |version, id: Option<&str>| {
        let ledger =
            json!({"uid": "uid-web", "cloudAccountId": "1", "registered": [], "adopted": []});
        let mut status = json!({"observedGeneration": 1, "ledger": ledger});
        if let Some(id) = id {
            status["operation"] = json!({"id": id, "action": "x", "phase": "Intended", "epoch": 1});
        }
        membership("web", version, json!({"status": status}))
    };
    let learn = |version, id| {
        let news = registry.learn(with(version, id)).unwrap();
        news.orphaned
            .into_iter()
            .map(|(_, open)| open.id)
            .collect::<Vec<_>>()
    };
    registry.learn(with(1, None));
    registry.wrote(&with(1, None), with(2, Some("ours")));
    assert!(learn(3, Some("ours")).is_empty(), "it is still there");
    assert_eq!(learn(4, None), ["ours"]);
    assert!(learn(5, None).is_empty(), "told once");
    registry.wrote(&with(5, None), with(6, Some("next")));
    // The write that closes it is shown by the watch before it is answered.
    registry.writes(&name("web"), None);
    assert!(learn(7, None).is_empty());
    registry.wrote(&with(6, Some("next")), with(7, None));
    assert!(learn(8, None).is_empty());
}

/// What whoever led before had sent was not among what this process had begun.
#[test]
fn what_this_process_carries_on_is_not_forgotten_with_a_status_that_somebody_empties() {
    let registry = Memberships::default();
    let open = |version, uid: &str| {
        let ledger = json!({"uid": uid, "cloudAccountId": "1", "registered": [], "adopted": []});
        let operation = json!({"id": "theirs", "action": "x", "phase": "Accepted", "epoch": 1});
        let status = json!({"observedGeneration": 1, "ledger": ledger, "operation": operation});
        let held = json!({"finalizers": ["servergroup.alicloud.dev/release"]});
        membership("web", version, json!({"metadata": held, "status": status}))
    };
    let lost = |newer| {
        let orphaned = registry.learn(newer).unwrap().orphaned.into_iter();
        let told = orphaned.map(|(_, open)| (open.id, open.began_here));
        told.collect::<Vec<_>>()
    };
    registry.learn(open(1, "uid-web"));
    registry.carry_on();
    let emptied = membership("web", 2, json!({}));
    assert_eq!(lost(emptied), [("theirs".to_owned(), false)]);
    registry.learn(open(3, "uid-web"));
    registry.wrote(&open(3, "uid-web"), open(4, "uid-web"));
    // A ledger of another object makes the whole status void.
    assert_eq!(lost(open(5, "another")), [("theirs".to_owned(), false)]);
}

#[test]
fn an_object_is_parsed_once_for_all_who_look_at_it_and_not_kept_at_rest() {
    let registry = Memberships::default();
    registry.learn(membership("web", 1, json!({})));
    let first = registry.get(&name("web")).unwrap();
    let second = &registry.on(&group("CLB", "rsp-1"), "")[0];
    assert!(Arc::ptr_eq(&first, second));
    assert!(std::ptr::eq(first.record(), second.record()));
    write(&registry, membership("web", 2, json!({})));
    let newer = registry.get(&name("web")).unwrap();
    assert!(!Arc::ptr_eq(&first, &newer));
    drop(newer);
    assert_eq!(
        registry.0.lock().objects[&name("web")]
            .parsed
            .strong_count(),
        0
    );
}

#[test]
fn neither_managed_fields_nor_what_kubectl_leaves_behind_is_kept() {
    let registry = Memberships::default();
    let more = json!({"metadata": {
        "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
        "annotations": {LAST_APPLIED: "{}", "kept": "1"},
    }});
    registry.learn(membership("web", 1, more));
    let known = registry.get(&name("web")).unwrap();
    assert_eq!(known.metadata.managed_fields, None);
    let annotations: Vec<_> = known.annotations().keys().collect();
    assert_eq!(annotations, ["kept"]);
}

#[test]
fn a_whole_list_forgets_what_it_lacks_unless_that_is_newer() {
    let registry = Memberships::default();
    for (name, version) in [("a", 5), ("b", 6), ("c", 9)] {
        registry.learn(membership(name, version, json!({})));
    }
    let elsewhere = json!({"spec": {"serverGroup": {"id": "rsp-2"}}});
    registry.learn(membership("d", 5, elsewhere));
    let listed = BTreeSet::from(["uid-a".to_owned()]);
    let names =
        |gone: Vec<Gone>| -> Vec<_> { gone.iter().map(|gone| gone.name.to_string()).collect() };
    let gone = registry.forget_on(&everywhere(), &group("CLB", "rsp-1"), &listed, 8);
    assert_eq!(names(gone), ["ns/b"], "c was made after the list");
    assert_eq!(
        names(registry.forget_but(&everywhere(), &listed, 8)),
        ["ns/d"]
    );
    assert!(registry.knows(&name("c"), "uid-c", 9));
    assert!(!registry.knows(&name("c"), "uid-c", 10));
    assert!(!registry.knows(&name("c"), "another", 9));
}

#[test]
fn the_claims_of_others_change_with_what_they_list_and_have_open_and_not_with_what_they_say() {
    let registry = Memberships::default();
    let on = group("CLB", "rsp-1");
    let claims = || registry.claims(&on, "uid-us");
    registry.learn(membership("us", 1, json!({})));
    assert_eq!(claims(), []);
    registry.learn(membership("other", 2, json!({})));
    let listed = claims();
    assert_eq!(listed.len(), 1);
    let said = json!({"status": {"summary": "all is well"}});
    registry.learn(membership("other", 3, said));
    assert_eq!(claims(), listed);
    let open = json!({"status": {"operation": {"id": "1", "action": "a", "phase": "Intended", "epoch": 1, "servers": []}}});
    registry.learn(membership("other", 4, open));
    assert_ne!(claims(), listed);
}

fn sent(object: &Value) -> Sent<ServerGroupMembership> {
    serde_json::from_str(&object.to_string()).unwrap()
}

/// A membership with a hold that this version does not know.
fn from_the_future(version: u64) -> Value {
    let mut object = serde_json::to_value(membership("web", version, json!({}))).unwrap();
    object["status"] = json!({
        "observedGeneration": 1,
        "held": [{"server": "i-1:80", "reason": "FromTheFuture"}],
        "ledger": {"uid": "uid-web", "registered": ["i-1:80"], "adopted": ["i-2:80"]},
        "operation": {"id": "op", "action": "AddServersToServerGroup", "phase": "New", "epoch": 1, "servers": ["i-3:80"]},
    });
    object
}

#[test]
fn an_object_that_cannot_be_read_takes_the_place_of_the_version_before_it() {
    let registry = Memberships::default();
    registry.learn(membership("web", 1, json!({}))).unwrap();
    let unreadable = |version| match sent(&from_the_future(version)) {
        Sent::Unreadable(object) => *object,
        Sent::Readable(_) => panic!("this version knows no such hold"),
    };
    let before = registry.learn_unreadable(unreadable(3)).unwrap();
    assert!(before.readable.is_some(), "the queue has to forget it");
    assert!(registry.get(&name("web")).is_none());
    assert!(registry.learn_unreadable(unreadable(3)).is_none());
    assert!(registry.learn(membership("web", 2, json!({}))).is_none());
    assert!(registry.knows(&name("web"), "uid-web", 3));
    assert_eq!(registry.untold().len(), 1);
    assert!(registry.untold().is_empty(), "told once");

    let found = registry.unreadable_about("rsp-1");
    let claims = found[0].claims::<ServerKey>();
    assert_eq!(
        claims.ledger,
        ["i-1:80", "i-2:80"].map(|key| key.parse().unwrap()).into()
    );
    assert_eq!(claims.standing, Standing::Idle);
    let open = found[0].open().unwrap();
    assert_eq!((open.id.as_str(), open.phase), ("op", Phase::Unsettled));
    assert_eq!(open.names, ["i-3:80".to_owned()].into());
    assert!(
        registry.unreadable_about("rsp-").is_empty(),
        "part of an id"
    );

    let news = registry.learn(membership("web", 4, json!({}))).unwrap();
    assert!(news.asks.is_some(), "it is looked at again");
    assert!(registry.unreadable_about("rsp-1").is_empty());
    registry.learn_unreadable(unreadable(5)).unwrap();
    registry.begin_list(&everywhere());
    registry.end_list(&everywhere());
    assert!(
        registry.unreadable_about("rsp-1").is_empty(),
        "a list lacks it"
    );
}
