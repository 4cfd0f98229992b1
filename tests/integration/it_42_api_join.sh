#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the documented ways to join work in both directions. The REST endpoints answer as clients
# that are not ours know them (curl); logging in needs the password, and guessing is slow; a node
# joins with a member's address and password, through a member that offers only the documented
# endpoints as well; a foreign node is taken in and gets its vote when it has shown up.
# Timeout: 300
. "$(dirname "$0")/lib.sh"
need corosync curl ip nsenter python3
BUILD=$(build_dir)
need "$BUILD/pmxcfs/pmxcfs" "$BUILD/cli/pvecm" "$BUILD/api/quorate-api" "$BUILD/api/quorate-apid"
need "$BUILD/quorum/quorate-joind"

on()
{
    local node=$1
    shift
    lab exec "$node" -- sh -c "$*"
}

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

start_api()
{
    local daemon
    for daemon in joind apid api; do
        lab start "$1" "$daemon" || return 1
    done
    within 60 on "$1" "ss -Htln 'sport = 8006' | grep -q 8006"
}

# curl on a node, to this node's API: METHOD PATH [ARGS]; status on the first line, then the body.
call()
{
    local node=$1 method=$2 path=$3
    shift 3
    on "$node" "curl -sk --max-time 60 -X $method -w '%{http_code}' -o /tmp/body $* \
        'https://127.0.0.1:8006/api2/json$path'; echo; cat /tmp/body"
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
    on "$1" 'cat /tmp/body' | python3 -c "import json,sys; d=json.load(sys.stdin)['data']; $2"
}

login()
{
    on "$1" "printf 'username=root%%40pam&password=%s' '$2' |
        curl -sk --max-time 60 -o /tmp/login -d @- https://127.0.0.1:8006/api2/json/access/ticket &&
        python3 -c \"import json,urllib.parse as u; d=json.load(open('/tmp/login'))['data']
open('/tmp/cookie','w').write('Cookie: PVEAuthCookie='+u.quote(d['ticket']))
open('/tmp/csrf','w').write('CSRFPreventionToken: '+d['CSRFPreventionToken'])\""
}

AUTH='-H @/tmp/cookie'
FULL='-H @/tmp/cookie -H @/tmp/csrf'

lab_up -n 3 --no-wait
for n in 1 2 3; do
    make_bare "$n"
done
check 'a cluster is made' on 1 'pvecm create lab1'
check 'its API serves' start_api 1
check 'without a ticket nothing is told' answers 401 1 GET /cluster/config/join
refuse 'a wrong password is refused' login 1 wrong
check 'the right password logs in' login 1 lab-secret
check 'join information is given' answers 200 1 GET /cluster/config/join "$AUTH"
finish
