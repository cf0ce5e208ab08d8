//! One pass over one object: what both kinds share around their own pipeline, and the checks before each batch.
//!
//! The memory that authorises removals ([`Record`]) reaches Kubernetes only by [`Pass::write`] ([`super::writes`]);
//! what a look may be worth is in [`super::freshness`], what became of calls in [`super::settling`] and [`super::parking`].

use std::{sync::Arc, time::Duration};

use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use server_group_core::{membership::Purpose, reason::Reason, verdict::Verdict};

use super::{
    Context,
    authorize::{self, Access},
    events::Change,
    managed::Managed,
    memory::Memory,
    record::Record,
    report::{Report, Seen},
    shown_plan,
    stop::{Stop, reason_for, told},
    turns::Turn,
};
use crate::{
    api::{ABANDON, CredentialType, DeletionPolicy, RECONCILE_AT, condition::InSync, status},
    cloud::{self, Cloud, Credential},
};

/// Characters that `status.lastHandledReconcileAt` takes.
const ECHO_MAX: usize = 256;

/// Whether the object carries the annotation that lets it go without touching the cloud.
fn abandoned<M: Managed>(object: &M) -> bool {
    let value = object.annotations().get(ABANDON);
    value.is_some_and(|value| value == "true")
}

/// One pass over one object.
pub struct Pass<'c, M: Managed> {
    /// The world outside.
    pub ctx: &'c Context,
    /// The object as it was last read or written.
    pub object: M,
    /// What its status remembers, and will remember after the next write.
    pub record: Record<M::Key>,
    /// What this process remembers about it.
    pub memory: Arc<Mutex<Memory<M::Key>>>,
    /// The turn on its group.
    pub turn: Turn,
    /// What was seen last; `None` until the group was observed.
    pub seen: Option<Seen<M::Key>>,
    /// What the group looks like, as far as a refusal may depend on it.
    pub sight: String,
    /// Whether the group, or what it belongs to, is seen in a state in which it takes no change.
    pub unusable: bool,
    /// Whether anything was sent in this pass, or is under way on the group.
    pub moving: bool,
    /// When the last look was asked for, since the start of the process.
    pub looked_at: Option<Duration>,
    /// Whether the spec changed, or a person asked for a look.
    pub asked: bool,
    /// What would be changed, in `Plan` mode.
    pub plan: Option<status::Plan>,
    /// What was shown before, until it was compared with what is carried out.
    pub shown_before: Option<status::Plan>,
    /// The words with which a quota refused an addition in this pass.
    pub quota_reached: Option<String>,
    /// What could not be read, though the group itself could: why, and in which words.
    pub unread: Option<(Reason, String)>,
    /// Something about the cloud that is no reason and still has to be said.
    pub remark: Option<String>,
    /// How many changes the cloud accepted in this pass.
    pub accepted: usize,
    /// The cloud's id of the last answer that accepted any; empty before there is one.
    pub accepted_by: String,
    /// Events about what the next write of the status records.
    pub to_tell: Vec<(Change, String)>,
    /// When something that is waited for is due, since the start of the process.
    pub due: Option<Duration>,
    /// The operation that this pass is carrying out: every call of it so far was answered.
    pub running: Option<String>,
}

impl<'c, M: Managed> Pass<'c, M> {
    /// Begins a pass.
    pub fn new(ctx: &'c Context, object: M, turn: Turn) -> Self {
        let record = object.record();
        let memory = M::memories(ctx).of(&object.uid().unwrap_or_default());
        let deleting = object.meta().deletion_timestamp.is_some();
        let shown_before = object.shown_plan().filter(|_| !deleting).cloned();
        Self {
            ctx,
            object,
            record,
            memory,
            turn,
            seen: None,
            sight: String::new(),
            unusable: false,
            moving: false,
            looked_at: None,
            asked: false,
            plan: None,
            shown_before,
            quota_reached: None,
            unread: None,
            remark: None,
            accepted: 0,
            accepted_by: String::new(),
            to_tell: Vec::new(),
            due: None,
            running: None,
        }
    }

    /// Converge, or release if the object is being deleted.
    pub fn purpose(&self) -> Purpose {
        if self.deleting() {
            Purpose::Release
        } else {
            Purpose::Converge
        }
    }

    /// Whether the object is being deleted.
    pub fn deleting(&self) -> bool {
        self.object.meta().deletion_timestamp.is_some()
    }

    /// Whether nothing is to be changed for it, as asked.
    pub fn at_rest_by_wish(&self) -> bool {
        self.object.suspended() || self.object.planning()
    }

    /// Whether what it registered stays when it goes: so asked, or deleted while suspended or planning.
    pub fn keeps_everything(&self) -> bool {
        self.at_rest_by_wish() || self.object.deletion_policy() == DeletionPolicy::Retain
    }

    /// Whether a person asked to let go of the object without touching the cloud.
    pub fn abandoned(&self) -> bool {
        self.deleting() && abandoned(&self.object)
    }

    /// The value of the `reconcile-at` annotation, as far as status can echo it: whatever it is must not keep status from
    /// being written.
    pub fn asked_at(&self) -> Option<String> {
        let asked = self.object.annotations().get(RECONCILE_AT)?;
        Some(asked.chars().take(ECHO_MAX).collect())
    }

    /// Starts anew with what was refused when the spec changed or a person asked for a look.
    pub fn reset_when_asked(&mut self) {
        let now = (
            self.object.meta().generation.unwrap_or_default(),
            self.asked_at(),
        );
        let mut memory = self.memory.lock();
        // Status says what was seen last, also after a restart: as long as a write of it does not get through, it is to be
        // looked at anew.
        let remembered = memory.last_seen.replace(now.clone());
        let before = self.object.last_seen().or(remembered);
        if before.is_some_and(|before| before != now) {
            self.asked = true;
            memory.parked.clear();
            memory.awaited.clear();
            memory.trials.clear();
            memory.refusals.clear();
            memory.last_failure = None;
            memory.newly_parked.clear();
            memory.removed.clear();
            memory.quick_beat = None;
            drop(memory);
            self.record.parked.clear();
        }
    }

