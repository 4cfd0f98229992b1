#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a cluster is made by one command, a node joins by one token, and wherever a join fails or
# is killed the node ends fully in or fully out, and the cluster keeps its quorum.
# Method: bare nodes of the lab; daemons are started by pvecm. The joiner is killed at its n-th
# rename(2), for n from 1 until it gets through.
# Timeout: 900
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nodes_lib.sh"
need strace faketime

# A node as it comes from the installer: pmxcfs in local mode, one guest.
make_bare()
{
    local node=$1
    lab stop "$node" pmxcfs >/dev/null 2>&1
    lab stop "$node" corosync >/dev/null 2>&1
    on "$node" 'rm -rf /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/pve-cluster/*'
    lab start "$node" pmxcfs
    within 10 on "$node" 'test -e /etc/pve/.version'
    on "$node" "mkdir -p /etc/pve/nodes/node$node/qemu-server &&
        echo 'name: guest$node' >/etc/pve/nodes/node$node/qemu-server/${node}00.conf"
}

# Fully out: own tree, own guest, no trace of the cluster on the host; not in the cluster's list.
is_out()
{
    on 2 'test ! -e /etc/pve/corosync.conf && test ! -e /etc/corosync/authkey &&
        test ! -e /etc/corosync/corosync.conf && test ! -e /var/lib/pve-cluster/join-journal &&
        grep -q guest2 /etc/pve/nodes/node2/qemu-server/200.conf && echo x >/etc/pve/writable &&
        rm /etc/pve/writable' &&
        on 1 '! grep -q node2 /etc/pve/corosync.conf' && expects_votes 1
}

is_in()
{
    on 2 'test -e /etc/pve/corosync.conf && test ! -e /var/lib/pve-cluster/join-journal &&
        grep -q guest2 /etc/pve/nodes/node2/qemu-server/200.conf && pvecm status >/dev/null' &&
        on 1 'grep -q guest2 /etc/pve/nodes/node2/qemu-server/200.conf' && expects_votes 2
}

in_or_out()
{
    is_out || is_in
}

fields_agree()
{
    local ours theirs
    ours=$(on 1 "pvecm status | grep -E '^(Quorate|Expected votes|Total votes|Nodes):'")
    theirs=$(on 1 "corosync-quorumtool -s | grep -E '^(Quorate|Expected votes|Total votes|Nodes):'")
    equal "$ours" "$theirs"
}

claims_of_refusals()
{
    local t
    refuse 'status on a node without cluster is refused' on 1 'pvecm status'
    refuse 'a bad cluster name is refused' on 1 'pvecm create bad_name'
    check 'an address of another host is refused' refused_saying 'not configured on this node' \
        on 1 'pvecm create lab1 --link0 10.80.0.99'
    check 'so is a name that nobody knows' refused_saying 'not configured on this node' \
        on 1 'pvecm create lab1 --link0 no-such-host'
    check 'and one address twice' refused_saying 'used twice' \
        on 1 'pvecm create lab1 --link0 10.80.0.1 --link1 10.80.0.1'
    check 'and an address that no other node can reach' refused_saying \
        'not configured on this node' on 1 'pvecm create lab1 --link0 127.0.0.1'
    check 'one of a routed network may stand on lo' on 1 'ip addr add 10.81.0.1/32 dev lo &&
        pvecm create lab1 --link0 10.80.0.1 --link1 10.81.0.1 --dry-run &&
        ip addr del 10.81.0.1/32 dev lo'
    check 'no key is made where others read it' refused_saying 'others than root' \
        on 1 'pvecm keygen /etc/pve/key'
    check 'a dry run changes nothing' on 1 \
        'pvecm create lab1 --dry-run >/dev/null && test ! -e /etc/pve/corosync.conf'
    check 'create makes a quorate cluster of one' on 1 \
        'pvecm create lab1 && echo x >/etc/pve/written'
    check 'it left a task log' on 1 "
        grep -q ':clustercreate:lab1:root@pam: .* OK$' /var/log/pve/tasks/index &&
        grep -rq \"cluster 'lab1' is up\" /var/log/pve/tasks/[0-9A-F]"
    refuse 'a second create is refused' on 1 'pvecm create lab2'
    check 'and its task log says why' on 1 \
        "grep ':clustercreate:lab2:' /var/log/pve/tasks/index | grep -q 'in a cluster'"
    check 'pvecm status agrees with corosync-quorumtool' fields_agree
    check 'keys are for root only' on 1 'test "$(stat -c %a /etc/corosync/authkey)" = 400 &&
        test "$(stat -c %a /etc/pve/priv/pve-root-ca.key)" = 600'
    check 'the API worker serves, without root' start_api 1
    check 'and is not root' on 1 'ps -o user= -C quorate-api | grep -q www-data'

    t=$(token)
    check 'a damaged token is refused' refused_saying damaged on 2 "pvecm add ${t%??????}"
    check 'a token of another cluster is refused' refused_saying 'does not belong to the cluster' \
        on 2 "pvecm add $(other_ca "$t")"
    check 'an unknown secret is refused' refused_saying 'not known here' \
        on 2 "pvecm add $(other_secret "$t")"
    check 'a token bound to another name is refused' refused_saying "named 'other'" \
        on 2 "pvecm add $(token --node other)"
    t=$(token --ttl 1)
    sleep 2
    check 'an expired token is refused' refused_saying expired on 2 "pvecm add $t"
    check 'a clock that is off is refused' refused_saying 'cannot take this node' \
        on 2 "cd /; faketime -f +120s pvecm add $(token)"
    on 2 'echo x >/etc/pve/nodes/node2/qemu-server/100.conf'
    check 'a guest id that is taken is refused' refused_saying 'cannot take this node' \
        on 2 "pvecm add $(token)"
    on 2 'rm /etc/pve/nodes/node2/qemu-server/100.conf'
    check 'an address that is not ours is refused' refused_saying 'not configured' \
        on 2 "pvecm add $(token) --link0 10.99.9.9"
    check 'after all that the node is fully out' is_out
}

