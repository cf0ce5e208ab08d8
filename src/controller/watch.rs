//! Watches that keep what is known of objects and accounts up to date.

use std::{fmt::Debug, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Context, events::chain, managed::Managed};
use crate::api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};

/// Objects in a page of a list: an object may have 330 KB.
const PAGE: u32 = 100;

/// Keeps the objects of one kind up to date, for ever; `filled` is told whenever a list is complete.
pub async fn watch_objects<M: Managed>(api: Api<M>, ctx: Arc<Context>, filled: impl Fn()) {
    let registry = M::registry(&ctx);
    follow(api, &ctx, |event| match event {
        Event::Init => registry.begin_list(),
        Event::InitApply(object) | Event::Apply(object) => ctx.saw(object),
        Event::Delete(object) => {
            if let Some(gone) = registry.forget(&object) {
                ctx.gone::<M>(gone);
            }
        }
        Event::InitDone => {
            for gone in registry.end_list() {
                ctx.gone::<M>(gone);
            }
            filled();
        }
    })
    .await;
}

/// Keeps the accounts up to date, for ever, and wakes who uses one that changed.
pub async fn watch_accounts(api: Api<CloudAccount>, ctx: Arc<Context>, filled: impl Fn()) {
    let changed = |name: &str| {
        ctx.account_changed::<ServerGroupMembership>(name);
        ctx.account_changed::<ScalingGroupAttachment>(name);
    };
    follow(api, &ctx, |event| match event {
        Event::Init => ctx.accounts.begin_list(),
        Event::InitApply(account) | Event::Apply(account) => {
            if ctx.accounts.learn(&account) {
                changed(&account.name_any());
            }
        }
        Event::Delete(account) => {
            ctx.accounts.forget(&account);
            changed(&account.name_any());
        }
        Event::InitDone => {
            for name in ctx.accounts.end_list() {
                changed(&name);
            }
            filled();
        }
    })
    .await;
}

async fn follow<K>(api: Api<K>, ctx: &Context, mut take: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let events = watcher(api, config).default_backoff();
    tokio::pin!(events);
    let mut complained: Option<Instant> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(event),
            // A gap is closed by a new list. What lasts is for a person.
            Err(error) => {
                let often = ctx.timing.complain_every;
                if complained.is_none_or(|at| at.elapsed() >= often) {
                    let (kind, error) = (K::kind(&()), chain(&error));
                    tracing::warn!(%kind, error, "a watch broke off; trying again");
                    complained = Some(Instant::now());
                }
            }
        }
    }
}
