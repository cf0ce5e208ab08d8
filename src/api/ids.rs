//! What ids look like, and what is said of a text that is none: words that tell what to write, where a pattern would leave
//! that to the reader.
//!
//! Groups, balancers and instances from before 2017 have ids without a prefix. They are told from others by the letters that
//! they have: none of them can be taken for another kind of id, nor hold what separates the parts of a key (`@`, `:`, `/`).

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A rule about a text, and what is said where it does not hold.
#[derive(Clone, Copy)]
pub(super) struct Check {
    rule: &'static str,
    message: &'static str,
}

impl Check {
    /// As the derive takes it.
    pub(super) fn rule(self) -> Rule {
        Rule::new(self.rule).message(self.message)
    }
}

/// The form of a region. It becomes part of host names, so nothing else may stand in it.
pub(super) const REGION: Check = Check {
    rule: "self.matches('^[a-z]{2,}(-[a-z0-9]+)+$')",
    message: "must be the id of a region, such as cn-hangzhou: lower-case letters and digits, with hyphens between them",
};

/// No region ends in a letter of its own, as zones do.
pub(super) const NO_ZONE: Check = Check {
    rule: "!self.matches('[-0-9][a-z]$')",
    message: "is a zone, and a region is needed: leave out the letter at the end, as in cn-hangzhou for cn-hangzhou-h, or \
              ap-southeast-1 for ap-southeast-1a",
};

pub(super) const SERVER_GROUP: Check = Check {
    rule: "self.matches('^(rsp|sgp)-[a-z0-9-]+$')",
    message: "must be the id of a server group: rsp- for CLB or sgp- for ALB, NLB and GWLB, and then lower-case letters, digits \
              and hyphens",
};

pub(super) const SCALING_GROUP: Check = Check {
    rule: "self.matches('^(asg-[a-z0-9-]+|[A-Za-z0-9]+)$')",
    message: "must be the id of a scaling group: asg-, and then lower-case letters, digits and hyphens; or, if it is from before \
              2017, letters and digits alone",
};

pub(super) const LOAD_BALANCER: Check = Check {
    rule: "self.matches('^(lb-[a-z0-9-]+|[0-9][a-z0-9]*(-[a-z0-9]+)+)$')",
    message: "must be the id of a CLB load balancer: lb-, and then lower-case letters, digits and hyphens; or, if it is from \
              before 2017, such as 15200000001-cn-hangzhou-dg-a01",
};

/// A server of a membership. The server's `type` says what an id from before 2017 is of.
pub(super) const SERVER: Check = Check {
    rule: "self.matches('^((i|eni|eci)-[a-z0-9]+|[A-Za-z][A-Za-z0-9]*|acs:fc:[A-Za-z0-9:/._$#-]+)$') || isIP(self)",
    message: "id must be that of an instance, an ENI or an ECI (i-, eni- or eci-, and then lower-case letters and digits; letters \
              and digits alone for an instance from before 2017), an IP address, or the ARN of a function (acs:fc:)",
};

// A grant has patterns where others have words: the API server takes no rule that might cost too much, and the hundreds of ids of
// hundreds of grants are too many for it. A pattern costs nothing.

/// Namespaces of a grant.
pub(super) fn granted_namespaces(_: &mut SchemaGenerator) -> Schema {
    granted(200, 63, r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
}

/// Regions of a grant. The last part of a zone is a letter, or ends in one after a digit.
pub(super) fn granted_regions(_: &mut SchemaGenerator) -> Schema {
    granted(100, 32, r"[a-z]{2,}(-[a-z0-9]+)*-([0-9]+|[a-z]{2,})")
}

/// Server groups of a grant.
pub(super) fn granted_server_groups(_: &mut SchemaGenerator) -> Schema {
    granted(500, 64, r"(rsp|sgp)-[a-z0-9-]*\*?")
}

/// Scaling groups of a grant.
pub(super) fn granted_scaling_groups(_: &mut SchemaGenerator) -> Schema {
    granted(500, 64, r"(asg-[a-z0-9-]*|[A-Za-z0-9]+)\*?")
}

/// Load balancers of a grant.
pub(super) fn granted_load_balancers(_: &mut SchemaGenerator) -> Schema {
    granted(500, 64, r"(lb-|[0-9])[a-z0-9-]*\*?")
}

/// Servers of a grant: ids and the beginnings of ids, addresses and networks.
pub(super) fn granted_servers(_: &mut SchemaGenerator) -> Schema {
    let id = r"((i|eni|eci)-[a-z0-9]*|[A-Za-z][A-Za-z0-9]*|acs:fc:[A-Za-z0-9:/._$#-]*)\*?";
    granted(500, 128, &format!(r"{id}|[0-9a-fA-F.:]+(/[0-9]{{1,3}})?"))
}

/// A list of texts, each of which is `*` or has this form.
fn granted(items: u32, letters: u32, form: &str) -> Schema {
    let pattern = format!(r"^(\*|{form})$");
    json_schema!({
        "type": "array",
        "maxItems": items,
        "items": {"type": "string", "maxLength": letters, "pattern": pattern},
    })
}
