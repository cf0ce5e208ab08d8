//! What time brings about: states that end, activities, jobs, groups that are forgotten.

use std::collections::BTreeSet;

use crate::{
    audit::{Entry, Serving},
    group::{Group, Member, Product, Status},
    scaling::{Attachment, Ending},
    seconds::Seconds,
    world::World,
};

impl World {
    /// Everything that is due by `now`. Counts of who serves are noted where they change.
    pub(crate) fn advance(&mut self, now: Seconds) {
        self.now = now;
        // Looking at every member whenever a call comes in is too much for a large cloud.
        if now < self.next {
            return;
        }
        // Before members move on: what a failed job leaves as it was never served.
        self.end_jobs();
        let due = |group: &Group| {
            let mut members = group.members.values();
            members.any(|member| member.status != Status::Available && member.until <= now)
        };
        let names: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, group)| due(group))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let before = self.serving(&name);
            self.advance_group(&name);
            self.note_time(&name, before, "Transition");
        }
        let ended: Vec<_> = self
            .activities
            .iter()
            .filter(|(_, activity)| activity.status == "InProgress" && activity.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.end_activity(&id);
        }
        self.forget();
        self.next = self.next_due();
    }

    /// When something will happen by itself.
    fn next_due(&self) -> Seconds {
        let members = self
            .groups
            .values()
            .flat_map(|group| group.members.values());
        let moving = members.filter(|member| member.status != Status::Available);
        let jobs = self.jobs.values().filter(|job| job.status == "Processing");
        let activities = self.activities.values();
        let running = activities.filter(|activity| activity.status == "InProgress");
        moving
            .map(|member| member.until)
            .chain(jobs.map(|job| job.until))
            .chain(running.map(|activity| activity.until))
            .chain(self.deleted.values().copied())
            .fold(f64::INFINITY, f64::min)
    }

    /// Somebody changed things: what is due next is not known any more.
    pub(crate) const fn disturb(&mut self) {
        self.next = f64::NEG_INFINITY;
    }

    fn end_jobs(&mut self) {
        let now = self.now;
        let done: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.status == "Processing" && job.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in done {
            let job = self.jobs.get_mut(&id).expect("listed above");
            job.status = String::from(if job.fails { "Failed" } else { "Succeeded" });
            if !job.fails {
                continue;
            }
            let (name, before) = (job.group.clone(), job.before.clone());
            let served = self.serving(&name);
            let Some(group) = self.groups.get_mut(&name) else {
                continue;
            };
            for (key, had) in before {
                match had {
                    Some(had) => _ = group.members.insert(key, had),
                    None => _ = group.members.remove(&key),
                }
            }
            self.note_time(&name, served, "JobFailed");
        }
    }

    fn advance_group(&mut self, name: &str) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let drain = group.drain_seconds;
        group.members.retain(|_, member| {
            if member.until > now {
                return true;
            }
            match member.status {
                Status::Adding | Status::Configuring => member.status = Status::Available,
                Status::Removing if drain > 0.0 => {
                    member.status = Status::Draining;
                    member.until += drain;
                    return member.until > now;
                }
                Status::Removing | Status::Draining => return false,
                Status::Available => {}
            }
            true
        });
    }

    fn end_activity(&mut self, id: &str) {
        let activity = self.activities[id].clone();
        let names: BTreeSet<_> = activity
            .moves
            .iter()
            .map(|(_, attachment)| attachment.group.clone())
            .collect();
        let before: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), self.serving(name)))
            .collect();
        let instances: Vec<_> = self
            .scaling_groups
            .get(&activity.group)
            .map(|group| group.instances.iter().cloned().collect())
            .unwrap_or_default();
        let skip = usize::from(activity.end == Ending::Warning);
        let undone = matches!(activity.end, Ending::Failed | Ending::Rejected);
        for (joins, attachment) in &activity.moves {
            if undone {
                let group = self.scaling_groups.get_mut(&activity.group);
                match (group, joins) {
                    (Some(group), true) => group.attachments.retain(|had| had != attachment),
                    (Some(group), false) => group.attachments.push(attachment.clone()),
                    (None, _) => {}
                }
                continue;
            }
            for instance in instances.iter().skip(skip) {
                if *joins {
                    self.join(attachment, instance);
                } else {
                    self.leave(attachment, instance);
                }
            }
        }
        let ended = self.activities.get_mut(id).expect("cloned above");
        ended.status = String::from(activity.end.name());
        if activity.end == Ending::Vanished {
            self.activities.remove(id);
        }
        for (name, before) in before {
            self.note_time(&name, before, "ScalingActivity");
        }
    }

    /// Scaling groups lose attachments to groups that were deleted a while ago.
    fn forget(&mut self) {
        let now = self.now;
        let forgotten: Vec<_> = self
            .deleted
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in forgotten {
            self.deleted.remove(&name);
            for group in self.scaling_groups.values_mut() {
                group.attachments.retain(|had| had.group != name);
            }
        }
    }

    /// An instance enters a group that its scaling group feeds. CLB takes it at once, the others after a while.
    pub(crate) fn join(&mut self, attachment: &Attachment, instance: &str) {
        let ip = self.address_of(&attachment.group, instance);
        let until = self.now + self.durations.adding;
        let Some(group) = self.groups.get_mut(&attachment.group) else {
            return;
        };
        let clb = group.product == Product::Clb;
        let mut member = Member::new(instance, attachment.weight.unwrap_or(100));
        if !clb {
            (member.status, member.until) = (Status::Adding, until);
        }
        let key = (instance.to_owned(), ip, attachment.member_port());
        match group.members.get(&key).map(|had| had.status) {
            None | Some(Status::Removing | Status::Draining) => {
                group.members.insert(key, member);
                if !clb {
                    group.busy_until = group.busy_until.max(until);
                }
            }
            Some(_) => {}
        }
    }

    /// An instance leaves a group that its scaling group fed.
    pub(crate) fn leave(&mut self, attachment: &Attachment, instance: &str) {
        let until = self.now + self.durations.removing;
        let port = attachment.member_port();
        let Some(group) = self.groups.get_mut(&attachment.group) else {
            return;
        };
        if group.product == Product::Clb {
            group
                .members
                .retain(|(id, _, at), _| id != instance || *at != port);
            return;
        }
        for ((id, _, at), member) in &mut group.members {
            let leaving = matches!(member.status, Status::Removing | Status::Draining);
            if id == instance && *at == port && !leaving {
                member.status = Status::Removing;
                member.until = until;
                group.busy_until = group.busy_until.max(until);
            }
        }
    }

    fn note_time(&mut self, group: &str, before: usize, action: &str) {
        let after = self.serving(group);
        if before != after {
            let serving = vec![Serving {
                group: group.to_owned(),
                before,
                after,
            }];
            self.note(Entry {
                action: action.to_owned(),
                resource: group.to_owned(),
                acted: true,
                serving,
                ..self.entry("time")
            });
        }
    }
}
