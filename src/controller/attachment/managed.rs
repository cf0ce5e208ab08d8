//! A `ScalingGroupAttachment` as the shared parts of the pipeline see it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt};
use server_group_core::{attachment::AttachmentKey, grant};

use super::super::{
    Context,
    joined::Joined,
    managed::Managed,
    memory::Memories,
    object::{Object, name_of},
    open::{Needs, Open},
    queue::Kind,
    record::{Operation, Record, Reference, Settled, keys, texts},
    registry::Registry,
    report::{Report, Seen, Words, held_shown, list_for_status, number},
    turns::GroupId,
};
use crate::api::{
    AttachmentCounts, DeletionPolicy, Mode, ScalingGroupAttachment, ScalingGroupAttachmentStatus,
    condition::conditions,
    status::{HoldReason, Ledger, Phase, Plan, attachment, hold_reason},
};

/// The group that instances join through an attachment.
pub fn fed_group(region: &str, key: &AttachmentKey) -> GroupId {
    let (product, id) = key.fed_group();
    GroupId::new(region, &product, id)
}

const WORDS: Words = Words {
    done: "attached",
    coming: "attaching",
    going: "detaching",
    all: "in all",
};

/// Writes how far the group is.
fn show(status: &mut ScalingGroupAttachmentStatus, seen: &Seen<AttachmentKey>) {
    let counts = seen.counts;
    status.summary = Some(counts.summary(&WORDS, seen.held.len()));
    status.attachments = Some(AttachmentCounts {
        desired: number(counts.desired),
        attached: number(counts.done),
        attaching: number(counts.coming),
        detaching: number(counts.going),
        foreign: number(counts.foreign),
        in_group: number(counts.in_group),
        held: number(seen.held.len()),
    });
    let held = held_shown(&seen.held).into_iter();
    status.held = held
        .map(|(server_group, hold)| attachment::Held {
            server_group,
            reason: hold_reason(hold),
        })
        .collect();
}

impl Object for ScalingGroupAttachment {
    type Key = AttachmentKey;

    fn account_name(&self) -> &str {
        &self.spec.account_name
    }

    fn region(&self) -> &str {
        &self.spec.region_id
    }

    fn suspended(&self) -> bool {
        self.spec.suspend
    }

    fn planning(&self) -> bool {
        self.spec.mode == Mode::Plan
    }

