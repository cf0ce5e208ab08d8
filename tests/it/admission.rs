//! What the real API server refuses at admission, and how it says so.

use std::process::Output;

use kube::{
    Api, Client,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    },
};
use serde_json::{Value, json};

use crate::stage::{control_plane, instances};

const MEMBERSHIP: &str = "ServerGroupMembership";
const ATTACHMENT: &str = "ScalingGroupAttachment";
const ACCOUNT: &str = "CloudAccount";

fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("servergroup.alicloud.dev", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural(kind));
    match kind {
        ACCOUNT => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), "default", &resource),
    }
}

/// A good object of each kind, which the rows of the table spoil in one place.
fn good(kind: &str) -> Value {
    let spec = match kind {
        MEMBERSHIP => json!({
            "regionId": "cn-hangzhou", "serverGroup": {"type": "CLB", "id": "rsp-1"},
            "servers": [{"id": "i-1", "port": 80}, {"id": "eni-1", "ip": "10.0.0.1", "port": 80, "weight": 0}],
        }),
        ATTACHMENT => json!({
            "regionId": "cn-hangzhou", "scalingGroupId": "asg-1",
            "serverGroups": [{"type": "ALB", "id": "sgp-1", "port": 80, "weight": 50}, {"type": "GWLB", "id": "sgp-2"}],
        }),
        _ => json!({
            "credentials": {"type": "Environment"},
            "grants": [{"name": "a", "namespaces": ["*"], "regions": ["cn-hangzhou"], "serverGroups": ["sgp-*"],
                "scalingGroups": ["asg-1"], "servers": ["i-*", "10.0.0.0/16", "fd00::/8"]}],
        }),
    };
    json!({"apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": kind, "metadata": {"name": "table"}, "spec": spec})
}

/// A GWLB membership.
fn gwlb(servers: &Value) -> Value {
    of("GWLB", servers)
}

/// The fields of a membership of an ALB, NLB or GWLB group.
fn of(product: &str, servers: &Value) -> Value {
    json!({"serverGroup": {"type": product, "id": "sgp-1"}, "servers": servers})
}

/// Sets fields of the spec; null takes one away.
fn spoilt(kind: &str, fields: &Value) -> Value {
    let mut object = good(kind);
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => _ = object["spec"].as_object_mut().unwrap().remove(name),
            value => object["spec"][name] = value.clone(),
        }
    }
    object
}

