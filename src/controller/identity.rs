//! Whose cloud account a key belongs to: asked once for each key.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cloud::{self, Cloud, Network};

/// Answers of `GetCallerIdentity` by access key id.
///
/// A key belongs to one account as long as it exists, so an answer never gets old; whenever the source yields
/// another key, it is asked again. Who asks meanwhile waits for the answer, and takes a failure as well: a hundred
/// objects that find the endpoint out of reach find it out together.
#[derive(Debug, Default)]
pub struct Identities {
    known: Mutex<HashMap<String, String>>,
    /// By key and by where it is asked: one endpoint out of reach keeps nobody waiting for another.
    asking: Mutex<HashMap<Asking, Arc<tokio::sync::Mutex<Failed>>>>,
}

type Asking = (String, String, Network);

/// The last failure, and when it was known.
type Failed = Option<(Instant, cloud::Error)>;

impl Identities {
    /// The id of the cloud account that `cloud` acts in.
    ///
    /// # Errors
    ///
    /// The credentials cannot be had, or the cloud does not take them.
    pub async fn account_id(&self, cloud: &Cloud) -> Result<String, cloud::Error> {
        let key = cloud.access_key_id().await?;
        let asking = (key, cloud.region().to_owned(), cloud.network());
        let ask = async || Ok(cloud.get_caller_identity().await?.account_id);
        self.known_or(asking, ask).await
    }

    async fn known_or(
        &self,
        asking: Asking,
        ask: impl AsyncFnOnce() -> Result<String, cloud::Error>,
    ) -> Result<String, cloud::Error> {
        let known = |key: &str| self.known.lock().get(key).cloned();
        if let Some(account) = known(&asking.0) {
            return Ok(account);
        }
        let begun = Instant::now();
        let turn = Arc::clone(self.asking.lock().entry(asking.clone()).or_default());
        let mut failed = turn.lock().await;
        if let Some(account) = known(&asking.0) {
            return Ok(account);
        }
        if let Some((at, error)) = &*failed
            && *at >= begun
        {
            return Err(error.clone());
        }
        match ask().await {
            Ok(account) => {
                self.asking.lock().remove(&asking);
                self.known.lock().insert(asking.0, account.clone());
                Ok(account)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
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
        let ask = async || {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(20)).await;
            Err(out_of_reach())
        };
        let all = (0..100).map(|_| identities.known_or(asking(Network::Vpc), ask));
        let begun = Instant::now();
        let elsewhere = async {
            let ask = async || Err(out_of_reach());
            let answer = identities.known_or(asking(Network::Public), ask).await;
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

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_kept_for_whoever_asks_later() {
        let identities = Identities::default();
        let ask = || identities.known_or(asking(Network::Vpc), async || Err(out_of_reach()));
        ask().await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let account = identities
            .known_or(asking(Network::Vpc), async || Ok("1".into()))
            .await;
        assert_eq!(account.unwrap(), "1");
        assert_eq!(ask().await.unwrap(), "1", "known from now on");
    }
}
