//! Members of server groups, the same for the four products; a table here shows where they differ.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::Deserialize;
use serde_json::{Value, json};
use server_group_core::product::Product;
use tokio::time::Instant;

use super::{
    Answer, Cloud, Freshness,
    call::{Call, Effect, Service},
    error::Error,
    list::{Pages, settled},
    reply::{decode, malformed, number, text},
};

/// The kind of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// An ECS instance.
    Ecs,
    /// An elastic network interface.
    Eni,
    /// An elastic container instance.
    Eci,
    /// An address.
    Ip,
    /// A function.
    Fc,
    /// Something that this version does not know.
    Unknown(String),
}

/// The state of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberStatus {
    /// Joining.
    Adding,
    /// Serving. CLB lists no states; every member that it lists is in this one.
    Available,
    /// Being changed.
    Configuring,
    /// Leaving.
    Removing,
    /// Leaving, finishing what it has.
    Draining,
    /// Being replaced.
    Replacing,
    /// Something that this version does not know.
    Unknown(String),
}

/// The state of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupStatus {
    /// Idle: the only state in which to send a change.
    Available,
    /// A change is running.
    Configuring,
    /// Not usable yet.
    Creating,
    /// Something that this version does not know, or not told.
    Unknown(String),
}

/// One row of a member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Instance, ENI or ECI id, or the address.
    pub id: String,
    /// Its address, where the product tells.
    pub ip: Option<IpAddr>,
    /// The same as the product writes it.
    pub written_ip: Option<String>,
    /// Its port, where members have one.
    pub port: Option<u16>,
    /// Its kind.
    pub kind: ServerKind,
    /// Its weight, where members have one.
    pub weight: Option<u8>,
    /// Its state.
    pub status: MemberStatus,
    /// Whether it is an address outside of the VPC, where the product tells: ALB.
    pub remote_ip: Option<bool>,
}

/// A whole member list, and the state of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Every member, once.
    pub members: Vec<Member>,
    /// The state of the group.
    pub status: GroupStatus,
    /// The load balancer that the group belongs to, where the list says: CLB.
    pub load_balancer: Option<String>,
    /// When the first of the calls behind this view left.
    pub begun: Instant,
    /// When the members were asked for.
    pub listed: Instant,
}

/// One member as a change names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Instance, ENI or ECI id, or the address.
    pub id: String,
    /// Its kind.
    pub kind: ServerKind,
    /// The address of the ENI or ECI that is meant, as the product writes it.
    pub ip: Option<String>,
    /// Absent where the product fixes it.
    pub port: Option<u16>,
    /// Absent: the product's default.
    pub weight: Option<u8>,
    /// Whether it is an address outside of the VPC. Only ALB has such members, and only an addition says so.
    pub remote_ip: bool,
}

/// The service whose API changes the groups of `product`.
#[must_use]
pub const fn service(product: Product) -> Service {
    match product {
        Product::Clb => Service::Slb,
        Product::Alb => Service::Alb,
        Product::Nlb => Service::Nlb,
        Product::Gwlb => Service::Gwlb,
    }
}

/// The action that puts members into a group.
#[must_use]
pub const fn add_action(product: Product) -> &'static str {
    match product {
        Product::Clb => "AddVServerGroupBackendServers",
        Product::Alb | Product::Nlb | Product::Gwlb => "AddServersToServerGroup",
    }
}

/// The action that lists the members of a group.
#[must_use]
pub const fn list_action(product: Product) -> &'static str {
    match product {
        Product::Clb => "DescribeVServerGroupAttribute",
        Product::Alb | Product::Nlb | Product::Gwlb => "ListServerGroupServers",
    }
}

/// The action that takes members out of a group.
#[must_use]
pub const fn remove_action(product: Product) -> &'static str {
    match product {
        Product::Clb => "RemoveVServerGroupBackendServers",
        Product::Alb | Product::Nlb | Product::Gwlb => "RemoveServersFromServerGroup",
    }
}

/// The action that changes weights in place; GWLB has no weights.
#[must_use]
pub const fn weight_action(product: Product) -> &'static str {
    match product {
        Product::Clb => "SetVServerGroupAttribute",
        Product::Alb | Product::Nlb | Product::Gwlb => "UpdateServerGroupServersAttribute",
    }
}

/// Rows per page, the most that the API allows.
const fn page_size(product: Product) -> u32 {
    match product {
        Product::Gwlb => 1000,
        Product::Clb | Product::Alb | Product::Nlb => 100,
    }
}

