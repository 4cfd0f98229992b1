#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: what ties a node's tree to its host and its peers holds on real nodes: corosync.conf reaches
# every host and only when good and newer; a node whose disk is full refuses with ENOSPC, reads
# on, and comes back by itself; a restarted corosync is found again; locks expire, once, everywhere;
# changes made elsewhere are told; copies of replaced content are kept, few of the routine ones.
# Method: a lab of three, with a lock left to expire in the background meanwhile.
# Timeout: 420
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
need corosync ip nft nsenter
WAIT=$(build_dir)/cli/pmxcfs-wait
need "$WAIT"

everywhere()
{
    local n
    for n in 1 2 3; do
        within 60 reads "$n" "$1" "$2" || return 1
    done
}

lab_up -n 3
at 1 'mkdir -p /etc/pve/priv/lock /etc/pve/nodes/node1'
LOCKED_AT=$SECONDS
at 1 'mkdir /etc/pve/priv/lock/left-behind'

# ---- locks, first part ----

check 'a lock is there for all' at 3 'test -d /etc/pve/priv/lock/left-behind'
check 'it can be taken once' refused 2 'File exists' 'mkdir /etc/pve/priv/lock/left-behind'
check 'it is not given away while it is young' \
    refused 2 'ermission denied' 'touch -d @0 /etc/pve/priv/lock/left-behind'
check 'its holder renews it' at 1 'mkdir /etc/pve/priv/lock/held && touch /etc/pve/priv/lock/held'
check 'nobody else does' refused 3 'ermission denied' 'touch /etc/pve/priv/lock/held'
check 'anybody may release it' at 3 'rmdir /etc/pve/priv/lock/held'

# ---- corosync.conf ----

host_version()
{
    at "$1" 'sed -n "s/^ *config_version: *//p" /etc/corosync/corosync.conf'
}

host_versions_are()
{
    equal "$(host_version 1) $(host_version 2) $(host_version 3)" "$1"
}

running_version()
{
    equal "$(at "$1" 'corosync-cmapctl -g totem.config_version | sed "s/.* = //"')" "$2"
}

edit_conf()
{
    at "$1" "sed '$2' /etc/pve/corosync.conf >/etc/pve/corosync.conf.new &&
        mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf"
}

OLD=$(host_version 1)
NEW=$((OLD + 1))
check 'a new corosync.conf is written' edit_conf 2 "s/config_version: .*/config_version: $NEW/"
check 'it reaches every host' within 60 host_versions_are "$NEW $NEW $NEW"
running_versions_are()
{
    running_version 1 "$1" && running_version 2 "$1" && running_version 3 "$1"
}
check 'corosync runs with it on every node' within 60 running_versions_are "$NEW"
check ".members shows it" within 60 at 3 \
    "grep -q '\"version\": $NEW, \"nodes\": 3' /etc/pve/.members"
refuse 'an older one is refused' edit_conf 1 "s/config_version: .*/config_version: $OLD/"
refuse 'one without a new version, too' edit_conf 1 's/token: .*/token: 1234/'
refuse 'a broken one is refused when it is closed' at 1 \
    "printf 'totem {\n config_version: 99\n' >$WORK/broken; cp $WORK/broken /etc/pve/corosync.conf"
check 'the log of the daemon says why' grep -q 'corosync.conf was refused: line' \
    "$(lab path 1)/log/pmxcfs.log"
check 'the log of the cluster, too' within 10 at 3 \
    "grep -q 'corosync.conf was refused: line' /etc/pve/.clusterlog"
check 'the old one stays' at 1 "grep -q 'config_version: $NEW' /etc/pve/corosync.conf"
check 'no host has another' host_versions_are "$NEW $NEW $NEW"
check 'the cluster goes on' everywhere /etc/pve/.debug 0
NEXT=$((NEW + 1))
good_again()
{
    at 3 "sed 's/config_version: .*/config_version: $NEXT/' /etc/corosync/corosync.conf \
        >/etc/pve/corosync.conf"
}
check 'a good one is written again' good_again
check 'it reaches every host' within 60 host_versions_are "$NEXT $NEXT $NEXT"

# ---- change feed ----

told()
{
    local number
    number=$(at 2 "$WAIT --now")
    at 1 'echo "from node 1" >/etc/pve/told'
    at 2 "$WAIT --since $number -t 10 /etc/pve/told" | grep -q '"node":1,"own":false'
}
check 'a change on one node is told on another' told

