//! Which objects are as they should be: one watch, since to list ten thousand objects again and again would take the
//! processors from what is measured.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, Resource,
    api::ObjectMeta,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// What is read of an object.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Membership {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

impl Resource for Membership {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ServerGroupMembership".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "servergroup.alicloud.dev".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "servergroupmemberships".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Membership {
    /// The generation up to which it is as it should be; 0 if it is not.
    fn converged(&self) -> i64 {
        let now = self.metadata.generation;
        let ready = self.status.conditions.iter().any(|condition| {
            condition.type_ == "Ready"
                && condition.status == "True"
                && condition.observed_generation == now
        });
        now.filter(|_| ready).unwrap_or_default()
    }
}

/// How many objects there are, and how many are as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub objects: usize,
    pub converged: usize,
    /// Versions of objects that were seen.
    pub versions: usize,
}

/// A watch over all objects, until it is dropped.
pub struct Converged {
    /// The generation up to which each is as it should be.
    generations: Arc<Mutex<HashMap<String, i64>>>,
    progress: watch::Receiver<Progress>,
    watching: JoinHandle<()>,
}

impl Drop for Converged {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Converged {
    /// Starts to watch.
    pub fn watch(client: Client) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        let generations = Arc::<Mutex<HashMap<_, _>>>::default();
        let noted = Arc::clone(&generations);
        let watching = tokio::spawn(async move {
            let api = Api::<Membership>::all(client);
            let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
            tokio::pin!(events);
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(object) | Event::InitApply(object)) = event else {
                    continue;
                };
                let converged = object.converged();
                let name = object.metadata.name.unwrap_or_default();
                let mut noted = noted.lock();
                let before = noted.insert(name, converged);
                let objects = noted.len();
                drop(noted);
                sender.send_modify(|progress| {
                    progress.objects = objects;
                    progress.converged -= usize::from(before.is_some_and(|before| before > 0));
                    progress.converged += usize::from(converged > 0);
                    progress.versions += 1;
                });
            }
        });
        Self {
            generations,
            progress,
            watching,
        }
    }

    /// How far they are.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until so many objects are there.
    ///
    /// # Errors
    ///
    /// They are not within a minute after the last one came.
    pub async fn seen(&mut self, objects: usize) -> Result<()> {
        self.until(objects, |progress| progress.objects).await
    }

    /// Waits until so many are as they should be.
    ///
    /// # Errors
    ///
    /// For a while fewer than one in a hundred were written.
    pub async fn all(&mut self, objects: usize) -> Result<()> {
        self.until(objects, |progress| progress.converged).await
    }

    async fn until(&mut self, goal: usize, count: impl Fn(&Progress) -> usize) -> Result<()> {
        loop {
            // All of them are looked at before the first is looked at again and found to be as it should be.
            let next = self.progress().versions + (goal / 100).max(1);
            let moves = |progress: &Progress| count(progress) >= goal || progress.versions >= next;
            let moved = timeout_at(
                Instant::now() + WITHOUT_PROGRESS,
                self.progress.wait_for(moves),
            );
            match moved
                .await
                .map(|more| more.map(|progress| count(&progress)))
            {
                Ok(Ok(now)) if now >= goal => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => bail!("the watch over all objects ended"),
                Err(_) => {
                    let now = count(&self.progress());
                    bail!("no progress for {WITHOUT_PROGRESS:?}: {now} of {goal} objects")
                }
            }
        }
    }

    /// Waits until one object that was changed so often is as it should be.
    ///
    /// # Errors
    ///
    /// It is not within a minute.
    pub async fn one(&mut self, name: &str, generation: i64) -> Result<()> {
        let generations = Arc::clone(&self.generations);
        let converged = |_: &Progress| {
            let generations = generations.lock();
            generations.get(name).is_some_and(|of| *of >= generation)
        };
        let waited = self.progress.wait_for(converged);
        timeout_at(Instant::now() + WITHOUT_PROGRESS, waited)
            .await
            .with_context(|| format!("{name} has not converged within {WITHOUT_PROGRESS:?}"))?
            .context("the watch over all objects ended")?;
        Ok(())
    }
}

/// How long nothing may move before it counts as stuck. Everything is looked at once before the first is looked at again, and
/// the cloud and the API server have only what the operator leaves of two processors.
const WITHOUT_PROGRESS: Duration = Duration::from_mins(4);
