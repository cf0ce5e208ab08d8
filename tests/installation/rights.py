#!/usr/bin/env python3
"""Holds what the operator of the tests asked of API servers against the rights that are shipped.

    rights.py DIRECTORY     what the tests left there, see CONTROL_PLANE_AUDIT in tests/control-plane

Fails if a right was never used, or if the operator was refused anything that no test means to be refused.
"""

import collections
import json
import pathlib
import re
import sys

from cluster import ROOT, documents

SHIPPED = ["deploy/rbac/clusterrole.yaml", "deploy/rbac/role.yaml"]
SHIPPED += ["deploy/rbac/namespaced/clusterrole.yaml", "deploy/rbac/namespaced/role.yaml"]
# The tests in which an operator lacks rights, by how their namespaces begin: those that take rights away, and one
# that begins without the right to read a Secret.
WITHOUT_RIGHTS = re.compile(r"(doomed|keys-secret)-[a-z0-9]+$")


def rights(path):
    """What a file gives, as group, resource, name and verb. Each is in one role for all namespaces, and in one for some."""
    for role in documents((ROOT / path).read_text()):
        for rule in role.get("rules", []):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", [None]):
                        for verb in rule["verbs"]:
                            yield group, resource, name, verb


def asked(directory):
    """What service accounts that are called operator asked for."""
    for file in sorted(pathlib.Path(directory).glob("*.jsonl")):
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event["user"]["username"].endswith(":operator") and "objectRef" in event:
                yield event


def main(directory):
    shipped = {right for path in SHIPPED for right in rights(path)}
    used, denied, count = set(), collections.Counter(), 0
    for event in asked(directory):
        count += 1
        what = event["objectRef"]
        resource = "/".join(filter(None, [what["resource"], what.get("subresource")]))
        right = what.get("apiGroup", ""), resource, event["verb"]
        allowed = event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow"
        namespace = what.get("namespace", "")
        if allowed:
            used |= {(*right[:2], name, right[2]) for name in (what.get("name"), None)}
        elif not WITHOUT_RIGHTS.match(namespace):
            denied[(*right, namespace)] += 1
    unused = sorted(shipped - used, key=str)
    print(f"{count} requests of operators; of {len(shipped)} rights {len(shipped) - len(unused)} were used")
    for group, resource, name, verb in unused:
        print(f"never used: {verb} {resource} {group} {name or ''}")
    for (group, resource, verb, namespace), times in sorted(denied.items(), key=str):
        print(f"refused {times} times: {verb} {resource} {group} in {namespace}")
    return bool(unused or denied or not count)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