    fn shown_plan(&self) -> Option<&Plan> {
        self.status.as_ref()?.plan.as_ref()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn interval_seconds(&self) -> i64 {
        self.spec.interval_seconds
    }

    fn group(&self) -> GroupId {
        GroupId::new(&self.spec.region_id, "ESS", &self.spec.scaling_group_id)
    }

    fn other_groups(&self) -> BTreeSet<GroupId> {
        let status = self.status.iter();
        let ledgers = status.clone().filter_map(|status| status.ledger.as_ref());
        let ledgers = ledgers.flat_map(|ledger| ledger.registered.iter().chain(&ledger.adopted));
        let operations = status
            .clone()
            .filter_map(|status| status.operation.as_ref());
        let operations = operations.flat_map(|operation| &operation.server_groups);
        let settled = status.flat_map(|status| &status.settled);
        let settled = settled.flat_map(|settled| &settled.server_groups);
        let written = ledgers.chain(operations).chain(settled);
        let written = written.filter_map(|text| text.parse().ok());
        let keys = super::parse::claims(&self.spec).into_iter().chain(written);
        keys.map(|key| fed_group(&self.spec.region_id, &key))
            .collect()
    }

    fn names<'a>(&'a self, namespace: &'a str) -> grant::Request<'a> {
        let groups = || self.spec.server_groups.iter().flatten();
        let default_groups = self.spec.load_balancers.iter().flatten();
        grant::Request {
            namespace,
            region: &self.spec.region_id,
            scaling_groups: vec![&self.spec.scaling_group_id],
            server_groups: groups().map(|group| group.id.as_str()).collect(),
            load_balancers: groups()
                .filter_map(|group| group.load_balancer_id.as_deref())
                .chain(default_groups.map(|load_balancer| load_balancer.id.as_str()))
                .collect(),
            ..grant::Request::default()
        }
    }

    fn attached_before(&self) -> (Vec<String>, Vec<String>) {
        let ledger = self.status.iter().flat_map(|status| &status.ledger);
        let operation = self.status.iter().flat_map(|status| &status.operation);
        let written = ledger.flat_map(|ledger| &ledger.registered);
        let written = written.chain(operation.flat_map(|operation| &operation.server_groups));
        let (mut groups, mut load_balancers) = (Vec::new(), Vec::new());
        for key in written.filter_map(|text| text.parse::<AttachmentKey>().ok()) {
            groups.extend(key.server_group().map(|(_, id)| id.to_owned()));
            load_balancers.extend(key.load_balancer().map(ToOwned::to_owned));
        }
        (groups, load_balancers)
    }

    fn written_claims(&self) -> (Option<&Ledger>, Option<&str>) {
        let status = self.status.as_ref();
        let operation = status.and_then(|status| status.operation.as_ref());
        let operation = operation.filter(|operation| operation.phase != Phase::Settled);
        (
            status.and_then(|status| status.ledger.as_ref()),
            operation.map(|operation| operation.id.as_str()),
        )
    }

    fn speaks_of_calls(&self) -> bool {
        let mut status = self.status.iter();
        status.any(|status| status.operation.is_some() || !status.settled.is_empty())
    }

    /// The operation is open on the scaling group. It may have been forced, whatever the spec says by now, so it is
    /// also open on each group that instances join by the attachments that it names.
    fn opens(&self, operation: &Operation<AttachmentKey>) -> Vec<(GroupId, Open)> {
        let scaling_group = &self.spec.scaling_group_id;
        let open = |keys: &[&AttachmentKey], moved_by| {
            let groups = keys.iter().filter_map(|key| key.server_group());
            let balancers = keys.iter().filter_map(|key| key.load_balancer());
            Open {
                by: name_of(self).to_string(),
                id: operation.id.clone(),
                action: operation.action.clone(),
                phase: operation.phase,
                until: None,
                names: keys.iter().map(ToString::to_string).collect(),
                reference: operation.reference.clone(),
                moved_by,
                needs: Needs {
                    scaling_groups: vec![scaling_group.clone()],
                    server_groups: groups.map(|(_, id)| id.to_owned()).collect(),
                    load_balancers: balancers.map(ToOwned::to_owned).collect(),
                    ..self.needs()
                },
                began_here: false,
            }
        };
        let mut fed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for key in &operation.names {
            let group = fed_group(&self.spec.region_id, key);
            fed.entry(group).or_default().push(key);
        }
        let moves = fed.into_iter().map(|(group, keys)| {
            let moved_by = Some(scaling_group.clone());
            (group, open(&keys, moved_by))
        });
        let all: Vec<_> = operation.names.iter().collect();
        let own = (self.group(), open(&all, None));
        std::iter::once(own).chain(moves).collect()
    }

    fn record(&self) -> Record<AttachmentKey> {
        let Some(status) = &self.status else {
            return Record::default();
        };
        let operation = status.operation.as_ref().map(|written| {
            let operation = Operation {
                id: written.id.clone(),
                action: written.action.clone(),
                phase: written.phase,
                epoch: written.epoch,
                names: keys(&written.server_groups),
                request_id: written.request_id.clone(),
                reference: written.reference.clone().map(Reference::from),
            };
            (operation, written.until.as_ref().map(|until| until.0))
        });
        let settled = status.settled.iter().map(|written| {
            let (until, names) = (written.until.0, keys(&written.server_groups));
            (written.action.clone(), Settled { until, names })
        });
        let parked = status
            .parked
            .iter()
            .map(|parked| (parked.server_group.as_str(), parked.reason.as_str()));
        let mut record = Record::read(
            &self.uid().unwrap_or_default(),
            status.ledger.as_ref(),
            operation,
            settled,
            parked,
        );
        if record.cloud_account_id.is_some() {
            record.taken_over.clone_from(&status.last_handled_take_over);
        }
        record
    }

    fn with_status(&self, report: &Report<AttachmentKey>, record: &Record<AttachmentKey>) -> Self {
        let before = self.status.clone().unwrap_or_default();
        let generation = self.meta().generation.unwrap_or_default();
        let mut status = ScalingGroupAttachmentStatus {
            observed_generation: generation,
            conditions: conditions(
                &before.conditions,
                generation,
                report.verdict,
                report.in_sync,
                &report.message,
                report.now,
            ),
            ledger: record.written_ledger(&self.uid().unwrap_or_default()),
            operation: record
                .shown_operation()
                .map(|(operation, until)| attachment::Operation {
                    id: operation.id.clone(),
                    action: operation.action.clone(),
                    phase: operation.phase,
                    epoch: operation.epoch,
                    server_groups: texts(&operation.names),
                    request_id: operation.request_id.clone(),
                    reference: operation.reference.as_ref().map(ToString::to_string),
                    until: until.map(Time),
                }),
            settled: list_for_status(&record.settled, |action, settled| attachment::Settled {
                action,
                until: Time(settled.until),
                server_groups: texts(&settled.names),
            }),
            parked: list_for_status(&record.parked, |server_group, why| attachment::Parked {
                server_group,
                reason: why.to_string(),
            }),
            plan: report.plan.clone(),
            last_handled_reconcile_at: report.handled.clone(),
            last_handled_take_over: record.taken_over.clone(),
            ..before
        };
        match &report.seen {
            Some(seen) => show(&mut status, seen),
            None if report.group_is_unseen() => {
                (status.summary, status.attachments) = (None, None);
                status.held.clear();
            }
            None => {}
        }
        let mut next = self.clone();
        next.status = Some(status);
        next
    }

    fn held(&self) -> Vec<(&str, HoldReason)> {
        let held = self.status.iter().flat_map(|status| &status.held);
        held.map(|held| (held.server_group.as_str(), held.reason))
            .collect()
    }

    fn held_in_all(&self) -> usize {
        let counts = self.status.iter().flat_map(|status| &status.attachments);
        let held = counts.map(|counts| usize::try_from(counts.held).unwrap_or(0));
        held.sum()
    }

    fn last_seen(&self) -> Option<(i64, Option<String>)> {
        let status = self.status.as_ref()?;
        let seen = (
            status.observed_generation,
            status.last_handled_reconcile_at.clone(),
        );
        (seen.0 >= 0).then_some(seen)
    }

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }

    fn same_status(&self, other: &Self) -> bool {
        self.status == other.status
    }
}

impl Managed for ScalingGroupAttachment {
    const GROUP_FIELD: &str = "spec.scalingGroupId";
    const KIND: Kind = Kind::Attachment;

    fn registry(ctx: &Context) -> &Registry<Self> {
        &ctx.attachments
    }

    fn memories(ctx: &Context) -> &Memories<AttachmentKey> {
        &ctx.attachment_memories
    }

    fn lists(ctx: &Context) -> &Joined {
        &ctx.attachment_lists
    }
}
