"""ESS: the four kinds of attachment, the activities that move instances, and what lists show of them."""

from sdks import rows


class ScalingGroup:
    """A scaling group of its own for each check, with two instances and something of every kind that it may feed."""

    def __init__(self, sdk, name):
        self.sdk, self.simulator = sdk, sdk.simulator
        tail = f"{sdk.tag}-{name}"
        self.id, self.balancer, self.vserver = f"asg-{tail}", f"lb-{tail}", f"rsp-{tail}"
        self.alb, self.nlb, self.gwlb = (f"sgp-{kind}-{tail}" for kind in ("alb", "nlb", "gwlb"))
        self.simulator.do(
            *(
                {"createGroup": {"product": product, "id": group, "drainSeconds": 0}}
                for product, group in (("ALB", self.alb), ("NLB", self.nlb), ("GWLB", self.gwlb))
            ),
            {"createLoadBalancer": {"id": self.balancer}},
            {"createGroup": {"product": "CLB", "id": self.vserver, "loadBalancer": self.balancer}},
            {"createScalingGroup": {"id": self.id, "instances": ["i-1", "i-2"]}},
        )

    def call(self, action, **params):
        return self.sdk.call("ess", action, **{"ScalingGroupId": self.id, **params})

    def refused(self, code, status, action, **params):
        return self.sdk.refused(code, status, "ess", action, **{"ScalingGroupId": self.id, **params})

    def row(self):
        listed = self.call("DescribeScalingGroups", ScalingGroupId=[self.id])
        assert listed["TotalCount"] == 1
        return rows(listed["ScalingGroups"], "ScalingGroup")[0]

    def activities(self, **filters):
        listed = self.sdk.call("ess", "DescribeScalingActivities", **filters)
        return rows(listed["ScalingActivities"], "ScalingActivity")


class ServerGroups:
    """Of ALB, NLB and GWLB in one call."""

    attach, detach, followed = "AttachServerGroups", "DetachServerGroups", True

    def named(self, group, weight=None):
        weighed = {} if weight is None else {"Weight": weight}
        balanced = [(group.alb, "ALB"), (group.nlb, "NLB")]
        pairs = [{"ServerGroupId": name, "Type": kind, "Port": 80, **weighed} for name, kind in balanced]
        return {"ServerGroup": [*pairs, {"ServerGroupId": group.gwlb, "Type": "GWLB"}]}

    def fed(self, group):
        return [group.alb, group.nlb, group.gwlb]

    def seen(self, row):
        found = rows(row["ServerGroups"], "ServerGroup")
        return {had["ServerGroupId"]: (had.get("Port"), had.get("Weight")) for had in found}

    def expected(self, group, weight):
        return {group.alb: (80, weight), group.nlb: (80, weight), group.gwlb: (None, None)}


class AlbServerGroups:
    attach, detach, followed = "AttachAlbServerGroups", "DetachAlbServerGroups", True

    def named(self, group, weight=None):
        weighed = {} if weight is None else {"Weight": weight}
        return {"AlbServerGroup": [{"AlbServerGroupId": group.alb, "Port": 81, **weighed}]}

    def fed(self, group):
        return [group.alb]

    def seen(self, row):
        found = rows(row["AlbServerGroups"], "AlbServerGroup")
        return {had["AlbServerGroupId"]: (had["Port"], had["Weight"]) for had in found}

    def expected(self, group, weight):
        return {group.alb: (81, weight)}


class VServerGroups:
    # Not even a forced call tells its activity.
    attach, detach, followed = "AttachVServerGroups", "DetachVServerGroups", False

    def named(self, group, weight=None):
        weighed = {} if weight is None else {"Weight": weight}
        inner = [{"VServerGroupId": group.vserver, "Port": 80, **weighed}]
        return {"VServerGroup": [{"LoadBalancerId": group.balancer, "VServerGroupAttribute": inner}]}

    def fed(self, group):
        return [group.vserver]

    def seen(self, row):
        found = rows(row["VServerGroups"], "VServerGroup")
        return {
            had["VServerGroupId"]: (had["Port"], had["Weight"], outer["LoadBalancerId"])
            for outer in found
            for had in rows(outer["VServerGroupAttributes"], "VServerGroupAttribute")
        }

    def expected(self, group, weight):
        return {group.vserver: (80, weight, group.balancer)}


