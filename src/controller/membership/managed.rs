//! A `ServerGroupMembership` as the shared parts of the pipeline see it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt};
use server_group_core::{grant, server::ServerKey};

use super::super::{
    Context,
    joined::Joined,
    managed::Managed,
    memory::Memories,
    object::{Object, name_of},
    open::{Needs, Open},
    queue::Kind,
    record::{Draining, Operation, Record, Reference, Settled, keys, texts},
    registry::Registry,
    report::{Report, Seen, Words, held_shown, list_for_status, number},
    turns::GroupId,
};
use crate::api::{
    DeletionPolicy, MemberCounts, Mode, ServerGroupMembership, ServerGroupMembershipStatus,
    condition::conditions,
    status::{self, HoldReason, Phase, hold_reason, member},
};

/// An entry of `status.draining` that can be read.
fn drain(written: &status::Draining) -> Option<(ServerKey, Draining)> {
    let draining = Draining {
        until: written.until.as_ref().map(|time| time.0),
        weight: written.weight.try_into().ok()?,
    };
    Some((written.server.parse().ok()?, draining))
}

const WORDS: Words = Words {
    done: "serving",
    coming: "joining",
    going: "leaving",
    all: "in the group",
};

/// Writes how far the group is.
fn show(status: &mut ServerGroupMembershipStatus, seen: &Seen<ServerKey>) {
    let counts = seen.counts;
    status.summary = Some(counts.summary(&WORDS, seen.held.len()));
    status.members = Some(MemberCounts {
        desired: number(counts.desired),
        serving: number(counts.done),
        joining: number(counts.coming),
        leaving: number(counts.going),
        foreign: number(counts.foreign),
        in_group: number(counts.in_group),
        held: number(seen.held.len()),
    });
    let held = held_shown(&seen.held).into_iter();
    status.held = held
        .map(|(server, hold)| member::Held {
            server,
            reason: hold_reason(hold),
        })
        .collect();
}

impl Object for ServerGroupMembership {
    type Key = ServerKey;

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

    fn shown_plan(&self) -> Option<&status::Plan> {
        self.status.as_ref()?.plan.as_ref()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn interval_seconds(&self) -> i64 {
        self.spec.interval_seconds
    }

    fn group(&self) -> GroupId {
        let group = &self.spec.server_group;
        GroupId::new(
            &self.spec.region_id,
            &super::parse::product(group.type_).to_string(),
            &group.id,
        )
    }

    fn other_groups(&self) -> BTreeSet<GroupId> {
        BTreeSet::new()
    }

    fn names<'a>(&'a self, namespace: &'a str) -> grant::Request<'a> {
        let servers = match self.meta().deletion_timestamp {
            Some(_) => Vec::new(),
            None => self
                .spec
                .servers
                .iter()
                .map(|server| server.id.as_str())
                .collect(),
        };
        grant::Request {
            namespace,
            region: &self.spec.region_id,
            server_groups: vec![&self.spec.server_group.id],
            servers,
            ..grant::Request::default()
        }
    }

    fn written_claims(&self) -> (Option<&status::Ledger>, Option<&str>) {
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

    fn opens(&self, operation: &Operation<ServerKey>) -> Vec<(GroupId, Open)> {
        let open = Open {
            by: name_of(self).to_string(),
            id: operation.id.clone(),
            action: operation.action.clone(),
            phase: operation.phase,
            until: None,
            names: texts(&operation.names).into_iter().collect(),
            reference: operation.reference.clone(),
            moved_by: None,
            needs: Needs {
                server_groups: vec![self.spec.server_group.id.clone()],
                ..self.needs()
            },
            began_here: false,
        };
        vec![(self.group(), open)]
    }

    fn record(&self) -> Record<ServerKey> {
        let Some(status) = &self.status else {
            return Record::default();
        };
        let operation = status.operation.as_ref().map(|written| {
            let operation = Operation {
                id: written.id.clone(),
                action: written.action.clone(),
                phase: written.phase,
                epoch: written.epoch,
                names: keys(&written.servers),
                request_id: written.request_id.clone(),
                reference: written.reference.clone().map(Reference::from),
            };
            (operation, written.until.as_ref().map(|until| until.0))
        });
        let settled = status.settled.iter().map(|written| {
            let (until, names) = (written.until.0, keys(&written.servers));
            (written.action.clone(), Settled { until, names })
        });
        let parked = status
            .parked
            .iter()
            .map(|parked| (parked.server.as_str(), parked.reason.as_str()));
        let mut record = Record::read(
            &self.uid().unwrap_or_default(),
            status.ledger.as_ref(),
            operation,
            settled,
            parked,
        );
        if record.cloud_account_id.is_some() {
            record.draining = status.draining.iter().filter_map(drain).collect();
            record.taken_over.clone_from(&status.last_handled_take_over);
        }
        record
    }

    fn with_status(&self, report: &Report<ServerKey>, record: &Record<ServerKey>) -> Self {
        let before = self.status.clone().unwrap_or_default();
        let generation = self.meta().generation.unwrap_or_default();
        let mut status = ServerGroupMembershipStatus {
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
                .map(|(operation, until)| member::Operation {
                    id: operation.id.clone(),
                    action: operation.action.clone(),
                    phase: operation.phase,
                    epoch: operation.epoch,
                    servers: texts(&operation.names),
                    request_id: operation.request_id.clone(),
                    reference: operation.reference.as_ref().map(ToString::to_string),
                    until: until.map(Time),
                }),
            settled: list_for_status(&record.settled, |action, settled| member::Settled {
                action,
                until: Time(settled.until),
                servers: texts(&settled.names),
            }),
            parked: list_for_status(&record.parked, |server, why| member::Parked {
                server,
                reason: why.to_string(),
            }),
            draining: list_for_status(&record.draining, |server, draining| status::Draining {
                server,
                until: draining.until.map(Time),
                weight: i32::from(draining.weight),
            }),
            plan: report.plan.clone(),
            last_handled_reconcile_at: report.handled.clone(),
            last_handled_take_over: record.taken_over.clone(),
            ..before
        };
        match &report.seen {
            Some(seen) => show(&mut status, seen),
            None if report.group_is_unseen() => {
                (status.summary, status.members) = (None, None);
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
        held.map(|held| (held.server.as_str(), held.reason))
            .collect()
    }

    fn held_in_all(&self) -> usize {
        let counts = self.status.iter().flat_map(|status| &status.members);
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

impl Managed for ServerGroupMembership {
    const GROUP_FIELD: &str = "spec.serverGroup.id";
    const KIND: Kind = Kind::Membership;

    fn registry(ctx: &Context) -> &Registry<Self> {
        &ctx.memberships
    }

    fn memories(ctx: &Context) -> &Memories<ServerKey> {
        &ctx.membership_memories
    }

    fn lists(ctx: &Context) -> &Joined {
        &ctx.membership_lists
    }
}
