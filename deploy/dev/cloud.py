"""Talks to the simulated cloud: `do FILE` carries out deeds, `expect WHAT ID NUMBER` checks, `log` prints the calls."""

import json
import sys
import urllib.request

base, verb, *rest = sys.argv[1:]


def get(path):
    with urllib.request.urlopen(base + path, timeout=10) as answer:
        return answer.read().decode()


if verb == "do":
    with open(rest[0], "rb") as deeds:
        request = urllib.request.Request(base + "/_sim/do", deeds.read(), {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()
elif verb == "expect":
    what, name, number = rest
    cloud = json.loads(get("/_sim/groups"))
    if what == "serving":
        found = cloud["groups"][name]["serving"]
    elif what == "weight":
        found = sum(weight for _, _, _, weight, _ in cloud["groups"][name]["members"])
    else:
        found = len(cloud["scalingGroups"][name]["attachments"])
    if found != int(number):
        sys.exit(f"the cloud holds {found} {what} in {name}, not {number}")
elif verb == "log":
    lines = [line for line in get("/_sim/audit?text").splitlines() if "Describe" not in line and "List" not in line]
    print("\n".join(lines))
else:
    sys.exit(f"{verb}: no such verb")
