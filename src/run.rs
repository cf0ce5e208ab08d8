//! Wires clients, controllers, probes and the lease into one future.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, Stream, StreamExt, channel::mpsc, future};
use kube::{
    Api, Client, CustomResourceExt, Resource, ResourceExt,
    api::ListParams,
    runtime::{
        Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::{self, Action},
        predicates,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Environment, Transport},
    controller::{
        Context, KUBERNETES_REQUESTS_MAX,
        identity::Identities,
        managed::Managed,
        memory::Memories,
        neighbours,
        reconcile::{Pipeline, forget, reconcile},
        registry::Registry,
        turns::Turns,
    },
    leader::{Election, Leadership, Lost},
    probes::{self, Readiness},
    timing::Timing,
};

/// What the operator runs with.
pub struct Operator {
    /// Kubernetes.
    pub client: Client,
    /// The cloud.
    pub transport: Transport,
    /// Where `Environment` credentials come from.
    pub environment: Environment,
    /// Durations and clocks.
    pub timing: Timing,
    /// The only namespace whose objects are looked at; `None` = all.
    pub namespace: Option<String>,
    /// Where the lease lives; `None` = no election, for runs of a single replica.
    pub election: Option<Candidate>,
    /// Where probes are served; `None` = nowhere.
    pub probes: Option<TcpListener>,
}

/// Who takes part in the election.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the lease.
    pub namespace: String,
    /// Unique to this process.
    pub identity: String,
}

/// Why the operator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The lease is lost; what was started may still run, so the process has to end.
    #[error("leadership is lost")]
    Lease(#[from] Lost),
}

impl Operator {
    /// Runs until `stop`; what runs then is finished, and the lease given back.
    ///
    /// # Errors
    ///
    /// [`Ended`] if the lease is lost.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Ended> {
        let readiness = Readiness::default();
        let probes = self
            .probes
            .take()
            .map(|listener| probes::serve(listener, readiness.clone(), stop.clone()));
        let serving = async {
            match probes {
                Some(probes) => probes.await,
                None => future::pending().await,
            }
        };
        let working = self.work(&readiness, &stop);
        tokio::select! {
            ended = working => ended,
            () = serving => Ok(()),
        }
    }
}

