#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the documented ways to join work in both directions. The REST endpoints answer as clients
# that are not ours know them (curl), also on a node that is in no cluster; logging in needs the
# password, and guessing is slow; a node joins with a member's address and password, through a
# member that offers only the documented endpoints as well; a foreign node is taken in and gets
# its vote when it has shown up.
# Timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nodes_lib.sh"
at=$WORK/n # what the nodes keep, which have the folders of this machine
need curl python3 "$BUILD/api/quorate-apid"

# A node as it comes from the installer: pmxcfs in local mode, root's password set.
make_bare()
{
    local node=$1
    lab stop "$node" pmxcfs >/dev/null 2>&1
    lab stop "$node" corosync >/dev/null 2>&1
    on "$node" 'rm -rf /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/pve-cluster/*'
    lab start "$node" pmxcfs
    within 60 on "$node" 'test -e /etc/pve/.version'
    on "$node" 'echo root:lab-secret | chpasswd -c SHA256 &&
        cp '"$TOP"'/api/quorate.pam /etc/pam.d/quorate'
}

# curl on a node, to this node's API: METHOD PATH [ARGS]; status on the first line, then the body.
call()
{
    local node=$1 method=$2 path=$3
    shift 3
    on "$node" "curl -sk --max-time 60 -X $method -w '%{http_code}' -o $at.body $* \
        'https://127.0.0.1:8006/api2/json$path'; echo; cat $at.body"
}

answers()
{
    local want=$1 out
    shift
    out=$(call "$@") || return 1
    echo "$out"
    [ "$(head -1 <<<"$out")" = "$want" ]
}

# json EXPRESSION: `d` is what stands under "data" of the last body on the node.
json()
{
    on "$1" "cat $at.body" | python3 -c "import json,sys; d=json.load(sys.stdin)['data']; $2"
}

login()
{
    on "$1" "printf 'username=root%%40pam&password=%s' '$2' |
        curl -sk --max-time 60 -o $at.login -d @- https://127.0.0.1:8006/api2/json/access/ticket &&
        python3 -c \"import json,urllib.parse as u; d=json.load(open('$at.login'))['data']
open('$at.cookie','w').write('Cookie: PVEAuthCookie='+u.quote(d['ticket']))
open('$at.csrf','w').write('CSRFPreventionToken: '+d['CSRFPreventionToken'])\""
}

AUTH="-H @$at.cookie"
FULL="-H @$at.cookie -H @$at.csrf"

# What the member shows, for people to compare.
fingerprint()
{
    on 1 "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2"
}

# `pvecm add` on a node; the password comes by standard input.
add()
{
    local node=$1 password=$2
    shift 2
    on "$node" "cd / && echo '$password' | pvecm add $*"
}

# On node 1, port 8007: a member that knows the documented endpoints only, with the same
# certificate; every other request is answered as an unknown one.
start_plain_member()
{
    on 1 "setsid python3 '$TOP/tests/integration/plain_member.py' $at.plain.log \
        </dev/null >$at.plain.err 2>&1 &"
    within 60 on 1 "ss -Htln 'sport = 8007' | grep -q 8007"
}

task_failed_saying()
{
    on 1 "curl -sfk $AUTH 'https://127.0.0.1:8006/api2/json/nodes/node1/tasks/$UPID/status' |
        grep -q '\"exitstatus\":\"[^\"]*$1'"
}

a_task_is_started()
{
    UPID=$(json 1 'print(d)')
    echo "$UPID"
    [ "${UPID#UPID:node1:}" != "$UPID" ]
}

# Once it catches SIGTERM (in SigCgt) it neither serves nor ends.
waits_for_a_certificate()
{
    lab start 1 api && within 60 on 1 "pgrep -x quorate-api >$at.api &&
        grep -qE '^SigCgt:.*[4-7c-f][0-9a-f]{3}\$' /proc/\$(cat $at.api)/status" || return 1
    on 1 "sleep 1; pgrep -x quorate-api >/dev/null && test -z \"\$(ss -Htln 'sport = 8006')\""
}

