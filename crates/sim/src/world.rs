//! The state of the imitated cloud, and what may be done to it behind everybody's back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::{
    audit::Entry, clock::Clock, fault::Fault, group::kind_of, signature::Caller,
    surroundings::Surroundings,
};
pub use crate::{
    group::{Group, LoadBalancer, Member, MemberKey, Product, Status},
    rate::Rate,
    scaling::{Activity, Attachment, Ending, ScalingGroup},
    seconds::Seconds,
    signature::Key,
};

/// A change of a server group that takes its time. ALB and NLB show it as a job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose it is; jobs of GWLB are never shown.
    pub product: Product,
    /// `Processing`, `Succeeded`, `Failed`.
    pub status: String,
    /// When it ends; infinity = never.
    pub until: Seconds,
    /// The group.
    pub group: String,
    /// The action.
    pub action: String,
    /// Whether it will fail, and leave everything it names as it was.
    pub fails: bool,
    /// What it names, as it was.
    pub before: BTreeMap<MemberKey, Option<Member>>,
}

/// A call that is carried out later than it was sent.
#[derive(Clone, Debug)]
pub(crate) struct LateCall {
    pub due: Seconds,
    pub entry: Entry,
    pub params: BTreeMap<String, String>,
    pub caller: Caller,
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
    /// How long a CLB group that took backends in refuses to let any go.
    pub processing: Seconds,
    /// From the deletion of a server group until scaling groups forget it.
    pub forgetting: Seconds,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            adding: 2.0,
            removing: 1.0,
            activity: 4.0,
            processing: 1.0,
            forgetting: 60.0,
        }
    }
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The present moment.
    pub now: Seconds,
    /// Keys that may sign.
    pub keys: BTreeMap<String, Key>,
    /// Server groups of all products; the default group of a CLB has the id of the load balancer.
    pub groups: BTreeMap<String, Group>,
    /// Classic load balancers.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Scaling groups.
    pub scaling_groups: BTreeMap<String, ScalingGroup>,
    /// Scaling activities.
    pub activities: BTreeMap<String, Activity>,
    /// Network interfaces that were made, with their addresses, the primary one first. Others exist too.
    pub interfaces: BTreeMap<String, Vec<String>>,
    /// Changes of server groups that take their time.
    pub jobs: BTreeMap<String, Job>,
    /// Servers that no group takes: they do not exist, or do not run.
    pub bad_servers: BTreeSet<String>,
    /// Servers that no group lets go: the removal is refused.
    pub clinging_servers: BTreeSet<String>,
    /// Servers with which a change is accepted and fails later, with all that it names.
    pub failing_servers: BTreeSet<String>,
    /// Whether calls are refused for what is otherwise only noted: parameters and keys that are not documented.
    pub strict: bool,
    /// Actions that the caller is not permitted.
    pub denied: BTreeSet<String>,
    /// How the next activities end; then they end well.
    pub endings: VecDeque<Ending>,
    /// How many of the next jobs fail.
    pub failing_jobs: u32,
    /// How many of the next jobs never end.
    pub endless_jobs: u32,
    /// Attachments of one kind that a scaling group takes.
    pub attachments_max: usize,
    /// Backends that one call of CLB may name. Source of the first value: documentation of the four backend operations.
    pub backends_max: usize,
    /// How many calls are taken in 60 s.
    pub rates: Vec<Rate>,
    /// How long things take.
    pub durations: Durations,
    /// Scripted faults.
    pub faults: Vec<Fault>,
    /// What happened.
    pub audit: Vec<Entry>,
    /// By how many seconds the server's clock is ahead of the machine's.
    pub clock_ahead: i64,
    pub(crate) surroundings: Surroundings,
    pub(crate) clock: Clock,
    /// When something is due next; before that time brings nothing about, unless somebody changed things.
    pub(crate) next: Seconds,
    /// Seconds that were skipped.
    pub(crate) skipped: Seconds,
    /// Who makes the call being served.
    pub(crate) caller: Caller,
    pub(crate) nonces: BTreeMap<(String, String), i64>,
    pub(crate) tokens: BTreeMap<[String; 4], (String, Value)>,
    pub(crate) late: Vec<LateCall>,
    pub(crate) stale: BTreeMap<String, Value>,
    /// Groups that were deleted, and when scaling groups forget them.
    pub(crate) deleted: BTreeMap<String, Seconds>,
    serial: u64,
    random: fastrand::Rng,
}

