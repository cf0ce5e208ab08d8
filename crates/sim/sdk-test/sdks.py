"""The vendor's SDKs, of both generations, behind one way of calling them.

Parameters go by the names of the API; of the two versions of ESS, by those of 2014-08-28. Nothing in the SDKs is
replaced: each call builds the SDK's own request, has the SDK's own client sign and send it, and takes the answer or
exception that the SDK makes of it.
"""

import importlib
import json
import pkgutil
import re

from simulator import KEY

REGION = "cn-hangzhou"
# Actions that change no group. Everything else has to be seen to change something.
READS = re.compile("Describe|List|Get|Assume")


class Refused(Exception):
    """What an SDK raised, as both generations tell it."""

    def __init__(self, code, status, message, wait=None):
        super().__init__(f"{code} ({status}): {message}")
        self.code, self.status, self.message, self.wait = code, status, message, wait


class Sdk:
    def __init__(self, simulator, key=KEY, token=None):
        self.simulator, self.key, self.token = simulator, key, token
        # The parameters of the first good call of each action, and the actions that were seen to change something.
        self.examples, self.effective = {}, set()

    @classmethod
    def version(cls, service):
        return "-".join(re.search(r"(\d{4})(\d\d)(\d\d)$", cls.packages[service]).groups())

    def signing_with(self, key, token=None):
        return type(self)(self.simulator, key, token)

    def call(self, service, action, **params):
        if self.takes(service, action, "RegionId"):
            params.setdefault("RegionId", REGION)
        reads = READS.match(action)
        before = None if reads else self.simulator.state()
        answer = self.send(service, action, params)
        self.examples.setdefault((service, action), params)
        if not reads and self.simulator.state() != before:
            self.effective.add((service, action))
        return answer

    def refused(self, code, status, service, action, **params):
        """The SDK raises its exception with this code and status, and nothing was changed."""
        before = self.simulator.state()
        try:
            answer = self.call(service, action, **params)
        except Refused as refusal:
            told = (refusal.code, refusal.status)
            assert told == (code, status), f"{action} was to be refused with {code} ({status}), and was with {refusal}"
            assert self.simulator.state() == before, f"{action} was refused and changed something"
            return refusal
        raise AssertionError(f"{action} was to be refused with {code} ({status}), and was answered {answer}")


class Newer(Sdk):
    """alibabacloud_<product><version>, by way of Tea. It signs with V3."""

    name, tag = "newer", "new"
    packages = {
        "ess": "alibabacloud_ess20220222",
        "slb": "alibabacloud_slb20140515",
        "alb": "alibabacloud_alb20200616",
        "nlb": "alibabacloud_nlb20220430",
        "gwlb": "alibabacloud_gwlb20240415",
        "ecs": "alibabacloud_ecs20140526",
        "sts": "alibabacloud_sts20150401",
    }
    # Lists that ESS 2022-02-22 has under another name.
    plurals = {
        "AlbServerGroup": "AlbServerGroups",
        "InstanceId": "InstanceIds",
        "LoadBalancer": "LoadBalancers",
        "LoadBalancerConfig": "LoadBalancerConfigs",
        "ScalingActivityId": "ScalingActivityIds",
        "ScalingGroupId": "ScalingGroupIds",
        "ScalingGroupName": "ScalingGroupNames",
        "ServerGroup": "ServerGroups",
        "VServerGroup": "VServerGroups",
        "VServerGroupAttribute": "VServerGroupAttributes",
    }

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.clients, self.methods = {}, {}

    @classmethod
    def models(cls, service):
        return importlib.import_module(cls.packages[service] + ".models")

    @classmethod
    def actions(cls, service):
        """All that the package has, by its requests. GetCallerIdentity has none, but an answer."""
        names = (re.fullmatch(r"(\w+?)(Request|Response)", name) for name in dir(cls.models(service)))
        return {found[1] for found in names if found and not found[1].endswith("Shrink")}

    def takes(self, service, action, parameter):
        # An action without parameters has no request.
        kind = getattr(self.models(service), action + "Request", None)
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parameter).lower()
        return kind is not None and any(hasattr(kind(), name) for name in (snake, snake + "s"))

    def client(self, service):
        if service not in self.clients:
            from alibabacloud_tea_openapi.models import Config

            config = Config(
                access_key_id=self.key[0],
                access_key_secret=self.key[1],
                security_token=self.token,
                endpoint=self.simulator.host,
                protocol="http",
                region_id=REGION,
            )
            self.clients[service] = importlib.import_module(self.packages[service] + ".client").Client(config)
        client = self.clients[service]
        self.methods.setdefault(service, {name.replace("_", ""): name for name in dir(client)})
        return client

    def send(self, service, action, params):
        from alibabacloud_tea_openapi.exceptions import AlibabaCloudException

        if self.packages[service] == "alibabacloud_ess20220222":
            params = self.renamed(params)
        client, arguments = self.client(service), []
        if kind := getattr(self.models(service), action + "Request", None):
            request = kind().from_map(params)
            # What the models do not know is dropped without a word. Lists that were not given are there, empty.
            known = {name: value for name, value in request.to_map().items() if value != []}
            assert known == params, f"{action}: of {params} the SDK knows {known}"
            arguments.append(request)
        method = getattr(client, self.methods[service][action.lower()])
        try:
            return method(*arguments).body.to_map()
        except AlibabaCloudException as error:
            raise Refused(error.code, error.status_code, error.message, error.retry_after) from error

    @classmethod
    def renamed(cls, value):
        if isinstance(value, list):
            return [cls.renamed(item) for item in value]
        if isinstance(value, dict):
            plural = {key: cls.plurals.get(key, key) if isinstance(item, list) else key for key, item in value.items()}
            return {plural[key]: cls.renamed(item) for key, item in value.items()}
        return value


