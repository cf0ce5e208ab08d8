//! What a call names, read from its parameters alone, so that calls that were refused show it too.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::backend_list::BackendList;

type Params = BTreeMap<String, String>;

/// The group, scaling group or load balancer that a call is about.
pub(crate) fn resource(params: &Params) -> Option<String> {
    const NAMES: [&str; 10] = [
        "VServerGroupId",
        "ServerGroupId",
        "ScalingGroupId",
        "LoadBalancerId",
        "ScalingGroupId.1",
        "ServerGroupIds.1",
        "ScalingActivityId.1",
        "JobId",
        "JobIds.1",
        "ListenerId",
    ];
    NAMES.iter().find_map(|name| params.get(*name).cloned())
}

/// Members as `ID[@IP][:PORT]`, attachments as `TYPE/ID[:PORT]`.
pub(crate) fn names(params: &Params) -> Vec<String> {
    let mut names = Vec::new();
    for list in ["Servers", "AddedServers", "RemovedServers"] {
        for index in 1.. {
            let field = |name: &str| params.get(&format!("{list}.{index}.{name}"));
            let Some(id) = field("ServerId") else { break };
            names.push(member(id, field("ServerIp"), field("Port")));
        }
    }
    for list in ["BackendServers", "OldBackendServers", "NewBackendServers"] {
        let backends = params.get(list).map(|text| rows(text));
        for backend in backends.unwrap_or_default() {
            let field = |name: &str| match backend.get(name)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let id = field("ServerId").unwrap_or_default();
            names.push(member(
                &id,
                field("ServerIp").as_ref(),
                field("Port").as_ref(),
            ));
        }
    }
    for index in 1.. {
        let field = |name: &str| params.get(&format!("ServerGroup.{index}.{name}"));
        let Some(id) = field("ServerGroupId") else {
            break;
        };
        let kind = field("Type").map(String::as_str).unwrap_or_default();
        names.push(format!("{kind}/{}", member(id, None, field("Port"))));
    }
    names
}

/// The same call about the first few only, and without its token.
pub(crate) fn first(params: Params, count: usize) -> Params {
    let keep = |name: &str| {
        let number = name
            .split('.')
            .nth(1)
            .and_then(|number| number.parse().ok());
        name != "ClientToken" && number.is_none_or(|number: usize| number <= count)
    };
    let kept = params.into_iter().filter(|(name, _)| keep(name));
    kept.map(|(name, value)| match name.as_str() {
        "BackendServers" => {
            let rows = rows(&value).into_iter().take(count);
            let rows: Value = rows.map(Value::Object).collect();
            (name, rows.to_string())
        }
        _ => (name, value),
    })
    .collect()
}

/// The backends that a text names; none if it is no list.
fn rows(text: &str) -> Vec<Map<String, Value>> {
    BackendList::read(text).map_or_else(|_| Vec::new(), |list| list.rows)
}

fn member(id: &str, ip: Option<&String>, port: Option<&String>) -> String {
    let mut name = id.to_owned();
    for (sign, part) in [('@', ip), (':', port)] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            name.push(sign);
            name.push_str(part);
        }
    }
    name
}
