//! Reads that share a call, and reads that do not.

use futures::{FutureExt, future::join_all};
use tokio::time::{sleep, timeout};

use super::*;
use Urgency::{Asked, Sweep};

const WINDOW: Duration = Duration::from_millis(20);

fn scope(account: &str) -> Scope {
    Scope {
        access_key_id: account.into(),
        region: "cn-hangzhou".into(),
        network: Network::Public,
        service: Service::Ess,
        action: "DescribeScalingGroups",
    }
}

/// A far side that counts its calls and says for each id its length; it refuses every call that names `bad`.
#[derive(Clone)]
struct Far {
    calls: Arc<Mutex<Vec<Vec<String>>>>,
    bad: &'static str,
    latency: Duration,
    /// Never answers the call that is this one, from 0.
    hangs: Option<usize>,
    /// The lock that a call takes for its turn.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Far {
    fn default() -> Self {
        Self {
            calls: Arc::default(),
            bad: "",
            latency: Duration::from_millis(5),
            hangs: None,
            turn: Arc::default(),
        }
    }
}

impl Far {
    fn fetch(&self) -> Fetch<usize> {
        let far = self.clone();
        Arc::new(move || {
            let far = far.clone();
            async move {
                drop(far.turn.lock().await);
                let exchange: Exchange<usize> = Box::new(|ids| far.answer(ids).boxed());
                exchange
            }
            .boxed()
        })
    }

    async fn answer(self, ids: Vec<String>) -> Fetched<usize> {
        let begun = Instant::now();
        let number = {
            let mut calls = self.calls.lock();
            calls.push(ids.clone());
            calls.len() - 1
        };
        if self.hangs == Some(number) {
            std::future::pending::<()>().await;
        }
        sleep(self.latency).await;
        if ids.iter().any(|id| id == self.bad) {
            return Err(refusal());
        }
        let rows = ids.into_iter().filter(|id| id != "none");
        Ok((begun, rows.map(|id| (id.clone(), id.len())).collect()))
    }

    /// The ids that each call named.
    fn named(&self) -> Vec<Vec<String>> {
        self.calls.lock().clone()
    }

