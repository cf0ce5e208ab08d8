//! The server: takes requests in, puts them through signature, faults and the world, and answers.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    admin,
    audit::{Entry, Serving},
    ess,
    fault::What,
    members,
    params::Params,
    refusal::Refusal,
    signature::{self, Key, Received, V1_PARAMETERS},
    slb, sts,
    world::{LateCall, Product, World},
};

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where ids come from.
    pub seed: u64,
    /// Loopback address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many seconds pass in one.
    pub speed: f64,
    /// Keys that may sign: id, secret, cloud account.
    pub keys: Vec<(String, String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            speed: 1.0,
            keys: vec![(
                "simulated-key".into(),
                "simulated-secret".into(),
                "1000000000000001".into(),
            )],
        }
    }
}

/// A running simulator; it ends when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What the server and its owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    holds: Mutex<Vec<Hold>>,
    started: Instant,
    speed: f64,
}

/// Before or after a call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It has arrived and nothing was done.
    Before,
    /// It was carried out and not answered.
    After,
}

struct Hold {
    fits: Box<dyn FnMut(&Entry) -> bool + Send>,
    when: When,
    arrived: Option<oneshot::Sender<()>>,
    release: Arc<Notify>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({:?})", self.when)
    }
}

/// A call that will be stopped.
#[derive(Debug)]
pub struct Held {
    arrived: oneshot::Receiver<()>,
    release: Arc<Notify>,
}

impl Held {
    /// Waits until the call is there, and keeps it there.
    pub async fn arrived(&mut self) {
        // The sender goes only with the simulator; then nothing will ever arrive.
        if (&mut self.arrived).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the call go on.
    pub fn release(self) {
        self.release.notify_one();
    }
}

impl Simulator {
    /// Starts a simulator on a loopback address.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let keys = options
            .keys
            .into_iter()
            .map(|(id, secret, account)| {
                (
                    id,
                    Key {
                        secret,
                        account,
                        token: None,
                    },
                )
            })
            .collect();
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(options.seed, keys)),
            holds: Mutex::default(),
            started: Instant::now(),
            speed: options.speed,
        });
        let app = Router::new()
            .route("/_sim/audit", get(admin::audit))
            .route("/_sim/groups", get(admin::groups))
            .route("/_sim/do", post(admin::act))
            .fallback(any(api))
            .with_state(Arc::clone(&shared));
        let ticking = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let tick = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    ticking.advance();
                }
            };
            tokio::select! {
                _ = axum::serve(listener, app) => {}
                () = tick => {}
            }
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The base URL for every service.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world as it is now. Keep it briefly: no call is served meanwhile.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Stops the first call that `fits`, before or after it is carried out.
    ///
    /// `fits` sees every call with service, action, resource and names filled in.
    pub fn hold(&self, when: When, fits: impl FnMut(&Entry) -> bool + Send + 'static) -> Held {
        let (sender, arrived) = oneshot::channel();
        let release = Arc::new(Notify::new());
        let hold = Hold {
            fits: Box::new(fits),
            when,
            arrived: Some(sender),
            release: Arc::clone(&release),
        };
        self.shared.holds.lock().push(hold);
        Held { arrived, release }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    /// The world at the present moment.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock();
        self.bring_up_to_date(&mut world);
        world
    }

    fn advance(&self) {
        self.bring_up_to_date(&mut self.world.lock());
    }

    fn bring_up_to_date(&self, world: &mut World) {
        let now = self.started.elapsed().as_secs_f64() * self.speed;
        while let Some(index) = world.late.iter().position(|call| call.due <= now) {
            let late = world.late.remove(index);
            world.advance(late.due);
            land(world, &late);
        }
        world.advance(now);
    }

    /// Waits if somebody wants to stop this call here.
    async fn gate(&self, when: When, entry: &Entry) {
        let release = {
            let mut holds = self.holds.lock();
            let found = holds
                .iter_mut()
                .position(|hold| hold.when == when && (hold.fits)(entry));
            found.map(|index| {
                let mut hold = holds.remove(index);
                if let Some(arrived) = hold.arrived.take() {
                    // Nobody waits for it: then it is not worth stopping.
                    if arrived.send(()).is_err() {
                        hold.release.notify_one();
                    }
                }
                hold.release
            })
        };
        if let Some(release) = release {
            release.notified().await;
        }
    }
}

