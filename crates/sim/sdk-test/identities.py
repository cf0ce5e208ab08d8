"""STS and ECS, and who may do what."""

import json

from sdks import Refused
from simulator import ACCOUNT, KEY

OTHER_ACCOUNT = "1000000000000002"


def role(account, **more):
    return {"RoleArn": f"acs:ram::{account}:role/sgo", "RoleSessionName": "sgo", "DurationSeconds": 900, **more}


OIDC = {"OIDCProviderArn": f"acs:ram::{ACCOUNT}:oidc-provider/ack", "OIDCToken": "a.b.c"}


def keys_of_a_person_and_of_roles(sdk):
    caller = sdk.call("sts", "GetCallerIdentity")
    assert (caller["AccountId"], caller["IdentityType"]) == (ACCOUNT, "RAMUser")
    for answer in (
        sdk.call("sts", "AssumeRole", **role(OTHER_ACCOUNT)),
        sdk.call("sts", "AssumeRoleWithOIDC", **role(OTHER_ACCOUNT), **OIDC),
    ):
        assert answer["AssumedRoleUser"]["Arn"] == f"acs:ram::{OTHER_ACCOUNT}:assumed-role/sgo/sgo"
        given = answer["Credentials"]
        key = (given["AccessKeyId"], given["AccessKeySecret"])
        assert given["Expiration"].endswith("Z")
        guest = sdk.signing_with(key, given["SecurityToken"])
        caller = guest.call("sts", "GetCallerIdentity")
        assert (caller["AccountId"], caller["IdentityType"]) == (OTHER_ACCOUNT, "AssumedRoleUser")
        assert caller["Arn"] == answer["AssumedRoleUser"]["Arn"]
        stranger = sdk.signing_with(key, given["SecurityToken"] + "x")
        refusal = refused_to(stranger)
        assert refusal.code.startswith("InvalidSecurityToken"), refusal


def keys_that_are_wrong(sdk):
    refusal = refused_to(sdk.signing_with(("absent-key", "some-secret")))
    assert (refusal.code, refusal.status) == ("InvalidAccessKeyId.NotFound", 404), refusal
    refusal = refused_to(sdk.signing_with((KEY[0], "another-secret")))
    assert (refusal.code, refusal.status) == ("SignatureDoesNotMatch", 400), refusal
    with sdk.simulator.trouble({"clock": {"ahead": 1200}}, {"clock": {"ahead": 0}}):
        refusal = refused_to(sdk)
        assert (refusal.code, refusal.status) == ("InvalidTimeStamp.Expired", 400), refusal


def refused_to(sdk):
    try:
        answer = sdk.call("sts", "GetCallerIdentity")
    except Refused as refusal:
        return refusal
    raise AssertionError(f"a call was to be refused, and was answered {answer}")


def roles_that_cannot_be(sdk):
    for action, more in (("AssumeRole", {}), ("AssumeRoleWithOIDC", OIDC)):
        sdk.refused("InvalidParameter", 400, "sts", action, **role(ACCOUNT, DurationSeconds=899), **more)
        sdk.refused("InvalidParameter", 400, "sts", action, **role(ACCOUNT, RoleSessionName="no blanks"), **more)
        sdk.refused("InvalidParameter", 400, "sts", action, **role(ACCOUNT, RoleArn="sgo"), **more)
        sdk.refused("InvalidParameter", 400, "sts", action, **role(ACCOUNT, Policy="p" * 2049), **more)
    sdk.refused("InvalidParameter", 400, "sts", "AssumeRole", **role(ACCOUNT, ExternalId="x"))
    short = {**OIDC, "OIDCToken": "abc"}
    sdk.refused("InvalidParameter", 400, "sts", "AssumeRoleWithOIDC", **role(ACCOUNT), **short)


