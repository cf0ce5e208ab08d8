#!/usr/bin/env python3
"""Shows that the oracles of the simulation bite: leaves a rule out of a copy of the operator, and looks who notices.

The sabotages are in sabotages.toml. All of them are put into one copy of the tree, which is built once; which of them is on
is what the variable SABOTAGE says. Nothing of it is in the tree itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "sabotage"
TREE = TARGET / "tree"
BINARY = TARGET / "target" / "simulation" / "simulation"

# The crate that every other one can call, and what is added to it.
SWITCH_FILE = "crates/core/src/lib.rs"
SWITCH = """
extern crate self as server_group_core;

/// Whether this sabotage is switched on.
pub fn sabotaged(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let on = ON.get_or_init(|| std::env::var("SABOTAGE").ok());
    on.as_deref() == Some(name)
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these sabotages; none = all")
    parser.add_argument("--check", action="store_true", help="only see that each still finds its place; builds nothing")
    parser.add_argument("--clean", type=int, default=200, help="schedules without sabotage, which must break no rule")
    parser.add_argument("--jobs", default=str(os.cpu_count() or 1), help="threads that play")
    flags = parser.parse_args()
    sabotages = tomllib.loads((HERE / "sabotages.toml").read_text())["sabotage"]
    complain_about(sabotages)
    replaced = put_in(sabotages)
    print(f"{len(sabotages)} sabotages find their places")
    if flags.check:
        return
    unknown = set(flags.names) - {sabotage["name"] for sabotage in sabotages}
    if unknown:
        sys.exit(f"there is no such sabotage: {', '.join(sorted(unknown))}")
    copy_tree(replaced)
    build()
    play_without(flags)
    chosen = [one for one in sabotages if not flags.names or one["name"] in flags.names]
    print("| sabotage | rule | left out | found after | other rules broken on the way |")
    print("|---|---|---|---|---|", flush=True)
    found = [play_with(sabotage, flags) for sabotage in chosen]
    if not all(found):
        sys.exit(f"{found.count(False)} of {len(found)} were not found in time")


def complain_about(sabotages):
    """What is wrong with the file of sabotages itself."""
    seen = set()
    for sabotage in sabotages:
        name = sabotage["name"]
        if set(sabotage) != {"name", "rule", "why", "within", "edit"} or name in seen:
            sys.exit(f"{name}: a sabotage has a name of its own, rule, why, within and at least one edit")
        seen.add(name)
        for edit in sabotage["edit"]:
            if set(edit) != {"file", "code", "broken"} or "{on}" not in edit["broken"]:
                sys.exit(f"{name}: an edit has file, code and broken, and the last says {{on}}")


def put_in(sabotages):
    """The files that are sabotaged, as they are in the copy."""
    edits = {}
    for sabotage in sabotages:
        for edit in sabotage["edit"]:
            edits.setdefault(edit["file"], []).append((sabotage["name"], edit))
    return {file: edited(file, here) for file, here in edits.items()}


def edited(file, edits):
    text = (ROOT / file).read_text()
    places = []
    for name, edit in edits:
        code = edit["code"]
        if text.count(code) != 1:
            sys.exit(f"{name}: its code stands {text.count(code)} times in {file}, and has to stand there once:\n{code}")
        on = f'server_group_core::sabotaged("{name}")'
        places.append((text.index(code), len(code), edit["broken"].replace("{on}", on), name))
    places.sort()
    for (begin, length, _, one), (after, _, _, other) in zip(places, places[1:]):
        if begin + length > after:
            sys.exit(f"{one} and {other} replace the same code in {file}")
    for begin, length, broken, _ in reversed(places):
        text = text[:begin] + broken + text[begin + length :]
    return text


def copy_tree(replaced):
    """Writes only what differs, so that little is built anew."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    files = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in files:
        content = replaced[name].encode() if name in replaced else (ROOT / name).read_bytes()
        if name == SWITCH_FILE:
            content += SWITCH.encode()
        copy = TREE / name
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for copy in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(copy.relative_to(TREE)) not in files:
            copy.unlink()


def build():
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET / "target")}
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "simulation", "--package", "simulation"]
    built = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"the sabotaged tree cannot be built:\n{built.stderr}")


def play(sabotage, *arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("SEED", "PLAN", "WORKLOADS")}
    command = [BINARY, *arguments]
    return subprocess.run(command, env=environment | {"SABOTAGE": sabotage}, capture_output=True, text=True)


def play_without(flags):
    played = play("", "--schedules", str(flags.clean), "--jobs", flags.jobs)
    if played.returncode:
        sys.exit(f"rules are broken without any sabotage:\n{played.stdout}{played.stderr}")
    print(f"{flags.clean} schedules without sabotage break no rule\n")


def play_with(sabotage, flags):
    rule, within = sabotage["rule"], sabotage["within"]
    played = play(sabotage["name"], "--until", rule, "--schedules", str(within), "--jobs", flags.jobs)
    try:
        told = json.loads(played.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        sys.exit(f"{sabotage['name']} could not be played:\n{played.stdout}{played.stderr}")
    after = f"{told['played']} schedules" if told["found"] else f"**not in {within}**"
    others = ", ".join(f"{other} {times}×" for other, times in told["others"].items()) or "none"
    print(f"| `{sabotage['name']}` | {rule} | {sabotage['why']} | {after} | {others} |", flush=True)
    return told["found"]


if __name__ == "__main__":
    main()
