#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Time from `pvecm add` to a writable /etc/pve on the new node, for clusters of several sizes that
# hold many files. One line for each: size, files, seconds until the tree can be written, seconds
# until `pvecm add` has ended; below it the seconds that each step of `pvecm add` took.
#
#   tests/bench/bench_join.sh [FILES [SIZE...]]      default: 5000 files, clusters of 1, 3 and 8
set -euo pipefail
TOP=$(cd "$(dirname "$0")/../.." && pwd)
FILES=${1:-5000}
shift || true
SIZES=${*:-1 3 8}
NAME=bench-join-$$
trap '"$TOP/scripts/lab" down --name "$NAME" >/dev/null 2>&1 || true' EXIT

on()
{
    local node=$1
    shift
    "$TOP/scripts/lab" exec --name "$NAME" "$node" -- sh -c "cd /; $*"
}

for size in $SIZES; do
    new=$((size + 1))
    began=$SECONDS
    "$TOP/scripts/lab" up --name "$NAME" -n "$new" >/dev/null
    on "$new" 'pvecm leave' >/dev/null
    up=$SECONDS
    # Eight at a time: one writer alone waits for the acknowledgements of all members each time.
    on 1 "mkdir /etc/pve/bench && seq 0 $((FILES - 1)) | xargs -P 8 -n $((FILES / 40 + 1)) sh -c '
        for i; do
            echo \"content of file \$i, as long as a small configuration file would be\" \
                >/etc/pve/bench/\$i
        done' fill"
    filled=$SECONDS
    token=$(on 1 'pvecm token')
    on "$new" "date +%s.%N
        { pvecm add $token 2>&1; echo ended; } | while read -r line; do
            echo \"\$(date +%s.%N) \$line\"; done >/tmp/add.log & add=\$!
        until test -e /etc/pve/bench/$((FILES - 1)) && touch /etc/pve/written 2>/dev/null; do
            kill -0 \$add 2>/dev/null || test -e /etc/pve/bench/0 || exit 1
            sleep 0.05
        done
        date +%s.%N; wait \$add; cat /tmp/add.log; rm /tmp/add.log" |
        python3 -c "
import sys
start, writable, *log = sys.stdin.read().splitlines()
steps = [(float(line.split(' ', 1)[0]), line.split(' ', 1)[1]) for line in log]
print('size=$size files=$FILES writable_s=%.1f ended_s=%.1f'
      ' (before: lab $((up - began)) s, files $((filled - up)) s)'
      % (float(writable) - float(start), steps[-1][0] - float(start)))
for (began, text), (ended, _) in zip(steps, steps[1:]):
    print('    %.1f  %s' % (ended - began, text))"
    "$TOP/scripts/lab" down --name "$NAME" >/dev/null
done
