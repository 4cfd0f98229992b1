#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: five and eight nodes hold one tree while all of them write at once.
# Method: real corosync and pmxcfs in the lab. On every node, clients that note what was
# acknowledged and clients that compete for the same files;
# then bytes, modes, times and version are compared on all, each node's acknowledged changes are
# looked for on another one, and the record is judged.
# Timeout: 900
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
LOAD=$(build_dir)/tests/integration/ackload
need corosync python3 "$(build_dir)/pmxcfs/pmxcfs"
make -s -C "$(build_dir)" tests/integration/ackload >"$WORK/make.log" 2>&1
need "$LOAD"
SECONDS_OF_LOAD=${LONG:+60}
SECONDS_OF_LOAD=${SECONDS_OF_LOAD:-5}

load_on_all()
{
    local n pids=() status=0
    clients "$@"
    for n in "$@"; do
        lab exec "$n" -- sh -c "mkdir $TREE/load-$n && exec timeout 120 '$LOAD' run $TREE/load-$n \
            '$WORK/ack.$n' 2 $SECONDS_OF_LOAD" &
        pids+=($!)
    done
    for n in "${pids[@]}"; do
        wait "$n" || status=1
    done
    clients_end
    return "$status"
}

acknowledged_are_there()
{
    local n
    for n in "$@"; do
        # Looked at from the next node.
        lab exec $((n % $# + 1)) -- "$LOAD" check "$TREE/load-$n" "$WORK/ack.$n" || return 1
        [ "$(grep -c put "$WORK/ack.$n")" -gt 0 ] || { echo "node $n wrote nothing"; return 1; }
    done
}

claims_of()
{
    local nodes
    mapfile -t nodes < <(seq "$1")
    lab_up -n "$1"
    check "$1 nodes: the files are made" history_begin
    check "$1 nodes: all write at once" load_on_all "${nodes[@]}"
    check "$1 nodes: one tree, in one version" all_same "${nodes[@]}"
    check "$1 nodes: what was acknowledged is on the others" acknowledged_are_there "${nodes[@]}"
    check "$1 nodes: the record is one that could be" judged "${nodes[@]}"
    lab down
    LAB_IS_UP=
    rm -f "$WORK"/record.* "$WORK"/ack.*
}

claims_of 5
claims_of 8
finish
