//! What a test plays on: a namespace, an account, a simulated cloud, and an operator that can be stopped and
//! started again. Time passes a hundred times as fast as in production.

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use control_plane::{ControlPlane, Patience};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use server_group_operator::{
    api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Endpoints, Environment, Signature, Transport, TransportConfig},
    leader::thread::LeaseThread,
    run::{Candidate, Ended, Operator},
    timing::Timing,
};
use server_group_sim::{Options, Simulator};
use tokio::{runtime::Handle, sync::OnceCell, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

#[path = "requests.rs"]
mod requests;

#[path = "rights.rs"]
mod rights;

#[path = "secrets.rs"]
pub mod secrets;

#[path = "logs.rs"]
pub mod logs;

#[path = "one_account.rs"]
mod one_account;

use one_account::of_one_account;
use requests::Unlisted;
pub use rights::Rights;

/// How much faster time passes.
pub const SPEED: f64 = 100.0;

/// The timing of operators here. A call may be held while a test does something, and none is given up meanwhile.
pub fn timing() -> Timing {
    let mut timing = Timing::scaled(SPEED);
    timing.read_deadline = Duration::from_mins(2);
    timing.mutation_deadline = Duration::from_mins(2);
    // Operators of all namespaces look at the accounts of all tests: no oftener than that is of use to a test.
    timing.account_look = Duration::from_mins(5);
    timing.account_together = Duration::from_millis(100);
    // A server that is refused stays bad here, unless a test is about one that is starting.
    timing.parked_soon.clear();
    // An operator that starts with its first object takes over nothing that a list could lack.
    timing.takeover_lag = Duration::ZERO;
    timing
}

/// How often a wait looks at what moves beside the thing that it waits for.
const AROUND: Duration = Duration::from_secs(5);

/// The stage of one test.
pub struct Stage {
    pub simulator: Arc<Simulator>,
    /// An administrator, as the person at the keyboard.
    pub client: Client,
    pub namespace: String,
    /// The namespace of the operator's service account, whose cluster role binding is `HOME:operator`.
    pub home: String,
    /// The name of the account.
    account: String,
    /// Whether the next operator looks at every namespace that its client shows it, and not at this one alone.
    pub everywhere: bool,
    /// Whether the operator only reads.
    pub read_only: bool,
    /// The namespaces that the operator looks after, if not this one alone.
    namespaces: Vec<String>,
    operator_client: Client,
    operator_config: kube::Config,
    /// How the next operator signs.
    pub signature: Signature,
    /// Whether the next operator takes part in an election, and as whom.
    pub candidate: Option<&'static str>,
    /// Where the election of the next operator runs, and its client there; absent = where the operator does.
    election: Option<(Handle, Client)>,
    running: Option<Running>,
    /// Where the next operator serves probes and metrics.
    probes: Option<std::net::TcpListener>,
    /// What its operators sent and nobody knew of.
    unlisted: Unlisted,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.unlisted.complain();
        secrets::complain();
        complain_of_notes(&self.simulator);
    }
}

/// Makes a test fail whose operator sent the cloud something that is wrong and was passed over.
fn complain_of_notes(simulator: &Simulator) {
    let world = simulator.world();
    let noted: Vec<_> = world
        .audit
        .iter()
        .filter(|call| !call.notes.is_empty())
        .map(ToString::to_string)
        .collect();
    // The world is let go before a panic: others may still ask it.
    drop(world);
    assert!(
        noted.is_empty() || std::thread::panicking(),
        "the operator sent the cloud what is not documented: {noted:#?}"
    );
}

/// A running operator; dropping it ends it as SIGKILL does.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Ended>>,
}

