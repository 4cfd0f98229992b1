#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a node that is not what the others take it for takes none of them down and nothing from
# them: its database is of another cluster, its clock is a day off, it has the name or the id of
# another one. And the votes that are expected can be changed while all runs.
# Method: real corosync and pmxcfs in labs; a database with more terms comes from a lab of its own,
# clocks are moved by clock_jump.c. Minutes; not part of scripts/test.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
BUILD=$(build_dir)
need corosync gcc python3 "$BUILD/pmxcfs/pmxcfs" "$BUILD/cli/pvecm"
DB=/var/lib/pve-cluster/config.db

logged()
{
    lab logs "$1" pmxcfs -n 400 | grep -aq "$2"
}

writes()
{
    within 90 at "$1" "echo '$2' >$TREE/written && cat $TREE/written" && everywhere "$2"
}

everywhere()
{
    local n
    for n in $(seq 3); do
        within 90 reads "$n" "$TREE/written" "$1" || return 1
    done
}

claims_of_expected_votes()
{
    lab_up -n 3
    check 'before: all write' writes 1 first
    lab kill 2
    lab kill 3
    check 'one of three has no quorum' within 90 refused 1 'ermission denied' "echo x >$TREE/alone"
    check 'one vote is expected from now on' at 1 "'$BUILD/cli/pvecm' expected 1"
    check 'it writes, without a restart' within 90 at 1 "echo alone >$TREE/alone"
    lab start 2
    lab start 3
    check 'the others return' lab wait --timeout 90
    check 'with what it wrote' all_same 1 2 3
    check 'which is there' reads 3 "$TREE/alone" alone
    lab kill 2
    lab kill 3
    check 'and as many are expected as before' within 90 refused 1 'ermission denied' \
        "echo x >$TREE/alone2"
    lab start 2
    lab start 3
    check 'all are back' lab wait --timeout 90
    lab down
    LAB_IS_UP=
}

# A cluster of one node that had more terms and more versions than this one.
other_database()
{
    local i
    LAB_NAME=$OTHER lab up -n 1 --daemons corosync,pmxcfs || return 1
    for i in $(seq 8); do
        LAB_NAME=$OTHER lab restart 1 pmxcfs && LAB_NAME=$OTHER lab wait --timeout 90 || return 1
    done
    LAB_NAME=$OTHER within 60 at 1 "for i in \$(seq 400); do echo \$i >$TREE/strange; done" &&
        LAB_NAME=$OTHER at 1 "sed -n 's/^pmxcfs_native_term //p' $TREE/.metrics" >"$WORK/term" &&
        LAB_NAME=$OTHER lab stop 1 pmxcfs &&
        LAB_NAME=$OTHER at 1 "cp $DB '$WORK/other.db'"
    local status=$?
    LAB_NAME=$OTHER lab down
    return $status
}

later_terms()
{
    local ours
    ours=$(at 1 "sed -n 's/^pmxcfs_native_term //p' $TREE/.metrics")
    echo "ours $ours, theirs $(cat "$WORK/term")"
    [ "$(cat "$WORK/term")" -gt "$ours" ]
}

restored()
{
    at 3 "cd ${DB%/*} || exit 1; '$BUILD/cli/pmxcfs-db' compare config.db.replaced-* |
            grep strange &&
        '$BUILD/cli/pmxcfs-db' restore config.db.replaced-* strange"
}

claims_of_another_cluster()
{
    lab_up -n 3 --daemons corosync,pmxcfs
    check 'the cluster writes' writes 1 ours
    check 'another cluster has a database' other_database
    check 'with later terms' later_terms
    lab stop 3 pmxcfs
    at 3 "rm -f $DB*; cp '$WORK/other.db' $DB"
    lab start 3 pmxcfs
    check 'a node gets it: it returns' lab wait --timeout 90
    check 'its log says whose it is' within 30 logged 3 "is of the cluster '$OTHER'"
    check 'what the cluster has stands' everywhere ours
    check 'nothing of it comes in' at 1 "test ! -e $TREE/strange"
    check 'one tree' all_same 1 2 3
    check 'it is kept beside the database' within 60 at 3 "ls $DB.replaced-* 2>/dev/null"
    lab stop 3 pmxcfs
    check 'and can be compared, and a file be taken back' restored
    lab start 3 pmxcfs
    check 'all are back' lab wait --timeout 90
    check 'all write' writes 3 again
    lab down
    LAB_IS_UP=
}

# Seconds that the clock of node 3's pmxcfs is ahead.
set_clock()
{
    python3 -c 'import struct, sys
open(sys.argv[1], "r+b").write(struct.pack("q", int(sys.argv[2])))' "$WORK/ahead" "$1"
}

