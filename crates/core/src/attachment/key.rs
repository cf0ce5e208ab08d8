//! The key that tells one attachment of a scaling group from another.

use std::{fmt, str::FromStr};

use crate::product::Product;

/// An attachment of a scaling group, written `ALB/sgp-1:80`, `GWLB/sgp-2`, `CLB/lb-1/rsp-1:80` or `LB/lb-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttachmentKey {
    /// An ALB, NLB or GWLB server group. GWLB has no port of its own.
    ServerGroup {
        /// ALB, NLB or GWLB.
        product: Product,
        /// `sgp-…`
        id: String,
        /// Absent for GWLB.
        port: Option<u16>,
    },
    /// A CLB vServer group, which belongs to a load balancer.
    VServerGroup {
        /// `lb-…`, or from before 2017 `…-cn-hangzhou-dg-a01`.
        load_balancer: String,
        /// `rsp-…`
        id: String,
        /// 1 to 65535.
        port: u16,
    },
    /// The default group of a CLB load balancer.
    LoadBalancer {
        /// `lb-…`, or from before 2017 `…-cn-hangzhou-dg-a01`.
        id: String,
    },
}

/// A family of attachments: one pair of operations makes and undoes them, and one list of a spec names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// ALB, NLB and GWLB server groups.
    ServerGroups,
    /// CLB vServer groups.
    VServerGroups,
    /// Default groups of CLB load balancers.
    LoadBalancers,
}

impl Family {
    /// Every family, in the order in which they are changed.
    pub const ALL: [Self; 3] = [Self::ServerGroups, Self::VServerGroups, Self::LoadBalancers];
}

/// The text is not the key of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnAttachment;

impl AttachmentKey {
    /// The family, which decides how it is attached and detached.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::ServerGroup { .. } => Family::ServerGroups,
            Self::VServerGroup { .. } => Family::VServerGroups,
            Self::LoadBalancer { .. } => Family::LoadBalancers,
        }
    }

    /// The server group that instances join through it, if it is one whose members can be listed by id.
    #[must_use]
    pub fn server_group(&self) -> Option<(Product, &str)> {
        match self {
            Self::ServerGroup { product, id, .. } => Some((*product, id)),
            Self::VServerGroup { id, .. } => Some((Product::Clb, id)),
            Self::LoadBalancer { .. } => None,
        }
    }

    /// The group that instances join through it, as turns and messages name it: `ALB`, `sgp-1`, or `LB`, `lb-1`.
    #[must_use]
    pub fn fed_group(&self) -> (String, &str) {
        match (self, self.server_group()) {
            (_, Some((product, id))) => (product.to_string(), id),
            (Self::LoadBalancer { id }, None) => ("LB".to_owned(), id),
            (_, None) => {
                unreachable!("only default groups of load balancers have no id of their own")
            }
        }
    }

    /// The port at which instances join; absent where the product, or the listener, decides it.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::ServerGroup { port, .. } => *port,
            Self::VServerGroup { port, .. } => Some(*port),
            Self::LoadBalancer { .. } => None,
        }
    }

    /// The load balancer it names.
    #[must_use]
    pub fn load_balancer(&self) -> Option<&str> {
        match self {
            Self::ServerGroup { .. } => None,
            Self::VServerGroup { load_balancer, .. } => Some(load_balancer),
            Self::LoadBalancer { id } => Some(id),
        }
    }
}

impl fmt::Display for AttachmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerGroup {
                product,
                id,
                port: Some(port),
            } => write!(f, "{product}/{id}:{port}"),
            Self::ServerGroup {
                product,
                id,
                port: None,
            } => write!(f, "{product}/{id}"),
            Self::VServerGroup {
                load_balancer,
                id,
                port,
            } => write!(f, "CLB/{load_balancer}/{id}:{port}"),
            Self::LoadBalancer { id } => write!(f, "LB/{id}"),
        }
    }
}

impl FromStr for AttachmentKey {
    type Err = NotAnAttachment;

    fn from_str(text: &str) -> Result<Self, NotAnAttachment> {
        let (path, port) = match text.rsplit_once(':') {
            Some((path, port)) => (path, Some(port.parse().map_err(|_| NotAnAttachment)?)),
            None => (text, None),
        };
        let parts: Vec<_> = path.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(NotAnAttachment);
        }
        let server_group = |product, id: &str| Self::ServerGroup {
            product,
            id: id.to_owned(),
            port,
        };
        match (parts.as_slice(), port) {
            (["ALB", id], Some(_)) => Ok(server_group(Product::Alb, id)),
            (["NLB", id], Some(_)) => Ok(server_group(Product::Nlb, id)),
            (["GWLB", id], None) => Ok(server_group(Product::Gwlb, id)),
            (["CLB", load_balancer, id], Some(port)) => Ok(Self::VServerGroup {
                load_balancer: (*load_balancer).to_owned(),
                id: (*id).to_owned(),
                port,
            }),
            (["LB", id], None) => Ok(Self::LoadBalancer {
                id: (*id).to_owned(),
            }),
            _ => Err(NotAnAttachment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_as_they_are_written() {
        for text in [
            "ALB/sgp-1:80",
            "NLB/sgp-1:443",
            "GWLB/sgp-2",
            "CLB/lb-1/rsp-1:80",
            "CLB/15200000001-cn-hangzhou-dg-a01/rsp-1:80",
            "LB/lb-2",
            "LB/15200000001-cn-hangzhou-dg-a01",
        ] {
            let key: AttachmentKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_key() {
        for text in [
            "",
            "ALB/sgp-1",
            "GWLB/sgp-2:80",
            "CLB/rsp-1:80",
            "LB/lb-2:80",
            "ALB/:80",
            "X/sgp-1:80",
            "ALB/a:x",
        ] {
            assert_eq!(
                text.parse::<AttachmentKey>(),
                Err(NotAnAttachment),
                "{text:?}"
            );
        }
    }
}