impl Running {
    /// Ends it as SIGKILL does: nothing is finished.
    pub async fn kill(&mut self) {
        self.task.abort();
        _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The control plane with the definitions and the operator's role installed.
pub async fn control_plane() -> &'static ControlPlane {
    let control_plane = ControlPlane::shared().await;
    INSTALLED.get_or_init(|| install(control_plane)).await;
    control_plane
}

/// Installs the definitions and the operator's role.
pub async fn install(control_plane: &'static ControlPlane) {
    static TOLD: OnceLock<()> = OnceLock::new();
    TOLD.get_or_init(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        match std::env::var("TEST_LOG") {
            Ok(filter) => server_group_operator::telemetry::start(&filter).unwrap(),
            Err(_) => logs::Log::begin(),
        }
    });
    let roles = "deploy/rbac/namespaced/clusterrole.yaml";
    for path in ["crds", "deploy/rbac/clusterrole.yaml", roles] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        tokio::task::spawn_blocking(move || control_plane.apply(&path))
            .await
            .unwrap()
            .unwrap();
    }
    let client = control_plane.admin().client().await.unwrap();
    let served = || async {
        let all = [
            "servergroupmemberships",
            "scalinggroupattachments",
            "cloudaccounts",
        ]
        .map(|plural| {
            let uri = format!("/apis/servergroup.alicloud.dev/v1alpha1/{plural}?limit=1");
            client.request_text(http_get(&uri))
        });
        futures::future::join_all(all)
            .await
            .iter()
            .all(Result::is_ok)
            .then_some(())
    };
    eventually("the three kinds are served", served).await;
}

fn http_get(uri: &str) -> axum::http::Request<Vec<u8>> {
    axum::http::Request::get(uri).body(Vec::new()).unwrap()
}

impl Stage {
    /// A stage with a running operator, whose account grants the namespace everything.
    pub async fn new(name: &str) -> Self {
        let mut stage = Self::without_operator(name).await;
        stage.start();
        stage
    }

    /// A stage on which nothing acts yet.
    pub async fn without_operator(name: &str) -> Self {
        let control_plane = control_plane().await;
        let namespace = control_plane.namespace(name).await.unwrap();
        Self::at(control_plane, namespace.clone(), namespace, Rights::Here).await
    }

    /// A stage on which nothing acts yet, whose operator has its service account in the namespace `home`.
    pub async fn at(
        control_plane: &ControlPlane,
        namespace: String,
        home: String,
        rights: Rights,
    ) -> Self {
        let role = match rights {
            Rights::Here => "server-group-operator-namespaced",
            Rights::Everywhere => "server-group-operator",
        };
        let access = control_plane
            .service_account(&home, "operator", role)
            .await
            .unwrap();
        if rights == Rights::Here {
            let client = access.client().await.unwrap();
            let admin = control_plane.admin().client().await.unwrap();
            rights::give(&admin, &namespace, &home, client).await;
        }
        let mut config = access.config().await.unwrap();
        config.default_retry = false;
        let operator_client = Client::try_from(config.clone()).unwrap();
        let client = control_plane.admin().client().await.unwrap();
        let simulator = Simulator::start(Options {
            speed: SPEED,
            ..Options::default()
        })
        .await
        .unwrap();
        let stage = Self {
            simulator: Arc::new(simulator),
            client,
            account: format!("account-{namespace}"),
            namespace,
            home,
            everywhere: false,
            read_only: false,
            namespaces: Vec::new(),
            operator_client,
            operator_config: config,
            signature: Signature::V3,
            candidate: None,
            election: None,
            running: None,
            probes: None,
            unlisted: Unlisted::default(),
        };
        stage.grant_all(&[&stage.namespace]).await;
        stage
    }

    /// The same stage in another namespace, without an operator of its own.
    pub async fn beside(&self, namespace: String) -> Self {
        self.grant_all(&[&self.namespace, &namespace]).await;
        Self {
            simulator: Arc::clone(&self.simulator),
            client: self.client.clone(),
            namespace,
            home: self.home.clone(),
            account: self.account.clone(),
            everywhere: self.everywhere,
            read_only: false,
            namespaces: Vec::new(),
            operator_client: self.operator_client.clone(),
            operator_config: self.operator_config.clone(),
            signature: self.signature,
            candidate: self.candidate,
            election: self.election.clone(),
            running: None,
            probes: None,
            unlisted: self.unlisted.clone(),
        }
    }

