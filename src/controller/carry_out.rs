//! Carries out one action on many members: intent first, then batch after batch.
//!
//! Everything that is sent was planned; events between batches may only shrink it. A batch that is refused for one of
//! its members is halved until that one is found (S8). An answer that does not come leaves the operation open, and the
//! group frozen, until the call settles (S6).

use std::{
    collections::BTreeSet,
    fmt::Display,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use server_group_core::{
    carry::{self, Carry, Loss, News, Order, Why},
    follow::Followed,
    parking::Refusal,
    reason::Reason,
    refusal::Trials,
    settle::Call,
};
use tokio::time::Instant;

use super::{
    ended::Waits,
    managed::Managed,
    object::name_of,
    operation,
    pass::{Claims, Pass},
    record::{Operation, Reference, texts},
    stop::{Stop, status_text},
    turns::{CallId, GroupId, UnwrittenAnswer},
};
use crate::{
    api::status::Phase,
    cloud::{self, Answer, Cloud, Kind, Outcome, Service},
    leader::Leave,
};

/// How an API action behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The service that the action belongs to.
    pub service: Service,
    /// Its name, as status and events give it.
    pub action: &'static str,
    /// Members one call may name.
    pub limit: usize,
    /// Whether an answered call is over, so that the next may follow in the same pass.
    pub over_when_answered: bool,
    /// Whether a call that is repeated with its token is recognised.
    pub has_tokens: bool,
}

