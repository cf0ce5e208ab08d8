//! The identity as which an object acts, and whether it may: the one place where that is decided.

use std::{fmt, sync::Arc};

use server_group_core::{
    grant::{self, Denial},
    reason::Reason,
};

use super::{accounts::Accounts, managed::Managed, sources::Identity};

/// The account under which an object acts.
#[derive(Clone, Debug)]
pub struct Access {
    /// The identity as which it acts.
    pub identity: Arc<Identity>,
}

/// Why an object may not act. Nothing was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such account.
    NoAccount(String),
    /// The account has no grant that covers the object.
    NoGrant {
        /// The account's name.
        account: String,
        /// The object's namespace.
        namespace: String,
        /// The object's region.
        region: String,
        /// The part of a grant that is missing.
        denial: Denial,
    },
}

impl Refusal {
    /// The reason that status gives.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoAccount(_) => Reason::AccountNotFound,
            Self::NoGrant { .. } => Reason::NotGranted,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount(name) => write!(
                f,
                "there is no CloudAccount {name:?}; ask whoever runs the cluster to create it, or correct spec.accountName \
                 in a new object"
            ),
            Self::NoGrant {
                account,
                namespace,
                region,
                denial,
            } => {
                write!(f, "CloudAccount {account:?} has no grant that ")?;
                match denial {
                    Denial::Namespace => write!(f, "names namespace {namespace}")?,
                    Denial::Region => write!(f, "gives namespace {namespace} the region {region}")?,
                    Denial::NotCovered(id) => {
                        write!(f, "gives namespace {namespace} {id} in {region}")?;
                    }
                }
                f.write_str("; ask whoever runs the cluster to add it to spec.grants")
            }
        }
    }
}

/// Looks the object's account up and checks its grants.
///
/// # Errors
///
/// [`Refusal`]; nothing was called.
pub fn authorize<M: Managed>(accounts: &Accounts, object: &M) -> Result<Access, Refusal> {
    let name = object.account_name().to_owned();
    let account = accounts.get(&name);
    let account = account.ok_or_else(|| Refusal::NoAccount(name.clone()))?;
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    let mut request = object.names(&namespace);
    // What it lists no longer is taken away by a call that needs a grant as well.
    let (groups, load_balancers) = object.attached_before();
    request
        .server_groups
        .extend(groups.iter().map(String::as_str));
    let load_balancers = load_balancers.iter().map(String::as_str);
    request.load_balancers.extend(load_balancers);
    grant::authorize(&account.grants, &request).map_err(|denial| Refusal::NoGrant {
        account: name,
        namespace: request.namespace.to_owned(),
        region: request.region.to_owned(),
        denial,
    })?;
    Ok(Access {
        identity: Arc::clone(&account.identity),
    })
}