    /// As [`Stage::beside`], where the operator of this stage has its rights too.
    pub async fn beside_with_rights(&self, namespace: String) -> Self {
        let config = self.operator_config();
        let client = Client::try_from(config).unwrap();
        rights::give(&self.client, &namespace, &self.home, client).await;
        self.beside(namespace).await
    }

    /// Gives the operator the shipped rights in its own namespace: the lease, and the Secret that the role names.
    pub async fn grant_shipped_role(&self) {
        rights::give_own(&self.client, &self.home).await;
    }

    /// Starts an operator that looks after these namespaces.
    pub fn start_for(&mut self, namespaces: &[&String]) {
        self.namespaces = namespaces.iter().copied().cloned().collect();
        self.start();
    }

    /// The name of the account.
    pub fn account(&self) -> String {
        self.account.clone()
    }

    /// Gives the account one grant, of everything to these namespaces.
    pub async fn grant_all(&self, namespaces: &[&str]) {
        self.grant(&[json!({
            "name": "all", "namespaces": namespaces, "regions": ["*"],
            "serverGroups": ["*"], "scalingGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"],
        })])
        .await;
    }

    /// Gives the account these grants and no others.
    pub async fn grant(&self, grants: &[Value]) {
        let account = json!({
            "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
            "metadata": {"name": self.account()},
            "spec": {"credentials": {"type": "Environment"}, "grants": grants},
        });
        let accounts = Api::<CloudAccount>::all(self.client.clone());
        let params = PatchParams::apply("test").force();
        accounts
            .patch(&self.account(), &params, &Patch::Apply(&account))
            .await
            .unwrap();
    }

    /// Starts the operator anew under these grants and no others: one that runs would act under the former ones until
    /// it hears of the change.
    pub async fn restart_under(&mut self, grants: &[Value]) {
        self.stop().await;
        self.grant(grants).await;
        self.start();
    }

    /// Starts an operator that looks at this namespace alone.
    pub fn start(&mut self) {
        self.start_with(self.operator_client.clone(), timing());
    }

    /// Starts an operator with another client or timing.
    pub fn start_with(&mut self, client: Client, timing: Timing) {
        self.start_as(client, timing, Self::environment(), None);
    }

    /// The variables with the key that the simulator knows.
    pub fn environment() -> Environment {
        Environment::new(Self::variable)
    }

    /// One of them.
    pub fn variable(name: &str) -> Option<String> {
        match name {
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("simulated-key".into()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("simulated-secret".into()),
            _ => None,
        }
    }

    /// Starts an operator with everything chosen; the endpoint is the simulator unless given.
    pub fn start_as(
        &mut self,
        client: Client,
        timing: Timing,
        environment: Environment,
        endpoint: Option<String>,
    ) {
        self.running = Some(self.run(client, timing, environment, endpoint));
    }

    /// Has the next operator serve probes and metrics; returns where.
    pub fn serves(&mut self) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        self.probes = Some(listener);
        address
    }

    /// Takes the running operator off the stage, to be ended while the stage is in use.
    pub fn take_running(&mut self) -> Running {
        self.running.take().unwrap()
    }

    /// Runs an operator beside the stage.
    pub fn run_with(&self, client: Client, timing: Timing) -> Running {
        self.run(client, timing, Self::environment(), None)
    }

    fn run(
        &self,
        client: Client,
        timing: Timing,
        environment: Environment,
        endpoint: Option<String>,
    ) -> Running {
        let url = endpoint.unwrap_or_else(|| self.simulator.url());
        let endpoints: Endpoints = format!("*={url}").parse().unwrap();
        let config = TransportConfig {
            signature: self.signature,
            endpoints,
            timing: timing.clone(),
        };
        let transport = Transport::new(config).unwrap();
        let client = self
            .unlisted
            .watching(of_one_account(client, &self.account));
        let operator = Operator {
            client: client.clone(),
            transport,
            environment,
            timing,
            namespaces: match self.everywhere {
                true => Vec::new(),
                false if self.namespaces.is_empty() => vec![self.namespace.clone()],
                false => self.namespaces.clone(),
            },
            read_only: self.read_only,
            operator_namespace: self.home.clone(),
            election: self.candidate.map(|identity| {
                let here = || (Handle::current(), client);
                let elsewhere = self.election.clone().map(|(runtime, client)| {
                    // What carries its requests must not wait for the workers either.
                    let entered = runtime.enter();
                    let client = self.unlisted.watching(client);
                    drop(entered);
                    (runtime, client)
                });
                let (runtime, client) = elsewhere.unwrap_or_else(here);
                Candidate {
                    namespace: self.namespace.clone(),
                    identity: identity.into(),
                    client,
                    runtime,
                }
            }),
            probes: self.probes.as_ref().map(|listener| {
                let listener = listener.try_clone().unwrap();
                tokio::net::TcpListener::from_std(listener).unwrap()
            }),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(operator.run(stop.clone()));
        Running { stop, task }
    }

    /// Lets the next operator take part in an election, on a thread for its lease alone, which is to outlive it.
    pub async fn elects_on_a_thread(&mut self, identity: &'static str) -> LeaseThread {
        let lease = LeaseThread::start().unwrap();
        let config = control_plane().await.admin().config().await.unwrap();
        let client = {
            // A client works where it was made.
            let _there = lease.runtime().enter();
            Client::try_from(config).unwrap()
        };
        self.candidate = Some(identity);
        self.election = Some((lease.runtime().clone(), client));
        lease
    }

    /// How a client with the rights of the operator is made.
    pub fn operator_config(&self) -> kube::Config {
        self.operator_config.clone()
    }

    /// A client with the rights of the operator.
    pub fn operator_client(&self) -> Client {
        self.operator_client.clone()
    }

    /// Ends the operator as SIGTERM does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let mut running = running;
            running.stop.cancel();
            (&mut running.task).await.unwrap().unwrap();
        }
    }

    /// Ends the operator as SIGKILL does: nothing is finished.
    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().await;
        }
    }

    /// Objects of one kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a spec under `name`, as `kubectl apply --server-side` does.
    pub async fn apply<K>(&self, name: &str, spec: &Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let mut spec = spec.clone();
        spec["accountName"] = json!(self.account());
        if spec.get("regionId").is_none() {
            spec["regionId"] = json!("cn-hangzhou");
        }
        let object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
        let params = PatchParams::apply("test").force();
        self.api()
            .patch(name, &params, &Patch::Apply(&object))
            .await
            .unwrap()
    }

    /// Applies a membership of a group whose id tells the product: `rsp-…`, `sgp-alb-…`, `sgp-nlb-…`, else GWLB.
    pub async fn membership(
        &self,
        name: &str,
        group: &str,
        servers: &[Value],
        more: Value,
    ) -> ServerGroupMembership {
        let product = match group.split('-').collect::<Vec<_>>()[..] {
            ["rsp", ..] => "CLB",
            [_, "alb", ..] => "ALB",
            [_, "nlb", ..] => "NLB",
            _ => "GWLB",
        };
        let mut spec = json!({"serverGroup": {"type": product, "id": group}, "servers": servers});
        merge(&mut spec, more);
        self.apply(name, &spec).await
    }

    /// Applies an attachment.
    pub async fn attachment(
        &self,
        name: &str,
        scaling_group: &str,
        groups: &[Value],
        more: Value,
    ) -> ScalingGroupAttachment {
        let mut spec = json!({"scalingGroupId": scaling_group, "serverGroups": groups});
        merge(&mut spec, more);
        self.apply(name, &spec).await
    }

    /// Deletes an object; its finalizer may keep it for a while.
    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api::<K>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Merges `fields` into an object, as anybody may at any time.
    pub async fn merge<K>(&self, name: &str, fields: &Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let (params, patch) = (PatchParams::default(), Patch::Merge(fields));
        self.api::<K>().patch(name, &params, &patch).await.unwrap();
    }

    /// Gives an object one of the annotations that the operator knows.
    pub async fn annotate<K>(&self, name: &str, annotation: &str, value: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let annotation = format!("servergroup.alicloud.dev/{annotation}");
        let fields = json!({"metadata": {"annotations": {annotation: value}}});
        self.merge::<K>(name, &fields).await;
    }

    /// Asks for a look at an object, as a person does who will not wait.
    pub async fn look_now<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.annotate::<K>(name, "reconcile-at", "now").await;
    }

    /// Puts a label on an object: what was read before cannot be written any more.
    pub async fn label<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let label = json!({"metadata": {"labels": {"seen-by": "somebody"}}});
        self.merge::<K>(name, &label).await;
    }

    /// Waits until an object is as `is` says.
    pub async fn until<K>(&self, what: &str, name: &str, is: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = self.api::<K>();
        let mut wait = Wait::on(self);
        loop {
            let object = api.get_opt(name).await.unwrap();
            if let Some(object) = &object
                && is(object)
            {
                return object.clone();
            }
            if let Err(why) = wait.pause(object.as_ref().map(shape)).await {
                let status = object.as_ref().map(status);
                panic!(
                    "{what} of {name}: {why}\nstatus: {status:#?}\ncalls:\n{}",
                    self.calls()
                );
            }
        }
    }

    /// Waits until `Ready` has this reason, at the present generation.
    pub async fn reason<K>(&self, name: &str, reason: &str) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        self.until(&format!("Ready/{reason}"), name, |object: &K| {
            ready(object) == Some((reason.to_owned(), generation(object)))
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = self.api::<K>();
        let mut wait = Wait::on(self);
        while let Some(object) = api.get_opt(name).await.unwrap() {
            if let Err(why) = wait.pause(shape(&object)).await {
                panic!(
                    "{name} is still there: {why}\nstatus: {:#?}\ncalls:\n{}",
                    status(&object),
                    self.calls()
                );
            }
        }
    }

    /// Waits until `get` yields something.
    pub async fn eventually<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        get: impl Fn() -> F,
    ) -> T {
        let mut wait = Wait::on(self);
        loop {
            if let Some(found) = get().await {
                return found;
            }
            if let Err(why) = wait.pause(()).await {
                panic!("{what}: {why}\ncalls:\n{}", self.calls());
            }
        }
    }

    /// Waits until a number that only grows is at least `least`: looks, or seconds. That it grows is what moves.
    pub async fn reached<N: Copy + Debug + PartialOrd>(
        &self,
        what: &str,
        least: N,
        number: impl Fn() -> N,
    ) {
        let mut wait = Wait::on(self);
        loop {
            let now = number();
            if now >= least {
                return;
            }
            if let Err(why) = wait.pause(format!("{now:?}")).await {
                let calls = self.calls();
                panic!("{what}: {why}\n{now:?} of {least:?}\ncalls:\n{calls}");
            }
        }
    }

    /// Waits until the simulated clock shows `moment`, in seconds.
    pub async fn clock_shows(&self, moment: f64) {
        let clock = || self.simulator.world().now;
        self.reached("simulated time", moment, clock).await;
    }

    /// Waits for what happens by itself, such as the arrival of a call that is held.
    pub async fn awaited<T>(&self, what: &str, happens: impl Future<Output = T>) -> T {
        let mut happens = std::pin::pin!(happens);
        let mut wait = Wait::on(self);
        loop {
            tokio::select! {
                happened = &mut happens => return happened,
                moved = wait.pause(()) => {
                    if let Err(why) = moved {
                        panic!("{what}: {why}\ncalls:\n{}", self.calls());
                    }
                }
            }
        }
    }

    /// What an operator brought about that is not stuck: calls that changed something, and what came of them.
    fn deeds(&self) -> usize {
        let world = self.simulator.world();
        let deeds = world.audit.iter();
        deeds
            .filter(|entry| entry.acted && (entry.changes || entry.service == "time"))
            .count()
    }

    /// How all objects in this namespace are; none of them while they cannot be listed.
    async fn shapes(&self) -> Vec<u64> {
        let all = ListParams::default();
        let (memberships, attachments) = (
            self.api::<ServerGroupMembership>(),
            self.api::<ScalingGroupAttachment>(),
        );
        let (memberships, attachments) =
            tokio::join!(memberships.list(&all), attachments.list(&all));
        let memberships = memberships.into_iter().flatten().map(|one| shape(&one));
        let attachments = attachments.into_iter().flatten().map(|one| shape(&one));
        memberships.chain(attachments).collect()
    }

    /// The simulator's log of changing calls and what they brought about.
    pub fn calls(&self) -> String {
        let world = self.simulator.world();
        let lines = world
            .audit
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// How many changing calls were made, carried out or not.
    pub fn changes(&self) -> usize {
        self.simulator.world().changing_calls().count()
    }

    /// How many calls were made for objects: an account asks for itself whose its keys are.
    pub fn all_calls(&self) -> usize {
        self.simulator
            .world()
            .audit
            .iter()
            .filter(|entry| entry.service != "time" && entry.action != "GetCallerIdentity")
            .count()
    }
}

