//! Checks the grants of an account against everything that one object names.

use std::net::IpAddr;

/// One grant. An absent or empty list grants nothing; `*` grants everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Namespaces whose objects may use it.
    pub namespaces: Vec<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// Server group ids, or prefixes ending in `*`.
    pub server_groups: Vec<String>,
    /// Scaling group ids, or prefixes ending in `*`.
    pub scaling_groups: Vec<String>,
    /// Load balancer ids, or prefixes ending in `*`.
    pub load_balancers: Vec<String>,
    /// Server ids, prefixes ending in `*`, or networks in CIDR form for members by address.
    pub servers: Vec<String>,
}

/// Everything one object names.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The object's namespace.
    pub namespace: &'a str,
    /// Its region.
    pub region: &'a str,
    /// Server groups it names.
    pub server_groups: Vec<&'a str>,
    /// Scaling groups it names.
    pub scaling_groups: Vec<&'a str>,
    /// Load balancers it names.
    pub load_balancers: Vec<&'a str>,
    /// Servers it would add or adopt; removals need no grant.
    pub servers: Vec<&'a str>,
}

/// Why no grant covers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No grant matches the namespace.
    Namespace,
    /// No grant for the namespace matches the region.
    Region,
    /// No one grant for namespace and region covers everything; this is the first that one of them lacks.
    NotCovered(String),
}

/// Looks for one grant that matches namespace and region and covers every id.
///
/// # Errors
///
/// The missing permission, as closely as it can be told.
pub fn authorize(grants: &[Grant], request: &Request<'_>) -> Result<(), Denial> {
    let here: Vec<_> = grants
        .iter()
        .filter(|grant| covers(&grant.namespaces, request.namespace))
        .collect();
    if here.is_empty() {
        return Err(Denial::Namespace);
    }
    let there: Vec<_> = here
        .into_iter()
        .filter(|grant| covers(&grant.regions, request.region))
        .collect();
    let mut missing = None;
    for grant in &there {
        match first_uncovered(grant, request) {
            None => return Ok(()),
            Some(id) => missing = missing.or(Some(id.to_owned())),
        }
    }
    Err(missing.map_or(Denial::Region, Denial::NotCovered))
}

fn first_uncovered<'a>(grant: &Grant, request: &Request<'a>) -> Option<&'a str> {
    let pairs = [
        (&grant.server_groups, &request.server_groups),
        (&grant.scaling_groups, &request.scaling_groups),
        (&grant.load_balancers, &request.load_balancers),
        (&grant.servers, &request.servers),
    ];
    pairs
        .into_iter()
        .find_map(|(patterns, ids)| ids.iter().find(|id| !covers(patterns, id)).copied())
}

fn covers(patterns: &[String], id: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, id))
}

/// Whether `pattern` covers `id`. A pattern is an id, a prefix ending in `*`, or a network in CIDR form.
fn matches(pattern: &str, id: &str) -> bool {
    let address = id.parse::<IpAddr>();
    if let Some(prefix) = pattern.strip_suffix('*') {
        // Addresses are granted as networks: a prefix of ids from before 2017, such as `fd*`, must not let some in.
        return prefix.is_empty() || (address.is_err() && id.starts_with(prefix));
    }
    match (address, pattern.split_once('/')) {
        (Ok(address), Some((network, bits))) => match (network.parse(), bits.parse()) {
            (Ok(network), Ok(bits)) => in_network(address, network, bits),
            _ => false,
        },
        (Ok(address), None) => pattern.parse() == Ok(address),
        (Err(_), _) => pattern == id,
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (
            u128::from(address.to_bits()),
            u128::from(network.to_bits()),
            32,
        ),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    match bits {
        0 => true,
        bits if bits > width => false,
        bits => (address ^ network) >> (width - bits) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    fn grant() -> Grant {
        Grant {
            namespaces: strings(&["team-a"]),
            regions: strings(&["cn-hangzhou"]),
            server_groups: strings(&["sgp-*"]),
            servers: strings(&["i-*", "10.0.0.0/16", "fd00::/8"]),
            ..Grant::default()
        }
    }

    fn request() -> Request<'static> {
        Request {
            namespace: "team-a",
            region: "cn-hangzhou",
            server_groups: vec!["sgp-1"],
            ..Request::default()
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables of cases read better without `&`"
    )]
    fn check(grants: &[Grant], request: &Request<'_>, expected: Result<(), Denial>) {
        assert_eq!(authorize(grants, request), expected);
    }

    #[test]
    fn one_grant_has_to_cover_everything() {
        check(&[grant()], &request(), Ok(()));
        check(&[], &request(), Err(Denial::Namespace));
        check(
            &[grant()],
            &Request {
                namespace: "team-b",
                ..request()
            },
            Err(Denial::Namespace),
        );
        check(
            &[grant()],
            &Request {
                region: "cn-beijing",
                ..request()
            },
            Err(Denial::Region),
        );
        let foreign = Request {
            scaling_groups: vec!["asg-1"],
            ..request()
        };
        check(
            &[grant()],
            &foreign,
            Err(Denial::NotCovered("asg-1".into())),
        );
        let other = Grant {
            server_groups: vec![],
            scaling_groups: strings(&["*"]),
            ..grant()
        };
        check(
            &[grant(), other],
            &foreign,
            Err(Denial::NotCovered("asg-1".into())),
        );
        let whole = Grant {
            scaling_groups: strings(&["asg-1"]),
            ..grant()
        };
        check(&[grant(), whole], &foreign, Ok(()));
    }

    #[test]
    fn an_empty_list_grants_nothing_and_a_star_everything() {
        let nothing = Grant {
            server_groups: vec![],
            ..grant()
        };
        check(
            &[nothing],
            &request(),
            Err(Denial::NotCovered("sgp-1".into())),
        );
        let any = Grant {
            namespaces: strings(&["*"]),
            regions: strings(&["*"]),
            server_groups: strings(&["*"]),
            ..grant()
        };
        check(
            &[any],
            &Request {
                namespace: "x",
                region: "y",
                ..request()
            },
            Ok(()),
        );
    }

    #[test]
    fn addresses_are_matched_as_addresses() {
        for (pattern, id, expected) in [
            ("10.0.0.0/16", "10.0.255.1", true),
            ("10.0.0.0/16", "10.1.0.1", false),
            ("10.0.0.0/33", "10.0.0.1", false),
            ("0.0.0.0/0", "10.1.0.1", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::1", "fd00:0::1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.0/16", "i-1", false),
            ("i-1", "i-1", true),
            ("i-1", "i-12", false),
            ("i-1*", "i-12", true),
            ("*", "10.0.0.1", true),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} against {id}");
        }
    }

    #[test]
    fn ids_from_before_2017_are_matched_as_ids_and_their_prefixes_cover_no_address() {
        for (pattern, id, expected) in [
            ("AY140700000000000000", "AY140700000000000000", true),
            ("AY1407*", "AY140700000000000000", true),
            ("AY*", "ay140700000000000000", false),
            ("AY*", "i-1", false),
            ("15200000001-*", "15200000001-cn-hangzhou-dg-a01", true),
            ("fd*", "fd00::1", false),
            ("1*", "10.0.0.1", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} against {id}");
        }
    }
}
