//! What an object asks for and remembers, as Kubernetes truly has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use super::JUST_NOW;
use crate::effect::Effect;

/// What an object asks for and remembers.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// The server group or scaling group.
    pub group: String,
    /// What it lists, by id, and since when.
    pub lists: BTreeMap<String, Duration>,
    /// The weights of those that it lists with one, and since when.
    pub weights: BTreeMap<String, (u64, Duration)>,
    /// When its spec was last edited.
    pub edited: Duration,
    /// Whether the members of a server group are what it is about.
    pub is_membership: bool,
    /// Whether the group may be left empty.
    pub allows_empty: bool,
    /// Whether the instances of a scaling group leave with what is detached.
    pub forces_detach: bool,
    /// Whether a person let go of it, or asked that what it registered stays.
    pub abandoned: bool,
    /// The server groups and load balancers that an attachment names.
    pub feeds: BTreeSet<String>,
    /// Since when nothing is to be changed for it.
    pub resting: Option<Duration>,
    /// Since when it is being deleted.
    pub deleting: Option<Duration>,
    /// Whether the list is the whole truth.
    pub exclusive: bool,
    /// When the intent that its status has was first there.
    pub intended_at: Option<Duration>,
    generation: Value,
    min_serving: Value,
    namespace: String,
    account: String,
    created: Duration,
    rested_until: Duration,
    operation: Value,
    settled: Vec<Value>,
    ledger: BTreeSet<String>,
    registered: BTreeSet<String>,
    in_sync: bool,
    moving: Option<&'static str>,
}

/// The ids that a call in a status names.
fn named(call: &Value) -> BTreeSet<String> {
    &names(&call["servers"]) | &names(&call["serverGroups"])
}

/// The ids in a list of names.
fn names(list: &Value) -> BTreeSet<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|name| id_of(name.as_str().unwrap_or_default()).to_owned())
        .collect()
}

/// The id in a name such as `i-1@10.0.0.1:80` or `ALB/sgp-1:80`.
pub(super) fn id_of(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    let end = name.find(['@', ':']).unwrap_or(name.len());
    &name[..end]
}

