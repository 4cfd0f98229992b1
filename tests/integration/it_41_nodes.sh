#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: nodes leave, are removed, come back, get other names and addresses, each by one command that
# is safe to repeat; wherever it is killed it is finished or taken back; a removed node is told at
# the door and joins again by a token.
# Method: a lab of four nodes. The long walk over every step is
# scripts/soak-nodes; here each command dies once before and once behind its point of no return.
# Timeout: 420
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nodes_lib.sh"
need strace

says()
{
    local text=$1 out
    shift
    out=$("$@" 2>&1)
    echo "$out"
    case $out in *"$text"*) return 0 ;; esac
    return 1
}

# The cluster as node 1 sees it: expected votes and the names of the members that are there.
cluster_is()
{
    on 1 'pvecm status --output-format json' | python3 -c "
import json, sys
s = json.load(sys.stdin)
have = '%d %s' % (s['expected_votes'], ' '.join(sorted(m['name'] for m in s['members'])))
print(have)
sys.exit(have != sys.argv[1])" "$1" && on 1 'echo x >/etc/pve/writable && rm /etc/pve/writable'
}

# No trace of a cluster: own tree, own authority, nothing of others.
is_standalone()
{
    on "$1" "test ! -e /etc/pve/corosync.conf && test ! -e /etc/corosync/authkey &&
        test ! -e /etc/corosync/corosync.conf && test ! -e /var/lib/pve-cluster/node-journal &&
        test ! -e /etc/pve/priv/join-tokens && echo x >/etc/pve/writable && rm /etc/pve/writable &&
        test \"\$(ls /etc/pve/nodes)\" = node$1 && test -s /etc/pve/nodes/node$1/pve-ssl.pem"
}

logged()
{
    on 1 "grep -q \"$1\" /etc/pve/.clusterlog"
}

# Runs `pvecm ARGS` on a node until it dies at its n-th rename(2); fails when it got through.
dies_at()
{
    local node=$1 n=$2
    shift 2
    ! on "$node" "strace -f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=$n \
        pvecm $*" && on "$node" 'test -e /var/lib/pve-cluster/node-journal'
}

claims_of_leaving()
{
    on 4 'mkdir -p /etc/pve/nodes/node4/qemu-server &&
        echo "name: mine" >/etc/pve/nodes/node4/qemu-server/400.conf'
    check 'a node with guests does not leave by accident' \
        refused_saying 'still has guests: 400' on 4 'pvecm leave'
    check 'a dry run changes nothing' says 'nothing was changed' \
        on 4 'pvecm leave --keep-guests 1 --dry-run 1'
    check 'and the cluster is as before' cluster_is '4 node1 node2 node3 node4'
    check 'leave dies before the point of no return' dies_at 4 5 leave --keep-guests 1
    refuse 'then another command is refused' on 4 'pvecm leave --keep-guests 1'
    check 'recover would take it back' says "'leave' would be taken back" \
        on 4 'pvecm recover --dry-run'
    check 'and does' says 'taken back' on 4 'pvecm recover'
    check 'which the log of the cluster tells' within 10 logged "interrupted 'leave' was taken"
    check 'so that the node is a member as before' within 60 cluster_is '4 node1 node2 node3 node4'
    check 'a node leaves with its guests' says 'in no cluster any more' \
        on 4 'pvecm leave --keep-guests 1'
    check 'it is a node of its own' is_standalone 4
    check 'with its guest' on 4 'grep -q mine /etc/pve/local/qemu-server/400.conf'
    check 'the cluster counts three' within 60 cluster_is '3 node1 node2 node3'
    check 'and has an entry in its log' within 10 logged "node4' has left the cluster"
    check 'leaving again is refused' refused_saying 'in no cluster' on 4 'pvecm leave'
    check 'it joins again by a token, guests and all' on 4 "pvecm add $(token)"
    check 'and counts' within 60 cluster_is '4 node1 node2 node3 node4'
    check 'its tombstone is gone' on 1 'test -z "$(ls /etc/pve/priv/removed-nodes)"'
}

