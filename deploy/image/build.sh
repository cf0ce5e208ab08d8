#!/usr/bin/env bash
# Builds the operator without anything that it would need from a system, and writes its image and its list of parts.
#
#   build.sh [FOLDER]   by default target/image
#
# Two builds of one commit by one compiler are the same, byte by byte, wherever the checkout and its folders are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${1:-${CARGO_TARGET_DIR:-target}/image}
target=$(rustc --version --verbose | sed -n 's/^host: //p')
# The time of the commit, for whoever asks when it was made; nothing else may tell one build from another.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
cargo=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)

# With its target named, cargo builds procedure macros without these flags: they cannot be static.
maps="--remap-path-prefix=$PWD=/source --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$sysroot=/rust"
RUSTFLAGS="-C target-feature=+crt-static $maps" CFLAGS="-ffile-prefix-map=$cargo=/cargo" \
  cargo build --release --locked --package server-group-operator --target "$target"

rm -rf "$folder"
mkdir -p "$folder"
python3 -B deploy/image/sbom.py --target "$target" >"$folder/sbom.cdx.json"
python3 -B deploy/image/image.py "${CARGO_TARGET_DIR:-target}/$target/release/server-group-operator" "$folder/oci" \
  --revision "$(git rev-parse HEAD)"
