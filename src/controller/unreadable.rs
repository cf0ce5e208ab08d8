//! Objects that this version cannot read: a newer one wrote them, and was rolled back.
//!
//! One of them must not stop its kind, so it takes the place of an object wherever objects are read. An event tells of
//! it, and it is left alone: no pass looks at it and nothing is written to it. Its claims and its open calls count for
//! the others on its group as far as its text can be understood; as the rest is not known, nothing is removed from such
//! a group.

use std::{borrow::Cow, collections::BTreeSet, str::FromStr, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::{Value, value::RawValue};
use server_group_core::{
    claim::{Claimant, Standing},
    grant,
};
use tokio::sync::watch;

use super::{
    Context, change::Change, events, managed::Managed, object::age_of, open::Open, queue::Name,
    turns::GroupId,
};
use crate::api::{FINALIZER, ScalingGroupAttachment, ServerGroupMembership, status::Phase};

/// An object as the API server sends it.
#[derive(Clone, Debug)]
pub enum Sent<K> {
    /// One that this version can read.
    Readable(K),
    /// Any other one.
    Unreadable(Box<Unreadable>),
}

/// An object that this version cannot read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The metadata, which every object has.
    pub metadata: ObjectMeta,
    /// Why it cannot be read.
    pub why: String,
    /// The whole object, as text.
    text: Arc<str>,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Sent<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Rest {
            metadata: ObjectMeta,
        }
        // As text, because nearly all can be read: taken apart first, each would cost several times as much.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        serde_json::from_str(text.get())
            .map(Self::Readable)
            .or_else(|error| {
                let rest: Rest = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                Ok(Self::Unreadable(Box::new(Unreadable {
                    metadata: ObjectMeta {
                        annotations: None,
                        managed_fields: None,
                        ..rest.metadata
                    },
                    why: error.to_string(),
                    text: text.get().into(),
                })))
            })
    }
}

impl<K> Sent<K> {
    /// The object, if it can be read.
    pub fn readable(self) -> Option<K> {
        match self {
            Self::Readable(object) => Some(object),
            Self::Unreadable(_) => None,
        }
    }
}

impl<K: Resource> Resource for Sent<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Readable(object) => object.meta(),
            Self::Unreadable(object) => &object.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Readable(object) => object.meta_mut(),
            Self::Unreadable(object) => &mut object.metadata,
        }
    }
}