claims_of_removing()
{
    check 'the own node is not removed' refused_saying "run 'pvecm leave'" \
        on 1 'pvecm delnode node1'
    check 'an unknown one is named' refused_saying "'node9' is not in the cluster" \
        on 1 'pvecm delnode node9'
    lab kill 4
    check 'a node with guests is not removed by accident' refused_saying 'still has guests: 400' \
        on 1 'pvecm delnode node4'
    check 'delnode dies before the point of no return' dies_at 1 3 delnode node4 --adopt-to node2
    check 'and recover takes it back' says 'taken back' on 1 'pvecm recover'
    check 'the guest is where it was' on 1 'test -e /etc/pve/nodes/node4/qemu-server/400.conf &&
        ! ls /etc/pve/priv/removed-nodes | grep -q node4 && grep -q node4 /etc/pve/corosync.conf'
    check 'a node is removed, by its address' says 'is out of the cluster' \
        on 1 'pvecm delnode 10.80.0.4 --adopt-to node2'
    check 'its guest has another home' on 2 'grep -q mine /etc/pve/nodes/node2/qemu-server/400.conf'
    check 'and nothing of it is left' on 1 'test ! -e /etc/pve/nodes/node4'
    check 'the cluster counts three' within 60 cluster_is '3 node1 node2 node3'
    check 'removing it again says so' says 'was removed before' on 1 'pvecm delnode node4'
}

claims_of_coming_back()
{
    lab start 4
    check 'the removed node is told at the door' \
        within 90 on 4 'test -e /var/lib/pve-cluster/removed'
    check 'its status says why' refused_saying "was removed from cluster" on 4 'pvecm status'
    check 'its corosync is off' within 30 on 4 '! pgrep -x corosync'
    check 'and its console tells' on 4 'grep -q "was removed" /run/issue.d/quorate-removed.issue'
    check 'nobody was disturbed' cluster_is '3 node1 node2 node3'
    check 'it joins again without reinstalling' on 4 "pvecm add $(token)"
    check 'and counts' within 60 cluster_is '4 node1 node2 node3 node4'
    check 'nobody calls it removed any more' on 4 'test ! -e /var/lib/pve-cluster/removed &&
        pvecm status >/dev/null && test -z "$(ls /etc/pve/priv/removed-nodes)"'
}

claims_of_names_and_addresses()
{
    check 'a taken name is refused' refused_saying 'in the cluster already' \
        on 4 'pvecm rename node2'
    check 'an empty node gets another name' says "now called 'node14'" on 4 'pvecm rename node14'
    check 'everybody knows it' within 60 cluster_is '4 node1 node14 node2 node3'
    check 'its certificate has it' on 1 \
        'openssl x509 -in /etc/pve/nodes/node14/pve-ssl.pem -noout -text | grep -q DNS:node14'
    check 'nothing has the old one' on 1 'test ! -e /etc/pve/nodes/node4'
    check 'and back' on 4 'pvecm rename node4'
    check 'the own address is changed from elsewhere' refused_saying 'on another node' \
        on 3 'pvecm readdress node3 --link0 10.80.0.33'
    check 'an address that is nowhere is refused' refused_saying 'nothing of this cluster answers' \
        on 1 'pvecm readdress node3 --link0 10.80.0.33'
    check 'a taken one is named' refused_saying "belongs to node 'node2'" \
        on 1 'pvecm readdress node3 --link0 10.80.0.2'
    on 3 'ip addr add 10.80.0.33/24 dev eth0'
    check 'a node gets another address' on 1 'pvecm readdress node3 --link0 10.80.0.33'
    check 'all members use it' on 2 \
        'corosync-cmapctl nodelist | grep -q "ring0_addr.*= 10.80.0.33"'
    check 'again there is nothing to do' says 'has these addresses' \
        on 1 'pvecm readdress node3 --link0 10.80.0.33'
    check 'and everybody is there' cluster_is '4 node1 node2 node3 node4'
}

claims_of_small_verbs()
{
    check 'expected takes a dry run' says 'nothing was changed' on 1 'pvecm expected 3 --dry-run 1'
    refuse 'and refuses nonsense' on 1 'pvecm expected 0'
    check 'updatecerts has nothing to do' says 'are good' on 2 'pvecm updatecerts'
    on 2 'rm /etc/pve/nodes/node2/pve-ssl.pem'
    check 'a dry run says what is missing' says 'would make' on 2 'pvecm updatecerts --dry-run 1'
    lab stop 2 joind
    on 2 'setsid quorate-joind --renew 1 >/dev/null 2>&1 & echo $! >/run/joind.pid'
    check 'the join service makes it anew' within 60 on 2 \
        'openssl verify -CAfile /etc/pve/pve-root-ca.pem /etc/pve/nodes/node2/pve-ssl.pem'
    on 2 'kill "$(cat /run/joind.pid)"'
}

lab_up -n 4
claims_of_leaving
claims_of_removing
claims_of_coming_back
claims_of_names_and_addresses
claims_of_small_verbs
finish
