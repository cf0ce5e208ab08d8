//! How calls name members that are in the group: with every field that identifies them, spelled as the list spells it. The
//! cloud compares texts, and an IPv6 address has many.

use std::collections::BTreeMap;

use server_group_core::{
    product::Product,
    server::{ServerKey, ServerKind, Weight},
};

use super::observe::{Observed, key};
use crate::cloud::{self, GroupView, MemberChange};

/// The texts of a member, where they are not those of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    id: String,
    ip: Option<String>,
}

/// The members of a list that it spells otherwise than their keys are written.
pub(super) fn spellings(product: Product, view: &GroupView) -> BTreeMap<ServerKey, Spelling> {
    let members = view.members.iter().filter_map(|member| {
        let key = key(product, member);
        let spelling = Spelling {
            id: member.id.clone(),
            ip: member.written_ip.clone().filter(|_| key.ip.is_some()),
        };
        let ip = key.ip.map(|ip| ip.to_string());
        (key.id != spelling.id || ip != spelling.ip).then_some((key, spelling))
    });
    members.collect()
}

/// What the newest view says of the members that a call is to name.
#[derive(Debug, Default)]
pub(super) struct Named {
    kinds: BTreeMap<ServerKey, ServerKind>,
    spelled: BTreeMap<ServerKey, Spelling>,
}

impl Named {
    /// Takes in a newer view. Members that have left stay as they were named: a call that is repeated has to name them so.
    pub(super) fn learn(&mut self, observed: &Observed) {
        let rows = observed.world.rows.iter();
        self.kinds
            .extend(rows.map(|(key, row)| (key.clone(), row.kind)));
        let spelled = observed.spelled.iter();
        self.spelled
            .extend(spelled.map(|(key, spelling)| (key.clone(), spelling.clone())));
    }

    /// A member as a call names it.
    pub(super) fn change(&self, key: &ServerKey, weight: Option<Weight>) -> MemberChange {
        let kind = self.kinds.get(key).copied();
        let kind = kind.unwrap_or_else(|| ServerKind::guessed_by(&key.id));
        let change = change(key, kind, weight);
        match self.spelled.get(key) {
            Some(spelling) => MemberChange {
                id: spelling.id.clone(),
                ip: spelling.ip.clone(),
                ..change
            },
            None => change,
        }
    }
}

/// A member as its key is written.
pub(super) fn change(key: &ServerKey, kind: ServerKind, weight: Option<Weight>) -> MemberChange {
    MemberChange {
        id: key.id.clone(),
        kind: match kind {
            ServerKind::Ecs => cloud::ServerKind::Ecs,
            ServerKind::Eni => cloud::ServerKind::Eni,
            ServerKind::Eci => cloud::ServerKind::Eci,
            ServerKind::Ip => cloud::ServerKind::Ip,
            ServerKind::Fc => cloud::ServerKind::Fc,
        },
        ip: key.ip.map(|ip| ip.to_string()),
        port: key.port,
        weight,
        remote_ip: false,
    }
}