impl Cloud {
    /// The whole member list of a group, and the state of the group.
    ///
    /// # Errors
    ///
    /// [`super::Kind::GroupNotFound`] if the list call itself says so, [`super::Kind::Incomplete`] if the list
    /// cannot be shown to be whole.
    ///
    /// Source: `DescribeVServerGroupAttribute`; `ListServerGroupServers`, then `ListServerGroups`.
    pub async fn members(&self, product: Product, group: &str) -> Result<GroupView, Error> {
        self.members_since(product, group, Freshness::now()).await
    }

    /// The same; where `freshness` accepts an older answer, the group's status may have been read before its members,
    /// together with that of other groups. The members themselves are read now.
    ///
    /// # Errors
    ///
    /// As [`Cloud::members`].
    pub async fn members_since(
        &self,
        product: Product,
        group: &str,
        freshness: Freshness,
    ) -> Result<GroupView, Error> {
        if product == Product::Clb {
            return self.vserver_group(group).await;
        }
        let list = || settled(|| self.list_server_group_servers(product, group));
        let (at, status, listed, members);
        if freshness.keep.is_zero() {
            (listed, members) = list().await?;
            // After the members: a group that is idle then was idle when they were read, or their states show
            // otherwise.
            let since = Freshness::now();
            (at, status) = self.server_group_status(product, group, since).await?;
        } else {
            (at, status) = self.server_group_status(product, group, freshness).await?;
            (listed, members) = list().await?;
        }
        Ok(GroupView {
            members,
            status,
            load_balancer: None,
            begun: at.min(listed),
            listed,
        })
    }

    /// Puts `members` (1 to the product's limit, which the caller keeps) into a group.
    ///
    /// Returns when the request is accepted; a later list says whether they arrived. CLB takes no token.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Busy`] while another change runs, [`super::Kind::BadMember`] if one member cannot be taken,
    /// [`super::Kind::GroupNotFound`] when the group is gone.
    ///
    /// Source: `AddVServerGroupBackendServers`, `AddServersToServerGroup`.
    pub async fn add_members(
        &self,
        product: Product,
        group: &str,
        members: &[MemberChange],
        token: &str,
    ) -> Result<Answer, Error> {
        self.change(change(
            product,
            add_action(product),
            group,
            members,
            token,
            self.region(),
        ))
        .await
    }

    /// Takes `members` out of a group. Neither weights nor where an address is play a part.
    ///
    /// # Errors
    ///
    /// As [`Cloud::add_members`]; [`super::Kind::MemberNotFound`] where the product refuses absent ones (not CLB).
    ///
    /// Source: `RemoveVServerGroupBackendServers`, `RemoveServersFromServerGroup`.
    pub async fn remove_members(
        &self,
        product: Product,
        group: &str,
        members: &[MemberChange],
        token: &str,
    ) -> Result<Answer, Error> {
        let bare: Vec<_> = members
            .iter()
            .map(|member| MemberChange {
                weight: None,
                remote_ip: false,
                ..member.clone()
            })
            .collect();
        self.change(change(
            product,
            remove_action(product),
            group,
            &bare,
            token,
            self.region(),
        ))
        .await
    }

    /// Sets the weights of `members`, which are all in the group. Nobody joins or leaves.
    ///
    /// # Errors
    ///
    /// As [`Cloud::add_members`].
    ///
    /// Source: `SetVServerGroupAttribute`; `UpdateServerGroupServersAttribute`.
    pub async fn set_weights(
        &self,
        product: Product,
        group: &str,
        members: &[MemberChange],
        token: &str,
    ) -> Result<Answer, Error> {
        self.change(change(
            product,
            weight_action(product),
            group,
            members,
            token,
            self.region(),
        ))
        .await
    }

