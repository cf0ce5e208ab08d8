//! One pass over one object: what both kinds share around their own pipeline.
//!
//! The memory that authorises removals ([`Record`]) changes here and reaches Kubernetes only by
//! [`Pass::write`], which carries the version it was read with (S2).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use server_group_core::{
    membership::Purpose,
    reason::Reason,
    settle::{Settling, Waits},
    verdict::Verdict,
};
use tokio::time::Instant;

use super::{
    Context,
    authorize::{self, Access},
    carry_out::PARKED_MAX,
    contention::is_contended,
    managed::Managed,
    memory::{Memory, Parked},
    record::Record,
    report::{Report, Seen, plain_message},
    shown_plan,
    turns::{GroupMemory, Turn, Unsettled},
};
use crate::{
    api::{
        ABANDON, CredentialType, DeletionPolicy, FINALIZER, RECONCILE_AT, condition::InSync, status,
    },
    cloud::{self, Cloud, Credential, Freshness},
};

/// Why a pass ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// The object, its account, or the leader is not what the plan was made for. Look again at once.
    Superseded(&'static str),
    /// The object is gone, or free to go.
    Gone,
    /// There is a verdict and nothing more to do now.
    Verdict {
        /// Why.
        verdict: Verdict,
        /// For a person.
        message: String,
    },
    /// Kubernetes did not take a write, or did not answer.
    Kubernetes(kube::Error),
}

impl Stop {
    /// Ends the pass for `reason`, with `message` for a person.
    pub fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self::Verdict {
            verdict: reason.into(),
            message: message.into(),
        }
    }
}

impl From<cloud::Error> for Stop {
    fn from(error: cloud::Error) -> Self {
        Self::because(reason_for(error.kind), told(&error))
    }
}

/// What a failed call means for the object.
#[must_use]
pub fn reason_for(kind: cloud::Kind) -> Reason {
    use cloud::Kind;
    match kind {
        Kind::Throttled
        | Kind::Transient
        | Kind::Malformed
        | Kind::Incomplete
        | Kind::TokenMismatch
        | Kind::MemberNotFound
        | Kind::AlreadyMember
        | Kind::Unusable => Reason::Retrying,
        Kind::Busy | Kind::MemberBusy | Kind::TokenProcessing => Reason::Changing,
        Kind::GroupNotFound | Kind::NamedGroupNotFound | Kind::ScalingGroupNotFound => {
            Reason::GroupNotFound
        }
        Kind::BadMember => Reason::PartlyApplied,
        Kind::Quota => Reason::QuotaExceeded,
        Kind::Denied => Reason::Denied,
        Kind::Credentials => Reason::CredentialsUnavailable,
        Kind::ClockSkew => Reason::ClockSkew,
        Kind::WrongEndpoint => Reason::WrongRegion,
        Kind::Invalid => Reason::InvalidSpec,
    }
}

