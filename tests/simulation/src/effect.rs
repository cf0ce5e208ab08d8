//! What a request is: its name in plans and traces, and what may happen to it.

use std::collections::BTreeMap;

use crate::gate::{Question, query};

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Reads from the cloud.
    CloudRead,
    /// Changes the cloud.
    CloudChange,
    /// Reads objects.
    Read,
    /// Writes an object.
    Write,
    /// Reads or writes the lease.
    Lease,
    /// Begins a watch.
    Watch,
    /// Tells an event.
    Event,
}

/// A request as the schedule sees it.
#[derive(Clone, Debug)]
pub struct Effect {
    /// What it asks, without anything that is drawn at random.
    pub asks: String,
    /// Of which sort it is.
    pub sort: Sort,
    /// The action of the cloud; empty for Kubernetes.
    pub action: String,
    /// The groups that it names.
    pub groups: Vec<String>,
    /// The ids that it puts there, takes or changes.
    pub members: Vec<String>,
    /// Of these, the ids that it gives the weight 0.
    pub silenced: Vec<String>,
    /// What tells it from others; a repetition with its token is the same.
    pub content: String,
    /// Its client token, and everything that it says.
    pub token: Option<(String, String)>,
    /// Whether instances move with it.
    pub forced: bool,
}

impl Effect {
    /// Reads a request.
    #[must_use]
    pub fn of(question: &Question) -> Self {
        match question {
            Question::Cloud(request) => cloud(request),
            Question::Kubernetes(request) => {
                let (asks, sort) = kubernetes(&request.method, &request.path, &request.query);
                Self {
                    asks,
                    sort,
                    action: String::new(),
                    groups: Vec::new(),
                    members: Vec::new(),
                    silenced: Vec::new(),
                    content: String::new(),
                    token: None,
                    forced: false,
                }
            }
        }
    }

    /// Whether somebody is taken out, or what brings somebody is.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.action.starts_with("Remove") || self.action.starts_with("Detach")
    }

    /// The ids that it takes out, or sends nothing more.
    #[must_use]
    pub fn takes(&self) -> &[String] {
        if self.removes() {
            &self.members
        } else {
            &self.silenced
        }
    }

    /// Whether it is about what a scaling group feeds.
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.action.starts_with("Attach") || self.action.starts_with("Detach")
    }

    /// Whether its answer shows the members of a group.
    #[must_use]
    pub fn lists_members(&self) -> bool {
        let lists = ["DescribeVServerGroupAttribute", "ListServerGroupServers"];
        lists.contains(&self.action.as_str())
    }

    /// The groups on which nothing else may happen meanwhile.
    #[must_use]
    pub fn occupies(&self) -> Vec<String> {
        match self.is_attachment() && !self.forced {
            true => self.groups.iter().take(1).cloned().collect(),
            false => self.groups.clone(),
        }
    }
}

fn kubernetes(method: &str, path: &str, query: &BTreeMap<String, String>) -> (String, Sort) {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let rest = match parts[..] {
        ["api", _, ref rest @ ..] | ["apis", _, _, ref rest @ ..] => rest,
        _ => &parts[..],
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        _ => rest,
    };
    let what = rest.join("/");
    if what.starts_with("events") {
        return ("tells an event".to_owned(), Sort::Event);
    }
    if what.starts_with("leases") {
        return (format!("{method} {what}"), Sort::Lease);
    }
    if query
        .get("watch")
        .is_some_and(|watch| watch == "true" || watch == "1")
    {
        return (format!("watch {what}"), Sort::Watch);
    }
    match method {
        "GET" => (format!("GET {what}"), Sort::Read),
        _ => (format!("{method} {what}"), Sort::Write),
    }
}

fn cloud(request: &axum::http::Request<Vec<u8>>) -> Effect {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let action = header("x-acs-action").unwrap_or_default().to_owned();
    let reads = ["Describe", "List", "Get"];
    let reads = reads.iter().any(|verb| action.starts_with(verb));
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let mut params = query(request.uri().query().unwrap_or_default());
    params.append(&mut query(&body));
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let named = |wanted: &[&str]| {
        let mut found: Vec<String> = Vec::new();
        for (name, value) in &params {
            if wanted.contains(&last(name).as_str()) && !found.contains(value) {
                found.push(value.clone());
            }
        }
        found
    };
    let mut groups = named(&["ScalingGroupId"]);
    let servers = named(&["ServerGroupId", "VServerGroupId"]);
    // The default groups of load balancers are named by these alone.
    let balancers: Vec<_> = params
        .iter()
        .filter(|(name, _)| *name == "LoadBalancerId" || name.starts_with("LoadBalancer."))
        .map(|(_, value)| value.clone())
        .collect();
    let mut members = named(&["ServerId"]);
    if !groups.is_empty() {
        members.clone_from(if servers.is_empty() {
            &balancers
        } else {
            &servers
        });
    }
    groups.extend(if servers.is_empty() {
        balancers
    } else {
        servers
    });
    let mut silenced = Vec::new();
    for (name, id) in &params {
        if let Some(row) = name.strip_suffix("ServerId")
            && params
                .get(&format!("{row}Weight"))
                .is_some_and(|weight| weight == "0")
        {
            silenced.push(id.clone());
        }
    }
    if let Some(list) = params.get("BackendServers") {
        let list: serde_json::Value = serde_json::from_str(list).unwrap_or_default();
        for server in list.as_array().into_iter().flatten() {
            let id = server["ServerId"].as_str().unwrap_or_default().to_owned();
            if server["Weight"] == "0" {
                silenced.push(id.clone());
            }
            members.push(id);
        }
    }
    // An addition at weight 0 takes nothing from anybody.
    if ![
        "SetVServerGroupAttribute",
        "UpdateServerGroupServersAttribute",
    ]
    .contains(&action.as_str())
    {
        silenced.clear();
    }
    let forced = ["ForceAttach", "ForceDetach"]
        .iter()
        .any(|name| params.get(*name).is_some_and(|value| value == "true"));
    let unique = params
        .get("ClientToken")
        .map(String::as_str)
        .or_else(|| header("x-acs-signature-nonce"));
    let content = format!("{action} {}", unique.unwrap_or_default());
    let token = params.get("ClientToken").cloned();
    let token = token.map(|token| (token, format!("{action} {params:?}")));
    let about = groups
        .first()
        .map(|group| format!(" {group}"))
        .unwrap_or_default();
    Effect {
        asks: format!("{action}{about}"),
        sort: if reads {
            Sort::CloudRead
        } else {
            Sort::CloudChange
        },
        action,
        groups,
        members,
        silenced,
        content,
        token,
        forced,
    }
}