/// One API action on one group.
pub trait Step<M: Managed>: Send {
    /// How it behaves.
    fn manner(&self) -> Manner;
    /// The client by which it is sent: as whom, and where.
    fn cloud(&self) -> &Cloud;
    /// Whether it takes somebody away, be it by weight 0, or moves instances: then caches are not enough right before it.
    fn takes_away(&self) -> bool {
        false
    }
    /// The members of `batch` to which it sends nothing more.
    fn silences(&self, _batch: &[M::Key]) -> Vec<M::Key> {
        Vec::new()
    }
    /// The groups besides its own that it changes.
    fn moves(&self, _batch: &[M::Key]) -> BTreeSet<GroupId> {
        BTreeSet::new()
    }
    /// Notes a batch that the cloud accepted with the answer `request`.
    fn accepted(&self, _pass: &mut Pass<'_, M>, _batch: &[M::Key], _request: &str) {}
    /// The job or scaling activity that carries an accepted call out, if any. `named` is the one that the answer names.
    fn carried_out_by(&self, named: Option<String>) -> Option<Reference> {
        named.map(Reference::Id)
    }
    /// Looks and plans again, on the newest view, and returns the part of `batch` that may be sent.
    ///
    /// `repeating`: the same batch was sent and not answered; it may be sent again only as it was.
    fn prepare(
        &mut self,
        pass: &mut Pass<'_, M>,
        batch: Vec<M::Key>,
        repeating: bool,
    ) -> impl Future<Output = Result<Vec<M::Key>, Stop>> + Send;
    /// Sends one call by `cloud`, which has the leave to.
    fn send(
        &self,
        cloud: Cloud,
        batch: &[M::Key],
        token: &str,
    ) -> impl Future<Output = Result<Answer, cloud::Error>> + Send;
}

/// How an action ended.
#[derive(Debug)]
pub struct Done<K> {
    /// The members or attachments that the cloud accepted.
    pub accepted: BTreeSet<K>,
    /// The members or attachments that the cloud says are not there to be removed, each asked for by itself.
    pub absent: BTreeSet<K>,
    /// The cloud's id of the last answer.
    pub request_id: Option<String>,
    /// Why there may be more to do.
    pub end: End,
}

/// Why an action ended.
#[derive(Debug)]
pub enum End {
    /// Everything was sent, or was no longer wanted.
    Complete,
    /// The cloud works on it: the pass is over.
    Working,
    /// The view is out of date: the pass is over, the next one looks again.
    LookAgain,
    /// A quota was reached.
    Quota(String),
    /// The cloud would refuse it again: until somebody does something, it need not be tried.
    Refused(cloud::Error),
    /// A call has to wait, and the pass lets go of the groups of others meanwhile.
    Waits(Waits),
    /// Something else stopped it.
    Stopped(Stop),
}

/// Carries out `step` on `names`, whose intent and ledger are written first by [`Pass::write`].
///
/// `message` goes into the status that is written with the intent.
///
/// # Errors
///
/// [`Stop`] if the intent could not be written; then nothing was sent.
pub async fn carry_out<M: Managed>(
    pass: &mut Pass<'_, M>,
    step: &mut impl Step<M>,
    names: Vec<M::Key>,
    message: &str,
) -> Result<Done<M::Key>, Stop> {
    let Manner {
        action,
        limit,
        over_when_answered,
        has_tokens,
        ..
    } = step.manner();
    let id = write_intent(pass, action, &names, message).await?;
    let manner = carry::Manner {
        limit,
        over_when_answered,
        has_tokens,
        token_reuse_max: pass.ctx.timing.token_reuse_max,
        // A pass that has the groups of others lets them go instead of waiting.
        may_wait: pass.also.is_empty(),
    };
    let (mut carry, mut order) = pass.on_trial(action, |trials| Carry::new(manner, &names, trials));
    let mut calls = Calls::new(id);
    loop {
        let news = match order {
            Order::Look { batch, repeating } => calls.look(pass, step, batch, repeating).await,
            Order::Send(batch) => calls.send(pass, step, batch).await,
            Order::Wait { attempt } => calls.wait(pass, attempt).await,
            Order::End(end) => return Ok(calls.end(pass, action, carry, end)),
        };
        let now = pass.ctx.now();
        order = pass.on_trial(action, |trials| carry.hear(news, now, trials));
        calls.park(pass, carry.bad.drain(..));
    }
}

/// Writes down what will be done, before anything is sent, and returns the id of the operation.
async fn write_intent<M: Managed>(
    pass: &mut Pass<'_, M>,
    action: &str,
    names: &[M::Key],
    message: &str,
) -> Result<String, Stop> {
    let id = operation::draw_id(&pass.ctx.timing.chance);
    pass.hold_by_finalizer().await?;
    let epoch = pass.may_start()?.epoch();
    pass.record.open(Operation {
        id: id.clone(),
        action: action.to_owned(),
        phase: Phase::Intended,
        epoch,
        names: names.iter().cloned().collect(),
        request_id: None,
        reference: None,
    });
    let reason = match pass.deleting() {
        true => Reason::Releasing,
        false => Reason::Changing,
    };
    let intent = pass.report(reason.into(), message);
    if let Err(stop) = pass.write(&intent).await {
        // Should the write have landed all the same: nothing was sent for it.
        pass.turn.answered.insert(CallId::Own(id));
        pass.close_answered();
        return Err(stop);
    }
    pass.running = Some(CallId::Own(id.clone()));
    Ok(id)
}

/// Looks, sends and waits for one operation, and remembers what came of it last.
struct Calls<K> {
    /// The id of the operation.
    id: String,
    /// The groups that the next call changes.
    groups: BTreeSet<GroupId>,
    /// The claims of others on them when the next call was planned.
    planned: Claims,
    /// The batch that was sent last.
    batch: Vec<K>,
    /// Why the last look or call did not succeed.
    failure: Option<Failure>,
    /// The cloud's id of the last answer that accepted something.
    request_id: Option<String>,
    /// The job or scaling activity that carries out the last call.
    reference: Option<Reference>,
}

/// Why a look or a call did not succeed.
enum Failure {
    /// The pass has to wait.
    Waits(Waits),
    /// The pass has to end; and what that means for a call that is to be repeated.
    Stop(Stop, &'static str),
    /// The cloud refused the call, or did not answer.
    Error(cloud::Error),
}

impl Failure {
    fn end(self) -> End {
        match self {
            Self::Waits(waits) => End::Waits(waits),
            Self::Stop(stop, _) => End::Stopped(stop),
            Self::Error(error) => End::Stopped(error.into()),
        }
    }
}

impl<K: Ord + Clone + Display> Calls<K> {
    fn new(id: String) -> Self {
        Self {
            id,
            groups: BTreeSet::new(),
            planned: Claims::default(),
            batch: Vec::new(),
            failure: None,
            request_id: None,
            reference: None,
        }
    }

