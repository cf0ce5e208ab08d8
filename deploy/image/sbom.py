"""Prints the parts of the operator's program as CycloneDX 1.5: each crate with licence, checksum and what it needs.

    sbom.py --target TRIPLE

Nothing in it depends on when or where it is written.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
NAME = "server-group-operator"


# A line of the tree: how deep, the package, and its licence; a package whose own needs are listed above has a star.
LINE = re.compile(r"(\d+)(\S+) v(\S+)[^|]*\|([^|]*)\|(?: \(\*\))?")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True)
    # Not `cargo metadata`: it turns on what only tests turn on, and lists what that brings.
    command = ["cargo", "tree", "--locked", f"--package={NAME}", f"--target={parser.parse_args().target}"]
    command += ["--edges=normal,build", "--prefix=depth", "--format={p}|{l}|"]
    tree = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(ROOT / "Cargo.lock", "rb") as file:
        lock = tomllib.load(file)
    json.dump(listed(tree, lock), sys.stdout, indent=1, sort_keys=True)
    print()


def listed(tree, lock):
    """The document for what `cargo tree` says, with the checksums of a lock file."""
    needs, licences, above = {}, {}, []
    for line in tree.splitlines():
        depth, name, version, licence = LINE.fullmatch(line).groups()
        package = (name, version)
        licences[package] = licence
        needs.setdefault(package, set())
        del above[int(depth) :]
        if above:
            needs[above[-1]].add(package)
        above.append(package)
    root, *others = sorted(needs, key=lambda package: (package[0] != NAME, package))
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    parts = [component(package, licences[package], checksums.get(package)) for package in (root, *others)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": parts[0] | {"type": "application"}},
        "components": parts[1:],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted(map(reference, needs[package]))} for package in (root, *others)
        ],
    }


def component(package, licence, checksum):
    name, version = package
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": name,
        "version": version,
        "purl": reference(package),
    }
    if licence:
        # SPDX has no slash, which old manifests write for OR.
        found["licenses"] = [{"expression": licence.replace(" / ", " OR ").replace("/", " OR ")}]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def reference(package):
    return f"pkg:cargo/{package[0]}@{package[1]}"


if __name__ == "__main__":
    main()