class LoadBalancers:
    attach, detach, followed = "AttachLoadBalancers", "DetachLoadBalancers", True

    def named(self, group, weight=None):
        # The package of 2021 has no weights here.
        if weight is None or not group.sdk.takes("ess", self.attach, "LoadBalancerConfig"):
            return {"LoadBalancer": [group.balancer], "Async": True}
        return {"LoadBalancerConfig": [{"LoadBalancerId": group.balancer, "Weight": weight}], "Async": True}

    def fed(self, group):
        return [group.balancer]

    def seen(self, row):
        listed = rows(row["LoadBalancerIds"], "LoadBalancerId")
        found = rows(row["LoadBalancerConfigs"], "LoadBalancerConfig")
        assert listed == [had["LoadBalancerId"] for had in found]
        return {had["LoadBalancerId"]: had["Weight"] for had in found}

    def expected(self, group, weight):
        return {group.balancer: weight}


KINDS = [ServerGroups(), AlbServerGroups(), VServerGroups(), LoadBalancers()]


def instances_follow(sdk, kind):
    """With force: they join and leave, and an activity tells when."""
    group = ScalingGroup(sdk, f"forced-{kind.attach}")
    has = sdk.actions("ess")

    def change(action, **params):
        # The older models of some of these have no token.
        token = {"ClientToken": f"forced-{sdk.tag}-{action}"} if sdk.takes("ess", action, "ClientToken") else {}
        answer = group.call(action, **params, **token)
        running = group.activities(ScalingGroupId=group.id, StatusCode="InProgress")
        assert len(running) == 1, running
        assert answer.get("ScalingActivityId") == (running[0]["ScalingActivityId"] if kind.followed else None)
        group.refused("ScalingActivityInProgress", 400, action, **params)
        if token:
            again = group.call(action, **params, **token)
            assert again.get("ScalingActivityId") == answer.get("ScalingActivityId")
        group.simulator.settle()
        ended = group.activities(ScalingActivityId=[running[0]["ScalingActivityId"]])
        assert [(had["ScalingGroupId"], had["StatusCode"]) for had in ended] == [(group.id, "Successful")]
        assert len(group.activities(ScalingGroupId=group.id, StatusCode="InProgress")) == 0

    change(kind.attach, **kind.named(group, weight=30), ForceAttach=True)
    for fed in kind.fed(group):
        assert group.simulator.serving(fed) == 2, fed
    assert len(group.simulator.attached(group.id)) == len(kind.fed(group))
    # The package of 2021 has no list of scaling groups.
    if "DescribeScalingGroups" in has:
        assert kind.seen(group.row()) == kind.expected(group, 30), group.row()
    change(kind.detach, **kind.named(group), ForceDetach=True)
    for fed in kind.fed(group):
        assert group.simulator.serving(fed) == 0, fed
    assert group.simulator.attached(group.id) == []
    if "DescribeScalingGroups" in has:
        assert kind.seen(group.row()) == {}


def instances_stay(sdk, kind):
    """Without force: only instances that start later join, and nobody leaves."""
    group = ScalingGroup(sdk, f"unforced-{kind.attach}")
    named = {name: value for name, value in kind.named(group, weight=40).items() if name != "Async"}
    answer = group.call(kind.attach, **named)
    assert "ScalingActivityId" not in answer
    group.simulator.settle()
    fed = kind.fed(group)
    assert [group.simulator.serving(name) for name in fed] == [0] * len(fed)
    group.simulator.do({"startInstance": {"scalingGroup": group.id, "id": "i-3"}})
    group.simulator.settle()
    assert [group.simulator.serving(name) for name in fed] == [1] * len(fed)
    named = {name: value for name, value in kind.named(group).items() if name != "Async"}
    answer = group.call(kind.detach, **named)
    assert "ScalingActivityId" not in answer and group.simulator.attached(group.id) == []
    group.simulator.settle()
    assert [group.simulator.serving(name) for name in fed] == [1] * len(fed)


def activities_that_end_badly(sdk, kind):
    group = ScalingGroup(sdk, f"endings-{kind.attach}")
    with group.simulator.trouble({"endings": ["Failed", "Warning"]}, {"endings": []}):
        group.call(kind.attach, **kind.named(group, weight=30), ForceAttach=True)
        group.simulator.settle()
        failed = group.activities(ScalingGroupId=group.id)
        assert [had["StatusCode"] for had in failed] == ["Failed"]
        assert group.simulator.attached(group.id) == []
        group.call(kind.attach, **kind.named(group, weight=30), ForceAttach=True)
        group.simulator.settle()
    warned = group.activities(ScalingGroupId=group.id, StatusCode="Warning")
    assert len(warned) == 1
    for fed in kind.fed(group):
        assert group.simulator.serving(fed) == 1


