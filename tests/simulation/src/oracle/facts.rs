//! What an object asks for and remembers, as Kubernetes truly has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use crate::effect::Effect;

/// What an object asks for and remembers.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// The server group or scaling group.
    pub group: String,
    /// What it lists, by id, and since when.
    pub lists: BTreeMap<String, Duration>,
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
    namespace: String,
    account: String,
    created: Duration,
    rested_until: Duration,
    operation: Value,
    ledger: BTreeSet<String>,
    registered: bool,
    in_sync: bool,
    at_rest_in_status: bool,
    moving: Option<&'static str>,
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
        let group = &spec["serverGroup"]["id"];
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
        let ledger = &status["ledger"];
        let entries = |part: &str| ledger[part].as_array().cloned().unwrap_or_default();
        let kept = entries("registered").into_iter().chain(entries("adopted"));
        self.ledger = kept
            .map(|key| id_of(key.as_str().unwrap_or_default()).to_owned())
            .collect();
        self.registered = !entries("registered").is_empty();
        let condition = |kind: &str| {
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            conditions
                .find(|condition| condition["type"] == kind)
                .cloned()
                .unwrap_or_default()
        };
        let in_sync = condition("InSync");
        self.in_sync = in_sync["status"] == "True"
            && in_sync["observedGeneration"] == object["metadata"]["generation"];
        self.at_rest_in_status = condition("Ready")["reason"] == "Suspended";
        let open = operation["id"].is_string() && operation["phase"] != "Settled";
        let some = |field: &str| status[field].as_array().is_some_and(|all| !all.is_empty());
        // An entry without an end is of a member that was not seen at weight 0.
        let drains = status["draining"].as_array().into_iter().flatten();
        let drains = drains.filter(|entry| entry["until"].is_string()).count() > 0;
        self.moving = match () {
            () if open => Some("with an operation open"),
            () if drains => Some("while something drains"),
            () if some("held") => Some("while something is held"),
            () => None,
        };
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
        let named = ["servers", "serverGroups"]
            .map(|field| operation[field].as_array().cloned().unwrap_or_default());
        let named: BTreeSet<_> = named
            .iter()
            .flatten()
            .map(|key| id_of(key.as_str().unwrap_or_default()).to_owned())
            .collect();
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

    /// Whether its end may leave members behind.
    pub fn may_leave_behind(&self) -> bool {
        self.registered || !self.ledger.is_empty()
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