impl Operator {
    async fn work(self, readiness: &Readiness, stop: &CancellationToken) -> Result<(), Ended> {
        let Self {
            client,
            transport,
            environment,
            timing,
            namespace,
            election,
            probes: _,
        } = self;
        tokio::select! {
            () = wait_for_kubernetes(&client, &timing, readiness) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let (leadership, election) = match election {
            None => (Leadership::unopposed(timing.clone()), None),
            Some(candidate) => {
                let leadership = Leadership::candidate(timing.clone());
                let election = Election::new(
                    client.clone(),
                    &candidate.namespace,
                    candidate.identity,
                    leadership.clone(),
                );
                (leadership, Some(election))
            }
        };
        let ready = Ready::default();
        let accounts = cached(Api::<CloudAccount>::all(client.clone()), &ready);
        let memberships = cached(
            watched::<ServerGroupMembership>(&client, namespace.as_deref()),
            &ready,
        );
        let attachments = cached(
            watched::<ScalingGroupAttachment>(&client, namespace.as_deref()),
            &ready,
        );
        let ctx = Arc::new(Context {
            client,
            transport,
            environment,
            identities: Identities::default(),
            leadership,
            timing,
            started: Instant::now(),
            accounts: accounts.store,
            memberships: Registry::new(memberships.store.clone()),
            attachments: Registry::new(attachments.store.clone()),
            membership_memories: Memories::default(),
            attachment_memories: Memories::default(),
            turns: Turns::default(),
            kubernetes: Semaphore::new(KUBERNETES_REQUESTS_MAX),
            instance: gethostname(),
        });
        // The caches fill before the election is won: a replica that waits is ready to take over.
        let finish = CancellationToken::new();
        let leads = watch::channel(false).0;
        let (to_memberships, wake_memberships) = mpsc::unbounded();
        let (to_attachments, wake_attachments) = mpsc::unbounded();
        let accounts_watch = watch_accounts(
            accounts.events,
            Arc::clone(&ctx),
            to_memberships.clone(),
            to_attachments.clone(),
        );
        let membership_loop = control(
            memberships,
            wake_memberships,
            to_memberships,
            Arc::clone(&ctx),
            &leads,
            &finish,
        );
        let attachment_loop = control(
            attachments,
            wake_attachments,
            to_attachments,
            Arc::clone(&ctx),
            &leads,
            &finish,
        );
        let caches = async {
            ready.all().await;
            readiness.set(true);
            future::pending::<()>().await;
        };
        let loops = async {
            future::join(membership_loop, attachment_loop).await;
            leads.send_replace(false);
            future::pending::<()>().await;
        };
        tokio::select! {
            ended = lead(election, &ready, &leads, &finish, stop) => ended,
            () = loops => Ok(()),
            () = accounts_watch => Ok(()),
            () = caches => Ok(()),
        }
    }
}

/// Wins the election where there is one, holds the lease until `stop`, and gives it back when everything is finished.
async fn lead(
    election: Option<Election>,
    ready: &Ready,
    leads: &watch::Sender<bool>,
    finish: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    // A pass that begins before every cache is filled would take an account for missing.
    tokio::select! {
        () = ready.all() => {}
        () = stop.cancelled() => {
            finish.cancel();
            return Ok(());
        }
    }
    let Some(mut election) = election else {
        leads.send_replace(true);
        stop.cancelled().await;
        finish.cancel();
        finished(leads).await;
        return Ok(());
    };
    tokio::select! {
        () = election.win() => {}
        () = stop.cancelled() => {
            finish.cancel();
            return Ok(());
        }
    }
    leads.send_replace(true);
    // The lease outlives the passes that run when the end is asked for.
    let released = CancellationToken::new();
    let holding = election.hold(released.clone());
    tokio::pin!(holding);
    tokio::select! {
        lost = &mut holding => return lost.map_err(Ended::from),
        () = stop.cancelled() => finish.cancel(),
    }
    tokio::select! {
        lost = &mut holding => return lost.map_err(Ended::from),
        () = finished(leads) => released.cancel(),
    }
    holding.await.map_err(Ended::from)
}

/// Waits until both loops have ended, which they say by taking the flag back.
async fn finished(leads: &watch::Sender<bool>) {
    let mut receiver = leads.subscribe();
    // The sender lives in this very function's caller, so the channel cannot close.
    _ = receiver.wait_for(|leads| !leads).await;
}

/// Waits until the API server answers and knows the three kinds; says what is missing, unready meanwhile.
async fn wait_for_kubernetes(client: &Client, timing: &Timing, readiness: &Readiness) {
    readiness.set(false);
    let mut complained: Option<Instant> = None;
    loop {
        let Err(missing) = kinds_are_served(client, timing).await else {
            return;
        };
        if complained.is_none_or(|at| at.elapsed() >= timing.complain_every) {
            tracing::warn!("waiting: {missing}");
            complained = Some(Instant::now());
        }
        tokio::time::sleep(timing.quick_beat_min).await;
    }
}

async fn kinds_are_served(client: &Client, timing: &Timing) -> Result<(), String> {
    served::<CloudAccount>(client, timing).await?;
    served::<ServerGroupMembership>(client, timing).await?;
    served::<ScalingGroupAttachment>(client, timing).await
}

async fn served<K>(client: &Client, timing: &Timing) -> Result<(), String>
where
    K: Resource<DynamicType = ()>
        + CustomResourceExt
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let api = Api::<K>::all(client.clone());
    let one = ListParams::default().limit(1);
    match tokio::time::timeout(timing.kubernetes_deadline, api.list_metadata(&one)).await {
        Ok(Ok(_)) => Ok(()),
        // Without the definition there is no such path, and the answer is plain text.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(format!(
            "the API server does not know {}; install the custom resource definitions: kubectl apply --server-side -f crds/",
            K::crd_name()
        )),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "the operator may not list {}; apply the ClusterRole and its binding in deploy/rbac: {}",
            K::crd_name(),
            status.message
        )),
        Ok(Err(error)) => Err(format!(
            "the API server does not answer: {}; check the kubeconfig and the network",
            crate::controller::events::chain(&error)
        )),
        Err(_) => Err(
            "the API server does not answer in time; check the kubeconfig and the network"
                .to_owned(),
        ),
    }
}

/// How many caches are still filling.
#[derive(Clone, Default)]
struct Ready(Arc<(AtomicUsize, tokio::sync::Notify)>);

impl Ready {
    fn one_more(&self) -> impl Fn() + Send + use<> {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        let (shared, done) = (Arc::clone(&self.0), AtomicBool::new(false));
        move || {
            if !done.swap(true, Ordering::SeqCst) {
                shared.0.fetch_sub(1, Ordering::SeqCst);
                shared.1.notify_waiters();
            }
        }
    }

    async fn all(&self) {
        loop {
            let notified = self.0.1.notified();
            if self.0.0.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// A watch with its cache.
struct Cached<K: Resource + 'static>
where
    K::DynamicType: Hash + Eq,
{
    store: reflector::Store<K>,
    events: futures::stream::BoxStream<'static, Result<watcher::Event<K>, watcher::Error>>,
}

/// The objects of one namespace, or of all.
fn watched<M: Managed>(client: &Client, namespace: Option<&str>) -> Api<M> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn cached<K>(api: Api<K>, ready: &Ready) -> Cached<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store::<K>();
    let filled = ready.one_more();
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                filled();
            }
        })
        .boxed();
    Cached { store, events }
}

