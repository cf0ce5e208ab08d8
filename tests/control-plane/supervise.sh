#!/usr/bin/env bash
# Keeps programs running for as long as somebody holds the other end of stdin.
#
#   supervise.sh keep|remove DIR
#
# Each line on stdin starts a program: its path and arguments, separated by the byte 0x1f. When
# stdin ends, because its owner closed it or died of anything, the programs are killed by their ids
# and DIR is kept or removed. A program's output is in DIR/NAME.log, and once it has ended by itself
# there is a file DIR/NAME.ended. Nothing is saved on the way out: the data is nobody's.
set -u
fate=$1 dir=$2
declare -A pids=()

start() {
  local name
  name=$(basename "$1")
  "$@" </dev/null >"$dir/$name.log" 2>&1 &
  pids[$name]=$!
}

while true; do
  if IFS=$'\x1f' read -r -t 0.25 -a command; then
    start "${command[@]}"
  elif (($? <= 128)); then
    break # The end of stdin; above 128 it was the timeout.
  fi
  for name in "${!pids[@]}"; do
    kill -0 "${pids[$name]}" 2>/dev/null || : >"$dir/$name.ended"
  done
done

for name in "${!pids[@]}"; do
  [[ -e $dir/$name.ended ]] || kill -KILL "${pids[$name]}" 2>/dev/null
done
wait
[[ $fate == keep ]] || rm -rf "$dir"
