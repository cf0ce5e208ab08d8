"""A simulator of one's own: started, reached into behind the SDKs' back, ended."""

import contextlib
import json
import re
import selectors
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request

ACCOUNT = "1000000000000001"
KEY = ("simulated-key", "simulated-secret")


class Simulator:
    """Its time stands still and passes only when it is told to, so that every state can be looked at."""

    def __init__(self, program):
        # Strict: it has every parameter that the SDKs know.
        arguments = ["--listen", "127.0.0.1:0", "--speed", "0", "--strict", "--until-stdin-ends"]
        # It ends with its standard input too: also if this program is killed.
        self.process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            self.url = self.told_address()
        except BaseException:
            self.end()
            raise
        self.host = self.url.removeprefix("http://")

    def told_address(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stderr, selectors.EVENT_READ)
            if not selector.select(timeout=20):
                raise RuntimeError("the simulator has not said its address after 20 s")
        line = self.process.stderr.readline()
        # What else it says, such as that it panicked, is for people.
        threading.Thread(target=shutil.copyfileobj, args=(self.process.stderr, sys.stderr), daemon=True).start()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if not found:
            raise RuntimeError(f"the simulator did not start: {line.strip()}")
        return found[0]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()

    def ask(self, path, body=None):
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from None

    def do(self, *deeds):
        self.ask("/_sim/do", json.dumps(deeds).encode())

    def log(self, since=0):
        return json.loads(self.ask(f"/_sim/audit?since={since}"))

    def state(self):
        return json.loads(self.ask("/_sim/groups"))

    def serving(self, group):
        return self.state()["groups"][group]["serving"]

    def attached(self, scaling_group):
        return self.state()["scalingGroups"][scaling_group]["attachments"]

    def settle(self):
        """Lets everything end that is under way: an activity, the joining that follows it, and what follows that."""
        for _ in range(3):
            self.do({"pass": {"seconds": 10}})

    @contextlib.contextmanager
    def trouble(self, deed, undo):
        """Trouble that the next check shall not have."""
        self.do(deed)
        try:
            yield
        finally:
            self.do(undo)

    def failing(self, what, times=1, **fits):
        return self.trouble({"fault": {**fits, "times": times, "what": what}}, {"noFaults": {}})

    def servers(self, **kinds):
        return self.trouble({"servers": kinds}, {"servers": {kind: [] for kind in kinds}})
