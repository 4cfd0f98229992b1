#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: under load, through stops, restarts, kills and partitions, what clients see is one history:
# the quorate side's writes in one order, old but never wrong reads elsewhere, one holder of
# each lock, nothing lost that was acknowledged; and one tree afterwards.
# Method: real corosync and pmxcfs in the lab; clients on every node record what they do all the
# time, history.py judges. With LONG=yes pauses of up to 60 s and 10,000 missed changes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
need corosync python3 "$(build_dir)/pmxcfs/pmxcfs"

claims_of_members()
{
    local seconds
    lab_up -n 3
    check 'the files are made' history_begin
    clients 1 2 3
    for seconds in ${LONG:+10 60} 1 3; do
        lab pause 2 pmxcfs
        sleep "$seconds"
        check "pmxcfs stopped for $seconds s: the others write" at 1 "mkdir $TREE/paused-$seconds"
        lab resume 2 pmxcfs
        lab pause 3 corosync
        sleep "$seconds"
        lab resume 3 corosync
        check "corosync stopped for $seconds s: all return" lab wait --timeout 240
    done
    lab restart 1 pmxcfs
    check 'pmxcfs restarted: it returns' lab wait --timeout 240
    lab restart 2 corosync
    check 'corosync restarted: it returns' lab wait --timeout 240
    lab kill 3 pmxcfs
    lab start 3 pmxcfs
    check 'pmxcfs killed and started: it returns' lab wait --timeout 240
    lab partition 1,2/3
    check 'one of three is cut off' lab wait --timeout 240
    check 'the two write' at 2 "echo two >$TREE/sides"
    refuse 'the one does not' at 3 "echo one >$TREE/sides"
    lab heal
    check 'healed' lab wait --timeout 240
    clients_end
    check 'one tree' all_same 1 2 3
    check 'one history' judged 1 2 3
}

# Node 3 is away for many changes of one kind or another.
changes()
{
    at 1 "mkdir $TREE/while-away && cd $TREE/while-away && python3 -c '
import os
for i in range($1):
    name = \"f%d\" % (i % 250)
    if i % 5 == 4 and os.path.exists(name):
        os.rename(name, \"g%d\" % (i % 250))
    else:
        with open(name, \"w\") as f:
            f.write(\"%d \" % i * (i % 200))
'"
}

claims_of_one_away()
{
    local count=${LONG:+10000}
    count=${count:-1000}
    lab kill 3
    check "node 3 is away for $count changes" changes "$count"
    lab start 3
    check 'it returns' lab wait --timeout 240
    check 'with all of them' all_same 1 2 3
}

claims_of_all_dying()
{
    local n
    clients 1 2 3
    sleep 2
    for n in 1 2 3; do
        lab kill "$n"
    done
    clients_end
    for n in 3 1 2; do
        lab start "$n" &
    done
    wait
    check 'all die under load and start at once: they return' lab wait --timeout 240
    check 'one tree again' all_same 1 2 3
    check 'one history, over that too' judged_again 1 2 3
    lab down
    LAB_IS_UP=
    rm -f "$WORK"/record.*
}

judged_again()
{
    rm -f "$WORK"/record.*.end
    judged "$@"
}

claims_of_five()
{
    lab_up -n 5
    check 'five nodes: the files are made' history_begin
    clients 1 2 3 4 5
    lab partition 1,2/3,4/5
    check 'two, two and one: nobody has quorum' lab wait --for inquorate --timeout 240
    refuse 'none of them writes' at 1 "echo x >$TREE/sides"
    lab heal
    check 'healed' lab wait --timeout 240
    lab partition 1,4,5/2,3
    check 'three and two' lab wait --timeout 240
    check 'the three write' at 4 "echo three >$TREE/sides"
    refuse 'the two do not' at 2 "echo two >$TREE/sides"
    lab heal
    check 'healed again' lab wait --timeout 240
    sleep 2
    clients_end
    check 'one tree of five' all_same 1 2 3 4 5
    check 'one history of five' judged 1 2 3 4 5
}

claims_of_members
claims_of_one_away
claims_of_all_dying
claims_of_five
finish
