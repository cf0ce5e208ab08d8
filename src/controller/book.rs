//! The calls that are open on a group, for anybody who wants to change it: one source for both kinds.
//!
//! Three sources know of a call: this process, as long as it lives ([`super::turns`]); the status of its object, which
//! is a membership of the group or an attachment that names it; and, once the object is gone (abandoned, stripped of
//! its finalizer or let go), only the memory of what was seen of it last. They are put together here and nowhere else:
//! no other module asks the status of another object. So another store of what is known of a group can replace the
//! statuses.
//!
//! A status counts as far as the grants of its object reach, also once the object is gone, and for operations that this
//! process began: anybody who may write a status must not be able to freeze the groups of others with it.

use std::sync::Arc;

use kube::ResourceExt;
use server_group_core::grant;

use super::{
    Context,
    known::{self, Known},
    managed::Managed,
    object::name_of,
    open::{Needs, Open},
    pass::Pass,
    turns::{GroupId, GroupMemory},
};
use crate::api::status::Phase;

impl<M: Managed> Pass<'_, M> {
    /// The calls that other objects of either kind have open on `group`, whether or not these objects are still there.
    /// `turn` is what this process remembers about the group.
    pub fn open_on(&self, group: &GroupId, turn: &GroupMemory) -> Vec<Open> {
        let said = self.said_of(group).into_iter();
        let open = said.filter(|open| open.phase != Phase::Settled);
        open.map(|open| open.with_answer(turn)).collect()
    }

    /// The calls of others on `group` that settled and may land all the same.
    pub fn may_land_on(&self, group: &GroupId) -> Vec<Open> {
        let mut said = self.said_of(group);
        said.retain(|open| open.phase == Phase::Settled);
        said
    }

    /// The calls of this object on `group`, open or settled, as far as its record tells.
    pub fn own_calls_on(&self, group: &GroupId) -> Vec<Open> {
        let own = known::calls(&self.object, &self.record).into_iter();
        let on_group = own.filter(|(on, _)| on == group);
        on_group.map(|(_, call)| call).collect()
    }

    fn said_of(&self, group: &GroupId) -> Vec<Open> {
        let (ctx, uid) = (self.ctx, self.object.uid().unwrap_or_default());
        let memberships = self.keep(ctx.memberships.on(group, &uid));
        let attachments = self.keep(ctx.attachments.on(group, &uid));
        let naming = self.keep(ctx.attachments.naming(group, &uid));
        let mut calls = said(ctx, &memberships, group);
        calls.extend(said(ctx, &attachments, group));
        calls.extend(said(ctx, &naming, group));
        let orphans = ctx.orphans.on(group, ctx.timing.linger);
        calls.extend(orphans.into_iter().filter(|open| counts(ctx, open)));
        calls.extend(
            self.unreadable_on(group)
                .into_iter()
                .filter_map(|(moves, object)| {
                    let moved_by = moves.then(|| object.spec("scalingGroupId").unwrap_or_default());
                    Some(Open {
                        moved_by,
                        ..object.open()?
                    })
                }),
        );
        calls
    }
}

/// The calls on `group` in the statuses of `objects`, as far as these count.
fn said<N: Managed>(ctx: &Context, objects: &[Arc<Known<N>>], group: &GroupId) -> Vec<Open> {
    let open = objects.iter().flat_map(|other| {
        let name = name_of(&***other);
        let on_group = other.open().into_iter().filter(|(on, _)| on == group);
        on_group.map(move |(_, open)| Open {
            began_here: N::registry(ctx).began_operation(&name, &open.id),
            ..open
        })
    });
    open.filter(|open| counts(ctx, open)).collect()
}

/// Whether a status counts that says, or said, that this call is open.
fn counts(ctx: &Context, open: &Open) -> bool {
    open.began_here || is_granted(ctx, &open.needs)
}

fn is_granted(ctx: &Context, needs: &Needs) -> bool {
    let Some(account) = ctx.accounts.get(&needs.account) else {
        return false;
    };
    let request = grant::Request {
        namespace: &needs.namespace,
        region: &needs.region,
        scaling_groups: ids(&needs.scaling_groups),
        server_groups: ids(&needs.server_groups),
        load_balancers: ids(&needs.load_balancers),
        servers: Vec::new(),
    };
    grant::authorize(&account.grants, &request).is_ok()
}

fn ids(needs: &[String]) -> Vec<&str> {
    needs.iter().map(String::as_str).collect()
}