impl World {
    pub(crate) fn new(seed: u64, keys: BTreeMap<String, Key>, clock: Clock) -> Self {
        Self {
            now: 0.0,
            keys,
            groups: BTreeMap::new(),
            load_balancers: BTreeMap::new(),
            scaling_groups: BTreeMap::new(),
            activities: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            jobs: BTreeMap::new(),
            bad_servers: BTreeSet::new(),
            clinging_servers: BTreeSet::new(),
            failing_servers: BTreeSet::new(),
            strict: false,
            denied: BTreeSet::new(),
            endings: VecDeque::new(),
            failing_jobs: 0,
            endless_jobs: 0,
            attachments_max: 30,
            backends_max: 20,
            rates: Vec::new(),
            durations: Durations::default(),
            faults: Vec::new(),
            audit: Vec::new(),
            clock_ahead: 0,
            surroundings: Surroundings::default(),
            clock,
            next: f64::NEG_INFINITY,
            skipped: 0.0,
            caller: Caller::default(),
            nonces: BTreeMap::new(),
            tokens: BTreeMap::new(),
            late: Vec::new(),
            stale: BTreeMap::new(),
            deleted: BTreeMap::new(),
            serial: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// A fresh id such as a request id: numbered, with a random part from the seed.
    pub(crate) fn draw(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{:06}-{:08X}", self.serial, self.random.u32(..))
    }

    /// Lets so many seconds of simulated time pass at once.
    pub const fn pass(&mut self, seconds: Seconds) {
        self.skipped += seconds;
    }

    /// Makes a server group, empty and idle.
    pub fn create_group(&mut self, product: Product, id: &str) -> &mut Group {
        self.deleted.remove(id);
        self.groups
            .entry(id.to_owned())
            .insert_entry(Group::new(product))
            .into_mut()
    }

    /// Makes a classic load balancer, and its default group under the same id.
    pub fn create_load_balancer(&mut self, id: &str) -> &mut LoadBalancer {
        id.clone_into(&mut self.create_group(Product::Clb, id).load_balancer);
        let balancer = LoadBalancer {
            address: address(id),
            ..LoadBalancer::default()
        };
        self.load_balancers
            .entry(id.to_owned())
            .insert_entry(balancer)
            .into_mut()
    }

    /// Makes a network interface with these addresses, the primary one first, before it is in any group.
    pub fn create_interface(&mut self, id: &str, addresses: impl IntoIterator<Item = String>) {
        self.interfaces
            .insert(id.to_owned(), addresses.into_iter().collect());
    }

    /// Deletes a server group or load balancer; scaling groups forget it a while later.
    pub fn delete_group(&mut self, id: &str) {
        self.groups.remove(id);
        self.load_balancers.remove(id);
        let forgotten = self.now + self.durations.forgetting;
        self.deleted.insert(id.to_owned(), forgotten);
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
        let member = Member::new(id, weight);
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
        let load_balancer = self.groups.get(group).map(|group| &group.load_balancer);
        let attachment = Attachment {
            kind: kind.to_owned(),
            group: group.to_owned(),
            port,
            weight,
            load_balancer: load_balancer.cloned().unwrap_or_default(),
            older: false,
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

    /// An instance ends: it leaves the scaling group and every server group that it feeds.
    ///
    /// # Panics
    ///
    /// If there is no such scaling group.
    pub fn stop_instance(&mut self, scaling_group: &str, id: &str) {
        let group = self
            .scaling_groups
            .get_mut(scaling_group)
            .expect("the scaling group was created");
        group.instances.remove(id);
        for attachment in group.attachments.clone() {
            self.leave(&attachment, id);
        }
    }

    /// Members that serve in a group; 0 if there is none.
    #[must_use]
    pub fn serving(&self, group: &str) -> usize {
        self.groups.get(group).map_or(0, Group::serving)
    }

    /// Calls of one action, of any product, that were carried out.
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

    /// Calls that a correct client never makes: wrong signatures, names and values, and tokens used twice, whether they
    /// were refused or only noted.
    pub fn violations(&self) -> impl Iterator<Item = &Entry> {
        self.audit.iter().filter(|entry| {
            let code = entry.code.as_deref().filter(|_| entry.fault.is_none());
            !entry.notes.is_empty() || code.is_some_and(is_violation)
        })
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

    /// Takes a call within its quota, or says after how many seconds there is room.
    pub(crate) fn within_rate(
        &mut self,
        service: &str,
        action: &str,
        account: &str,
    ) -> Result<(), Seconds> {
        let now = self.now;
        let rate = self.rates.iter_mut().find(|rate| {
            rate.service == service && rate.action.as_deref().is_none_or(|only| only == action)
        });
        let Some(rate) = rate else {
            return Ok(());
        };
        rate.take(now, action, account)
    }

    /// The next call that lands late and is due.
    pub(crate) fn take_late(&mut self, now: Seconds) -> Option<LateCall> {
        let due = self
            .late
            .iter()
            .enumerate()
            .filter(|(_, call)| call.due <= now);
        let (index, _) = due.min_by(|(_, one), (_, other)| one.due.total_cmp(&other.due))?;
        Some(self.late.remove(index))
    }

    /// Whether the caller's account is one that sees what belongs to `account`.
    pub(crate) fn sees(&self, account: Option<&String>) -> bool {
        account.is_none_or(|account| *account == self.caller.account)
    }

    /// The address that an instance is shown with where the product shows one.
    pub(crate) fn address_of(&self, group: &str, id: &str) -> String {
        let shows = self
            .groups
            .get(group)
            .is_some_and(|group| group.product != Product::Clb);
        match kind_of(id) {
            "Ip" => id.to_owned(),
            "Fc" => String::new(),
            "Ecs" if !shows => String::new(),
            _ => self.primary_address(id),
        }
    }

    /// The first address of an interface that was made, and of every other server the one that it always has.
    pub(crate) fn primary_address(&self, id: &str) -> String {
        let made = self.interfaces.get(id).and_then(|had| had.first());
        made.cloned().unwrap_or_else(|| address(id))
    }

    /// An entry of the audit log with nothing in it yet.
    pub(crate) fn entry(&self, service: &str) -> Entry {
        Entry {
            number: self.audit.len() as u64 + 1,
            at: self.now,
            service: service.to_owned(),
            ..Entry::default()
        }
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        self.audit.push(entry);
    }
}

/// The address that a server of this id has: always the same one.
pub(crate) fn address(id: &str) -> String {
    let sum = id.bytes().fold(17_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!("10.{}.{}.{}", sum >> 16 & 255, sum >> 8 & 255, sum & 255)
}

/// Codes that say that the request was put together wrongly, whatever the world is like.
fn is_violation(code: &str) -> bool {
    const CODES: [&str; 12] = [
        "BackendServersMalformed",
        "IDEMPOTENCE_SIGNATURE_MISMATCH",
        "IdempotenceSignatureMismatch",
        "IncompleteSignature",
        "InvalidAction.NotFound",
        "InvalidTimeStamp.Format",
        "InvalidVersion",
        "InvalidWeight.Malformed",
        "SignatureNonceUsed",
        "TooManyBackendServers",
        "UnsupportedHTTPMethod",
        "UnsupportedParameter",
    ];
    CODES.contains(&code) || code.starts_with("MissingParam") || code.starts_with("IllegalParam")
}