    async fn vserver_group(&self, group: &str) -> Result<GroupView, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            backend_servers: Backends,
            #[serde(default, deserialize_with = "text")]
            load_balancer_id: Option<String>,
        }
        let action = "DescribeVServerGroupAttribute";
        let arguments = json!({"RegionId": self.region(), "VServerGroupId": group});
        let call = Call::new(Service::Slb, action, Effect::Reads, &arguments);
        let (begun, answer) = self.read(&call).await?;
        let reply: Reply = decode(action, answer)?;
        let mut pages = Pages::new(action);
        pages.take(reply.backend_servers.into_members(), None, row_key)?;
        Ok(GroupView {
            members: pages.whole()?,
            status: GroupStatus::Available,
            load_balancer: reply.load_balancer_id,
            begun,
            listed: begun,
        })
    }

    async fn list_server_group_servers(
        &self,
        product: Product,
        group: &str,
    ) -> Result<(Instant, Vec<Member>), Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            servers: Vec<Row>,
            #[serde(default, deserialize_with = "text")]
            next_token: Option<String>,
            #[serde(default, deserialize_with = "number")]
            total_count: Option<usize>,
        }
        let action = "ListServerGroupServers";
        let mut pages = Pages::new(action);
        let mut token: Option<String> = None;
        let mut begun = None;
        loop {
            let call = list_members(
                product,
                group,
                page_size(product),
                token.as_deref(),
                self.region(),
            );
            let (left, answer) = self.read(&call).await?;
            let begun = *begun.get_or_insert(left);
            let reply: Reply = decode(action, answer)?;
            let stray = |row: &Row| row.server_group_id.as_deref().is_some_and(|id| id != group);
            if reply.servers.iter().any(stray) {
                return Err(malformed(action, "a row is of another group"));
            }
            let members = reply.servers.into_iter().map(Row::into_member).collect();
            pages.take(members, reply.total_count, row_key)?;
            match reply.next_token {
                Some(next) => {
                    pages.turn(&next)?;
                    token = Some(next);
                }
                None => return Ok((begun, pages.whole()?)),
            }
        }
    }

    /// The group's own state, asked for now; `None` if the list leaves it out, and for CLB, whose groups have no state.
    /// Objects that ask within a short window share a call.
    ///
    /// # Errors
    ///
    /// The errors of any reading call.
    ///
    /// Source: `ListServerGroups`.
    pub async fn group_status(
        &self,
        product: Product,
        group: &str,
    ) -> Result<Option<GroupStatus>, Error> {
        if product == Product::Clb {
            return Ok(None);
        }
        let found = self.listed_status(product, group, Freshness::now()).await?;
        Ok(found.map(|(_, status)| status))
    }

    async fn server_group_status(
        &self,
        product: Product,
        group: &str,
        freshness: Freshness,
    ) -> Result<(Instant, GroupStatus), Error> {
        let asked = Instant::now();
        let found = self.listed_status(product, group, freshness).await?;
        Ok(found.unwrap_or_else(|| (asked, GroupStatus::Unknown(String::new()))))
    }

    async fn listed_status(
        &self,
        product: Product,
        group: &str,
        freshness: Freshness,
    ) -> Result<Option<(Instant, GroupStatus)>, Error> {
        let rows = &self.transport.shared().statuses;
        let call = (service(product), LIST_SERVER_GROUPS);
        let read =
            move |cloud: Self, ids: Vec<String>| async move { cloud.statuses(product, &ids).await };
        self.shared(rows, call, group, freshness, read).await
    }

    async fn statuses(
        &self,
        product: Product,
        groups: &[String],
    ) -> Result<(Instant, BTreeMap<String, GroupStatus>), Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reply {
            server_groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Group {
            server_group_id: String,
            server_group_status: String,
        }
        let call = list_groups(product, groups, self.region());
        let (begun, answer) = self.read(&call).await?;
        let reply: Reply = decode(LIST_SERVER_GROUPS, answer)?;
        let rows = reply.server_groups.into_iter();
        let rows = rows.map(|row| (row.server_group_id, row.server_group_status.into()));
        Ok((begun, rows.collect()))
    }
}

/// The call that reads one page of a member list.
fn list_members(
    product: Product,
    group: &str,
    size: u32,
    token: Option<&str>,
    region: &str,
) -> Call {
    let arguments = json!({"RegionId": region_of(product, region), "ServerGroupId": group, "MaxResults": size, "NextToken": token});
    Call::new(
        service(product),
        "ListServerGroupServers",
        Effect::Reads,
        &arguments,
    )
}

const LIST_SERVER_GROUPS: &str = "ListServerGroups";

/// The call that lists up to 20 groups by id.
fn list_groups(product: Product, groups: &[String], region: &str) -> Call {
    let arguments = json!({"RegionId": region_of(product, region), "ServerGroupIds": groups, "MaxResults": 100});
    Call::new(
        service(product),
        LIST_SERVER_GROUPS,
        Effect::Reads,
        &arguments,
    )
}

/// The call that adds or removes members. `DryRun`, which some products have, is never sent.
fn change(
    product: Product,
    action: &'static str,
    group: &str,
    members: &[MemberChange],
    token: &str,
    region: &str,
) -> Call {
    let arguments = match product {
        Product::Clb => {
            json!({"RegionId": region, "VServerGroupId": group, "BackendServers": backend_servers(members)})
        }
        Product::Alb | Product::Nlb | Product::Gwlb => {
            let servers: Vec<_> = members.iter().map(server).collect();
            json!({
                "RegionId": region_of(product, region), "ServerGroupId": group, "Servers": servers, "ClientToken": token,
            })
        }
    };
    Call::new(service(product), action, Effect::Changes, &arguments)
}

