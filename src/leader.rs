//! The Lease: of several replicas one acts (S9).
//!
//! A lease is for efficiency, not for safety: two leaders may overlap for a moment, and then the `resourceVersion` on
//! every status write keeps them apart. Still, no changing call starts unless it must end within the lease.
//!
//! A candidate takes over when the record has not changed for a whole lease on its own monotonic clock;
//! the renew time in the record, written by somebody else's wall clock, is for people.

mod leave;
pub mod thread;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::timing::Timing;

pub use leave::{Leave, Moment};

/// Name of the Lease in the operator's namespace.
pub const LEASE_NAME: &str = "server-group-operator";

/// A call was not started because the lease might end before it does, or is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not leading for long enough to start a call")]
pub struct NotLeading;

/// Why an election ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The record could not be renewed in time.
    #[error("the lease could not be renewed within {0:?}; another replica may lead by now")]
    NotRenewed(Duration),
    /// Somebody else holds the record.
    #[error("the lease is held by {0}")]
    Taken(String),
    /// The record is not the one that this replica wrote last: somebody else may have led meanwhile.
    #[error("the lease changed hands meanwhile")]
    Deposed,
}

/// The right to change the cloud, shared by everything that might want to.
#[derive(Clone)]
pub struct Leadership {
    term: Arc<Mutex<Option<Term>>>,
    timing: Timing,
}

/// The term that the last successful write of the record gave.
#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: i64,
    /// Taken *before* the write was sent, on both clocks.
    renewed: Moment,
    /// `None`: there is no election and the term does not end.
    lasts: Option<Duration>,
}

impl Leadership {
    /// Nobody leads yet.
    #[must_use]
    pub fn candidate(timing: Timing) -> Self {
        Self {
            term: Arc::default(),
            timing,
        }
    }

    /// Leads for ever, for runs without election; epoch 0.
    #[must_use]
    pub fn unopposed(timing: Timing) -> Self {
        let leadership = Self::candidate(timing);
        let renewed = Moment::by(&leadership.timing);
        *leadership.term.lock() = Some(Term {
            epoch: 0,
            renewed,
            lasts: None,
        });
        leadership
    }

    /// Gives leave to a call that ends within `call`.
    ///
    /// # Errors
    ///
    /// [`NotLeading`] if the lease is not held or might end first.
    pub fn permit(&self, call: Duration) -> Result<Leave, NotLeading> {
        let term = (*self.term.lock()).ok_or(NotLeading)?;
        let given = Moment::by(&self.timing);
        match term.lasts {
            Some(lasts) if term.renewed.elapsed(&self.timing) + call >= lasts => Err(NotLeading),
            _ => Ok(Leave::new(term.epoch, given, call)),
        }
    }

    /// How long ago the lease was renewed, if there is one and it is held.
    #[must_use]
    pub fn renewed_ago(&self) -> Option<Duration> {
        let term = (*self.term.lock())?;
        term.lasts?;
        Some(term.renewed.elapsed(&self.timing))
    }

    /// This moment on both clocks.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment::by(&self.timing)
    }

    /// The epoch, if this replica leads: how often the record has changed hands.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        self.term.lock().map(|term| term.epoch)
    }
}

/// Takes part in the election for one replica.
pub struct Election {
    leases: Api<Lease>,
    /// Unique to this process.
    identity: String,
    timing: Timing,
    leadership: Leadership,
    /// The record as last seen, and since when it has not changed.
    seen: Option<(String, Instant)>,
}

/// How one look at the record went.
enum Look {
    Leads(Term),
    HeldBy(String),
    /// It is ours no more, though nobody else holds it now.
    Deposed,
}

