//! Reads of the claims and open calls of others that are as new as the question: a watch may have stalled.
//!
//! Two objects on one group have two resource versions, so two leaders can write an intent at the same moment, and a
//! watch may be behind both. An intent followed by a consistent read of the others keeps them apart: at least one of
//! the two sees the other one's. The objects that are read go into the registry, which never takes an older version for
//! a newer one.
//!
//! The objects that have a group for their own are found by a field selector, in one short list. Objects that *name* a
//! server group are not: the API server selects by no list. So the kind is listed as a whole, metadata only, and
//! objects that turn out to be newer than what is known are read. Such lists are joined
//! ([decision 14](../../docs/decisions/0014-joined-lists.md)).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use futures::{
    FutureExt,
    future::{BoxFuture, try_join, try_join_all},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{ListParams, ObjectList},
};
use serde::de::DeserializeOwned;

use super::{
    Context, managed::Managed, object::name_of, registry::Gone, scope::Scope, turns::GroupId,
    unreadable::Sent, version::number,
};
use crate::api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};

/// Objects in a page: one may have 330 KB.
const PAGE: u32 = 100;

/// Objects in a page of metadata only.
const PAGE_OF_METADATA: u32 = 500;

impl Context {
    /// Reads anew the objects on these groups, and those that name them.
    ///
    /// # Errors
    ///
    /// Kubernetes did not answer, or not with all of it.
    pub async fn read_others(&self, groups: &BTreeSet<GroupId>) -> Result<(), kube::Error> {
        let on = try_join_all(groups.iter().map(|group| self.read_on(group)));
        let naming = async {
            // Only server groups are named by objects whose own group is another.
            match groups.iter().all(GroupId::is_scaling_group) {
                true => Ok(()),
                false => self.compare_jointly::<ScalingGroupAttachment>().await,
            }
        };
        try_join(on, naming).await.map(drop)
    }

    async fn read_on(&self, group: &GroupId) -> Result<(), kube::Error> {
        match group.is_scaling_group() {
            true => self.read_on_of::<ScalingGroupAttachment>(group).await,
            false => self.read_on_of::<ServerGroupMembership>(group).await,
        }
    }

    async fn read_on_of<M: Managed>(&self, group: &GroupId) -> Result<(), kube::Error> {
        match self.list_on::<M>(group).await {
            // A server from before 1.31 selects by no field of ours.
            Err(kube::Error::Api(status)) if status.code == 400 => {
                self.compare_jointly::<M>().await
            }
            listed => listed,
        }
    }

    async fn compare_jointly<M: Managed>(&self) -> Result<(), kube::Error> {
        M::lists(self).next(self.compare::<M>()).await
    }

    /// Lists the objects whose own group this is.
    async fn list_on<M: Managed>(&self, group: &GroupId) -> Result<(), kube::Error> {
        let lists = self.scopes.iter();
        let lists = lists.map(|scope| self.list_on_in::<M>(scope, group));
        try_join_all(lists).await.map(drop)
    }

    async fn list_on_in<M: Managed>(
        &self,
        scope: &Scope,
        group: &GroupId,
    ) -> Result<(), kube::Error> {
        let selector = format!("{}={}", M::GROUP_FIELD, group.id());
        let params = ListParams::default().limit(PAGE).fields(&selector);
        let (mut uids, mut version) = (BTreeSet::new(), 0);
        let api = scope.api::<Sent<M>>(&self.client);
        pages(self, params, listed(api), |page| {
            version = number(page.metadata.resource_version.as_deref());
            for object in page.items {
                uids.insert(object.uid().unwrap_or_default());
                self.saw_sent(object);
            }
        })
        .await?;
        self.left_out::<M>(M::registry(self).forget_on(scope, group, &uids, version));
        Ok(())
    }

    /// Compares the registry of a whole kind with a list of it, and reads the objects that are newer there.
    ///
    /// # Errors
    ///
    /// As [`Context::read_others`].
    pub async fn compare<M: Managed>(&self) -> Result<(), kube::Error> {
        let lists = self.scopes.iter().map(|scope| self.compare_in::<M>(scope));
        try_join_all(lists).await.map(drop)
    }

