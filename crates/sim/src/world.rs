//! The state of the imitated cloud, and what time does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::{
    audit::{Entry, Serving},
    fault::Fault,
    signature::Key,
};

/// Seconds of the simulator's own time.
pub type Seconds = f64;

/// A load balancer product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// CLB vServer groups.
    Clb,
    /// ALB.
    Alb,
    /// NLB.
    Nlb,
    /// GWLB.
    Gwlb,
}

impl Product {
    /// The service name in the audit log.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Clb => "slb",
            Self::Alb => "alb",
            Self::Nlb => "nlb",
            Self::Gwlb => "gwlb",
        }
    }

    /// As attachments write it.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Self::Clb => "CLB",
            Self::Alb => "ALB",
            Self::Nlb => "NLB",
            Self::Gwlb => "GWLB",
        }
    }
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Joining.
    Adding,
    /// Serving.
    Available,
    /// Being changed.
    Configuring,
    /// Leaving.
    Removing,
    /// Leaving, finishing what it has.
    Draining,
}

impl Status {
    /// As lists write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adding => "Adding",
            Self::Available => "Available",
            Self::Configuring => "Configuring",
            Self::Removing => "Removing",
            Self::Draining => "Draining",
        }
    }
}

/// What tells a member from others: id, address, port.
pub type MemberKey = (String, String, u16);

/// A member of a server group.
#[derive(Clone, Debug)]
pub struct Member {
    /// `Ecs`, `Eni`, `Eci`, `Ip`, `Fc`.
    pub kind: String,
    /// 0 to 100; GWLB has none and keeps 100.
    pub weight: u8,
    /// What it is doing.
    pub status: Status,
    /// When that ends.
    pub until: Seconds,
    /// What it was given.
    pub description: String,
}

/// A server group of any product.
#[derive(Clone, Debug)]
pub struct Group {
    /// Whose it is.
    pub product: Product,
    /// Its members.
    pub members: BTreeMap<MemberKey, Member>,
    /// A change is running until then.
    pub busy_until: Seconds,
    /// How long members drain; 0 = not at all.
    pub drain_seconds: Seconds,
    /// How many members it takes.
    pub quota: usize,
    /// `Creating` and other states forced from outside.
    pub forced_status: Option<String>,
}

impl Group {
    /// Members that serve: available, above weight 0.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.status == Status::Available && member.weight > 0)
            .count()
    }

    /// Ids of everything in it, each once.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.members.keys().map(|(id, ..)| id.clone()).collect()
    }
}

/// An attachment of a scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `ALB`, `NLB`, `GWLB`.
    pub kind: String,
    /// The server group.
    pub group: String,
    /// Absent for GWLB.
    pub port: Option<u16>,
    /// Absent for GWLB.
    pub weight: Option<u8>,
}

/// A scaling group.
#[derive(Clone, Debug, Default)]
pub struct ScalingGroup {
    /// What it feeds.
    pub attachments: Vec<Attachment>,
    /// Its instances.
    pub instances: BTreeSet<String>,
    /// Left out of lists, and refuses forced calls.
    pub inactive: bool,
}

/// A scaling activity.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Whose it is.
    pub group: String,
    /// `InProgress` and the four ends.
    pub status: String,
    /// When it ends.
    pub until: Seconds,
    /// How it will end.
    pub end: Ending,
    /// What it does: `(join or leave, attachment)`.
    pub moves: Vec<(bool, Attachment)>,
}

/// How a scaling activity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything is done.
    Successful,
    /// The first instance stays as it was.
    Warning,
    /// Nothing is done, and the attachment is as before.
    Failed,
    /// It was not started, and the attachment is as before.
    Rejected,
    /// Everything is done, and nobody remembers the activity.
    Vanished,
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Successful | Self::Vanished => "Successful",
            Self::Warning => "Warning",
            Self::Failed => "Failed",
            Self::Rejected => "Rejected",
        }
    }
}

/// A job of ALB or NLB.
#[derive(Clone, Debug)]
pub struct Job {
    /// `Processing`, `Succeeded`, `Failed`.
    pub status: String,
    /// When it ends.
    pub until: Seconds,
    /// The group.
    pub group: String,
    /// The action.
    pub action: String,
    /// Whether it will fail.
    pub fails: bool,
    /// The group as it was, for a job that fails.
    pub before: BTreeMap<MemberKey, Member>,
}

/// A call that is carried out later than it was sent.
#[derive(Clone, Debug)]
pub(crate) struct LateCall {
    pub due: Seconds,
    pub service: String,
    pub action: String,
    pub params: BTreeMap<String, String>,
    pub account: String,
}