def instances(sdk):
    def found(**params):
        answer = sdk.call("ecs", "DescribeInstances", **params)
        return answer, [row["InstanceId"] for row in answer["Instances"]["Instance"]]

    ids = [f"i-{number:02}" for number in range(12)]
    first, some = found(InstanceIds=json.dumps(ids), MaxResults=10)
    assert some == ids[:10] and first["NextToken"]
    assert {row["Status"] for row in first["Instances"]["Instance"]} == {"Running"}
    second, rest = found(InstanceIds=json.dumps(ids), MaxResults=10, NextToken=first["NextToken"])
    assert rest == ids[10:] and not second.get("NextToken")
    with sdk.simulator.servers(bad=["i-01"]):
        assert found(InstanceIds='["i-00", "i-01"]')[1] == ["i-00"]
    address = first["Instances"]["Instance"][3]["VpcAttributes"]["PrivateIpAddress"]["IpAddress"]
    here = {"PrivateIpAddresses": json.dumps(address), "InstanceNetworkType": "vpc"}
    assert found(InstanceIds=json.dumps(ids), **here)[1] == [ids[3]]
    many = json.dumps([f"i-{number}" for number in range(101)])
    sdk.refused("InvalidParameter", 400, "ecs", "DescribeInstances", InstanceIds=many)


def network_interfaces(sdk):
    def found(**params):
        answer = sdk.call("ecs", "DescribeNetworkInterfaces", **params)
        listed = answer["NetworkInterfaceSets"]["NetworkInterfaceSet"]
        return answer, {row["NetworkInterfaceId"]: row for row in listed}

    ids = [f"eni-{number:02}" for number in range(12)]
    first, some = found(NetworkInterfaceId=ids, MaxResults=10)
    assert list(some) == ids[:10] and first["NextToken"]
    second, rest = found(NetworkInterfaceId=ids, MaxResults=10, NextToken=first["NextToken"])
    assert list(rest) == ids[10:] and not second.get("NextToken")
    with sdk.simulator.servers(bad=["eni-01"]):
        assert found(NetworkInterfaceId=ids[:2])[1].keys() == {"eni-00"}
    address = some["eni-03"]["PrivateIpAddress"]
    own = [{"PrivateIpAddress": address, "Primary": True}]
    assert some["eni-03"]["PrivateIpSets"]["PrivateIpSet"] == own
    here = found(NetworkInterfaceId=ids, PrivateIpAddress=[address], VpcId=some["eni-03"]["VpcId"], Status="InUse")
    assert here[1].keys() == {"eni-03"}
    assert found(NetworkInterfaceId=ids, Tag=[{"Key": "team", "Value": "web"}])[1] == {}
    sdk.refused("InvalidParameter", 400, "ecs", "DescribeNetworkInterfaces", MaxResults=501)
    many = [f"eni-{number}" for number in range(101)]
    sdk.refused("InvalidParameter", 400, "ecs", "DescribeNetworkInterfaces", NetworkInterfaceId=many)


def whoever_is_not_permitted(sdk, service):
    """Every action that was driven, once more with what it was driven with, and denied."""
    code = {"ess": "Forbidden.Unauthorized", "nlb": "Forbidden.NoPermission"}.get(service, "Forbidden.RAM")
    actions = [action for driven, action in sdk.examples if driven == service]
    assert actions, "nothing was driven"
    denied = {"deny": {"actions": [f"{service}:{action}" for action in actions]}}
    with sdk.simulator.trouble(denied, {"deny": {"actions": []}}):
        for action in actions:
            # With its token it would be answered as the call that it repeats.
            params = {name: value for name, value in sdk.examples[service, action].items() if name != "ClientToken"}
            sdk.refused(code, 403, service, action, **params)


def too_many_calls(sdk, service):
    reads = {
        "ess": ("DescribeLimitation", {}),
        "slb": ("DescribeVServerGroups", {"LoadBalancerId": "lb-any"}),
        "ecs": ("DescribeInstances", {"InstanceIds": "[]"}),
        "sts": ("GetCallerIdentity", {}),
    }
    action, params = reads.get(service, ("ListServerGroups", {}))
    with sdk.simulator.failing({"throttleFor": {"seconds": 7}}, service=service):
        refusal = sdk.refused("Throttling.User", 400, service, action, **params)
    # The newer generation tells how many milliseconds to wait.
    assert refusal.wait in (None, 7000)


CHECKS = [keys_of_a_person_and_of_roles, keys_that_are_wrong, roles_that_cannot_be, instances, network_interfaces]
SERVICE_CHECKS = [whoever_is_not_permitted, too_many_calls]
