//! What metrics say about the present, read when somebody asks. Nothing here goes over the objects: they are counted as they
//! change, and the rest is as many as there are accounts, regions and actions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use server_group_core::reason::Reason;

use super::{Context, managed::Managed, queue::Kind, registry::Tally};
use crate::{
    api::{ScalingGroupAttachment, ServerGroupMembership},
    cloud::KeysStand,
    metrics::Metrics,
};

/// Has `metrics` ask how things stand, as long as the operator lives.
pub fn read_when_asked(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.metrics().read_by(move || {
        if let Some(ctx) = weak.upgrade() {
            set(&ctx, ctx.metrics());
        }
    });
}

fn set(ctx: &Context, metrics: &Metrics) {
    objects(ctx, metrics);
    queue(ctx, metrics);
    lease(ctx, metrics);
    rates(ctx, metrics);
    keys(&ctx.sources.stand(), metrics);
    let failing = ctx.watches.failing().into_iter();
    let failing = failing.map(|(kind, time)| ([kind], time.as_secs_f64()));
    metrics.watch_failing.are(failing);
}

fn objects(ctx: &Context, metrics: &Metrics) {
    let (mut objects, mut held) = (BTreeMap::new(), BTreeMap::new());
    let mut count = |kind: Kind, (tally, unreadable): (Tally, usize)| {
        let kind = kind.name();
        // Told also where there is none: else nobody sees that the metric works.
        objects.insert([kind, "Ready", Reason::Converged.name()], 0);
        objects.insert([kind, "Unreadable", "Unreadable"], unreadable);
        for (stands, count) in tally.objects {
            objects.insert([kind, stands.situation, stands.reason], count);
        }
        for (reason, count) in tally.held {
            held.insert([kind, reason], count);
        }
    };
    count(
        ServerGroupMembership::KIND,
        ServerGroupMembership::registry(ctx).tally(),
    );
    count(
        ScalingGroupAttachment::KIND,
        ScalingGroupAttachment::registry(ctx).tally(),
    );
    metrics.objects.are(numbers(objects));
    metrics.held.are(numbers(held));
}

fn queue(ctx: &Context, metrics: &Metrics) {
    let Some(seen) = metrics.queue() else {
        return;
    };
    let states = [
        (["waiting"], seen.waiting),
        (["working"], seen.working),
        (["waiting_for_a_call"], seen.for_a_call),
    ];
    metrics.queue_objects.are(numbers(states));
    let oldest = seen
        .oldest
        .map_or(Duration::ZERO, |since| ctx.now().saturating_sub(since));
    metrics.queue_oldest.are([([], oldest.as_secs_f64())]);
}

fn lease(ctx: &Context, metrics: &Metrics) {
    let leadership = &ctx.leadership;
    let leads = leadership.permit(Duration::ZERO).is_ok();
    metrics.leads.are([([], f64::from(u8::from(leads)))]);
    let epoch = leadership.epoch().map(|epoch| ([], number(epoch)));
    metrics.epoch.are(epoch);
    let age = leadership.renewed_ago();
    metrics
        .lease_age
        .are(age.map(|age| ([], age.as_secs_f64())));
}

fn rates(ctx: &Context, metrics: &Metrics) {
    let (mut rates, mut shares) = (BTreeMap::new(), BTreeMap::new());
    let mut waiting = BTreeMap::<_, usize>::new();
    for pace in ctx.transport.rates() {
        let labels = [pace.service.name(), pace.action];
        least(&mut rates, labels, pace.calls_per_second);
        least(&mut shares, labels, pace.share);
        *waiting.entry(labels).or_default() += pace.waiting;
    }
    metrics.cloud_rates.are(rates);
    metrics.cloud_shares.are(shares);
    metrics.cloud_waiting.are(numbers(waiting));
}

fn keys(sources: &[KeysStand], metrics: &Metrics) {
    let (mut ages, mut left) = (BTreeMap::<_, f64>::new(), BTreeMap::new());
    let mut failing = BTreeMap::<_, usize>::new();
    for stands in sources {
        let source = [stands.source];
        if let Some(age) = stands.age {
            let oldest = ages.entry(source).or_default();
            *oldest = oldest.max(age.as_secs_f64());
        }
        if let Some(time) = stands.left {
            least(&mut left, source, time.as_secs_f64());
        }
        *failing.entry(source).or_default() += usize::from(stands.failing);
    }
    metrics.keys_age.are(ages);
    metrics.keys_left.are(left);
    metrics.keys_failing.are(numbers(failing));
}

fn least<K: Ord>(known: &mut BTreeMap<K, f64>, of: K, number: f64) {
    let least = known.entry(of).or_insert(number);
    *least = least.min(number);
}

fn numbers<K>(counts: impl IntoIterator<Item = (K, usize)>) -> impl Iterator<Item = (K, f64)> {
    let counts = counts.into_iter();
    counts.map(|(labels, count)| (labels, number(i64::try_from(count).unwrap_or(i64::MAX))))
}

/// A count as metrics have it: exact far beyond what there is to count.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}
