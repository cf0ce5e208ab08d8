#!/usr/bin/env bash
# Drives the simulator with the vendor's own SDKs. They are installed once, at pinned versions and hashes, into the
# project's cache, for all checkouts; later runs need no network.
#
#   run.sh                  builds the simulator first
#   SIMULATOR=PATH run.sh   takes one that is built
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/server-group-operator/tools
python=${PYTHON:-python3}
# Another version of a list or of Python is another installation.
key=$( (cat requirements.txt requirements-build.txt; "$python" --version) | sha256sum | cut -c1-16)
venv=$cache/sdk-$key

install() {
  echo "installing the SDKs into $venv"
  # An attempt that was cut off leaves no mark, and is begun anew.
  rm -rf "$venv"
  "$python" -m venv "$venv"
  local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes)
  # Several SDKs are published as source. Left alone, pip would build them with whatever setuptools is newest.
  "${pip[@]}" --requirement requirements-build.txt
  "${pip[@]}" --no-build-isolation --requirement requirements.txt
  touch "$venv/.complete"
}

mkdir -p "$cache"
(
  flock 9
  [[ -e $venv/.complete ]] || install
) 9>"$cache/sdk.lock"

simulator=${SIMULATOR:-}
if [[ -z $simulator ]]; then
  simulator=$(cargo build --quiet --locked --package server-group-sim --bin server-group-sim \
    --message-format json | sed -n 's/.*"executable":"\([^"]*server-group-sim\)".*/\1/p')
fi

# -B: no compiled files among the sources.
exec "$venv/bin/python" -B drive.py "$simulator"
