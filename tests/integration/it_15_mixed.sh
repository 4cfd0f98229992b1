#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: nodes of ours and of another make hold one tree together.
# Method: the lab runs the program named by QUORATE_FOREIGN_PMXCFS on node 1 of three, then on
# nodes 1 and 2; the same load and the same comparison as among our own. Skipped without one.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
need corosync python3 "$(build_dir)/pmxcfs/pmxcfs"
FOREIGN=${QUORATE_FOREIGN_PMXCFS-}
if [ -z "$FOREIGN" ]; then
    echo '1..0 # SKIP QUORATE_FOREIGN_PMXCFS names no program'
    exit 77
fi
need "$FOREIGN"

# A foreign node tells no version of its tree.
look()
{
    lab exec "$1" -- sh -c 'cd /etc/pve && find . -mindepth 1 ! -path "./.*" ! -type l \
        -printf "%P %y %s %Ts\n" | LC_ALL=C sort &&
        find . -type f ! -path "./.*" -exec sha256sum {} + | LC_ALL=C sort -k 2'
}

claims_of()
{
    local what=$1 n
    shift
    lab_up -n 3 "$@"
    check "$what: the files are made" history_begin
    clients 1 2 3
    sleep 5
    clients_end
    check "$what: one tree" all_same 1 2 3
    check "$what: one history" judged 1 2 3
    lab kill 3
    check "$what: two go on" lab wait 1 2 --timeout 90
    check "$what: and write" at 1 "mkdir $TREE/away && echo one >$TREE/away/f"
    check "$what: both" at 2 "echo two >$TREE/away/g"
    lab start 3
    check "$what: the third returns" lab wait --timeout 90
    check "$what: with all of it" all_same 1 2 3
    lab restart 1 pmxcfs
    check "$what: node 1 restarts" lab wait --timeout 90
    check "$what: one tree still" all_same 1 2 3
    lab down
    LAB_IS_UP=
    rm -f "$WORK"/record.*
}

claims_of 'one foreign' --pmxcfs "1=$FOREIGN"
claims_of 'two foreign' --pmxcfs "1=$FOREIGN" --pmxcfs "2=$FOREIGN"
finish