impl Unreadable {
    /// Its name.
    pub fn name(&self) -> Name {
        Name {
            namespace: self
                .metadata
                .namespace
                .as_deref()
                .unwrap_or_default()
                .into(),
            name: self.metadata.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// Whether this id stands anywhere in it, by itself or as a part of a key.
    #[must_use]
    pub fn mentions(&self, id: &str) -> bool {
        let ends =
            |next: Option<char>| !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        self.text.match_indices(id).any(|(at, _)| {
            let (before, after) = (&self.text[..at], &self.text[at + id.len()..]);
            ends(before.chars().next_back()) && ends(after.chars().next())
        })
    }

    /// The claims of its ledger, as far as that can be understood: it keeps what it has, and takes nothing.
    #[must_use]
    pub fn claims<K: Ord + FromStr>(&self) -> Claimant<K> {
        let status = self.value("/status");
        let uid = self.metadata.uid.as_deref();
        let ours = status.pointer("/ledger/uid").and_then(Value::as_str) == uid;
        let held = ["/ledger/registered", "/ledger/adopted"].into_iter();
        let held = held.filter(|_| ours).flat_map(|part| texts(&status, part));
        Claimant {
            name: self.name().to_string(),
            age: age_of(&self.metadata),
            lists: BTreeSet::new(),
            ledger: held.filter_map(|key| key.parse().ok()).collect(),
            registered: BTreeSet::new(),
            standing: Standing::Idle,
        }
    }

    /// The call that it has open, if it says so: nobody knows what became of that.
    #[must_use]
    pub fn open(&self) -> Option<Open> {
        let operation = self.value("/status/operation");
        let text = |name: &str| operation[name].as_str().map(str::to_owned);
        let names = ["/servers", "/serverGroups"].into_iter();
        Some(Open {
            id: text("id")?,
            by: self.name().to_string(),
            action: text("action").unwrap_or_default(),
            phase: Phase::Unsettled,
            names: names.flat_map(|part| texts(&operation, part)).collect(),
            ..Open::default()
        })
    }

    /// The account that it names.
    #[must_use]
    pub fn account(&self) -> String {
        self.spec("accountName")
            .unwrap_or_else(crate::api::default_account)
    }

    /// Whether its deletion waits for us.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let held = self.metadata.finalizers.iter().flatten();
        held.into_iter().any(|finalizer| finalizer == FINALIZER)
    }

    /// One text in its spec.
    #[must_use]
    pub fn spec(&self, field: &str) -> Option<String> {
        let spec = self.value("/spec");
        spec[field].as_str().map(str::to_owned)
    }

    fn value(&self, at: &str) -> Value {
        let mut whole: Value = serde_json::from_str(&self.text).unwrap_or_default();
        whole.pointer_mut(at).map(Value::take).unwrap_or_default()
    }
}

fn texts(value: &Value, at: &str) -> Vec<String> {
    let texts = value.pointer(at).and_then(Value::as_array);
    let texts = texts.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Tells of every object that cannot be read, once for each version of it, from the moment this replica leads.
pub async fn tell_unreadable(ctx: Arc<Context>, mut leads: watch::Receiver<bool>) {
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tell_of::<ServerGroupMembership>(&ctx).await;
        tell_of::<ScalingGroupAttachment>(&ctx).await;
        ctx.unreadable.notified().await;
    }
}

async fn tell_of<M: Managed>(ctx: &Context) {
    for object in M::registry(ctx).untold() {
        let note = format!(
            "this version of the operator cannot read the object ({}); the object is left alone, and nothing is removed from \
             its group, until it can be read: run the version that wrote it, or a newer one",
            object.why
        );
        events::publish_about::<M>(ctx, &object.metadata, Change::Unreadable, note).await;
    }
}

impl Context {
    /// Takes in a version of an object, whether or not it can be read.
    pub fn saw_sent<M: Managed>(&self, sent: Sent<M>) {
        let object = match sent {
            Sent::Readable(object) => return self.saw(object),
            Sent::Unreadable(object) => object,
        };
        let (name, why) = (object.name(), object.why.clone());
        let Some(before) = M::registry(self).learn_unreadable(*object) else {
            return;
        };
        let kind = M::kind(&());
        tracing::warn!(%kind, object = %name, why, "an object cannot be read by this version and is left alone");
        if let Some(readable) = before.readable {
            // Calls that it had open when it could be read stay open until they are over.
            self.gone::<M>(readable);
        }
        self.unreadable.notify_one();
    }

    /// The objects of one kind that cannot be read and name this group, as far as their account lets them.
    pub fn unreadable_on<M: Managed>(&self, group: &GroupId) -> Vec<Unreadable> {
        let mut found = M::registry(self).unreadable_about(group.id());
        found.retain(|object| {
            let account = object.account();
            let region = object.spec("regionId").unwrap_or_default();
            let namespace = object.name().namespace;
            let mut request = grant::Request {
                namespace: &namespace,
                region: &region,
                ..grant::Request::default()
            };
            match group {
                _ if group.is_scaling_group() => request.scaling_groups.push(group.id()),
                _ if group.is_load_balancer() => request.load_balancers.push(group.id()),
                _ => request.server_groups.push(group.id()),
            }
            let account = self.accounts.get(&account);
            account.is_some_and(|account| grant::authorize(&account.grants, &request).is_ok())
        });
        found
    }
}
