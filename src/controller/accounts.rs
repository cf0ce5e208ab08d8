//! The accounts as a watch shows them, with their grants as the core reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use parking_lot::Mutex;
use server_group_core::grant::Grant;

use super::{sources::Identity, version::number};
use crate::{
    api::{self, CloudAccount, NetworkType},
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

impl From<&CloudAccount> for Account {
    fn from(account: &CloudAccount) -> Self {
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
            grants: grants.map(in_core).collect(),
            object: CloudAccount {
                metadata: ObjectMeta {
                    managed_fields: None,
                    ..account.metadata.clone()
                },
                ..account.clone()
            },
        }
    }
}

/// A grant as the core reads it.
fn in_core(grant: &api::Grant) -> Grant {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
    Grant {
        namespaces: list(&grant.namespaces),
        regions: list(&grant.regions),
        server_groups: list(&grant.server_groups),
        scaling_groups: list(&grant.scaling_groups),
        load_balancers: list(&grant.load_balancers),
        servers: list(&grant.servers),
    }
}

/// All accounts, by name.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<String, (Arc<Account>, u64)>,
    /// The number of the list that is being read, or was read last.
    list: u64,
}

impl Accounts {
    /// The account of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Account>> {
        let inner = self.0.lock();
        inner
            .known
            .get(name)
            .map(|(account, _)| Arc::clone(account))
    }

    /// The names of all accounts.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().known.keys().cloned().collect()
    }

    /// Takes in a version of an account. Returns whether it is new, another account of the same name, or has changed.
    /// An older version never replaces a newer one.
    pub fn learn(&self, account: &CloudAccount) -> bool {
        let mut inner = self.0.lock();
        let (list, now) = (inner.list, Account::from(account));
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
        inner
            .known
            .insert(account.name_any(), (Arc::new(now), list));
        changed
    }

    /// Forgets an account that is gone.
    pub fn forget(&self, name: &str) {
        self.0.lock().known.remove(name);
    }

    /// Forgets the accounts that a whole list of this version lacks: those that are not among `names` and no newer than
    /// the list.
    pub fn keep(&self, names: &BTreeSet<String>, version: u64) {
        let mut inner = self.0.lock();
        let stays =
            |name: &String, account: &Account| names.contains(name) || account.version > version;
        inner
            .known
            .retain(|name, (account, _)| stays(name, account));
    }

    /// Begins a list: accounts that it lacks at its end are gone.
    pub fn begin_list(&self) {
        self.0.lock().list += 1;
    }

    /// Ends the list. Returns the names of the accounts that it lacks, which are forgotten.
    pub fn end_list(&self) -> Vec<String> {
        let mut inner = self.0.lock();
        let list = inner.list;
        let gone = inner.known.extract_if(.., |_, (_, seen)| *seen < list);
        gone.map(|(name, _)| name).collect()
    }
}
