"""ALB, NLB and GWLB: members of server groups, their jobs, and what lists show of both."""

from sdks import rows


class Group:
    """A server group of its own for each check, seen through an SDK."""

    def __init__(self, sdk, product, name, **more):
        self.sdk, self.simulator, self.product = sdk, sdk.simulator, product
        self.id = f"sgp-{product}-{sdk.tag}-{name}"
        # NLB writes it with a small letter.
        self.word = "serverGroup" if product == "nlb" else "ServerGroup"
        # NLB has names of its own for these.
        self.invalid = "IllegalParam" if product == "nlb" else "InvalidParameter"
        self.weighs = product != "gwlb"
        self.simulator.do({"createGroup": {"product": product.upper(), "id": self.id, "drainSeconds": 0, **more}})

    def servers(self, *ids, kind="Ecs", port=8080, **more):
        if self.weighs and port:
            more["Port"] = port
        return [{"ServerId": server, "ServerType": kind, **more} for server in ids]

    def weighed(self, *ids, weight, **more):
        return self.servers(*ids, **({"Weight": weight} if self.weighs else {}), **more)

    def call(self, action, **params):
        return self.sdk.call(self.product, action, ServerGroupId=self.id, **params)

    def refused(self, code, status, action, **params):
        return self.sdk.refused(code, status, self.product, action, **{"ServerGroupId": self.id, **params})

    def change(self, action, **params):
        """Changes the group and waits for the end, by way of the job where there is one."""
        answer = self.call(action, **params)
        assert self.status() == "Configuring"
        if self.weighs:
            self.job_is("Processing", "processing", answer["JobId"], action)
        else:
            assert "JobId" not in answer
        self.simulator.settle()
        assert self.status() == "Available"
        if self.weighs:
            self.job_is("Succeeded", "Succeeded", answer["JobId"], action)
        return answer

    def job_is(self, status, short, job, action):
        # The older NLB package has no ListAsynJobs.
        if "ListAsynJobs" in self.sdk.actions(self.product):
            listed = self.sdk.call(self.product, "ListAsynJobs", JobIds=[job])
            assert int(listed["TotalCount"]) == 1
            found = listed["Jobs"][0]
            assert (found["Id"], found["Status"]) == (job, status), found
            assert found.get("ApiName", action) == action, found
        if self.product == "nlb":
            assert self.sdk.call("nlb", "GetJobStatus", JobId=job)["Status"] == short

    def row(self):
        listed = self.sdk.call(self.product, "ListServerGroups", ServerGroupIds=[self.id])
        assert int(listed["TotalCount"]) == 1
        return listed["ServerGroups"][0]

    def status(self):
        return self.row()["ServerGroupStatus"]

    def members(self, **filters):
        """All pages of two, by server."""
        found, token = [], None
        while True:
            more = {"NextToken": token} if token else {}
            page = self.call("ListServerGroupServers", MaxResults=2, **filters, **more)
            found += page["Servers"]
            assert len(page["Servers"]) <= 2
            token = page.get("NextToken")
            if not token:
                break
        assert len(found) == int(page["TotalCount"])
        by_id = {member["ServerId"]: member for member in found}
        assert len(by_id) == len(found)
        return by_id

    def weights(self):
        return {server: int(member["Weight"]) for server, member in self.members().items()}