impl Fact {
    /// Takes in a version of the object.
    pub fn learn(&mut self, object: &Value, now: Duration) {
        let (spec, status) = (&object["spec"], &object["status"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.account.is_empty() {
            self.created = now;
        }
        self.namespace = text(&object["metadata"]["namespace"]);
        self.account = text(&spec["accountName"]);
        let generation = &object["metadata"]["generation"];
        if self.generation != *generation {
            self.generation = generation.clone();
            self.edited = now;
        }
        let annotations = &object["metadata"]["annotations"];
        self.abandoned = annotations["servergroup.alicloud.dev/abandon"] == "true"
            || spec["deletionPolicy"] == "Retain";
        self.forces_detach = spec["forceDetach"] == true;
        self.allows_empty = spec["removal"]["allowEmpty"] == true;
        self.min_serving = spec["removal"]["minServing"].clone();
        let group = &spec["serverGroup"]["id"];
        self.is_membership = group.is_string();
        self.group = text(if group.is_null() {
            &spec["scalingGroupId"]
        } else {
            group
        });
        let mut listed: BTreeSet<_> = ids(&spec["servers"]);
        self.feeds = ids(&spec["serverGroups"]);
        self.feeds.extend(ids(&spec["loadBalancers"]));
        listed.extend(self.feeds.iter().cloned());
        self.lists.retain(|id, _| listed.contains(id));
        for id in listed {
            self.lists.entry(id).or_insert(now);
        }
        let weights = spec["servers"].as_array().into_iter().flatten();
        let weights = weights.filter_map(|server| {
            let weight = server["weight"].as_u64()?;
            Some((server["id"].as_str()?.to_owned(), weight))
        });
        let before = std::mem::take(&mut self.weights);
        self.weights = weights
            .map(|(id, weight)| {
                let same = before.get(&id).filter(|(had, _)| *had == weight);
                let since = same.map_or(now, |(_, since)| *since);
                (id, (weight, since))
            })
            .collect();
        let rests = spec["suspend"] == true || spec["mode"] == "Plan";
        if self.resting.is_some() && !rests {
            self.rested_until = now;
        }
        self.resting = rests.then(|| self.resting.unwrap_or(now));
        let deleting = object["metadata"]["deletionTimestamp"].is_string();
        self.deleting = deleting.then(|| self.deleting.unwrap_or(now));
        self.exclusive = spec["ownership"] == "Exclusive";
        let operation = &status["operation"];
        if operation["id"] != self.operation["id"] || self.intended_at.is_none() {
            self.intended_at = operation["id"].is_string().then_some(now);
        }
        self.operation = operation.clone();
        let settled = status["settled"].as_array();
        self.settled = settled.cloned().unwrap_or_default();
        let ledger = &status["ledger"];
        self.registered = names(&ledger["registered"]);
        self.ledger = &self.registered | &names(&ledger["adopted"]);
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        self.in_sync = conditions.any(|condition| {
            condition["type"] == "InSync"
                && condition["status"] == "True"
                && condition["observedGeneration"] == *generation
        });
        let open = operation["id"].is_string() && operation["phase"] != "Settled";
        let some = |field: &str| status[field].as_array().is_some_and(|all| !all.is_empty());
        // An entry without an end is of a member that was not seen at weight 0.
        let mut drains = status["draining"].as_array().into_iter().flatten();
        self.moving = match () {
            () if open => Some("with an operation open"),
            () if drains.any(|entry| entry["until"].is_string()) => Some("while something drains"),
            () if some("held") => Some("while something is held"),
            () => None,
        };
    }

    /// Whether its status speaks of this call, be it open or settled.
    pub fn remembers(&self, effect: &Effect) -> bool {
        let calls = self.settled.iter().chain([&self.operation]);
        let mut same = calls.filter(|call| call["action"] == effect.action);
        effect.groups.contains(&self.group)
            && same.any(|call| {
                let named = named(call);
                effect.members.iter().any(|member| named.contains(member))
            })
    }

    /// Whether its status has the intent to do this.
    pub fn intends(&self, effect: &Effect) -> bool {
        let operation = &self.operation;
        if operation["action"] != effect.action
            || operation["phase"] == "Settled"
            || !effect.groups.contains(&self.group)
        {
            return false;
        }
        let named = named(&self.operation);
        effect.members.iter().all(|member| named.contains(member))
    }

    /// Whether its ledger has this member.
    pub fn holds(&self, id: &str) -> bool {
        self.ledger.contains(id)
    }

    /// Whether it acts: live, enforcing, granted.
    pub fn acts(&self, accounts: &BTreeMap<String, Value>) -> bool {
        let granted = accounts.get(&self.account).is_some_and(|account| {
            let mut grants = account["spec"]["grants"].as_array().into_iter().flatten();
            grants.any(|grant| {
                let mut namespaces = grant["namespaces"].as_array().into_iter().flatten();
                namespaces.any(|name| name == "*" || *name == self.namespace)
            })
        });
        granted && self.resting.is_none() && self.deleting.is_none()
    }

    /// Whether an edit of it is followed by a question about its group.
    pub fn is_to_be_heard(&self) -> bool {
        self.is_membership && self.deleting.is_none() && self.resting.is_none()
    }

    /// Since when it acts, as far as its own spec says.
    pub fn acts_since(&self) -> Option<Duration> {
        self.resting
            .is_none()
            .then(|| self.created.max(self.rested_until))
    }

    /// How its status claims too much, if it does.
    pub fn dishonest(&self) -> Option<&'static str> {
        self.moving.filter(|_| self.in_sync)
    }

    /// Whether who acts for it at `left` knows what is so since then: its intent was written later, with the version that
    /// has it, or the last question may not have been asked before.
    pub fn knows(&self, since: Duration, left: Duration) -> bool {
        self.intended_at.is_some_and(|intended| since <= intended) || since + JUST_NOW < left
    }

    /// Every id that it registered.
    pub fn registered(&self) -> &BTreeSet<String> {
        &self.registered
    }

    /// The id of the operation that its status has.
    pub fn operation(&self) -> &str {
        self.operation["id"].as_str().unwrap_or_default()
    }

    /// How many it lists to serve: none once it is being deleted.
    pub fn wanted(&self) -> usize {
        let silent = |id: &&String| {
            self.weights
                .get(*id)
                .is_some_and(|(weight, _)| *weight == 0)
        };
        match self.deleting {
            Some(_) => 0,
            None => self.lists.keys().filter(|id| !silent(id)).count(),
        }
    }

    /// The number below which no call of its may bring its group (S4).
    pub fn floor(&self) -> usize {
        let (wanted, text) = (self.wanted(), self.min_serving.as_str());
        let percent = text.and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok());
        let least = match (percent, self.min_serving.as_u64()) {
            (Some(percent), _) => (wanted * percent).div_ceil(100),
            (None, Some(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, None) => 1,
        };
        least.min(wanted).max(usize::from(!self.allows_empty))
    }

    /// Every id in its ledger.
    pub fn ledger(&self) -> &BTreeSet<String> {
        &self.ledger
    }
}

fn ids(list: &Value) -> BTreeSet<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|item| Some(item["id"].as_str()?.to_owned()))
        .collect()
}
