//! Takes a request in, puts it through signature, faults and the world, and answers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    action::{self, Service},
    audit::Entry,
    carry_out::carry_out,
    falsify,
    fault::What,
    hold::{GoOn, When},
    named,
    refusal::Refusal,
    shared::Shared,
    signature::{self, Caller, Received, Signed, V1_PARAMETERS},
    world::{LateCall, World},
};

/// How long nonces are remembered, in seconds of the machine's clock: longer than a request may be under way.
const NONCES_SECONDS: i64 = 2 * 15 * 60;

/// After how many of them those that are too old are forgotten.
const NONCES_SWEEP: usize = 4096;

/// Serves a call to its end, also when the client gives up: a cloud does not notice that either.
pub(crate) async fn api(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let served = tokio::spawn(async move { handle(&shared, request).await });
    served.await.unwrap_or_else(|_| broken())
}

pub(crate) async fn handle(shared: &Shared, request: Request) -> Response {
    let admitted = match receive(request).await {
        Ok(received) => admit(shared, &received),
        Err(refusal) => return refused(&refusal, "00000000"),
    };
    let call = match admitted {
        Ok(call) => call,
        Err(response) => return *response,
    };
    if shared.gate(When::Before, &call.entry).await == GoOn::No {
        return broken();
    }
    let (entry, response, fault) = serve(shared, call);
    if shared.gate(When::After, &entry).await == GoOn::No {
        return broken();
    }
    match fault {
        Some(What::Hang) => {
            shared.hang().await;
            broken()
        }
        Some(What::LoseAnswerAfter | What::LoseAnswerBefore | What::Late { .. }) => broken(),
        _ => response,
    }
}

/// Reads a request whole.
async fn receive(request: Request) -> Result<Received, Refusal> {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 4 << 20)
        .await
        .map_err(|_| Refusal::new(413, "RequestTooLarge", "The body is longer than 4 MiB."))?;
    let headers = parts
        .headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect::<BTreeMap<_, _>>();
    let form = match headers.get("content-type") {
        Some(kind) if kind.starts_with("application/x-www-form-urlencoded") => {
            signature::decode(&String::from_utf8_lossy(&body))
        }
        _ => BTreeMap::new(),
    };
    Ok(Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: signature::decode(parts.uri.query().unwrap_or_default()),
        form,
        headers,
        body: body.to_vec(),
    })
}

/// A call whose sender is known.
struct Call {
    service: Service,
    entry: Entry,
    params: BTreeMap<String, String>,
    caller: Caller,
}

/// Checks who asks and what; a refusal is noted and answered.
fn admit(shared: &Shared, received: &Received) -> Result<Call, Box<Response>> {
    let mut world = shared.world();
    let request_id = world.draw("REQ-");
    let now = wall_clock(&world);
    let admitted = identify(&mut world, received, now).and_then(|signed| {
        let service = Service::of_version(&signed.version, &signed.action)?;
        let posts_only = !matches!(service.name, "ess" | "slb" | "ecs" | "sts");
        match received.method.as_str() {
            "POST" => Ok((signed, service)),
            "GET" if !posts_only => Ok((signed, service)),
            _ => Err(Refusal::new(
                405,
                "UnsupportedHTTPMethod",
                "The method is not supported.",
            )),
        }
    });
    let (signed, service) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            let entry = Entry {
                action: received.action(),
                code: Some(refusal.code.clone()),
                request_id: request_id.clone(),
                ..world.entry("signature")
            };
            world.note(entry);
            return Err(Box::new(dated(refused(&refusal, &request_id), now)));
        }
    };
    let mut params = received.query.clone();
    params.extend(received.form.clone());
    if !received.headers.contains_key("authorization") {
        params.retain(|name, _| !V1_PARAMETERS.contains(&name.as_str()));
        // The older SDKs add a region to every request, whether the action has one or not. NLB asks for it nowhere.
        if matches!(service.name, "alb" | "nlb" | "gwlb") {
            params.remove("RegionId");
        }
    }
    // What is empty is absent, here for every parameter of every action.
    params.retain(|_, value| !value.is_empty());
    let params = service.rename(params);
    let entry = Entry {
        action: signed.action,
        resource: named::resource(&params).unwrap_or_default(),
        names: named::names(&params),
        request_id,
        token: params.get("ClientToken").cloned(),
        key: signed.key_id,
        nonce: signed.nonce,
        changes: false,
        ..world.entry(service.name)
    };
    Ok(Call {
        service,
        entry: Entry {
            changes: action::changes(&entry.action),
            ..entry
        },
        params,
        caller: signed.caller,
    })
}

