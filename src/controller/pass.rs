//! One pass over one object: what both kinds share around their own pipeline, and the checks before each batch.
//!
//! The memory that authorises removals ([`Record`]) reaches Kubernetes only by [`Pass::write`] ([`super::writes`]);
//! what a look may be worth is in [`super::freshness`], what became of calls in [`super::settling`] and [`super::parking`].

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;
use server_group_core::{
    claim::Claimant, grant::Grant as Grants, purpose::Purpose, reason::Reason, verdict::Verdict,
};

use super::{
    Context,
    authorize::{Access, authorize},
    change::Change,
    ended::{Judged, Wait, Waits},
    known::Known,
    managed::{Managed, key},
    memory::Lent,
    object::{Facts, is_held, name_of},
    queue::{Level, Name},
    record::{Operation, Record},
    registry::Claimed,
    report::{Report, Seen},
    shown_plan,
    sight::Sight,
    signals::Signal,
    stop::Stop,
    turns::{CallId, GroupId, Turn},
    unreadable::Unreadable,
};
use crate::{
    api::{
        DeletionPolicy, RECONCILE_AT, ScalingGroupAttachment, ServerGroupMembership,
        condition::InSync, status,
    },
    cloud::{Cloud, Grant, Service, Urgency},
    leader::Leave,
};

/// Characters that status takes of the value of an annotation that it echoes.
pub(super) const ECHO_MAX: usize = 256;

/// Objects of either kind, by the name of the kind and their own.
type Looked = BTreeMap<(&'static str, Name), Arc<dyn Any + Send + Sync>>;

/// Whether it is being deleted, and nothing of ours holds it any more.
fn was_let_go<M: Managed>(object: &M) -> bool {
    object.meta().deletion_timestamp.is_some() && !is_held(object)
}

/// The claims of others, and the grants on which these stand, in a form that can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Object by object, in order.
    objects: Vec<Claimed>,
    /// What each of their accounts grants; `None` if it is not there.
    grants: BTreeMap<Arc<str>, Option<Vec<Grants>>>,
}

/// The input with which a pass begins.
#[derive(Debug)]
pub struct Work {
    /// How soon it was wanted.
    pub level: Level,
    /// Groups that it has besides its own.
    pub also: BTreeSet<GroupId>,
    /// A call that it has waited for, and that may leave now.
    pub grant: Option<Grant>,
}

/// One pass over one object.
pub struct Pass<'c, M: Managed> {
    /// The world outside.
    pub ctx: &'c Context,
    /// The epoch in which it began, if this replica led then.
    pub epoch: Option<i64>,
    /// The object as it was last read or written.
    pub object: M,
    /// The record that its status has, or will have after the next write.
    pub record: Record<M::Key>,
    /// The memory that this process has of it.
    pub memory: Lent<'c, M::Key>,
    /// The change in flight as its status has it by now.
    pub written_operation: Option<Operation<M::Key>>,
    /// The id of the access key that it signs with, once it has one.
    pub key_id: Option<String>,
    /// The turn on its group.
    pub turn: Turn,
    /// The turns on other groups that it asked for.
    pub also: BTreeMap<GroupId, Turn>,
    /// How soon it was to be looked at.
    pub level: Level,
    /// A call that it has waited for, and that may leave now.
    grant: Option<Grant>,
    /// When the look was made with which it goes on after waiting until a call may leave.
    pub resumes_from: Option<Duration>,
    /// Objects that it looked at, so that each of them is parsed once.
    looked: Mutex<Looked>,
    /// The group as it was seen last; `None` until it was observed.
    pub seen: Option<Seen<M::Key>>,
    /// Whether the cloud accepted anything in this pass, or anything is under way on the group.
    pub moving: bool,
    /// When the last look was asked for, since the start of the process.
    pub looked_at: Option<Duration>,
    /// Whether the spec changed, or a person asked for a look.
    pub asked: bool,
    /// The changes that would be made, in `Plan` mode.
    pub plan: Option<status::Plan>,
    /// The plan that status shows for this very generation.
    pub shown: Option<status::Plan>,
    /// The plan that was shown before, until it was compared with the one that is carried out.
    pub shown_before: Option<status::Plan>,
    /// Events about what the next write of the status records.
    pub to_tell: Vec<(Change, String)>,
    /// When something that is waited for is due, since the start of the process.
    pub due: Option<Duration>,
    /// The time by the cloud's clock when the group was looked at.
    pub cloud_now: Option<Timestamp>,
    /// The operation that this pass is carrying out: every call of it so far was answered.
    pub running: Option<CallId>,
}

