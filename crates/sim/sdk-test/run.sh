#!/usr/bin/env bash
# Drives the simulator with the vendor's own SDKs. They are installed once, at pinned versions and hashes, into the
# project's cache, for all checkouts.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/server-group-operator
python=${PYTHON:-python3}
# Another version of the list or of Python is another installation.
key=$( (cat requirements.txt; "$python" --version) | sha256sum | cut -c1-16)
venv=$cache/tools/sdk-$key

install() {
  echo "installing the SDKs into $venv"
  # An attempt that was cut off leaves no mark, and is begun anew.
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
  touch "$venv/.complete"
}

mkdir -p "$cache/tools"
(
  flock 9
  [[ -e $venv/.complete ]] || install
) 9>"$cache/tools/sdk.lock"

simulator=${SIMULATOR:-}
if [[ -z $simulator ]]; then
  simulator=$(cargo build --quiet --locked --package server-group-sim --bin server-group-sim \
    --message-format json | sed -n 's/.*"executable":"\([^"]*server-group-sim\)".*/\1/p')
fi

# It ends with its standard input, so with this script, however that ends.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
exec 8> >(exec "$simulator" --listen 127.0.0.1:0 --speed 100 --until-stdin-ends 2>"$log")
for _ in {1..100}; do
  url=$(grep -oE 'http://[0-9.:]+' "$log" || true)
  [[ -z $url ]] || break
  sleep 0.1
done
[[ -n $url ]] || { cat "$log" >&2; exit 1; }
"$venv/bin/python" drive.py "$url"
