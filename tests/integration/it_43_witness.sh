#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a cluster of two gets a witness by one token, without ssh, and then survives the death of
# either node; the witness' vote follows when nodes come, and all traces go when it is removed.
# Method: real corosync-qnetd on node 4 of the lab, which is no member; real corosync-qdevice.
# Timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nodes_lib.sh"
at=$WORK/n # what the nodes keep, which have the folders of this machine
need corosync-qnetd corosync-qdevice certutil python3

make_bare()
{
    local node=$1
    lab stop "$node" pmxcfs >/dev/null 2>&1
    lab stop "$node" corosync >/dev/null 2>&1
    on "$node" 'rm -rf /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/pve-cluster/*
        rm -rf /etc/corosync/qdevice /etc/corosync/qnetd/nssdb/*'
    [ "$node" = 4 ] && return
    lab start "$node" pmxcfs
    within 60 on "$node" 'test -e /etc/pve/.version'
}

# Facts of `pvecm status` on a node, as python sees them in `s`.
status()
{
    lab exec "$1" -- pvecm status --output-format json |
        python3 -c "import json,sys; s=json.load(sys.stdin); sys.exit(not ($2))"
}

# A new token of the witness host in $WORK/token; its service waits there.
new_token()
{
    on 4 'pvecm witness token --address 10.80.0.4 --ttl 250 --dry-run' || return 1
    on 4 "rm -f $at.token; setsid pvecm witness token --address 10.80.0.4 --ttl 250 >$at.token \
        2>$at.witness.log </dev/null &"
    within 60 on 4 "grep -q PVEW1 $at.token && ss -Htln 'sport = 5402' | grep -q 5402" || {
        on 4 "cat $at.witness.log"
        return 1
    }
    on 4 "cat $at.token" >"$WORK/token"
}

other_secret()
{
    python3 -c "
import base64, json, sys
body = open(sys.argv[1]).read().strip().split('.')[1]
t = json.loads(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))
t['secret'] = 'ab' * 32
print('PVEW1.' + base64.urlsafe_b64encode(json.dumps(t).encode()).decode().rstrip('='))" \
        "$WORK/token"
}

setup()
{
    on 1 "echo '$(cat "$WORK/token")' | pvecm witness setup -"
}

nothing_left()
{
    on 1 'test ! -e /etc/pve/priv/qdevice && ! grep -q device /etc/pve/corosync.conf &&
        test ! -e /run/quorate-enrol'
}

gone()
{
    local n
    for n in 1 2 3; do
        on "$n" '! grep -q device /etc/corosync/corosync.conf &&
            test ! -e /etc/corosync/qdevice/net/nssdb && ! pgrep -x corosync-qdevic' || return 1
    done
    on 1 'test ! -e /etc/pve/priv/qdevice' && status 1 "s['expected_votes'] == 3"
}

# Node 4 does what it is told on TCP port 2222, and `ssh` on node 1 tells it.
start_ssh()
{
    on 4 "setsid python3 '$TOP/tests/integration/fake_ssh.py' serve </dev/null >$at.ssh.log 2>&1 &"
    on 1 "mkdir /etc/lab-bin && printf '#!/bin/sh\nexec python3 %s \"\$@\"\n' \
        '$TOP/tests/integration/fake_ssh.py' >/etc/lab-bin/ssh && chmod +x /etc/lab-bin/ssh"
    within 60 on 4 "ss -Htln 'sport = 2222' | grep -q 2222"
}

lab_up -n 4 --bare
for n in 1 2 3 4; do
    make_bare "$n"
done
must 'a cluster of two is made' on 1 'pvecm create lab1'
lab start 1 joind
lab start 1 api
within 60 on 1 "ss -Htln 'sport = 8006' | grep -q 8006"
refuse 'a witness for one node is refused' on 1 "pvecm witness setup PVEW1.AAAA"
must 'the second joins' on 2 "cd /; pvecm add $(on 1 'pvecm token')"
start_api 2
on 1 'ip addr add 10.80.0.11/24 dev eth0'
check 'one of two gets another address, though none of them has quorum alone' \
    on 2 'pvecm readdress node1 --link0 10.80.0.11'

must 'the witness host prints a token' new_token
refuse 'another secret is refused' on 1 "pvecm witness setup $(other_secret)"
check 'and left nothing' nothing_left
on 1 'mkdir -p /run/quorate-enrol && echo key >/run/quorate-enrol/of-a-killed-one'
must 'the witness is set up' setup
check 'and no key lies around' on 1 'test ! -e /run/quorate-enrol'
must 'it votes on both nodes' status 1 "s['expected_votes'] == 3 and s['total_votes'] == 3"
check 'status shows it as documented' on 1 "pvecm status | grep -q '^Flags: *Quorate Qdevice' &&
    pvecm status | grep -q '^0x00000001 *1 *A,V,NMW .*(local)' &&
    pvecm status | grep -q '^0x00000000 *1 *Qdevice'"
check 'and says that one more node may fail' status 1 "s['may_fail'] == 1"
check 'the token is used up' within 60 on 4 '! ss -Htln "sport = 5402" | grep -q 5402'
check 'keys are for root only' on 1 'test 600 = \
    "$(stat -c %a /etc/pve/priv/qdevice/qdevice-net-node.p12)" &&
    ! runuser -u www-data -- ls /etc/pve/priv/qdevice'

lab kill 2
check 'the other node dies and this one stays quorate' within 60 status 1 \
    "s['quorate'] and len(s['members']) == 1 and s['total_votes'] == 2"
check 'and can write' within 60 on 1 'echo x >/etc/pve/alone'
lab start 2
lab start 2 joind >/dev/null 2>&1 # unless it started with the node
check 'the node comes back and uses the witness again' within 90 status 2 \
    "s['total_votes'] == 3 and len(s['members']) == 2"

check 'a third node joins' on 3 "cd /; pvecm add $(on 1 'pvecm token')"
lab start 3 joind
check 'and the votes of the witness follow' within 90 status 1 \
    "s['expected_votes'] == 5 and s['total_votes'] == 5 and s['quorum'] == 3"
check 'the new node uses it too' within 90 status 3 "s['may_fail'] == 2 and s['total_votes'] == 5"
check 'it is removed' on 1 'pvecm witness remove'
check 'and gone from every node' within 60 gone
refuse 'a second removal is refused' on 1 'pvecm witness remove'

check 'for three nodes the documented setup wants force' refused_saying 'even number' \
    on 1 'pvecm qdevice setup 10.80.0.4'
start_ssh
lab stop 4 qnetd
check 'a host whose corosync-qnetd is off is refused' refused_saying 'port 5403' \
    on 1 'PATH=/etc/lab-bin:$PATH pvecm qdevice setup 10.80.0.4 --force'
check 'and everything is taken back' nothing_left
lab start 4 qnetd
check 'and then does it by ssh' on 1 'PATH=/etc/lab-bin:$PATH pvecm qdevice setup 10.80.0.4 --force'
check 'for odd numbers' on 1 "grep -q 'algorithm: lms' /etc/pve/corosync.conf"
check 'and the witness votes' within 90 status 3 "s['total_votes'] == 5"
finish