/// Puts the fields of `more` into `into`, one level deep.
pub fn merge(into: &mut Value, more: Value) {
    let Value::Object(fields) = more else { return };
    for (name, value) in fields {
        into[name] = value;
    }
}

/// Reason and observed generation of `Ready`.
pub fn ready<K: Serialize>(object: &K) -> Option<(String, i64)> {
    condition(object, "Ready").map(|(_, reason, generation)| (reason, generation))
}

/// Status, reason and observed generation of one condition.
pub fn condition<K: Serialize>(object: &K, kind: &str) -> Option<(String, String, i64)> {
    let object = serde_json::to_value(object).unwrap();
    let conditions = object["status"]["conditions"].as_array()?.clone();
    let found = conditions
        .into_iter()
        .find(|condition| condition["type"] == kind)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some((
        text("status"),
        text("reason"),
        found["observedGeneration"].as_i64().unwrap_or_default(),
    ))
}

/// The change in flight, as status shows it; `None` if there is none: one that settled is kept, and is none.
pub fn operation<K: Serialize>(object: &K) -> Option<Value> {
    let object = serde_json::to_value(object).unwrap();
    let operation = &object["status"]["operation"];
    let open = operation.is_object() && operation["phase"] != "Settled";
    open.then(|| operation.clone())
}

