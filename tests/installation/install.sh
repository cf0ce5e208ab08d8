#!/usr/bin/env bash
# Builds helm and kubeconform, which the tests of the installation run, and yaml2json, by which they compare manifests as data.
#
#   install.sh           build what is missing; what Go says goes to stderr
#   install.sh --print   print the directory that they are in, and do nothing else
#
# They come from the modules pinned in go/, into a cache which every checkout shares. Each program appears whole or not at
# all. To move to another version, edit its go.mod and run `go mod tidy` beside it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Every pin is in the name, so that a new pin is a new directory.
key=$(cat "$here"/go/*/go.{mod,sum} "$here"/go/helm/yaml2json/main.go | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/server-group-operator/installation/$key

build() { # PROGRAM MODULE PACKAGE [LINKER FLAGS]
  [[ ! -x $cache/$1 ]] || return 0
  command -v go >/dev/null || { echo "installation: $1 is missing, and Go, which builds it: install Go 1.26" >&2; exit 1; }
  echo "installation: building $1" >&2
  CGO_ENABLED=0 go build -C "$here/go/$2" -trimpath -mod=readonly -buildvcs=false -ldflags "-s -w ${4-}" \
    -o "$cache/.new/$1" "$3" >&2
  mv "$cache/.new/$1" "$cache/$1"
}

case ${1-} in
  --print) echo "$cache"; exit ;;
  '') ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

mkdir -p "$cache/.new"
exec 9>"$cache/.lock"
flock 9
# A program has to be told its version, or helm calls itself v4.3.
helm=$(sed -n 's|.*helm.sh/helm/v4 v||p' "$here/go/helm/go.mod")
build helm helm helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=v$helm"
build yaml2json helm ./yaml2json
build kubeconform kubeconform github.com/yannh/kubeconform/cmd/kubeconform