/// Wakes every object that uses an account when the account changes. What the first list shows is known before any
/// pass begins, and wakes nobody.
async fn watch_accounts(
    events: impl Stream<Item = Result<watcher::Event<CloudAccount>, watcher::Error>>,
    ctx: Arc<Context>,
    memberships: mpsc::UnboundedSender<ObjectRef<ServerGroupMembership>>,
    attachments: mpsc::UnboundedSender<ObjectRef<ScalingGroupAttachment>>,
) {
    tokio::pin!(events);
    let mut listed = false;
    let (mut known, mut seen) = (HashMap::new(), HashSet::new());
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(watcher::Event::Apply(account) | watcher::Event::InitApply(account)) => {
                let now = account.metadata.generation;
                seen.insert(account.name_any());
                let before = known.insert(account.name_any(), (account.uid(), now));
                let same = before == Some((account.uid(), now));
                (listed && !same).then_some(account)
            }
            Ok(watcher::Event::Delete(account)) => {
                known.remove(&account.name_any());
                Some(account)
            }
            Ok(watcher::Event::InitDone) => {
                listed = true;
                // What a list after a gap lacks went while nobody looked.
                let gone: Vec<_> = known
                    .keys()
                    .filter(|name| !seen.contains(*name))
                    .cloned()
                    .collect();
                for name in gone {
                    known.remove(&name);
                    wake(&ctx.memberships, &name, &memberships);
                    wake(&ctx.attachments, &name, &attachments);
                }
                None
            }
            Ok(watcher::Event::Init) => {
                seen.clear();
                None
            }
            Err(_) => None,
        };
        if let Some(account) = changed {
            let name = account.name_any();
            wake(&ctx.memberships, &name, &memberships);
            wake(&ctx.attachments, &name, &attachments);
        }
    }
}

fn wake<M: Managed>(
    registry: &Registry<M>,
    account: &str,
    to: &mpsc::UnboundedSender<ObjectRef<M>>,
) {
    for object in registry
        .all()
        .iter()
        .filter(|object| object.account_name() == account)
    {
        // The receiver goes only when everything ends.
        _ = to.unbounded_send(ObjectRef::from_obj(&**object));
    }
}

/// The loop over one kind, from the moment this replica leads until `finish`.
async fn control<M: Pipeline>(
    cached: Cached<M>,
    woken: mpsc::UnboundedReceiver<ObjectRef<M>>,
    wake: mpsc::UnboundedSender<ObjectRef<M>>,
    ctx: Arc<Context>,
    leads: &watch::Sender<bool>,
    finish: &CancellationToken,
) {
    let Cached { store, events } = cached;
    let claims = neighbours::Claims::default();
    let watching = Arc::clone(&ctx);
    // The finalizer is of our own making, and deletion is a generation of its own.
    let relevant = predicates::generation.combine(predicates::annotations);
    let own = events
        .inspect(move |event| {
            let (object, gone) = match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    (object, false)
                }
                Ok(watcher::Event::Delete(object)) => (object, true),
                _ => return,
            };
            if gone {
                claims.forget(&object.uid().unwrap_or_default());
                forget(&watching, object);
            } else if !claims.changed(object) {
                return;
            }
            for other in neighbours::of::<M>(&watching, &object.group(), object.uid().as_deref()) {
                _ = wake.unbounded_send(other);
            }
        })
        .applied_objects()
        .predicate_filter(relevant, PredicateConfig::default());
    let mut leading = leads.subscribe();
    let run = async {
        // The cache is filled by this very stream, so it has to be polled before leading too: the controller
        // starts at once, and passes wait.
        Controller::for_stream(own, store)
            .with_config(controller::Config::default().debounce(ctx.timing.debounce))
            .reconcile_on(woken)
            .graceful_shutdown_on(finish.clone().cancelled_owned())
            .run(
                pass,
                |_, error, _| match *error {},
                (ctx, leads.subscribe()).into(),
            )
            .for_each(|_| future::ready(()))
            .await;
    };
    tokio::select! {
        () = run => {}
        // Not leading yet and asked to end: no pass has begun.
        () = async { finish.cancelled().await; if *leading.borrow_and_update() { future::pending::<()>().await } } => {}
    }
}

async fn pass<M: Pipeline>(
    object: Arc<M>,
    shared: Arc<(Arc<Context>, watch::Receiver<bool>)>,
) -> Result<Action, std::convert::Infallible> {
    let (ctx, leads) = &*shared;
    // Passes that begin while another replica leads wait here; they cost a task each.
    if leads.clone().wait_for(|leads| *leads).await.is_err() {
        return Ok(Action::await_change());
    }
    let reference = ObjectRef::from_obj(&*object);
    let reconciled = AssertUnwindSafe(reconcile(object, Arc::clone(ctx))).catch_unwind();
    reconciled.await.unwrap_or_else(|_| {
        // A mistake of ours about one object must not take the others along. What it held is free again.
        let again_in = ctx.timing.backoff_max;
        tracing::error!(object = %reference, "the pass panicked: please report this; trying again in {again_in:?}");
        Ok(Action::requeue(again_in))
    })
}

/// The name of this machine, which is the pod's name in a cluster.
#[must_use]
pub fn gethostname() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "local".to_owned())
}
