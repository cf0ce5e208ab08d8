use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const MEMBERSHIPS: &str =
    "/apis/servergroup.alicloud.dev/v1alpha1/namespaces/web/servergroupmemberships";

fn ask(cluster: &mut Cluster, method: &str, path: &str, body: Value) -> Served {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        content_type: match method {
            "PATCH" => "application/merge-patch+json".to_owned(),
            _ => "application/json".to_owned(),
        },
        accept: String::new(),
        body,
    };
    cluster.serve(NOW, "test", &request)
}

fn answer(cluster: &mut Cluster, method: &str, path: &str, body: Value) -> Answer {
    match ask(cluster, method, path, body) {
        Served::Answer(answer) => answer,
        Served::Watch(_) => panic!("{path} is a watch"),
    }
}

fn watch(cluster: &mut Cluster, from: u64) -> Watch {
    let path = format!("{MEMBERSHIPS}?watch=true&resourceVersion={from}");
    match ask(cluster, "GET", &path, Value::Null) {
        Served::Watch(watch) => watch,
        Served::Answer(answer) => panic!("{answer:?}"),
    }
}

fn membership(name: &str, finalizers: &[&str]) -> Value {
    json!({
        "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership",
        "metadata": {"name": name, "finalizers": finalizers},
        "spec": {"regionId": "cn-hangzhou", "serverGroup": {"type": "CLB", "id": "rsp-web"}, "servers": []},
    })
}

fn make(cluster: &mut Cluster, name: &str, finalizers: &[&str]) {
    let made = answer(cluster, "POST", MEMBERSHIPS, membership(name, finalizers));
    assert_eq!(made.code, 201, "{made:?}");
}

fn with_namespace() -> Cluster {
    let mut cluster = Cluster::new();
    let namespace = json!({"metadata": {"name": "web"}});
    let made = answer(&mut cluster, "POST", "/api/v1/namespaces", namespace);
    assert_eq!(made.code, 201);
    cluster
}

#[test]
fn a_page_after_what_it_shows_was_compacted_is_gone() {
    let mut cluster = with_namespace();
    for name in ["a", "b"] {
        make(&mut cluster, name, &[]);
    }
    let first = answer(
        &mut cluster,
        "GET",
        &format!("{MEMBERSHIPS}?limit=1"),
        Value::Null,
    );
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    let next = format!("{MEMBERSHIPS}?limit=1&continue={token}");
    let second = answer(&mut cluster, "GET", &next, Value::Null);
    assert_eq!(second.body["items"][0]["metadata"]["name"], "b");
    make(&mut cluster, "c", &[]);
    cluster.compact(cluster.version());
    let gone = answer(&mut cluster, "GET", &next, Value::Null);
    assert_eq!((gone.code, &gone.body["reason"]), (410, &json!("Expired")));
}

#[test]
fn a_watch_from_a_compacted_version_says_so_once_and_is_over() {
    let mut cluster = with_namespace();
    let from = cluster.version();
    let mut behind = watch(&mut cluster, from);
    let mut ahead = watch(&mut cluster, from);
    make(&mut cluster, "a", &[]);
    assert_eq!(cluster.next(&mut ahead).unwrap()["type"], "ADDED");
    make(&mut cluster, "b", &[]);
    cluster.compact(cluster.version());
    assert_eq!(cluster.next(&mut ahead).unwrap()["type"], "ADDED");
    let opened = watch(&mut cluster, from);
    for mut stale in [behind.clone(), opened] {
        assert!(cluster.pending(&stale));
        let line = cluster.next(&mut stale).unwrap();
        assert_eq!(
            (&line["type"], &line["object"]["code"]),
            (&json!("ERROR"), &json!(410))
        );
        assert!(stale.is_over() && !cluster.pending(&stale));
        assert_eq!(cluster.next(&mut stale), None);
    }
    assert!(cluster.next(&mut behind).is_some());
}

#[test]
fn a_bookmark_saves_an_idle_watch_from_compaction() {
    let mut cluster = with_namespace();
    let mut idle = watch(&mut cluster, 1);
    answer(
        &mut cluster,
        "POST",
        "/api/v1/namespaces",
        json!({"metadata": {"name": "other"}}),
    );
    let line = cluster.bookmark(&mut idle);
    let version = cluster.version().to_string();
    assert_eq!(
        line["object"]["metadata"]["resourceVersion"],
        version.as_str()
    );
    cluster.compact(cluster.version());
    let mut again = watch(&mut cluster, version.parse().unwrap());
    assert_eq!(cluster.next(&mut again), None);
}

#[test]
fn a_namespace_that_is_going_goes_when_its_last_object_does() {
    let mut cluster = with_namespace();
    make(&mut cluster, "plain", &[]);
    make(&mut cluster, "held", &["a/b"]);
    assert!(
        !cluster.namespace_controller(NOW, "web"),
        "nobody deleted it"
    );
    assert!(
        cluster
            .object("servergroupmemberships", Some("web"), "plain")
            .is_some()
    );
    answer(
        &mut cluster,
        "DELETE",
        "/api/v1/namespaces/web",
        Value::Null,
    );
    assert!(!cluster.namespace_controller(NOW, "web"));
    let left: Vec<_> = cluster.objects("servergroupmemberships").collect();
    assert_eq!(left.len(), 1);
    assert!(left[0]["metadata"]["deletionTimestamp"].is_string());
    let held = format!("{MEMBERSHIPS}/held");
    let let_go = json!({"metadata": {"finalizers": null}});
    assert_eq!(answer(&mut cluster, "PATCH", &held, let_go).code, 200);
    assert!(cluster.namespace_controller(NOW, "web"));
    assert!(cluster.object("namespaces", None, "web").is_none());
    let last = cluster.history().last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.by.as_str()),
        ("web", "namespace-controller")
    );
}