/// Kind, what is spoilt, and what the message has to contain: the field, and words about it.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn bad() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let server = |server: Value| json!({"servers": [server]});
    let group = |group: Value| json!({"serverGroups": [group]});
    let grant = |field: &str, pattern: &str| json!({"grants": [{"name": "a", field: [pattern]}]});
    let many: Vec<_> = (0..101)
        .map(|n| json!({"type": "GWLB", "id": format!("sgp-{n}")}))
        .collect();
    vec![
        // Ids and types.
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "CLB", "id": "sgp-1"}}),
            "spec.serverGroup.id",
            "rsp-",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "GWLB", "id": "rsp-1"}, "servers": []}),
            "spec.serverGroup.id",
            "sgp-",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "CLB", "id": "web"}}),
            "spec.serverGroup.id",
            "must be the id of a server group",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "CLB", "id": "rsp-1/../x"}}),
            "spec.serverGroup.id",
            "lower-case letters, digits and hyphens",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "CLB", "id": format!("rsp-{}", "a".repeat(61))}}),
            "spec.serverGroup.id",
            "64",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "ELB", "id": "rsp-1"}}),
            "spec.serverGroup.type",
            "supported values",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"id": "rsp-1"}}),
            "spec.serverGroup.type",
            "Required",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "CLB"}}),
            "spec.serverGroup.id",
            "Required",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": null}),
            "spec.serverGroup",
            "Required",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "web-1", "port": 80})),
            "spec.servers[0].id",
            "id must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "I-0002", "port": 80})),
            "spec.servers[0].id",
            "lower-case letters and digits",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "AY1407_1", "type": "Ecs", "port": 80})),
            "spec.servers[0].id",
            "id must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "AY140700000000000000", "port": 80})),
            "spec.servers[0].type",
            "type is required, because this id does not tell",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "AY140700000000000000", "type": "Eni", "port": 80})),
            "spec.servers[0].type",
            "contradicts id",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "AY140700000000000000", "type": "Ip", "port": 80})),
            "spec.servers[0].type",
            "contradicts id",
        ),
        (
            MEMBERSHIP,
            server(
                json!({"id": "AY140700000000000000", "type": "Ecs", "ip": "10.0.0.1", "port": 80}),
            ),
            "spec.servers",
            "leave it out for an instance",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "ns/i-1", "port": 80})),
            "spec.servers[0].id",
            "id must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "", "port": 80})),
            "spec.servers[0].id",
            "id must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "type": "Eni", "port": 80})),
            "spec.servers[0].type",
            "contradicts",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "eni-1", "type": "Ecs", "port": 80})),
            "spec.servers[0].type",
            "contradicts",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "eci-1", "type": "Eni", "port": 80})),
            "spec.servers[0].type",
            "contradicts",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "type": "Ip", "port": 80})),
            "spec.servers[0].type",
            "contradicts",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "type": "ecs", "port": 80})),
            "spec.servers[0].type",
            "supported values",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "type": "Fc", "port": 80})),
            "spec.servers[0].type",
            "contradicts id",
        ),
        (
            MEMBERSHIP,
            server(json!({"port": 80})),
            "spec.servers[0].id",
            "Required",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "10.0.0.1", "port": 80})),
            "spec.servers",
            "not addresses",
        ),
        // Ports and weights.
        (
            MEMBERSHIP,
            server(json!({"id": "i-1"})),
            "spec.servers",
            "port is required",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": 0})),
            "spec.servers",
            "port must be 1 to 65535",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": -1})),
            "spec.servers[0].port",
            "greater than or equal to 0",
        ),
        (
            MEMBERSHIP,
            of("ALB", &json!([{"id": "i-1"}])),
            "spec.servers",
            "port is required",
        ),
        (
            MEMBERSHIP,
            of("ALB", &json!([{"id": "i-1", "port": 0}])),
            "spec.servers",
            "0 is for NLB",
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "acs:fc:cn-hangzhou:1:services/s", "port": 80}]),
            ),
            "spec.servers",
            "absent for a function",
        ),
        (
            MEMBERSHIP,
            of("NLB", &json!([{"id": "acs:fc:cn-hangzhou:1:services/s"}])),
            "spec.servers",
            "only an ALB group takes functions",
        ),
        (
            MEMBERSHIP,
            of("ALB", &json!([{"id": "acs:ecs:x"}])),
            "spec.servers[0].id",
            "ARN of a function",
        ),
        (
            MEMBERSHIP,
            json!({"serverGroup": {"type": "NLB", "id": "rsp-1"}}),
            "spec.serverGroup.id",
            "sgp-",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"drainSeconds": 3601}}),
            "spec.removal.drainSeconds",
            "3600",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"drainSeconds": -1}}),
            "spec.removal.drainSeconds",
            "equal to 0",
        ),
        (
            MEMBERSHIP,
            json!({"ownership": "Sole"}),
            "spec.ownership",
            "supported values",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": 65536})),
            "spec.servers[0].port",
            "less than or equal to 65535",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": "80"})),
            "spec.servers[0].port",
            "integer",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": 80.5})),
            "spec.servers[0].port",
            "integer",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": 80, "weight": -1})),
            "spec.servers[0].weight",
            "greater than or equal to 0",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "port": 80, "weight": 101})),
            "spec.servers[0].weight",
            "less than or equal to 100",
        ),
        (
            MEMBERSHIP,
            gwlb(&json!([{"id": "i-1", "port": 6081}])),
            "spec.servers",
            "neither ports nor weights",
        ),
        (
            MEMBERSHIP,
            gwlb(&json!([{"id": "i-1", "weight": 1}])),
            "spec.servers",
            "neither ports nor weights",
        ),
        // Addresses.
        (
            MEMBERSHIP,
            server(json!({"id": "eni-1", "ip": "10.0.0", "port": 80})),
            "spec.servers[0].ip",
            "ip must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "eni-1", "ip": "10.0.0.0/8", "port": 80})),
            "spec.servers[0].ip",
            "ip must be",
        ),
        (
            MEMBERSHIP,
            server(json!({"id": "i-1", "ip": "10.0.0.1", "port": 80})),
            "spec.servers",
            "leave it out",
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "i-1", "port": 80, "remoteIpEnabled": true}]),
            ),
            "spec.servers[0].remoteIpEnabled",
            "for servers of type Ip",
        ),
        (
            MEMBERSHIP,
            of(
                "NLB",
                &json!([{"id": "172.16.1.5", "port": 80, "remoteIpEnabled": true}]),
            ),
            "spec.servers",
            "remoteIpEnabled is for servers of an ALB group",
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "172.16.1.5", "port": 80, "remoteIpEnabled": "true"}]),
            ),
            "spec.servers[0].remoteIpEnabled",
            "boolean",
        ),
        // Lists.
        (
            MEMBERSHIP,
            json!({"servers": null}),
            "spec.servers",
            "Required",
        ),
        (
            MEMBERSHIP,
            json!({"servers": instances(0, 1001, Some(80))}),
            "spec.servers",
            "1000",
        ),
        (MEMBERSHIP, json!({"servers": {}}), "spec.servers", "array"),
        // The rest of a membership.
        (
            MEMBERSHIP,
            json!({"regionId": null}),
            "spec.regionId",
            "Required",
        ),
        (
            MEMBERSHIP,
            json!({"regionId": "Hangzhou"}),
            "spec.regionId",
            "must be the id of a region",
        ),
        (
            MEMBERSHIP,
            json!({"regionId": "cn-hangzhou.evil.example"}),
            "spec.regionId",
            "must be the id of a region",
        ),
        (
            MEMBERSHIP,
            json!({"regionId": "xn--pokxncvks"}),
            "spec.regionId",
            "must be the id of a region",
        ),
        (
            MEMBERSHIP,
            json!({"regionId": "cn-hangzhou-h"}),
            "spec.regionId",
            "is a zone",
        ),
        (
            MEMBERSHIP,
            json!({"regionId": "ap-southeast-1a"}),
            "spec.regionId",
            "is a zone",
        ),
        (
            MEMBERSHIP,
            json!({"accountName": ""}),
            "spec.accountName",
            "should",
        ),
        (
            MEMBERSHIP,
            json!({"accountName": "other/account"}),
            "spec.accountName",
            "should match",
        ),
        (
            MEMBERSHIP,
            json!({"ownership": "Mine"}),
            "spec.ownership",
            "supported values",
        ),
        (
            MEMBERSHIP,
            json!({"deletionPolicy": "Orphan"}),
            "spec.deletionPolicy",
            "supported values",
        ),
        (
            MEMBERSHIP,
            json!({"intervalSeconds": 29}),
            "spec.intervalSeconds",
            "greater than or equal to 30",
        ),
        (
            MEMBERSHIP,
            json!({"intervalSeconds": 86401}),
            "spec.intervalSeconds",
            "less than or equal to 86400",
        ),
        (
            MEMBERSHIP,
            json!({"suspend": "yes"}),
            "spec.suspend",
            "boolean",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"allowEmpty": "yes"}}),
            "spec.removal.allowEmpty",
            "boolean",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": -1}}),
            "spec.removal.minServing",
            "percentage",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": 1001}}),
            "spec.removal.minServing",
            "percentage",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": "101%"}}),
            "spec.removal.minServing",
            "percentage",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": "-1%"}}),
            "spec.removal.minServing",
            "percentage",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": "half"}}),
            "spec.removal.minServing",
            "percentage",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": "2"}}),
            "spec.removal.minServing",
            "write the count without quotes",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"maxUnavailable": "0"}}),
            "spec.removal.maxUnavailable",
            "write the count without quotes",
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": 0.5}}),
            "spec.removal.minServing",
            "",
        ),
        // Attachments.
        (
            ATTACHMENT,
            json!({"scalingGroupId": "sgp-1"}),
            "spec.scalingGroupId",
            "must be the id of a scaling group",
        ),
        (
            ATTACHMENT,
            json!({"scalingGroupId": null}),
            "spec.scalingGroupId",
            "Required",
        ),
        (
            ATTACHMENT,
            json!({"serverGroups": null}),
            "spec",
            "serverGroups or loadBalancers is required",
        ),
        (
            ATTACHMENT,
            json!({"loadBalancers": [{"id": "rsp-1"}]}),
            "spec.loadBalancers[0].id",
            "must be the id of a CLB load balancer",
        ),
        (
            ATTACHMENT,
            json!({"loadBalancers": [{"id": "lb-1", "weight": 101}]}),
            "spec.loadBalancers[0].weight",
            "100",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "CLB", "id": "rsp-1", "port": 80})),
            "spec.serverGroups[0].loadBalancerId",
            "loadBalancerId is required",
        ),
        (
            ATTACHMENT,
            group(
                json!({"type": "NLB", "id": "sgp-1", "loadBalancerId": "lb-1", "port": 80, "weight": 1}),
            ),
            "spec.serverGroups[0].loadBalancerId",
            "and for no other",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "CLB", "id": "rsp-1", "loadBalancerId": "lb-1"})),
            "spec.serverGroups[0].port",
            "port is required",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "CLB", "id": "sgp-1", "loadBalancerId": "lb-1", "port": 80})),
            "spec.serverGroups[0].id",
            "begins with rsp-",
        ),
        (
            ATTACHMENT,
            json!({"serverGroups": many}),
            "spec.serverGroups",
            "100",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "sgp-1", "weight": 1})),
            "spec.serverGroups[0].port",
            "port is required",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "NLB", "id": "sgp-1", "port": 80})),
            "spec.serverGroups[0].weight",
            "weight is required",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "GWLB", "id": "sgp-1", "port": 6081})),
            "spec.serverGroups[0].type",
            "leave both out",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "GWLB", "id": "sgp-1", "weight": 1})),
            "spec.serverGroups[0].type",
            "leave both out",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "sgp-1", "port": 0, "weight": 1})),
            "spec.serverGroups[0].port",
            "equal to 1",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "sgp-1", "port": 65536, "weight": 1})),
            "spec.serverGroups[0].port",
            "65535",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "sgp-1", "port": 80, "weight": 101})),
            "spec.serverGroups[0].weight",
            "100",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "rsp-1", "port": 80, "weight": 1})),
            "spec.serverGroups[0].id",
            "sgp-",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "alb", "id": "sgp-1", "port": 80, "weight": 1})),
            "spec.serverGroups[0].type",
            "supported",
        ),
        (
            ATTACHMENT,
            group(json!({"id": "sgp-1"})),
            "spec.serverGroups[0].type",
            "Required",
        ),
        (
            ATTACHMENT,
            json!({"forceDetach": "true"}),
            "spec.forceDetach",
            "boolean",
        ),
        (
            ATTACHMENT,
            json!({"regionId": "cn_hangzhou"}),
            "spec.regionId",
            "must be the id of a region",
        ),
        (
            ATTACHMENT,
            json!({"regionId": "cn-hangzhou-i"}),
            "spec.regionId",
            "is a zone",
        ),
        (
            ATTACHMENT,
            json!({"scalingGroupId": "AG6C/1"}),
            "spec.scalingGroupId",
            "letters and digits alone",
        ),
        (
            ATTACHMENT,
            json!({"loadBalancers": [{"id": "15200000001"}]}),
            "spec.loadBalancers[0].id",
            "such as 15200000001-cn-hangzhou-dg-a01",
        ),
        (
            ATTACHMENT,
            json!({"scalingGroupId": "asg-1:sgp-1:80"}),
            "spec.scalingGroupId",
            "must be the id of a scaling group",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "ALB", "id": "sgp-A ", "port": 80, "weight": 1})),
            "spec.serverGroups[0].id",
            "must be the id of a server group",
        ),
        (
            ATTACHMENT,
            group(json!({"type": "CLB", "id": "rsp-1", "loadBalancerId": "lb/1", "port": 80})),
            "spec.serverGroups[0].loadBalancerId",
            "must be the id of a CLB load balancer",
        ),
        (
            ATTACHMENT,
            json!({"intervalSeconds": 0}),
            "spec.intervalSeconds",
            "equal to 30",
        ),
        // Accounts.
        (
            ACCOUNT,
            json!({"credentials": null}),
            "spec.credentials",
            "Required",
        ),
        (
            ACCOUNT,
            json!({"credentials": {}}),
            "spec.credentials.type",
            "Required",
        ),
        (
            ACCOUNT,
            json!({"credentials": {"type": "Vault"}}),
            "spec.credentials.type",
            "supported values",
        ),
        (
            ACCOUNT,
            json!({"network": "Private"}),
            "spec.network",
            "supported values",
        ),
        (
            ACCOUNT,
            json!({"grants": [{"namespaces": ["*"]}]}),
            "spec.grants[0].name",
            "Required",
        ),
        (
            ACCOUNT,
            json!({"grants": [{"name": "a"}, {"name": "a"}]}),
            "spec.grants[1]",
            "Duplicate",
        ),
        (
            ACCOUNT,
            json!({"grants": [{"name": "A!"}]}),
            "spec.grants[0].name",
            "should match",
        ),
        (
            ACCOUNT,
            grant("namespaces", "team-*"),
            "spec.grants[0].namespaces[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("regions", "hangzhou"),
            "spec.grants[0].regions[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("regions", "cn-hangzhou-h"),
            "spec.grants[0].regions[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("serverGroups", "web-*"),
            "spec.grants[0].serverGroups[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("scalingGroups", "sgp-1"),
            "spec.grants[0].scalingGroups[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("loadBalancers", "rsp-*"),
            "spec.grants[0].loadBalancers[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("servers", "sgp-*"),
            "spec.grants[0].servers[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("servers", "acs:fc:?"),
            "spec.grants[0].servers[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("servers", "10.0.0.0/x"),
            "spec.grants[0].servers[0]",
            "should match",
        ),
        (
            ACCOUNT,
            grant("servers", "i-*-x"),
            "spec.grants[0].servers[0]",
            "should match",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_objects_are_refused_with_field_and_words() {
    let client = control_plane().await.admin().client().await.unwrap();
    let rows = bad();
    assert!(rows.len() >= 50, "only {} rows", rows.len());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut wrong = Vec::new();
    for (kind, fields, path, words) in rows {
        let object: DynamicObject = serde_json::from_value(spoilt(kind, &fields)).unwrap();
        match api(&client, kind).create(&dry, &object).await {
            Ok(_) => wrong.push(format!("{kind} {fields}: accepted")),
            Err(kube::Error::Api(status))
                if status.message.contains(path) && status.message.contains(words) => {}
            Err(error) => wrong.push(format!(
                "{kind} {fields}: expected {path:?} and {words:?} in: {error}"
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n").chars().take(6000).collect::<String>()
    );
}

/// Kind, and what differs from a good object that is good too.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn good_too() -> Vec<(&'static str, Value)> {
    vec![
        (MEMBERSHIP, json!({})),
        (MEMBERSHIP, json!({"servers": []})),
        (MEMBERSHIP, json!({"servers": instances(0, 1000, Some(80))})),
        (
            MEMBERSHIP,
            json!({"servers": [{"id": "eni-1", "port": 80}, {"id": "eni-1", "ip": "fd00::1", "port": 81}]}),
        ),
        (
            MEMBERSHIP,
            gwlb(
                &json!([{"id": "i-1"}, {"id": "eni-1", "ip": "10.0.0.1"}, {"id": "i-2", "ip": "10.0.0.2"}]),
            ),
        ),
        (
            MEMBERSHIP,
            gwlb(&json!([{"id": "10.0.0.1", "type": "Ip"}, {"id": "fd00::1"}])),
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": "50%"}, "deletionPolicy": "Retain", "suspend": true}),
        ),
        (
            MEMBERSHIP,
            json!({"removal": {"minServing": 0, "allowEmpty": true}, "intervalSeconds": 86400}),
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "i-1", "port": 80, "weight": 0}, {"id": "10.0.0.1", "port": 80}]),
            ),
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "acs:fc:cn-hangzhou:1:services/s.LATEST/functions/f"}]),
            ),
        ),
        (
            MEMBERSHIP,
            of(
                "NLB",
                &json!([{"id": "i-1", "port": 0}, {"id": "eci-1", "port": 80, "type": "Eci"}]),
            ),
        ),
        (
            MEMBERSHIP,
            json!({"ownership": "Exclusive", "removal": {"drainSeconds": 3600}}),
        ),
        (
            ATTACHMENT,
            json!({"serverGroups": null, "loadBalancers": [{"id": "lb-1"}, {"id": "lb-2", "weight": 0}]}),
        ),
        (
            ATTACHMENT,
            json!({"serverGroups": [{"type": "CLB", "id": "rsp-1", "loadBalancerId": "lb-1", "port": 80}], "ownership": "Exclusive"}),
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([
                    {"id": "172.16.1.5", "port": 80, "weight": 10, "remoteIpEnabled": true},
                    {"id": "fd00::1", "type": "Ip", "port": 80, "remoteIpEnabled": false},
                ]),
            ),
        ),
        // Ids from before 2017.
        (
            MEMBERSHIP,
            json!({"servers": [{"id": "AY140700000000000000", "type": "Ecs", "port": 80}]}),
        ),
        (
            MEMBERSHIP,
            of(
                "ALB",
                &json!([{"id": "AY140700000000000000", "type": "Ecs", "ip": "10.0.0.1", "port": 80}]),
            ),
        ),
        (
            ATTACHMENT,
            json!({
                "scalingGroupId": "AG6Cxxxxxxxxxxxxxxx0000",
                "serverGroups": [
                    {"type": "CLB", "id": "rsp-1", "loadBalancerId": "15200000001-cn-hangzhou-dg-a01", "port": 80},
                ],
                "loadBalancers": [{"id": "15200000001-cn-hangzhou-dg-a01"}],
            }),
        ),
        (
            ACCOUNT,
            json!({"grants": [{
                "name": "old", "namespaces": ["default"], "regions": ["cn-hangzhou"], "serverGroups": ["*"],
                "scalingGroups": ["AG6Cxxxxxxxxxxxxxxx0000", "AG6C*"], "servers": ["AY*", "AY140700000000000000"],
                "loadBalancers": ["15200000001-*", "15200000001-cn-hangzhou-dg-a01"],
            }]}),
        ),
        (ATTACHMENT, json!({})),
        (
            ATTACHMENT,
            json!({"serverGroups": [], "forceAttach": true, "forceDetach": true}),
        ),
        (
            ATTACHMENT,
            json!({"serverGroups": [{"type": "NLB", "id": "sgp-1", "port": 65535, "weight": 0}]}),
        ),
        (ACCOUNT, json!({})),
        (ACCOUNT, json!({"grants": null, "network": "Vpc"})),
        (
            ACCOUNT,
            json!({"grants": [{"name": "any", "namespaces": ["*"], "servers": ["*", "10.0.0.1", "eci-*"]}]}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn good_objects_are_accepted() {
    let client = control_plane().await.admin().client().await.unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for (kind, fields) in good_too() {
        let object: DynamicObject = serde_json::from_value(spoilt(kind, &fields)).unwrap();
        let outcome = api(&client, kind).create(&dry, &object).await;
        assert!(outcome.is_ok(), "{kind} {fields}: {}", outcome.unwrap_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_immutable_stays() {
    let client = control_plane().await.admin().client().await.unwrap();
    for kind in [MEMBERSHIP, ATTACHMENT] {
        let name = format!("immutable-{}", kind.to_lowercase());
        let mut object = good(kind);
        object["metadata"]["name"] = json!(name);
        object["spec"]["accountName"] = json!("first");
        let created: DynamicObject = serde_json::from_value(object).unwrap();
        api(&client, kind)
            .create(&PostParams::default(), &created)
            .await
            .unwrap();
        let mut changes = vec![
            ("accountName", json!("second")),
            ("regionId", json!("cn-beijing")),
            ("accountName", Value::Null),
        ];
        match kind {
            MEMBERSHIP => {
                changes.push(("serverGroup", json!({"id": "rsp-2"})));
                changes.push(("serverGroup", json!({"id": "sgp-2", "type": "GWLB"})));
            }
            _ => changes.push(("scalingGroupId", json!("asg-2"))),
        }
        for (field, value) in changes {
            let patch = json!({"spec": {field: value}});
            let refused = api(&client, kind)
                .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap_err();
            let message = refused.to_string();
            assert!(
                message.contains("is immutable") && message.contains(field),
                "{kind} {patch}: {message}"
            );
        }
        api(&client, kind)
            .delete(&name, &kube::api::DeleteParams::default())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_says_that_nobody_has_looked_at_it() {
    let client = control_plane().await.admin().client().await.unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for kind in [MEMBERSHIP, ATTACHMENT] {
        let object: DynamicObject = serde_json::from_value(good(kind)).unwrap();
        let created = api(&client, kind).create(&dry, &object).await.unwrap();
        assert_eq!(
            created.data["status"],
            json!({"observedGeneration": -1}),
            "{kind}"
        );
        assert_eq!(created.data["spec"]["accountName"], "default");
        assert_eq!(created.data["spec"]["intervalSeconds"], 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_apply_by_somebody_else_changes_nothing() {
    let client = control_plane().await.admin().client().await.unwrap();
    let mut object = spoilt(
        MEMBERSHIP,
        &json!({"servers": instances(0, 1000, Some(80))}),
    );
    object["metadata"]["name"] = json!("applied-twice");
    let memberships = api(&client, MEMBERSHIP);
    let apply = |manager: &'static str| {
        let (memberships, object) = (memberships.clone(), object.clone());
        async move {
            memberships
                .patch(
                    "applied-twice",
                    &PatchParams::apply(manager),
                    &Patch::Apply(&object),
                )
                .await
                .unwrap()
        }
    };
    let first = apply("one").await;
    let second = apply("two").await;
    assert_eq!(first.metadata.generation, second.metadata.generation);
    memberships
        .delete("applied-twice", &kube::api::DeleteParams::default())
        .await
        .unwrap();
}

/// Runs kubectl until it succeeds: what the server has learnt a moment ago it does not list at once.
async fn kubectl(arguments: &'static [&'static str]) -> String {
    let control_plane = control_plane().await;
    let cache = std::env::temp_dir().join(format!("kubectl-cache-{}", std::process::id()));
    let run = || async {
        let mut command = control_plane.kubectl().unwrap();
        command.arg("--cache-dir").arg(&cache).args(arguments);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        if !output.status.success() {
            // What it says is kept only for this look; the next asks anew.
            _ = std::fs::remove_dir_all(&cache);
        }
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    };
    crate::stage::eventually(&format!("kubectl {arguments:?}"), run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains_selects_and_lists() {
    let client = control_plane().await.admin().client().await.unwrap();
    for kind in [MEMBERSHIP, ATTACHMENT] {
        let mut object = good(kind);
        object["metadata"]["name"] = json!("listed");
        let created: DynamicObject = serde_json::from_value(object).unwrap();
        api(&client, kind)
            .create(&PostParams::default(), &created)
            .await
            .unwrap();
    }
    for (field, words) in [
        (
            "sgm",
            "Which servers a CLB, ALB, NLB or GWLB server group holds",
        ),
        ("sgm.spec.servers.weight", "0 to 100"),
        ("sgm.spec.removal.minServing", "percentage"),
        ("sgm.status.ledger.adopted", "already there"),
        ("sga.spec.forceDetach", "instances leave a server group"),
        ("ca.spec.grants.servers", "10.0.0.0/16"),
        ("ca.spec.credentials.type", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
    ] {
        let field: &'static str = field;
        let arguments: &'static [&'static str] =
            Box::leak(vec!["explain", field].into_boxed_slice());
        let text = kubectl(arguments)
            .await
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(text.contains(words), "{field}: {text}");
    }
    let all = kubectl(&["get", "alicloud", "--namespace", "default"]).await;
    assert!(
        all.contains("servergroupmembership") && all.contains("scalinggroupattachment"),
        "{all}"
    );
    let table = kubectl(&["get", "sgm", "listed", "--namespace", "default"]).await;
    for column in ["TYPE", "GROUP", "READY", "REASON", "SUMMARY", "AGE"] {
        assert!(table.contains(column), "{table}");
    }
    for (kind, selector, expected) in [
        (
            MEMBERSHIP,
            "spec.serverGroup.id=rsp-1,metadata.name=listed",
            1,
        ),
        (
            MEMBERSHIP,
            "spec.serverGroup.id=rsp-2,metadata.name=listed",
            0,
        ),
        (
            MEMBERSHIP,
            "spec.accountName=default,metadata.name=listed",
            1,
        ),
        (
            ATTACHMENT,
            "spec.scalingGroupId=asg-1,metadata.name=listed",
            1,
        ),
        (ATTACHMENT, "spec.accountName=other,metadata.name=listed", 0),
    ] {
        let found = api(&client, kind)
            .list(&ListParams::default().fields(selector))
            .await
            .unwrap();
        assert_eq!(found.items.len(), expected, "{kind} {selector}");
    }
    for kind in [MEMBERSHIP, ATTACHMENT] {
        api(&client, kind)
            .delete("listed", &kube::api::DeleteParams::default())
            .await
            .unwrap();
    }
}

/// Walks a schema and complains about every list and text without a bound.
fn unbounded(path: &str, schema: &Value, found: &mut Vec<String>) {
    match schema["type"].as_str() {
        Some("array") if schema["maxItems"].is_null() => found.push(format!("{path}: no maxItems")),
        Some("string")
            if ["maxLength", "enum", "format"]
                .iter()
                .all(|bound| schema[*bound].is_null()) =>
        {
            found.push(format!("{path}: no maxLength"));
        }
        _ => {}
    }
    if schema["nullable"] == true {
        found.push(format!("{path}: nullable"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // The condition of Kubernetes has bounds of its own kind.
        if name != "conditions" {
            unbounded(&format!("{path}.{name}"), property, found);
        }
    }
    if schema["items"].is_object() {
        unbounded(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn every_list_and_text_has_a_bound() {
    let mut found = Vec::new();
    for crd in server_group_operator::api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            unbounded(
                &format!("{}.{part}", crd["spec"]["names"]["kind"]),
                &schema["properties"][part],
                &mut found,
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