impl Election {
    /// A candidate called `identity` for the record in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, leadership: Leadership) -> Self {
        let timing = leadership.timing.clone();
        Self {
            leases: Api::namespaced(client, namespace),
            identity,
            timing,
            leadership,
            seen: None,
        }
    }

    /// Waits until this replica leads. Cancel-safe.
    pub async fn win(&mut self) {
        let mut told = None;
        loop {
            match self.look().await {
                Ok(Look::Leads(term)) => {
                    tracing::info!(epoch = term.epoch, identity = self.identity, "leading");
                    return;
                }
                // Only a replica that led already can be deposed.
                Ok(Look::Deposed) => {}
                // Once for each holder: a replica may stand by for months.
                Ok(Look::HeldBy(holder)) => {
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(holder, "standing by: another replica leads");
                        told = Some(holder);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be read or written; trying again")
                }
            }
            tokio::time::sleep(self.timing.lease_retry).await;
        }
    }

    /// Renews until `stop`, then gives the record back. Returns early if it is lost, to anybody and for however short.
    ///
    /// # Errors
    ///
    /// [`Lost`]; the caller ends the process, because work that it started may still run.
    pub async fn hold(mut self, stop: CancellationToken) -> Result<(), Lost> {
        let outcome = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                () = tokio::time::sleep(self.timing.lease_retry) => {}
            }
            match self.look().await {
                Ok(Look::Leads(_)) => {}
                Ok(Look::HeldBy(holder)) => break Err(Lost::Taken(holder)),
                Ok(Look::Deposed) => break Err(Lost::Deposed),
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be renewed; trying again")
                }
            }
            let deadline = self.timing.lease_renew_deadline;
            if self
                .leadership
                .permit(self.timing.lease_duration.saturating_sub(deadline))
                .is_err()
            {
                break Err(Lost::NotRenewed(deadline));
            }
        };
        *self.leadership.term.lock() = None;
        if outcome.is_ok() {
            self.give_back().await;
        }
        outcome
    }

    /// Reads the record, and writes it if it is ours, free, or abandoned.
    async fn look(&mut self) -> Result<Look, kube::Error> {
        let renewed = Moment::by(&self.timing);
        let deadline = self.timing.lease_renew_deadline;
        let attempt = async {
            let current = self.leases.get_opt(LEASE_NAME).await?;
            if let Some(holder) = current.as_ref().and_then(|lease| self.other_holder(lease)) {
                return Ok(Look::HeldBy(holder));
            }
            // Passes, caches and memory belong to the epoch in which they began: a replica that led since has changed
            // the things that they know of.
            if let Some(epoch) = self.leadership.epoch()
                && !self.is_ours(current.as_ref(), epoch)
            {
                return Ok(Look::Deposed);
            }
            // A term that ended, as on a machine that was suspended, is followed by another one, also where nobody else led
            // in between: what a pass saw in the one before is too old to act on.
            let lapsed = self.leadership.permit(Duration::ZERO).is_err();
            let ours = self.record(current.as_ref(), lapsed);
            let written = match current {
                Some(_) => {
                    self.leases
                        .replace(LEASE_NAME, &PostParams::default(), &ours)
                        .await?
                }
                None => self.leases.create(&PostParams::default(), &ours).await?,
            };
            let epoch = written
                .spec
                .and_then(|spec| spec.lease_transitions)
                .unwrap_or_default();
            let term = Term {
                epoch: epoch.into(),
                renewed,
                lasts: Some(self.timing.lease_duration),
            };
            *self.leadership.term.lock() = Some(term);
            Ok(Look::Leads(term))
        };
        match timeout(deadline, attempt).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service(
                "the API server did not answer in time".into(),
            )),
        }
    }

    /// Whether the record is still the one of our term.
    fn is_ours(&self, lease: Option<&Lease>, epoch: i64) -> bool {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        spec.is_some_and(|spec| {
            spec.holder_identity.as_deref() == Some(&self.identity)
                && spec.lease_transitions.map(i64::from) == Some(epoch)
        })
    }

    /// The other holder of the record, if there is one, unless the record has not changed for a whole lease.
    fn other_holder(&mut self, lease: &Lease) -> Option<String> {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return None;
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => {
                (since.elapsed() < self.timing.lease_duration).then_some(holder)
            }
            _ => {
                self.seen = Some((version, Instant::now()));
                Some(holder)
            }
        }
    }

    /// The record with us as holder; it carries the version that was read, so that a race has one winner. If our term has
    /// `lapsed`, or it was another's, a new one begins.
    fn record(&self, current: Option<&Lease>, lapsed: bool) -> Lease {
        let before = current
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default();
        let kept = before.holder_identity.as_deref() == Some(&self.identity) && !lapsed;
        let now = MicroTime(self.timing.wall_now());
        let transitions = before.lease_transitions.unwrap_or_default() + i32::from(!kept);
        let seconds = self.timing.lease_duration.as_secs().max(1);
        Lease {
            metadata: ObjectMeta {
                name: Some(LEASE_NAME.into()),
                resource_version: current.and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                acquire_time: if kept {
                    before.acquire_time
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Leaves the record without a holder, so that the next replica need not wait.
    async fn give_back(&self) {
        let attempt = async {
            let Some(mut lease) = self.leases.get_opt(LEASE_NAME).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                self.leases
                    .replace(LEASE_NAME, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(self.timing.kubernetes_deadline, attempt).await {
            Ok(Ok(())) => tracing::info!("gave the lease back"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease was not given back; it runs out by itself")
            }
            Err(_) => tracing::warn!("the lease was not given back in time; it runs out by itself"),
        }
    }
}
