"""Asks an API server, as whom a kubeconfig says."""

import base64
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request

# How long a server may be busy, in seconds.
BUSY_MAX = 60


# For how long a server that is busy is asked again, in seconds.
PATIENCE = 30


class Refused(Exception):
    """The API server said no; `code` is its HTTP status."""

    def __init__(self, code, words):
        super().__init__(f"{code}: {words}")
        self.code = code


class Api:
    """One identity at one API server."""

    def __init__(self, server, authority, token):
        self.server, self.authority, self.token = server, authority, token
        self._tls = ssl.create_default_context(cadata=authority)

    @classmethod
    def of(cls, kubeconfig, kubectl):
        """The current context of a kubeconfig that holds a token and the authority itself."""
        view = [kubectl, "config", "view", "--raw", "--minify", "--output=json", f"--kubeconfig={kubeconfig}"]
        config = json.loads(subprocess.run(view, check=True, capture_output=True).stdout)
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], authority, config["users"][0]["user"]["token"])

    def ask(self, method, path, body=None, kind="application/json"):
        """Asks again while the server says that it is busy, as it does while definitions come and go."""
        end = time.monotonic() + BUSY_MAX
        while True:
            try:
                return self._ask(method, path, body, kind)
            except Refused as refused:
                if refused.code != 429 or time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def _ask(self, method, path, body, kind):
        request = urllib.request.Request(self.server + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", kind)
            request.data = json.dumps(body).encode()
        last = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=15, context=self._tls) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                words = error.read().decode(errors="replace")
                # As any client of it, for instance while it takes in new definitions.
                if error.code != 429 or time.monotonic() > last:
                    raise Refused(error.code, words) from None
                time.sleep(min(float(error.headers.get("Retry-After") or 1), 1))

    def get(self, path):
        return self.ask("GET", path)

    def find(self, path):
        """What is there, or None."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def post(self, path, body):
        return self.ask("POST", path, body)

    def merge(self, path, body):
        return self.ask("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path, body=None):
        return self.ask("DELETE", path, body)