    fn most(&self) -> Option<usize> {
        self.calls.lock().iter().map(Vec::len).max()
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
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
        .map(|id| together.ask(scope("a"), Sweep, id, keep(), far.fetch()));
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
    assert_eq!((far.calls(), far.most()), (5, Some(20)));
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
            let row = together
                .ask(scope("a"), Sweep, &id, accepts, far.fetch())
                .await;
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
        let row = together
            .ask(scope("a"), Sweep, &id, accepts, far.fetch())
            .await;
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
    let first = together.ask(scope("a"), Sweep, "asg-0", accepts(), far.fetch());
    let second = async {
        // The first has left and is not back yet.
        sleep(WINDOW + Duration::from_millis(2)).await;
        let row = together.ask(scope("a"), Sweep, "asg-1", accepts(), far.fetch());
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
        .ask(scope("a"), Sweep, "asg-0", Freshness::now(), far.fetch())
        .await;
    assert!(row.unwrap().unwrap().0 >= asked);
    assert_eq!(far.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn answers_are_not_shared_between_accounts_regions_networks_services_or_actions() {
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
        Scope {
            action: "DescribeScalingActivities",
            ..scope("a")
        },
    ];
    for other in others {
        let (together, far) = (Together::new(WINDOW), Far::default());
        let told = format!("{other:?}");
        let (one, other) = (
            together.ask(scope("a"), Sweep, "asg-1", keep(), far.fetch()),
            together.ask(other, Sweep, "asg-1", keep(), far.fetch()),
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
    let asks = ids.map(|id| together.ask(scope("a"), Sweep, id, keep(), far.fetch()));
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
        let row = together
            .ask(scope("a"), Sweep, "asg-0", keep(), far.fetch())
            .await;
        assert!(row.unwrap().is_some());
        // In company that spoils the call, then by itself; from then on without.
        assert_eq!(far.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_asked_for_anew() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    for times in 1..=2 {
        let row = together
            .ask(scope("a"), Sweep, "none", keep(), far.fetch())
            .await;
        assert!(row.unwrap().is_none());
        assert_eq!(far.calls(), times);
    }
}

#[tokio::test(start_paused = true)]
async fn the_others_get_their_answer_when_the_first_gives_up() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let mut first = Box::pin(together.ask(scope("a"), Sweep, "asg-1", keep(), far.fetch()));
    let mut second = Box::pin(together.ask(scope("a"), Sweep, "asg-2", keep(), far.fetch()));
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
        Arc::new(move || {
            let (bucket, fetch) = (Arc::clone(&bucket), Arc::clone(&fetch));
            async move {
                let _turn = bucket.lock().await;
                sleep(Duration::from_secs(1)).await;
                fetch().await
            }
            .boxed()
        })
    };
    let asked = together.ask(scope("a"), Sweep, "asg-1", keep(), waiting);
    // It has its turn, and whoever asked leaves.
    let left = timeout(WINDOW * 2, asked).await;
    assert!(left.is_err());
    let turn = timeout(Duration::from_mins(1), bucket.lock()).await;
    assert!(turn.is_ok(), "the turn is free again");
    sleep(WINDOW).await;
    assert_eq!(far.calls(), 1);
}

/// Asks for `count` ids, one each `every`; returns how long each waited, in the order of asking.
async fn one_by_one(
    together: &Together<usize>,
    far: &Far,
    count: u32,
    every: Duration,
) -> Vec<Duration> {
    let asks = (0..count).map(|number| async move {
        sleep(every * number).await;
        let asked = Instant::now();
        let id = format!("asg-{number}");
        let row = together.ask(scope("a"), Sweep, &id, Freshness::now(), far.fetch());
        // A read that hangs for ever counts as having waited that long.
        _ = timeout(Duration::from_mins(1), row).await;
        asked.elapsed()
    });
    join_all(asks).await
}

#[tokio::test(start_paused = true)]
async fn a_hundred_that_ask_one_after_the_other_within_a_moment_take_few_calls() {
    let far = Far {
        latency: Duration::from_millis(50),
        ..Far::default()
    };
    let together = Together::new(WINDOW);
    let waited = one_by_one(&together, &far, 100, Duration::from_millis(15)).await;
    assert!(far.calls() <= 25, "{} calls", far.calls());
    let longest = waited.into_iter().max().unwrap();
    let bound = WINDOW + 2 * far.latency + Duration::from_millis(5);
    assert!(longest <= bound, "somebody waited {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long_because_of_a_call_that_hangs() {
    let far = Far {
        hangs: Some(0),
        ..Far::default()
    };
    let together = Together::new(WINDOW);
    let waited = one_by_one(&together, &far, 200, Duration::from_millis(100)).await;
    let minute = Duration::from_mins(1);
    assert_eq!(waited[0], minute, "it hangs");
    let bound = Duration::from_secs(2) + far.latency + Duration::from_millis(5);
    let longest = waited.into_iter().skip(1).max().unwrap();
    assert!(longest <= bound, "somebody waited {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_call_leaves_whatever_else_is_on_its_way() {
    let far = Far {
        latency: Duration::from_secs(1),
        ..Far::default()
    };
    let together = Together::new(WINDOW);
    let waited = one_by_one(&together, &far, 21, Duration::from_millis(1)).await;
    // The window ended just when the last but one of 21 asked.
    assert!(waited[0] <= Duration::from_millis(1025), "{waited:?}");
    let before = far.calls();
    let begun = Instant::now();
    let (alone, all) = futures::join!(one_by_one(&together, &far, 1, Duration::ZERO), async {
        sleep(WINDOW * 2).await;
        all(&together, &far, 40).await
    });
    assert!(all.iter().all(Option::is_some) && alone.len() == 1);
    assert_eq!(far.calls() - before, 3);
    assert!(begun.elapsed() < Duration::from_millis(1050));
}

#[tokio::test(start_paused = true)]
async fn ids_join_a_call_that_waits_for_its_turn() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let turn = Arc::clone(&far.turn).lock_owned().await;
    let asks = one_by_one(&together, &far, 20, Duration::from_millis(100));
    let (waited, ()) = futures::join!(asks, async {
        sleep(Duration::from_secs(5)).await;
        drop(turn);
    });
    assert_eq!(far.calls(), 1, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_urgent_read_overtakes_and_takes_along_who_waits() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    // The regular looks do not get their turn.
    let looks = Far::default();
    let turn = Arc::clone(&looks.turn).lock_owned().await;
    let ask = |urgency, id: &'static str, far: &Far| {
        together.ask(scope("a"), urgency, id, Freshness::now(), far.fetch())
    };
    let looking = join_all(["asg-1", "asg-2"].map(|id| ask(Sweep, id, &looks)));
    let asking = async {
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        let row = ask(Asked, "asg-2", &far).await;
        assert!(row.unwrap().is_some());
        asked.elapsed()
    };
    let begun = Instant::now();
    let (looked, waited) = futures::join!(looking, asking);
    assert!(waited <= WINDOW + far.latency * 2, "{waited:?}");
    assert!(looked.into_iter().all(|row| row.unwrap().is_some()));
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "with their turn still taken"
    );
    assert_eq!(far.named(), [["asg-1", "asg-2"]]);
    // And then there is nothing left to look at.
    drop(turn);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(looks.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_urgent_read_takes_along_no_more_than_fit() {
    let (together, far) = (Together::new(WINDOW), Far::default());
    let looks = Far::default();
    let turn = Arc::clone(&looks.turn).lock_owned().await;
    let asking = async {
        sleep(Duration::from_secs(1)).await;
        let row = together.ask(scope("a"), Asked, "asg-x", Freshness::now(), far.fetch());
        assert!(row.await.unwrap().is_some());
        drop(turn);
    };
    let looking = one_by_one(&together, &looks, 25, Duration::ZERO);
    futures::join!(looking, asking);
    assert_eq!((far.calls(), far.most()), (1, Some(20)));
    let named: usize = looks.named().iter().map(Vec::len).sum();
    assert_eq!(named, 25 - 19);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_call_that_breaks_down_is_told() {
    let together: Together<usize> = Together::new(WINDOW);
    let broken: Fetch<usize> = Arc::new(|| async { panic!("as the test wants it") }.boxed());
    let row = together.ask(scope("a"), Sweep, "asg-1", keep(), broken);
    assert_eq!(row.await.unwrap_err().kind, Kind::Transient);
    let far = Far::default();
    let row = together.ask(scope("a"), Sweep, "asg-1", keep(), far.fetch());
    assert!(
        row.await.unwrap().is_some(),
        "and the next one does not wait"
    );
}