def members_come_and_go(sdk, product):
    group = Group(sdk, product, "life")
    five = [f"i-{number}" for number in range(5)]
    added = group.weighed(*five, weight=50)
    token = f"token-{group.id}"
    first = group.change("AddServersToServerGroup", Servers=added, ClientToken=token)
    again = group.call("AddServersToServerGroup", Servers=added, ClientToken=token)
    assert first.get("JobId") == again.get("JobId")
    assert group.status() == "Available", "a repeated call does nothing"
    members = group.members()
    assert list(members) == five
    for member in members.values():
        assert (member["Status"], member["ServerType"], member["ServerGroupId"]) == ("Available", "Ecs", group.id)
        assert int(member["Port"]) == (8080 if group.weighs else 6081)
    assert int(group.row()["ServerCount"]) == group.simulator.serving(group.id) == 5
    if group.weighs:
        assert set(group.weights().values()) == {50}
        calm = group.weighed("i-0", weight=0, Description="leaves soon")
        group.change("UpdateServerGroupServersAttribute", Servers=calm)
        assert group.weights() == {"i-0": 0, "i-1": 50, "i-2": 50, "i-3": 50, "i-4": 50}
        assert group.members()["i-0"]["Description"] == "leaves soon"
        assert group.simulator.serving(group.id) == 4
    if product == "alb":
        swap = {"AddedServers": group.weighed("i-9", weight=1), "RemovedServers": group.servers("i-4")}
        group.change("ReplaceServersInServerGroup", **swap)
        assert group.weights() == {"i-0": 0, "i-1": 50, "i-2": 50, "i-3": 50, "i-9": 1}
    group.change("RemoveServersFromServerGroup", Servers=group.servers("i-0", "i-2"), DryRun=False)
    assert set(group.members()) == set(five + ["i-9"]) & {"i-1", "i-3", "i-9" if product == "alb" else "i-4"}
    group.change("RemoveServersFromServerGroup", Servers=group.servers(*group.members()))
    assert group.members() == {} and group.simulator.serving(group.id) == 0


def full_batches(sdk, product):
    group = Group(sdk, product, "full")
    many = [f"i-{number:03}" for number in range(200)]
    group.change("AddServersToServerGroup", Servers=group.servers(*many))
    assert group.simulator.serving(group.id) == 200
    too_many = group.servers(*many, "i-200")
    for action in ("AddServersToServerGroup", "RemoveServersFromServerGroup"):
        group.refused(group.invalid, 400, action, Servers=too_many)
    if group.weighs:
        most = 40 if product == "alb" else 200
        update = group.weighed(*many[:most], weight=7)
        group.change("UpdateServerGroupServersAttribute", Servers=update)
        update = group.weighed(*many, "i-200", weight=8)[: most + 1]
        group.refused(group.invalid, 400, "UpdateServerGroupServersAttribute", Servers=update)
        assert list(group.weights().values()).count(7) == most
    group.change("RemoveServersFromServerGroup", Servers=group.servers(*many))
    assert group.simulator.serving(group.id) == 0


def other_kinds_of_servers(sdk, product):
    group = Group(sdk, product, "eni")
    addresses = [group.servers("eni-1", kind="Eni", ServerIp=f"192.0.2.{number}")[0] for number in (1, 2)]
    group.change("AddServersToServerGroup", Servers=addresses + group.servers("eci-1", kind="Eci"))
    page = group.call("ListServerGroupServers")
    shown = sorted((member["ServerType"], member["ServerIp"]) for member in page["Servers"])
    assert shown[1:] == [("Eni", "192.0.2.1"), ("Eni", "192.0.2.2")] and shown[0][0] == "Eci"
    group.change("RemoveServersFromServerGroup", Servers=addresses[:1])
    page = group.call("ListServerGroupServers", ServerIds=["eni-1"])
    assert [member["ServerIp"] for member in page["Servers"]] == ["192.0.2.2"]

    group = Group(sdk, product, "ip", type="Ip")
    remote = {"RemoteIpEnabled": True} if product == "alb" else {}
    added = group.servers("192.0.2.7", kind="Ip", ServerIp="192.0.2.7", **remote)
    group.change("AddServersToServerGroup", Servers=added)
    assert group.members()["192.0.2.7"]["ServerType"] == "Ip"
    group.refused("Mismatch.ServerType", 400, "AddServersToServerGroup", Servers=group.servers("i-1"))
    if product == "alb":
        group = Group(sdk, product, "fc", type="Fc")
        group.change("AddServersToServerGroup", Servers=group.servers("acs:fc:function", kind="Fc", port=None))
        assert group.members()["acs:fc:function"]["ServerType"] == "Fc"