    /// Looks and plans again on the newest view.
    async fn look<M: Managed<Key = K>>(
        &mut self,
        pass: &mut Pass<'_, M>,
        step: &mut impl Step<M>,
        batch: Vec<K>,
        repeating: bool,
    ) -> News<K> {
        if let Some(waits) = wait_for_the_call(pass, step, repeating).await {
            self.failure = Some(Failure::Waits(waits));
            return News::MayNot;
        }
        self.groups = step.moves(&batch);
        self.groups.insert(pass.object.group());
        self.planned = pass.claims_on(&self.groups);
        match step.prepare(pass, batch, repeating).await {
            Ok(batch) => News::MaySend(batch),
            Err(stop) => self.may_not(stop, "the next look did not succeed"),
        }
    }

    /// Sends one call, if the last questions allow it.
    async fn send<M: Managed<Key = K>>(
        &mut self,
        pass: &mut Pass<'_, M>,
        step: &impl Step<M>,
        batch: Vec<K>,
    ) -> News<K> {
        let leave = match last_questions(pass, step, &self.groups, &self.planned).await {
            Ok(leave) => leave,
            Err(stop) => return self.may_not(stop, "it may not be sent again"),
        };
        let sent = pass.ctx.now();
        let action = step.manner().action;
        let token = operation::token(&self.id, action, &batch);
        let cloud = step.cloud().clone().with_leave(leave);
        let left = Instant::now();
        let answer = step.send(cloud, &batch, &token).await;
        log_call(pass, action, &batch, left.elapsed(), &answer);
        pass.group_changed();
        self.batch = batch;
        let answer = match answer {
            Ok(answer) => self.accepted(pass, step, answer),
            Err(error) => {
                let answer = meaning(&error, step.manner().service);
                self.failure = Some(Failure::Error(error));
                answer
            }
        };
        News::Answer { sent, answer }
    }

    /// Takes in that the cloud accepted the batch that was just sent.
    fn accepted<M: Managed<Key = K>>(
        &mut self,
        pass: &mut Pass<'_, M>,
        step: &impl Step<M>,
        answer: Answer,
    ) -> carry::Answer {
        step.accepted(pass, &self.batch, &answer.request_id);
        self.reference = step.carried_out_by(answer.reference);
        let (now, linger) = (pass.ctx.now(), pass.ctx.timing.linger);
        let names = texts(&self.batch);
        pass.turn.agreed(step.manner().action, names, now, linger);
        let silenced = texts(&step.silences(&self.batch));
        let shown = now + pass.ctx.timing.listing_lag;
        pass.turn.silenced(silenced, now, shown);
        self.request_id = Some(answer.request_id);
        match self.reference {
            Some(_) => carry::Answer::Begun,
            None => carry::Answer::Done,
        }
    }

    fn may_not(&mut self, stop: Stop, why: &'static str) -> News<K> {
        self.failure = Some(Failure::Stop(stop, why));
        News::MayNot
    }

    /// Waits before a call that was certainly not carried out is tried again.
    async fn wait<M: Managed>(&self, pass: &Pass<'_, M>, attempt: u32) -> News<K> {
        let timing = &pass.ctx.timing;
        let grown = timing
            .backoff_min
            .saturating_mul(1 << attempt)
            .min(timing.backoff_max);
        let hint = self.error().and_then(|error| error.retry_after);
        let wait = hint.map_or(grown, |hint| hint.max(grown));
        let pause = wait / 2 + timing.chance.part_of(wait / 2);
        pass.aside(tokio::time::sleep(pause)).await;
        News::Waited
    }

    /// Leaves the entries alone for a while that the last call showed to be bad.
    fn park<M: Managed<Key = K>>(&self, pass: &mut Pass<'_, M>, bad: impl IntoIterator<Item = K>) {
        let Some(error) = self.error() else {
            return;
        };
        let refusal = Refusal {
            words: status_text(error),
            group_missing: error.kind == Kind::NamedGroupNotFound,
            may_pass: error.kind == Kind::NotReady,
        };
        for key in bad {
            pass.park(key, refusal.clone(), error.request_id.as_deref());
        }
    }

