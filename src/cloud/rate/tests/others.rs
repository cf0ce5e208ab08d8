//! A bucket among others who use the same quota, which the simulator counts, in virtual time.
//!
//! There is always something to send. An answer takes 50 ms. The others send their share evenly, each call somewhere
//! in its part of the time; one that is refused is lost to them.

use std::{cell::RefCell, rc::Rc};

use server_group_sim::rate::Rate;
use tokio::{task::LocalSet, time::sleep_until};

use super::*;

/// A quota of so many calls in so many seconds.
pub(super) fn quota(calls: usize, seconds: u32) -> Rate {
    let mut quota = Rate::new("any", None, calls);
    quota.seconds = f64::from(seconds);
    quota
}

/// How long the others keep to one share.
const PHASE: Duration = Duration::from_mins(30);

const LATENCY: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Default)]
struct Count {
    sent: u32,
    accepted: u32,
}

impl Count {
    fn part(self) -> f64 {
        match self.sent {
            0 => 1.0,
            sent => f64::from(self.accepted) / f64::from(sent),
        }
    }
}

#[derive(Default)]
struct Counts {
    ours: Count,
    theirs: Count,
}

struct Cloud {
    begun: Instant,
    rate: RefCell<Rate>,
    counts: RefCell<Counts>,
}

impl Cloud {
    fn call(&self, of: fn(&mut Counts) -> &mut Count) -> Result<(), Duration> {
        let now = self.begun.elapsed().as_secs_f64();
        let taken = self.rate.borrow_mut().take(now, "action", "account");
        let mut counts = self.counts.borrow_mut();
        let count = of(&mut counts);
        count.sent += 1;
        count.accepted += u32::from(taken.is_ok());
        taken.map_err(Duration::from_secs_f64)
    }
}

async fn we(cloud: Rc<Cloud>, bucket: Arc<Bucket>) {
    loop {
        bucket.take(Sweep).await.spend();
        let answer = cloud.call(|counts| &mut counts.ours);
        let bucket = Arc::clone(&bucket);
        // Only what was refused tells the bucket anything.
        if let Err(hint) = answer {
            tokio::task::spawn_local(async move {
                sleep(LATENCY).await;
                bucket.throttled(Some(hint));
            });
        }
    }
}

/// So many calls a second.
async fn they(cloud: Rc<Cloud>, rate: f64, mut random: fastrand::Rng) {
    let begun = Instant::now();
    if rate == 0.0 {
        return;
    }
    for number in 0_u32.. {
        let at = (f64::from(number) + random.f64()) / rate;
        sleep_until(begun + Duration::from_secs_f64(at)).await;
        // A call that is refused is lost.
        cloud.call(|counts| &mut counts.theirs).ok();
    }
}

/// Lets the others take these shares of a quota one after the other; prints and checks what each gets.
async fn among_others(service: Service, action: &'static str, shares: &[f64]) {
    let (calls, seconds) = super::super::quota(service, action);
    let cloud = Rc::new(Cloud {
        begun: Instant::now(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "quotas are small whole numbers"
        )]
        rate: RefCell::new(quota(calls as usize, seconds as u32)),
        counts: RefCell::default(),
    });
    let bucket = Rates::new(Timing::production(), Metrics::default()).bucket(Counted {
        service,
        ..counted(action)
    });
    let mut failed = Vec::new();
    let local = LocalSet::new();
    local.spawn_local(we(Rc::clone(&cloud), bucket));
    for (number, share) in (1..).zip(shares) {
        let random = fastrand::Rng::with_seed(number);
        let they = they(Rc::clone(&cloud), calls / seconds * share, random);
        let they = local.spawn_local(they);
        local.run_until(sleep(PHASE)).await;
        they.abort();
        let Counts { ours, theirs } = cloud.counts.take();
        let left = calls / seconds * PHASE.as_secs_f64() * (1.0 - share);
        let (used, throttled) = (f64::from(ours.accepted) / left, 1.0 - ours.part());
        let row = format!(
            "{calls:>6}/{seconds:<2} others {:>3.0} % of {shares:?}: used {used:.3} of the rest, \
             throttled {:.2} %, others kept {:.3}",
            share * 100.0,
            throttled * 100.0,
            theirs.part()
        );
        println!("{row}");
        if used < 0.8 || throttled > 0.02 || theirs.part() < 0.95 {
            failed.push(row);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// One quota after the other, though each would be a test of its own: together they would take all processors, and
/// tests with deadlines by the clock run beside them.
#[tokio::test(start_paused = true)]
async fn a_bucket_uses_what_others_leave_of_a_quota_and_leaves_them_theirs() {
    for (service, action) in [
        (Service::Slb, "AddVServerGroupBackendServers"),
        (Service::Gwlb, "AddServersToServerGroup"),
        (Service::Nlb, "ListServerGroupServers"),
        (Service::Slb, "DescribeVServerGroupAttribute"),
    ] {
        // The last one begins with nobody else.
        for shares in [&[0.3][..], &[0.6], &[0.0, 0.6, 0.3, 0.0]] {
            among_others(service, action, shares).await;
        }
    }
}
