//! Whose cloud account a key belongs to: asked once for each key.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pace::backoff;
use crate::{
    cloud::{self, Cloud, Network},
    timing::Timing,
};

/// The most keys that are known, and the most questions that failed. Temporary keys come and go.
const KNOWN_MAX: usize = 1000;

/// Answers of `GetCallerIdentity` by access key id.
///
/// A key belongs to one account as long as it exists, so an answer never gets old; whenever the source yields another
/// key, it is asked again. Objects that ask meanwhile wait for the answer, and take a failure as well. A failure holds
/// for a while that grows with failures in a row: however many objects use a broken account, they cost one call then.
#[derive(Debug, Default)]
pub struct Identities {
    known: Mutex<HashMap<String, cloud::Identity>>,
    /// By key and by where it is asked: one endpoint out of reach keeps nobody waiting for another.
    asking: Mutex<HashMap<Asking, Arc<tokio::sync::Mutex<Option<Failed>>>>>,
}

type Asking = (String, String, Network);

/// The last of some failures in a row.
#[derive(Debug)]
struct Failed {
    error: cloud::Error,
    failures: u32,
    /// When it was known.
    at: Instant,
    /// From when on it is asked again.
    until: Instant,
}

impl Identities {
    /// Who the cloud takes `cloud` for, which signs with this `key`.
    ///
    /// # Errors
    ///
    /// The credentials cannot be had, or the cloud does not take them, or did not a short while ago.
    pub async fn of(
        &self,
        cloud: &Cloud,
        key: String,
        timing: &Timing,
    ) -> Result<cloud::Identity, cloud::Error> {
        let asking = (key, cloud.region().to_owned(), cloud.network());
        let ask = async || cloud.get_caller_identity().await;
        self.known_or(asking, timing, ask).await
    }

    /// Takes in that the cloud does not take this key any more: before it is used again it is asked for anew.
    pub fn doubt(&self, key: &str) {
        self.known.lock().remove(key);
    }

    async fn known_or(
        &self,
        asking: Asking,
        timing: &Timing,
        ask: impl AsyncFnOnce() -> Result<cloud::Identity, cloud::Error>,
    ) -> Result<cloud::Identity, cloud::Error> {
        let known = |key: &str| self.known.lock().get(key).cloned();
        if let Some(identity) = known(&asking.0) {
            return Ok(identity);
        }
        let begun = Instant::now();
        let turn = Arc::clone(
            within(&mut self.asking.lock())
                .entry(asking.clone())
                .or_default(),
        );
        let mut failed = turn.lock().await;
        if let Some(identity) = known(&asking.0) {
            return Ok(identity);
        }
        if let Some(failed) = &*failed
            && (failed.at >= begun || begun < failed.until)
        {
            return Err(failed.error.clone());
        }
        match ask().await {
            Ok(identity) => {
                self.asking.lock().remove(&asking);
                within(&mut self.known.lock()).insert(asking.0, identity.clone());
                Ok(identity)
            }
            Err(error) => {
                let failures = failed.as_ref().map_or(1, |failed| failed.failures + 1);
                let at = Instant::now();
                *failed = Some(Failed {
                    error: error.clone(),
                    failures,
                    at,
                    until: at + backoff(failures, timing),
                });
                Err(error)
            }
        }
    }
}

/// The same map, emptied if it is full: its entries are found out again.
fn within<K, V>(map: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if map.len() >= KNOWN_MAX {
        map.clear();
    }
    map
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::future::join_all;

    use super::*;
    use crate::cloud::{Kind, Outcome};

    fn out_of_reach() -> cloud::Error {
        cloud::Error {
            action: "GetCallerIdentity",
            code: String::new(),
            message: "no connection".into(),
            request_id: None,
            http_status: None,
            kind: Kind::Transient,
            outcome: Outcome::NotSent,
            retry_after: None,
        }
    }

    fn asking(network: Network) -> Asking {
        ("key".into(), "cn-hangzhou".into(), network)
    }

    /// Each of many objects once found out for itself that the endpoint is out of reach, one after another.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_takes_a_failure_as_well() {
        let (identities, asked) = (Identities::default(), AtomicUsize::new(0));
        let timing = Timing::production();
        let ask = async || {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(20)).await;
            Err(out_of_reach())
        };
        let all = (0..100).map(|_| identities.known_or(asking(Network::Vpc), &timing, ask));
        let begun = Instant::now();
        let elsewhere = async {
            let ask = async || Err(out_of_reach());
            let answer = identities
                .known_or(asking(Network::Public), &timing, ask)
                .await;
            (answer.is_err(), begun.elapsed())
        };
        let (all, elsewhere) = futures::join!(join_all(all), elsewhere);
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(
            elsewhere,
            (true, Duration::ZERO),
            "nobody waits for another endpoint"
        );
    }

    /// Each of many objects asked by itself, however often the key had been refused.
    #[tokio::test(start_paused = true)]
    async fn a_failure_holds_for_a_while_that_grows_and_heals_by_itself() {
        let (identities, asked) = (Identities::default(), AtomicUsize::new(0));
        let timing = Timing::production();
        let ask = || {
            let ask = async || {
                asked.fetch_add(1, Ordering::SeqCst);
                Err(out_of_reach())
            };
            identities.known_or(asking(Network::Vpc), &timing, ask)
        };
        // A hundred objects, each once a second, for an hour.
        for _ in 0..3600 {
            assert!(
                join_all((0..100).map(|_| ask()))
                    .await
                    .iter()
                    .all(Result::is_err)
            );
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let most = 9 + 3600 / 60;
        let asked = asked.load(Ordering::SeqCst);
        assert!((12..most).contains(&asked), "{asked} calls");
        tokio::time::advance(timing.backoff_max).await;
        let owner = || cloud::Identity {
            account_id: "1".into(),
            arn: "acs:ram::1:user/a".into(),
        };
        let good = async || Ok(owner());
        let identity = identities.known_or(asking(Network::Vpc), &timing, good);
        assert_eq!(identity.await.unwrap(), owner());
        assert_eq!(ask().await.unwrap(), owner(), "known from now on");
        identities.doubt("key");
        ask().await.unwrap_err();
    }
}
