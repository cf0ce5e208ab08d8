//! One action on many members, batch by batch: the next step, and the meaning of each answer (S2, S6, S8, S10).
//!
//! Nothing is sent here and nothing waits. The driver of a [`Carry`] looks, sends and waits as [`Order`] says, and
//! reports the result as [`News`]. A call can only be sent after a look: [`Order::Send`] is the answer to
//! [`News::MaySend`], and to nothing else.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::refusal::{Trials, halve};

/// The most sendings of one batch within an action.
const TRIES: u32 = 6;

/// As many members that are refused by themselves with one code, while nothing was taken, stand for all that are left (S8).
const ENOUGH_REFUSED: u32 = 3;

/// How the cloud treats an action, and how long the driver may take.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Members that one call may name (S8).
    pub limit: usize,
    /// Whether an answered call is over, so that the next may follow.
    pub over_when_answered: bool,
    /// Whether a call that is repeated with its token is recognised (S10).
    pub has_tokens: bool,
    /// For how long a token may be sent again (S10).
    pub token_reuse_max: Duration,
    /// Whether the driver may wait before it sends again: not while it holds something that others wait for.
    pub may_wait: bool,
}

/// The next step of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<K> {
    /// Check everything again on the newest view; [`News::MaySend`] says which members of `batch` may be sent.
    Look {
        /// The members that the call is to name.
        batch: Vec<K>,
        /// Whether the same batch was sent and not answered.
        repeating: bool,
    },
    /// Send one call for this batch; [`News::Answer`].
    Send(Vec<K>),
    /// Wait before the same batch is looked at again; [`News::Waited`].
    Wait {
        /// How often it was sent in vain before, from 0.
        attempt: u32,
    },
    /// Nothing more: the action is over for this pass.
    End(End<K>),
}

/// The result of an order.
#[derive(Clone, Debug)]
pub enum News<K> {
    /// These members of the batch may be sent.
    MaySend(Vec<K>),
    /// Nothing may be sent any more: superseded, not leading, or not seen.
    MayNot,
    /// The answer to a call that was sent at `sent`.
    Answer {
        /// When the call was sent.
        sent: Duration,
        /// The cloud's answer.
        answer: Answer,
    },
    /// The wait is over.
    Waited,
}

/// The cloud's answer to one call, or what is known without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It will be done, by a job or scaling activity that can be asked about.
    Begun,
    /// It certainly never left.
    NotSent(Why),
    /// Nobody knows whether it arrived.
    Unknown,
    /// It was certainly not done.
    Refused(Why),
}

/// Why a call was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There were too many calls.
    Throttled,
    /// One member cannot be taken, or may be the cause; the cloud gave this code.
    OneIsBad(Code),
    /// One member is not there to be removed, and the others still are.
    OneIsAbsent,
    /// The group is not as the last view had it.
    ViewIsOld,
    /// There is no room.
    Quota,
    /// It would be refused again until somebody does something.
    ForGood,
    /// There is another reason.
    Other,
}

/// The cloud's code for a refusal, as far as it is compared: equal codes have equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub u64);

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<K> {
    /// Everything was sent, or was no longer wanted.
    Complete,
    /// The cloud works on the last call.
    Working,
    /// The view is out of date: the next pass looks again.
    LookAgain,
    /// A quota was reached.
    Quota,
    /// The cloud would refuse it again.
    Refused,
    /// The last look or the last answer forbids going on.
    Stopped,
    /// A call for `batch` was sent at `sent` and not answered, so that nothing may follow (S6).
    Lost {
        /// When it was last sent.
        sent: Duration,
        /// The members that it named.
        batch: Vec<K>,
        /// Why it is not sent again.
        why: Loss,
    },
}

/// Why a call without an answer is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The driver said that nothing may be sent.
    MayNot,
    /// The same call is not wanted any more, or its token is too old (S10).
    Changed,
    /// The last answer does not say what became of the first call.
    Answer,
}

/// A call that was sent and not answered.
#[derive(Clone, Debug)]
struct Unanswered<K> {
    sent: Duration,
    batch: Vec<K>,
}

/// One action under way.
#[derive(Clone, Debug)]
pub struct Carry<K> {
    manner: Manner,
    /// The batches that are not done with; the first one is being sent.
    queue: VecDeque<Vec<K>>,
    attempt: u32,
    unanswered: Option<Unanswered<K>>,
    /// The members that the cloud accepted.
    pub accepted: BTreeSet<K>,
    /// The members that the cloud says are not there to be removed, each asked for by itself.
    pub absent: BTreeSet<K>,
    /// The members that the cloud cannot take, each found by itself (S8), until the driver takes them. The last ones may be
    /// all that are left, because enough others were refused.
    pub bad: Vec<K>,
    /// How many were refused by themselves, by code.
    refused_alone: BTreeMap<Code, u32>,
}

impl<K: Ord + Clone> Carry<K> {
    /// An action on `names`, whose intent is written, and its first order.
    #[must_use]
    pub fn new(manner: Manner, names: &[K], trials: &Trials<K>) -> (Self, Order<K>) {
        let mut carry = Self {
            queue: trials.batches(names, manner.limit).into(),
            manner,
            attempt: 0,
            unanswered: None,
            accepted: BTreeSet::new(),
            absent: BTreeSet::new(),
            bad: Vec::new(),
            refused_alone: BTreeMap::new(),
        };
        let first = carry.next_batch();
        (carry, first)
    }

