#!/usr/bin/env bash
# Puts promtool where the tests look: Debian's, which apt verifies, unpacked into the cache that every checkout shares.
#
#   install.sh           install it unless it is there; progress goes to stderr
#   install.sh --print   print the path of the promtool that is used, and do nothing else
#
# A promtool that PROMTOOL names, or that is found in PATH, is used instead. Nothing is installed into the system, and no
# service is started.
set -euo pipefail

tools=${XDG_CACHE_HOME:-$HOME/.cache}/server-group-operator/tools
unpacked=$tools/prometheus-debian

main() {
  case ${1-} in
    --print) promtool ;;
    '') [[ -x $(promtool) ]] || install ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
}

promtool() {
  if [[ -n ${PROMTOOL-} ]]; then
    echo "$PROMTOOL"
  else
    type -P promtool || echo "$unpacked/usr/bin/promtool"
  fi
}

install() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "promtool is missing, and this is no Debian: install Prometheus, or name a promtool with PROMTOOL"
  mkdir -p "$tools"
  if command -v flock >/dev/null; then
    exec 9>"$tools/prometheus.lock"
    flock 9
    # Somebody else may have finished while we waited.
    [[ ! -x $unpacked/usr/bin/promtool ]] || return 0
  fi
  work=$(mktemp -d "$tools/.new.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  say "downloading Debian's prometheus"
  if ! download; then
    say "reading the lists of packages first"
    apt-get update >&2 || fail "the lists of Debian's packages cannot be read; run apt-get update, and this again"
    download || fail "Debian's prometheus cannot be had: install Prometheus, or name a promtool with PROMTOOL"
  fi
  dpkg-deb --extract "$work"/prometheus_*.deb "$work/unpacked"
  rm -rf "$unpacked"
  # Whole or not at all.
  mv "$work/unpacked" "$unpacked"
  say "ready: $("$unpacked/usr/bin/promtool" --version 2>&1 | head -1)"
}

download() {
  (cd "$work" && apt-get download prometheus >&2)
}

say() { echo "monitoring: $*" >&2; }
fail() { say "$*"; exit 1; }

main "$@"
