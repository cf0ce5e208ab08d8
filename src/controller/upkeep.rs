//! The upkeep of accounts: their status, and the finalizer that keeps a deleted one for as long as objects need it.
//!
//! One look at an account takes in who uses it and whom the cloud takes it for. Looks run beside each other, one for each
//! account: a source of keys that does not answer keeps no other account waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use server_group_core::{grant, reason::Reason};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    Context,
    account_status::{Known, differ_in_numbers_alone, says_of_us, status},
    accounts::Account,
    ended::Judged,
    events::chain,
    operation::hex,
    pace::backoff,
    registry::Users,
    scope::Scope,
};
use crate::{
    api::{ACCOUNT_FINALIZER, CloudAccount, CloudAccountStatus},
    cloud::{self, Cloud},
};

/// Where STS is asked if neither an object nor a grant names a region.
const ANYWHERE: &str = "cn-hangzhou";
/// Failures in a row from which on what may pass by itself is told.
const LASTS: u32 = 3;
/// The longest name after the slash of a finalizer. Source: Kubernetes, qualified names.
const QUALIFIED_MAX: usize = 63;
/// How many of the objects that a deletion waits for are named.
const NAMED: usize = 3;

/// Rings when something changed that concerns an account.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Notify,
    doubted: Mutex<BTreeSet<String>>,
}

impl Bell {
    /// Something changed; a look finds out what.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// The cloud no longer takes the keys of this account.
    pub fn doubt(&self, account: &str) {
        self.doubted.lock().insert(account.to_owned());
        self.ring();
    }
}

/// What is remembered of an account from one look to the next.
#[derive(Debug, Default)]
struct Upkeep {
    /// When the next look is due, since the start of the process.
    due: Duration,
    /// Version of the account that was looked at.
    version: u64,
    users: (usize, usize),
    /// Failures of the credentials in a row.
    failures: u32,
    /// Failures of Kubernetes in a row.
    refused: u32,
    /// When its status was written last.
    written: Option<Duration>,
    /// What was found out last, as status tells it.
    told: Option<CloudAccountStatus>,
}

/// Keeps the status of all accounts up to date and holds those that are needed, while this replica leads.
pub async fn keep_accounts(ctx: Arc<Context>, mut leads: watch::Receiver<bool>) {
    // `None` while a look at the account is under way.
    let mut accounts = BTreeMap::<String, Option<Upkeep>>::new();
    let mut looks = JoinSet::new();
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        for (name, upkeep) in due_looks(&ctx, &mut accounts) {
            looks.spawn(look(Arc::clone(&ctx), name, upkeep));
        }
        let next = accounts.values().flatten().map(|upkeep| upkeep.due).min();
        let next = next.map_or_else(Instant::now, |due| ctx.started + due);
        tokio::select! {
            biased;
            Some(ended) = looks.join_next() => {
                let (name, upkeep) = ended.expect("a panic is caught within");
                accounts.insert(name, Some(upkeep));
            }
            () = ctx.upkeep.rung.notified() => {
                // As many of these may come at once as there are objects.
                tokio::time::sleep(ctx.timing.account_together).await;
            }
            () = tokio::time::sleep_until(next), if accounts.values().any(Option::is_some) => {}
        }
    }
}

/// The accounts to look at now: new ones, those that changed or whose users did, and those that are due.
fn due_looks(
    ctx: &Context,
    accounts: &mut BTreeMap<String, Option<Upkeep>>,
) -> Vec<(String, Upkeep)> {
    let mut names = ctx.accounts.names();
    if !ctx.scopes.iter().any(Scope::is_everywhere) {
        let ours = finalizer(&ctx.installation);
        names.retain(|name| concerns(ctx, name, &ours));
    }
    // They are in order.
    accounts.retain(|name, _| names.binary_search(name).is_ok());
    let mut doubted = ctx.upkeep.doubted.lock();
    let mut due = Vec::new();
    for name in names {
        let Some(account) = ctx.accounts.get(&name) else {
            continue;
        };
        let upkeep = accounts
            .entry(name.clone())
            .or_insert_with(|| Some(Upkeep::default()));
        let now = ctx.now();
        let asks = |upkeep: &Upkeep| {
            let users = users_of(ctx, &name);
            let changed = account.version() != upkeep.version
                || (users.objects, users.held) != upkeep.users
                || doubted.contains(&name);
            now >= upkeep.due || (changed && upkeep.refused == 0)
        };
        if upkeep.as_ref().is_some_and(asks)
            && let Some(upkeep) = upkeep.take()
        {
            doubted.remove(&name);
            due.push((name, upkeep));
        }
    }
    due
}

