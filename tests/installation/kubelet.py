"""Stands in for the scheduler and the kubelet: the containers of pods run as processes of this machine.

A container gets its image's program with its own command, arguments and environment; secrets, config maps, the downward API
and tokens of its service account as files; and SIGTERM and time when its pod is deleted. Its readiness probe makes the pod
Ready, its liveness probe has it started again, and so does its end. What is not imitated: images are a table of programs,
there are no namespaces of the kernel, and probes are asked more often than they say.

Two things have to be translated. A pod has no address of its own: what it opens on 0.0.0.0 is opened on an address in 127/8,
and asked there. It has no root of its own either: the path of a mount is replaced by where its files are, in arguments and
environment; the client library's fixed path of the service account is replaced by a kubeconfig that points to these files.
"""

import base64
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
import traceback
import urllib.error
import urllib.request

from api import Refused

NODE = "stand-in"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Unstartable(Exception):
    """Why a container cannot be started: the reason that a kubelet gives, and a sentence."""

    def __init__(self, reason, words):
        super().__init__(words)
        self.reason = reason


class Image:
    """A program in place of an image: what it runs, the variables that it sets, and where it looks for commands."""

    def __init__(self, entrypoint=(), environment=None, path="/nowhere"):
        self.entrypoint, self.environment, self.path = list(entrypoint), environment or {}, path


class Kubelet:
    """Runs all pods of a cluster until it is closed. `images` maps repositories to an Image each."""

    def __init__(self, api, directory, images):
        self.api, self.directory, self.images = api, pathlib.Path(directory), images
        self.directory.mkdir(parents=True)
        self._pods, self._addresses = {}, 0
        self._stop = threading.Event()
        self.trouble = None
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        api.post("/api/v1/nodes", node)
        self._thread = threading.Thread(target=self._run, name="kubelet")
        self._thread.start()

    def close(self):
        self._stop.set()
        self._thread.join()
        for pod in self._pods.values():
            pod.kill()
        if self.trouble:
            raise RuntimeError("the stand-in for the kubelet broke") from self.trouble

    def log(self, namespace, name):
        """What the containers of a pod said, one after the other; nothing if none began."""
        file = self.directory / f"{namespace}_{name}.log"
        return file.read_text() if file.exists() else ""

    def _run(self):
        while not self._stop.wait(0.15):
            try:
                self._look()
            except Exception as error:  # A test that waits for a pod should be told.
                traceback.print_exc()
                self.trouble = self.trouble or error

    def _look(self):
        listed = self.api.get("/api/v1/pods")["items"]
        seen = set()
        for object in listed:
            uid = object["metadata"]["uid"]
            seen.add(uid)
            if uid not in self._pods:
                self._addresses += 1
                self._pods[uid] = Pod(self, object, self._addresses)
            try:
                self._pods[uid].step(object)
            except Refused as refused:
                # Somebody else was quicker, or it is gone.
                if refused.code not in (404, 409):
                    raise
        for uid in set(self._pods) - seen:
            self._pods.pop(uid).kill()

    def hosts(self, namespace):
        """The services of a namespace that have an endpoint which is ready, as a name each, and where that is."""
        slices = self.api.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
        found = {}
        for slice in slices:
            name = slice["metadata"]["labels"]["kubernetes.io/service-name"]
            service = self.api.find(f"/api/v1/namespaces/{namespace}/services/{name}")
            ready = [e for e in slice["endpoints"] or [] if e.get("conditions", {}).get("ready")]
            for port in service["spec"]["ports"] if service and ready else []:
                target = next(p["port"] for p in slice["ports"] if p["name"] == port["name"])
                address = loopback(ready[0]["addresses"][0])
                found[f"{name}.{namespace}.svc:{port['port']}"] = f"{address}:{target}"
        return found


