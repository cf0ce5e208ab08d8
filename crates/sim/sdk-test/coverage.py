"""Which actions the simulator has, and which of them were driven. Nothing here is a list that could be forgotten."""

import pathlib
import re

from sdks import GENERATIONS, READS

SOURCES = [pathlib.Path(__file__).parent.parent / "src" / name for name in ("action.rs", "surroundings.rs")]


def of_source(texts):
    """The actions of each service and version, from the tables that tell them: two in action.rs, one in surroundings.rs."""
    text = texts[0]

    def table(function, start):
        body = text[text.index(f"fn {function}(") :]
        body = body[body.index(start) + len(start) :]
        return body[: re.search(r"^\s*\}[);]*$", body, re.MULTILINE).start()]

    words = r'"[^"]+"(?:\s*\|\s*"[^"]+")*'
    versions = re.findall(rf'({words})\s*=>\s*"(\w+)"', table("of_version", "match version {"))
    versions = {service: re.findall(r'"([^"]+)"', listed) for listed, service in versions}
    products = re.findall(r'"(\w+)" => Some\(Product', table("act", "let product = match service {"))

    arms = []
    for text in texts:
        actions = text[text.index("match (service, action, product) {") :]
        actions = actions[: actions.index("\n    }\n")]
        # As rustfmt indents them; the last arm is that of actions that there are not.
        arms += re.findall(r"^        (\(.*?)\s*=>", actions, re.MULTILINE | re.DOTALL)
        others = re.findall(r"^        (_ =>|[^\s()_}].*)", actions, re.MULTILINE)
        assert others == ["_ =>"], f"there are arms of a new kind: {others}"
    found = set()
    for arm in arms:
        parts = re.fullmatch(rf"\(\s*(_|{words}),\s*({words}),\s*(?:_|Some\(product\)),?\s*\)", arm)
        assert parts, f"there is an arm of a new kind: {arm}"
        services = products if parts[1] == "_" else re.findall(r'"([^"]+)"', parts[1])
        for service in services:
            for version in versions[service]:
                found |= {(service, version, action) for action in re.findall(r'"([^"]+)"', parts[2])}
    assert found, "action.rs has no actions"
    return found


def of_packages(generation):
    """What the packages of a generation have."""
    return {
        (service, generation.version(service), action)
        for service in generation.packages
        for action in generation.actions(service)
    }


def of_simulator(asking, source):
    """What the simulator has, of all that the vendor's packages know: it is asked for each by name."""
    names = source.union(*map(of_packages, GENERATIONS))
    return {(service, version, action) for service, version, action in names if asking.has(version, action)}


def driven(sdk, log):
    """What one generation drove: carried out and, unless it only reads, seen to have changed something."""
    carried_out = {(entry["service"], entry["action"]) for entry in log if entry["acted"] and not entry["code"]}
    changing = {(entry["service"], entry["action"]) for entry in log if entry["changes"]}
    read = {(service, action) for service, action in carried_out - changing if READS.match(action)}
    good = read | (carried_out & sdk.effective)
    return {(service, sdk.version(service), action) for service, action in good if service in sdk.packages}