# A node that never was in a cluster has an API as well: by it it makes one.
claims_of_a_node_alone()
{
    check 'without a certificate its API waits' waits_for_a_certificate
    check 'until it is told to end' lab stop 1 api
    check 'and again' waits_for_a_certificate
    check 'a node of its own gets keys and certificates' on 1 \
        'pvecm updatecerts && test -s /etc/pve/local/pve-ssl.pem'
    must 'its API serves' start_api 1 joind apid
    check 'which is the one that waited' on 1 "pgrep -x quorate-api | grep -qx \$(cat $at.api)"
    check 'root logs in' login 1 lab-secret
    check 'there is nothing to join' answers 424 1 GET /cluster/config/join "$AUTH"
    check 'a cluster is made' answers 200 1 POST /cluster/config "$FULL -d clustername=lab1"
    must 'to its end' within 90 on 1 \
        "grep -q 'clustercreate:lab1:root@pam: [0-9A-F]* OK' /var/log/pve/tasks/index"
}

claims_of_requests()
{
    check 'HEAD is answered as GET is' on 1 \
        "curl -skI https://127.0.0.1:8006/api2/json/access/domains | grep -q '^HTTP/1.1 200'"
    check 'a chunked body is refused' answers 501 1 POST /access/ticket \
        "-H 'Transfer-Encoding: chunked' -d username=x"
    check 'so is one that is neither form nor JSON' answers 506 1 POST /access/ticket \
        "-H 'Content-Type: text/plain' -d username=x"
    check 'after an error the connection is closed' on 1 \
        "curl -ski https://127.0.0.1:8006/api2/json/nothing | grep -qi '^connection: close'"
}

claims_of_the_endpoints()
{
    check 'without a ticket nothing is told' answers 401 1 GET /cluster/config/join
    refuse 'a wrong password does not log in' login 1 wrong
    check 'and is answered 401' answers 401 1 POST /access/ticket \
        "-d 'username=root@pam&password=wrong'"
    check 'the failed login is in the log, without the password' on 1 \
        "grep -q \"login of 'root@pam' from 127.0.0.1 failed\" /var/log/syslog &&
        ! grep -q wrong /var/log/syslog"
    check 'the right password logs in' login 1 lab-secret
    check 'join information is given' answers 200 1 GET /cluster/config/join "$AUTH"
    check 'as documented' json 1 "n=d['nodelist'][0]
assert n['name'] == 'node1' and n['nodeid'] == '1' and n['quorum_votes'] == '1', n
assert n['ring0_addr'] == n['pve_addr'] and len(n['pve_fp']) == 95, n
assert d['preferred_node'] == 'node1' and len(d['config_digest']) == 40
assert d['totem']['cluster_name'] == 'lab1' and d['totem']['interface']['0']['linknumber'] == '0'"
    check 'the API version is told' answers 200 1 GET /cluster/config/apiversion "$AUTH"
    check 'as a number' json 1 'assert d == 1'
    check 'nodes, totem and qdevice are told' on 1 "for p in nodes totem qdevice; do
        curl -sfk $AUTH https://127.0.0.1:8006/api2/json/cluster/config/\$p || exit 1; done"
    check 'an unknown path is not implemented' answers 501 1 GET /cluster/nothing "$AUTH"
    check 'changing needs the CSRF text' answers 401 1 POST /cluster/config/nodes/x "$AUTH"
    check 'unknown parameters are named' answers 400 1 POST /cluster/config/nodes/x "$FULL -d a=1"
    check 'a missing link is refused' answers 400 1 POST /cluster/config/nodes/x \
        "$FULL -d link1=10.0.0.9"
    check 'a taken address is refused' answers 500 1 POST /cluster/config/nodes/x \
        "$FULL -d link0=10.80.0.1"
    check 'a bad name is refused' answers 400 1 POST /cluster/config/nodes/x_y "$FULL"
    on 1 "printf 'user:joe@pve:1:0:::::\nacl:1:/:joe@pve:PVEAuditor:\n' >/etc/pve/user.cfg
        echo \"joe:\$(openssl passwd -5 joes-secret):\" >/etc/pve/priv/shadow.cfg"
    check 'a user of the cluster logs in' on 1 "curl -sfk -o $at.joe \
        -d 'username=joe@pve&password=joes-secret' https://127.0.0.1:8006/api2/json/access/ticket"
    check 'may look' on 1 "python3 -c \"import json,urllib.parse as u
d=json.load(open('$at.joe'))['data']; assert d['cap']['dc'] == {'SDN.Audit': 1, 'Sys.Audit': 1}, d
open('$at.joe.h','w').write('Cookie: PVEAuthCookie='+u.quote(d['ticket'])+chr(10)
+'CSRFPreventionToken: '+d['CSRFPreventionToken'])\" &&
        curl -sfk -H @$at.joe.h https://127.0.0.1:8006/api2/json/cluster/config/join"
    check 'but not add' answers 403 1 POST /cluster/config/nodes/x "-H @$at.joe.h"
    check 'a cluster is made in a task' answers 200 1 POST /cluster/config \
        "$FULL -d clustername=lab2"
    check 'with an id' a_task_is_started
    check 'which says why it failed' within 60 task_failed_saying 'in a cluster already'
}

