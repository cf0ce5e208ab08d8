"""What the charts and the kustomizations say, without a cluster."""

import json
import re
import tomllib
import unittest

from cluster import CHARTS, HERE, NAMESPACE, ROOT, documents, run, control_plane_program, tools

VALUES = sorted((HERE / "values").glob("*.yaml"))
OPERATOR, DEFINITIONS = CHARTS / "server-group-operator", CHARTS / "server-group-operator-crds"


def helm(*words, **options):
    return run([tools() / "helm", *words], **options)


def rendered(chart, *words):
    return documents(helm("template", "server-group-operator", chart, "--namespace", NAMESPACE, *words))


def built(folder):
    return documents(run([control_plane_program("kubectl"), "kustomize", ROOT / "deploy" / folder]))


def named(objects):
    """By kind and name, without what tells who installed it."""
    found = {}
    for object in objects:
        meta = object["metadata"]
        labels = meta.get("labels", {})
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            labels.pop(label, None)
        meta.get("annotations", {}).pop("helm.sh/resource-policy", None)
        for empty in ("labels", "annotations"):
            if not meta.get(empty, True):
                del meta[empty]
        found[object["kind"], meta["name"]] = object
    assert len(found) == len(objects), "two objects of one name"
    return found


def of_kind(objects, kind):
    return [object for object in objects if object["kind"] == kind]