/// Whether an account is this installation's business: of several that look after some namespaces each, only those whose
/// objects use it, or may, write its status.
fn concerns(ctx: &Context, name: &str, finalizer: &str) -> bool {
    let Some(account) = ctx.accounts.get(name) else {
        return false;
    };
    let mut granted = account.grants.iter().flat_map(|grant| &grant.namespaces);
    let ours = |namespace: &str| ctx.scopes.iter().any(|scope| scope.covers(namespace));
    granted.any(|granted| granted == "*" || ours(granted))
        || account
            .object
            .finalizers()
            .iter()
            .any(|held| held == finalizer)
        || users_of(ctx, name).objects > 0
}

fn users_of(ctx: &Context, account: &str) -> Users {
    let known = ctx.accounts.get(account);
    let may = |namespace: &str, region: &str| {
        let request = grant::Request {
            namespace,
            region,
            ..grant::Request::default()
        };
        let grants = known.as_ref().map(|account| &account.grants);
        grants.is_some_and(|grants| grant::authorize(grants, &request).is_ok())
    };
    let [one, other] = [
        ctx.memberships.users_of(account, may),
        ctx.attachments.users_of(account, may),
    ];
    Users {
        objects: one.objects + other.objects,
        held: one.held + other.held,
        region: one.region.or(other.region),
    }
}

/// Looks at one account. A mistake of ours about one must not take the others along.
async fn look(ctx: Arc<Context>, name: String, upkeep: Upkeep) -> (String, Upkeep) {
    let look = AssertUnwindSafe(look_at(&ctx, &name, upkeep)).catch_unwind();
    let upkeep = look.await.unwrap_or_else(|_| {
        let again_in = ctx.timing.backoff_max;
        tracing::error!(account = %name, "the look at the account panicked: please report this; trying again in {again_in:?}");
        Upkeep {
            due: ctx.now() + again_in,
            refused: 1,
            ..Upkeep::default()
        }
    });
    (name, upkeep)
}

async fn look_at(ctx: &Context, name: &str, mut upkeep: Upkeep) -> Upkeep {
    let users = users_of(ctx, name);
    upkeep.users = (users.objects, users.held);
    let next = match tend(ctx, name, &users, &mut upkeep).await {
        Ok(next) => {
            upkeep.refused = 0;
            next
        }
        Err(error) => {
            upkeep.refused = upkeep.refused.saturating_add(1);
            let error = chain(&error);
            tracing::warn!(account = %name, error, "the account could not be written; trying again");
            backoff(upkeep.refused, &ctx.timing)
        }
    };
    upkeep.due = ctx.now() + next;
    upkeep
}

/// Holds the account or lets it go, and says in its status how it stands. Returns when to look again.
async fn tend(
    ctx: &Context,
    name: &str,
    users: &Users,
    upkeep: &mut Upkeep,
) -> Result<Duration, kube::Error> {
    if let Some(account) = ctx.accounts.get(name) {
        upkeep.version = account.version();
        if !ctx.read_only {
            hold_or_let_go(ctx, &account, users.held > 0).await?;
        }
    }
    let Some(account) = ctx.accounts.get(name) else {
        return Ok(ctx.timing.account_look);
    };
    upkeep.version = account.version();
    let object = &account.object;
    let deleting = object.metadata.deletion_timestamp.is_some();
    let identity = identity_of(ctx, &account, name, users).await;
    let mut next = match &identity {
        Ok(_) => {
            upkeep.failures = 0;
            ctx.timing.account_look
        }
        Err(_) => {
            upkeep.failures = upkeep.failures.saturating_add(1);
            backoff(upkeep.failures, &ctx.timing)
        }
    };
    let passes = |judged: &Judged| judged.verdict.reason == Reason::Retrying;
    let known = Known {
        generation: object.metadata.generation.unwrap_or_default(),
        installation: &ctx.installation,
        objects: users.objects,
        // What may pass by itself is told when it lasts.
        identity: match &identity {
            Err(judged) if passes(judged) && upkeep.failures < LASTS => None,
            identity => Some(identity),
        },
        waits_for: (deleting && users.held > 0).then(|| in_words(ctx, name, users.held)),
    };
    let before = object.status.as_ref();
    let told = status(before, &known, ctx.timing.wall_now());
    let found = status(None, &known, Timestamp::UNIX_EPOCH);
    if before == Some(&told) {
        upkeep.told = Some(found);
        return Ok(next);
    }
    // Another installation may have found out something else. Whoever finds out something new has the word: two of them
    // would write in turns for ever.
    let said = before.is_some_and(|before| says_of_us(before, &known));
    if said && upkeep.told.as_ref() == Some(&found) {
        return Ok(next);
    }
    if let (Some(before), Some(written)) = (before, upkeep.written)
        && differ_in_numbers_alone(before, &told)
        && ctx.now() < written + ctx.timing.account_numbers
    {
        let due = written + ctx.timing.account_numbers;
        next = next.min(due.saturating_sub(ctx.now()));
        return Ok(next);
    }
    upkeep.written = Some(ctx.now());
    let told = CloudAccount {
        status: Some(told),
        ..object.clone()
    };
    let (api, params) = (api(ctx), PostParams::default());
    let written = ctx.ask(api.replace_status(name, &params, &told)).await;
    upkeep.version = took(ctx, name, written)?.unwrap_or(upkeep.version);
    // A write that was refused has told nobody.
    upkeep.told = Some(found);
    Ok(next)
}

