"""What only answers: listeners, tags, load balancers of NLB, names and health checks of groups."""

from members import Group


def tags(sdk, service, kind, resource):
    sdk.call(service, "TagResources", ResourceType=kind, ResourceId=[resource], Tag=[{"Key": "owner", "Value": "shop"}])
    listed = sdk.call(service, "ListTagResources", ResourceType=kind, ResourceId=[resource])["TagResources"]
    # CLB wraps its lists twice.
    listed = listed["TagResource"] if service == "slb" else listed
    assert [(row["ResourceId"], row["TagKey"], row["TagValue"]) for row in listed] == [(resource, "owner", "shop")]


def tags_of_clb(sdk):
    tags(sdk, "slb", "instance", f"lb-{sdk.tag}-tags")


def tags_of_nlb(sdk):
    tags(sdk, "nlb", "loadbalancer", f"nlb-{sdk.tag}-tags")


def listeners_of_clb(sdk):
    balancer = f"lb-{sdk.tag}-listeners"
    sdk.simulator.do({"createLoadBalancer": {"id": balancer, "listeners": []}})
    of = {"LoadBalancerId": balancer}
    for number, protocol in enumerate(("TCP", "UDP", "HTTP")):
        more = {"StickySession": "off", "HealthCheck": "off"} if protocol == "HTTP" else {}
        create = f"CreateLoadBalancer{protocol}Listener"
        sdk.call("slb", create, **of, ListenerPort=80 + number, Bandwidth=-1, Scheduler="rr", **more)
    start = {**of, "ListenerPort": 80, "ListenerProtocol": "tcp"}
    sdk.call("slb", "StartLoadBalancerListener", **start)
    listed = sdk.call("slb", "DescribeLoadBalancerListeners", LoadBalancerId=[balancer])["Listeners"]
    told = {(row["ListenerPort"], row["ListenerProtocol"], row["Status"]) for row in listed}
    assert told == {(80, "tcp", "running"), (81, "udp", "stopped"), (82, "http", "stopped")}
    assert {row["Scheduler"] for row in listed} == {"rr"}


def listeners_of_nlb(sdk):
    group = Group(sdk, "nlb", "listeners")
    balancer = f"nlb-{sdk.tag}"
    seen = sdk.call("nlb", "GetLoadBalancerAttribute", LoadBalancerId=balancer)
    assert (seen["LoadBalancerId"], seen["LoadBalancerStatus"]) == (balancer, "Active")
    more = {"ListenerPort": 80, "ListenerProtocol": "TCP", "ServerGroupId": group.id}
    made = sdk.call("nlb", "CreateListener", LoadBalancerId=balancer, **more)
    listed = sdk.call("nlb", "ListListeners", LoadBalancerIds=[balancer])["Listeners"]
    assert [(row["ListenerId"], row["ServerGroupId"]) for row in listed] == [(made["ListenerId"], group.id)]


def attributes_of_a_group(sdk, product):
    group = Group(sdk, product, "attributes")
    config = {"HealthCheckEnabled": True}
    group.call("UpdateServerGroupAttribute", ServerGroupName="shop", HealthCheckConfig=config)
    row = group.row()
    assert row["ServerGroupName"] == "shop"
    assert row["HealthCheck" if product == "nlb" else "HealthCheckConfig"]["HealthCheckEnabled"] is True


CLB_CHECKS = [tags_of_clb, listeners_of_clb]
NLB_CHECKS = [tags_of_nlb, listeners_of_nlb]
GROUP_CHECKS = [attributes_of_a_group]
