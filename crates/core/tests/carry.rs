//! One action on many members, driven against a cloud that answers anything: whatever it says, nothing is sent that was not
//! looked at, and every member is accounted for.

use std::{collections::BTreeSet, time::Duration};

use proptest::{collection::vec, prelude::*};
use server_group_core::{
    carry::{Answer, Carry, Code, End, Loss, Manner, News, Order, Why},
    refusal::Trials,
};

fn manner() -> impl Strategy<Value = Manner> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8));
    (1..9_usize, flags).prop_map(|(limit, (over, tokens, may_wait))| Manner {
        limit,
        over_when_answered: over,
        has_tokens: tokens,
        token_reuse_max: Duration::from_mins(10),
        may_wait,
    })
}

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![
        1 => Just(Why::Throttled),
        3 => (0..2_u64).prop_map(|code| Why::OneIsBad(Code(code))),
        1 => Just(Why::OneIsAbsent),
        1 => Just(Why::ViewIsOld),
        1 => Just(Why::Quota),
        1 => Just(Why::ForGood),
        1 => Just(Why::Other),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => Just(Answer::Done),
        1 => Just(Answer::Begun),
        2 => Just(Answer::Unknown),
        1 => why().prop_map(Answer::NotSent),
        8 => why().prop_map(Answer::Refused),
    ]
}

/// What a look lets go.
#[derive(Clone, Copy, Debug)]
enum Look {
    Everything,
    AllButTheFirst,
    Nothing,
}

fn look() -> impl Strategy<Value = (Look, u64)> {
    let look = prop_oneof![
        9 => Just(Look::Everything),
        2 => Just(Look::AllButTheFirst),
        1 => Just(Look::Nothing),
    ];
    (look, prop_oneof![9 => Just(1_u64), 1 => Just(700)])
}

/// One call as the cloud got it.
#[derive(Clone, Debug)]
struct Call {
    at: Duration,
    batch: Vec<u32>,
    /// What the look before it had let go.
    looked_at: Vec<u32>,
    repeating: bool,
    answer: Answer,
}

#[derive(Debug)]
struct Run {
    calls: Vec<Call>,
    withheld: BTreeSet<u32>,
    carry: Carry<u32>,
    end: End<u32>,
}

impl Run {
    fn named(&self, is: impl Fn(Answer) -> bool) -> BTreeSet<u32> {
        let calls = self.calls.iter().filter(|call| is(call.answer));
        calls.flat_map(|call| call.batch.clone()).collect()
    }
}

