"""CLB: vServer groups, and the default groups of load balancers."""

import json


def backends(*ids, **more):
    return json.dumps([{"ServerId": server, **more} for server in ids])


class Balancer:
    """A load balancer of its own for each check, with a vServer group."""

    def __init__(self, sdk, name):
        self.sdk, self.simulator = sdk, sdk.simulator
        self.id, self.group = f"lb-{sdk.tag}-{name}", f"rsp-{sdk.tag}-{name}"
        self.simulator.do(
            {"createLoadBalancer": {"id": self.id}},
            {"createGroup": {"product": "CLB", "id": self.group, "loadBalancer": self.id}},
        )

    def call(self, action, **params):
        return self.sdk.call("slb", action, **self.of(action), **params)

    def refused(self, code, status, action, **params):
        return self.sdk.refused(code, status, "slb", action, **{**self.of(action), **params})

    def of(self, action):
        if "VServerGroup" in action and action != "DescribeVServerGroups":
            return {"VServerGroupId": self.group}
        return {"LoadBalancerId": self.id}

    def members(self):
        found = self.call("DescribeVServerGroupAttribute")
        assert found["LoadBalancerId"] == self.id
        return {row["ServerId"]: row for row in found["BackendServers"]["BackendServer"]}

    def weights(self):
        return {server: row["Weight"] for server, row in self.members().items()}

    def default(self):
        found = self.call("DescribeLoadBalancerAttribute")
        return {row["ServerId"]: row["Weight"] for row in found["BackendServers"]["BackendServer"]}

    def wait(self):
        """A group that just took backends in lets none go."""
        self.simulator.do({"pass": {"seconds": 2}})


def a_vserver_group(sdk):
    balancer = Balancer(sdk, "vserver")
    call = balancer.call
    answer = call("AddVServerGroupBackendServers", BackendServers=backends("i-0", "i-1", "i-2", Port="80"))
    assert len(answer["BackendServers"]["BackendServer"]) == 3
    assert balancer.weights() == {"i-0": 100, "i-1": 100, "i-2": 100}
    assert {(row["Type"], row["Port"]) for row in balancer.members().values()} == {("ecs", 80)}
    call("SetVServerGroupAttribute", BackendServers=backends("i-0", Port="80", Weight="0", Description="leaves"))
    assert balancer.weights() == {"i-0": 0, "i-1": 100, "i-2": 100}
    assert balancer.members()["i-0"]["Description"] == "leaves"
    assert balancer.simulator.serving(balancer.group) == 2
    balancer.wait()
    swap = {"OldBackendServers": backends("i-1", Port="80"), "NewBackendServers": backends("i-9", Port=80, Weight=9)}
    call("ModifyVServerGroupBackendServers", **swap)
    assert balancer.weights() == {"i-0": 0, "i-2": 100, "i-9": 9}
    balancer.wait()
    # Those that are not there are ignored.
    answer = call("RemoveVServerGroupBackendServers", BackendServers=backends("i-0", "i-2", "i-absent", Port="80"))
    assert [row["ServerId"] for row in answer["BackendServers"]["BackendServer"]] == ["i-9"]
    assert balancer.weights() == {"i-9": 9}
    listed = call("DescribeVServerGroups", IncludeListener=True, IncludeRule=True)["VServerGroups"]["VServerGroup"]
    assert [(row["VServerGroupId"], row["ServerCount"]) for row in listed] == [(balancer.group, 1)]

    # One interface under two addresses is two backends.
    pair = json.dumps([{"ServerId": "eni-1", "Type": "eni", "ServerIp": f"192.0.2.{n}", "Port": "81"} for n in (1, 2)])
    call("AddVServerGroupBackendServers", BackendServers=pair)
    balancer.wait()
    one = json.dumps([{"ServerId": "eni-1", "Type": "eni", "ServerIp": "192.0.2.1", "Port": "81"}])
    call("RemoveVServerGroupBackendServers", BackendServers=one)
    assert balancer.members()["eni-1"]["ServerIp"] == "192.0.2.2"


def a_default_group(sdk):
    balancer = Balancer(sdk, "default")
    call = balancer.call
    answer = call("AddBackendServers", BackendServers=backends("i-0", "i-1", Weight="60"))
    # Weights are text in the answers of these two, and numbers elsewhere.
    assert {str(row["Weight"]) for row in answer["BackendServers"]["BackendServer"]} == {"60"}
    answer = call("SetBackendServers", BackendServers=backends("i-0", Weight="0"))
    assert {row["ServerId"]: str(row["Weight"]) for row in answer["BackendServers"]["BackendServer"]}["i-0"] == "0"
    assert balancer.default() == {"i-0": 0, "i-1": 60}
    health = call("DescribeHealthStatus", ListenerPort=80)["BackendServers"]["BackendServer"]
    assert {row["ServerId"]: row["ServerHealthStatus"] for row in health} == {"i-0": "unavailable", "i-1": "normal"}
    balancer.wait()
    call("RemoveBackendServers", BackendServers=backends("i-0", "i-absent"))
    assert balancer.default() == {"i-1": 60}
    assert balancer.simulator.serving(balancer.id) == 1
    seen = call("DescribeLoadBalancerAttribute")
    assert (seen["LoadBalancerId"], seen["LoadBalancerStatus"]) == (balancer.id, "active")
    assert call("DescribeHealthStatus", ListenerPort=81)["BackendServers"]["BackendServer"] == []