class Charts(unittest.TestCase):
    maxDiff = None

    def test_lint_has_nothing_to_say(self):
        for values in VALUES:
            with self.subTest(values.name):
                helm("lint", "--strict", OPERATOR, "--values", values, "--namespace", NAMESPACE)
        helm("lint", "--strict", DEFINITIONS)

    def test_what_nothing_knows_is_refused(self):
        for value in ("replicas=2", "image.name=x", "account.grants=x", "rrsa.role=x", "podDisruptionBudget.max=1",
                      "monitoring.alerts.rules=x"):
            with self.subTest(value):
                words = helm("template", "x", OPERATOR, "--set", f"image.repository=x,{value}", fails=True)
                self.assertRegex(words, "additional properties|Additional property")
        self.assertRegex(helm("template", "x", DEFINITIONS, "--set", "kept=true", fails=True), "additional properties")

    def test_a_value_of_the_wrong_shape_is_refused(self):
        for value in ("replicaCount=many", "port=80", "image.digest=latest", "signature=v4", "endpoints={ess}",
                      "rrsa.roleArn=admin", "account.name=Default",
                      "monitoring.serviceMonitor.interval=often"):
            with self.subTest(value):
                helm("template", "x", OPERATOR, "--set", f"image.repository=x,{value}", fails=True)

    def test_what_does_not_go_together_is_refused_with_the_reason(self):
        for values, reason in (
            ("replicaCount=1", "image.repository is empty"),
            ("image.repository=x,replicaCount=2,leaderElection.enabled=false", "all of them would act at once"),
            ("image.repository=x,account.create=true", "account.spec is empty"),
            ("image.repository=x,rrsa.enabled=true", "rrsa.roleArn is empty"),
        ):
            with self.subTest(values):
                self.assertIn(reason, helm("template", "x", OPERATOR, "--set", values, fails=True))

    def test_whatever_the_values_nothing_may_do_everything(self):
        for values in VALUES:
            for object in rendered(OPERATOR, "--values", values):
                if object["kind"] in ("Role", "ClusterRole"):
                    self.assertNotIn("*", json.dumps(object["rules"]), (values.name, object["metadata"]["name"]))

    def test_a_single_replica_has_no_budget_that_would_keep_a_node_from_being_drained(self):
        self.assertEqual(of_kind(rendered(OPERATOR, "--set", "image.repository=x"), "PodDisruptionBudget"), [])
        budgets = of_kind(rendered(OPERATOR, "--set", "image.repository=x,replicaCount=2"), "PodDisruptionBudget")
        self.assertEqual([budget["spec"]["maxUnavailable"] for budget in budgets], [1])

    def test_the_digest_wins_over_the_tag(self):
        image = lambda *words: of_kind(rendered(OPERATOR, *words), "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
        digest = "sha256:" + "0" * 64
        self.assertEqual(image("--set", "image.repository=r/x"), f"r/x:{version()}")
        self.assertEqual(image("--set", "image.repository=r/x,image.tag=v1"), "r/x:v1")
        self.assertEqual(image("--set", f"image.repository=r/x,image.tag=v1,image.digest={digest}"), f"r/x@{digest}")

    def test_a_constraint_without_selector_is_about_these_pods(self):
        deployment, = of_kind(rendered(OPERATOR, "--values", HERE / "values/everything.yaml"), "Deployment")
        filled, given = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        self.assertEqual(filled["labelSelector"], deployment["spec"]["selector"])
        self.assertEqual(given["labelSelector"], {"matchLabels": {"mine": "yes"}})

    def test_the_secret_of_the_account_may_be_read_and_no_other(self):
        role, = of_kind(rendered(OPERATOR, "--values", HERE / "values/everything.yaml"), "Role")
        rules = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
        self.assertEqual(rules, [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one", "two.three", "four"], "verbs": ["get"]}])

    def test_common_labels_are_on_every_object_and_change_no_selector(self):
        for object in rendered(OPERATOR, "--values", HERE / "values/everything.yaml", "--set", "commonLabels.app\\.kubernetes\\.io/name=other"):
            if object["kind"] in ("ConfigMap", "Pod"):
                continue
            self.assertEqual(object["metadata"]["labels"]["team"], "platform", object["kind"])
            self.assertEqual(object["metadata"]["labels"]["app.kubernetes.io/name"], "server-group-operator")

    def test_definitions_are_kept_unless_told_otherwise(self):
        kept = lambda *words: {d["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for d in rendered(DEFINITIONS, *words)}
        self.assertEqual(kept(), {"keep"})
        self.assertEqual(kept("--set", "keep=false"), {None})

    def test_the_copies_of_the_definitions_are_those_of_crds(self):
        files = lambda folder: {file.name: file.read_text() for file in folder.glob("*.yaml")}
        self.assertEqual(files(DEFINITIONS / "files"), files(ROOT / "crds"), "run `make generate`")

    def test_the_copies_of_alerts_and_dashboard_are_those_of_deploy(self):
        for name in ("alerts.yaml", "dashboard.json"):
            ours, copy = ROOT / "deploy" / "monitoring" / name, OPERATOR / "files" / name
            self.assertEqual(copy.read_text(), ours.read_text(), "run `make generate`")

    def test_nobody_without_the_prometheus_operator_gets_objects_of_it(self):
        kinds = {object["kind"] for object in rendered(OPERATOR, "--set", "image.repository=x")}
        self.assertFalse(kinds & {"ServiceMonitor", "PrometheusRule", "ConfigMap"})

    def test_prometheus_finds_every_replica_and_the_alerts_and_grafana_the_dashboard(self):
        objects = rendered(OPERATOR, "--values", HERE / "values/monitoring.yaml")
        monitor, = of_kind(objects, "ServiceMonitor")
        service, = of_kind(objects, "Service")
        endpoint, = monitor["spec"]["endpoints"]
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
        self.assertEqual(monitor["spec"]["namespaceSelector"], {"matchNames": [NAMESPACE]})
        self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])
        self.assertEqual((endpoint["path"], endpoint["interval"]), ("/metrics", "15s"))
        rule, = of_kind(objects, "PrometheusRule")
        alerts, = documents((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text())
        self.assertEqual(rule["spec"], alerts)
        for object in (monitor, rule):
            self.assertEqual(object["metadata"]["labels"]["release"], "prometheus")
        board, = [object for object in of_kind(objects, "ConfigMap") if object["metadata"]["name"].endswith("-dashboard")]
        self.assertEqual(board["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(board["metadata"]["annotations"], {"grafana_folder": "Load balancing"})
        text, = board["data"].values()
        self.assertEqual(text, (ROOT / "deploy" / "monitoring" / "dashboard.json").read_text())

    def test_there_is_one_version(self):
        for chart in (OPERATOR, DEFINITIONS):
            text, = documents((chart / "Chart.yaml").read_text())
            self.assertEqual((text["version"], text["appVersion"]), (version(), version()), chart.name)

    def test_the_table_of_values_is_that_of_the_chart(self):
        values, = documents((OPERATOR / "values.yaml").read_text())
        text = (ROOT / "docs" / "install.md").read_text()
        table = re.findall(r"^\| `([A-Za-z.]+)` \|", text.split("## Values")[1], re.MULTILINE)
        self.assertEqual(sorted(table), sorted(leaves(values)))


# Where the table has one row for all that is inside.
WHOLE = {"monitoring.dashboard.labels", "resources", "podSecurityContext", "securityContext", "livenessProbe", "readinessProbe"}


def leaves(values, prefix=""):
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, dict) and value and name not in WHOLE:
            yield from leaves(value, name + ".")
        else:
            yield name


def version():
    with open(ROOT / "Cargo.toml", "rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


class Kustomizations(unittest.TestCase):
    maxDiff = None

    def test_they_are_the_same_objects_as_those_of_the_chart(self):
        for folder in ("base", "overlays/ha", "overlays/dev", "overlays/namespaced"):
            with self.subTest(folder):
                values = HERE / "values" / f"{folder.rsplit('/', 1)[-1]}.yaml"
                # The chart makes no namespace; helm does. The test of the release is for helm alone.
                chart = named(rendered(OPERATOR, "--values", values, "--skip-tests"))
                kustomization = named([object for object in built(folder) if object["kind"] != "Namespace"])
                self.assertEqual(sorted(kustomization), sorted(chart))
                for key, object in chart.items():
                    self.assertEqual(kustomization[key], object, key)

    def test_their_definitions_are_those_of_the_chart(self):
        ours = named(built("crds"))
        chart = named(rendered(DEFINITIONS))
        for object in chart.values():
            self.assertEqual(object["metadata"].pop("labels"), {"app.kubernetes.io/name": "server-group-operator"})
        self.assertEqual(ours, chart)

    def test_the_namespace_takes_restricted_pods_alone(self):
        namespace, = of_kind(built("base"), "Namespace")
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")


VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def asked():
    """Whatever the operator asks for, as group, resource and verb: by the list that its tests keep, and Secrets."""
    found = {("", "secrets", "get")}
    for line in (ROOT / "tests/simulation/requests.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        method, path = line.split()[:2]
        path, _, query = path.partition("?")
        # The core group has no name.
        group, _, rest = path.replace("/api/", "/apis//").removeprefix("/apis/").split("/", 2)
        if rest.startswith("namespaces/") and rest.count("/") > 1:
            rest = rest.split("/", 2)[2]
        resource, name, subresource = (rest.split("/") + [None, None])[:3]
        if subresource:
            resource += f"/{subresource}"
        reads = "get" if name else "watch" if "watch" in query.split("&") else "list"
        found.add((group, resource, VERBS.get(method, reads)))
    return found


class Rights(unittest.TestCase):
    def test_the_operator_may_do_what_it_asks_for_and_nothing_else(self):
        objects = rendered(OPERATOR, "--values", HERE / "values/base.yaml")
        roles = [o for o in objects if o["kind"] in ("Role", "ClusterRole") and o["metadata"]["name"] == NAMESPACE]
        self.assertEqual(len(roles), 2)
        given = {
            (group, resource, verb)
            for role in roles
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        self.assertEqual(given, asked())

    def test_an_operator_of_some_namespaces_has_the_same_rights_in_these_and_sees_no_object_elsewhere(self):
        objects = rendered(OPERATOR, "--values", HERE / "values/namespaced.yaml")
        roles = [o for o in objects if o["kind"] in ("Role", "ClusterRole") and o["metadata"]["name"].startswith(NAMESPACE)]
        given, wide = set(), set()
        for role in roles:
            if role["metadata"]["name"].split(NAMESPACE)[1] in ("-view", "-edit", "-accounts"):
                continue
            for rule in role["rules"]:
                each = {(g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
                given |= each
                if role["kind"] == "ClusterRole":
                    wide |= each
        self.assertEqual(given, asked())
        ours = {(resource, verb) for _, resource, verb in wide if resource.split("/")[0] in ("servergroupmemberships", "scalinggroupattachments")}
        self.assertEqual(ours, {("servergroupmemberships", "patch"), ("scalinggroupattachments", "patch")})

    def test_secrets_are_for_its_own_namespace_and_named(self):
        for object in rendered(OPERATOR, "--values", HERE / "values/base.yaml"):
            for rule in object.get("rules", []):
                if "secrets" in rule["resources"]:
                    self.assertEqual((object["kind"], object["metadata"]["namespace"]), ("Role", NAMESPACE))
                    self.assertTrue(rule["resourceNames"])