# ---- a full disk ----

state=/var/lib/pve-cluster
full()
{
    lab stop 3 pmxcfs && at 3 "mount -t tmpfs -o size=2m small $state" && lab start 3 pmxcfs &&
        lab wait --timeout 90
}
check 'node 3 gets a small disk' full
check 'and all content' everywhere /etc/pve/told 'from node 1'
at 3 "echo small >/etc/pve/big; dd if=/dev/zero of=$state/filler bs=4k" 2>/dev/null
check 'full: a change there fails with ENOSPC' \
    refused 3 'No space left' 'head -c 1000000 /dev/zero >/etc/pve/big && echo done'
check 'full: the next one too, at once' refused 3 'No space left' 'touch /etc/pve/small'
check 'full: reading goes on' reads 3 /etc/pve/told 'from node 1'
check 'full: the others go on' at 1 'echo "while full" >/etc/pve/told; test -d /etc/pve/nodes'
has_size()
{
    equal "$(at 1 "stat -c %s $1")" "$2"
}
# The file itself may be made and taken back before its content is written.
no_silent_loss()
{
    local i
    for i in 1 2 3 4 5; do
        if at 3 "head -c 200000 /dev/zero >/etc/pve/new$i" 2>/dev/null; then
            within 60 has_size "/etc/pve/new$i" 200000 || return 1
        fi
    done
}
check 'full: of new files nothing is lost that was not refused' no_silent_loss
at 3 "rm $state/filler"
check 'space returns: the node comes back by itself' within 60 reads 3 /etc/pve/told 'while full'
check 'and writes' at 3 'echo again >/etc/pve/told'
check 'for all' everywhere /etc/pve/told again

# ---- copies of replaced content ----

copies()
{
    at 3 "ls $state" | grep -c '\.replaced-'
}
catch_up()
{
    local i
    for i in 1 2 3 4 5 6 7; do
        lab stop 3 pmxcfs || return 1
        at 1 "echo round $i >/etc/pve/told"
        lab start 3 pmxcfs || return 1
        within 60 reads 3 /etc/pve/told "round $i" || return 1
    done
}
check 'a node catches up seven times' catch_up
check 'few copies are kept of what was merely old' [ "$(copies)" -le 5 ]

# ---- corosync goes and comes ----

alone()
{
    lab stop 2 corosync && within 60 refused 2 'ermission denied' 'touch /etc/pve/x'
}
check 'corosync stops on node 2: changes there are refused' alone
check 'reading goes on' reads 2 /etc/pve/told 'round 7'
check 'nobody is shown as online there but itself' within 60 eval \
    'equal "$(at 2 "grep -c \"online\\\": 1\" /etc/pve/.members")" 1'
check 'the others write' at 1 'echo "without 2" >/etc/pve/told'
lab start 2 corosync
check 'corosync is back: so is node 2' within 60 reads 2 /etc/pve/told 'without 2'
check 'and writes' within 60 at 2 'echo "with 2" >/etc/pve/told'
check 'for all' everywhere /etc/pve/told 'with 2'

# ---- locks, second part ----

# -c, as the lock may have gone since the last try: a plain touch would make a file of that name.
expired()
{
    at 2 'touch -c -d @0 /etc/pve/priv/lock/left-behind' 2>/dev/null
    at 2 'test ! -e /etc/pve/priv/lock/left-behind'
}
# A machine so slow that the time was over before the answer came has shown nothing.
kept()
{
    refused 2 'ermission denied' 'touch -c -d @0 /etc/pve/priv/lock/left-behind' ||
        [ $((SECONDS - LOCKED_AT)) -ge 119 ]
}
while [ $((SECONDS - LOCKED_AT)) -lt 110 ]; do
    sleep 1
done
check 'before its time the lock is kept' kept
check 'after 120 s without renewal it is given away' within 60 expired
gone_for_all()
{
    local n
    for n in 1 2 3; do
        at "$n" 'test ! -e /etc/pve/priv/lock/left-behind' || return 1
    done
}
check 'it is gone for all' within 60 gone_for_all
check 'and can be taken' at 3 'mkdir /etc/pve/priv/lock/left-behind'
finish