/// Puts the finalizer of this installation on an account that objects hold on to, and takes it off one that none does.
async fn hold_or_let_go(ctx: &Context, account: &Account, needed: bool) -> Result<(), kube::Error> {
    let object = &account.object;
    let ours = finalizer(&ctx.installation);
    let held = object.finalizers().contains(&ours);
    // An account that is being deleted takes no new finalizer.
    if held == needed || (needed && object.metadata.deletion_timestamp.is_some()) {
        return Ok(());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|finalizer| *finalizer != ours);
    if needed {
        finalizers.push(ours);
    }
    let version = object.resource_version();
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    let (name, api) = (object.name_any(), api(ctx));
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let written = ctx.ask(api.patch(&name, &params, &patch)).await;
    took(ctx, &name, written)?;
    Ok(())
}

/// Takes in what a write made of an account; returns its version. An account that is gone, or that somebody else wrote
/// in between, is looked at again when the watch shows that.
fn took(
    ctx: &Context,
    name: &str,
    written: Result<CloudAccount, kube::Error>,
) -> Result<Option<u64>, kube::Error> {
    match written {
        Ok(account) => {
            ctx.accounts.learn(&account);
            Ok(ctx.accounts.get(name).map(|account| account.version()))
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The finalizer of this installation; two may use one account.
fn finalizer(installation: &str) -> String {
    let whole = format!("{ACCOUNT_FINALIZER}{installation}");
    let (_, name) = whole.split_once('/').unwrap_or_default();
    if name.len() <= QUALIFIED_MAX {
        return whole;
    }
    // The names of two namespaces may begin alike.
    let digest = Sha256::digest(installation);
    let digest = hex(&digest[..8]);
    let cut = whole.len() - name.len() + QUALIFIED_MAX - 1 - digest.len();
    format!("{}-{digest}", &whole[..cut])
}

fn api(ctx: &Context) -> Api<CloudAccount> {
    Api::all(ctx.client.clone())
}

/// Whom the cloud takes the credentials of an account for.
async fn identity_of(
    ctx: &Context,
    account: &Account,
    name: &str,
    users: &Users,
) -> Result<cloud::Identity, Judged> {
    let granted = account.grants.iter().flat_map(|grant| &grant.regions);
    let mut granted = granted.filter(|region| *region != "*");
    let region = users.region.as_deref();
    let region = region
        .or_else(|| granted.next().map(String::as_str))
        .unwrap_or(ANYWHERE);
    let credential = ctx.sources.of(name, &account.identity, region);
    let cloud = Cloud::new(&ctx.transport, credential, region, account.identity.network);
    let cloud = cloud.pinned().await?;
    let key = cloud.access_key_id().await?;
    Ok(ctx.identities.of(&cloud, key, &ctx.timing).await?)
}

/// The objects that a deletion waits for, by name as far as they are few.
fn in_words(ctx: &Context, account: &str, held: usize) -> String {
    let one = ctx.memberships.holding(account, NAMED).into_iter();
    let one = one.map(|name| format!("ServerGroupMembership {name}"));
    let other = ctx.attachments.holding(account, NAMED).into_iter();
    let other = other.map(|name| format!("ScalingGroupAttachment {name}"));
    let named: Vec<_> = one.chain(other).take(NAMED).collect();
    let more = held.saturating_sub(named.len());
    match (named.is_empty(), more) {
        (true, more) => format!("{more} objects"),
        (false, 0) => named.join(", "),
        (false, more) => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_of_a_long_namespace_is_a_name_that_kubernetes_takes() {
        assert_eq!(
            finalizer("server-group-operator"),
            "servergroup.alicloud.dev/used-by-server-group-operator"
        );
        let [one, other] = ["a", "b"].map(|end| finalizer(&format!("{}{end}", "n".repeat(62))));
        assert_ne!(one, other);
        for long in [one, other] {
            let (_, name) = long.split_once('/').unwrap();
            assert_eq!(name.len(), QUALIFIED_MAX, "{name}");
        }
    }
}
