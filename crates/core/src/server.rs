//! Members of a server group: how one is told from another, and what a listing says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
};

/// The key that tells one member of a group from another: `ID[@IP][:PORT]`.
///
/// `id` is an instance, ENI or ECI id, or for members by address the address in its shortest form.
/// IPv6 addresses, and ids that contain a colon, are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerKey {
    /// Instance, ENI or ECI id, or the address itself.
    pub id: String,
    /// The address of the ENI or ECI that is meant; absent until it is known.
    pub ip: Option<IpAddr>,
    /// Absent where the product fixes the port.
    pub port: Option<u16>,
}

/// The text does not have the form `ID[@IP][:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAServer;

impl ServerKey {
    /// Puts addresses into their shortest form, so that two spellings of one address are one member.
    #[must_use]
    pub fn new(id: &str, ip: Option<IpAddr>, port: Option<u16>) -> Self {
        let id = id
            .parse::<IpAddr>()
            .map_or_else(|_| id.to_owned(), |address| address.to_string());
        Self { id, ip, port }
    }

    /// Whether both name the same server and port, whatever they say about the address.
    #[must_use]
    pub fn same_server_and_port(&self, other: &Self) -> bool {
        self.id == other.id && self.port == other.port
    }

    /// The least key that a member with this id can have; all others with the id follow it.
    #[must_use]
    pub fn first_of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ip: None,
            port: None,
        }
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id.contains(':') {
            write!(f, "[{}]", self.id)?;
        } else {
            f.write_str(&self.id)?;
        }
        match self.ip {
            Some(IpAddr::V4(ip)) => write!(f, "@{ip}")?,
            Some(IpAddr::V6(ip)) => write!(f, "@[{ip}]")?,
            None => {}
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ServerKey {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        let (id, rest) = bracketed_or_until(text, &['@', ':'])?;
        let (ip, rest) = match rest.strip_prefix('@') {
            Some(rest) => {
                let (ip, rest) = bracketed_or_until(rest, &[':'])?;
                (Some(ip.parse().map_err(|_| NotAServer)?), rest)
            }
            None => (None, rest),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().map_err(|_| NotAServer)?),
            None if rest.is_empty() => None,
            None => return Err(NotAServer),
        };
        if id.is_empty() {
            return Err(NotAServer);
        }
        Ok(Self::new(id, ip, port))
    }
}

/// Splits off `[…]`, or the text before the first of `ends`.
fn bracketed_or_until<'a>(text: &'a str, ends: &[char]) -> Result<(&'a str, &'a str), NotAServer> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.split_once(']').ok_or(NotAServer);
    }
    Ok(text.split_at(text.find(ends).unwrap_or(text.len())))
}

/// The kind of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerKind {
    /// An ECS instance, `i-…`.
    Ecs,
    /// An elastic network interface, `eni-…`.
    Eni,
    /// An elastic container instance, `eci-…`.
    Eci,
    /// An address.
    Ip,
    /// A function; ALB only.
    Fc,
}

impl ServerKind {
    /// The kind that the id tells: by `i-`, `eni-` or `eci-`, as an address, or as the ARN of a function, which alone has colons.
    /// Instances from before 2017 have ids without a prefix, `AY140700000000000000`, which tell nothing.
    #[must_use]
    pub fn told_by(id: &str) -> Option<Self> {
        if id.parse::<IpAddr>().is_ok() {
            return Some(Self::Ip);
        }
        match id.split_once('-') {
            _ if id.contains(':') => Some(Self::Fc),
            Some(("i", _)) => Some(Self::Ecs),
            Some(("eni", _)) => Some(Self::Eni),
            Some(("eci", _)) => Some(Self::Eci),
            _ => None,
        }
    }

    /// The kind of a member of which nothing is known but the id: an instance, if the id does not tell. Nothing else is as
    /// old as ids that do not.
    #[must_use]
    pub fn guessed_by(id: &str) -> Self {
        Self::told_by(id).unwrap_or(Self::Ecs)
    }
}

/// Share of new connections a member takes, `0..=100`; zero keeps it registered and sends it nothing.
pub type Weight = u8;

/// The state of a member, as a listing says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Joining; does not serve yet.
    Adding,
    /// Serves, if its weight is above zero. CLB lists no states: every member that it lists is in this one.
    Available,
    /// Being changed.
    Configuring,
    /// On its way out.
    Removing,
    /// On its way out, finishing what it has.
    Draining,
    /// In transition in some other way, or in a state this version does not know.
    Other,
}

