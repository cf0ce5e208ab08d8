//! Wires clients, controllers, probes and the lease into one future.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::future;
use kube::{Api, Client, CustomResourceExt, Resource, api::ListParams};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Notify, Semaphore, oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership},
    cloud::{Environment, Transport},
    controller::{
        Context, KUBERNETES_REQUESTS_MAX,
        accounts::Accounts,
        dispatch::dispatch,
        events::chain,
        identity::Identities,
        joined::Joined,
        lag::Lag,
        late_moves::LateCalls,
        memory::Memories,
        open::Orphans,
        registry::Registry,
        scaling_activity::Running,
        scope::Scope,
        signals::Signals,
        sources::Sources,
        stands,
        turns::Turns,
        unreadable::tell_unreadable,
        upkeep::{Bell, keep_accounts},
        watch::{watch_accounts, watch_namespaces, watch_objects},
        watches::Watches,
    },
    leader::{Election, Leadership, Lost},
    probes::{self, Readiness},
    timing::Timing,
};

/// Everything that the operator runs with.
pub struct Operator {
    /// Kubernetes.
    pub client: Client,
    /// The cloud.
    pub transport: Transport,
    /// Variables and files that keys may come from.
    pub environment: Environment,
    /// Durations and clocks.
    pub timing: Timing,
    /// The namespaces whose objects are looked after; none = all.
    pub namespaces: Vec<String>,
    /// Whether everything is looked at and shown, and nothing changed.
    pub read_only: bool,
    /// Where the Secrets of accounts are.
    pub operator_namespace: String,
    /// Where the lease lives; `None` = no election, for runs of a single replica.
    pub election: Option<Candidate>,
    /// Where probes are served; `None` = nowhere.
    pub probes: Option<TcpListener>,
}

/// The replica that takes part in the election, and where the election runs.
#[derive(Clone)]
pub struct Candidate {
    /// Namespace of the lease.
    pub namespace: String,
    /// Unique to this process.
    pub identity: String,
    /// Kubernetes, over connections that nothing else uses.
    pub client: Client,
    /// Where the lease is renewed: a place that no amount of work can keep busy.
    pub runtime: Handle,
}

/// Why the operator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The lease is lost; work that was started may still run, so the process has to end.
    #[error("leadership is lost")]
    Lease(#[from] Lost),
}

impl Operator {
    /// Runs until `stop`; then the passes that run are finished, and the lease is given back.
    ///
    /// # Errors
    ///
    /// [`Ended`] if the lease is lost.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Ended> {
        let readiness = Readiness::new(Watches::new(&self.timing));
        let metrics = self.transport.metrics().clone();
        let probes = self
            .probes
            .take()
            .map(|listener| probes::serve(listener, readiness.clone(), metrics, stop.clone()));
        let serving = async {
            match probes {
                Some(probes) => probes.await,
                None => future::pending().await,
            }
        };
        let working = self.work(&readiness, &stop);
        tokio::select! {
            biased;
            ended = working => ended,
            () = serving => Ok(()),
        }
    }
}

impl Operator {
    fn sources(&self) -> Sources {
        Sources::new(
            self.client.clone(),
            self.transport.clone(),
            self.environment.clone(),
            self.operator_namespace.clone(),
            self.timing.clone(),
        )
    }

