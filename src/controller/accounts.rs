//! The accounts as a watch shows them, with their grants as the core reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    ResourceExt,
    core::{Expression, Selector, SelectorExt},
};
use parking_lot::Mutex;
use server_group_core::grant::Grant;
use tokio::sync::watch;

use super::{sources::Identity, version::number};
use crate::{
    api::{self, CloudAccount, LabelOperator, NetworkType},
    cloud::Network,
};

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    uid: String,
    generation: Option<i64>,
    version: u64,
    /// The identity as which its objects act.
    pub identity: Arc<Identity>,
    /// The grants: who may do what.
    pub grants: Vec<Grant>,
    /// The object itself, for those who write it.
    pub object: CloudAccount,
}

impl Account {
    /// The version of the object, as a number.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}

impl Account {
    /// An account, where the namespaces that its grants select are those in `labels`.
    fn of(account: &CloudAccount, labels: &Labels) -> Self {
        let grants = account.spec.grants.iter().flatten();
        Self {
            uid: account.uid().unwrap_or_default(),
            generation: account.metadata.generation,
            version: number(account.metadata.resource_version.as_deref()),
            identity: Arc::new(Identity {
                credentials: account.spec.credentials.clone(),
                assume_role: account.spec.assume_role.clone(),
                network: match account.spec.network {
                    NetworkType::Public => Network::Public,
                    NetworkType::Vpc => Network::Vpc,
                },
            }),
            grants: grants.map(|grant| in_core(grant, labels)).collect(),
            object: CloudAccount {
                metadata: ObjectMeta {
                    managed_fields: None,
                    ..account.metadata.clone()
                },
                ..account.clone()
            },
        }
    }

    /// Whether a grant selects namespaces by their labels.
    fn selects(&self) -> bool {
        let mut grants = self.object.spec.grants.iter().flatten();
        grants.any(|grant| grant.namespace_selector.is_some())
    }
}

/// The labels of all namespaces, by name, each with the version of the namespace as a number.
type Labels = BTreeMap<String, (u64, BTreeMap<String, String>)>;

/// A grant as the core reads it: a selector is a list of names that keeps itself up to date.
fn in_core(grant: &api::Grant, labels: &Labels) -> Grant {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
    let mut namespaces = list(&grant.namespaces);
    if let Some(selector) = &grant.namespace_selector {
        let selector = in_kube(selector);
        let selected = labels.iter().filter(|(_, (_, of))| selector.matches(of));
        namespaces.extend(selected.map(|(name, _)| name.clone()));
    }
    Grant {
        namespaces,
        regions: list(&grant.regions),
        server_groups: list(&grant.server_groups),
        scaling_groups: list(&grant.scaling_groups),
        load_balancers: list(&grant.load_balancers),
        servers: list(&grant.servers),
    }
}

/// A selector as the library reads it. One that asks nothing matches nobody: admission refuses it.
fn in_kube(selector: &api::NamespaceSelector) -> Selector {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Expression::Equal(key.clone(), value.clone()));
    let conditions = selector.match_expressions.iter().flatten();
    let conditions = conditions.map(|condition| {
        let key = condition.key.clone();
        let values = condition.values.iter().flatten().cloned().collect();
        match condition.operator {
            LabelOperator::In => Expression::In(key, values),
            LabelOperator::NotIn => Expression::NotIn(key, values),
            LabelOperator::Exists => Expression::Exists(key),
            LabelOperator::DoesNotExist => Expression::DoesNotExist(key),
        }
    });
    let mut asked: Vec<_> = labels.chain(conditions).collect();
    if asked.is_empty() {
        asked.push(Expression::In(String::new(), BTreeSet::new()));
    }
    asked.into_iter().collect()
}

/// Whether any grant selects namespaces by their labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selects {
    /// The accounts are not known yet.
    #[default]
    Unknown,
    /// None does: nobody has to know the namespaces.
    No,
    /// One does, or did.
    Yes,
}

/// All accounts, by name.
#[derive(Debug, Default)]
pub struct Accounts {
    inner: Mutex<Inner>,
    selects: watch::Sender<Selects>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<String, (Arc<Account>, u64)>,
    /// The accounts that this version cannot read.
    unreadable: BTreeSet<String>,
    /// The labels of namespaces; empty unless a grant selects by them.
    labels: Labels,
    /// Namespaces of the list that is being read.
    listed: Option<BTreeSet<String>>,
    /// The number of the list that is being read, or was read last.
    list: u64,
}

