//! The instance metadata service, in hardened mode: a token first, then the keys of the role.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{refusal::Refusal, shared::Shared};

/// The role that the imitated instance has.
const ROLE: &str = "simulated-role";
const TOKEN: &str = "simulated-metadata-token";
const KEYS: &str = "/latest/meta-data/ram/security-credentials/";

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let path = request.uri().path();
    if request.method() == Method::PUT && path == "/latest/api/token" {
        let lasts =
            header("x-aliyun-ecs-metadata-token-ttl-seconds").and_then(|text| text.parse().ok());
        return match lasts {
            Some(1..=21600_u32) => TOKEN.into_response(),
            _ => StatusCode::BAD_REQUEST.into_response(),
        };
    }
    if request.method() != Method::GET || header("x-aliyun-ecs-metadata-token") != Some(TOKEN) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match path.strip_prefix(KEYS) {
        Some("") => ROLE.into_response(),
        Some(ROLE) => {
            let mut world = shared.world();
            let account = world.keys.values().next().map(|key| key.account.clone());
            let account = account.unwrap_or_default();
            let arn = format!("acs:ram::{account}:assumed-role/{ROLE}/instance");
            let (id, key) = world.temporary_key(&account, &arn, 6 * 3600);
            let expiration = jiff::Timestamp::from_second(key.expires.unwrap_or_default());
            Json(json!({
                "Code": "Success", "AccessKeyId": id, "AccessKeySecret": key.secret, "SecurityToken": key.token,
                "Expiration": expiration.map_or_else(|_| String::new(), |time| time.to_string()),
            }))
            .into_response()
        }
        _ => {
            let refusal = Refusal::new(404, "NotFound", "There is no such metadata.");
            crate::http::refused(&refusal, "metadata")
        }
    }
}
