"""Drives every action of a running simulator with the vendor's own SDKs, unmodified and of both generations.

    drive.py URL

The newer generation signs with V3, the older one with V1. Each goes through the life of members and attachments of every
product, checks what lists show, and at the end the simulator's log is asked: every action was called and carried out by each
generation that has it, and nothing about any request was found wrong.
"""

import importlib
import json
import sys
import time
import urllib.request

ACCOUNT = "1000000000000001"
REGION = "cn-hangzhou"

# Every action of the simulator. False: the older generation has none, for the reason given.
ACTIONS = {
    "ess": {
        "DescribeScalingGroups": True,
        "DescribeScalingActivities": True,
        "DescribeScalingInstances": True,
        "DescribeLimitation": True,
        "AttachServerGroups": True,
        "DetachServerGroups": True,
        "AttachAlbServerGroups": True,
        "DetachAlbServerGroups": True,
        "AttachVServerGroups": True,
        "DetachVServerGroups": True,
        "AttachLoadBalancers": True,
        "DetachLoadBalancers": True,
    },
    "slb": {
        "DescribeVServerGroups": True,
        "DescribeVServerGroupAttribute": True,
        "AddVServerGroupBackendServers": True,
        "RemoveVServerGroupBackendServers": True,
        "SetVServerGroupAttribute": True,
        "ModifyVServerGroupBackendServers": True,
        "DescribeLoadBalancerAttribute": True,
        "DescribeHealthStatus": True,
        "AddBackendServers": True,
        "RemoveBackendServers": True,
        "SetBackendServers": True,
    },
    "alb": {
        "ListServerGroups": True,
        "ListServerGroupServers": True,
        "ListAsynJobs": True,
        "AddServersToServerGroup": True,
        "RemoveServersFromServerGroup": True,
        "UpdateServerGroupServersAttribute": True,
        "ReplaceServersInServerGroup": True,
    },
    "nlb": {
        "ListServerGroups": True,
        "ListServerGroupServers": True,
        "ListAsynJobs": False,  # Its package has no such request.
        "GetJobStatus": True,
        "AddServersToServerGroup": True,
        "RemoveServersFromServerGroup": True,
        "UpdateServerGroupServersAttribute": True,
    },
    "gwlb": {  # There is no package of the older generation.
        "ListServerGroups": False,
        "ListServerGroupServers": False,
        "AddServersToServerGroup": False,
        "RemoveServersFromServerGroup": False,
    },
    "ecs": {"DescribeInstances": True},
    "sts": {"GetCallerIdentity": True, "AssumeRole": True, "AssumeRoleWithOIDC": True},
}


class Newer:
    """alibabacloud_<product><version>, by way of Tea; ESS is 2022-02-22 here."""

    name = "newer"
    packages = {
        "ess": "alibabacloud_ess20220222",
        "slb": "alibabacloud_slb20140515",
        "alb": "alibabacloud_alb20200616",
        "nlb": "alibabacloud_nlb20220430",
        "gwlb": "alibabacloud_gwlb20240415",
        "ecs": "alibabacloud_ecs20140526",
        "sts": "alibabacloud_sts20150401",
    }
    plurals = {
        "ServerGroup": "ServerGroups",
        "AlbServerGroup": "AlbServerGroups",
        "VServerGroup": "VServerGroups",
        "VServerGroupAttribute": "VServerGroupAttributes",
        "LoadBalancer": "LoadBalancers",
        "LoadBalancerConfig": "LoadBalancerConfigs",
        "InstanceId": "InstanceIds",
    }

    def __init__(self, host):
        from alibabacloud_tea_openapi.models import Config

        self.clients, self.models = {}, {}
        for product, package in self.packages.items():
            config = Config(
                access_key_id="simulated-key",
                access_key_secret="simulated-secret",
                endpoint=host,
                protocol="http",
                region_id=REGION,
            )
            self.clients[product] = importlib.import_module(package + ".client").Client(config)
            self.models[product] = importlib.import_module(package + ".models")

    def call(self, product, action, **params):
        if product == "ess":
            params = self.renamed(params)
            # The same list and text in one version, apart in the other.
            for name in ("ScalingGroupId", "ScalingActivityId"):
                if isinstance(params.get(name), list):
                    params[name + "s"] = params.pop(name)
        client = self.clients[product]
        method = next(name for name in dir(client) if name.replace("_", "") == action.lower())
        arguments = []
        # An action without parameters has no request.
        if kind := getattr(self.models[product], action + "Request", None):
            request = kind().from_map(params)
            arguments.append(request)
            params = {name: value for name, value in params.items() if name not in request.to_map()}
        assert not params, f"{action}: the SDK does not know {params}"
        return getattr(client, method)(*arguments).body.to_map()

    def renamed(self, value):
        if isinstance(value, list):
            return [self.renamed(item) for item in value]
        if isinstance(value, dict):
            pairs = ((self.plurals.get(key, key) if isinstance(item, list) else key, self.renamed(item)) for key, item in value.items())
            return dict(pairs)
        return value