class NewerOfOlderEss(Newer):
    """The same for ESS 2014-08-28. Its package is of 2021: it lacks what came later, and signs with V1."""

    name, tag = "newer, ESS 2014-08-28", "new14"
    packages = {"ess": "alibabacloud_ess20140828"}


class Older(Sdk):
    """aliyun-python-sdk-<product>, by way of its core. It signs with V1."""

    name, tag = "older", "old"
    packages = {
        "ess": "aliyunsdkess.request.v20140828",
        "slb": "aliyunsdkslb.request.v20140515",
        "alb": "aliyunsdkalb.request.v20200616",
        "nlb": "aliyunsdknlb.request.v20220430",
        "gwlb": "aliyunsdkgwlb.request.v20240415",
        "ecs": "aliyunsdkecs.request.v20140526",
        "sts": "aliyunsdksts.request.v20150401",
    }
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
        from aliyunsdkcore.client import AcsClient

        credential = StsTokenCredential(*self.key, self.token) if self.token else AccessKeyCredential(*self.key)
        self.client = AcsClient(region_id=REGION, credential=credential)

    @classmethod
    def actions(cls, service):
        package = importlib.import_module(cls.packages[service])
        return {module.name.removesuffix("Request") for module in pkgutil.iter_modules(package.__path__)}

    def request(self, service, action):
        module = importlib.import_module(f"{self.packages[service]}.{action}Request")
        return getattr(module, action + "Request")()

    def takes(self, service, action, parameter):
        # Its core adds the region to every request by itself.
        request = self.request(service, action)
        names = () if parameter == "RegionId" else (parameter, parameter + "s")
        return any(hasattr(request, "set_" + name) for name in names)

    def send(self, service, action, params):
        request = self.request(service, action)
        for name, value in params.items():
            # Most lists are in the plural here.
            names = (name + "s", name) if isinstance(value, list) else (name,)
            setter = next((found for name in names if (found := getattr(request, "set_" + name, None))), None)
            assert setter, f"{action}: the SDK does not know {name}"
            setter(value)
        # What the setters do not know is dropped without a word.
        known = len(request.get_query_params() or {}) + len(request.get_body_params() or {})
        assert known == leaves(params), f"{action}: the SDK does not know all of {params}"
        return self.ask(request)

    def ask(self, request):
        from aliyunsdkcore.acs_exception.exceptions import ServerException

        request.set_endpoint(self.simulator.host)
        request.set_protocol_type("http")
        request.set_accept_format("JSON")
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as error:
            raise Refused(error.get_error_code(), error.get_http_status(), error.get_error_msg()) from error

    def has(self, version, action):
        """Whether the simulator has an action, asked without any parameters and without a package that knows it."""
        from aliyunsdkcore.request import CommonRequest

        request = CommonRequest(version=version, action_name=action)
        request.set_method("POST")
        try:
            self.ask(request)
        except Refused as refusal:
            return refusal.code not in ("InvalidAction.NotFound", "InvalidVersion")
        return True


def leaves(value):
    """How many flat parameters nested ones become."""
    if isinstance(value, (list, dict)):
        return sum(map(leaves, value.values() if isinstance(value, dict) else value))
    return 1


def rows(answer, *names):
    """The rows of a list: wrapped twice in some versions and flat in others."""
    for name in names:
        if isinstance(answer, list):
            break
        answer = answer[name]
    return answer


GENERATIONS = (Newer, NewerOfOlderEss, Older)