claims_of_passwords()
{
    local fp
    fp=$(fingerprint)
    check '--use_ssh is refused with a reason' refused_saying 'join by token' \
        add 2 lab-secret 10.80.0.1 --use_ssh
    check 'nobody is trusted unseen' refused_saying "$fp" add 2 lab-secret 10.80.0.1
    check 'a wrong fingerprint is refused' refused_saying fingerprint \
        add 2 lab-secret 10.80.0.1 --fingerprint "${fp%??}00"
    check 'a wrong password is refused' refused_saying 'authentication failure' \
        add 2 wrong 10.80.0.1 --fingerprint "$fp"
    check 'after that the node is out' on 2 'test ! -e /etc/corosync/authkey -a \
        ! -e /etc/pve/corosync.conf'
    check 'a node joins with the copied text and the password' add 2 lab-secret \
        "$(on 1 'pvecm joininfo')"
    check 'and has its vote' within 60 expects_votes 2
}

envelope()
{
    on 1 "curl -sk $AUTH https://127.0.0.1:8006/api2/extjs$1" | tee "$WORK/extjs" |
        grep -q "^{\"success\":$2"
}

claims_of_other_nodes()
{
    check 'the second node serves as well' start_api 2 joind apid api
    check 'it asks the first one about its task' answers 200 2 GET \
        "/nodes/node1/tasks/$UPID/status" "$AUTH"
    check 'and tells what that says' json 2 "assert d['upid'] == '$UPID', d"
    check 'with the rights of the caller alone' answers 401 2 GET \
        "/nodes/node1/tasks/$UPID/status"
    check 'a node that is none is named' answers 500 2 GET "/nodes/node9/tasks/x/log" "$AUTH"
    check 'the web interface has its envelope' envelope /version '1,"data":{'
    check 'for errors as well' envelope /nothing '0,"status":501,"data":null,"message":'
    check 'what a foreign node asks by ssh is done, and taken back' on 1 \
        "pvecm addnode node9 --force 1 --apiversion 1 --new_node_ip 10.80.0.9 &&
        grep -q 'ring0_addr: 10.80.0.9' /etc/pve/corosync.conf && pvecm delnode node9"
    check 'its address for migrations is told' equal \
        "ip: '10.80.0.1'" "$(on 1 'pvecm mtunnel --get_migration_ip \
        --migration_network 10.80.0.0/24')"
}

# By hand what a node that is not ours does: it has the answer of the member, writes key and
# configuration, starts its daemons.
join_by_hand()
{
    on 1 "curl -sfk $FULL -o $at.answer -d new_node_ip=10.80.0.3 -d apiversion=1 \
        https://127.0.0.1:8006/api2/json/cluster/config/nodes/node3 && cat $at.answer" \
        >"$WORK/answer" || return 1
    lab stop 3 pmxcfs || return 1
    on 3 "rm -f /var/lib/pve-cluster/config.db* && python3 -c \"import json
d=json.load(open('$WORK/answer'))['data']; assert d['warnings'] == [], d['warnings']
open('/etc/corosync/authkey','wb').write(d['corosync_authkey'].encode('latin-1'))
open('/etc/corosync/corosync.conf','w').write(d['corosync_conf'])\"" || return 1
    equal "$(on 3 "sha256sum </etc/corosync/authkey")" \
        "$(on 1 "sha256sum </etc/corosync/authkey")" || return 1
    lab start 3 corosync && lab start 3 pmxcfs &&
        within 60 on 3 'test -e /etc/pve/priv/pve-root-ca.key'
}