def full_batches(sdk):
    balancer = Balancer(sdk, "full")
    many = [f"i-{number:02}" for number in range(21)]
    for add, remove, more in (
        ("AddVServerGroupBackendServers", "RemoveVServerGroupBackendServers", {"Port": "80"}),
        ("AddBackendServers", "RemoveBackendServers", {}),
    ):
        balancer.call(add, BackendServers=backends(*many[:20], **more))
        balancer.wait()
        balancer.refused("TooManyBackendServers", 400, add, BackendServers=backends(*many, **more))
        balancer.refused("TooManyBackendServers", 400, remove, BackendServers=backends(*many, **more))
    for group in (balancer.group, balancer.id):
        assert balancer.simulator.serving(group) == 20
    balancer.call("SetVServerGroupAttribute", BackendServers=backends(*many[:20], Port="80", Weight="1"))
    balancer.call("SetBackendServers", BackendServers=backends(*many[:20], Weight="1"))
    assert set(balancer.weights().values()) == set(balancer.default().values()) == {1}


def what_is_refused(sdk):
    balancer = Balancer(sdk, "refusals")
    refused = balancer.refused
    add, remove = "AddVServerGroupBackendServers", "RemoveVServerGroupBackendServers"
    change, modify = "SetVServerGroupAttribute", "ModifyVServerGroupBackendServers"
    balancer.call(add, BackendServers=backends("i-1", Port="80"))
    balancer.call("AddBackendServers", BackendServers=backends("i-1"))
    one, other = backends("i-1", Port="80"), backends("i-2", Port="80")
    swap = {"OldBackendServers": one, "NewBackendServers": other}

    refused("VServerGroupProcessing", 400, remove, BackendServers=one)
    refused("VServerGroupProcessing", 400, modify, **swap)
    refused("ServiceIsConfiguring", 400, "RemoveBackendServers", BackendServers=backends("i-1"))
    balancer.wait()

    fine = {
        add: {"BackendServers": other},
        remove: {"BackendServers": one},
        change: {"BackendServers": backends("i-1", Port="80", Weight="5")},
        modify: swap,
    }
    for action, params in fine.items():
        gone = refused("InvalidParameter", 404, action, **params, VServerGroupId="rsp-absent")
        assert "The specified VServerGroupId does not exist." in gone.message
    refused("InvalidParameter", 404, "DescribeVServerGroupAttribute", VServerGroupId="rsp-absent")
    fine_default = {
        "AddBackendServers": {"BackendServers": backends("i-2")},
        "RemoveBackendServers": {"BackendServers": backends("i-1")},
        "SetBackendServers": {"BackendServers": backends("i-1", Weight="5")},
    }
    reads = ("DescribeLoadBalancerAttribute", "DescribeVServerGroups", "DescribeHealthStatus")
    for action, params in {**fine_default, **dict.fromkeys(reads, {})}.items():
        refused("InvalidLoadBalancerId.NotFound", 404, action, **params, LoadBalancerId="lb-absent")
    with balancer.simulator.trouble(
        {"setLoadBalancer": {"id": balancer.id, "status": "locked"}},
        {"setLoadBalancer": {"id": balancer.id, "status": "active"}},
    ):
        assert balancer.call("DescribeLoadBalancerAttribute")["LoadBalancerStatus"] == "locked"
        for action, params in {**fine, **fine_default}.items():
            refused("LbStatusNotSupport", 400, action, **params)

    refused("InvalidBackendServers.Exists", 400, add, BackendServers=one)
    refused("InvalidBackendServers.Exists", 400, "AddBackendServers", BackendServers=backends("i-1"))
    refused("InvalidBackendServers.NotExist", 400, change, BackendServers=backends("i-2", Port="80", Weight="1"))
    refused("InvalidBackendServers.NotExist", 400, "SetBackendServers", BackendServers=backends("i-2", Weight="1"))
    refused("InvalidWeight.Malformed", 400, change, BackendServers=backends("i-1", Port="80", Weight="101"))
    refused("InvalidWeight.Malformed", 400, "SetBackendServers", BackendServers=backends("i-1", Weight="101"))
    refused("BackendServersMalformed", 400, add, BackendServers=backends("i-2"))
    refused("BackendServersMalformed", 400, add, BackendServers="no list")
    refused("BackendServersMalformed", 400, add, BackendServers=backends("i-2", Port="80", Description="no blanks"))
    refused("MissingParameter", 400, remove)
    with balancer.simulator.servers(bad=["i-2"], clinging=["i-1"]):
        refused("ObtainIpFail", 400, add, BackendServers=backends("i-3", "i-2", Port="80"))
        refused("ObtainIpFail", 400, "AddBackendServers", BackendServers=backends("i-2"))
        refused("BackendServer.configuring", 409, remove, BackendServers=one)
        refused("BackendServer.configuring", 409, modify, **swap)


CHECKS = [a_vserver_group, a_default_group, full_batches, what_is_refused]