/// An error as status tells it: what happened, the cloud's words, and what to do where there is something to do.
///
/// Without the request's id, which would change status with every attempt; the log has it.
#[must_use]
pub fn told(error: &cloud::Error) -> String {
    let mut text = error.words();
    let advice = match reason_for(error.kind) {
        Reason::Retrying if error.outcome == cloud::Outcome::NotSent => {
            "check the network, spec.regionId and the endpoints; trying again"
        }
        Reason::Retrying if error.kind == cloud::Kind::Unusable => {
            "it cannot be changed as it is: see whether the load balancer is running and not locked, and the scaling \
             group enabled; trying again"
        }
        Reason::PartlyApplied => {
            "see whether it exists, runs, and is in the region and VPC of the group; tried again in an hour"
        }
        Reason::Retrying => return text,
        reason => plain_message(reason),
    };
    text.push_str("; ");
    text.push_str(advice);
    text
}

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
    /// The words with which a quota refused an addition in this pass.
    pub quota_reached: Option<String>,
    /// What could not be read, though the group itself could: why, and in which words.
    pub unread: Option<(Reason, String)>,
    /// Something about the cloud that is no reason and still has to be said.
    pub remark: Option<String>,
    /// How many changes the cloud accepted in this pass.
    pub accepted: usize,
    /// What was left alone in this pass because the cloud refused it, with why.
    pub newly_parked: Vec<String>,
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
            quota_reached: None,
            unread: None,
            remark: None,
            accepted: 0,
            newly_parked: Vec::new(),
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

    /// The value of the `reconcile-at` annotation.
    pub fn asked_at(&self) -> Option<String> {
        self.object.annotations().get(RECONCILE_AT).cloned()
    }

    /// Starts anew with what was refused when the spec changed or a person asked for a look.
    pub fn reset_when_asked(&mut self) {
        let now = (
            self.object.meta().generation.unwrap_or_default(),
            self.asked_at(),
        );
        let mut memory = self.memory.lock();
        // After a restart status says what was seen last.
        let told = self.object.last_seen();
        let before = memory.last_seen.replace(now.clone()).or(told);
        if before.is_some_and(|before| before != now) {
            self.asked = true;
            memory.parked.clear();
            memory.awaited.clear();
            memory.trials.clear();
            memory.refusals.clear();
            memory.last_failure = None;
            memory.removed.clear();
            memory.quick_beat = None;
            drop(memory);
            self.record.parked.clear();
        }
    }

    /// How old the look may be that this pass begins with, so that objects can share it.
    ///
    /// While anything moves, as old as the object's own last look would be by now; else a tenth of the interval. Never
    /// from before a change to the group, nor from before something that was waited for.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let memory = self.memory.lock();
        let keep = if self.asked || memory.failures > 0 {
            Duration::ZERO
        } else {
            let slow = timing.interval(self.object.interval_seconds()) / 10;
            memory.quick_beat.unwrap_or(slow).min(timing.view_age_max)
        };
        let due = memory.due.filter(|due| *due <= now);
        let since = [Some(now.saturating_sub(keep)), due, self.turn.changed_at];
        let since = since.into_iter().flatten().max().unwrap_or(now);
        Freshness {
            since: self.ctx.started + since,
            keep,
        }
    }

    /// Notes that something beside the group itself could not be read, so that what depends on it is held.
    pub fn could_not_read(&mut self, error: &cloud::Error) {
        tracing::warn!(%error, "what depends on this is left alone");
        self.unread = Some((reason_for(error.kind), told(error)));
    }

    /// Whether anything is under way that a look has to be newer than.
    #[must_use]
    pub fn in_motion(&self) -> bool {
        self.record.operation.is_some()
            || !self.record.draining.is_empty()
            || !self.turn.unsettled.is_empty()
            || self.memory.lock().quick_beat.is_some()
    }

    /// Notes that the group was changed, so that no look from before counts any more (S5).
    pub fn group_changed(&mut self) {
        self.turn.changed_at = Some(self.ctx.now());
        self.turn.view = None;
    }

    /// A moment of the cloud client as time since the start of the process.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.ctx.started)
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

    /// Lets a whole view, asked for at `begun`, count towards every open operation on the group.
    ///
    /// `open` are the operations of all objects on the group, `show` tells what the view shows of one name.
    /// Returns the names that stay unsettled.
    pub fn settle(
        &mut self,
        open: Vec<(String, BTreeSet<String>)>,
        show: impl Fn(&str) -> String,
        idle: bool,
        begun: Duration,
    ) -> BTreeSet<String> {
        let now = self.ctx.now();
        let waits = self.waits();
        let mentioned: BTreeSet<_> = open.iter().map(|(id, _)| id.clone()).collect();
        for (id, names) in open {
            let running = self.running.as_ref() == Some(&id);
            if !running && !self.turn.answered.contains(&id) {
                self.turn.unsettled.entry(id).or_insert_with(|| Unsettled {
                    names,
                    settling: Settling::new(now),
                });
            }
        }
        self.turn.answered.retain(|id| mentioned.contains(id));
        // What an attachment's object has settled by itself is over here too.
        let over = |id: &String| id.starts_with(GroupMemory::MOVES) && !mentioned.contains(id);
        self.turn.unsettled.retain(|id, _| !over(id));
        let (mut settled, mut due) = (Vec::new(), Vec::new());
        for (id, unsettled) in &mut self.turn.unsettled {
            let shown = unsettled
                .names
                .iter()
                .map(|name| (name.clone(), show(name)))
                .collect();
            if unsettled.settling.look(begun, shown, idle, waits) {
                settled.push(id.clone());
            } else {
                due.push(unsettled.settling.next_look(waits));
            }
        }
        for at in due {
            self.wake_at(at);
        }
        for id in settled {
            let names = self
                .turn
                .unsettled
                .remove(&id)
                .map(|unsettled| unsettled.names)
                .unwrap_or_default();
            let until = now + waits.linger;
            self.turn
                .lingering
                .extend(names.into_iter().map(|name| (name, until)));
            self.turn.answered.insert(id);
        }
        self.close_answered();
        self.turn
            .unsettled
            .values()
            .flat_map(|unsettled| unsettled.names.iter().cloned())
            .collect()
    }

    /// Whether the group's own call has said twice, far enough apart, that it does not exist.
    pub fn gone_for_sure(&mut self) -> bool {
        let now = self.ctx.now();
        let gap = self.ctx.timing.gone_gap;
        let since = *self.memory.lock().gone_since.get_or_insert(now);
        self.wake_at(since + gap);
        now >= since + gap
    }

    /// Comes back no later than `at`, since the start of the process. What is past already did not help this pass, so
    /// something else is waited for, and the beat brings that.
    pub fn wake_at(&mut self, at: Duration) {
        if at <= self.ctx.now() {
            return;
        }
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Takes in what became of accepted additions by `action`. `arrived` tells whether a present one serves, and of
    /// one that is wanted no longer that it does.
    ///
    /// What is absent on an idle group has failed: as a batch if all of it is absent (S8).
    pub fn notice_arrivals(
        &mut self,
        action: &str,
        idle: bool,
        arrived: impl Fn(&M::Key) -> Option<bool>,
    ) {
        let mut bad = Vec::new();
        {
            let memory = &mut *self.memory.lock();
            let trials = memory.trials.entry(action.to_owned()).or_default();
            memory.awaited.retain_mut(|awaited| {
                awaited.left.retain(|key| arrived(key) != Some(true));
                trials.passed(awaited.batch.difference(&awaited.left));
                let absent: BTreeSet<_> = awaited
                    .left
                    .iter()
                    .filter(|key| idle && arrived(key).is_none())
                    .cloned()
                    .collect();
                if absent == awaited.batch {
                    bad.extend(trials.failed(&absent));
                } else {
                    bad.extend(
                        absent
                            .iter()
                            .filter_map(|key| trials.failed(&BTreeSet::from([key.clone()]))),
                    );
                }
                awaited.left.retain(|key| !absent.contains(key));
                !awaited.left.is_empty()
            });
        }
        for key in bad {
            self.park(
                key,
                "accepted twice, and absent afterwards".to_owned(),
                None,
                false,
            );
        }
    }

    /// What is parked at present, of what is still `wanted`; the rest is forgotten.
    pub fn parked_now(&mut self, wanted: impl Fn(&M::Key) -> bool) -> BTreeSet<M::Key> {
        let now = self.ctx.now();
        let retry = self.ctx.timing.parked_retry;
        let mut memory = self.memory.lock();
        let refused = |(_, reason): &(&M::Key, &String)| !is_contended(reason);
        for (key, reason) in self.record.parked.iter().filter(refused) {
            // Parked before this process began: tried once, and failing then counts as again.
            memory.parked.entry(key.clone()).or_insert_with(|| Parked {
                reason: reason.clone(),
                until: Duration::ZERO,
                retries: 0,
                group_missing: false,
            });
        }
        memory.parked.retain(|key, _| wanted(key));
        let known: BTreeSet<_> = memory.parked.keys().cloned().collect();
        self.record
            .parked
            .retain(|key, reason| known.contains(key) || is_contended(reason));
        for (key, parked) in &memory.parked {
            if self.record.parked.len() < PARKED_MAX {
                let told = self.record.parked.entry(key.clone());
                told.or_insert_with(|| parked.reason.clone());
            }
        }
        let waiting = memory
            .parked
            .iter()
            .filter(|(_, parked)| parked.until > now);
        let (keys, ends): (BTreeSet<_>, Vec<_>) = waiting
            .map(|(key, parked)| (key.clone(), parked.until))
            .unzip();
        drop(memory);
        if let Some(first) = ends.into_iter().min() {
            self.wake_at(first.min(now + retry));
        }
        keys
    }

    /// The first few entries that the cloud refused, with its words.
    #[must_use]
    pub fn refused_entries(&self) -> String {
        const NAMED: usize = 3;
        let parked = self.record.parked.iter();
        let mut named: Vec<_> = parked
            .take(NAMED)
            .map(|(key, reason)| format!("{key} ({reason})"))
            .collect();
        let more = self.record.parked.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("and {more} more, see status.parked"));
        }
        format!("the rest is done, but not {}", named.join(", "))
    }

    /// Drops an operation of ours from the record once every call of it was answered or has settled.
    pub fn close_answered(&mut self) {
        let answered = |id: &String| self.turn.answered.contains(id);
        if self
            .record
            .operation
            .as_ref()
            .is_some_and(|operation| answered(&operation.id))
        {
            self.record.operation = None;
        }
    }

    /// Takes ledger entries off that two whole views in succession lacked (S2).
    ///
    /// The view was asked for at `begun`.
    pub fn forget_absent(&mut self, absent: &BTreeSet<M::Key>, begun: Duration) {
        let (now, waits) = (self.ctx.now(), self.waits());
        let releasing = self.deleting();
        self.turn.lingering.retain(|_, until| *until > now);
        let mut memory = self.memory.lock();
        for key in absent {
            if let Some(until) = self.turn.lingering.get(&key.to_string()) {
                memory.absences.keep([key.clone()], *until);
            }
        }
        for key in memory.absences.look(absent, begun, now, waits, releasing) {
            self.record.ledger.forget(&key);
        }
        let soon = memory
            .absences
            .pending()
            .then(|| now + self.ctx.timing.quick_beat_min);
        let next = [self.due, soon, memory.absences.next_end()]
            .into_iter()
            .flatten()
            .min();
        self.due = next;
    }

    fn waits(&self) -> Waits {
        let timing = &self.ctx.timing;
        Waits {
            after_sending: timing.settle_after_send,
            between_views: timing.settle_gap,
            linger: timing.linger,
        }
    }

    /// What a call under way, or one that may still land, could change.
    pub fn may_still_change(&self, unsettled: &BTreeSet<M::Key>) -> BTreeSet<M::Key> {
        let mut keys = unsettled.clone();
        keys.extend(
            self.record
                .operation
                .iter()
                .flat_map(|open| open.names.clone()),
        );
        keys.extend(self.memory.lock().absences.kept(self.ctx.now()));
        let now = self.ctx.now();
        let lingering = self.turn.lingering.iter();
        let lingering = lingering.filter(|(_, until)| **until > now);
        keys.extend(lingering.filter_map(|(name, _)| name.parse().ok()));
        keys
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

    /// Writes the status that says `report` and remembers the record, if that differs from what it says now.
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if somebody else wrote in between: nothing is overwritten.
    pub async fn write(&mut self, report: &Report<M::Key>) -> Result<(), Stop> {
        let next = self.object.with_status(report, &self.record);
        if next.same_status(&self.object) {
            return Ok(());
        }
        let name = self.object.name_any();
        let (api, params) = (self.api(), PostParams::default());
        let written = self
            .answer(api.replace_status(&name, &params, &next))
            .await?;
        self.wrote(written);
        Ok(())
    }

    /// Makes sure that a deletion waits for the release of what is about to be registered.
    ///
    /// # Errors
    ///
    /// As [`Pass::write`].
    pub async fn hold_by_finalizer(&mut self) -> Result<(), Stop> {
        if self
            .object
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
            || self.deleting()
        {
            return Ok(());
        }
        let mut finalizers = self.object.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.patch_finalizers(finalizers).await
    }

    /// Lets the object go.
    ///
    /// # Errors
    ///
    /// As [`Pass::write`].
    pub async fn let_go(&mut self) -> Result<Stop, Stop> {
        let mut finalizers = self.object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if finalizers.len() < self.object.finalizers().len() {
            match self.patch_finalizers(finalizers).await {
                Ok(()) | Err(Stop::Gone) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(Stop::Gone)
    }

    async fn patch_finalizers(&mut self, finalizers: Vec<String>) -> Result<(), Stop> {
        let version = self.object.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let name = self.object.name_any();
        let api = self.api();
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let written = self.answer(api.patch(&name, &params, &patch)).await?;
        self.wrote(written);
        Ok(())
    }

    fn wrote(&mut self, written: M) {
        M::registry(self.ctx).wrote(written.clone());
        self.object = written;
    }

    fn api(&self) -> Api<M> {
        let client: Client = self.ctx.client.clone();
        Api::namespaced(client, &self.object.namespace().unwrap_or_default())
    }

    /// Waits for Kubernetes, but not for ever.
    async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Stop> {
        match self.ctx.ask_kubernetes(request).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(kube::Error::Api(status))) if status.is_conflict() => {
                M::registry(self.ctx).forget(&self.object.uid().unwrap_or_default());
                Err(Stop::Superseded("somebody else wrote the object"))
            }
            Some(Err(kube::Error::Api(status))) if status.is_not_found() => Err(Stop::Gone),
            Some(Err(error)) => Err(Stop::Kubernetes(error)),
            None => Err(Stop::Kubernetes(kube::Error::Service(
                "the API server did not answer in time".into(),
            ))),
        }
    }

    /// Whether `Plan` mode found nothing to do, nothing left alone, and nothing unsettled.
    fn plans_nothing(&self) -> bool {
        let nothing_held = self.seen.as_ref().is_some_and(|seen| seen.held.is_empty());
        self.plan.as_ref().is_some_and(shown_plan::is_empty)
            && nothing_held
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
            plan: self.plan.clone(),
            handled: self.asked_at(),
            now: self.ctx.timing.wall_now(),
        }
    }
}