class Older:
    """aliyun-python-sdk-<product>, by way of its core."""

    name = "older"
    packages = {
        "ess": "aliyunsdkess.request.v20140828",
        "slb": "aliyunsdkslb.request.v20140515",
        "alb": "aliyunsdkalb.request.v20200616",
        "nlb": "aliyunsdknlb.request.v20220430",
        "ecs": "aliyunsdkecs.request.v20140526",
        "sts": "aliyunsdksts.request.v20150401",
    }

    def __init__(self, host):
        from aliyunsdkcore.client import AcsClient

        self.host = host
        self.client = AcsClient("simulated-key", "simulated-secret", REGION)

    def call(self, product, action, **params):
        module = importlib.import_module(f"{self.packages[product]}.{action}Request")
        request = getattr(module, action + "Request")()
        for name, value in params.items():
            setters = (getattr(request, f"set_{name}{plural}", None) for plural in ("s", ""))
            if not isinstance(value, list):
                setters = (getattr(request, f"set_{name}", None),)
            setter = next(filter(None, setters), None)
            assert setter, f"{action}: the SDK does not know {name}"
            setter(value)
        request.set_endpoint(self.host)
        request.set_protocol_type("http")
        request.set_accept_format("JSON")
        return json.loads(self.client.do_action_with_exception(request))