    /// Notes in the record and in the group's memory how the operation ended.
    fn end<M: Managed<Key = K>>(
        self,
        pass: &mut Pass<'_, M>,
        action: &str,
        carry: Carry<K>,
        end: carry::End<K>,
    ) -> Done<K> {
        pass.running = None;
        let call = CallId::Own(self.id.clone());
        let mut done = Done {
            accepted: carry.accepted,
            absent: carry.absent,
            request_id: self.request_id.clone(),
            end: End::Complete,
        };
        done.end = match end {
            carry::End::Lost { sent, batch, why } => {
                let stop = self.lost(pass, action, &done.accepted, &batch, sent, why);
                done.end = End::Stopped(stop);
                return done;
            }
            carry::End::Working => {
                if let Some(reference) = self.reference {
                    followed(pass, &self.id, reference, &done);
                    done.end = End::Working;
                    return done;
                }
                End::Working
            }
            carry::End::Complete => End::Complete,
            carry::End::LookAgain => {
                self.distrust_the_view(pass, action);
                End::LookAgain
            }
            carry::End::Quota => End::Quota(self.error_text()),
            carry::End::Refused | carry::End::Stopped => match self.failure {
                Some(Failure::Error(error)) if end == carry::End::Refused => End::Refused(error),
                Some(failure) => failure.end(),
                None => End::LookAgain,
            },
        };
        pass.turn.answered.insert(call);
        pass.close_answered();
        done
    }

    /// The error of the last call that did not succeed, unless the pass had to wait or end since.
    fn error(&self) -> Option<&cloud::Error> {
        match &self.failure {
            Some(Failure::Error(error)) => Some(error),
            _ => None,
        }
    }

    fn error_text(&self) -> String {
        self.error().map(status_text).unwrap_or_default()
    }

    /// Has the batch that the cloud contradicted sent once more after the next look, and halved after that, so that the
    /// rest goes through: nobody is known to be at fault.
    fn distrust_the_view<M: Managed<Key = K>>(&self, pass: &mut Pass<'_, M>, action: &str) {
        let Some(error) = self.error() else {
            return;
        };
        let names = self.batch.iter().cloned().collect();
        match error.kind {
            Kind::MemberBusy => {
                pass.failed_later(
                    action,
                    &names,
                    &status_text(error),
                    error.request_id.as_deref(),
                );
            }
            _ => pass.contradicted(action, &names),
        }
    }

