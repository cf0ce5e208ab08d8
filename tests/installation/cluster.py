"""A real control plane with the stand-in for its nodes, and the simulated cloud: what an installation needs."""

import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import api
import kubelet

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CHARTS = ROOT / "charts"
# Where the manifests of the tests say that the image is.
REPOSITORY = "server-group-operator"
NAMESPACE = "server-group-operator"

# How long something may take that other programs have to bring about, on a machine that is busy.
PATIENCE = 180


def built(name):
    """A program of this repository: what the variable of its name says, or what `cargo build` left."""
    named = os.environ.get(name.upper().replace("-", "_"))
    if named:
        return pathlib.Path(named)
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / name
    if not program.exists():
        sys.exit(f"{program} is not built: run `cargo build --workspace --bins`")
    return program


def tools():
    """The folder of helm, kubeconform and yaml2json."""
    folder = subprocess.run([HERE / "install.sh", "--print"], check=True, capture_output=True, text=True).stdout.strip()
    return pathlib.Path(folder)


def control_plane_program(name):
    return run([built("control-plane"), "find", name]).strip()


def run(command, *, stdin=None, environment=None, cwd=ROOT, fails=False):
    """What a program says. `fails` wants it to fail, and is then what it says on its other channel too."""
    done = subprocess.run(
        [str(word) for word in command], input=stdin, env=environment, cwd=cwd, capture_output=True, text=True
    )
    if fails:
        assert done.returncode != 0, f"{command} should fail, and says: {done.stdout[-2000:]}"
        return done.stdout + done.stderr
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def documents(yaml):
    """The documents of a text, as data."""
    return json.loads(run([tools() / "yaml2json"], stdin=yaml))


def until(what, look, patience=PATIENCE):
    """Looks until there is something, and returns it."""
    end = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not in {patience} s: {what() if callable(what) else what}")
        time.sleep(0.1)


class Server:
    """A program that runs until it is told to end, or its starter is gone; with `says`, until it said so it is not there."""

    def __init__(self, command, log, says=None):
        self.log, self._lines = log, queue.Queue()
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=kubelet.end_with_parent,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.line = self._first(says) if says else None

    def _read(self):
        with open(self.log, "wb", buffering=0) as log:
            for line in self.process.stdout:
                log.write(line)
                self._lines.put(line.decode(errors="replace"))
        self._lines.put(None)

    def _first(self, says):
        """The first line that has these words."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if says in line:
                return line.strip()
        raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")

    def close(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
        self._reader.join()


# What makes pods of a Deployment, addresses of a Service, rights of an aggregated role, and the certificate in each namespace.
CONTROLLERS = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
]


class Cluster:
    """Ends with `close`, and takes everything along."""

    def __init__(self):
        self._open = []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="installation-"))
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        self._cloud = self._server([built("server-group-sim"), "--listen", "127.0.0.1:0", "--until-stdin-ends"], "simulator", says="http://")
        self.cloud = re.search(r"http://[0-9.:]*[0-9]", self._cloud.line)[0]
        command = [built("control-plane"), "up", "--dir", self.directory / "control-plane", "--until-stdin-ends"]
        self.kubeconfig = self._server(command, "control-plane", says="kubeconfig").line
        self.environment = {
            "PATH": f"{self._programs()}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "KUBECONFIG": self.kubeconfig,
            # Discovery is kept on disk for hours otherwise, while definitions come and go here.
            "KUBECACHEDIR": str(self.directory / "cache"),
        }
        self.api = api.Api.of(self.kubeconfig, control_plane_program("kubectl"))
        certificates = self.directory / "control-plane" / "certs"
        self._server(
            [
                control_plane_program("kube-controller-manager"),
                f"--kubeconfig={self.kubeconfig}",
                f"--service-account-private-key-file={self.directory}/control-plane/service-account.key",
                f"--root-ca-file={certificates}/apiserver.crt",
                f"--controllers={','.join(CONTROLLERS)}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
            "kube-controller-manager",
        )
        self.operator = kubelet.Image([str(built("server-group-operator"))])
        wget = kubelet.Image(path=f"{HERE / 'busybox'}:{pathlib.Path(sys.executable).parent}:/usr/bin:/bin")
        self.images = {REPOSITORY: self.operator, "busybox": wget}
        self.kubelet = kubelet.Kubelet(self.api, self.directory / "pods", self.images)
        self._open.append(self.kubelet)

    def _programs(self):
        """A folder with the programs that people type."""
        folder = self.directory / "bin"
        folder.mkdir()
        (folder / "helm").symlink_to(tools() / "helm")
        (folder / "kubectl").symlink_to(control_plane_program("kubectl"))
        return folder

    def _server(self, command, name, **options):
        server = Server(command, self.directory / f"{name}.log", **options)
        self._open.append(server)
        return server

    def close(self):
        for server in reversed(self._open):
            try:
                server.close()
            except Exception as error:
                print(error, file=sys.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)

    def kubectl(self, *words, **options):
        return run(["kubectl", *words], environment=self.environment, **options)

    def helm(self, *words, **options):
        return run(["helm", *words], environment=self.environment, **options)

    def shell(self, text, **options):
        return run(["bash", "-euo", "pipefail", "-c", text], environment=self.environment, **options)

    def apply(self, object, *words):
        return self.kubectl("apply", "--server-side", "-f", "-", *words, stdin=json.dumps(object))

    def object(self, *words):
        return json.loads(self.kubectl("get", *words, "--output=json"))

    def pods(self, namespace=NAMESPACE):
        """The pods of the operator that are not being deleted."""
        items = self.api.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/name%3Dserver-group-operator")
        return [pod for pod in items["items"] if "deletionTimestamp" not in pod["metadata"]]

    def reason(self, *words):
        """The reason of an object's Ready, for the generation that it has; empty before anybody looked."""
        object = self.object(*words)
        conditions = object.get("status", {}).get("conditions", [])
        ready = [c for c in conditions if c["type"] == "Ready"]
        seen = ready and ready[0].get("observedGeneration") == object["metadata"]["generation"]
        return ready[0]["reason"] if seen else ""

    def do(self, *deeds):
        """Carries out deeds in the simulated cloud."""
        self._ask_cloud("/_sim/do", json.dumps(deeds).encode())

    def groups(self):
        return json.loads(self._ask_cloud("/_sim/groups"))["groups"]

    def members(self, group):
        return sorted(member[0] for member in self.groups()[group]["members"])

    def _ask_cloud(self, path, body=None):
        request = urllib.request.Request(self.cloud + path, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.read().decode()

    def words(self):
        """What the operator's pods have said."""
        return "".join(self.kubelet.log(NAMESPACE, pod["metadata"]["name"]) for pod in self.pods())