    async fn compare_in<M: Managed>(&self, scope: &Scope) -> Result<(), kube::Error> {
        let params = ListParams::default().limit(PAGE_OF_METADATA);
        let (mut listed, mut version) = (BTreeMap::new(), 0);
        let api = scope.api::<Sent<M>>(&self.client);
        pages(
            self,
            params,
            move |params| {
                let api = api.clone();
                async move { api.list_metadata(&params).await }.boxed()
            },
            |page| {
                version = number(page.metadata.resource_version.as_deref());
                for object in &page.items {
                    let newest = number(object.metadata.resource_version.as_deref());
                    listed.insert(object.uid().unwrap_or_default(), (name_of(object), newest));
                }
            },
        )
        .await?;
        let registry = M::registry(self);
        for (uid, (name, newest)) in &listed {
            if registry.knows(name, uid, *newest) {
                continue;
            }
            let api = Api::<Sent<M>>::namespaced(self.client.clone(), &name.namespace);
            // An object that is gone by now is missing in the next list.
            if let Some(object) = self.ask(api.get_opt(&name.name)).await? {
                self.saw_sent(object);
            }
        }
        let listed = listed.into_keys().collect();
        self.left_out::<M>(registry.forget_but(scope, &listed, version));
        Ok(())
    }

    /// Forgets objects that a whole list lacked: it was as new as what is known of them, so they are gone.
    fn left_out<M: Managed>(&self, lacks: Vec<Gone>) {
        for gone in lacks {
            self.gone::<M>(gone);
        }
    }

    /// Reads anew what these accounts grant, and the labels of these namespaces where a grant selects by them.
    ///
    /// # Errors
    ///
    /// As [`Context::read_others`].
    pub async fn read_grants(
        &self,
        accounts: &BTreeSet<Arc<str>>,
        namespaces: &BTreeSet<Arc<str>>,
    ) -> Result<(), kube::Error> {
        let api = Api::<Sent<CloudAccount>>::all(self.client.clone());
        let read = accounts.iter().map(async |name| {
            match self.ask(api.get_opt(name)).await? {
                Some(account) => self.saw_account(account),
                None => self.lost_account(name),
            }
            Ok::<_, kube::Error>(())
        });
        try_join_all(read).await?;
        if !self
            .accounts
            .any_selects(accounts.iter().map(|name| &**name))
        {
            return Ok(());
        }
        let api = Api::<Namespace>::all(self.client.clone());
        let read = namespaces.iter().map(async |name| {
            match self.ask(api.get_opt(name)).await? {
                Some(namespace) => self.saw_namespace(&namespace.metadata),
                None => self.lost_namespace(name),
            }
            Ok::<_, kube::Error>(())
        });
        try_join_all(read).await.map(drop)
    }

    /// Brings everything that is known up to this moment: a watch may have stalled before somebody else's last writes.
    ///
    /// # Errors
    ///
    /// As [`Context::read_others`].
    pub async fn catch_up(&self) -> Result<(), kube::Error> {
        let accounts = Api::<Sent<CloudAccount>>::all(self.client.clone());
        let (mut names, mut version) = (BTreeSet::new(), 0);
        let params = ListParams::default().limit(PAGE);
        pages(self, params, listed(accounts), |page| {
            version = number(page.metadata.resource_version.as_deref());
            for account in page.items.into_iter().filter_map(Sent::readable) {
                names.insert(account.name_any());
                self.accounts.learn(&account);
            }
        })
        .await?;
        self.accounts.keep(&names, version);
        if self.accounts.any_selects(names.iter().map(String::as_str)) {
            // One that is gone has no objects that could be granted anything.
            let params = ListParams::default().limit(PAGE);
            let namespaces = Api::<Namespace>::all(self.client.clone());
            pages(self, params, listed(namespaces), |page| {
                for namespace in page.items {
                    self.saw_namespace(&namespace.metadata);
                }
            })
            .await?;
        }
        self.compare::<ServerGroupMembership>().await?;
        self.compare::<ScalingGroupAttachment>().await
    }
}

/// Reads one page of whole objects.
fn listed<K>(
    api: Api<K>,
) -> impl Fn(ListParams) -> BoxFuture<'static, Result<ObjectList<K>, kube::Error>>
where
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    move |params| {
        let api = api.clone();
        async move { api.list(&params).await }.boxed()
    }
}

/// Reads a list page by page. One that ends before its last page is an error, never a short list.
async fn pages<K: Clone>(
    ctx: &Context,
    mut params: ListParams,
    read: impl Fn(ListParams) -> BoxFuture<'static, Result<ObjectList<K>, kube::Error>>,
    mut take: impl FnMut(ObjectList<K>),
) -> Result<(), kube::Error> {
    loop {
        let page = ctx.ask(read(params.clone())).await?;
        params.continue_token = page
            .metadata
            .continue_
            .clone()
            .filter(|next| !next.is_empty());
        take(page);
        if params.continue_token.is_none() {
            return Ok(());
        }
    }
}