    /// The next order after `news`, which came at `now`. `trials` are the batches with a bad member in them.
    pub fn hear(&mut self, news: News<K>, now: Duration, trials: &mut Trials<K>) -> Order<K> {
        match news {
            News::MaySend(batch) => self.may_send(batch, now),
            News::MayNot => self.give_up(Loss::MayNot),
            News::Answer { sent, answer } => self.answered(sent, answer, trials),
            News::Waited => self.look(),
        }
    }

    fn may_send(&mut self, batch: Vec<K>, now: Duration) -> Order<K> {
        if let Some(before) = &self.unanswered {
            // A repetition settles the call only if it says the same thing, and soon enough (S10).
            if now >= before.sent + self.manner.token_reuse_max || before.batch != batch {
                return self.give_up(Loss::Changed);
            }
        } else if batch.is_empty() {
            self.queue.pop_front();
            return self.next_batch();
        }
        if let Some(front) = self.queue.front_mut() {
            front.clone_from(&batch);
        }
        Order::Send(batch)
    }

    fn answered(&mut self, sent: Duration, answer: Answer, trials: &mut Trials<K>) -> Order<K> {
        let batch = self.batch();
        let again = self.attempt + 1 < TRIES;
        match answer {
            Answer::Done | Answer::Begun => self.take_in_accepted(answer, batch),
            Answer::Unknown if self.manner.has_tokens && self.unanswered.is_none() && again => {
                self.unanswered = Some(Unanswered { sent, batch });
                self.attempt += 1;
                self.look()
            }
            Answer::Unknown => self.lose(sent, batch),
            // A repetition that was refused says nothing about the first call.
            _ if self.unanswered.is_some() => self.lose(sent, batch),
            Answer::NotSent(_) | Answer::Refused(Why::Throttled)
                if again && self.manner.may_wait =>
            {
                let attempt = self.attempt;
                self.attempt += 1;
                Order::Wait { attempt }
            }
            Answer::NotSent(why) | Answer::Refused(why) => self.refused(why, &batch, trials),
        }
    }

    /// Gives the call up as lost. Settling counts from the last sending, because each one can land late.
    fn lose(&mut self, sent: Duration, batch: Vec<K>) -> Order<K> {
        self.unanswered = Some(Unanswered { sent, batch });
        self.give_up(Loss::Answer)
    }

    fn take_in_accepted(&mut self, answer: Answer, batch: Vec<K>) -> Order<K> {
        self.accepted.extend(batch);
        self.unanswered = None;
        self.queue.pop_front();
        match answer == Answer::Done && self.manner.over_when_answered {
            true => self.next_batch(),
            false => Order::End(End::Working),
        }
    }

    fn refused(&mut self, why: Why, batch: &[K], trials: &mut Trials<K>) -> Order<K> {
        let halves = match why {
            Why::OneIsBad(code) => match trials.refused(batch) {
                Ok(halves) => Ok(halves),
                Err(bad) => return self.found_bad(bad, code, trials),
            },
            // A part may still fit, and nobody is at fault when there is no room: the halves are not remembered.
            Why::Quota if batch.len() > 1 => halve(batch).map_err(drop),
            // The others still have to go.
            Why::OneIsAbsent => halve(batch).map_err(|absent| _ = self.absent.insert(absent)),
            Why::ViewIsOld => return Order::End(End::LookAgain),
            Why::Quota => return Order::End(End::Quota),
            Why::ForGood => return Order::End(End::Refused),
            Why::Throttled | Why::Other => return Order::End(End::Stopped),
        };
        self.queue.pop_front();
        if let Ok([left, right]) = halves {
            self.queue.push_front(right);
            self.queue.push_front(left);
        }
        self.next_batch()
    }

    /// Takes in that `bad` was refused by itself. The next one is looked for where most are left: if those can be taken,
    /// that shows soon, and if nothing can, a few calls show it.
    fn found_bad(&mut self, bad: K, code: Code, trials: &mut Trials<K>) -> Order<K> {
        self.queue.pop_front();
        self.bad.push(bad);
        let refused = self.refused_alone.entry(code).or_default();
        *refused += 1;
        if *refused >= ENOUGH_REFUSED && self.accepted.is_empty() && self.absent.is_empty() {
            for batch in self.queue.drain(..) {
                trials.passed(&batch);
                self.bad.extend(batch);
            }
        }
        let sizes = self.queue.iter().map(Vec::len).enumerate();
        let largest = sizes.max_by_key(|(at, size)| (*size, Reverse(*at)));
        if let Some(batch) = largest.and_then(|(at, _)| self.queue.remove(at)) {
            self.queue.push_front(batch);
        }
        self.next_batch()
    }

    /// Ends; a call that was sent and not answered stays open.
    fn give_up(&mut self, why: Loss) -> Order<K> {
        Order::End(match self.unanswered.take() {
            Some(Unanswered { sent, batch }) => End::Lost { sent, batch, why },
            None => End::Stopped,
        })
    }

    fn next_batch(&mut self) -> Order<K> {
        self.attempt = 0;
        match self.queue.is_empty() {
            true => Order::End(End::Complete),
            false => self.look(),
        }
    }

    fn look(&self) -> Order<K> {
        Order::Look {
            batch: self.batch(),
            repeating: self.unanswered.is_some(),
        }
    }

    fn batch(&self) -> Vec<K> {
        self.queue.front().cloned().unwrap_or_default()
    }
}
