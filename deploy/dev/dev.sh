#!/usr/bin/env bash
# The operator with a real control plane and a simulated cloud, on this machine's loopback interface.
#   dev.sh demo    start everything, show what the operator does, end everything
#   dev.sh up      start everything and leave it running
#   dev.sh down    end what `up` started
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

run=$PWD/.run/dev
bin=${CARGO_TARGET_DIR:-target}/debug
examples=deploy/examples
export KUBECONFIG=$run/control-plane/kubeconfig

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Starts a program in a session of its own, remembers its id, and keeps what it says.
start() { # NAME COMMAND…
  local name=$1
  shift
  setsid "$@" >"$run/$name.log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

alive() { kill -0 "$(cat "$run/$1.pid")" 2>/dev/null; }

# Waits until a line that fits is in a program's log, and prints it.
said() { # NAME PATTERN
  local line
  for _ in $(seq 600); do
    if line=$(grep --max-count=1 --only-matching --extended-regexp "$2" "$run/$1.log"); then
      echo "$line"
      return
    fi
    alive "$1" || break
    sleep 0.1
  done
  echo "$1 did not start; this is its log:" >&2
  cat "$run/$1.log" >&2
  return 1
}

end() {
  local file id
  for name in operator simulator control-plane; do
    file=$run/$name.pid
    [ -f "$file" ] || continue
    id=$(cat "$file")
    if kill -TERM "$id" 2>/dev/null; then
      for _ in $(seq 150); do
        kill -0 "$id" 2>/dev/null || break
        sleep 0.1
      done
      kill -KILL "$id" 2>/dev/null || true
    fi
    rm -f "$file"
  done
}

up() {
  if [ -f "$run/control-plane.pid" ] && alive control-plane; then
    echo "it runs already; 'make down' ends it" >&2
    exit 1
  fi
  rm -rf "$run"
  mkdir -p "$run"
  say "building"
  tests/control-plane/install.sh
  cargo build --locked --workspace --bins
  kubectl=$("$bin/control-plane" find kubectl)

  say "starting a real etcd and kube-apiserver"
  start control-plane "$bin/control-plane" up --dir "$run/control-plane"
  said control-plane '.*kubeconfig$' >/dev/null

  say "starting the simulated cloud"
  start simulator "$bin/server-group-sim" --listen 127.0.0.1:0
  cloud=$(said simulator 'http://[0-9.:]+')
  echo "$cloud" >"$run/cloud"
  python3 deploy/dev/cloud.py "$cloud" do deploy/dev/cloud.json

  say "installing the definitions, and the rights of the operator"
  "$kubectl" apply --server-side -f crds/
  "$kubectl" apply --server-side -f deploy/rbac/namespace.yaml
  "$kubectl" apply --server-side -f deploy/rbac/
  "$kubectl" wait --for=condition=Established --timeout=30s -f crds/

  say "starting the operator, with the rights of its service account"
  local token
  token=$("$kubectl" --namespace server-group-operator create token server-group-operator --duration 24h)
  cp "$KUBECONFIG" "$run/operator.kubeconfig"
  "$kubectl" --kubeconfig "$run/operator.kubeconfig" config set-credentials operator --token "$token" >/dev/null
  "$kubectl" --kubeconfig "$run/operator.kubeconfig" config set-context --current --user operator >/dev/null
  ALIBABA_CLOUD_ACCESS_KEY_ID=simulated-key ALIBABA_CLOUD_ACCESS_KEY_SECRET=simulated-secret \
    start operator "$bin/server-group-operator" run --kubeconfig "$run/operator.kubeconfig" \
    --operator-namespace server-group-operator --listen 127.0.0.1:0 --endpoint "*=$cloud"
  said operator 'leading' >/dev/null
  echo "it leads"
}

# One line an object: name, Ready, its reason, summary.
table() {
  "$kubectl" --namespace team-a get scalinggroupattachments,servergroupmemberships --no-headers --output custom-columns='NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,REASON:.status.conditions[?(@.type=="Ready")].reason,SUMMARY:.status.summary,GENERATION:.metadata.generation,OBSERVED:.status.conditions[?(@.type=="Ready")].observedGeneration'
}

# Shows every change of the table until all are Ready at their present generation.
until_ready() {
  local now before=
  for _ in $(seq 240); do
    now=$(table)
    if [ "$now" != "$before" ]; then
      echo "$now" | awk -v time="$(date +%T)" '{ ready=$2; reason=$3; $NF=""; $(NF-1)=""; name=$1; $1=$2=$3=""; printf "%s  %-10s Ready=%-7s %-14s %s\n", time, name, ready, reason, $0 }'
      echo
      before=$now
    fi
    if echo "$now" | awk '$2 != "True" || $NF != $(NF-1) { bad=1 } END { exit bad }'; then
      return
    fi
    sleep 0.5
  done
  echo "not all are Ready in time" >&2
  "$kubectl" --namespace team-a get sga,sgm --output yaml >&2
  return 1
}

apply() { "$kubectl" apply --server-side -f "$1"; }
expect() { python3 deploy/dev/cloud.py "$cloud" expect "$@"; }

demo() {
  trap end EXIT
  up
  say "a scaling group of five server groups, a CLB group of 45, a GWLB group of 5, an ALB group of 4, an NLB group of 3"
  apply $examples/account.yaml
  apply $examples/scaling-group/1-five.yaml
  apply $examples/clb/1-forty-five.yaml
  apply $examples/gwlb/1-five.yaml
  apply $examples/alb/1-four.yaml
  apply $examples/nlb/1-three.yaml
  until_ready
  expect attachments asg-shop 5
  expect serving rsp-web 45
  expect serving sgp-firewalls 5
  expect serving sgp-checkout 4
  expect serving sgp-resolvers 3

  say "one server group less, 25 CLB members less, 2 GWLB members less (they drain), an ALB weight of 10, and an NLB member that leaves by weight 0"
  apply $examples/scaling-group/2-one-less.yaml
  apply $examples/clb/2-twenty.yaml
  apply $examples/gwlb/2-three.yaml
  apply $examples/alb/2-canary.yaml
  apply $examples/nlb/2-two.yaml
  until_ready
  expect attachments asg-shop 4
  expect serving rsp-web 20
  expect serving sgp-firewalls 3
  expect weight sgp-checkout 310
  expect serving sgp-resolvers 2

  say "another server group less, by force: its instances leave, others go on serving"
  expect serving sgp-api 4
  apply $examples/scaling-group/3-another-by-force.yaml
  until_ready
  expect attachments asg-shop 3
  for _ in $(seq 40); do expect serving sgp-api 1 2>/dev/null && break; sleep 0.5; done
  expect serving sgp-api 1

  say "behind the operator's back: 7 CLB members deleted, one server group detached"
  python3 deploy/dev/cloud.py "$cloud" do deploy/dev/drift.json
  # What is left is not looked at here: the operator may be quicker.
  echo "nobody tells the operator; it compares every 30 seconds"
  for _ in $(seq 100); do
    if expect serving rsp-web 20 2>/dev/null && expect attachments asg-shop 3 2>/dev/null; then break; fi
    sleep 0.5
  done
  expect serving rsp-web 20
  expect attachments asg-shop 3
  echo "repaired"
  until_ready

  say "what changed the cloud, in order"
  python3 deploy/dev/cloud.py "$cloud" log
  say "what people see"
  "$kubectl" --namespace team-a get sga,sgm
  "$kubectl" --namespace team-a get events --sort-by=.metadata.creationTimestamp --output custom-columns='REASON:.reason,OBJECT:.involvedObject.name,NOTE:.message'
  say "ending what was started"
}

case ${1:-} in
demo) demo ;;
up)
  trap 'end' ERR
  up
  trap - ERR
  cat <<EOF

Running. To look around:
  export KUBECONFIG=$KUBECONFIG
  alias kubectl=$kubectl
  kubectl apply --server-side -f deploy/examples/account.yaml
  kubectl apply --server-side -f deploy/examples/clb/1-forty-five.yaml
  kubectl --namespace team-a get sgm,sga --watch
  python3 deploy/dev/cloud.py $cloud log     # what changed the cloud
  tail -f $run/operator.log
'make down' ends it.
EOF
  ;;
down) end ;;
*)
  echo "usage: dev.sh demo|up|down" >&2
  exit 2
  ;;
esac