/// How long things take, in seconds of simulated time.
#[derive(Clone, Debug)]
pub struct Durations {
    /// From accepted to `Available`.
    pub adding: Seconds,
    /// From accepted to `Draining` or absent.
    pub removing: Seconds,
    /// A scaling activity.
    pub activity: Seconds,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The present moment.
    pub now: Seconds,
    /// Keys that may sign.
    pub keys: BTreeMap<String, Key>,
    /// Server groups of all products.
    pub groups: BTreeMap<String, Group>,
    /// Scaling groups.
    pub scaling_groups: BTreeMap<String, ScalingGroup>,
    /// Scaling activities.
    pub activities: BTreeMap<String, Activity>,
    /// Jobs of ALB and NLB.
    pub jobs: BTreeMap<String, Job>,
    /// Servers that no group takes: they do not exist, or do not run.
    pub bad_servers: BTreeSet<String>,
    /// Actions that the caller is not permitted.
    pub denied: BTreeSet<String>,
    /// How the next activities end; then they end well.
    pub endings: VecDeque<Ending>,
    /// How many of the next jobs fail.
    pub failing_jobs: u32,
    /// How long things take.
    pub durations: Durations,
    /// Scripted faults.
    pub faults: Vec<Fault>,
    /// What happened.
    pub audit: Vec<Entry>,
    /// By how many seconds the server's clock is ahead of the machine's.
    pub clock_ahead: i64,
    pub(crate) nonces: BTreeSet<String>,
    pub(crate) tokens: BTreeMap<(String, String), (String, Value)>,
    pub(crate) late: Vec<LateCall>,
    pub(crate) stale: BTreeMap<String, Value>,
    serial: u64,
    random: fastrand::Rng,
}

