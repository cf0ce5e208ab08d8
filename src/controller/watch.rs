//! Watches that keep what is known of objects and accounts up to date.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, utils::Backoff, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    Context, accounts::Selects, events::chain, managed::Managed, pace, scope::Scope,
    unreadable::Sent,
};
use crate::{api::CloudAccount, timing::Timing};

/// Objects in a page of a list: an object may have 330 KB.
const PAGE: u32 = 100;

/// Keeps the objects of one kind in one scope up to date, for ever; `filled` is told whenever a list is complete.
pub async fn watch_objects<M: Managed>(scope: Scope, ctx: Arc<Context>, filled: impl Fn()) {
    let registry = M::registry(&ctx);
    let api = scope.api::<Sent<M>>(&ctx.client);
    follow::<M>(M::KIND.name(), api, &ctx, |event| match event {
        Event::Init => registry.begin_list(&scope),
        Event::InitApply(object) | Event::Apply(object) => ctx.saw_sent(object),
        Event::Delete(object) => {
            if let Some(gone) = registry.forget(&object) {
                ctx.gone::<M>(gone);
            }
        }
        Event::InitDone => {
            for gone in registry.end_list(&scope) {
                ctx.gone::<M>(gone);
            }
            filled();
        }
    })
    .await;
}

/// Keeps the accounts up to date, for ever, and wakes the objects that use one that changed.
pub async fn watch_accounts(api: Api<Sent<CloudAccount>>, ctx: Arc<Context>, filled: impl Fn()) {
    follow::<CloudAccount>("CloudAccount", api, &ctx, |event| match event {
        Event::Init => ctx.accounts.begin_list(),
        Event::InitApply(account) | Event::Apply(account) => {
            ctx.saw_account(account);
            ctx.upkeep.ring();
        }
        Event::Delete(account) => ctx.lost_account(&account.name_any()),
        Event::InitDone => {
            ctx.grants_changed(ctx.accounts.end_list());
            filled();
        }
    })
    .await;
}

/// Keeps the labels of namespaces up to date, from the moment a grant selects by them, and wakes the objects that use an
/// account whose grants that changed. `filled` is told once the labels are known, or nobody has to know them.
pub async fn watch_namespaces(ctx: Arc<Context>, filled: impl Fn()) {
    let mut selects = ctx.accounts.selects();
    // The sender lives as long as the context.
    let known = selects.wait_for(|selects| *selects != Selects::Unknown);
    if known.await.is_ok_and(|selects| *selects == Selects::No) {
        filled();
        _ = selects.wait_for(|selects| *selects == Selects::Yes).await;
    }
    let namespaces = Api::<Sent<Namespace>>::all(ctx.client.clone());
    follow::<Namespace>("namespaces", namespaces, &ctx, |event| match event {
        Event::Init => ctx.accounts.begin_namespaces(),
        Event::InitApply(namespace) | Event::Apply(namespace) => {
            ctx.saw_namespace(namespace.meta());
        }
        Event::Delete(namespace) => ctx.lost_namespace(&namespace.name_any()),
        Event::InitDone => {
            ctx.grants_changed(ctx.accounts.end_namespaces());
            filled();
        }
    })
    .await;
}

async fn follow<K>(
    kind: &'static str,
    api: Api<Sent<K>>,
    ctx: &Context,
    mut take: impl FnMut(Event<Sent<K>>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut complained: Option<Instant> = None;
    let mut complain = |error: String| {
        ctx.metrics().watch_failures.one([kind]);
        let serious = ctx.watches.fails(kind);
        if let Some(time) = serious {
            tracing::error!(
                kind,
                error,
                "a watch has failed for {time:?}: this replica is not ready until it works"
            );
        }
        let often = ctx.timing.complain_every;
        if complained.is_none_or(|at| at.elapsed() >= often) {
            tracing::warn!(kind, error, "a watch broke off; trying again");
            complained = Some(Instant::now());
        }
    };
    let config = watcher::Config::default().page_size(PAGE);
    loop {
        let events = watcher(api.clone(), config.clone());
        let events = events.backoff(Waits::new(ctx.timing.clone()));
        tokio::pin!(events);
        // A watch may be silent for as long as nothing happens. A page of a list is answered, or asked for again; after a
        // failure the watch waits first.
        let page = ctx.timing.kubernetes_deadline;
        let mut patience = page;
        loop {
            let Ok(event) = tokio::time::timeout(patience, events.next()).await else {
                complain("a list was not answered in time".to_owned());
                break;
            };
            match event {
                None => return,
                Some(Ok(event)) => {
                    patience = match event {
                        Event::Init | Event::InitApply(_) => page,
                        Event::InitDone | Event::Apply(_) | Event::Delete(_) => Duration::MAX,
                    };
                    // A list that begins was not answered yet.
                    if !matches!(event, Event::Init)
                        && let Some(time) = ctx.watches.works(kind)
                    {
                        tracing::info!(kind, "a watch works again that had failed for {time:?}");
                    }
                    take(event);
                }
                // A gap is closed by a new list. A failure that lasts is for a person.
                Some(Err(error)) => {
                    if patience != Duration::MAX {
                        patience = page + ctx.timing.quick_beat_max;
                    }
                    complain(chain(&error));
                }
            }
        }
    }
}

/// How long a watch waits after each failure in a row. One success is no end of a row: a server that is in trouble
/// answers now and then.
struct Waits {
    timing: Timing,
    failures: u32,
    last: Option<Instant>,
}

impl Waits {
    fn new(timing: Timing) -> Self {
        Self {
            timing,
            failures: 0,
            last: None,
        }
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let in_a_row = 4 * self.timing.quick_beat_max;
        if self.last.is_some_and(|last| last.elapsed() > in_a_row) {
            self.failures = 0;
        }
        self.last = Some(Instant::now());
        self.failures = self.failures.saturating_add(1);
        let wait = pace::backoff(self.failures, &self.timing);
        Some(wait.min(self.timing.quick_beat_max))
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_waits_of_a_watch_grow_with_failures_in_a_row_and_begin_anew_after_a_while() {
        let timing = Timing::production();
        let (most, pause) = (timing.quick_beat_max, 4 * timing.quick_beat_max);
        let mut waits = Waits::new(timing);
        assert_eq!(waits.next(), Some(Duration::from_secs(1)));
        waits.reset();
        let grown: Vec<_> = (0..40).filter_map(|_| waits.next()).collect();
        assert!(grown.iter().all(|wait| *wait <= most));
        assert!(grown.contains(&most), "{grown:?}");
        tokio::time::advance(pause + Duration::from_secs(1)).await;
        assert_eq!(waits.next(), Some(Duration::from_secs(1)));
    }
}
