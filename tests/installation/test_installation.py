"""Installing, using, upgrading and uninstalling it with the programs that people use, on a real API server."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import schemas
from cluster import CHARTS, HERE, NAMESPACE, REPOSITORY, ROOT, Cluster, documents, run, tools, until
from test_rendering import DEFINITIONS, OPERATOR, VALUES, of_kind, rendered

GROUP = "servergroup.alicloud.dev"
VERSION = f"{GROUP}/v1alpha1"
KINDS = [f"{plural}.{GROUP}" for plural in ("cloudaccounts", "scalinggroupattachments", "servergroupmemberships")]
KEYS = {"accessKeyId": "simulated-key", "accessKeySecret": "simulated-secret"}
STRANGER = "i-legacy1"
INSTALL = (ROOT / "docs/install.md").read_text()

# As the API server says it, with and without server-side apply.
UNKNOWN_FIELD = 'unknown field "|field not declared in schema'

cluster = None


def setUpModule():
    global cluster
    cluster = Cluster()
    cluster.do(*json.loads((ROOT / "deploy/dev/cloud.json").read_text()))
    # Or a deletion would leave nobody serving, and so leave everybody.
    cluster.do({"putMembers": {"group": "rsp-web", "members": [{"id": STRANGER, "port": 8080}]}})


def tearDownModule():
    cluster.close()


def grants(*groups):
    return [
        {"name": "team-a", "namespaces": ["team-a"], "regions": ["cn-hangzhou"], "serverGroups": list(groups),
         "scalingGroups": ["asg-shop"], "servers": ["i-*"]}
    ]


def ours(group):
    """Who is in a group, but for the one who was there before."""
    return [member for member in cluster.members(group) if member != STRANGER]


def membership(name, *servers, group="rsp-web", type="CLB", **spec):
    servers = [{"id": server, "port": 8080} for server in servers]
    group = {"type": type, "id": group}
    return {
        "apiVersion": VERSION,
        "kind": "ServerGroupMembership",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {"regionId": "cn-hangzhou", "serverGroup": group, "servers": servers, **spec},
    }


def write(name, values):
    path = cluster.directory / name
    path.write_text(json.dumps(values))
    return path


class Installed(unittest.TestCase):
    """Begins without anything of ours in the cluster, and leaves it so."""

    def setUp(self):
        # The cloud's addresses lead to the simulated one, wherever a pod is.
        cluster.operator.environment = {"SERVER_GROUP_OPERATOR_ENDPOINT": f"*={cluster.cloud}"}
        for namespace in (NAMESPACE, "team-a"):
            until(f"namespace {namespace} is gone", lambda: not cluster.api.find(f"/api/v1/namespaces/{namespace}"))
        self.addCleanup(self.forget)
        self.addCleanup(self.tell)

    def tell(self):
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(cluster.words())

    def forget(self):
        """Whatever a test left: it has failed, perhaps."""
        for release in json.loads(cluster.helm("list", "--all-namespaces", "--output=json")):
            cluster.helm("uninstall", release["name"], "--namespace", release["namespace"], "--wait")
        for plural in KINDS[1:]:
            found = cluster.api.find(f"/apis/{VERSION}/{plural.split('.')[0]}")
            for object in (found or {"items": []})["items"]:
                meta = object["metadata"]
                path = f"/apis/{VERSION}/namespaces/{meta['namespace']}/{plural.split('.')[0]}/{meta['name']}"
                if meta.get("finalizers"):
                    cluster.api.merge(path, {"metadata": {"finalizers": None}})
        for account in (cluster.api.find(f"/apis/{VERSION}/cloudaccounts") or {"items": []})["items"]:
            path = f"/apis/{VERSION}/cloudaccounts/{account['metadata']['name']}"
            cluster.api.merge(path, {"metadata": {"finalizers": None}})
            if "deletionTimestamp" not in account["metadata"]:
                cluster.api.delete(path)
        cluster.kubectl("delete", "crd", *KINDS, "--ignore-not-found", "--timeout=60s")
        cluster.kubectl("delete", "namespace", NAMESPACE, "team-a", "--ignore-not-found", "--wait=false")

    def namespaces(self):
        """Those of the operator and of a team; pods that may more than they need are refused in both."""
        for name in (NAMESPACE, "team-a"):
            labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def keys(self, name="server-group-operator-keys"):
        meta = {"name": name, "namespace": NAMESPACE}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": KEYS})

    def helm(self, *words, **options):
        return cluster.helm(*words, "--namespace", NAMESPACE, **options)

    def definitions(self, *words, chart=DEFINITIONS):
        return self.helm("upgrade", "--install", "server-group-operator-crds", chart, *words)

    def operator(self, values, *words, verb="install", **options):
        file = write("values.json", {"image": {"repository": REPOSITORY}} | values)
        words = (*words, "--timeout=2m") if not any("--timeout" in word for word in words) else words
        return self.helm(verb, "server-group-operator", OPERATOR, "--values", file, *words, **options)

    def becomes(self, reason, name="web", kind="servergroupmembership"):
        look = lambda: cluster.reason(kind, name, "--namespace=team-a") == reason
        until(lambda: f"{name} is {reason}: {cluster.object(kind, name, '--namespace=team-a')}", look)

    def holder(self):
        lease = cluster.api.find(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/server-group-operator")
        return (lease or {"spec": {}})["spec"].get("holderIdentity", "")


class AsDocumented(Installed):
    """docs/install.md, typed command by command."""

    def typed(self, title):
        section = re.split(r"^## ", INSTALL.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]
        commands = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        folder = pathlib.Path(tempfile.mkdtemp(dir=cluster.directory))
        for part in ("charts", "deploy", "crds"):
            (folder / part).symlink_to(ROOT / part)
        repository = re.search(r"IMAGE:-([^}]+)\}", section)[1]
        cluster.images[repository] = cluster.operator
        keys = 'export ALIBABA_CLOUD_ACCESS_KEY_ID=simulated-key ALIBABA_CLOUD_ACCESS_KEY_SECRET=simulated-secret\n'
        return lambda begin, end=None: cluster.shell(keys + "".join(commands[begin:end]), cwd=folder), commands

    def test_with_helm(self):
        typed, commands = self.typed("With Helm")
        deletion = next(i for i, command in enumerate(commands) if "kubectl delete" in command)
        said = typed(0, deletion)
        self.assertIn("i-web01", said, "the plan is shown")
        self.assertEqual(ours("rsp-web"), ["i-web01", "i-web02"])
        typed(deletion)
        self.assertEqual(ours("rsp-web"), [])
        self.assertIsNone(cluster.api.find(f"/apis/{VERSION}"))

    def test_with_kustomize(self):
        typed, commands = self.typed("With kustomize")
        deletion = next(i for i, command in enumerate(commands) if "kubectl delete" in command)
        typed(0, deletion)
        meta = {"name": "team-a"}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        cluster.apply(membership("web", "i-web01", "i-web02"))
        self.becomes("Converged")
        typed(deletion)
        self.assertEqual(ours("rsp-web"), [])
        self.assertIsNone(cluster.api.find(f"/apis/{VERSION}"))


class Releases(Installed):
    def test_helm_waits_for_our_objects_and_they_survive_everything_that_happens_to_releases(self):
        self.namespaces()
        self.keys()
        self.definitions()
        # Nothing leads to the cloud but what the chart says.
        cluster.operator.environment = {}
        values = {
            "endpoints": [f"*={cluster.cloud}"],
            "environmentSecret": "server-group-operator-keys",
            "account": {"create": True, "spec": {"credentials": {"type": "Environment"}, "grants": grants("rsp-web", "sgp-*")}},
            "extraObjects": [
                membership("planned", "i-web01", mode="Plan", group="sgp-checkout", type="ALB"),
                membership("suspended", "i-web01", suspend=True, group="sgp-resolvers", type="NLB"),
                membership("web", "i-web01", "i-web02"),
                membership("left", "i-web01", group="sgp-shop", type="ALB"),
            ],
        }
        self.operator(values, "--wait")
        # It has waited: nobody is asked a second time.
        names = {"planned": "Planned", "suspended": "Suspended", "web": "Converged", "left": "Converged"}
        for name, reason in names.items():
            self.assertEqual(cluster.reason("sgm", name, "--namespace=team-a"), reason)
        self.assertEqual(ours("rsp-web"), ["i-web01", "i-web02"])
        identities = self.identities()

        # A field that a later version has, and this one does not.
        noted = membership("web", "i-web01", "i-web02", note="hello")
        refused = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(noted), fails=True)
        self.assertRegex(refused, UNKNOWN_FIELD)
        self.definitions(chart=self.later_definitions())
        until("the new field is served", lambda: "note" in cluster.kubectl("explain", "sgm.spec"))
        noted["metadata"]["labels"] = {"app": "web"}
        cluster.apply(noted, "--force-conflicts")
        self.assertEqual(cluster.object("sgm", "web", "--namespace=team-a")["spec"]["note"], "hello")
        self.helm("rollback", "server-group-operator-crds", "1")
        until("the field is gone", lambda: "note" not in cluster.kubectl("explain", "sgm.spec"))
        self.becomes("Converged")
        self.assertEqual(self.identities(), identities)

        # The account changes in place; an image that is not there is taken back.
        values["account"]["spec"]["grants"] = grants("*")
        self.operator(values, "--wait", verb="upgrade")
        self.assertEqual(self.identities(), identities)
        self.assertEqual(cluster.object("ca", "default")["spec"]["grants"][0]["serverGroups"], ["*"])
        before = {pod["metadata"]["name"] for pod in cluster.pods()}
        self.operator(values | {"image": {"repository": "nowhere"}}, "--wait", "--timeout=5s", verb="upgrade", fails=True)
        self.assertLess(before, {pod["metadata"]["name"] for pod in cluster.pods()}, "the old one runs on")
        self.helm("rollback", "server-group-operator", "--wait", "--timeout=2m")
        until("only the old one is there", lambda: {pod["metadata"]["name"] for pod in cluster.pods()} == before)
        self.assertEqual(self.identities(), identities)

        # The operator went first: what is deleted waits for it, and goes when it is back.
        cluster.kubectl("annotate", "sgm", *names, "--namespace=team-a", "helm.sh/resource-policy=keep")
        self.operator(values | {"extraObjects": []}, "--wait", verb="upgrade")
        self.helm("uninstall", "server-group-operator", "--wait")
        cluster.kubectl("delete", "sgm", "web", "left", "--namespace=team-a", "--wait=false")
        self.assertIn("deletionTimestamp", cluster.object("sgm", "web", "--namespace=team-a")["metadata"])
        # One is let go of as the documentation says.
        by_hand = re.search(r"^kubectl patch .*finalizers.*$", INSTALL, re.MULTILINE)[0]
        cluster.shell(by_hand.replace("/web", "/left"))
        cluster.kubectl("wait", "sgm/left", "--namespace=team-a", "--for=delete", "--timeout=60s")
        self.assertEqual(cluster.members("sgp-shop"), ["i-web01"])
        self.assertEqual(ours("rsp-web"), ["i-web01", "i-web02"])
        self.operator(values | {"extraObjects": []}, "--wait")
        cluster.kubectl("wait", "sgm/web", "--namespace=team-a", "--for=delete", "--timeout=60s")
        self.assertEqual(ours("rsp-web"), [])

        # The definitions outlive their release, and the next one has them again; unless they are not to be kept.
        self.helm("uninstall", "server-group-operator-crds")
        self.assertIn("planned", cluster.kubectl("get", "sgm", "--namespace=team-a"))
        self.definitions()
        self.definitions("--set", "keep=false")
        cluster.kubectl("delete", "sgm", "--all", "--namespace=team-a", "--timeout=60s")
        cluster.kubectl("delete", "ca", "--all", "--timeout=60s")
        self.helm("uninstall", "server-group-operator")
        self.helm("uninstall", "server-group-operator-crds", "--wait")
        self.assertIsNone(cluster.api.find(f"/apis/{VERSION}/cloudaccounts"))

    def identities(self):
        objects = [("ca", "default"), ("sgm", "web", "--namespace=team-a"), ("sgm", "planned", "--namespace=team-a")]
        objects += [("crd", kind) for kind in KINDS]
        return [cluster.object(*words)["metadata"]["uid"] for words in objects]

    def later_definitions(self):
        chart = pathlib.Path(tempfile.mkdtemp(dir=cluster.directory)) / "server-group-operator-crds"
        shutil.copytree(DEFINITIONS, chart)
        file = chart / "files/servergroupmemberships.yaml"
        definition, = documents(file.read_text())
        spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"]["note"] = {"type": "string", "description": "Braces {{ in }} a description."}
        file.write_text(json.dumps(definition))
        return chart

    def test_definitions_of_kubectl_are_taken_over_when_told_so(self):
        self.namespaces()
        cluster.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        words = ("install", "server-group-operator-crds", DEFINITIONS)
        self.assertIn("invalid ownership metadata", self.helm(*words, fails=True))
        self.helm(*words, "--take-ownership", "--force-conflicts")
        # Until then both wrote the same, so both have it still.
        later = self.later_definitions()
        words = ("upgrade", "server-group-operator-crds", later)
        self.assertIn('conflict with "kubectl"', self.helm(*words, fails=True))
        self.helm(*words, "--force-conflicts")
        self.helm(*words, "--set", "commonLabels.team=platform")

    def test_the_token_of_the_service_account_is_exchanged_for_keys(self):
        self.namespaces()
        self.definitions()
        role = {"roleArn": "acs:ram::1234567890123456:role/sgo", "oidcProviderArn": "acs:ram::1234567890123456:oidc-provider/ack"}
        self.operator(
            {
                "rrsa": {"enabled": True, **role},
                "account": {"create": True, "spec": {"credentials": {"type": "OIDC"}, "grants": grants("rsp-web")}},
                "extraObjects": [membership("web", "i-web01")],
            },
            "--wait",
        )
        self.assertEqual(ours("rsp-web"), ["i-web01"])
        cluster.kubectl("delete", "sgm", "web", "--namespace=team-a", "--timeout=60s")

    def test_of_two_replicas_one_acts_and_the_other_takes_over(self):
        self.namespaces()
        self.definitions()
        self.operator({"replicaCount": 2}, "--wait")
        first = until("somebody leads", self.holder)
        pods = {pod["metadata"]["name"] for pod in cluster.pods()}
        self.assertEqual(len(pods), 2)
        leader = next(pod for pod in pods if first.startswith(pod))
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": leader, "namespace": NAMESPACE}}
        budget = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/server-group-operator"
        until("the budget allows one", lambda: cluster.api.get(budget).get("status", {}).get("disruptionsAllowed") == 1)
        cluster.api.post(f"/api/v1/namespaces/{NAMESPACE}/pods/{leader}/eviction", eviction)
        # Or the one that is made in its place, if that asks first.
        second = until("another one leads", lambda: (now := self.holder()) not in ("", first) and now)
        self.assertFalse(second.startswith(leader), (first, second))

    def test_what_renders_and_does_not_run_is_not_installed(self):
        self.namespaces()
        # The definitions are missing; then one thing after the other is.
        self.operator({}, "--wait", "--timeout=4s", fails=True)
        until(cluster.words, lambda: "does not know cloudaccounts" in cluster.words())
        self.definitions()
        cluster.kubectl("rollout", "status", "deployment/server-group-operator", f"--namespace={NAMESPACE}", "--timeout=60s")
        self.helm("uninstall", "server-group-operator", "--wait")
        for values, state, words in (
            ({"extraArgs": ["--no-such-flag"]}, "CrashLoopBackOff", "unexpected argument '--no-such-flag'"),
            ({"environmentSecret": "missing"}, "CreateContainerConfigError", ""),
            ({"image": {"repository": "nowhere"}}, "ErrImagePull", ""),
            ({"rbac": {"create": False}}, "running", "may not list cloudaccounts"),
            ({"serviceAccount": {"automount": False}}, "CrashLoopBackOff", "kubeconfig"),
        ):
            with self.subTest(values):
                self.operator(values)
                until(lambda: f"{state}: {cluster.pods()}", lambda: state in self.states())
                until(lambda: f"{words}: {cluster.words()}", lambda: words in cluster.words())
                self.assertNotIn("True", self.ready())
                self.helm("uninstall", "server-group-operator", "--wait")

    def states(self):
        found = [status["state"] for pod in cluster.pods() for status in pod["status"].get("containerStatuses", [])]
        return [state["waiting"]["reason"] if "waiting" in state else next(iter(state)) for state in found]

    def ready(self):
        return [c["status"] for pod in cluster.pods() for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]

    def test_pods_that_may_more_than_they_need_are_refused(self):
        self.namespaces()
        self.definitions()
        self.operator({"podSecurityContext": {"runAsUser": 0}})
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/server-group-operator"
        failed = lambda: [c for c in cluster.api.get(path)["status"].get("conditions", []) if c["type"] == "ReplicaFailure"]
        self.assertIn('violates PodSecurity "restricted', until("the pod is refused", failed)[0]["message"])


class Admission(Installed):
    """What the API server itself says of everything that the chart can be told."""

    def test_every_rendering_is_valid_and_restricted(self):
        self.namespaces()
        self.definitions()
        until("the kinds are published", lambda: "dev.alicloud.servergroup.v1alpha1.CloudAccount" in cluster.api.get("/openapi/v2")["definitions"])
        location = schemas.write(cluster.api, cluster.directory / "schemas")
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        until("the namespace has its service account", lambda: cluster.api.find(account))
        judge = [tools() / "kubeconform", "-strict", "-summary", "-schema-location", location]
        # The kinds of the Prometheus operator are its own: this API server does not know them.
        known = lambda object: not object["apiVersion"].startswith("monitoring.coreos.com/")
        renderings = {values.name: list(filter(known, rendered(OPERATOR, "--values", values))) for values in VALUES}
        renderings["kinds"] = rendered(DEFINITIONS)
        for name, objects in renderings.items():
            with self.subTest(name):
                manifest = "---\n".join(json.dumps(object) + "\n" for object in objects)
                self.assertIn("Invalid: 0, Errors: 0, Skipped: 0", run(judge, stdin=manifest))
                if name == "kinds":
                    continue
                told = cluster.shell("kubectl apply --server-side --dry-run=server -f - 2>&1", stdin=manifest)
                self.assertNotIn("Warning", told)
                # As the controller would make it: there, the namespace refuses.
                for deployment in of_kind(objects, "Deployment"):
                    pod = deployment["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
                    pod["metadata"] |= {"generateName": "x-", "namespace": NAMESPACE}
                    pod["spec"] |= {"serviceAccountName": "default"}
                    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        # Neither judge says yes to everything.
        wrong = json.dumps(of_kind(renderings["base.yaml"], "Deployment")[0]).replace('"replicas"', '"replica"')
        self.assertIn("replica", run(judge, stdin=wrong, fails=True))

    def test_a_mistyped_field_is_refused(self):
        self.namespaces()
        self.definitions()
        account = {"apiVersion": VERSION, "kind": "CloudAccount", "metadata": {"name": "default"}}
        for object in (
            membership("web", "i-web01", server=[]),
            membership("web", "i-web01", group="rsp-web") | {"spek": {}},
            account | {"spec": {"credentials": {"type": "Environment"}, "grant": []}},
        ):
            for way in ("--server-side", "--server-side=false"):
                words = cluster.kubectl("apply", way, "-f", "-", stdin=json.dumps(object), fails=True)
                self.assertRegex(words, UNKNOWN_FIELD)

    def test_what_was_applied_does_not_differ_afterwards(self):
        self.namespaces()
        self.keys()
        self.definitions()
        spec = {"credentials": {"type": "Secret", "secret": {"name": "server-group-operator-keys"}}, "grants": grants("*")}
        self.operator({"account": {"create": True, "spec": spec}}, "--wait")
        for way in ("--server-side", "--server-side=false"):
            text = json.dumps(membership("web", "i-web01", "i-web02"))
            cluster.kubectl("apply", way, "-f", "-", stdin=text)
            self.becomes("Converged")
            cluster.kubectl("diff", way, "-f", "-", stdin=text)
            editor = cluster.directory / "editor"
            editor.write_text("#!/bin/sh\nsed -i s/i-web02/i-web03/ \"$1\"\n")
            editor.chmod(0o755)
            cluster.shell(f"KUBE_EDITOR={editor} kubectl edit sgm web --namespace team-a")
            self.becomes("Converged")
            self.assertEqual(ours("rsp-web"), ["i-web01", "i-web03"])
            cluster.kubectl("delete", "sgm", "web", "--namespace=team-a", "--timeout=60s")


class People(Installed):
    def test_view_edit_and_admin_include_our_objects_but_neither_status_nor_accounts(self):
        self.namespaces()
        self.definitions()
        self.operator({"replicaCount": 0})
        for role in ("view", "edit", "admin"):
            cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "--namespace=team-a")
            # Also where it is bound for the whole cluster, or accounts would be out of reach anyway.
            cluster.kubectl("create", "clusterrolebinding", f"everywhere-{role}", f"--clusterrole={role}", f"--user=all-{role}")
            self.addCleanup(cluster.kubectl, "delete", "clusterrolebinding", f"everywhere-{role}")
        may = lambda user, verb, what: cluster.shell(
            f"kubectl auth can-i {verb} {what} --as={user} --namespace=team-a 2>/dev/null || true"
        ).strip() == "yes"
        until("the roles are aggregated", lambda: may("view", "get", KINDS[2]) and may("edit", "patch", KINDS[2]) and may("admin", "delete", KINDS[1]))
        for kind in KINDS[1:]:
            for verb in ("get", "list", "watch"):
                self.assertTrue(may("view", verb, kind) and may("edit", verb, kind) and may("admin", verb, kind))
            for verb in ("create", "update", "patch", "delete", "deletecollection"):
                self.assertFalse(may("view", verb, kind))
                self.assertTrue(may("edit", verb, kind) and may("admin", verb, kind))
        for user in ("all-view", "all-edit", "all-admin"):
            self.assertFalse(may(user, "get", KINDS[0]) or may(user, "patch", KINDS[0]), user)
            for kind in KINDS[1:]:
                self.assertFalse(may(user, "update", f"{kind} --subresource=status"), user)
        cluster.kubectl("create", "clusterrolebinding", "accounts", "--clusterrole=server-group-operator-accounts", "--user=platform")
        self.addCleanup(cluster.kubectl, "delete", "clusterrolebinding", "accounts")
        until("accounts may be written", lambda: may("platform", "create", KINDS[0]))


if __name__ == "__main__":
    unittest.main()
