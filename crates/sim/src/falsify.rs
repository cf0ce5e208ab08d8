//! What scripted faults make of a call and of its answer.

use std::collections::BTreeMap;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{audit::Entry, fault::What, refusal::Refusal, world::World};

/// Answers that are remembered for [`What::Stale`].
const STALE_MAX: usize = 256;

/// The refusal that stands for a call which is not carried out now.
pub(crate) fn instead_of_acting(fault: Option<&What>) -> Option<Refusal> {
    match fault? {
        What::Throttle => Some(Refusal::throttled(None)),
        What::ThrottleFor { seconds } => Some(Refusal::throttled(Some(*seconds))),
        What::Refuse { status, code } => Some(Refusal::new(*status, code, "As scripted.")),
        What::RefuseWith {
            status,
            code,
            message,
        } => Some(Refusal::new(*status, code, message.clone())),
        What::Hang | What::LoseAnswerBefore | What::Late { .. } => {
            Some(Refusal::new(500, "NotDone", "As scripted."))
        }
        _ => None,
    }
}

/// Makes a list say what it should not.
pub(crate) fn list(
    world: &mut World,
    fault: Option<&What>,
    entry: &Entry,
    params: &BTreeMap<String, String>,
    body: &mut Value,
) {
    let paged = body.get("TotalCount").is_some();
    match fault {
        Some(What::Truncate) => {
            if let Some(rows) = rows(body) {
                if paged {
                    rows.pop();
                } else {
                    rows.clear();
                }
            }
        }
        Some(What::Repeat) => {
            if let Some(rows) = rows(body)
                && let Some(first) = rows.first().cloned()
            {
                // In a page that tells how many there are, the number stays right.
                if paged {
                    rows.pop();
                }
                rows.push(first);
            }
        }
        Some(What::WrongTotal) => {
            let total = body["TotalCount"].as_u64().unwrap_or_default();
            body["TotalCount"] = json!(total + 1);
        }
        Some(What::RepeatToken) => {
            let given = params.get("NextToken").filter(|token| !token.is_empty());
            body["NextToken"] = json!(given.map_or("page-0", String::as_str));
        }
        _ => {}
    }
    if !entry.changes {
        let content: Vec<_> = params
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let key = format!("{} {} {}", entry.service, entry.action, content.join("&"));
        if fault != Some(&What::Stale) {
            // Enough for any test; a large cloud's lists would fill the memory.
            if world.stale.len() >= STALE_MAX {
                world.stale.clear();
            }
            world.stale.insert(key, body.clone());
        } else if let Some(old) = world.stale.get(&key) {
            body.clone_from(old);
        }
    }
}

/// The rows of a list, whatever it is called.
fn rows(body: &mut Value) -> Option<&mut Vec<Value>> {
    const PLACES: [&str; 8] = [
        "/Servers",
        "/ServerGroups",
        "/Jobs",
        "/BackendServers/BackendServer",
        "/VServerGroups/VServerGroup",
        "/ScalingGroups/ScalingGroup",
        "/ScalingActivities/ScalingActivity",
        "/ScalingInstances/ScalingInstance",
    ];
    let place = PLACES.iter().find(|place| body.pointer(place).is_some())?;
    body.pointer_mut(place)?.as_array_mut()
}

/// The answer itself, if a fault leaves it whole.
pub(crate) fn answer(fault: Option<&What>, body: &Value) -> Response {
    match fault {
        Some(What::Html) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "text/html")],
            "<html>sign in</html>",
        )
            .into_response(),
        Some(What::Body { text }) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/json")],
            text.clone(),
        )
            .into_response(),
        Some(What::Cut) => {
            let whole = body.to_string();
            let half: String = whole.chars().take(whole.chars().count() / 2).collect();
            (
                StatusCode::OK,
                [(header::CONTENT_TYPE, "application/json")],
                half,
            )
                .into_response()
        }
        Some(What::Huge) => (StatusCode::OK, vec![b' '; 16 << 20]).into_response(),
        Some(What::Redirect) => (
            StatusCode::FOUND,
            [(header::LOCATION, "http://127.0.0.1:9/")],
        )
            .into_response(),
        _ => axum::Json(body).into_response(),
    }
}