def what_is_refused(sdk, product):
    one = {"id": "i-1", "port": 6081 if product == "gwlb" else 8080}
    group = Group(sdk, product, "refusals", members=[one])
    add, remove = "AddServersToServerGroup", "RemoveServersFromServerGroup"
    update, replace = "UpdateServerGroupServersAttribute", "ReplaceServersInServerGroup"
    # Each changing action, with something that it would do.
    fine = {add: {"Servers": group.servers("i-2")}, remove: {"Servers": group.servers("i-1")}}
    if group.weighs:
        fine[update] = {"Servers": group.weighed("i-1", weight=3)}
    if product == "alb":
        fine[replace] = {"AddedServers": group.servers("i-2"), "RemovedServers": group.servers("i-1")}

    for action, params in fine.items():
        group.refused(f"ResourceNotFound.{group.word}", 404, action, **params, ServerGroupId="sgp-absent")
        group.refused("DryRunOperation", 400, action, **params, DryRun=True)
    group.refused(f"ResourceNotFound.{group.word}", 404, "ListServerGroupServers", ServerGroupId="sgp-absent")
    most = 1000 if product == "gwlb" else 100
    group.refused(group.invalid, 400, "ListServerGroupServers", MaxResults=most + 1)
    if product == "nlb":
        sdk.refused("ResourceNotFound.JobId", 404, "nlb", "GetJobStatus", JobId="job-absent")

    group.refused("DuplicatedParam.Server", 400, add, Servers=group.servers("i-1"))
    group.refused("DuplicatedParam.Server", 400, add, Servers=group.servers("i-2", "i-2"))
    group.refused("Mismatch.ServerType", 400, add, Servers=group.servers("i-2", kind="Eni"))
    absent = group.servers("i-1", "i-absent")
    group.refused("ResourceNotFound.BackendServer", 404, remove, Servers=absent)
    if group.weighs:
        group.refused("ResourceNotFound.BackendServer", 404, update, Servers=absent)
        group.refused(group.invalid, 400, add, Servers=group.servers("i-2", Weight=101))
    if product == "alb":
        swap = {"AddedServers": group.servers("i-2"), "RemovedServers": group.servers("i-absent")}
        group.refused("ResourceNotFound.BackendServer", 404, replace, **swap)
    with group.simulator.servers(bad=["i-bad"], clinging=["i-1"]):
        group.refused("ResourceNotFound.Ecs", 404, add, Servers=group.servers("i-bad"))
        group.refused("IncorrectStatus.BackendServer", 400, remove, Servers=group.servers("i-1"))
    with group.simulator.trouble(
        {"setGroup": {"id": group.id, "quota": 1}}, {"setGroup": {"id": group.id, "quota": 1000}}
    ):
        group.refused("QuotaExceeded.QuotaInsufficient", 400, add, Servers=group.servers("i-2"))

    token = {"ClientToken": f"once-{group.id}"}
    group.call(add, Servers=group.servers("i-3"), **token)
    group.refused("IdempotenceSignatureMismatch", 400, add, Servers=group.servers("i-4"), **token)
    # That addition is still under way.
    for action, params in fine.items():
        group.refused(f"IncorrectStatus.{group.word}", 400, action, **params)
    group.simulator.settle()
    assert set(group.members()) == {"i-1", "i-3"}


def a_job_that_fails(sdk, product):
    group = Group(sdk, product, "failing")
    with group.simulator.trouble({"jobs": {"failing": 1}}, {"jobs": {}}):
        answer = group.call("AddServersToServerGroup", Servers=group.servers("i-1"))
        group.simulator.settle()
    # GetJobStatus has no word for it.
    group.job_is("Failed", "processing", answer["JobId"], "AddServersToServerGroup")
    assert group.members() == {}


def members_drain(sdk, product):
    group = Group(sdk, product, "draining", drainSeconds=600)
    group.change("AddServersToServerGroup", Servers=group.servers("i-1", "i-2"))
    group.change("RemoveServersFromServerGroup", Servers=group.servers("i-1"))
    members = group.members()
    assert {server: member["Status"] for server, member in members.items()} == {"i-1": "Draining", "i-2": "Available"}
    assert group.simulator.serving(group.id) == 1
    if product == "gwlb":
        # Documented for GWLB alone: adding it again ends the draining.
        group.change("AddServersToServerGroup", Servers=group.servers("i-1"))
        assert group.members()["i-1"]["Status"] == "Available"
        group.change("RemoveServersFromServerGroup", Servers=group.servers("i-1"))
    group.simulator.do({"pass": {"seconds": 600}})
    assert set(group.members()) == {"i-2"}