impl<'c, M: Managed> Pass<'c, M> {
    /// Begins a pass; `None` while another one has a group that this one needs.
    pub fn begin(ctx: &'c Context, known: &Known<M>, work: Work) -> Option<Self> {
        let turn = ctx.turns.take(&known.group())?;
        let also = work.also.into_iter();
        let also = also.map(|group| ctx.turns.take(&group).map(|turn| (group, turn)));
        let also = also.collect::<Option<_>>()?;
        let (object, mut record) = (M::clone(known), known.record().clone());
        let written_operation = record.operation.clone();
        let operation = record.operation.take();
        record.operation = operation
            .map(|operation| turn.as_answered(&CallId::Own(operation.id.clone()), operation));
        let mut memory = M::memories(ctx).lend(&object.uid().unwrap_or_default());
        let deleting = object.meta().deletion_timestamp.is_some();
        let shown = object.shown_plan().filter(|_| !deleting).cloned();
        let generation = object.meta().generation.unwrap_or_default();
        let is_current = object
            .last_seen()
            .is_some_and(|(seen, _)| seen == generation);
        let shown_before = {
            let remembered = &mut memory.shown;
            if shown.is_some() {
                remembered.clone_from(&shown);
            }
            remembered.clone().filter(|_| !deleting)
        };
        Some(Self {
            ctx,
            epoch: ctx.leadership.epoch(),
            object,
            written_operation,
            record,
            memory,
            key_id: None,
            turn,
            also,
            level: work.level,
            grant: work.grant,
            resumes_from: None,
            looked: Mutex::default(),
            seen: None,
            moving: false,
            looked_at: None,
            asked: false,
            plan: None,
            shown_before,
            shown: shown.filter(|_| is_current),
            to_tell: Vec::new(),
            due: None,
            cloud_now: None,
            running: None,
        })
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

    /// Whether the spec asks that nothing be changed for it: it is suspended, or in `Plan` mode.
    pub fn at_rest_by_wish(&self) -> bool {
        self.object.suspended() || self.object.planning()
    }

    /// Whether differences are shown and left: in `Plan` mode, or because the whole operator only reads.
    pub fn only_plans(&self) -> bool {
        (self.object.planning() || self.ctx.read_only) && !self.deleting()
    }

    /// Whether the entries that it registered stay when it goes: because its deletion policy says so, or because it is
    /// suspended or in `Plan` mode.
    pub fn keeps_everything(&self) -> bool {
        self.at_rest_by_wish() || self.object.deletion_policy() == DeletionPolicy::Retain
    }

    /// Whether a person asked to let go of the object without touching the cloud.
    pub fn abandoned(&self) -> bool {
        self.deleting() && Facts::of(&self.object).abandoned
    }

    /// The value of the `reconcile-at` annotation, as far as status can echo it: no value may keep status from being
    /// written.
    pub fn asked_at(&self) -> Option<String> {
        let asked = self.object.annotations().get(RECONCILE_AT)?;
        Some(asked.chars().take(ECHO_MAX).collect())
    }

    /// Starts anew with everything that was refused, if the spec changed or a person asked for a look.
    pub fn reset_when_asked(&mut self) {
        let now = (
            self.object.meta().generation.unwrap_or_default(),
            self.asked_at(),
        );
        let memory = &mut self.memory;
        self.resumes_from = memory.waits_since.take();
        // Status says what was seen last, also after a restart. As long as no write of it gets through, the object is
        // to be looked at anew.
        let remembered = memory.last_seen.replace(now.clone());
        let before = self.object.last_seen().or(remembered);
        if before.is_some_and(|before| before != now) {
            self.asked = true;
            self.resumes_from = None;
            memory.parking.clear();
            memory.trials.clear();
            memory.blocked.clear();
            memory.last_failure = None;
            memory.newly_parked.clear();
            memory.returns.clear();
            memory.quick_beat = None;
            self.record.parked.clear();
        }
    }

    /// The account and grant under which the object acts.
    ///
    /// # Errors
    ///
    /// [`Stop`] with `AccountNotFound` or `NotGranted`; nothing was called.
    pub fn authorize(&self) -> Result<Access, Stop> {
        authorize(&self.ctx.accounts, &self.object)
            .map_err(|denied| Stop::because(denied.reason(), denied.to_string()))
    }

    /// A client that acts as the object's account, whose identity is the one that the ledger records.
    ///
    /// # Errors
    ///
    /// [`Stop`] if the credentials cannot be had, or belong to another cloud account now.
    pub async fn session(&mut self, access: &Access) -> Result<Cloud, Stop> {
        let (ctx, account) = (self.ctx, self.object.account_name());
        let credential = ctx
            .sources
            .of(account, &access.identity, self.object.region());
        let cloud = Cloud::new(
            &self.ctx.transport,
            credential,
            self.object.region(),
            access.identity.network,
        );
        // From here to its last call the pass signs with one set of keys, and it knows whose they are.
        let cloud = cloud.pinned().await?;
        let mut cloud = cloud.wanted(match self.level {
            Level::Sweep => Urgency::Sweep,
            Level::Asked => Urgency::Asked,
        });
        if let Some(grant) = self.grant.take() {
            cloud = cloud.granted(grant);
        }
        let key = cloud.access_key_id().await?;
        let identities = &self.ctx.identities;
        self.key_id = Some(key.clone());
        let identity = identities.of(&cloud, key, &self.ctx.timing).await?;
        let account = identity.account_id;
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

    /// Comes back no later than `at`, since the start of the process. A moment in the past is ignored: this pass has
    /// already seen it, so something else is waited for, and the beat brings that.
    pub fn wake_at(&mut self, at: Duration) {
        if at <= self.ctx.now() {
            return;
        }
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Checks from the cache that the plan is still wanted (S2).
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if not.
    pub fn still_wanted(&self) -> Result<(), Stop> {
        let newest = M::registry(self.ctx)
            .facts(&name_of(&self.object))
            .ok_or(Stop::Superseded("the object is gone"))?;
        self.same_intention(&newest)
    }

    /// The others on `groups`, and those that name them, as far as is known now.
    fn others_on(&self, groups: &BTreeSet<GroupId>) -> Vec<Claimed> {
        let uid = self.object.uid().unwrap_or_default();
        let (memberships, attachments) = (&self.ctx.memberships, &self.ctx.attachments);
        let claims = groups.iter().flat_map(|group| {
            let of_both = [
                memberships.claims(group, &uid),
                attachments.claims(group, &uid),
            ];
            of_both.into_iter().flatten()
        });
        claims.collect()
    }

    /// The claims of the others on `groups`, and of those that name them, as far as is known now.
    pub fn claims_on(&self, groups: &BTreeSet<GroupId>) -> Claims {
        let objects = self.others_on(groups);
        let accounts = objects.iter().map(|object| &object.account);
        let grants = accounts.map(|name| {
            let account = self.ctx.accounts.get(name);
            (Arc::clone(name), account.map(|known| known.grants.clone()))
        });
        Claims {
            grants: grants.collect(),
            objects,
        }
    }

    /// As [`Pass::still_wanted`], right before a batch that takes somebody away or moves instances, when a cache is not
    /// enough: everybody on `groups`, this object included, and its account are read after its intent was written and
    /// after its last look.
    ///
    /// `planned` has the claims of the others from before that look: the plan knows no more than those.
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if not, [`Stop::Kubernetes`] if Kubernetes does not answer.
    pub async fn still_wanted_for_sure(
        &self,
        groups: &BTreeSet<GroupId>,
        planned: &Claims,
    ) -> Result<(), Stop> {
        let read = self.ctx.read_others(groups);
        read.await.map_err(Stop::Kubernetes)?;
        // Who is on the groups, and by whose leave, is known now.
        let others = self.others_on(groups).into_iter();
        let others = others.map(|other| (other.account, other.name.namespace));
        let own = name_of(&self.object).namespace;
        let own = (self.object.account_name().into(), own);
        let (accounts, namespaces) = others.chain([own]).unzip();
        let read = self.ctx.read_grants(&accounts, &namespaces);
        read.await.map_err(Stop::Kubernetes)?;
        authorize(&self.ctx.accounts, &self.object)
            .map_err(|_| Stop::Superseded("the grant is gone"))?;
        self.still_wanted()?;
        if self.unclear_on(groups).is_some() {
            return Err(Stop::Superseded("an object on the group cannot be read"));
        }
        let newer = M::registry(self.ctx).another_version(&self.object);
        if newer.is_some_and(|newer| newer.written_claims() != self.object.written_claims()) {
            return Err(Stop::Superseded("the ledger was changed"));
        }
        if self.claims_on(groups) != *planned {
            return Err(Stop::Superseded("another object changed its claims"));
        }
        // These questions took time as well (S5).
        let too_old = |at| self.ctx.now().saturating_sub(at) >= self.ctx.timing.view_age_max;
        if self.looked_at.is_some_and(too_old) {
            return Err(Stop::Superseded("the last look is too old"));
        }
        Ok(())
    }

    fn same_intention(&self, now: &Facts) -> Result<(), Stop> {
        let then = Facts::of(&self.object);
        if then.uid != now.uid || then.generation != now.generation {
            return Err(Stop::Superseded("the spec changed"));
        }
        if then.deleting != now.deleting {
            return Err(Stop::Superseded("the object is being deleted"));
        }
        if now.deleting && !now.held {
            return Err(Stop::Superseded("the object was let go of"));
        }
        if now.deleting && now.abandoned {
            return Err(Stop::Superseded("the object is abandoned"));
        }
        self.authorize().map(drop)
    }

    /// The other objects of its kind on its group that may claim something. One that was let go claims nothing, though
    /// somebody else's finalizer keeps it.
    pub fn neighbours(&self) -> Vec<Arc<Known<M>>> {
        let registry = M::registry(self.ctx);
        let mut others = registry.on(&self.object.group(), &self.uid());
        others.retain(|other| !was_let_go::<M>(other));
        let mut others = self.keep(others);
        // A group of this id in another cloud account is another group.
        let ours = self.record.cloud_account_id.as_ref();
        others.retain(|other| {
            let theirs = other.record().cloud_account_id.as_ref();
            ours.is_none() || theirs.is_none() || ours == theirs
        });
        others
    }

    /// Whether no other object of its kind is on its group.
    pub fn alone(&self) -> bool {
        !M::registry(self.ctx).others_on(&self.object.group(), &self.uid())
    }

    /// The attachments, other than its own object, that name `group`.
    pub fn attachments_naming(&self, group: &GroupId) -> Vec<Arc<Known<ScalingGroupAttachment>>> {
        self.keep(self.ctx.attachments.naming(group, &self.uid()))
    }

    /// The memberships, other than its own object, of `group`.
    pub fn memberships_of(&self, group: &GroupId) -> Vec<Arc<Known<ServerGroupMembership>>> {
        self.keep(self.ctx.memberships.on(group, &self.uid()))
    }

    /// The objects that name `group` and that this version cannot read; and of each whether it moves instances there.
    pub fn unreadable_on(&self, group: &GroupId) -> Vec<(bool, Unreadable)> {
        let memberships = self.ctx.unreadable_on::<ServerGroupMembership>(group);
        let attachments = self.ctx.unreadable_on::<ScalingGroupAttachment>(group);
        let moves = !group.is_scaling_group();
        let memberships = memberships.into_iter().map(|object| (false, object));
        let attachments = attachments.into_iter().map(|object| (moves, object));
        memberships.chain(attachments).collect()
    }

    /// The claims of objects of its kind on its group that this version cannot read, as far as their ledgers tell.
    /// Objects that no grant covers are included.
    pub fn unclear_claims(&self) -> Vec<Claimant<M::Key>> {
        let unreadable = M::registry(self.ctx).unreadable_about(self.object.group().id());
        unreadable.iter().map(Unreadable::claims).collect()
    }

    /// Whether everybody's claims on these groups are known. If not, because this version cannot read an object, nothing may
    /// be removed, and `sight` tells why if that keeps anything.
    pub fn claims_are_clear(&self, groups: &BTreeSet<GroupId>, sight: &mut Sight) -> bool {
        let Some(unclear) = self.unclear_on(groups) else {
            return true;
        };
        let words = format!(
            "this version of the operator cannot read {unclear}, which names the same group: nothing is removed until it can"
        );
        sight.unread = Some(Judged::because(Reason::Conflict, words));
        false
    }

    /// An object on these groups, or naming them, that this version cannot read, or whose account it cannot.
    fn unclear_on(&self, groups: &BTreeSet<GroupId>) -> Option<String> {
        let mut unreadable = groups.iter().flat_map(|group| self.unreadable_on(group));
        if let Some((_, object)) = unreadable.next() {
            return Some(object.name().to_string());
        }
        let mut others = self.others_on(groups).into_iter();
        let other = others.find(|other| self.ctx.accounts.is_unreadable(&other.account))?;
        Some(format!(
            "the CloudAccount {} of {}",
            other.account, other.name
        ))
    }

    fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// Keeps objects parsed until the pass ends: it looks at them again before each batch.
    pub(super) fn keep<N: Managed>(&self, found: Vec<Arc<Known<N>>>) -> Vec<Arc<Known<N>>> {
        let mut looked = self.looked.lock();
        for known in &found {
            let key = (std::any::type_name::<N>(), name_of(&***known));
            let kept: Arc<dyn Any + Send + Sync> = known.clone();
            looked.insert(key, kept);
        }
        found
    }

    /// The wait until such a call may leave, without keeping a place; `None` if there is none. The pass begins anew
    /// after it.
    ///
    /// `message` says what is waited for, where something was found out.
    pub fn wait_for_room(
        &self,
        cloud: &Cloud,
        (service, action): (Service, &'static str),
        message: Option<String>,
    ) -> Option<Waits> {
        let ticket = cloud.room(service, action)?;
        Some(Waits {
            wait: Wait::Call(ticket),
            message,
        })
    }

    /// The wait until the pass has these groups besides its own; `None` if it has them. The pass begins anew after it.
    pub fn wait_for_groups(&self, groups: BTreeSet<GroupId>) -> Option<Waits> {
        let lacks = |group: &&GroupId| !self.also.contains_key(*group);
        if !groups.iter().any(|group| lacks(&group)) {
            return None;
        }
        // Where nobody is at work it has them in a moment, and nothing has to be said.
        let taken = self.ctx.turns.any_taken(groups.iter().filter(lacks));
        Some(Waits {
            wait: Wait::Groups(groups),
            message: taken.then(|| {
                "waits until another change to a group whose instances it moves is answered".into()
            }),
        })
    }

    /// Waits in the middle of an operation, and gives the place to others meanwhile.
    pub async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        tokio::select! {
            biased;
            done = &mut wait => return done,
            () = std::future::ready(()) => {}
        }
        let key = || key::<M>(name_of(&self.object));
        self.ctx.signals.send(Signal::Aside(key()));
        let done = wait.await;
        self.ctx.signals.send(Signal::Back(key()));
        done
    }

    /// Leave for a changing call that would end within the lease (S9), of the epoch in which the pass began.
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if there is none.
    pub fn may_start(&self) -> Result<Leave, Stop> {
        let call = self.ctx.timing.mutation_deadline;
        if self.ctx.read_only {
            return Err(Stop::Superseded("the operator only reads"));
        }
        let leave = self.ctx.leadership.permit(call);
        let leave = leave.ok().filter(|leave| Some(leave.epoch()) == self.epoch);
        leave.ok_or(Stop::Superseded("not leading"))
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
            plan: self.plan.clone().or_else(|| self.shown.clone()),
            handled: self.asked_at(),
            now: self.ctx.timing.wall_now(),
        }
    }
}