/// The message of `Ready`.
pub fn message<K: Serialize>(object: &K) -> String {
    let object = serde_json::to_value(object).unwrap();
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = conditions
        .into_iter()
        .find(|condition| condition["type"] == "Ready");
    found
        .and_then(|condition| condition["message"].as_str().map(ToOwned::to_owned))
        .unwrap_or_default()
}

fn generation<K: Resource>(object: &K) -> i64 {
    object.meta().generation.unwrap_or_default()
}

/// A wait for something on a stage: it lasts while anything moves there.
struct Wait<'a, S> {
    stage: &'a Stage,
    patience: Patience<(S, usize, Vec<u64>)>,
    around: (usize, Vec<u64>),
    looked_around: Instant,
}

impl<'a, S: Eq + Hash> Wait<'a, S> {
    fn on(stage: &'a Stage) -> Self {
        Self {
            stage,
            patience: Patience::default(),
            around: (0, Vec::new()),
            looked_around: Instant::now(),
        }
    }

    /// Pauses until the next look, unless nothing moves any more: neither what the last one saw nor anything else.
    async fn pause(&mut self, seen: S) -> Result<(), String> {
        // Seldom, so that a wait costs the machine little.
        if self.looked_around.elapsed() >= AROUND {
            self.around = (self.stage.deeds(), self.stage.shapes().await);
            self.looked_around = Instant::now();
        }
        let (deeds, shapes) = self.around.clone();
        self.patience.pause((seen, deeds, shapes)).await
    }
}