impl State {
    /// Whether the member is on its way out.
    #[must_use]
    pub const fn leaves(self) -> bool {
        matches!(self, Self::Removing | Self::Draining)
    }
}

/// One row of a member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind of member; a removal has to repeat it.
    pub kind: ServerKind,
    /// Absent where the product has no weights.
    pub weight: Option<Weight>,
    /// The state of the member.
    pub state: State,
    /// Whether it is an address outside of the VPC; absent where the list does not say.
    pub remote_ip: Option<bool>,
}

/// A whole member list.
pub type Rows = BTreeMap<ServerKey, Row>;

/// A key as it was written, and the rows it can mean if it was written before its address was known.
#[must_use]
pub fn meant_by(key: ServerKey, rows: &Rows) -> BTreeSet<ServerKey> {
    if rows.contains_key(&key) || key.ip.is_some() {
        return BTreeSet::from([key]);
    }
    let same_id = rows
        .range(ServerKey::first_of(&key.id)..)
        .map(|(row, _)| row)
        .take_while(|row| row.id == key.id);
    let mut meant: BTreeSet<_> = same_id
        .filter(|row| row.same_server_and_port(&key))
        .cloned()
        .collect();
    meant.insert(key);
    meant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_as_they_are_written() {
        for text in [
            "i-bp1:8080",
            "i-bp1",
            "AY140700000000000000:80",
            "AY140700000000000000@10.0.0.4:80",
            "eni-2@10.0.0.4:80",
            "eni-2@[fe80::1]:80",
            "10.0.0.1:80",
            "[fe80::1]:80",
            "[fe80::1]",
            "[acs:fc:cn-hangzhou:1:services/s]",
        ] {
            let key: ServerKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn two_spellings_of_an_address_are_one_member() {
        let long: ServerKey = "[fe80:0:0::1]:80".parse().unwrap();
        assert_eq!(long.to_string(), "[fe80::1]:80");
        let long: ServerKey = "eni-1@[FE80::0001]".parse().unwrap();
        assert_eq!(long.to_string(), "eni-1@[fe80::1]");
    }

    #[test]
    fn refuses_what_is_not_a_key() {
        for text in [
            "",
            ":80",
            "i-1:",
            "i-1:x",
            "i-1:70000",
            "eni-1@:80",
            "[fe80::1",
            "[a]b",
        ] {
            assert_eq!(text.parse::<ServerKey>(), Err(NotAServer), "{text:?}");
        }
    }

    #[test]
    fn the_id_tells_the_kind() {
        for (id, kind) in [
            ("i-bp1", ServerKind::Ecs),
            ("eni-bp1", ServerKind::Eni),
            ("eci-bp1", ServerKind::Eci),
            ("10.0.0.1", ServerKind::Ip),
            ("fe80::1", ServerKind::Ip),
            ("acs:fc:cn-hangzhou:1:services/s", ServerKind::Fc),
        ] {
            assert_eq!(ServerKind::told_by(id), Some(kind), "{id}");
            assert_eq!(ServerKind::guessed_by(id), kind, "{id}");
        }
    }

    #[test]
    fn an_id_from_before_2017_tells_no_kind_and_is_an_instance_if_nothing_else_is_known() {
        for id in ["AY140700000000000000", "AY1309301438fe80", "fe80"] {
            assert_eq!(ServerKind::told_by(id), None, "{id}");
            assert_eq!(ServerKind::guessed_by(id), ServerKind::Ecs, "{id}");
        }
    }

    #[test]
    fn a_key_from_before_its_address_was_known_means_every_row_of_its_server_and_port() {
        let key = |text: &str| text.parse::<ServerKey>().unwrap();
        let row = Row {
            kind: ServerKind::Eni,
            weight: None,
            state: State::Available,
            remote_ip: None,
        };
        let rows = [
            "eni-1@10.0.0.1:80",
            "eni-1@10.0.0.2:80",
            "eni-1@10.0.0.1:81",
        ];
        let rows: Rows = rows.map(|text| (key(text), row.clone())).into();
        let meant = meant_by(key("eni-1:80"), &rows);
        let both = ["eni-1:80", "eni-1@10.0.0.1:80", "eni-1@10.0.0.2:80"];
        assert_eq!(meant, both.map(key).into());
        let one = key("eni-1@10.0.0.9:80");
        assert_eq!(meant_by(one.clone(), &rows), [one].into());
    }
}