    /// Notes that something beside the group itself could not be read, so that what depends on it is held.
    pub fn could_not_read(&mut self, error: &cloud::Error) {
        tracing::warn!(%error, "what depends on this is left alone");
        self.unread = Some((reason_for(error.kind), told(error)));
    }

    /// The account and grant under which the object acts.
    ///
    /// # Errors
    ///
    /// [`Stop`] with `AccountNotFound` or `NotGranted`; nothing was called.
    pub fn authorize(&self) -> Result<Access, Stop> {
        authorize::authorize(&self.ctx.accounts, &self.object)
            .map_err(|denied| Stop::because(denied.reason(), denied.to_string()))
    }

    /// A client that acts as the object's account, whose identity is the one that the ledger records.
    ///
    /// # Errors
    ///
    /// [`Stop`] if the credentials cannot be had, or belong to another cloud account now.
    pub async fn session(&mut self, access: &Access) -> Result<Cloud, Stop> {
        let credential = match access.credentials {
            CredentialType::Environment => Credential::environment(self.ctx.environment.clone()),
        };
        let cloud = Cloud::new(
            &self.ctx.transport,
            credential,
            self.object.region(),
            access.network,
        );
        let account = self.ctx.identities.account_id(&cloud).await?;
        match &self.record.cloud_account_id {
            Some(known) if *known != account => Err(Stop::because(
                Reason::AccountChanged,
                format!(
                    "the ledger was written for cloud account {known}, but account {} now leads to {account}; \
                     restore the credentials, or make a new object",
                    self.object.account_name()
                ),
            )),
            _ => {
                let cloud = cloud.of_account(&account);
                self.record.cloud_account_id = Some(account);
                Ok(cloud)
            }
        }
    }

    /// Comes back no later than `at`, since the start of the process. What is past already did not help this pass, so
    /// something else is waited for, and the beat brings that.
    pub fn wake_at(&mut self, at: Duration) {
        if at <= self.ctx.now() {
            return;
        }
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Checks from the cache that the plan is still wanted, and that this replica may still act (S2, S9).
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if not.
    pub fn still_wanted(&self) -> Result<(), Stop> {
        let reference = kube::runtime::reflector::ObjectRef::from_obj(&self.object);
        let newest = M::registry(self.ctx)
            .get(&reference)
            .ok_or(Stop::Superseded("the object is gone"))?;
        self.same_intention(&newest)?;
        self.may_start()
    }

    /// The same with live reads of object and account: before a batch that removes, a cache is not enough.
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if not, [`Stop::Kubernetes`] if Kubernetes does not answer.
    pub async fn still_wanted_for_sure(&self) -> Result<(), Stop> {
        let newest = self
            .answer(self.api().get_opt(&self.object.name_any()))
            .await?;
        let newest = newest.ok_or(Stop::Superseded("the object is gone"))?;
        self.same_intention(&newest)?;
        if newest.record().ledger != self.object.record().ledger {
            return Err(Stop::Superseded("the ledger was changed"));
        }
        let accounts = Api::all(self.ctx.client.clone());
        let account = self
            .answer(accounts.get_opt(self.object.account_name()))
            .await?;
        authorize::check(account.as_ref(), &self.object)
            .map_err(|_| Stop::Superseded("the grant is gone"))?;
        self.may_start()
    }

    fn same_intention(&self, newest: &M) -> Result<(), Stop> {
        let (then, now) = (self.object.meta(), newest.meta());
        if then.uid != now.uid || then.generation != now.generation {
            return Err(Stop::Superseded("the spec changed"));
        }
        if then.deletion_timestamp.is_some() != now.deletion_timestamp.is_some() {
            return Err(Stop::Superseded("the object is being deleted"));
        }
        if self.deleting() && abandoned(newest) {
            return Err(Stop::Superseded("the object is abandoned"));
        }
        self.authorize().map(drop)
    }

    /// Checks that a changing call would end within the lease (S9).
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if not.
    pub fn may_start(&self) -> Result<(), Stop> {
        let call = self.ctx.timing.mutation_deadline;
        self.ctx
            .leadership
            .permit(call)
            .map(drop)
            .map_err(|_| Stop::Superseded("not leading"))
    }

    /// Whether `Plan` mode found nothing to do, nothing left alone, and nothing unsettled.
    fn plans_nothing(&self) -> bool {
        let rests = |seen: &Seen<M::Key>| {
            seen.held.is_empty() && seen.counts.coming == 0 && seen.counts.going == 0
        };
        self.plan.as_ref().is_some_and(shown_plan::is_empty)
            && self.seen.as_ref().is_some_and(rests)
            && self.turn.unsettled.is_empty()
    }

    /// The report for `verdict`, with what was seen last.
    pub fn report(&self, verdict: Verdict, message: impl Into<String>) -> Report<M::Key> {
        let in_sync = match verdict.reason {
            Reason::Converged => InSync::Yes,
            Reason::Planned if self.plans_nothing() => InSync::Yes,
            Reason::Pending | Reason::Suspended | Reason::Releasing => InSync::Unknown,
            _ => InSync::No,
        };
        Report {
            verdict,
            in_sync,
            message: message.into(),
            seen: self.seen.clone(),
            plan: self.plan.clone().or_else(|| self.shown_before.clone()),
            handled: self.asked_at(),
            now: self.ctx.timing.wall_now(),
        }
    }
}
