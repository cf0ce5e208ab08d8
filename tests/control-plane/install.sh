#!/usr/bin/env bash
# Puts etcd, kube-apiserver, kube-controller-manager and kubectl where the tests and the demo look.
#
#   install.sh           install what is missing; progress goes to stderr
#   install.sh --print   print the directory it installs into, and do nothing else
#
# A program that KUBEBUILDER_ASSETS holds is left alone. The others go into a cache which every
# checkout shares: from the released archive where it can be reached, else built with Go from the
# modules pinned in go/. Each program appears whole or not at all, so a killed run costs time only.
#
# To move to another version, edit the go.mod files (Kubernetes replaces its staging modules one by
# one), run `go mod tidy` beside them, and pin the released archive of the same minor below.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The server has to be told its version, or it calls itself v0.0.0-master.
kubernetes=$(sed -n 's|^require k8s.io/kubernetes v||p' "$here/go/kubernetes/go.mod")

# The newest released archive of the same minor. It holds no kube-controller-manager.
# Checksums: envtest-releases.yaml of kubernetes-sigs/controller-tools.
archive_version=1.36.2
archive_url=https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-v$archive_version
archive_sha512() {
  case $1 in
    linux-amd64) echo ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dcf30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08 ;;
    linux-arm64) echo 2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae28181afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac ;;
    *) return 1 ;;
  esac
}

programs=(etcd kube-apiserver kubectl kube-controller-manager)

# Every pin is in the name, so that a new pin is a new directory.
key=$({ echo "$archive_version"; cat "$here"/go/*/go.{mod,sum}; } | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/server-group-operator/control-plane/v$kubernetes-$key

main() {
  case ${1-} in
    --print) echo "$cache" ;;
    '') install ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$here/install.sh" >&2; exit 2 ;;
  esac
}

install() {
  [[ -n $(missing) ]] || return 0
  mkdir -p "$cache"
  lock
  # Somebody else may have finished while we waited.
  [[ -n $(missing) ]] || return 0

  # Left by runs that were killed: whoever holds the lock is the only one at work.
  rm -rf "$cache"/.new.*
  work=$(mktemp -d "$cache/.new.XXXXXX")
  running=
  trap 'kill $running 2>/dev/null || :; rm -rf "$work"' EXIT

  if lacks etcd || lacks kube-apiserver || lacks kubectl; then
    download || say "building from source instead (about five minutes, once)"
  fi
  build_all
  [[ -z $(missing) ]] || fail "still missing: $(missing)"
  say "ready in $cache"
}

missing() {
  local program found=()
  for program in "${programs[@]}"; do
    if lacks "$program"; then found+=("$program"); fi
  done
  echo "${found[*]-}"
}

lacks() {
  [[ ! -x ${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/$1} && ! -x $cache/$1 ]]
}

# Holds the cache for one process at a time. The kernel lets go when the process ends, however it
# ends; children are started without the descriptor, or a build that outlives us would keep it.
# Without flock two runs do the work twice, and the renames keep the result whole.
lock() {
  command -v flock >/dev/null || return 0
  exec 9>"$cache/.lock"
  until flock --wait 15 9; do say "waiting for another installation into $cache"; done
}

# Any trouble here means the build, never a failure: an archive is a short cut.
download() {
  local platform file sum program
  platform=$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m | sed 's/^x86_64$/amd64/; s/^aarch64$/arm64/')
  file=envtest-v$archive_version-$platform.tar.gz
  sum=$(archive_sha512 "$platform") || { say "no released archive is pinned for $platform"; return 1; }
  command -v curl >/dev/null || { say "no curl here to download $file"; return 1; }

  run "downloading $file" \
    curl --fail --silent --show-error --location --connect-timeout 4 --speed-time 10 --speed-limit 10000 \
    --max-time 600 --output "$work/$file" "$archive_url/$file" || return 1
  echo "$sum  $work/$file" | sha512sum --check --status || { say "$file has the wrong checksum"; return 1; }
  tar -xzf "$work/$file" -C "$work" --strip-components=2 || { say "$file cannot be unpacked"; return 1; }
  for program in etcd kube-apiserver kubectl; do
    if lacks "$program"; then publish "$program"; fi
  done
}

build_all() {
  local program
  for program in "${programs[@]}"; do
    if lacks "$program"; then build "$program"; fi
  done
}

build() {
  local module=kubernetes package=k8s.io/kubernetes/cmd/$1 flags="-s -w" prefix
  command -v go >/dev/null || fail "$1 is missing: install Go, or point KUBEBUILDER_ASSETS at a directory that holds it"
  if [[ $1 == etcd ]]; then
    module=etcd package=.
  else
    for prefix in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags+=" -X $prefix.gitVersion=v$kubernetes -X $prefix.gitMajor=${kubernetes%%.*}"
      flags+=" -X $prefix.gitMinor=$(cut -d. -f2 <<<"$kubernetes") -X $prefix.gitTreeState=clean"
    done
  fi
  CGO_ENABLED=0 run "building $1" \
    go build -C "$here/go/$module" -trimpath -mod=readonly -buildvcs=false -ldflags "$flags" -o "$work/$1" "$package" ||
    fail "building $1 failed"
  publish "$1"
}

publish() {
  chmod 755 "$work/$1"
  mv "$work/$1" "$cache/$1"
}

# Runs a command that may take minutes, and says every 15 seconds that it still does.
run() {
  local what=$1 started=$SECONDS next=15 pid
  shift
  say "$what"
  "$@" 9>&- >&2 &
  pid=$! running=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - started >= next)); then
      say "$what: $((SECONDS - started)) s so far"
      next=$((next + 15))
    fi
  done
  running=
  wait "$pid" || { say "$what: failed after $((SECONDS - started)) s"; return 1; }
  say "$what: done in $((SECONDS - started)) s"
}

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

main "$@"
