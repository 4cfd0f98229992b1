#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: what goes wrong while a node joins is said in words a person can act on, the node is fully
# out with its own configuration afterwards, and the cluster is quorate with the version it had.
# Method: a cluster with two links in a lab of six nodes; one network, disk, name, token or
# authority is wrong at a time.
# Timeout: 420
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nodes_lib.sh"
need nft python3 unshare

# A node as it comes from the installer, with a second network and one guest; nodes 1 and 3 have
# their databases on a small disk of its own.
make_bare()
{
    local node=$1
    on "$node" 'rm -rf /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/pve-cluster/*'
    on "$node" "ip addr add 10.81.0.$node/24 dev eth0"
    case $node in
    1 | 3) on "$node" 'mount -t tmpfs -o size=32m,mode=755 none /var/lib/pve-cluster' ;;
    esac
    lab start "$node" pmxcfs
}

give_guest()
{
    local node=$1
    within 60 on "$node" 'test -e /etc/pve/.version'
    on "$node" "mkdir -p /etc/pve/nodes/node$node/qemu-server &&
        echo 'name: guest$node' >/etc/pve/nodes/node$node/qemu-server/${node}00.conf"
}

links()
{
    echo "--link0 10.80.0.$1 --link1 10.81.0.$1"
}

# A node is out, with what it had; the cluster decides and expects no vote of it.
is_out()
{
    local node=$1 votes=$2
    on "$node" "test ! -e /etc/pve/corosync.conf && test ! -e /etc/corosync/authkey &&
        test ! -e /etc/corosync/corosync.conf && test ! -e /var/lib/pve-cluster/join-journal &&
        ! pgrep -x corosync && grep -q guest$node /etc/pve/local/qemu-server/${node}00.conf &&
        echo x >/etc/pve/writable && rm /etc/pve/writable" &&
        on 1 "! grep -q 10.80.0.$node /etc/pve/corosync.conf &&
            echo x >/etc/pve/sound && rm /etc/pve/sound" && expects_votes "$votes"
}

is_in()
{
    local node=$1 votes=$2
    on "$node" "test -e /etc/pve/corosync.conf &&
        test ! -e /var/lib/pve-cluster/join-journal && echo x >/etc/pve/w && rm /etc/pve/w" &&
        on 1 "grep -q guest$node /etc/pve/nodes/node$node/qemu-server/${node}00.conf" &&
        expects_votes "$votes" && version_agrees "$node"
}

# corosync of node 1, and of another, run with the version that the file has.
version_agrees()
{
    local n want
    want=$(on 1 "sed -n 's/^ *config_version: *//p' /etc/pve/corosync.conf")
    for n in 1 "$1"; do
        equal "$(on "$n" 'corosync-cmapctl -g totem.config_version | sed "s/.* = //"')" "$want" ||
            return 1
    done
}

# Node 3 is refused, and as it was.
refused()
{
    refused_saying "$@" && within 60 is_out 3 1 && within 60 version_agrees 1
}

fill()
{
    on "$1" "head -c ${2}m /dev/zero >/var/lib/pve-cluster/ballast 2>/dev/null
        test \$(stat -c %s /var/lib/pve-cluster/ballast) -gt 20000000"
}

empty()
{
    on "$1" 'rm /var/lib/pve-cluster/ballast'
}

# Packets of link 1 do not reach node 4, which joins meanwhile.
start_dead_link()
{
    on 4 "nft 'add table inet t; add chain inet t i { type filter hook input priority 0; };
        add rule inet t i udp dport 5406 drop'" || return 1
    lab exec 4 -- sh -c "cd /; pvecm add $(token) $(links 4)" >"$WORK/link.out" 2>&1 &
    DEAD_LINK=$!
}

dead_link_was_seen()
{
    local status=0
    wait "$DEAD_LINK" || status=$?
    cat "$WORK/link.out"
    [ "$status" = 1 ] && grep -q "link 1: .*10.81.0.4 .*10.81.0.1" "$WORK/link.out" &&
        on 4 'nft delete table inet t'
}

claims_of_refusals()
{
    check 'a node with a dead link begins to join' start_dead_link
    check 'meanwhile, a taken name is refused' refused_saying "'node1' is already in" \
        on 3 "unshare -u sh -c 'hostname node1; pvecm add $(token) $(links 3)'"
    on 3 'ip addr add 10.81.0.1/32 dev eth0'
    check 'and a taken address' refused_saying "belongs to node 'node1'" \
        on 3 "pvecm add $(token) --link0 10.80.0.3 --link1 10.81.0.1"
    on 3 'ip addr del 10.81.0.1/32 dev eth0'
    check 'and a node that lacks a link' refused_saying 'the cluster uses link 1' \
        on 3 "pvecm add $(token) --link0 10.80.0.3"
    check 'and one on a full disk' fill 3 40
    check 'which is told what it needs' refused_saying 'MiB are free' \
        on 3 "pvecm add $(token) $(links 3)"
    empty 3
    check 'the dead link is named' dead_link_was_seen
    check 'and its node is out' within 60 is_out 4 1
    check 'all others are, too' within 60 is_out 3 1
    check 'and versions agree' within 60 version_agrees 1
}

# A ring may just be formed anew, so the refusal does not come at once.
waits_for_quorum()
{
    local out
    out=$(refused_saying 'has no quorum: bring its nodes up first' "$@")
    echo "$out"
    case $out in
    *succeeded*) return 1 ;;
    *'waiting: the cluster has no quorum at the moment'*'has no quorum: bring'*) return 0 ;;
    esac
    return 1
}

