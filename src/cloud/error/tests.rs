//! Every documented code, and what it means.

use super::*;

fn check(service: Service, status: u16, codes: &[&str], expected: Kind) {
    for code in codes {
        assert_eq!(
            kind(service, status, code, ""),
            expected,
            "{code} with {status}"
        );
        assert_eq!(
            kind(service, status, &code.to_uppercase(), ""),
            expected,
            "{code} in capitals"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn common_codes() {
    use Kind::{
        Busy, ClockSkew, Credentials, Denied, Invalid, Quota, Throttled, TokenMismatch,
        TokenProcessing, Transient, WrongEndpoint,
    };
    let any = Service::Ess;
    for status in [400, 429, 503] {
        check(
            any,
            status,
            &[
                "Throttling",
                "Throttling.User",
                "Throttling.Api",
                "Rejected.Throttling",
            ],
            Throttled,
        );
    }
    check(
        any,
        400,
        &["InvalidTimeStamp.Expired", "InvalidTimeStamp.Format"],
        ClockSkew,
    );
    check(
        any,
        400,
        &["SignatureDoesNotMatch", "IncompleteSignature"],
        Credentials,
    );
    check(
        any,
        404,
        &["InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.Inactive"],
        Credentials,
    );
    check(
        any,
        400,
        &[
            "InvalidSecurityToken.Expired",
            "InvalidSecurityToken.Malformed",
            "MissingSecurityToken",
        ],
        Credentials,
    );
    check(
        any,
        403,
        &[
            "Forbidden.RAM",
            "Forbidden.Unauthorized",
            "Forbidden.NoPermission",
            "Forbidden.ServerGroup",
            "NoPermission",
        ],
        Denied,
    );
    check(any, 400, &["Forbidden.ServerGroup"], Denied);
    check(
        any,
        400,
        &[
            "MissingParameter",
            "InvalidParameter.X",
            "IllegalParam.Y",
            "InvalidParameterValue",
        ],
        Invalid,
    );
    check(
        any,
        404,
        &[
            "InvalidAction.NotFound",
            "InvalidVersion",
            "UnsupportedHTTPMethod",
        ],
        WrongEndpoint,
    );
    check(
        any,
        400,
        &[
            "IncorrectStatus.X",
            "OperationConflict",
            "InvalidOperation.Conflict",
            "Conflict.Lock",
            "XProcessing",
            "SystemBusy",
            "ServiceIsConfiguring",
        ],
        Busy,
    );
    check(
        any,
        400,
        &["QuotaExceeded.X", "ResourceQuotaExceeded.X"],
        Quota,
    );
    check(
        any,
        400,
        &[
            "IdempotenceProcessing",
            "IDEMPOTENCE_PROCESSING",
            "IdempotentProcessing",
        ],
        TokenProcessing,
    );
    check(
        any,
        400,
        &[
            "IdempotenceParamNotMatch",
            "IdempotenceSignatureMismatch",
            "IDEMPOTENCE_SIGNATURE_MISMATCH",
            "IdempotentParameterMismatch",
            "LX_REQUEST_TOKEN_CONFLICT",
        ],
        TokenMismatch,
    );
    check(
        any,
        500,
        &["InternalError", "InternalError.X", "UnknownError"],
        Transient,
    );
    check(any, 503, &["ServiceUnavailable"], Transient);
}

#[test]
fn codes_of_ess() {
    let ess = Service::Ess;
    check(
        ess,
        400,
        &["IncorrectScalingGroupStatus"],
        Kind::ScalingGroupUnusable,
    );
    check(
        ess,
        400,
        &["ScalingActivityInProgress", "VServerGroupProcessing"],
        Kind::Busy,
    );
    check(ess, 400, &["BackendServer.configuring"], Kind::Busy);
    check(
        ess,
        404,
        &["InvalidScalingGroupId.NotFound"],
        Kind::ScalingGroupNotFound,
    );
    check(ess, 400, &["AlbServerGroup.NotExist"], Kind::GroupNotFound);
    check(
        ess,
        400,
        &[
            "InvalidLoadBalancerId.RegionMismatch",
            "InvalidVServerGroupId.ForLoadBalancer",
        ],
        Kind::BadMember,
    );
    check(ess, 400, &["IncorrectLoadBalancerStatus"], Kind::NotReady);
    let words = "The specified value of parameter \"ScalingGroupId\" is not valid.";
    assert_eq!(
        kind(ess, 400, "InvalidParameter", words),
        Kind::ScalingGroupNotFound
    );
}

#[test]
fn codes_of_clb() {
    let slb = Service::Slb;
    check(
        slb,
        400,
        &[
            "ServiceIsConfiguring",
            "VServerGroupProcessing",
            "OperationBusy",
            "ProcessingSameRequest",
            "OperationFailed.ServiceGroupProcessing",
            "VpcSystemBusy",
            "SystemBusy",
            "RspoolVipExist",
        ],
        Kind::Busy,
    );
    check(slb, 409, &["ServiceIsStopping"], Kind::Busy);
    check(slb, 409, &["BackendServer.configuring"], Kind::MemberBusy);
    check(
        slb,
        404,
        &[
            "ResourceNotFound.vServers",
            "InvalidLoadBalancerId.NotFound",
        ],
        Kind::GroupNotFound,
    );
    check(
        slb,
        400,
        &["LbStatusNotSupport"],
        Kind::LoadBalancerUnusable,
    );
    check(
        slb,
        400,
        &[
            "TooManyBackendServers",
            "BackendServersMalformed",
            "InvalidWeight.Malformed",
        ],
        Kind::Invalid,
    );
    check(
        slb,
        400,
        &[
            "ObtainIpFail",
            "InvalidServerId.NotExist",
            "InvalidServerId.NotFound",
        ],
        Kind::NotReady,
    );
    check(
        slb,
        400,
        &[
            "NetworkConflict",
            "MasterSlaveServerConflict",
            "OperationUnsupported.X",
            "InvalidBackendServers.X",
        ],
        Kind::BadMember,
    );
    assert_eq!(
        kind(
            slb,
            404,
            "InvalidParameter",
            "The specified VServerGroupId does not exist."
        ),
        Kind::GroupNotFound
    );
    assert_eq!(
        kind(
            slb,
            404,
            "InvalidParameter",
            "The specified parameter is wrong."
        ),
        Kind::Invalid
    );
}

#[test]
fn codes_of_alb_nlb_and_gwlb() {
    for service in [Service::Alb, Service::Nlb, Service::Gwlb] {
        check(
            service,
            400,
            &[
                "IncorrectStatus.ServerGroup",
                "IncorrectStatus.serverGroup",
                "SystemBusy",
                "OperationFailed.ResourceGroupStatusCheckFail",
                "OperationFailed.ResourceIsConfiguring",
                "Conflict.Lock",
            ],
            Kind::Busy,
        );
        check(
            service,
            400,
            &["IncorrectStatus.BackendServer", "IncorrectStatus.Eni"],
            Kind::MemberBusy,
        );
        check(
            service,
            404,
            &[
                "ResourceNotFound.ServerGroup",
                "ResourceNotFound.serverGroup",
            ],
            Kind::GroupNotFound,
        );
        check(
            service,
            404,
            &["ResourceNotFound.BackendServer"],
            Kind::MemberNotFound,
        );
        check(
            service,
            400,
            &["DuplicatedParam.Server"],
            Kind::AlreadyMember,
        );
        check(
            service,
            404,
            &[
                "ResourceNotFound.Ecs",
                "ResourceNotFound.Eni",
                "ResourceNotFound.Eci",
            ],
            Kind::NotReady,
        );
        check(
            service,
            400,
            &["ResourceInUse.IP", "Mismatch.VpcId", "Mismatch.ServerType"],
            Kind::BadMember,
        );
        check(
            service,
            400,
            &["QuotaExceeded.QuotaInsufficient"],
            Kind::Quota,
        );
    }
}

#[test]
fn a_404_alone_never_means_gone() {
    for service in Service::ALL {
        for code in [
            "InvalidAccessKeyId.NotFound",
            "InvalidAction.NotFound",
            "NotFound",
            "Something.Else",
        ] {
            let kind = kind(service, 404, code, "");
            assert!(
                !matches!(kind, Kind::GroupNotFound | Kind::ScalingGroupNotFound),
                "{code}: {kind:?}"
            );
        }
    }
}

#[test]
fn only_a_definite_refusal_proves_that_nothing_was_done() {
    assert_eq!(outcome(400, Kind::Invalid), Outcome::Refused);
    assert_eq!(outcome(503, Kind::Throttled), Outcome::Refused);
    assert_eq!(outcome(503, Kind::Transient), Outcome::Unknown);
    assert_eq!(outcome(500, Kind::Transient), Outcome::Unknown);
    assert_eq!(outcome(400, Kind::TokenProcessing), Outcome::Unknown);
}