def what_is_refused(sdk, kind):
    group = ScalingGroup(sdk, f"refusals-{kind.attach}")
    attach, detach = kind.named(group, weight=30), kind.named(group)
    for action, params in ((kind.attach, attach), (kind.detach, detach)):
        group.refused("InvalidScalingGroupId.NotFound", 404, action, **params, ScalingGroupId="asg-absent")
        force = {"ForceAttach" if action == kind.attach else "ForceDetach": True}
        with group.simulator.trouble(
            {"setScalingGroup": {"id": group.id, "inactive": True}}, {"setScalingGroup": {"id": group.id}}
        ):
            group.refused("IncorrectScalingGroupStatus", 400, action, **params, **force)
        if sdk.takes("ess", action, "ClientToken"):
            token = {"ClientToken": "t" * 65}
            group.refused("InvalidParameter", 400, action, **params, **token)
    if sdk.takes("ess", kind.attach, "ClientToken"):
        token = {"ClientToken": f"once-{group.id}"}
        group.call(kind.attach, **attach, **token)
        group.simulator.settle()
        other = {**attach, "ForceAttach": True}
        group.refused("IDEMPOTENCE_SIGNATURE_MISMATCH", 400, kind.attach, **other, **token)

    absent = ScalingGroup(sdk, f"absent-{kind.attach}")
    names = [*kind.fed(absent), absent.balancer]
    group.simulator.do(*({"deleteGroup": {"id": name}} for name in names))
    attach = kind.named(absent, weight=30)
    if kind.attach in ("AttachServerGroups", "AttachAlbServerGroups"):
        group.refused("ResourceNotFound.ServerGroup", 404, kind.attach, **attach)
    else:
        group.refused("InvalidLoadBalancerId.NotFound", 404, kind.attach, **attach)
    detach = kind.named(absent)
    if kind.attach == "AttachAlbServerGroups":
        group.refused("AlbServerGroup.NotExist", 400, kind.detach, **detach)
    elif kind.attach == "AttachLoadBalancers":
        group.refused("InvalidLoadBalancerId.NotFound", 404, kind.detach, **detach)
    else:
        # What is not attached is ignored.
        before = group.simulator.state()
        group.call(kind.detach, **detach)
        assert group.simulator.state() == before


def attachments_that_cannot_be(sdk):
    group = ScalingGroup(sdk, "wrong")
    if "AttachServerGroups" in sdk.actions("ess"):
        attach = "AttachServerGroups"
        pair = {"ServerGroupId": group.gwlb, "Type": "GWLB"}
        group.refused("InvalidParameter", 400, attach, ServerGroup=[{**pair, "Port": 6081}])
        group.refused("InvalidParameter", 400, attach, ServerGroup=[{**pair, "Weight": 1}])
        group.refused("InvalidParameter", 400, attach, ServerGroup=[{"ServerGroupId": group.alb, "Type": "ALB"}])
        pair = {"ServerGroupId": group.nlb, "Type": "ALB", "Port": 80, "Weight": 1}
        group.refused("ResourceNotFound.ServerGroup", 404, attach, ServerGroup=[pair])
        many = [{"ServerGroupId": f"sgp-{number}", "Type": "GWLB"} for number in range(6)]
        group.refused("InvalidParameter", 400, attach, ServerGroup=many)
    many = [f"lb-{number}" for number in range(6)]
    group.refused("InvalidParameter", 400, "AttachLoadBalancers", LoadBalancer=many)
    group.refused("InvalidParameter", 400, "DetachLoadBalancers", LoadBalancer=many)
    other = ScalingGroup(sdk, "wrong-other")
    inner = [{"VServerGroupId": other.vserver, "Port": 80, "Weight": 1}]
    pair = [{"LoadBalancerId": group.balancer, "VServerGroupAttribute": inner}]
    group.refused("InvalidVServerGroupId.ForLoadBalancer", 400, "AttachVServerGroups", VServerGroup=pair)
    with group.simulator.trouble(
        {"setLoadBalancer": {"id": group.balancer, "status": "inactive"}},
        {"setLoadBalancer": {"id": group.balancer, "status": "active"}},
    ):
        group.refused("IncorrectLoadBalancerStatus", 400, "AttachLoadBalancers", LoadBalancer=[group.balancer])