# The command with this process and output waited for quorum, and was refused with this text.
waited_in_vain()
{
    ! wait "$1" || return 1
    cat "$2"
    grep -q 'waiting: the cluster has no quorum at the moment' "$2" && grep -q "$3" "$2"
}

used_already()
{
    refused_saying 'was used already' on "$1" "pvecm add $2 $(links "$1")"
}

# Two nodes with one token: one gets in. Sets WINNER. The other may have asked just when the ring
# was formed anew and nobody had quorum: then it is told so, and asks again.
one_of_two()
{
    local token pids=() n
    token=$(token)
    WINNER=
    for n in 2 4; do
        lab exec "$n" -- sh -c "cd /; pvecm add $token $(links "$n")" >"$WORK/both.$n" 2>&1 &
        pids[n]=$!
    done
    for n in 2 4; do
        if wait "${pids[n]}"; then
            WINNER=$WINNER$n
        fi
    done
    cat "$WORK"/both.*
    LOSER=$((6 - ${WINNER:-0}))
    case $WINNER in 2 | 4) ;; *) return 1 ;; esac
    grep -q 'was used already' "$WORK/both.$LOSER" ||
        { grep -q 'has no quorum' "$WORK/both.$LOSER" && within 60 used_already "$LOSER" "$token"; }
}

claims_of_two_nodes()
{
    local token asked=()
    must 'of two nodes with one token one gets in' one_of_two
    check 'fully' within 60 is_in "$WINNER" 2
    check 'and the other is out' within 60 is_out "$LOSER" 2
    token=$(token)
    lab stop "$WINNER" corosync
    within 60 on 1 'corosync-quorumtool -s | grep -q "^Quorate: *No"'
    on 1 'pvecm token' >"$WORK/token.out" 2>&1 &
    asked[0]=$!
    on 1 'pvecm leave' >"$WORK/leave.out" 2>&1 &
    asked[1]=$!
    check 'without quorum, which is waited for, nobody gets in' waits_for_quorum \
        on 3 "pvecm add $token $(links 3)"
    check 'nor is there a token' waited_in_vain "${asked[0]}" "$WORK/token.out" 'nobody can join'
    check 'nor does a node leave, and is told who is missing' waited_in_vain "${asked[1]}" \
        "$WORK/leave.out" "not seen: node$WINNER: bring its nodes up first"
    lab start "$WINNER" corosync
    within 60 on 1 'corosync-quorumtool -s | grep -q "^Quorate: *Yes"'
    check 'the cluster works as before' within 60 is_in "$WINNER" 2
    # One of two cannot decide alone: the votes of the other must go before it does.
    check 'a running node of two is removed' on 1 "pvecm delnode node$WINNER --purge"
    check 'and the other decides alone' within 60 is_out 3 1
}

new_authority()
{
    on 1 'rm /etc/pve/pve-root-ca.pem /etc/pve/priv/pve-root-ca.key && pvecm updatecerts --force' ||
        return 1
    lab stop 1 api # unless it has seen the new certificate, and ended, by itself
    lab start 1 api && within 60 on 1 "ss -Htln 'sport = 8006' | grep -q 8006"
}

# The disk of the member fills up: whatever it could still write, nothing stays half done.
member_is_full()
{
    local status=0
    on 1 "for i in \$(seq 400); do head -c 100000 /dev/zero >/etc/pve/big.\$i || break; done" \
        >/dev/null 2>&1
    on 3 "pvecm add $1 $(links 3)" >"$WORK/full.out" 2>&1 || status=$?
    cat "$WORK/full.out"
    [ "$status" = 0 ] || grep -q -e 'No space left' -e 'read-only' "$WORK/full.out"
}

space_comes_back()
{
    empty 1
    within 60 on 1 'rm -f /etc/pve/big.* && echo x >/etc/pve/sound && rm /etc/pve/sound' || return 1
    on 3 'pvecm recover' && within 60 in_or_out
}

in_or_out()
{
    is_out 3 1 || is_in 3 2
}

claims_of_changes()
{
    local token
    token=$(token)
    must 'the authority is changed' new_authority
    check 'a token of before is void' refused 'does not belong to the cluster' \
        on 3 "pvecm add $token $(links 3)"
    token=$(token)
    must 'the disk of the member is full' fill 1 31
    check 'which is said' member_is_full "$token"
    check 'and when there is space again the node is out, or in' space_comes_back
    on 3 'test -e /etc/pve/corosync.conf' || on 3 "pvecm add $(token) $(links 3)" >"$WORK/out" 2>&1
    check 'in the end it is in' within 60 is_in 3 2
}

# Three nodes with tokens of their own, and all of them get in.
three_at_once()
{
    local n failed=0 pids=() tokens=()
    for n in $LOSER 5 6; do
        tokens[n]=$(token)
    done
    for n in $LOSER 5 6; do
        lab exec "$n" -- sh -c "cd /; pvecm add ${tokens[n]} $(links "$n")" >"$WORK/three.$n" 2>&1 &
        pids[n]=$!
    done
    for n in $LOSER 5 6; do
        wait "${pids[n]}" || failed=$((failed + 1))
    done
    cat "$WORK"/three.*
    return "$failed"
}

claims_of_a_crowd()
{
    local n
    check 'three nodes join at the same moment' three_at_once
    for n in $LOSER 5 6; do
        check "and node $n is in" within 60 is_in "$n" 5
    done
}

lab_up -n 6 --bare
for n in 1 2 3 4 5 6; do
    make_bare "$n"
done
for n in 1 2 3 4 5 6; do
    give_guest "$n"
done
must 'a cluster with two links is made' on 1 "pvecm create lab1 $(links 1)"
must 'its API serves' start_api 1
claims_of_refusals
claims_of_two_nodes
claims_of_changes
claims_of_a_crowd
finish
