//! The four load balancer products, and the numbers in which they differ.

use std::fmt;

/// A load balancer product whose server groups hold members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Classic load balancer, vServer groups.
    Clb,
    /// Application load balancer.
    Alb,
    /// Network load balancer.
    Nlb,
    /// Gateway load balancer.
    Gwlb,
}

/// Attachments that one ESS call may name.
///
/// Published for CLB instances only; the same figure is used for server groups, whose limit is not published.
pub const ATTACHMENTS_PER_CALL: usize = 5;

impl Product {
    /// Members that one adding or removing call may name (S8).
    ///
    /// Source: CLB `AddVServerGroupBackendServers` 20; ALB, NLB and GWLB `AddServersToServerGroup` 200.
    /// An ALB removal travels in the query and is kept at 200 by sending it as a form.
    #[must_use]
    pub const fn members_per_call(self) -> usize {
        match self {
            Self::Clb => 20,
            Self::Alb | Self::Nlb | Self::Gwlb => 200,
        }
    }

    /// Members that one weight-changing call may name (S8); GWLB has no such call.
    ///
    /// Source: `SetVServerGroupAttribute` 20, `UpdateServerGroupServersAttribute` ALB 40, NLB 200.
    #[must_use]
    pub const fn weights_per_call(self) -> usize {
        match self {
            Self::Clb => 20,
            Self::Alb => 40,
            Self::Nlb | Self::Gwlb => 200,
        }
    }

    /// Whether adding a member that drains cancels the removal.
    ///
    /// Source: documented for GWLB alone.
    #[must_use]
    pub const fn takes_back_draining(self) -> bool {
        matches!(self, Self::Gwlb)
    }

    /// Whether members have a port of their own; GWLB fixes it at 6081.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        !matches!(self, Self::Gwlb)
    }

    /// Whether members have a weight.
    #[must_use]
    pub const fn has_weights(self) -> bool {
        !matches!(self, Self::Gwlb)
    }

    /// Whether an answered change is over: CLB applies it before it answers, the others work on it afterwards.
    #[must_use]
    pub const fn changes_at_once(self) -> bool {
        matches!(self, Self::Clb)
    }

    /// Whether a repeated call with the same token is recognised by the cloud (S10).
    #[must_use]
    pub const fn has_tokens(self) -> bool {
        !matches!(self, Self::Clb)
    }

    /// Whether the address of an ECS instance is part of its key in this product.
    ///
    /// CLB tells ECS members apart by id and port alone and leaves the address out of requests.
    #[must_use]
    pub const fn keys_ecs_by_ip(self) -> bool {
        !matches!(self, Self::Clb)
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clb => "CLB",
            Self::Alb => "ALB",
            Self::Nlb => "NLB",
            Self::Gwlb => "GWLB",
        })
    }
}
