//! Carries out one action on many members: intent first, then batch after batch.
//!
//! What is sent was planned; what happens between batches may only shrink it. A batch that is refused for one
//! of its members is halved until that one is found (S8); an answer that does not come leaves the operation
//! open, and the group frozen, until it settles (S6).

use std::{collections::BTreeSet, collections::VecDeque, future::Future, time::Duration};

use server_group_core::{follow::Followed, reason::Reason, refusal::halve, settle::Call};

use super::{
    managed::Managed,
    operation,
    pass::{Claims, Pass},
    record::{Operation, Reference, texts},
    stop::{Stop, told},
    turns::{CallId, GroupId, UnwrittenAnswer},
};
use crate::{
    api::status::Phase,
    cloud::{self, Answer, Cloud, Kind, Outcome, Service},
    leader::Leave,
};

/// Throttled or unsent calls that are tried again within a pass.
const TRIES: u32 = 6;

/// How an API action behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whose API it is.
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
    /// As whom and where it is sent.
    fn cloud(&self) -> &Cloud;
    /// Whether it takes somebody away, be it by weight 0, or moves instances: then caches are not enough right before it.
    fn takes_away(&self) -> bool {
        false
    }
    /// The groups besides its own that it changes.
    fn moves(&self, _batch: &[M::Key]) -> BTreeSet<GroupId> {
        BTreeSet::new()
    }
    /// Notes a batch that the cloud accepted with the answer `request`.
    fn accepted(&self, _pass: &Pass<'_, M>, _batch: &[M::Key], _request: &str) {}
    /// What carries an accepted call out, whose answer names this job or scaling activity, or none.
    fn carried_out_by(&self, named: Option<String>) -> Option<Reference> {
        named.map(Reference::Id)
    }
    /// Looks and plans again, on the newest view, and returns what of `batch` may be sent.
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
    /// What the cloud accepted.
    pub accepted: BTreeSet<K>,
    /// What the cloud says is not there to be removed, each asked for by itself.
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
    /// Something else stopped it.
    Stopped(Stop),
}

/// Carries out `step` on `names`, whose intent and ledger are written first by [`Pass::write`].
///
/// `intent` is the report that goes with the intent.
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
    let manner = step.manner();
    let id = operation::draw_id(&pass.ctx.timing.chance);
    pass.hold_by_finalizer().await?;
    let epoch = pass.may_start()?.epoch();
    pass.record.open(Operation {
        id: id.clone(),
        action: manner.action.to_owned(),
        phase: Phase::Intended,
        epoch,
        names: names.iter().cloned().collect(),
        request_id: None,
        reference: None,
    });
    let reason = if pass.deleting() {
        Reason::Releasing
    } else {
        Reason::Changing
    };
    let call = CallId::Own(id.clone());
    let intent = pass.report(reason.into(), message);
    if let Err(stop) = pass.write(&intent).await {
        // Should the write have landed all the same: nothing was sent for it.
        pass.turn.answered.insert(call);
        pass.close_answered();
        return Err(stop);
    }
    pass.running = Some(call.clone());
    let mut done = Done {
        accepted: BTreeSet::new(),
        absent: BTreeSet::new(),
        request_id: None,
        end: End::Complete,
    };
    let mut queue: VecDeque<_> = {
        let mut memory = pass.memory.lock();
        let trials = memory.trials.entry(manner.action.to_owned()).or_default();
        trials.batches(&names, manner.limit).into()
    };
    while let Some(batch) = queue.pop_front() {
        match one_batch(pass, step, &id, batch, &mut queue, &mut done).await {
            Ok(Next::Batch) => {}
            Ok(Next::Refer(reference)) => {
                let operation = pass.record.operation.as_mut().expect("opened above");
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
                    let moves = CallId::Moves(id.clone());
                    turn.references.insert(moves, answer.clone());
                }
                pass.turn.references.insert(call.clone(), answer);
                done.end = End::Working;
                pass.running = None;
                let now = pass.ctx.now();
                pass.turn.followed.insert(call, Followed::new(now));
                return Ok(done);
            }
            Ok(Next::End(end)) => {
                done.end = end;
                break;
            }
            Err(Lost {
                sent,
                batch,
                message,
            }) => {
                pass.running = None;
                let operation = pass.record.operation.as_mut().expect("opened above");
                operation.phase = Phase::Unsettled;
                // The rest was refused, or not sent: of that it is known that we did not put it there.
                operation.names = done.accepted.iter().chain(&batch).cloned().collect();
                let names = texts(&batch).into_iter().collect();
                let lost = Call::new(manner.action.to_owned(), names, sent);
                pass.turn.unsettled.sent(call, lost);
                done.end = End::Stopped(Stop::because(Reason::Changing, message));
                return Ok(done);
            }
        }
    }
    pass.running = None;
    pass.turn.answered.insert(call);
    pass.close_answered();
    Ok(done)
}