/// How an object is, without what is new each time that somebody who is stuck tries again: times, ids and words.
fn shape<K: Serialize>(object: &K) -> u64 {
    let object = serde_json::to_value(object).unwrap();
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> = conditions
        .map(|one| {
            ["type", "status", "reason", "observedGeneration"].map(|field| one[field].clone())
        })
        .collect();
    let lengths = ["parked", "held", "draining"].map(|list| status[list].as_array().map(Vec::len));
    let mut hasher = DefaultHasher::new();
    for part in [
        json!([
            metadata["uid"],
            metadata["generation"],
            metadata["deletionTimestamp"]
        ]),
        json!([
            metadata["finalizers"],
            metadata["annotations"],
            conditions,
            lengths
        ]),
        json!([
            status["ledger"],
            status["members"],
            status["operation"]["phase"]
        ]),
    ] {
        part.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

fn status<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()["status"].clone()
}

/// Waits until `get` yields something that has to do with no stage.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, get: impl Fn() -> F) -> T {
    let mut patience = Patience::default();
    loop {
        if let Some(found) = get().await {
            return found;
        }
        if let Err(why) = patience.pause(()).await {
            panic!("{what}: {why}");
        }
    }
}

/// Servers `i-…` numbered from `from`, so many, on port 80 where the group has ports.
pub fn instances(from: usize, count: usize, port: Option<u16>) -> Vec<Value> {
    let one = |number: usize| match port {
        Some(port) => json!({"id": instance(number), "port": port}),
        None => json!({"id": instance(number)}),
    };
    (from..from + count).map(one).collect()
}