/// NLB takes the region as a parameter; for ALB and GWLB the host decides it.
fn region_of(product: Product, region: &str) -> Option<&str> {
    (product == Product::Nlb).then_some(region)
}

/// One member as ALB, NLB and GWLB take it.
fn server(member: &MemberChange) -> Value {
    json!({
        "ServerId": member.id, "ServerType": member.kind.capitalised(), "ServerIp": member.ip, "Port": member.port,
        "Weight": member.weight, "RemoteIpEnabled": member.remote_ip.then_some(true),
    })
}

/// CLB takes its members as JSON in one parameter.
fn backend_servers(members: &[MemberChange]) -> String {
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let mut row = json!({"ServerId": member.id, "Type": member.kind.capitalised().to_ascii_lowercase()});
            if let Some(ip) = &member.ip {
                row["ServerIp"] = json!(ip);
            }
            if let Some(port) = member.port {
                row["Port"] = json!(port.to_string());
            }
            if let Some(weight) = member.weight {
                row["Weight"] = json!(weight.to_string());
            }
            row
        })
        .collect();
    Value::Array(rows).to_string()
}

/// One row of a member list as any of the products writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(default, deserialize_with = "text")]
    server_group_id: Option<String>,
    server_id: String,
    #[serde(default, deserialize_with = "address")]
    server_ip: Option<Address>,
    #[serde(alias = "Type")]
    server_type: Option<String>,
    #[serde(default, deserialize_with = "number")]
    port: Option<u16>,
    #[serde(default, deserialize_with = "number")]
    weight: Option<u8>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    remote_ip_enabled: Option<bool>,
}

/// Members as CLB lists them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Backends {
    backend_server: Vec<Row>,
}

impl Backends {
    pub(super) fn into_members(self) -> Vec<Member> {
        self.backend_server
            .into_iter()
            .map(Row::into_member)
            .collect()
    }
}

impl Row {
    fn into_member(self) -> Member {
        Member {
            kind: self
                .server_type
                .map_or_else(|| ServerKind::Ecs, ServerKind::from),
            status: self
                .status
                .map_or(MemberStatus::Available, MemberStatus::from),
            id: self.server_id,
            ip: self.server_ip.as_ref().map(|address| address.ip),
            written_ip: self.server_ip.map(|address| address.written),
            port: self.port,
            weight: self.weight,
            remote_ip: self.remote_ip_enabled,
        }
    }
}

/// A flag, or nothing if it is written in a way that says nothing: a list is not thrown away for it.
fn flag<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(value)? {
        Value::Bool(flag) => Some(flag),
        Value::String(text) => text.to_ascii_lowercase().parse().ok(),
        _ => None,
    })
}

/// An address, and how it is written.
struct Address {
    ip: IpAddr,
    written: String,
}

fn address<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Address>, D::Error> {
    let Some(written) = text(value)? else {
        return Ok(None);
    };
    let ip = written
        .parse()
        .map_err(|_| serde::de::Error::custom("an address is none"))?;
    Ok(Some(Address { ip, written }))
}

/// The key that tells one row of a list from another.
pub(super) fn row_key(member: &Member) -> (String, Option<IpAddr>, Option<u16>) {
    (member.id.clone(), member.ip, member.port)
}

impl ServerKind {
    /// As ALB, NLB and GWLB write it; CLB takes the same in lower case.
    fn capitalised(&self) -> &str {
        match self {
            Self::Ecs => "Ecs",
            Self::Eni => "Eni",
            Self::Eci => "Eci",
            Self::Ip => "Ip",
            Self::Fc => "Fc",
            Self::Unknown(other) => other,
        }
    }
}

impl From<String> for ServerKind {
    fn from(text: String) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "ecs" => Self::Ecs,
            "eni" => Self::Eni,
            "eci" => Self::Eci,
            "ip" => Self::Ip,
            "fc" => Self::Fc,
            _ => Self::Unknown(text),
        }
    }
}

impl From<String> for MemberStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Adding" => Self::Adding,
            "Available" => Self::Available,
            "Configuring" => Self::Configuring,
            "Removing" => Self::Removing,
            "Draining" => Self::Draining,
            "Replacing" => Self::Replacing,
            _ => Self::Unknown(text),
        }
    }
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "Available",
            Self::Configuring => "Configuring",
            Self::Creating => "Creating",
            Self::Unknown(text) if text.is_empty() => "in a state that is not told",
            Self::Unknown(text) => text,
        })
    }
}

impl From<String> for GroupStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Available" => Self::Available,
            "Configuring" => Self::Configuring,
            "Creating" => Self::Creating,
            _ => Self::Unknown(text),
        }
    }
}

#[cfg(test)]
mod tests;
