"""Drives every action of the simulator with the vendor's own SDKs, unmodified and of both generations.

    drive.py SIMULATOR

Each generation goes through the life of members and attachments of every product, and through what is refused. What
comes of it is looked at twice: through the SDK, and behind its back in the simulator. In the end the simulator is asked
which actions it has: each must have been driven by each generation that knows it, and by at least one.
"""

import os
import sys
import traceback

import around
import classic
import coverage
import identities
import members
import scaling
from sdks import GENERATIONS, Older
from simulator import Simulator


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def run(self, name, check, *arguments):
        try:
            result = check(*arguments)
        except Exception:
            self.failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
            return None
        self.passed += 1
        return result

    def that(self, name, holds):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}", flush=True)


def plan(sdk):
    """The checks of one generation: those of the services that it has packages for."""
    for product in ("alb", "nlb", "gwlb"):
        if product in sdk.packages:
            # GWLB has no jobs.
            fitting = members.CHECKS if product == "gwlb" else members.CHECKS + members.JOB_CHECKS
            yield from ((product, check, (product,)) for check in fitting + around.GROUP_CHECKS)
    if "nlb" in sdk.packages:
        yield from (("nlb", check, ()) for check in around.NLB_CHECKS)
    if "slb" in sdk.packages:
        yield from (("slb", check, ()) for check in classic.CHECKS + around.CLB_CHECKS)
    for kind in scaling.KINDS:
        if kind.attach in sdk.actions("ess"):
            yield from ((kind.attach, check, (kind,)) for check in scaling.KIND_CHECKS)
    yield from (("ess", check, ()) for check in scaling.CHECKS)
    if "sts" in sdk.packages:
        yield from (("sts", check, ()) for check in identities.CHECKS)
    # These repeat what the others drove.
    for service in sdk.packages:
        yield from ((service, check, (service,)) for check in identities.SERVICE_CHECKS)


def drive(checks, simulator, generation):
    """What this generation drove."""
    sdk = generation(simulator)
    before = len(simulator.log())
    for subject, check, arguments in plan(sdk):
        checks.run(f"{sdk.name} SDKs: {subject}: {check.__name__.replace('_', ' ')}", check, sdk, *arguments)
    log = [entry for entry in simulator.log(before) if entry["service"] != "time"]
    return coverage.driven(sdk, log)


def main():
    # Nothing here is meant for any other machine, nor for a proxy.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    checks = Checks()
    simulator = checks.run("the simulator starts", Simulator, sys.argv[1])
    try:
        if simulator:
            everything(checks, simulator)
    finally:
        if simulator:
            simulator.end()
        print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    sys.exit(checks.failed > 0)


def everything(checks, simulator):
    sources = [source.read_text() for source in coverage.SOURCES]
    wanted = checks.run("the tables of actions are understood", coverage.of_source, sources) or set()
    driven = {}
    for generation in GENERATIONS:
        driven[generation] = checks.run(f"{generation.name} SDKs: run", drive, checks, simulator, generation) or set()
    had = checks.run("the simulator tells its actions", coverage.of_simulator, Older(simulator), wanted) or set()
    for action in sorted(had ^ wanted):
        where = "the simulator" if action in had else "the source"
        checks.that(f"{' '.join(action)}: only {where} has it", False)
    wanted |= had
    for generation in GENERATIONS:
        known = coverage.of_packages(generation) & wanted
        print(f"{generation.name} SDKs: {len(known & driven[generation])} of {len(known)} actions driven")
        for action in sorted(known):
            checks.that(f"{generation.name} SDKs: {' '.join(action)} was never driven", action in driven[generation])
    for action in sorted(wanted):
        checks.that(f"{' '.join(action)} was driven by no SDK", any(action in had for had in driven.values()))


if __name__ == "__main__":
    main()