# Joins node 4 under the name of another one, by the documented endpoints.
add_as_node3()
{
    on 4 "cp /etc/hosts $at.hosts && sed '/node3/d; s/10.80.0.4.*/& node3/' $at.hosts >/etc/hosts
        echo lab-secret | unshare -u sh -c 'hostname node3 && pvecm add 10.80.0.1:8007 \
            --fingerprint $(fingerprint)'
        status=\$?; cat $at.hosts >/etc/hosts; exit \$status"
}

claims_of_both_directions()
{
    check 'a foreign node joins through ours' join_by_hand
    check 'it gets its vote when it has shown up' within 60 expects_votes 3
    check 'nothing is left of its waiting' within 60 on 1 \
        '! grep -l "made-by: password" /etc/pve/priv/join-tokens/*'
    check 'a member with the documented endpoints only serves' start_plain_member
    check 'a guest id that is taken is told before anything is done' refused_saying \
        'guest 100 exists' add 4 lab-secret 10.80.0.1:8007 --fingerprint "$(fingerprint)"
    on 4 'cd /etc/pve/nodes/node4/qemu-server && mv 100.conf 400.conf'
    check 'a name that is taken is refused' refused_saying 'is in the cluster already' add_as_node3
    check 'and its owner stays' on 1 'grep -q "name: node3" /etc/pve/corosync.conf'
    check 'a dry run sees an id that is taken' refused_saying 'already belongs to node' \
        add 4 lab-secret 10.80.0.1:8007 --fingerprint "$(fingerprint)" --nodeid 1 --dry-run
    check 'and a link that the cluster does not have' refused_saying 'does not use link 1' \
        add 4 lab-secret 10.80.0.1:8007 --fingerprint "$(fingerprint)" --dry-run \
        --link0 10.80.0.4 --link1 10.80.0.4
    check 'our node joins through it' add 4 lab-secret 10.80.0.1:8007 \
        --fingerprint "$(fingerprint)"
    check 'by these endpoints' on 1 "grep -q 'POST /api2/json/cluster/config/nodes/node4' \
        $at.plain.log && ! grep -q join2/token $at.plain.log"
    check 'and has its vote' within 60 expects_votes 4
    check 'and its guest' on 1 'grep -q guest4 /etc/pve/nodes/node4/qemu-server/400.conf'
    check 'the API tells of all nodes' answers 200 1 GET /cluster/status "$AUTH"
    check 'as documented' json 1 "c=[e for e in d if e['type'] == 'cluster'][0]
n={e['name']: e for e in d if e['type'] == 'node'}
assert c['name'] == 'lab1' and c['nodes'] == 4 and c['quorate'] == 1, c
assert n['node4']['online'] == 1 and n['node4']['ip'] == '10.80.0.4' and n['node1']['local'] == 1"
    check 'and of guests' answers 200 1 GET '/cluster/resources?type=vm' "$AUTH"
    check 'each with its node' json 1 "assert sorted((e['id'], e['node']) for e in d) == \
    [('qemu/100', 'node1'), ('qemu/400', 'node4')], d"
    check 'and a certificate of the cluster' on 4 \
        'openssl verify -CAfile /etc/pve/pve-root-ca.pem /etc/pve/local/pve-ssl.pem'
}

lab_up -n 4 --bare
for n in 1 2 3 4; do
    make_bare "$n"
done
for n in 1 4; do # both have a guest 100
    on "$n" "mkdir -p /etc/pve/nodes/node$n/qemu-server &&
        echo 'name: guest$n' >/etc/pve/nodes/node$n/qemu-server/100.conf"
done
claims_of_a_node_alone
claims_of_requests
claims_of_the_endpoints
claims_of_passwords
claims_of_other_nodes
claims_of_both_directions
finish