# The token with another CA fingerprint, or another secret.
other_ca()
{
    edit_token "$1" ca
}

other_secret()
{
    edit_token "$1" secret
}

edit_token()
{
    python3 -c "
import base64, json, sys
body = sys.argv[1].split('.')[1]
t = json.loads(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))
t[sys.argv[2]] = 'ab' * 32
print('PVEJ1.' + base64.urlsafe_b64encode(json.dumps(t).encode()).decode().rstrip('='))" "$1" "$2"
}

# Kills the joiner at its n-th rename; sets JOINED when it got through.
die_at()
{
    local n=$1 t
    t=$(token)
    JOINED=
    on 2 "cd /; strace -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=$n \
        pvecm add $t" >"$WORK/join.out" 2>&1 && JOINED=yes
    if [ -z "$JOINED" ]; then
        on 2 'cd /; pvecm recover' >>"$WORK/join.out" 2>&1
    fi
    cat "$WORK/join.out"
    within 60 in_or_out
}

claims_of_deaths()
{
    local n
    for n in $(seq 1 40); do
        check "killed at its rename number $n the node ends fully in or out" die_at "$n"
        if on 2 'test -e /etc/pve/corosync.conf'; then
            break
        fi
    done
    check 'at last the join gets through' test -e "$WORK/join.out" -a "$n" -gt 5
    check 'and the node is fully in' within 20 is_in
}

claims_of_members()
{
    local t
    check 'the cluster has two votes' expects_votes 2
    check 'a file of one is on the other' within 10 on 2 'grep -q x /etc/pve/written'
    t=$(token)
    check 'a third node joins' on 3 "cd /; pvecm add $t"
    check 'it left a task log' on 3 \
        "grep -q ':clusterjoin::root@pam: .* OK$' /var/log/pve/tasks/index"
    check 'the token is used up' refused_saying 'in a cluster already' on 3 "cd /; pvecm add $t"
    check 'all three count' within 20 expects_votes 3
    check 'node 3 sees everything' within 10 on 3 \
        'grep -q x /etc/pve/written && grep -q guest3 /etc/pve/nodes/node3/qemu-server/300.conf'
    check 'no token is readable for others' on 1 \
        '! runuser -u www-data -- sh -c "ls /etc/pve/priv/join-tokens"'
}

lab_up -n 3 --bare
for n in 1 2 3; do
    make_bare "$n"
done
claims_of_refusals
claims_of_deaths
claims_of_members
finish