/// What an action did, for the audit log.
#[derive(Debug)]
pub(crate) struct Effect {
    pub resource: String,
    pub names: Vec<String>,
}

impl Effect {
    pub(crate) fn on(resource: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            names: Vec::new(),
        }
    }

    pub(crate) fn change(resource: &str, names: Vec<String>) -> Self {
        Self {
            resource: resource.to_owned(),
            names,
        }
    }
}

async fn api(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let received = match receive(request).await {
        Ok(received) => received,
        Err(refusal) => return refused(&refusal, "00000000"),
    };
    let (mut entry, params, account) = match admit(&shared, &received) {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    shared.gate(When::Before, &entry).await;
    let (response, fault) = serve(&shared, &mut entry, params, &account);
    shared.gate(When::After, &entry).await;
    match fault {
        Some(What::Hang) => {
            // Longer than any client waits; the connection goes when the client gives up.
            tokio::time::sleep(Duration::from_mins(2)).await;
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
    if parts.method != "POST" {
        return Err(Refusal::new(
            405,
            "UnsupportedHTTPMethod",
            "The method is not supported.",
        ));
    }
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

/// Checks who asks and what; a refusal is noted and answered.
#[expect(
    clippy::result_large_err,
    reason = "the refusal is the answer, and is sent at once"
)]
fn admit(
    shared: &Shared,
    received: &Received,
) -> Result<(Entry, BTreeMap<String, String>, String), Response> {
    let mut world = shared.world();
    let request_id = world.draw("REQ-");
    let now = jiff::Timestamp::now().as_second() + world.clock_ahead;
    let signed = signature::verify(received, &world.keys, now).and_then(|signed| {
        if world.nonces.insert(signed.nonce.clone()) {
            Ok(signed)
        } else {
            Err(Refusal::new(
                400,
                "SignatureNonceUsed",
                "The signature nonce was used before.",
            ))
        }
    });
    let signed = match signed {
        Ok(signed) => signed,
        Err(refusal) => {
            let action = received
                .headers
                .get("x-acs-action")
                .or(received.query.get("Action"))
                .cloned()
                .unwrap_or_default();
            let code = Some(refusal.code.clone());
            let entry = Entry {
                action,
                code,
                request_id: request_id.clone(),
                ..world.entry("signature")
            };
            world.note(entry);
            return Err(refused_at(&refusal, &request_id, now));
        }
    };
    let mut params = received.query.clone();
    params.extend(received.form.clone());
    if !received.headers.contains_key("authorization") {
        params.retain(|name, _| !V1_PARAMETERS.contains(&name.as_str()));
    }
    let resource = [
        "VServerGroupId",
        "ServerGroupId",
        "ScalingGroupId",
        "ScalingGroupId.1",
        "ServerGroupIds.1",
        "ScalingActivityId.1",
    ]
    .iter()
    .find_map(|name| params.get(*name).cloned());
    let entry = Entry {
        action: signed.action.clone(),
        resource: resource.unwrap_or_default(),
        request_id,
        token: params.get("ClientToken").cloned(),
        key: signed.key_id,
        changes: ["Add", "Remove", "Set", "Update", "Attach", "Detach"]
            .iter()
            .any(|verb| signed.action.starts_with(verb)),
        ..world.entry(service(&signed.version))
    };
    Ok((entry, params, signed.account))
}

/// The service that has an API of this version.
fn service(version: &str) -> &'static str {
    match version {
        "2014-08-28" => "ess",
        "2014-05-15" => "slb",
        "2020-06-16" => "alb",
        "2022-04-30" => "nlb",
        "2024-04-15" => "gwlb",
        "2015-04-01" => "sts",
        _ => "",
    }
}

/// Carries a call out, or does what a fault makes of it.
fn serve(
    shared: &Shared,
    entry: &mut Entry,
    params: BTreeMap<String, String>,
    account: &str,
) -> (Response, Option<What>) {
    let mut world = shared.world();
    let fault = world.faults.iter_mut().find_map(|fault| {
        fault
            .befalls(&entry.action, &entry.resource)
            .then(|| fault.what.clone())
    });
    entry.number = world.audit.len() as u64 + 1;
    entry.at = world.now;
    entry.fault = fault.as_ref().map(|what| format!("{what:?}"));
    let before: BTreeMap<_, _> = world
        .groups
        .iter()
        .map(|(id, group)| (id.clone(), group.serving()))
        .collect();
    let outcome = match &fault {
        Some(What::Throttle) => Err(Refusal::new(
            400,
            "Throttling.User",
            "Request was denied due to user flow control.",
        )),
        Some(What::Refuse { status, code }) => Err(Refusal::new(*status, code, "As scripted.")),
        Some(What::Hang | What::LoseAnswerBefore) => {
            Err(Refusal::new(500, "NotDone", "As scripted."))
        }
        Some(What::Late { seconds }) => {
            let due = world.now + seconds;
            let (service, action) = (entry.service.clone(), entry.action.clone());
            world.late.push(LateCall {
                due,
                service,
                action,
                params,
                account: account.to_owned(),
            });
            Err(Refusal::new(500, "NotDone", "As scripted."))
        }
        _ => with_token(&mut world, &entry.service, &entry.action, params, account),
    };
    let response = match outcome {
        Ok((mut body, effect)) => {
            body["RequestId"] = json!(entry.request_id);
            if !effect.resource.is_empty() {
                entry.resource = effect.resource;
            }
            entry.names = effect.names;
            entry.acted = true;
            entry.serving = changed(&world, &before);
            falsify(&mut world, fault.as_ref(), entry, &mut body);
            answer(fault.as_ref(), &body)
        }
        Err(refusal) => {
            entry.code = Some(refusal.code.clone());
            refused_at(
                &refusal,
                &entry.request_id,
                jiff::Timestamp::now().as_second() + world.clock_ahead,
            )
        }
    };
    world.note(entry.clone());
    (response, fault)
}

/// Groups in which the number of serving members is worth noting: those it changed for, and the one that was named.
fn changed(world: &World, before: &BTreeMap<String, usize>) -> Vec<Serving> {
    let counts = world.groups.iter().filter_map(|(id, group)| {
        let before = *before.get(id)?;
        let after = group.serving();
        (before != after).then(|| Serving {
            group: id.clone(),
            before,
            after,
        })
    });
    counts.collect()
}

/// A call whose answer was lost lands after all.
fn land(world: &mut World, late: &LateCall) {
    let before: BTreeMap<_, _> = world
        .groups
        .iter()
        .map(|(id, group)| (id.clone(), group.serving()))
        .collect();
    let outcome = with_token(
        world,
        &late.service,
        &late.action,
        late.params.clone(),
        &late.account,
    );
    let mut entry = Entry {
        action: late.action.clone(),
        changes: true,
        fault: Some("landed late".into()),
        ..world.entry(&late.service)
    };
    match outcome {
        Ok((_, effect)) => {
            entry.resource = effect.resource;
            entry.names = effect.names;
            entry.acted = true;
            entry.serving = changed(world, &before);
        }
        Err(refusal) => entry.code = Some(refusal.code),
    }
    world.note(entry);
}

/// A repeated token gets the first answer and changes nothing; with other parameters it is refused.
fn with_token(
    world: &mut World,
    service: &str,
    action: &str,
    params: BTreeMap<String, String>,
    account: &str,
) -> Result<(Value, Effect), Refusal> {
    let params = Params::new(params);
    let token = params
        .token()?
        .map(|token| (action.to_owned(), token.to_owned()));
    if let Some((content, body)) = token.as_ref().and_then(|token| world.tokens.get(token)) {
        if *content == params.content() {
            return Ok((body.clone(), Effect::on("")));
        }
        let code = if service == "ess" {
            "IDEMPOTENCE_SIGNATURE_MISMATCH"
        } else {
            "IdempotenceSignatureMismatch"
        };
        return Err(Refusal::new(
            400,
            code,
            "The token was used with other parameters.",
        ));
    }
    let (body, effect) = act(world, service, action, &params, account)?;
    if let Some(token) = token {
        world.tokens.insert(token, (params.content(), body.clone()));
    }
    Ok((body, effect))
}

/// The action itself.
fn act(
    world: &mut World,
    service: &str,
    action: &str,
    params: &Params,
    account: &str,
) -> Result<(Value, Effect), Refusal> {
    if world.denied.contains(action) {
        let code = match service {
            "ess" => "Forbidden.Unauthorized",
            "nlb" => "Forbidden.NoPermission",
            _ => "Forbidden.RAM",
        };
        return Err(Refusal::new(
            403,
            code,
            "User not authorized to operate on the specified resource.",
        ));
    }
    let product = match service {
        "alb" => Some(Product::Alb),
        "nlb" => Some(Product::Nlb),
        "gwlb" => Some(Product::Gwlb),
        _ => None,
    };
    match (service, action, product) {
        ("sts", "GetCallerIdentity", _) => sts::identity(account, params),
        ("ess", "DescribeScalingGroups", _) => ess::describe_groups(world, params),
        ("ess", "DescribeScalingActivities", _) => ess::describe_activities(world, params),
        ("ess", "DescribeScalingInstances", _) => ess::describe_instances(world, params),
        ("ess", "AttachServerGroups", _) => ess::attach(world, params),
        ("ess", "DetachServerGroups", _) => ess::detach(world, params),
        ("slb", "DescribeVServerGroupAttribute", _) => slb::describe(world, params),
        ("slb", "AddVServerGroupBackendServers", _) => slb::add(world, params),
        ("slb", "RemoveVServerGroupBackendServers", _) => slb::remove(world, params),
        ("slb", "SetVServerGroupAttribute", _) => slb::set(world, params),
        (_, "ListServerGroups", Some(product)) => members::list_groups(world, product, params),
        (_, "ListServerGroupServers", Some(product)) => {
            members::list_members(world, product, params)
        }
        (_, "AddServersToServerGroup", Some(product)) => members::add(world, product, params),
        (_, "RemoveServersFromServerGroup", Some(product)) => {
            members::remove(world, product, params)
        }
        ("alb" | "nlb", "UpdateServerGroupServersAttribute", Some(product)) => {
            members::update(world, product, params)
        }
        ("alb" | "nlb", "ListAsynJobs", Some(product)) => {
            members::list_jobs(world, product, params)
        }
        _ => Err(Refusal::new(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        )),
    }
}

/// Makes a list say what it should not.
fn falsify(world: &mut World, fault: Option<&What>, entry: &Entry, body: &mut Value) {
    let key = format!("{} {}", entry.action, entry.resource);
    let rows = body.pointer_mut("/Servers").or(None);
    match (fault, rows.and_then(Value::as_array_mut)) {
        (Some(What::Truncate), Some(rows)) => _ = rows.pop(),
        (Some(What::Repeat), Some(rows)) => {
            if let Some(first) = rows.first().cloned() {
                rows.pop();
                rows.push(first);
            }
        }
        _ => {}
    }
    if let Some(rows) = body
        .pointer_mut("/BackendServers/BackendServer")
        .and_then(Value::as_array_mut)
    {
        match (fault, rows.first().cloned()) {
            (Some(What::Truncate), _) => rows.clear(),
            (Some(What::Repeat), Some(first)) => rows.push(first),
            _ => {}
        }
    }
    if !entry.changes {
        if fault == Some(&What::Stale) {
            if let Some(old) = world.stale.get(&key) {
                body.clone_from(old);
            }
        } else {
            world.stale.insert(key, body.clone());
        }
    }
}

fn answer(fault: Option<&What>, body: &Value) -> Response {
    match fault {
        Some(What::Html) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "text/html")],
            "<html>sign in</html>",
        )
            .into_response(),
        Some(What::Huge) => (StatusCode::OK, vec![b' '; 16 << 20]).into_response(),
        Some(What::Redirect) => (
            StatusCode::FOUND,
            [(header::LOCATION, "http://127.0.0.1:9/")],
        )
            .into_response(),
        _ => axum::Json(body).into_response(),
    }
}

fn refused(refusal: &Refusal, request_id: &str) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, axum::Json(refusal.body(request_id))).into_response()
}

/// The same with the server's own date, from which a client can learn how far its clock is off.
fn refused_at(refusal: &Refusal, request_id: &str, now: i64) -> Response {
    let mut response = refused(refusal, request_id);
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