fn run(names: &[u32], manner: Manner, answers: &[Answer], looks: &[(Look, u64)]) -> Run {
    let mut trials = Trials::default();
    let (mut carry, mut order) = Carry::new(manner, names, &trials);
    let mut calls: Vec<Call> = Vec::new();
    let mut withheld = BTreeSet::new();
    let (mut now, mut looked, mut let_go) = (Duration::ZERO, 0, (Vec::new(), false));
    let end = loop {
        let news = match order {
            Order::Look { batch, repeating } => {
                let (look, seconds) = looks[looked % looks.len()];
                looked += 1;
                now += Duration::from_secs(seconds);
                let batch = match look {
                    Look::Nothing => None,
                    Look::Everything => Some(batch),
                    Look::AllButTheFirst => {
                        withheld.extend(batch.first());
                        Some(batch.into_iter().skip(1).collect())
                    }
                };
                let_go = (batch.clone().unwrap_or_default(), repeating);
                batch.map_or(News::MayNot, News::MaySend)
            }
            Order::Send(batch) => {
                let answer = answers[calls.len() % answers.len()];
                let (looked_at, repeating) = std::mem::take(&mut let_go);
                calls.push(Call {
                    at: now,
                    batch,
                    looked_at,
                    repeating,
                    answer,
                });
                News::Answer { sent: now, answer }
            }
            Order::Wait { .. } => News::Waited,
            Order::End(end) => break end,
        };
        assert!(calls.len() < 1000, "it never ends");
        order = carry.hear(news, now, &mut trials);
    };
    Run {
        calls,
        withheld,
        carry,
        end,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_cloud_answers_nothing_is_sent_unseen_and_nothing_is_forgotten(
        size in 0..30_u32,
        manner in manner(),
        answers in vec(answer(), 1..12),
        looks in vec(look(), 1..9),
    ) {
        let names: Vec<_> = (0..size).collect();
        let run = run(&names, manner, &answers, &looks);
        let unknown = run.named(|answer| answer == Answer::Unknown);
        let accepted = run.named(|answer| matches!(answer, Answer::Done | Answer::Begun));

        for call in &run.calls {
            // S5: exactly what the last look let go. S8: no more than a call may name. S2: nothing that the intent does not name.
            prop_assert_eq!(&call.batch, &call.looked_at);
            prop_assert!(!call.batch.is_empty() && call.batch.len() <= manner.limit);
            prop_assert!(call.batch.iter().all(|name| *name < size));
        }
        for pair in run.calls.windows(2) {
            let [before, call] = pair else { unreachable!() };
            // S6: after a call without an answer comes its repetition or nothing, and nothing after that one fails too.
            prop_assert_eq!(call.repeating, before.answer == Answer::Unknown);
            if call.repeating {
                // S10: it says the same thing, where tokens are known, while they are; and it is the only one.
                prop_assert!(manner.has_tokens && call.batch == before.batch && !before.repeating);
                prop_assert!(call.at < before.at + manner.token_reuse_max);
            }
            prop_assert!(before.answer != Answer::Begun, "the cloud works on the last call");
            prop_assert!(manner.over_when_answered || before.answer != Answer::Done);
        }

        // S6: what may have landed and was not accepted is open, with the moment of its last sending.
        let (open, sent): (BTreeSet<_>, _) = match &run.end {
            End::Lost { sent, batch, .. } => (batch.iter().copied().collect(), Some(*sent)),
            _ => (BTreeSet::new(), None),
        };
        prop_assert_eq!(&open, &(&unknown - &accepted));
        prop_assert!(sent.is_none() || sent == run.calls.last().map(|call| call.at));

        // Every member is accepted, bad, absent, open, or withheld by a look, and only one of these.
        prop_assert_eq!(&run.carry.accepted, &accepted);
        let bad: BTreeSet<_> = run.carry.bad.iter().copied().collect();
        let told = [&run.carry.accepted, &bad, &run.carry.absent, &open];
        let count: usize = told.iter().map(|names| names.len()).sum();
        let told: BTreeSet<u32> = told.into_iter().flatten().copied().collect();
        prop_assert_eq!(count, told.len());
        if run.end == End::Complete {
            let accounted: BTreeSet<_> = told.union(&run.withheld).copied().collect();
            prop_assert_eq!(accounted, names.into_iter().collect());
        }

        // The sendings of one batch in a row are bounded.
        let same = run.calls.chunk_by(|one, next| one.batch == next.batch);
        prop_assert!(same.map(<[_]>::len).max().unwrap_or(0) <= 6);
    }
}

/// What an action on the members 1 and 2, which were let go and sent at 7 s, does after the first answer.
fn after(answer: Answer, manner: Manner) -> (Order<u32>, Carry<u32>) {
    let mut trials = Trials::default();
    let (mut carry, _) = Carry::new(manner, &[1, 2], &trials);
    let at = Duration::from_secs;
    let order = carry.hear(News::MaySend(vec![1, 2]), at(7), &mut trials);
    assert_eq!(order, Order::Send(vec![1, 2]));
    let sent = at(7);
    let order = carry.hear(News::Answer { sent, answer }, at(8), &mut trials);
    (order, carry)
}

const MANNER: Manner = Manner {
    limit: 20,
    over_when_answered: true,
    has_tokens: false,
    token_reuse_max: Duration::from_mins(10),
    may_wait: true,
};

#[test]
fn each_answer_has_its_consequence() {
    let lost = End::Lost {
        sent: Duration::from_secs(7),
        batch: vec![1, 2],
        why: Loss::Answer,
    };
    let half = Order::Look {
        batch: vec![1],
        repeating: false,
    };
    for (answer, expected) in [
        (Answer::Done, Order::End(End::Complete)),
        (Answer::Begun, Order::End(End::Working)),
        (Answer::Unknown, Order::End(lost)),
        (Answer::NotSent(Why::Other), Order::Wait { attempt: 0 }),
        (Answer::Refused(Why::Throttled), Order::Wait { attempt: 0 }),
        (Answer::Refused(Why::OneIsBad(Code(1))), half.clone()),
        (Answer::Refused(Why::OneIsAbsent), half.clone()),
        (Answer::Refused(Why::Quota), half),
        (Answer::Refused(Why::ViewIsOld), Order::End(End::LookAgain)),
        (Answer::Refused(Why::ForGood), Order::End(End::Refused)),
        (Answer::Refused(Why::Other), Order::End(End::Stopped)),
    ] {
        assert_eq!(after(answer, MANNER).0, expected, "{answer:?}");
    }
}

#[test]
fn what_is_over_later_ends_the_pass() {
    let manner = Manner {
        over_when_answered: false,
        ..MANNER
    };
    assert_eq!(after(Answer::Done, manner).0, Order::End(End::Working));
}

#[test]
fn a_throttled_call_waits_for_nobody_while_it_holds_the_groups_of_others() {
    let manner = Manner {
        may_wait: false,
        ..MANNER
    };
    let throttled = Answer::Refused(Why::Throttled);
    assert_eq!(after(throttled, manner).0, Order::End(End::Stopped));
}

#[test]
fn an_unanswered_call_is_repeated_once_and_as_it_was() {
    let manner = Manner {
        has_tokens: true,
        ..MANNER
    };
    let at = Duration::from_secs;
    let mut trials = Trials::default();
    let (order, carry) = after(Answer::Unknown, manner);
    let again = Order::Look {
        batch: vec![1, 2],
        repeating: true,
    };
    assert_eq!(order, again);
    let lost = |sent, why| {
        Order::End(End::Lost {
            sent,
            batch: vec![1, 2],
            why,
        })
    };
    // Another batch would not settle it, nor would the same one after the token is forgotten.
    for (batch, now) in [(vec![1], at(9)), (vec![], at(9)), (vec![1, 2], at(607))] {
        let order = carry.clone().hear(News::MaySend(batch), now, &mut trials);
        assert_eq!(order, lost(at(7), Loss::Changed));
    }
    let order = carry.clone().hear(News::MayNot, at(9), &mut trials);
    assert_eq!(order, lost(at(7), Loss::MayNot));
    let mut carry = carry;
    let order = carry.hear(News::MaySend(vec![1, 2]), at(606), &mut trials);
    assert_eq!(order, Order::Send(vec![1, 2]));
    for answer in [
        Answer::Unknown,
        Answer::NotSent(Why::Other),
        Answer::Refused(Why::OneIsBad(Code(1))),
    ] {
        let sent = at(606);
        let news = News::Answer { sent, answer };
        let order = carry.clone().hear(news, at(610), &mut trials);
        assert_eq!(order, lost(at(606), Loss::Answer), "{answer:?}");
    }
    let answer = Answer::Done;
    let news = News::Answer {
        sent: at(606),
        answer,
    };
    assert_eq!(
        carry.hear(news, at(610), &mut trials),
        Order::End(End::Complete)
    );
}

/// Sends `names` to a cloud that refuses every call with a bad member; returns (calls, accepted, bad).
fn send(names: u32, limit: usize, is_bad: impl Fn(u32) -> bool) -> (usize, usize, Vec<u32>) {
    let names: Vec<_> = (0..names).collect();
    let mut trials = Trials::default();
    let manner = Manner { limit, ..MANNER };
    let (mut carry, mut order) = Carry::new(manner, &names, &trials);
    let (mut calls, at) = (0, Duration::ZERO);
    loop {
        let news = match order {
            Order::Look { batch, .. } => News::MaySend(batch),
            Order::Send(batch) => {
                calls += 1;
                let answer = match batch.iter().any(|name| is_bad(*name)) {
                    true => Answer::Refused(Why::OneIsBad(Code(7))),
                    false => Answer::Done,
                };
                News::Answer { sent: at, answer }
            }
            Order::Wait { .. } | Order::End(_) => break,
        };
        order = carry.hear(news, at, &mut trials);
    }
    assert_eq!(carry.accepted.len() + carry.bad.len(), names.len());
    (calls, carry.accepted.len(), carry.bad)
}

#[test]
fn a_list_that_is_bad_as_a_whole_costs_a_few_calls_and_no_more() {
    for (names, limit, most) in [(200, 200, 25), (60, 20, 20), (1000, 40, 25)] {
        let (calls, accepted, bad) = send(names, limit, |_| true);
        assert_eq!((accepted, bad.len()), (0, names as usize));
        assert!(
            calls <= most,
            "{calls} calls for {names} in calls of {limit}"
        );
    }
}

#[test]
fn three_bad_ones_at_the_beginning_do_not_stand_for_all_the_others() {
    for bad in [[0, 1, 2], [0, 1, 199], [5, 6, 7], [50, 51, 52]] {
        let (calls, accepted, found) = send(200, 200, |name| bad.contains(&name));
        assert_eq!((accepted, found.len()), (197, 3), "{bad:?}");
        assert!(calls <= 1 + 3 * 2 * 8, "{calls} calls for {bad:?}");
    }
}