claims_of_the_clock()
{
    local day=86400 off
    gcc -D_GNU_SOURCE -shared -fPIC -O1 -o "$WORK/clock.so" "$TOP/tests/integration/clock_jump.c"
    head -c 8 /dev/zero >"$WORK/ahead"
    printf '#!/bin/sh\nexport LD_PRELOAD=%s CLOCK_JUMP=%s\nexec %s "$@"\n' "$WORK/clock.so" \
        "$WORK/ahead" "$BUILD/pmxcfs/pmxcfs" >"$WORK/pmxcfs"
    chmod +x "$WORK/pmxcfs"
    lab_up -n 3 --daemons corosync,pmxcfs --pmxcfs "3=$WORK/pmxcfs"
    check 'all write' writes 3 now
    at 1 "mkdir -p $TREE/priv/lock && mkdir $TREE/priv/lock/held"
    for off in $day -$day; do
        set_clock "$off"
        check "a clock $off s off: that node writes" writes 3 "by 3, $off"
        check 'and the others' writes 1 "by 1, $off"
        check 'a lock lives on' at 1 "touch $TREE/priv/lock/held && test -d $TREE/priv/lock/held"
        refuse 'nobody else gets it' at 3 "mkdir $TREE/priv/lock/held"
        lab restart 3 pmxcfs
        check 'it restarts with that clock' lab wait --timeout 90
        check 'one tree' all_same 1 2 3
        check 'it logs' at 3 "'$BUILD/cli/pmxcfs-ipc' log 'clock $off'"
        check 'all have the line' within 60 at 1 "'$BUILD/cli/pmxcfs-ipc' get-log |
            grep -q 'clock $off'"
        check 'a lock can be taken and given back there' \
            at 3 "mkdir $TREE/priv/lock/mine && rmdir $TREE/priv/lock/mine"
    done
    lab down
    LAB_IS_UP=
}

tree_conf()
{
    at 1 "cp $TREE/corosync.conf '$WORK/conf' && sed -i -e '$1' \
        -e 's/config_version: .*/config_version: 2/' '$WORK/conf' &&
        cp '$WORK/conf' $TREE/corosync.conf"
}

# A corosync.conf put by hand on a host.
host_conf()
{
    at "$1" "sed -i -e '$2' /etc/corosync/corosync.conf && grep -nE 'name|nodeid' \
        /etc/corosync/corosync.conf"
}

claims_of_twins()
{
    local n
    lab_up -n 3 --daemons corosync,pmxcfs
    check 'all write' writes 1 before
    refuse 'two nodes of one name are refused in the tree' tree_conf 's/name: node3/name: node2/'
    refuse 'two nodes of one id are refused in the tree' tree_conf 's/nodeid: 3/nodeid: 2/'
    for n in 1 2 3; do
        host_conf "$n" 's/name: node3/name: node2/' >"$WORK/out"
        lab restart "$n" corosync
    done
    check 'two nodes of one name by hand: the cluster goes on' writes 1 'one name'
    check 'and says so' within 30 logged 1 \
        "gives two nodes one name: 'node2' with id 2 and 'node2' with id 3"
    for n in 1 2 3; do
        host_conf "$n" '0,/name: node2/! s/name: node2/name: node3/' >"$WORK/out"
        lab restart "$n" corosync
    done
    check 'put right, all return' lab wait --timeout 90
    check 'and write' writes 3 'names again'
    lab stop 3 corosync
    at 3 "sed -i -e 's/nodeid: 2/nodeid: 9/; s/nodeid: 3/nodeid: 2/; s/nodeid: 9/nodeid: 3/' \
        /etc/corosync/corosync.conf"
    lab start 3 corosync >"$WORK/out" 2>&1
    sleep 10
    check 'a second node with the id of one: the others go on' within 90 at 1 "echo on >$TREE/on"
    lab stop 3 corosync
    at 3 "sed -i -e 's/nodeid: 2/nodeid: 9/; s/nodeid: 3/nodeid: 2/; s/nodeid: 9/nodeid: 3/' \
        /etc/corosync/corosync.conf"
    lab start 3 corosync
    check 'put right, all return' lab wait --timeout 90
    check 'and write' writes 3 'ids again'
    check 'one tree' all_same 1 2 3
}

OTHER=${LAB_NAME}o
if [ $# = 0 ]; then
    set -- expected_votes another_cluster the_clock twins
fi
for part; do
    "claims_of_$part"
done
finish