class Pod:
    """One pod, and the process of its only container."""

    def __init__(self, kubelet, object, number):
        self.kubelet, self.api = kubelet, kubelet.api
        meta = object["metadata"]
        self.namespace, self.name, self.uid = meta["namespace"], meta["name"], meta["uid"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        # Not in 127/8: the API server takes no such address for an endpoint.
        self.address = f"10.77.{number // 250}.{number % 250 + 1}"
        self.root = kubelet.directory / f"{self.namespace}_{self.name}"
        self.process, self.restarts, self.started = None, 0, None
        self.ended = self.told = self.waiting = None
        self.not_before = 0.0
        self.ready, self.unhealthy, self.asked = False, 0, 0.0
        self.written = None

    def step(self, object):
        spec = object["spec"]
        if object["metadata"].get("deletionTimestamp"):
            return self.end(object["metadata"].get("deletionGracePeriodSeconds", 30))
        if not spec.get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name}, "target": target}
            self.api.post(f"{self.path}/binding", body)
        if self.process and self.process.poll() is not None:
            self.note_end(spec)
        if not self.process and not self.finished(spec) and time.monotonic() >= self.not_before:
            self.start(object)
        if self.process:
            self.probe(spec["containers"][0])
        return self.write(spec)

    def finished(self, spec):
        return self.ended is not None and spec["restartPolicy"] == "Never"

    def note_end(self, spec):
        self.ended, self.process, self.ready, self.unhealthy = self.process.returncode, None, False, 0
        if not self.finished(spec):
            self.restarts += 1
            self.waiting = ("CrashLoopBackOff", f"it ended with code {self.ended}")
            self.not_before = time.monotonic() + min(0.5 * 2**self.restarts, 5)

    def start(self, object):
        spec = object["spec"]
        if len(spec["containers"]) != 1 or spec.get("initContainers"):
            raise NotImplementedError("pods of one container alone are imitated")
        container = spec["containers"][0]
        try:
            image = self.image(container["image"])
            shutil.rmtree(self.root, ignore_errors=True)
            mounts = self.mount(object, container)
            environment = self.environment(object, container)
            command = (container.get("command") or image.entrypoint) + container.get("args", [])
            if not command:
                raise Unstartable("CreateContainerError", "there is no command")
            command = [expanded(word, environment) for word in command]
        except Unstartable as error:
            self.waiting = (error.reason, str(error))
            self.not_before = time.monotonic() + 0.5
            return
        if container.get("command") and image.entrypoint and command[0] == "/" + os.path.basename(image.entrypoint[0]):
            command[0] = image.entrypoint[0]
        translate = lambda text: self.translated(text, mounts)
        command = [translate(word) for word in command]
        environment = {name: translate(value) for name, value in (image.environment | environment).items()}
        environment |= self.surroundings(mounts, image)
        self.root.mkdir(parents=True, exist_ok=True)
        with open(f"{self.root}.log", "ab") as log:
            try:
                program = shutil.which(command[0], path=image.path)
                if not program:
                    raise FileNotFoundError(f"{command[0]} is not in the image")
                self.process = subprocess.Popen(
                    [program] + command[1:],
                    env=environment,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=end_with_parent,
                )
            except OSError as error:
                self.waiting = ("RunContainerError", str(error))
                self.not_before = time.monotonic() + 0.5
                return
        self.started, self.waiting = now(), None

    def image(self, name):
        repository = name.split("@")[0]
        if ":" in repository.rsplit("/", 1)[-1]:
            repository = repository.rsplit(":", 1)[0]
        if repository not in self.kubelet.images:
            raise Unstartable("ErrImagePull", f"there is no image {name}")
        return self.kubelet.images[repository]

    def surroundings(self, mounts, image):
        """What every container has, whatever its pod says."""
        server = re.fullmatch(r"https://([^:]+):(\d+)", self.api.server)
        found = {
            "PATH": image.path,
            "HOSTNAME": self.name,
            "KUBERNETES_SERVICE_HOST": server[1],
            "KUBERNETES_SERVICE_PORT": server[2],
        }
        if SERVICE_ACCOUNT in mounts:
            found["KUBECONFIG"] = str(self.kubeconfig(mounts[SERVICE_ACCOUNT]))
        hosts = pathlib.Path(f"{self.root}.hosts")
        hosts.write_text(json.dumps(self.kubelet.hosts(self.namespace)))
        found["STAND_IN_HOSTS"] = str(hosts)
        return found

    def kubeconfig(self, files):
        """As a client in a cluster is configured by these files."""
        cluster = {"server": self.api.server, "certificate-authority": f"{files}/ca.crt"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pod",
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
            "clusters": [{"name": "pod", "cluster": cluster}],
            "users": [{"name": "pod", "user": {"tokenFile": f"{files}/token"}}],
        }
        path = pathlib.Path(f"{self.root}.kubeconfig")
        path.write_text(json.dumps(config))
        return path

    def translated(self, text, mounts):
        text = text.replace("0.0.0.0", loopback(self.address))
        for path, files in sorted(mounts.items(), key=lambda mount: -len(mount[0])):
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?=/|$)", str(files), text)
        return text

    def environment(self, object, container):
        found = {}
        for source in container.get("envFrom", []):
            for kind, what in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
                if kind in source:
                    data = self.data(what, source[kind]["name"], source[kind].get("optional"))
                    prefix = source.get("prefix", "")
                    found |= {prefix + key: value.decode() for key, value in data.items()}
        for variable in container.get("env", []):
            value = self.value(object, variable) if "valueFrom" in variable else variable.get("value", "")
            if value is not None:
                found[variable["name"]] = expanded(value, found)
        return found

    def value(self, object, variable):
        (kind, source), = variable["valueFrom"].items()
        if kind == "fieldRef":
            return self.field(object, source["fieldPath"])
        what = {"secretKeyRef": "secrets", "configMapKeyRef": "configmaps"}[kind]
        data = self.data(what, source["name"], source.get("optional"))
        if source["key"] in data:
            return data[source["key"]].decode()
        if source.get("optional"):
            return None
        raise Unstartable("CreateContainerConfigError", f"{what} {source['name']} has no {source['key']}")

    def field(self, object, path):
        known = {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "metadata.uid": self.uid,
            "status.podIP": self.address,
            "spec.nodeName": NODE,
            "spec.serviceAccountName": object["spec"].get("serviceAccountName", "default"),
        }
        return known[path]

    def data(self, what, name, optional=False):
        """What a Secret or a ConfigMap holds, as bytes."""
        found = self.api.find(f"/api/v1/namespaces/{self.namespace}/{what}/{name}")
        if found is None and not optional:
            raise Unstartable("CreateContainerConfigError", f"there is no {what} {name} in {self.namespace}")
        data = (found or {}).get("data") or {}
        return {key: base64.b64decode(value) if what == "secrets" else value.encode() for key, value in data.items()}

    def mount(self, object, container):
        """Writes the files of the volumes, and says where those of each mount are."""
        volumes = {volume["name"]: volume for volume in object["spec"].get("volumes", [])}
        mounts = {}
        for mount in container.get("volumeMounts", []):
            where = self.root / "volumes" / mount["name"]
            if not where.exists():
                where.mkdir(parents=True)
                self.fill(object, volumes[mount["name"]], where)
            mounts[mount["mountPath"].rstrip("/")] = where / mount["subPath"] if "subPath" in mount else where
        return mounts

    def fill(self, object, volume, where):
        if "emptyDir" in volume:
            return
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            for path, content in self.files(object, source):
                (where / path).parent.mkdir(parents=True, exist_ok=True)
                (where / path).write_bytes(content)

    def files(self, object, source):
        for kind, what, key in (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name")):
            if kind in source:
                wanted = source[kind]
                data = self.data(what, wanted.get(key) or wanted["name"], wanted.get("optional"))
                items = wanted.get("items") or [{"key": name, "path": name} for name in data]
                return [(item["path"], data[item["key"]]) for item in items]
        if "downwardAPI" in source:
            items = source["downwardAPI"]["items"]
            return [(item["path"], self.field(object, item["fieldRef"]["fieldPath"]).encode()) for item in items]
        if "serviceAccountToken" in source:
            return [(source["serviceAccountToken"]["path"], self.token(object, source["serviceAccountToken"]).encode())]
        raise NotImplementedError(f"volumes of {', '.join(source)} are not imitated")

    def token(self, object, wanted):
        account = object["spec"].get("serviceAccountName", "default")
        spec = {
            "audiences": [wanted["audience"]] if wanted.get("audience") else None,
            "expirationSeconds": wanted.get("expirationSeconds", 3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid},
        }
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.api.post(path, body)["status"]["token"]

    def probe(self, container):
        if time.monotonic() < self.asked + 0.3:
            return
        self.asked = time.monotonic()
        readiness, liveness = container.get("readinessProbe"), container.get("livenessProbe")
        self.ready = not readiness or self.answers(container, readiness)
        self.unhealthy = 0 if not liveness or self.answers(container, liveness) else self.unhealthy + 1
        # A second is given to a program that starts, for which a kubelet has periods.
        if liveness and self.unhealthy > max(liveness["failureThreshold"], 10):
            self.process.kill()
            self.process.wait()

    def answers(self, container, probe):
        get = probe["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", []) if "name" in port}
        port = get["port"] if isinstance(get["port"], int) else ports[get["port"]]
        try:
            urllib.request.urlopen(f"http://{loopback(self.address)}:{port}{get['path']}", timeout=1).close()
            return True
        except OSError:
            return False

    def write(self, spec):
        """Writes status where it is another one than before."""
        container, finished = spec["containers"][0], self.finished(spec)
        if finished:
            terminated = {"exitCode": self.ended, "startedAt": self.started, "finishedAt": now()}
            state, phase = {"terminated": terminated}, "Succeeded" if self.ended == 0 else "Failed"
        elif self.process:
            state, phase = {"running": {"startedAt": self.started}}, "Running"
        else:
            reason, words = self.waiting or ("ContainerCreating", "")
            state, phase = {"waiting": {"reason": reason, "message": words}}, "Running" if self.restarts else "Pending"
        ready = bool(self.process) and self.ready
        key = (phase, ready, self.restarts, self.waiting, self.started)
        if key == self.written:
            return
        conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        at = now()
        status = {
            "phase": phase,
            "hostIP": "10.77.255.254",
            "hostIPs": [{"ip": "10.77.255.254"}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self.started or at,
            "conditions": [
                {"type": type, "status": str(is_so), "lastTransitionTime": at} for type, is_so in conditions.items()
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": container["image"],
                    "ready": ready,
                    "started": bool(self.process),
                    "restartCount": self.restarts,
                    "state": state,
                }
            ],
        }
        self.api.merge(f"{self.path}/status", {"status": status})
        self.written = key

    def end(self, grace):
        if self.process and self.process.poll() is None:
            if self.told is None:
                self.told = time.monotonic()
                self.process.terminate()
            elif time.monotonic() > self.told + grace:
                self.process.kill()
            return
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        self.api.delete(self.path, options | {"preconditions": {"uid": self.uid}})

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


_LIBC = ctypes.CDLL(None)


def end_with_parent():
    """For a process that begins: it is killed when the one that started it ends, however that ends."""
    set_parent_death_signal = 1
    _LIBC.prctl(set_parent_death_signal, signal.SIGKILL)


def loopback(address):
    """Where on this machine the address of a pod is."""
    return address.replace("10.", "127.", 1)


def expanded(text, environment):
    """`$(NAME)` is the variable, if there is one, and `$$` a dollar."""
    replace = lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0])
    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", replace, text)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