/// Signature, clock, token and nonce.
fn identify(world: &mut World, received: &Received, now: i64) -> Result<Signed, Refusal> {
    if let Some(anonymous) = signature::anonymous(received) {
        return Ok(anonymous);
    }
    let signed = signature::verify(received, &world.keys, now)?;
    if world.nonces.len().is_multiple_of(NONCES_SWEEP) {
        world.nonces.retain(|_, until| *until > now);
    }
    let nonce = (signed.key_id.clone(), signed.nonce.clone());
    match world.nonces.insert(nonce, now + NONCES_SECONDS) {
        None => Ok(signed),
        Some(_) => Err(Refusal::new(
            400,
            "SignatureNonceUsed",
            "The signature nonce was used before.",
        )),
    }
}

/// Carries a call out, or does what a fault makes of it.
fn serve(shared: &Shared, call: Call) -> (Entry, Response, Option<What>) {
    let mut world = shared.world();
    let Call {
        service,
        mut entry,
        params,
        caller,
    } = call;
    let fault = world.faults.iter_mut().find_map(|fault| {
        fault
            .befalls(&entry.service, &entry.action, &entry.resource)
            .then(|| fault.what.clone())
    });
    entry.number = world.audit.len() as u64 + 1;
    entry.at = world.now;
    entry.fault = fault.as_ref().map(|what| format!("{what:?}"));
    let scripted = falsify::instead_of_acting(fault.as_ref());
    if let Some(What::Late { seconds } | What::Again { seconds }) = fault {
        let due = world.now + seconds;
        world.late.push(LateCall {
            due,
            entry: entry.clone(),
            params: params.clone(),
            caller: caller.clone(),
        });
    }
    let room = match scripted {
        Some(_) => Ok(()),
        None => world.within_rate(&entry.service, &entry.action, &caller.account),
    };
    let outcome = match (scripted, room) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(seconds)) => Err(Refusal::throttled(Some(seconds))),
        (None, Ok(())) => match fault {
            Some(What::Partly { first }) => {
                let part = named::first(params.clone(), first);
                carry_out(&mut world, &mut entry, part, &caller)
                    .and_then(|_| Err(Refusal::new(500, "InternalError", "As scripted.")))
            }
            _ => carry_out(&mut world, &mut entry, params.clone(), &caller),
        },
    };
    let now = wall_clock(&world);
    let response = match outcome {
        Ok(mut body) => {
            body["RequestId"] = json!(entry.request_id);
            falsify::list(&mut world, fault.as_ref(), &entry, &params, &mut body);
            falsify::answer(fault.as_ref(), &service.shape(body))
        }
        Err(refusal) => {
            entry.code = Some(refusal.code.clone());
            refused(&refusal, &entry.request_id)
        }
    };
    world.note(entry.clone());
    (entry, dated(response, now), fault)
}

fn wall_clock(world: &World) -> i64 {
    world.clock.second() + world.clock_ahead
}

pub(crate) fn refused(refusal: &Refusal, request_id: &str) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, axum::Json(refusal.body(request_id))).into_response();
    for (name, value) in refusal.hints() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The same with the server's own date, from which a client can learn how far its clock is off.
fn dated(mut response: Response, now: i64) -> Response {
    let date = jiff::Timestamp::from_second(now)
        .ok()
        .map(|now| now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// An answer that breaks off before its first byte.
fn broken() -> Response {
    let broken =
        futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("as scripted")) });
    Response::new(Body::from_stream(broken))
}