impl World {
    pub(crate) fn new(seed: u64, keys: BTreeMap<String, Key>) -> Self {
        Self {
            now: 0.0,
            keys,
            groups: BTreeMap::new(),
            scaling_groups: BTreeMap::new(),
            activities: BTreeMap::new(),
            jobs: BTreeMap::new(),
            bad_servers: BTreeSet::new(),
            denied: BTreeSet::new(),
            endings: VecDeque::new(),
            failing_jobs: 0,
            durations: Durations {
                adding: 2.0,
                removing: 1.0,
                activity: 4.0,
            },
            faults: Vec::new(),
            audit: Vec::new(),
            clock_ahead: 0,
            nonces: BTreeSet::new(),
            tokens: BTreeMap::new(),
            late: Vec::new(),
            stale: BTreeMap::new(),
            serial: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// A fresh id such as a request id: numbered, with a random part from the seed.
    pub(crate) fn draw(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{:06}-{:08X}", self.serial, self.random.u32(..))
    }

    /// Makes a server group, empty and idle.
    pub fn create_group(&mut self, product: Product, id: &str) -> &mut Group {
        let drain_seconds = if product == Product::Gwlb { 300.0 } else { 0.0 };
        let group = Group {
            product,
            members: BTreeMap::new(),
            busy_until: 0.0,
            drain_seconds,
            quota: 1000,
            forced_status: None,
        };
        self.groups
            .entry(id.to_owned())
            .insert_entry(group)
            .into_mut()
    }

    /// Puts a serving member into a group behind the operator's back.
    ///
    /// # Panics
    ///
    /// If there is no such group.
    pub fn put_member(&mut self, group: &str, id: &str, ip: &str, port: u16, weight: u8) {
        let ip = if ip.is_empty() {
            self.address_of(group, id)
        } else {
            ip.to_owned()
        };
        let member = Member {
            kind: kind_of(id).to_owned(),
            weight,
            status: Status::Available,
            until: 0.0,
            description: String::new(),
        };
        let group = self.groups.get_mut(group).expect("the group was created");
        group.members.insert((id.to_owned(), ip, port), member);
    }

    /// Takes every member with this id out of a group behind the operator's back.
    ///
    /// # Panics
    ///
    /// If there is no such group.
    pub fn delete_member(&mut self, group: &str, id: &str) {
        let group = self.groups.get_mut(group).expect("the group was created");
        group.members.retain(|(member, ..), _| member != id);
    }

    /// Makes a scaling group with these instances.
    pub fn create_scaling_group(
        &mut self,
        id: &str,
        instances: impl IntoIterator<Item = String>,
    ) -> &mut ScalingGroup {
        let group = ScalingGroup {
            instances: instances.into_iter().collect(),
            ..ScalingGroup::default()
        };
        self.scaling_groups
            .entry(id.to_owned())
            .insert_entry(group)
            .into_mut()
    }

    /// Attaches a server group behind the operator's back; instances do not follow.
    ///
    /// # Panics
    ///
    /// If there is no such scaling group.
    pub fn attach(
        &mut self,
        scaling_group: &str,
        kind: &str,
        group: &str,
        port: Option<u16>,
        weight: Option<u8>,
    ) {
        let attachment = Attachment {
            kind: kind.to_owned(),
            group: group.to_owned(),
            port,
            weight,
        };
        let scaling_group = self
            .scaling_groups
            .get_mut(scaling_group)
            .expect("the scaling group was created");
        scaling_group.attachments.push(attachment);
    }

    /// An instance starts: it joins the scaling group and every server group that it feeds.
    ///
    /// # Panics
    ///
    /// If there is no such scaling group.
    pub fn start_instance(&mut self, scaling_group: &str, id: &str) {
        let group = self
            .scaling_groups
            .get_mut(scaling_group)
            .expect("the scaling group was created");
        group.instances.insert(id.to_owned());
        for attachment in group.attachments.clone() {
            self.join(&attachment, id);
        }
    }

    /// Members that serve in a group; 0 if there is none.
    #[must_use]
    pub fn serving(&self, group: &str) -> usize {
        self.groups.get(group).map_or(0, Group::serving)
    }

    /// Calls of one action that were carried out.
    #[must_use]
    pub fn calls(&self, action: &str) -> usize {
        self.audit
            .iter()
            .filter(|entry| entry.action == action && entry.acted && entry.service != "time")
            .count()
    }

    /// Every call that changes something, carried out or not.
    pub fn changing_calls(&self) -> impl Iterator<Item = &Entry> {
        self.audit.iter().filter(|entry| entry.changes)
    }

    /// The least number of members that ever served in `group` after a change, a transition or a late call.
    #[must_use]
    pub fn least_serving(&self, group: &str) -> Option<usize> {
        let counts = self
            .audit
            .iter()
            .flat_map(|entry| &entry.serving)
            .filter(|serving| serving.group == group);
        counts.map(|serving| serving.after).min()
    }

    /// The address that an instance is shown with where the product shows one.
    pub(crate) fn address_of(&self, group: &str, id: &str) -> String {
        let shows = self
            .groups
            .get(group)
            .is_some_and(|group| group.product != Product::Clb);
        match kind_of(id) {
            "Ip" => id.to_owned(),
            "Ecs" if !shows => String::new(),
            _ => {
                let sum = id.bytes().fold(17_u32, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(byte.into())
                });
                format!("10.{}.{}.{}", sum >> 16 & 255, sum >> 8 & 255, sum & 255)
            }
        }
    }

    /// What time brings: transitions that are due. Counts of who serves are noted where they change.
    pub(crate) fn advance(&mut self, now: Seconds) {
        self.now = now;
        let names: Vec<_> = self.groups.keys().cloned().collect();
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
        let done: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.status == "Processing" && job.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in done {
            let job = self.jobs.get_mut(&id).expect("listed above");
            job.status = String::from(if job.fails { "Failed" } else { "Succeeded" });
            if job.fails
                && let Some(group) = self.groups.get_mut(&job.group)
            {
                group.members.clone_from(&job.before);
            }
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

    fn join(&mut self, attachment: &Attachment, instance: &str) {
        let ip = self.address_of(&attachment.group, instance);
        let until = self.now + self.durations.adding;
        let Some(group) = self.groups.get_mut(&attachment.group) else {
            return;
        };
        let member = Member {
            kind: kind_of(instance).to_owned(),
            weight: attachment.weight.unwrap_or(100),
            status: Status::Adding,
            until,
            description: String::new(),
        };
        group
            .members
            .entry((instance.to_owned(), ip, attachment.port.unwrap_or(6081)))
            .or_insert(member);
    }

    fn leave(&mut self, attachment: &Attachment, instance: &str) {
        let until = self.now + self.durations.removing;
        let port = attachment.port.unwrap_or(6081);
        let Some(group) = self.groups.get_mut(&attachment.group) else {
            return;
        };
        for ((id, _, at), member) in &mut group.members {
            if id == instance && *at == port {
                member.status = Status::Removing;
                member.until = until;
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

    /// An entry of the audit log with nothing in it yet.
    pub(crate) fn entry(&self, service: &str) -> Entry {
        Entry {
            number: self.audit.len() as u64 + 1,
            at: self.now,
            service: service.to_owned(),
            action: String::new(),
            resource: String::new(),
            names: Vec::new(),
            changes: false,
            acted: false,
            code: None,
            request_id: String::new(),
            token: None,
            key: String::new(),
            serving: Vec::new(),
            fault: None,
        }
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        self.audit.push(entry);
    }
}

/// What an id says a server is.
pub(crate) fn kind_of(id: &str) -> &'static str {
    match id.split_once('-') {
        Some(("i", _)) => "Ecs",
        Some(("eni", _)) => "Eni",
        Some(("eci", _)) => "Eci",
        _ if id.parse::<std::net::IpAddr>().is_ok() => "Ip",
        _ => "Fc",
    }
}
