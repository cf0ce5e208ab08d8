//! Health of the servers behind a listener, of ALB, NLB and GWLB.
//!
//! There are no listeners here: `lsn-GROUP` stands for one that sends everything to that group. Nothing looks at health
//! either: it follows from what a member is doing.

use serde_json::{Value, json};

use crate::{
    group::{Member, MemberKey, Product, Status},
    listing::{group, page, region},
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    world::World,
};

pub(crate) fn of_listener(world: &mut World, product: Product, params: &Params) -> Outcome {
    region(product, params);
    let id = params.need("ListenerId")?;
    // NLB names a listener with its port.
    let (name, port) = match id.split_once('@') {
        Some((name, port)) if product == Product::Nlb => (name, port.parse::<u16>()),
        _ => (id, Ok(80)),
    };
    let (Some(group_id), Ok(port)) = (name.strip_prefix("lsn-"), port) else {
        return Err(unknown(product, id));
    };
    let group = group(world, product, group_id).map_err(|_| unknown(product, id))?;
    let all = group.members.iter().map(|(key, member)| row(key, member));
    // ALB and NLB tell only of those that are not normal.
    let mut listener = match product {
        Product::Gwlb => {
            let servers = filtered(params, all.collect())?;
            json!({"ServerGroupInfos": [{"HealthCheckEnabled": true, "Servers": servers}]})
        }
        _ => {
            let servers: Vec<_> = all.filter(|row| row["Status"] != "Healthy").collect();
            json!({"ServerGroupInfos": [{"NonNormalServers": servers}], "ListenerPort": port})
        }
    };
    listener["ListenerId"] = json!(id);
    let info = &mut listener["ServerGroupInfos"][0];
    info["ServerGroupId"] = json!(group_id);
    let body = match product {
        Product::Gwlb => page(params, product, "ListenerHealthStatus", &[listener])?,
        Product::Nlb => {
            // So it is spelt.
            info["HeathCheckEnabled"] = json!(true);
            listener["ListenerProtocol"] = json!("TCP");
            json!({"ListenerHealthStatus": [listener]})
        }
        _ => {
            info["HealthCheckEnabled"] = json!("on");
            listener["ListenerProtocol"] = json!("HTTP");
            params.flag("IncludeRule")?;
            params.within("MaxResults", 1, 30)?;
            let page = page(params, product, "ListenerHealthStatus", &[listener])?;
            json!({"ListenerHealthStatus": page["ListenerHealthStatus"], "RuleHealthStatus": []})
        }
    };
    params.nothing_else()?;
    Ok((body, Effect::on(id)))
}

fn row((server, ip, port): &MemberKey, member: &Member) -> Value {
    let status = match member.status {
        Status::Adding => "Initial",
        Status::Available | Status::Configuring if member.weight > 0 => "Healthy",
        _ => "Unused",
    };
    json!({"ServerId": server, "ServerIp": ip, "Port": port, "Status": status, "Reason": {"ReasonCode": ""}})
}

/// Rows that fit every filter: a field has one of some values. Source: GWLB 2024-04-15, `GetListenerHealthStatus`.
fn filtered(params: &Params, mut rows: Vec<Value>) -> Result<Vec<Value>, Refusal> {
    let count = params.objects("Filter");
    if count > 20 {
        return Err(Refusal::invalid("Filter", "more than 20 in one call"));
    }
    for index in 1..=count {
        let name = format!("Filter.{index}.Name");
        let field = match params.need(&name)? {
            "ReasonCode" => "/Reason/ReasonCode".to_owned(),
            field @ ("Status" | "ServerId" | "ServerIp") => format!("/{field}"),
            _ => return Err(Refusal::invalid(&name, "it is no field to filter by")),
        };
        let values = params.at_most(&format!("Filter.{index}.Values"), 20)?;
        let value = |row: &Value| row.pointer(&field)?.as_str().map(str::to_owned);
        rows.retain(|row| value(row).is_some_and(|value| values.contains(&value.as_str())));
    }
    Ok(rows)
}

/// NLB writes it with a small letter.
fn unknown(product: Product, id: &str) -> Refusal {
    let word = if product == Product::Nlb {
        "listener"
    } else {
        "Listener"
    };
    let why = format!("The listener {id} does not exist.");
    Refusal::new(404, &format!("ResourceNotFound.{word}"), why)
}
