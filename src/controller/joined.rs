//! Lists that are joined: those who ask while one is under way are served by the next.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Lists of one kind. Those who ask while one is under way are all served by the next.
#[derive(Debug, Default)]
pub struct Joined {
    begun: AtomicU64,
    /// The number of the last one that ended well. Held while one is under way.
    ended: Mutex<u64>,
}

impl Joined {
    /// Waits for a list that begins after this moment.
    ///
    /// # Errors
    ///
    /// The error of `list`. Those who wait behind it then try for themselves.
    pub async fn next<E>(&self, list: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        if *ended > before {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        list.await?;
        *ended = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use tokio::sync::{Notify, Semaphore};

    use super::*;

    #[tokio::test]
    async fn who_asks_while_a_list_is_under_way_is_served_by_the_next_together_with_all_who_wait() {
        let (lists, gate) = (Arc::new(Joined::default()), Arc::new(Semaphore::new(0)));
        let (count, arrived) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (lists, gate) = (Arc::clone(&lists), Arc::clone(&gate));
            let (count, arrived) = (Arc::clone(&count), Arc::clone(&arrived));
            tokio::spawn(async move {
                let list = async {
                    count.fetch_add(1, Ordering::SeqCst);
                    arrived.notify_one();
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(())
                };
                lists.next(list).await.unwrap();
            })
        };
        let first = ask();
        arrived.notified().await;
        // These asked after it began: what it shows may be from before their intents.
        let others = [ask(), ask(), ask()];
        tokio::task::yield_now().await;
        gate.add_permits(1);
        first.await.unwrap();
        arrived.notified().await;
        gate.add_permits(1);
        for other in others {
            other.await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_list_that_fails_serves_nobody() {
        let lists = Joined::default();
        lists.next(async { Err(()) }).await.unwrap_err();
        let mut asked = false;
        let list = async {
            asked = true;
            Ok::<_, ()>(())
        };
        lists.next(list).await.unwrap();
        assert!(asked);
    }
}