impl Accounts {
    /// The account of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Account>> {
        let inner = self.inner.lock();
        inner
            .known
            .get(name)
            .map(|(account, _)| Arc::clone(account))
    }

    /// The names of all accounts.
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().known.keys().cloned().collect()
    }

    /// Whether there is an account of this name that this version cannot read.
    pub fn is_unreadable(&self, name: &str) -> bool {
        self.inner.lock().unreadable.contains(name)
    }

    /// Whether a grant of one of these accounts selects namespaces by their labels.
    pub fn any_selects<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        let inner = self.inner.lock();
        let mut known = names.into_iter().filter_map(|name| inner.known.get(name));
        known.any(|(account, _)| account.selects())
    }

    /// Whether any grant selects namespaces by their labels, from now on.
    pub fn selects(&self) -> watch::Receiver<Selects> {
        self.selects.subscribe()
    }

    /// Takes in a version of a namespace with its labels. Returns the accounts whose grants it changes. An older version
    /// never replaces a newer one.
    pub fn learn_namespace(
        &self,
        name: &str,
        version: u64,
        labels: BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut inner = self.inner.lock();
        if let Some(listed) = &mut inner.listed {
            listed.insert(name.to_owned());
        }
        let known = inner.labels.get(name);
        if known.is_some_and(|(known, _)| version < *known) {
            return Vec::new();
        }
        let same = known.is_some_and(|(_, known)| *known == labels);
        inner.labels.insert(name.to_owned(), (version, labels));
        match same {
            true => Vec::new(),
            false => inner.select_anew(),
        }
    }

    /// Forgets a namespace that is gone. Returns the accounts whose grants that changes.
    pub fn forget_namespace(&self, name: &str) -> Vec<String> {
        let mut inner = self.inner.lock();
        match inner.labels.remove(name) {
            Some(_) => inner.select_anew(),
            None => Vec::new(),
        }
    }

    /// Begins a list of namespaces.
    pub fn begin_namespaces(&self) {
        self.inner.lock().listed = Some(BTreeSet::new());
    }

    /// Ends it: namespaces that it lacks are gone. Returns the accounts whose grants that changes.
    pub fn end_namespaces(&self) -> Vec<String> {
        let mut inner = self.inner.lock();
        let Some(listed) = inner.listed.take() else {
            return Vec::new();
        };
        inner.labels.retain(|name, _| listed.contains(name));
        inner.select_anew()
    }

    /// Takes in a version of an account. Returns whether it is new, another account of the same name, or has changed.
    /// An older version never replaces a newer one.
    pub fn learn(&self, account: &CloudAccount) -> bool {
        let mut inner = self.inner.lock();
        let (list, now) = (inner.list, Account::of(account, &inner.labels));
        if now.selects() {
            self.selects.send_replace(Selects::Yes);
        }
        let before = inner.known.get_mut(&account.name_any());
        if let Some((known, seen)) = before
            && known.uid == now.uid
            && now.version < known.version
        {
            *seen = list;
            return false;
        }
        let before = inner.known.get(&account.name_any());
        let same = |(before, _): &(Arc<Account>, u64)| {
            (&before.uid, before.generation) == (&now.uid, now.generation)
        };
        let changed = !before.is_some_and(same);
        inner.unreadable.remove(&account.name_any());
        inner
            .known
            .insert(account.name_any(), (Arc::new(now), list));
        changed
    }

    /// Forgets an account that is gone.
    pub fn forget(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.known.remove(name);
        inner.unreadable.remove(name);
    }

    /// Notes that this version cannot read the account: nobody may use it.
    pub fn cannot_read(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.known.remove(name);
        inner.unreadable.insert(name.to_owned());
    }

    /// Forgets the accounts that a whole list of this version lacks: those that are not among `names` and no newer than
    /// the list.
    pub fn keep(&self, names: &BTreeSet<String>, version: u64) {
        let mut inner = self.inner.lock();
        let stays =
            |name: &String, account: &Account| names.contains(name) || account.version > version;
        inner
            .known
            .retain(|name, (account, _)| stays(name, account));
    }

    /// Begins a list: accounts that it lacks at its end are gone.
    pub fn begin_list(&self) {
        self.inner.lock().list += 1;
    }

    /// Ends the list. Returns the names of the accounts that it lacks, which are forgotten.
    pub fn end_list(&self) -> Vec<String> {
        self.selects.send_if_modified(|selects| {
            let unknown = *selects == Selects::Unknown;
            if unknown {
                *selects = Selects::No;
            }
            unknown
        });
        let mut inner = self.inner.lock();
        let list = inner.list;
        let gone = inner.known.extract_if(.., |_, (_, seen)| *seen < list);
        gone.map(|(name, _)| name).collect()
    }
}