class Simulator:
    def __init__(self, url):
        self.url = url

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def do(self, *deeds):
        body = json.dumps(deeds).encode()
        request = urllib.request.Request(self.url + "/_sim/do", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()


def rows(answer, *names):
    """The rows of a list: wrapped twice in some versions and flat in others."""
    for name in names:
        if isinstance(answer, list):
            break
        answer = answer[name]
    return answer


def eventually(what, check):
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


def balancer_groups(sdk, simulator, product):
    """ALB, NLB, GWLB: add, reweigh, replace, remove, and follow the jobs."""
    group = f"sgp-{product}-{sdk.name}"
    simulator.do({"createGroup": {"product": product.upper(), "id": group, "drainSeconds": 0}})
    weighs = product != "gwlb"

    def servers(*ids, weight=None):
        listed = [{"ServerId": server, "ServerType": "Ecs"} for server in ids]
        for server in listed:
            if weighs:
                server["Port"] = 8080
            if weight is not None:
                server["Weight"] = weight
        return listed

    def members():
        found, token = [], None
        while True:
            more = {"NextToken": token} if token else {}
            page = sdk.call(product, "ListServerGroupServers", ServerGroupId=group, MaxResults=2, **more)
            found += page["Servers"]
            token = page.get("NextToken")
            if not token:
                assert len(found) == int(page["TotalCount"])
                return {row["ServerId"]: row for row in found}

    def idle():
        listed = sdk.call(product, "ListServerGroups", ServerGroupIds=[group])["ServerGroups"]
        return listed[0]["ServerGroupStatus"] == "Available"

    def done(answer):
        eventually(f"{group} is idle", idle)
        if "JobId" not in answer:
            assert product == "gwlb"
            return
        job = answer["JobId"]
        if ACTIONS[product]["ListAsynJobs"] or sdk.name == "newer":
            jobs = sdk.call(product, "ListAsynJobs", JobIds=[job])["Jobs"]
            assert [found["Status"] for found in jobs] == ["Succeeded"], jobs
        if product == "nlb":
            assert sdk.call(product, "GetJobStatus", JobId=job)["Status"] == "Succeeded"

    five = [f"i-{number}" for number in range(5)]
    added = servers(*five, weight=50 if weighs else None)
    token = f"token-{group}"
    first = sdk.call(product, "AddServersToServerGroup", ServerGroupId=group, Servers=added, ClientToken=token)
    again = sdk.call(product, "AddServersToServerGroup", ServerGroupId=group, Servers=added, ClientToken=token)
    assert first.get("JobId") == again.get("JobId")
    done(first)
    assert set(members()) == set(five)
    if weighs:
        done(sdk.call(product, "UpdateServerGroupServersAttribute", ServerGroupId=group, Servers=servers("i-0", weight=0)))
        assert int(members()["i-0"]["Weight"]) == 0
    if product == "alb":
        swap = {"AddedServers": servers("i-new", weight=1), "RemovedServers": servers("i-1")}
        done(sdk.call(product, "ReplaceServersInServerGroup", ServerGroupId=group, **swap))
        assert "i-new" in members() and "i-1" not in members()
    gone = servers("i-0", "i-2")
    done(sdk.call(product, "RemoveServersFromServerGroup", ServerGroupId=group, Servers=gone, DryRun=False))
    assert not {"i-0", "i-2"} & set(members())


def classic(sdk, simulator):
    """CLB: a vServer group and the default group of a load balancer."""
    balancer, group = f"lb-{sdk.name}", f"rsp-{sdk.name}"
    simulator.do(
        {"createLoadBalancer": {"id": balancer}},
        {"createGroup": {"product": "CLB", "id": group, "loadBalancer": balancer}},
        {"durations": {"processing": 0}},
    )

    def call(action, **params):
        if sdk.name == "newer":
            params["RegionId"] = REGION
        return sdk.call("slb", action, **params)

    def backends(*ids, **more):
        return json.dumps([{"ServerId": server, **more} for server in ids])

    def members():
        found = call("DescribeVServerGroupAttribute", VServerGroupId=group)
        return {row["ServerId"]: row["Weight"] for row in found["BackendServers"]["BackendServer"]}

    call("AddVServerGroupBackendServers", VServerGroupId=group, BackendServers=backends("i-0", "i-1", "i-2", Port="80"))
    call("SetVServerGroupAttribute", VServerGroupId=group, BackendServers=backends("i-0", Port="80", Weight="7"))
    assert members() == {"i-0": 7, "i-1": 100, "i-2": 100}
    call(
        "ModifyVServerGroupBackendServers",
        VServerGroupId=group,
        OldBackendServers=backends("i-1", Port="80"),
        NewBackendServers=backends("i-9", Port="80", Weight="9"),
    )
    call("RemoveVServerGroupBackendServers", VServerGroupId=group, BackendServers=backends("i-2", "i-absent", Port="80"))
    assert members() == {"i-0": 7, "i-9": 9}
    listed = call("DescribeVServerGroups", LoadBalancerId=balancer, IncludeListener=True)
    assert [row["ServerCount"] for row in listed["VServerGroups"]["VServerGroup"]] == [2]

    call("AddBackendServers", LoadBalancerId=balancer, BackendServers=backends("i-0", "i-1", Weight="100"))
    answer = call("SetBackendServers", LoadBalancerId=balancer, BackendServers=backends("i-0", Weight="0"))
    assert answer["BackendServers"]["BackendServer"][0]["Weight"] in ("0", 0)
    call("RemoveBackendServers", LoadBalancerId=balancer, BackendServers=backends("i-1"))
    seen = call("DescribeLoadBalancerAttribute", LoadBalancerId=balancer)
    assert seen["LoadBalancerStatus"] == "active"
    assert [row["ServerId"] for row in seen["BackendServers"]["BackendServer"]] == ["i-0"]
    health = call("DescribeHealthStatus", LoadBalancerId=balancer)
    assert len(health["BackendServers"]["BackendServer"]) == 1


def scaling(sdk, simulator):
    """ESS: each of the four kinds of attachment, with force, and the instances that follow."""
    name = f"asg-{sdk.name}"
    balancer = f"lb-scaling-{sdk.name}"
    alb, gwlb, vserver = (f"{kind}-scaling-{sdk.name}" for kind in ("sgp-alb", "sgp-gwlb", "rsp"))
    simulator.do(
        {"createGroup": {"product": "ALB", "id": alb, "drainSeconds": 0}},
        {"createGroup": {"product": "GWLB", "id": gwlb, "drainSeconds": 0}},
        {"createLoadBalancer": {"id": balancer}},
        {"createGroup": {"product": "CLB", "id": vserver, "loadBalancer": balancer}},
        {"createScalingGroup": {"id": name, "instances": ["i-1", "i-2"]}},
    )

    def call(action, **params):
        # The newer models of these two have no region.
        if sdk.name == "newer" and action not in ("AttachLoadBalancers", "DescribeLimitation"):
            params["RegionId"] = REGION
        return sdk.call("ess", action, **params)

    def seen():
        listed = call("DescribeScalingGroups", ScalingGroupId=[name])
        return rows(listed["ScalingGroups"], "ScalingGroup")[0]

    def serving(group):
        return simulator.get("/_sim/groups")["groups"][group]["serving"]

    def finished(answer):
        activity = answer["ScalingActivityId"]

        def ended():
            listed = call("DescribeScalingActivities", ScalingActivityId=[activity])
            status = rows(listed["ScalingActivities"], "ScalingActivity")[0]["StatusCode"]
            assert status in ("InProgress", "Successful"), status
            return status == "Successful"

        eventually(f"{activity} ends", ended)

    def quiet():
        listed = call("DescribeScalingActivities", ScalingGroupId=name, StatusCode="InProgress")
        return not rows(listed["ScalingActivities"], "ScalingActivity")

    limits = call("DescribeLimitation")
    assert limits["MaxNumberOfAlbServerGroup"] == 30
    both = [{"ServerGroupId": alb, "Type": "ALB", "Port": 80, "Weight": 50}, {"ServerGroupId": gwlb, "Type": "GWLB"}]
    finished(call("AttachServerGroups", ScalingGroupId=name, ServerGroup=both, ForceAttach=True, ClientToken=f"a-{name}"))
    assert {row["ServerGroupId"] for row in rows(seen()["ServerGroups"], "ServerGroup")} == {alb, gwlb}
    eventually("instances serve", lambda: serving(alb) == 2 and serving(gwlb) == 2)
    pairs = [{key: row[key] for key in ("ServerGroupId", "Type", "Port") if key in row} for row in both]
    finished(call("DetachServerGroups", ScalingGroupId=name, ServerGroup=pairs, ForceDetach=True))
    eventually("instances left", lambda: serving(alb) == 0 and serving(gwlb) == 0)

    older = [{"AlbServerGroupId": alb, "Port": 81, "Weight": 5}]
    finished(call("AttachAlbServerGroups", ScalingGroupId=name, AlbServerGroup=older, ForceAttach=True))
    assert [row["Port"] for row in rows(seen()["AlbServerGroups"], "AlbServerGroup")] == [81]
    older[0].pop("Weight")
    finished(call("DetachAlbServerGroups", ScalingGroupId=name, AlbServerGroup=older, ForceDetach=True))

    def vservers(**more):
        return [{"LoadBalancerId": balancer, "VServerGroupAttribute": [{"VServerGroupId": vserver, "Port": 80, **more}]}]

    call("AttachVServerGroups", ScalingGroupId=name, VServerGroup=vservers(Weight=30), ForceAttach=True)
    eventually("instances serve", lambda: serving(vserver) == 2)
    attached = rows(seen()["VServerGroups"], "VServerGroup")
    assert [row["LoadBalancerId"] for row in attached] == [balancer]
    call("DetachVServerGroups", ScalingGroupId=name, VServerGroup=vservers(), ForceDetach=True)
    eventually("instances left", lambda: serving(vserver) == 0 and quiet())

    asynchronous = {"ScalingGroupId": name, "LoadBalancer": [balancer], "Async": True}
    finished(call("AttachLoadBalancers", ForceAttach=True, **asynchronous))
    assert rows(seen()["LoadBalancerIds"], "LoadBalancerId") == [balancer]
    finished(call("DetachLoadBalancers", ForceDetach=True, **asynchronous))
    listed = call("DescribeScalingInstances", ScalingGroupId=name, InstanceId=["i-1", "i-9"], PageSize=100)
    assert [row["InstanceId"] for row in rows(listed["ScalingInstances"], "ScalingInstance")] == ["i-1"]


def identities(sdk):
    """STS and ECS."""
    assert sdk.call("sts", "GetCallerIdentity")["AccountId"] == ACCOUNT
    role = {"RoleArn": f"acs:ram::{ACCOUNT}:role/sgo", "RoleSessionName": "sgo", "DurationSeconds": 900}
    assert sdk.call("sts", "AssumeRole", **role)["Credentials"]["SecurityToken"]
    oidc = {"OIDCProviderArn": f"acs:ram::{ACCOUNT}:oidc-provider/ack", "OIDCToken": "a.b.c"}
    assert sdk.call("sts", "AssumeRoleWithOIDC", **role, **oidc)["Credentials"]["SecurityToken"]
    region = {"RegionId": REGION} if sdk.name == "newer" else {}
    found = sdk.call("ecs", "DescribeInstances", InstanceIds='["i-1"]', **region)
    assert [row["InstanceId"] for row in found["Instances"]["Instance"]] == ["i-1"]


def drive(sdk, simulator):
    """Everything this generation has; the actions that the log shows for it."""
    before = len(simulator.get("/_sim/audit"))
    for product in ("alb", "nlb", "gwlb"):
        if product in sdk.packages:
            balancer_groups(sdk, simulator, product)
    classic(sdk, simulator)
    scaling(sdk, simulator)
    identities(sdk)
    log = simulator.get(f"/_sim/audit?since={before}")
    refused = [(entry["action"], entry["code"]) for entry in log if entry["code"]]
    assert not refused, refused
    return {(entry["service"], entry["action"]) for entry in log if entry["acted"]}


def main():
    url = sys.argv[1].rstrip("/")
    simulator = Simulator(url)
    host = url.removeprefix("http://")
    failed = False
    for sdk in (Newer(host), Older(host)):
        called = drive(sdk, simulator)
        wanted = {
            (service, action)
            for service, actions in ACTIONS.items()
            for action, older_too in actions.items()
            if older_too or sdk.name == "newer"
        }
        print(f"{sdk.name} SDKs: {len(wanted & called)} of {len(wanted)} actions carried out")
        for service, action in sorted(wanted - called):
            print(f"  never carried out: {service} {action}")
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