    /// Keeps the operation open, and the group frozen, until the call settles (S6).
    fn lost<M: Managed<Key = K>>(
        &self,
        pass: &mut Pass<'_, M>,
        action: &str,
        accepted: &BTreeSet<K>,
        batch: &[K],
        sent: Duration,
        why: Loss,
    ) -> Stop {
        let operation = pass
            .record
            .operation
            .as_mut()
            .expect("opened with the intent");
        operation.phase = Phase::Unsettled;
        // The rest was refused, or not sent: we know that we did not put it there.
        operation.names = accepted.iter().chain(batch).cloned().collect();
        let names = texts(batch).into_iter().collect();
        let call = Call::new(action.to_owned(), names, sent);
        pass.turn.unsettled.sent(CallId::Own(self.id.clone()), call);
        let why = match (why, &self.failure) {
            (Loss::MayNot, Some(Failure::Stop(_, why))) => (*why).to_owned(),
            (Loss::Changed, _) => "the group changed meanwhile".to_owned(),
            _ => self.error_text(),
        };
        let message = format!(
            "a call was sent and not answered ({why}); nothing more is changed until it is known what became of it"
        );
        Stop::because(Reason::Changing, message)
    }
}

/// Notes the job or scaling activity that carries out the accepted part of the operation.
fn followed<M: Managed>(
    pass: &mut Pass<'_, M>,
    id: &str,
    reference: Reference,
    done: &Done<M::Key>,
) {
    let operation = pass
        .record
        .operation
        .as_mut()
        .expect("opened with the intent");
    operation.phase = Phase::Accepted;
    operation.request_id.clone_from(&done.request_id);
    operation.reference = Some(reference.clone());
    operation.names.clone_from(&done.accepted);
    let answer = UnwrittenAnswer {
        reference,
        request_id: done.request_id.clone(),
        names: texts(&done.accepted),
    };
    for turn in pass.also.values_mut() {
        let moves = CallId::Moves(id.to_owned());
        turn.references.insert(moves, answer.clone());
    }
    let call = CallId::Own(id.to_owned());
    pass.turn.references.insert(call.clone(), answer);
    let now = pass.ctx.now();
    pass.turn.followed.insert(call, Followed::new(now));
}

/// One line for each changing call, with all that it names: from them, the history of a group can be told.
fn log_call<M: Managed>(
    pass: &Pass<'_, M>,
    action: &str,
    batch: &[M::Key],
    took: Duration,
    answer: &Result<Answer, cloud::Error>,
) {
    let (kind, object) = (M::KIND.name(), name_of(&pass.object));
    let generation = pass.object.meta().generation;
    let group = pass.object.group();
    let (members, names) = (batch.len(), texts(batch).join(", "));
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(Answer {
            request_id,
            reference,
        }) => tracing::info!(
            kind, %object, generation, %group, action, members, names, request_id, reference, milliseconds,
            "the cloud accepted a change"
        ),
        Err(error) => tracing::warn!(
            kind, %object, generation, %group, action, members, names, request_id = error.request_id, code = error.code,
            milliseconds, error = error.words(),
            "{}", match error.outcome {
                Outcome::NotSent => "a change was not sent",
                Outcome::Refused => "the cloud refused a change",
                Outcome::Unknown => "a change was not answered: it may have been carried out",
            }
        ),
    }
}

fn hash(code: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    code.hash(&mut hasher);
    hasher.finish()
}

/// The meaning of a call's error for the action.
fn meaning(error: &cloud::Error, service: Service) -> carry::Answer {
    let why = match error.kind {
        Kind::Throttled => Why::Throttled,
        Kind::BadMember
        | Kind::NotReady
        | Kind::NamedGroupNotFound
        | Kind::Invalid
        | Kind::Unclassified => Why::OneIsBad(carry::Code(hash(&error.code))),
        // One of several attachments is gone already.
        Kind::MemberNotFound if service == Service::Ess => Why::OneIsAbsent,
        Kind::MemberNotFound | Kind::AlreadyMember | Kind::MemberBusy => Why::ViewIsOld,
        Kind::Quota => Why::Quota,
        Kind::Denied | Kind::LoadBalancerUnusable | Kind::ScalingGroupUnusable => Why::ForGood,
        _ => Why::Other,
    };
    match error.outcome {
        Outcome::Unknown => carry::Answer::Unknown,
        Outcome::NotSent => carry::Answer::NotSent(why),
        Outcome::Refused => carry::Answer::Refused(why),
    }
}

/// Asks once more, after the last look and however long that took, whether the call is wanted and may leave.
async fn last_questions<M: Managed>(
    pass: &Pass<'_, M>,
    step: &impl Step<M>,
    groups: &BTreeSet<GroupId>,
    planned: &Claims,
) -> Result<Leave, Stop> {
    if !step.takes_away() {
        pass.still_wanted()?;
        return pass.may_start();
    }
    // An answer is as old as its question: a process that stood still meanwhile asks again. With a slow API server, the
    // patience doubles each time.
    let mut patience = pass.ctx.timing.last_answer_max;
    while patience <= pass.ctx.timing.mutation_deadline {
        let asked = pass.ctx.leadership.moment();
        Box::pin(pass.still_wanted_for_sure(groups, planned)).await?;
        let leave = pass.may_start()?;
        if asked.elapsed(&pass.ctx.timing) <= patience {
            return Ok(leave);
        }
        patience *= 2;
    }
    Err(Stop::Superseded("the last answers came too late"))
}

/// Waits until the call may leave. The wait comes before the last look, which must not get old meanwhile.
///
/// A pass that has the groups of others lets them go instead, unless it is repeating a call that was not answered.
async fn wait_for_the_call<M: Managed>(
    pass: &Pass<'_, M>,
    step: &impl Step<M>,
    repeating: bool,
) -> Option<Waits> {
    let (cloud, manner) = (step.cloud(), step.manner());
    let call = (manner.service, manner.action);
    if !pass.also.is_empty() && !repeating {
        let message = Some(waits_for_a_call(manner.action));
        if let Some(waits) = pass.wait_for_room(cloud, call, message) {
            return Some(waits);
        }
    }
    pass.aside(cloud.ready(manner.service, manner.action)).await;
    None
}

/// The message in status until the call of an action may leave.
pub fn waits_for_a_call(action: &str) -> String {
    format!("{action} waits until the cloud takes another call")
}

impl<M: Managed> Pass<'_, M> {
    /// Gives `with` the knowledge about batches of `action` with a bad member in them.
    fn on_trial<T>(&mut self, action: &str, with: impl FnOnce(&mut Trials<M::Key>) -> T) -> T {
        let memory = &mut self.memory;
        with(memory.trials.entry(action.to_owned()).or_default())
    }
}