def weights_that_are_left_out(sdk):
    group = ScalingGroup(sdk, "weights")
    inner = [{"VServerGroupId": group.vserver, "Port": 80}]
    pair = [{"LoadBalancerId": group.balancer, "VServerGroupAttribute": inner}]
    group.call("AttachVServerGroups", VServerGroup=pair)
    group.call("AttachLoadBalancers", LoadBalancer=[group.balancer])
    attached = [["CLB", group.vserver, 80, 50], ["LB", group.balancer, None, 50]]
    assert group.simulator.attached(group.id) == attached
    if "DescribeScalingGroups" in sdk.actions("ess"):
        assert VServerGroups().seen(group.row()) == {group.vserver: (80, 50, group.balancer)}
        assert LoadBalancers().seen(group.row()) == {group.balancer: 50}


def lists(sdk):
    group = ScalingGroup(sdk, "lists")
    call = group.call
    assert sdk.call("ess", "DescribeLimitation")["MaxNumberOfLoadBalancers"] == 30

    first = call("DescribeScalingInstances", PageSize=1, PageNumber=1)
    second = call("DescribeScalingInstances", PageSize=1, PageNumber=2)
    found = [rows(page["ScalingInstances"], "ScalingInstance") for page in (first, second)]
    assert [[row["InstanceId"] for row in page] for page in found] == [["i-1"], ["i-2"]]
    assert (first["TotalCount"], found[0][0]["LifecycleState"]) == (2, "InService")
    some = call("DescribeScalingInstances", InstanceId=["i-2", "i-absent"])
    assert [row["InstanceId"] for row in rows(some["ScalingInstances"], "ScalingInstance")] == ["i-2"]

    attach = {"AlbServerGroup": [{"AlbServerGroupId": group.alb, "Port": 80, "Weight": 1}]}
    for _ in range(3):
        call("AttachAlbServerGroups", **attach, ForceAttach=True)
        group.simulator.settle()
    pages = [group.activities(ScalingGroupId=group.id, PageSize=2, PageNumber=number) for number in (1, 2)]
    assert [len(page) for page in pages] == [2, 1]
    assert len({row["ScalingActivityId"] for page in pages for row in page}) == 3
    describe = "DescribeScalingActivities"
    both = {"ScalingGroupId": group.id, "ScalingActivityId": [pages[0][0]["ScalingActivityId"]]}
    for wrong in (both, {}, {"ScalingGroupId": group.id, "PageSize": 51}):
        sdk.refused("InvalidParameter", 400, "ess", describe, **wrong)
    assert group.activities(ScalingActivityId=[f"asa-absent-{number}" for number in range(21)]) == []

    if "DescribeScalingGroups" not in sdk.actions("ess"):
        return
    ids = [group.id, *(ScalingGroup(sdk, f"lists-{number}").id for number in range(2))]
    seen = []
    for number in (1, 2):
        page = sdk.call("ess", "DescribeScalingGroups", ScalingGroupId=ids, PageSize=2, PageNumber=number)
        assert page["TotalCount"] == 3
        seen += [row["ScalingGroupId"] for row in rows(page["ScalingGroups"], "ScalingGroup")]
    assert seen == ids
    # Those that are not there, or cannot be used, are left out without an error.
    with group.simulator.trouble(
        {"setScalingGroup": {"id": ids[1], "inactive": True}}, {"setScalingGroup": {"id": ids[1]}}
    ):
        page = sdk.call("ess", "DescribeScalingGroups", ScalingGroupId=[*ids, "asg-absent"])
        assert [row["ScalingGroupId"] for row in rows(page["ScalingGroups"], "ScalingGroup")] == [ids[0], ids[2]]
    sdk.refused("InvalidParameter", 400, "ess", "DescribeScalingGroups", PageSize=51)
    sdk.refused("InvalidParameter", 400, "ess", "DescribeScalingGroups", ScalingGroupId=[f"asg-{n}" for n in range(21)])


KIND_CHECKS = [instances_follow, instances_stay, activities_that_end_badly, what_is_refused]
CHECKS = [attachments_that_cannot_be, weights_that_are_left_out, lists]
