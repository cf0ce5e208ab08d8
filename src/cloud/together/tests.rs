//! Who shares a call with whom, and who does not.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;

use super::*;
use crate::cloud::error::Outcome;

const WINDOW: Duration = Duration::from_millis(20);

fn scope(account: &str) -> Scope {
    Scope {
        access_key_id: account.into(),
        region: "cn-hangzhou".into(),
        network: Network::Public,
        service: Service::Ess,
    }
}

/// A far side that counts its calls and says for each id its length; it refuses every call that names `bad`.
#[derive(Clone, Default)]
struct Far {
    calls: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    bad: &'static str,
}

impl Far {
    fn fetch(&self) -> Fetch<usize> {
        let far = self.clone();
        Arc::new(move |ids| {
            let far = far.clone();
            let begun = Instant::now();
            async move {
                far.calls.fetch_add(1, Ordering::SeqCst);
                far.most.fetch_max(ids.len(), Ordering::SeqCst);
                sleep(Duration::from_millis(5)).await;
                if ids.iter().any(|id| id == far.bad) {
                    return Err(refusal());
                }
                let rows = ids.into_iter().filter(|id| id != "none");
                Ok((begun, rows.map(|id| (id.clone(), id.len())).collect()))
            }
            .boxed()
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn refusal() -> Error {
    Error {
        action: "DescribeScalingGroups",
        code: "Forbidden.RAM".into(),
        message: String::new(),
        request_id: None,
        http_status: Some(403),
        kind: Kind::Denied,
        outcome: Outcome::Refused,
        retry_after: None,
    }
}

fn keep() -> Freshness {
    Freshness {
        since: Instant::now(),
        keep: Duration::from_secs(30),
    }
}

async fn all(together: &Together<usize>, far: &Far, count: usize) -> Vec<Option<usize>> {
    let ids: Vec<_> = (0..count).map(|number| format!("asg-{number}")).collect();
    let asks = ids
        .iter()
        .map(|id| together.ask(scope("a"), id, keep(), far.fetch()));
    let answers = join_all(asks).await;
    answers
        .into_iter()
        .map(|answer| answer.unwrap().map(|(_, row)| row))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_that_ask_together_take_five_calls() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let rows = all(&together, &far, 100).await;
    assert!(rows.iter().all(Option::is_some));
    assert_eq!((far.calls(), far.most.load(Ordering::SeqCst)), (5, 20));
}

#[tokio::test(start_paused = true)]
async fn twenty_that_look_at_other_times_of_one_interval_share_a_call() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    all(&together, &far, 20).await;
    for round in 1..=3_usize {
        sleep(Duration::from_mins(4)).await;
        for number in 0..20 {
            let accepts = Freshness {
                since: Instant::now().checked_sub(Duration::from_secs(30)).unwrap(),
                keep: Duration::from_secs(30),
            };
            let id = format!("asg-{number}");
            let row = together.ask(scope("a"), &id, accepts, far.fetch()).await;
            assert!(row.unwrap().is_some());
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(far.calls(), 1 + round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_take_five_calls_an_interval_though_each_is_due_at_another_time() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    all(&together, &far, 100).await;
    sleep(Duration::from_mins(4)).await;
    for number in 0..100 {
        let id = format!("asg-{}", number * 37 % 100);
        let accepts = Freshness {
            since: Instant::now().checked_sub(Duration::from_secs(30)).unwrap(),
            keep: Duration::from_secs(30),
        };
        let row = together.ask(scope("a"), &id, accepts, far.fetch()).await;
        assert!(row.unwrap().is_some());
        sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(far.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_somebody_else_does_so_along_with_others_waits_for_that() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    all(&together, &far, 20).await;
    sleep(Duration::from_mins(4)).await;
    let accepts = || Freshness {
        since: Instant::now().checked_sub(Duration::from_secs(30)).unwrap(),
        keep: Duration::from_secs(30),
    };
    let first = together.ask(scope("a"), "asg-0", accepts(), far.fetch());
    let second = async {
        // The first has left and is not back yet.
        sleep(WINDOW + Duration::from_millis(2)).await;
        let row = together.ask(scope("a"), "asg-1", accepts(), far.fetch());
        row.await
    };
    let (first, second) = futures::join!(first, second);
    assert!(first.unwrap().is_some() && second.unwrap().is_some());
    assert_eq!(far.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_an_answer_that_is_older_than_accepted() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    all(&together, &far, 1).await;
    let asked = Instant::now();
    let row = together
        .ask(scope("a"), "asg-0", Freshness::now(), far.fetch())
        .await;
    assert!(row.unwrap().unwrap().0 >= asked);
    assert_eq!(far.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn answers_are_not_shared_between_accounts_regions_networks_or_services() {
    let others = [
        scope("b"),
        Scope {
            region: "cn-beijing".into(),
            ..scope("a")
        },
        Scope {
            network: Network::Vpc,
            ..scope("a")
        },
        Scope {
            service: Service::Nlb,
            ..scope("a")
        },
    ];
    for other in others {
        let (together, far) = (Together::new(WINDOW), Far::default());
        let told = format!("{other:?}");
        let (one, other) = (
            together.ask(scope("a"), "asg-1", keep(), far.fetch()),
            together.ask(other, "asg-1", keep(), far.fetch()),
        );
        let (one, other) = futures::join!(one, other);
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(far.calls(), 2, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_id_that_spoils_the_call_does_not_spoil_it_for_the_others() {
    let far = Far {
        bad: "asg-2",
        ..Far::default()
    };
    let together = Together::new(WINDOW);
    let ids = ["asg-1", "asg-2", "asg-3"];
    let asks = ids.map(|id| together.ask(scope("a"), id, keep(), far.fetch()));
    let answers = join_all(asks).await;
    assert_eq!(
        answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(far.calls(), 4, "together, then each by itself");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_read_any_more_keeps_nobody_company() {
    let together = Together::new(WINDOW);
    let fine = Far::default();
    all(&together, &fine, 3).await;
    let far = Far {
        bad: "asg-2",
        ..Far::default()
    };
    for calls in [2, 3] {
        sleep(Duration::from_secs(40)).await;
        let row = together.ask(scope("a"), "asg-0", keep(), far.fetch()).await;
        assert!(row.unwrap().is_some());
        // In company that spoils the call, then by itself; from then on without.
        assert_eq!(far.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_asked_for_anew() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    for times in 1..=2 {
        let row = together.ask(scope("a"), "none", keep(), far.fetch()).await;
        assert!(row.unwrap().is_none());
        assert_eq!(far.calls(), times);
    }
}

#[tokio::test(start_paused = true)]
async fn the_others_get_their_answer_when_the_first_gives_up() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let mut first = Box::pin(together.ask(scope("a"), "asg-1", keep(), far.fetch()));
    let mut second = Box::pin(together.ask(scope("a"), "asg-2", keep(), far.fetch()));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    assert!(second.await.unwrap().is_some());
    assert_eq!(far.calls(), 1);
}

/// A call that nobody waited for any more once kept its place before a bucket, and everybody behind it waiting.
#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_any_more_goes_on_and_lets_others_pass() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let bucket = Arc::new(tokio::sync::Mutex::new(()));
    let waiting: Fetch<usize> = {
        let (bucket, fetch) = (Arc::clone(&bucket), far.fetch());
        Arc::new(move |ids| {
            let (bucket, fetch) = (Arc::clone(&bucket), Arc::clone(&fetch));
            async move {
                let _turn = bucket.lock().await;
                sleep(Duration::from_secs(1)).await;
                fetch(ids).await
            }
            .boxed()
        })
    };
    let asked = together.ask(scope("a"), "asg-1", keep(), waiting);
    // It has its turn, and whoever asked leaves.
    let left = tokio::time::timeout(WINDOW * 2, asked).await;
    assert!(left.is_err());
    let turn = tokio::time::timeout(Duration::from_mins(1), bucket.lock()).await;
    assert!(turn.is_ok(), "the turn is free again");
    assert_eq!(far.calls(), 1);
}