def health_behind_a_listener(sdk, product):
    group = Group(sdk, product, "health", members=[{"id": "i-1", "port": 8080 if product != "gwlb" else 6081}])

    def health(**params):
        answer = sdk.call(product, "GetListenerHealthStatus", ListenerId=f"lsn-{group.id}", **params)
        (listener,) = answer["ListenerHealthStatus"]
        (info,) = listener["ServerGroupInfos"]
        assert (listener["ListenerId"], info["ServerGroupId"]) == (f"lsn-{group.id}", group.id)
        checked = info["HeathCheckEnabled" if product == "nlb" else "HealthCheckEnabled"]
        assert checked == ("on" if product == "alb" else True)
        servers = info["Servers" if product == "gwlb" else "NonNormalServers"]
        return {server["ServerId"]: server["Status"] for server in servers}

    # Only GWLB tells of those that are well.
    normal = {"i-1": "Healthy"} if product == "gwlb" else {}
    assert health() == normal
    group.call("AddServersToServerGroup", Servers=group.weighed("i-2", weight=0))
    assert health() == {**normal, "i-2": "Initial"}
    if product == "gwlb":
        named = {"Name": "ServerId", "Values": ["i-2", "i-3"]}
        assert health(Filter=[named]) == {"i-2": "Initial"}
        assert health(Filter=[named, {"Name": "Status", "Values": ["Healthy"]}], MaxResults=1000) == {}
    if product == "alb":
        assert health(IncludeRule=True, MaxResults=30) == {"i-2": "Initial"}
    group.simulator.settle()
    assert health() == ({**normal, "i-2": "Healthy"} if product == "gwlb" else {"i-2": "Unused"})
    code = "ResourceNotFound.listener" if product == "nlb" else "ResourceNotFound.Listener"
    sdk.refused(code, 404, product, "GetListenerHealthStatus", ListenerId="lsn-absent")


def lists(sdk, product):
    groups = [Group(sdk, product, f"list-{number}", members=[{"id": f"i-{number}"}]) for number in range(3)]
    ids = [group.id for group in groups]

    def call(action, **params):
        return sdk.call(product, action, **params)

    first = call("ListServerGroups", ServerGroupIds=ids, MaxResults=2)
    second = call("ListServerGroups", ServerGroupIds=ids, MaxResults=2, NextToken=first["NextToken"])
    assert [row["ServerGroupId"] for row in first["ServerGroups"] + second["ServerGroups"]] == ids
    assert int(first["TotalCount"]) == 3 and not second.get("NextToken")
    named = call("ListServerGroups", ServerGroupNames=ids[1:2], ServerGroupType="Instance")
    assert [row["ServerGroupId"] for row in named["ServerGroups"]] == ids[1:2]
    # What is not there is no error in a list.
    assert call("ListServerGroups", ServerGroupIds=["sgp-absent"])["ServerGroups"] == []
    assert groups[0].members(ServerIds=["i-0", "i-1"]).keys() == {"i-0"}
    assert groups[0].members(ServerIds=["i-1"]) == {}
    if product != "alb":
        address = groups[0].members()["i-0"]["ServerIp"]
        assert groups[0].members(ServerIps=[address]).keys() == {"i-0"}
        assert groups[0].members(ServerIps=["192.0.2.99"]) == {}
    if product == "gwlb" and sdk.takes(product, "ListServerGroups", "Skip"):
        rest = call("ListServerGroups", ServerGroupIds=ids, Skip=1)
        assert [row["ServerGroupId"] for row in rest["ServerGroups"]] == ids[1:]
    if "ListAsynJobs" in sdk.actions(product):
        assert rows(call("ListAsynJobs", JobIds=["job-absent"]), "Jobs") == []


CHECKS = [
    members_come_and_go,
    full_batches,
    other_kinds_of_servers,
    what_is_refused,
    members_drain,
    health_behind_a_listener,
    lists,
]
JOB_CHECKS = [a_job_that_fails]