/// The id of one of them.
pub fn instance(number: usize) -> String {
    format!("i-{number:04}")
}

/// Writes a status over an object as a restore or a person with too many rights does: whatever the operator wrote
/// meanwhile is overwritten.
pub async fn overwrite_status<K>(api: &Api<K>, name: &str, status: Value)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    loop {
        let object = api.get(name).await.unwrap();
        let mut value = serde_json::to_value(&object).unwrap();
        value["status"] = status.clone();
        value["metadata"] = serde_json::to_value(ObjectMeta {
            name: Some(name.into()),
            namespace: object.namespace(),
            resource_version: object.resource_version(),
            ..ObjectMeta::default()
        })
        .unwrap();
        let object: K = serde_json::from_value(value).unwrap();
        match api
            .replace_status(name, &PostParams::default(), &object)
            .await
        {
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => {}
            written => {
                written.unwrap();
                return;
            }
        }
    }
}

/// Notes of the events with this reason.
pub async fn events(stage: &Stage, reason: &str) -> Vec<String> {
    let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(
        stage.client.clone(),
        &stage.namespace,
    );
    let all = events.list(&ListParams::default()).await.unwrap();
    all.into_iter()
        .filter(|event| event.reason.as_deref() == Some(reason))
        .filter_map(|event| event.note)
        .collect()
}

/// Waits for an event with this reason that contains `words`, and returns the notes of all with this reason: what
/// status records is told after it is written.
pub async fn told(stage: &Stage, reason: &str, words: &str) -> Vec<String> {
    let mut wait = Wait::on(stage);
    loop {
        let notes = events(stage, reason).await;
        if notes.iter().any(|note| note.contains(words)) {
            return notes;
        }
        if let Err(why) = wait.pause(notes.len()).await {
            panic!("an event {reason} with {words:?}: {why}\n{notes:#?}");
        }
    }
}

/// How many calls of one action were made, carried out or not: what is refused was sent too.
pub fn calls(stage: &Stage, action: &str) -> usize {
    let world = stage.simulator.world();
    let calls = world.audit.iter().filter(|call| call.service != "time");
    calls.filter(|call| call.action == action).count()
}