    async fn work(self, readiness: &Readiness, stop: &CancellationToken) -> Result<(), Ended> {
        let sources = self.sources();
        let Self {
            client,
            transport,
            timing,
            namespaces,
            read_only,
            operator_namespace,
            election,
            ..
        } = self;
        let scopes = Scope::of(&namespaces);
        tokio::select! {
            biased;
            () = wait_for_kubernetes(&client, &scopes, &timing, readiness) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let (leadership, election) = match election {
            None => (Leadership::unopposed(timing.clone()), None),
            Some(candidate) => {
                let leadership = Leadership::candidate(timing.clone());
                let election = Election::new(
                    candidate.client,
                    &candidate.namespace,
                    candidate.identity,
                    leadership.clone(),
                );
                (leadership, Some((election, candidate.runtime)))
            }
        };
        let (signals, arrive) = Signals::new();
        let ctx = Arc::new(Context {
            client,
            transport,
            sources,
            identities: Identities::default(),
            leadership,
            timing,
            started: Instant::now(),
            accounts: Accounts::default(),
            memberships: Registry::default(),
            attachments: Registry::default(),
            scopes,
            membership_lists: Joined::default(),
            attachment_lists: Joined::default(),
            membership_memories: Memories::default(),
            attachment_memories: Memories::default(),
            read_only,
            signals,
            turns: Turns::default(),
            orphans: Orphans::default(),
            lag: Lag::default(),
            late_calls: LateCalls::default(),
            running: Running::default(),
            unreadable: Notify::new(),
            upkeep: Bell::default(),
            installation: operator_namespace,
            watches: readiness.watches().clone(),
            kubernetes: Semaphore::new(KUBERNETES_REQUESTS_MAX),
            instance: gethostname(),
        });
        stands::read_when_asked(&ctx);
        let finish = CancellationToken::new();
        let leads = watch::channel(false).0;
        // The caches fill before the election is won: a replica that waits is ready to take over.
        let ready = Ready::default();
        let mut house = keep_house(&ctx, &ready, &leads);
        let caches = async {
            ready.all().await;
            readiness.set(true);
            future::pending::<()>().await;
        };
        let passes = dispatch(Arc::clone(&ctx), arrive, leads.subscribe(), finish.clone());
        let passes = AbortOnDropHandle::new(tokio::spawn(passes));
        let passes = async {
            panicked(passes.await);
            leads.send_replace(false);
            future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = lead(&ctx, election, &ready, &leads, &finish, stop) => ended,
            () = passes => Ok(()),
            ended = house.join_next() => {
                panicked(ended.expect("there are some"));
                Ok(())
            }
            () = caches => Ok(()),
        }
    }
}

/// What goes on besides passes, for as long as the process does: the caches, and what is told of them.
fn keep_house(ctx: &Arc<Context>, ready: &Ready, leads: &watch::Sender<bool>) -> JoinSet<()> {
    let mut house = JoinSet::new();
    house.spawn(watch_accounts(
        Api::all(ctx.client.clone()),
        Arc::clone(ctx),
        ready.one_more(),
    ));
    house.spawn(watch_namespaces(Arc::clone(ctx), ready.one_more()));
    for scope in ctx.scopes.clone() {
        house.spawn(watch_objects::<ServerGroupMembership>(
            scope.clone(),
            Arc::clone(ctx),
            ready.one_more(),
        ));
        house.spawn(watch_objects::<ScalingGroupAttachment>(
            scope,
            Arc::clone(ctx),
            ready.one_more(),
        ));
    }
    house.spawn(tell_unreadable(Arc::clone(ctx), leads.subscribe()));
    house.spawn(keep_accounts(Arc::clone(ctx), leads.subscribe()));
    house
}

/// Goes on with the panic of a task, if that is how it ended.
fn panicked<T>(ended: Result<T, tokio::task::JoinError>) {
    if let Err(ended) = ended
        && let Ok(panic) = ended.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Wins the election where there is one, holds the lease until `stop`, and gives it back when everything is finished.
async fn lead(
    ctx: &Context,
    election: Option<(Election, Handle)>,
    ready: &Ready,
    leads: &watch::Sender<bool>,
    finish: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    // A pass that begins before every cache is filled would take an account for missing.
    tokio::select! {
        biased;
        () = ready.all() => {}
        () = stop.cancelled() => {
            finish.cancel();
            return Ok(());
        }
    }
    let Some((mut election, runtime)) = election else {
        begin_to_lead(ctx);
        leads.send_replace(true);
        stop.cancelled().await;
        finish.cancel();
        finished(leads).await;
        return Ok(());
    };
    // It renews from the moment it has won, whatever keeps this side busy; and longer than the passes that run when the
    // end is asked for.
    let released = CancellationToken::new();
    let (won, mut leading) = oneshot::channel();
    let until = released.clone();
    let holding = AbortOnDropHandle::new(runtime.spawn(async move {
        election.win().await;
        _ = won.send(());
        election.hold(until).await
    }));
    let held = async {
        match holding.await {
            Ok(held) => held.map_err(Ended::from),
            ended => {
                panicked(ended);
                Ok(())
            }
        }
    };
    tokio::pin!(held);
    tokio::select! {
        biased;
        Ok(()) = &mut leading => {}
        ended = &mut held => return ended,
        () = stop.cancelled() => {
            finish.cancel();
            return Ok(());
        }
    }
    let leading = async {
        catch_up(ctx).await;
        begin_to_lead(ctx);
        leads.send_replace(true);
        stop.cancelled().await;
    };
    tokio::select! {
        biased;
        ended = &mut held => return ended,
        () = leading => finish.cancel(),
        () = stop.cancelled() => finish.cancel(),
    }
    tokio::select! {
        biased;
        ended = &mut held => return ended,
        () = finished(leads) => released.cancel(),
    }
    held.await
}

/// Notes what another replica may have changed by now.
fn begin_to_lead(ctx: &Context) {
    let mut groups = ctx.memberships.groups();
    groups.append(&mut ctx.attachments.groups());
    ctx.lag.leads(ctx.now(), groups);
    ctx.memberships.carry_on();
    ctx.attachments.carry_on();
}

/// Waits until the known objects are at least as new as this moment (S9): the former leader may have written, and begun
/// something, that a watch has not shown yet.
async fn catch_up(ctx: &Context) {
    while let Err(error) = ctx.catch_up().await {
        let error = chain(&error);
        tracing::warn!(
            error,
            "leading, but the objects could not be read; trying again"
        );
        tokio::time::sleep(ctx.timing.lease_retry).await;
    }
}

/// Waits until the passes have ended, which they say by taking the flag back.
async fn finished(leads: &watch::Sender<bool>) {
    let mut receiver = leads.subscribe();
    // The sender lives in this very function's caller, so the channel cannot close.
    _ = receiver.wait_for(|leads| !leads).await;
}

/// Waits until the API server answers and knows the three kinds; says what is missing, unready meanwhile.
async fn wait_for_kubernetes(
    client: &Client,
    scopes: &[Scope],
    timing: &Timing,
    readiness: &Readiness,
) {
    readiness.set(false);
    let mut complained: Option<Instant> = None;
    loop {
        let Err(missing) = kinds_are_served(client, scopes, timing).await else {
            return;
        };
        if complained.is_none_or(|at| at.elapsed() >= timing.complain_every) {
            tracing::warn!("waiting: {missing}");
            complained = Some(Instant::now());
        }
        tokio::time::sleep(timing.quick_beat_min).await;
    }
}

async fn kinds_are_served(
    client: &Client,
    scopes: &[Scope],
    timing: &Timing,
) -> Result<(), String> {
    served(Api::<CloudAccount>::all(client.clone()), timing).await?;
    for scope in scopes {
        served(scope.api::<ServerGroupMembership>(client), timing).await?;
        served(scope.api::<ScalingGroupAttachment>(client), timing).await?;
    }
    Ok(())
}

async fn served<K>(api: Api<K>, timing: &Timing) -> Result<(), String>
where
    K: Resource<DynamicType = ()>
        + CustomResourceExt
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
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
            chain(&error)
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

/// The name of this machine, which is the pod's name in a cluster.
#[must_use]
pub fn gethostname() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "local".to_owned())
}