/// What comes after a batch.
enum Next {
    Batch,
    Refer(Reference),
    End(End),
}

/// A call without an answer.
struct Lost<K> {
    sent: Duration,
    batch: Vec<K>,
    message: String,
}

async fn one_batch<M: Managed>(
    pass: &mut Pass<'_, M>,
    step: &mut impl Step<M>,
    id: &str,
    mut batch: Vec<M::Key>,
    queue: &mut VecDeque<Vec<M::Key>>,
    done: &mut Done<M::Key>,
) -> Result<Next, Lost<M::Key>> {
    let manner = step.manner();
    let mut unanswered: Option<(Duration, Vec<M::Key>)> = None;
    for attempt in 0..TRIES {
        if let Err(stop) = wait_for_the_call(pass, step.cloud(), manner, unanswered.is_some()).await
        {
            return Ok(Next::End(End::Stopped(stop)));
        }
        let mut groups = step.moves(&batch);
        groups.insert(pass.object.group());
        let planned = pass.claims_on(&groups);
        batch = match step.prepare(pass, batch, unanswered.is_some()).await {
            Ok(batch) => batch,
            Err(stop) => return given_up(unanswered, stop, "the next look did not succeed"),
        };
        if let Some((sent, before)) = &unanswered {
            let reusable = pass.ctx.now() < *sent + pass.ctx.timing.token_reuse_max;
            // A repetition settles the call only if it says the same thing, and soon enough (S10).
            if !reusable || *before != batch {
                return Err(lost(*sent, before.clone(), "the group changed meanwhile"));
            }
        } else if batch.is_empty() {
            return Ok(Next::Batch);
        }
        let leave = match last_questions(pass, step, &groups, &planned).await {
            Ok(leave) => leave,
            Err(stop) => return given_up(unanswered, stop, "it may not be sent again"),
        };
        let sent = pass.ctx.now();
        let token = operation::token(id, manner.action, &batch);
        let cloud = step.cloud().clone().with_leave(leave);
        let answer = step.send(cloud, &batch, &token).await;
        pass.group_changed();
        let error = match answer {
            Ok(answer) => return Ok(accepted(pass, step, batch, answer, done)),
            Err(error) => error,
        };
        tracing::info!(
            %error,
            action = manner.action,
            members = batch.len(),
            "a call did not succeed"
        );
        match (error.outcome, error.kind) {
            (Outcome::Unknown, _)
                if manner.has_tokens && unanswered.is_none() && attempt + 1 < TRIES =>
            {
                unanswered = Some((sent, batch.clone()));
            }
            (Outcome::Unknown, _) => {
                // Each sending can land so late after it was sent: settling counts from the last one.
                return Err(lost(sent, batch, &told(&error)));
            }
            // The repetition was refused, which says nothing about the first call.
            _ if unanswered.is_some() => return Err(lost(sent, batch, &told(&error))),
            (Outcome::NotSent, _) | (_, Kind::Throttled)
                if attempt + 1 < TRIES && pass.also.is_empty() =>
            {
                pass.pause(attempt, &error).await;
            }
            _ => return Ok(turned_down(pass, manner, batch, error, queue, done)),
        }
    }
    Ok(Next::End(End::LookAgain))
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
    // An answer is as old as its question: a process that stood still meanwhile asks again. One that waits for a slow
    // API server has ever more patience with it.
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

/// A batch is not sent, or not once more.
fn given_up<K>(
    unanswered: Option<(Duration, Vec<K>)>,
    stop: Stop,
    why: &str,
) -> Result<Next, Lost<K>> {
    match unanswered {
        Some((sent, batch)) => Err(lost(sent, batch, why)),
        None => Ok(Next::End(End::Stopped(stop))),
    }
}

/// What comes after a batch that was certainly not carried out.
fn turned_down<M: Managed>(
    pass: &mut Pass<'_, M>,
    manner: Manner,
    batch: Vec<M::Key>,
    error: cloud::Error,
    queue: &mut VecDeque<Vec<M::Key>>,
    done: &mut Done<M::Key>,
) -> Next {
    match error.kind {
        Kind::BadMember | Kind::NamedGroupNotFound | Kind::Invalid => {
            refused(pass, manner.action, &batch, &error, queue)
        }
        // One of several attachments is gone already; the others still have to go.
        Kind::MemberNotFound if manner.service == Service::Ess => {
            match halve(&batch) {
                Ok([left, right]) => {
                    queue.push_front(right);
                    queue.push_front(left);
                }
                Err(absent) => _ = done.absent.insert(absent),
            }
            Next::Batch
        }
        Kind::MemberNotFound | Kind::AlreadyMember => {
            // The view is wrong, and nobody is at fault: sent once more it is halved, so that the rest goes through.
            let names = batch.into_iter().collect();
            pass.contradicted(manner.action, &names);
            Next::End(End::LookAgain)
        }
        Kind::MemberBusy => {
            // The view says otherwise: it is looked at again, and sent once more before it is halved.
            let (names, request) = (batch.into_iter().collect(), error.request_id.as_deref());
            pass.failed_later(manner.action, &names, &told(&error), request);
            Next::End(End::LookAgain)
        }
        // A part may still fit: what does is found by halving.
        Kind::Quota if batch.len() > 1 => refused(pass, manner.action, &batch, &error, queue),
        Kind::Quota => Next::End(End::Quota(told(&error))),
        Kind::Denied | Kind::LoadBalancerUnusable | Kind::ScalingGroupUnusable => {
            Next::End(End::Refused(error))
        }
        _ => Next::End(End::Stopped(error.into())),
    }
}

/// Takes in that the cloud accepted a batch.
fn accepted<M: Managed>(
    pass: &mut Pass<'_, M>,
    step: &impl Step<M>,
    batch: Vec<M::Key>,
    answer: Answer,
    done: &mut Done<M::Key>,
) -> Next {
    let manner = step.manner();
    step.accepted(pass, &batch, &answer.request_id);
    let reference = step.carried_out_by(answer.reference);
    let (now, linger) = (pass.ctx.now(), pass.ctx.timing.linger);
    pass.turn.agreed(manner.action, texts(&batch), now, linger);
    done.accepted.extend(batch);
    done.request_id = Some(answer.request_id);
    match reference {
        Some(reference) => Next::Refer(reference),
        None if manner.over_when_answered => Next::Batch,
        None => Next::End(End::Working),
    }
}

/// Halves a refused batch, or parks the one bad member it consists of.
fn refused<M: Managed>(
    pass: &mut Pass<'_, M>,
    action: &str,
    batch: &[M::Key],
    error: &cloud::Error,
    queue: &mut VecDeque<Vec<M::Key>>,
) -> Next {
    let halves = {
        let mut memory = pass.memory.lock();
        match error.kind {
            // Nobody is at fault when there is no room: the halves are not remembered.
            Kind::Quota => halve(batch),
            _ => {
                let trials = memory.trials.entry(action.to_owned()).or_default();
                trials.refused(batch)
            }
        }
    };
    match halves {
        Ok([left, right]) => {
            queue.push_front(right);
            queue.push_front(left);
        }
        Err(bad) => {
            let missing = error.kind == Kind::NamedGroupNotFound;
            pass.park(bad, told(error), error.request_id.as_deref(), missing);
        }
    }
    Next::Batch
}

/// Waits until the call may leave. What has to wait waits before the last look, which must not get old meanwhile.
///
/// # Errors
///
/// [`Stop::Waits`] for a pass that has the groups of others: it lets them go, unless it is repeating a call that was not
/// answered.
async fn wait_for_the_call<M: Managed>(
    pass: &Pass<'_, M>,
    cloud: &Cloud,
    manner: Manner,
    repeating: bool,
) -> Result<(), Stop> {
    let call = (manner.service, manner.action);
    if !pass.also.is_empty() && !repeating {
        pass.wait_for_room(cloud, call, Some(waits_for_a_call(manner.action)))?;
    }
    pass.aside(cloud.ready(manner.service, manner.action)).await;
    Ok(())
}

/// What status says of an action until its call may leave.
pub fn waits_for_a_call(action: &str) -> String {
    format!("{action} waits until the cloud takes another call")
}

fn lost<K>(sent: Duration, batch: Vec<K>, why: &str) -> Lost<K> {
    let message = format!(
        "a call was sent and not answered ({why}); nothing more is changed until it is known what became of it"
    );
    Lost {
        sent,
        batch,
        message,
    }
}

impl<M: Managed> Pass<'_, M> {
    /// Waits before a call that was certainly not carried out is tried again.
    async fn pause(&self, attempt: u32, error: &cloud::Error) {
        let timing = &self.ctx.timing;
        let grown = timing
            .backoff_min
            .saturating_mul(1 << attempt)
            .min(timing.backoff_max);
        let wait = error.retry_after.map_or(grown, |hint| hint.max(grown));
        let pause = wait / 2 + timing.chance.part_of(wait / 2);
        self.aside(tokio::time::sleep(pause)).await;
    }
}