impl Inner {
    /// Finds out anew which namespaces the grants select. Returns the accounts for which that are others than before.
    fn select_anew(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        for (name, (account, _)) in &mut self.known {
            if !account.selects() {
                continue;
            }
            let now = Account::of(&account.object, &self.labels);
            if now.grants != account.grants {
                // Who compares by identity goes on with the same one.
                let identity = Arc::clone(&account.identity);
                *account = Arc::new(Account { identity, ..now });
                changed.push(name.clone());
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account(selector: &Value) -> CloudAccount {
        let grant = json!({"name": "a", "namespaces": ["named"], "namespaceSelector": selector});
        serde_json::from_value(json!({
            "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
            "metadata": {"name": "default", "uid": "1", "resourceVersion": "1"},
            "spec": {"credentials": {"type": "Environment"}, "grants": [grant]},
        }))
        .unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|&(key, value)| (key.into(), value.into()))
            .collect()
    }

    fn granted(accounts: &Accounts) -> String {
        let account = accounts.get("default").unwrap();
        account.grants[0].namespaces.join(" ")
    }

    #[test]
    fn a_selector_grants_to_the_namespaces_that_have_its_labels_for_as_long_as_they_have_them() {
        let accounts = Accounts::default();
        accounts.learn(&account(&json!({"matchLabels": {"team": "a"}})));
        assert_eq!(granted(&accounts), "named");
        assert!(
            accounts
                .learn_namespace("other", 1, labels(&[("team", "b")]))
                .is_empty()
        );
        assert_eq!(
            accounts.learn_namespace("web", 1, labels(&[("team", "a")])),
            ["default"]
        );
        assert_eq!(granted(&accounts), "named web");
        assert!(
            accounts
                .learn_namespace("web", 1, labels(&[("team", "a")]))
                .is_empty()
        );
        assert_eq!(accounts.learn_namespace("web", 1, labels(&[])), ["default"]);
        assert_eq!(granted(&accounts), "named");
        accounts.learn_namespace("web", 1, labels(&[("team", "a")]));
        assert_eq!(accounts.forget_namespace("web"), ["default"]);
        accounts.learn_namespace("api", 1, labels(&[("team", "a")]));
        accounts.begin_namespaces();
        accounts.learn_namespace("other", 1, labels(&[("team", "b")]));
        assert_eq!(accounts.end_namespaces(), ["default"], "api is gone");
        assert_eq!(granted(&accounts), "named");
    }

    #[test]
    fn conditions_on_labels_mean_what_they_mean_in_kubernetes() {
        let matches = |condition: Value, of: &[(&str, &str)]| {
            let accounts = Accounts::default();
            accounts.learn(&account(&json!({"matchExpressions": [condition]})));
            accounts.learn_namespace("web", 1, labels(of));
            granted(&accounts) == "named web"
        };
        let within = json!({"key": "team", "operator": "In", "values": ["a", "b"]});
        assert!(matches(within.clone(), &[("team", "b")]));
        assert!(!matches(within, &[]));
        let outside = json!({"key": "team", "operator": "NotIn", "values": ["a"]});
        assert!(matches(outside.clone(), &[]));
        assert!(!matches(outside, &[("team", "a")]));
        assert!(matches(
            json!({"key": "team", "operator": "Exists"}),
            &[("team", "")]
        ));
        assert!(!matches(
            json!({"key": "team", "operator": "DoesNotExist"}),
            &[("team", "")]
        ));
    }

    #[test]
    fn a_selector_that_asks_nothing_grants_nothing() {
        let accounts = Accounts::default();
        accounts.learn(&account(&json!({})));
        accounts.learn_namespace("web", 1, labels(&[("team", "a")]));
        assert_eq!(granted(&accounts), "named");
    }

    #[test]
    fn namespaces_are_asked_for_only_where_a_grant_selects_them() {
        let accounts = Accounts::default();
        let selects = accounts.selects();
        assert_eq!(*selects.borrow(), Selects::Unknown);
        accounts.begin_list();
        accounts.end_list();
        assert_eq!(*selects.borrow(), Selects::No);
        accounts.learn(&account(&json!({"matchLabels": {"team": "a"}})));
        assert_eq!(*selects.borrow(), Selects::Yes);
    }

    /// A watch that lagged gave a namespace its old labels back.
    #[test]
    fn an_older_version_of_a_namespace_changes_nothing() {
        let accounts = Accounts::default();
        accounts.learn(&account(&json!({"matchLabels": {"team": "a"}})));
        accounts.learn_namespace("web", 7, labels(&[]));
        accounts.learn_namespace("web", 6, labels(&[("team", "a")]));
        assert_eq!(granted(&accounts), "named");
        accounts.learn_namespace("web", 8, labels(&[("team", "a")]));
        assert_eq!(granted(&accounts), "named web");
    }

    #[test]
    fn an_account_that_cannot_be_read_is_told_from_one_that_is_not_there() {
        let accounts = Accounts::default();
        let one = account(&json!({"matchLabels": {"team": "a"}}));
        accounts.learn(&one);
        assert!(accounts.any_selects(["default"]) && !accounts.any_selects(["other"]));
        accounts.cannot_read("default");
        assert!(accounts.get("default").is_none() && accounts.is_unreadable("default"));
        accounts.learn(&one);
        assert!(!accounts.is_unreadable("default"));
        accounts.cannot_read("default");
        accounts.forget("default");
        assert!(!accounts.is_unreadable("default"));
    }
}
