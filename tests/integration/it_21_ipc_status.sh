#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: on three real nodes every request of the IPC service answers as documented, status keys, log
# and RRD values reach all nodes and tell the truth about nodes that fail, and no client, whatever
# it does, hurts the daemon.
# Method: a lab; pmxcfs-ipc as root, www-data and nobody; a JSON parser on every answer; a client
# that writes nonsense into the memory it shares; kills, partitions and restarts.
# Timeout: 300
. "$(dirname "$0")/lib.sh"
need corosync ip nft nsenter python3 setpriv rrdtool

IPC=$(build_dir)/cli/pmxcfs-ipc
PROBE=$(build_dir)/tests/integration/watch_probe
need "$IPC" "$PROBE"

on()
{
    local node=$1
    shift
    lab exec "$node" -- "$@"
}

ipc()
{
    local node=$1
    shift
    on "$node" "$IPC" "$@"
}

as()
{
    local uid=$1 gid=$2
    shift 2
    on 1 setpriv --reuid="$uid" --regid="$gid" --clear-groups "$@"
}

www()
{
    as 33 33 "$IPC" "$@"
}

json()
{
    "$@" | python3 -c 'import json, sys; json.load(sys.stdin)'
}

answers()
{
    local want=$1
    shift
    equal "$("$@")" "$want"
}

has()
{
    local part=$1 out
    shift
    out=$("$@") || return 1
    case $out in
    *"$part"*) ;;
    *)
        printf 'no "%s" in:\n%s\n' "$part" "$out"
        return 1
        ;;
    esac
}

# Online flags of all nodes as one node shows them: "1 1 0".
online()
{
    ipc "$1" members | python3 -c '
import json, sys
nodes = json.load(sys.stdin)["nodelist"]
print(*(nodes[n]["online"] for n in sorted(nodes)))'
}

shows()
{
    equal "$(online "$1")" "$2"
}

same_log()
{
    local first
    first=$(ipc 1 get-log --max=1000) || return 1
    equal "$(ipc 2 get-log --max=1000)" "$first" && equal "$(ipc 3 get-log --max=1000)" "$first"
}

lab_up -n 3
for n in 1 2 3; do
    within 60 shows "$n" '1 1 1' || echo "# node $n: $(online "$n")"
done

# ---- every request ----

lab exec 1 -- sh -c 'mkdir -p /etc/pve/nodes/node1/qemu-server /etc/pve/priv &&
    printf "name: web\nmemory: 2048\n" >/etc/pve/nodes/node1/qemu-server/100.conf &&
    echo "dir: local" >/etc/pve/storage.cfg && echo "u@pam!t s3cret" >/etc/pve/priv/token.cfg'
check 'version is JSON' json ipc 1 version
check 'members is JSON and names all nodes' has '"node3": { "id": 3, "online": 1' ipc 1 members
check 'vmlist has the guest' has '"100": { "node": "node1", "type": "qemu"' ipc 1 vmlist
check 'get-file gives the content' answers 'dir: local' ipc 1 get-file storage.cfg
check 'get-file of another node gives it too' answers 'dir: local' ipc 3 get-file /storage.cfg
refuse 'get-file of a missing file fails' ipc 1 get-file nope.cfg
refuse 'get-file of a directory fails' ipc 1 get-file nodes
check 'guest-property' has '"100":{"name": "web"}' ipc 1 guest-property name
check 'guest-properties' has '"100":{"memory": "2048","name": "web"}' \
    ipc 1 guest-properties --vmid=100 memory name
refuse 'guest-property of an unknown guest fails' ipc 1 guest-property --vmid=999 name
check 'verify-token knows the token' sh -c "echo 'u@pam!t s3cret' | '$TOP/scripts/lab' exec \
    --name '$LAB_NAME' 1 -- '$IPC' verify-token"
refuse 'verify-token knows no other' sh -c "echo 'u@pam!t wrong' | '$TOP/scripts/lab' exec \
    --name '$LAB_NAME' 1 -- '$IPC' verify-token"

check 'verify finds equal content' within 60 has 'content is equal on 3 member' ipc 2 verify

# ---- status and log on all nodes ----

check 'set-status' ipc 1 set-status --value='hello world' kv/test
for n in 1 2 3; do
    check "node $n sees the key" \
        within 60 answers 'hello world' ipc "$n" get-status --node=node1 kv/test
done
check 'the version file counts it' has '"kv/test": 0' ipc 2 version
check 'removal' ipc 1 set-status --remove kv/test
refuse 'a removed key is gone' ipc 1 get-status kv/test
refuse 'a value that is too long is refused' sh -c "head -c 32769 /dev/zero | '$TOP/scripts/lab' \
    exec --name '$LAB_NAME' 1 -- '$IPC' set-status --exact kv/big"
refuse 'a wrong address is refused' ipc 1 set-status --exact --value=10.9.9.9 nodeip
check 'and nobody has heard of it' sh -c "! '$TOP/scripts/lab' exec --name '$LAB_NAME' 2 -- \
    '$IPC' members | grep -F 10.9.9.9"
check 'log with quotes, backslashes and umlauts' ipc 2 log --tag=it --priority=warning \
    'C:\dir "quoted" ä'
check 'the log is the same on all nodes' within 60 same_log
check 'and JSON that says what was logged' sh -c "'$TOP/scripts/lab' exec --name '$LAB_NAME' 3 -- \
    '$IPC' get-log --max=1 | python3 -c '
import json, sys
e = json.load(sys.stdin)[\"data\"][0]
assert e[\"msg\"] == \"C:\\\\dir \\\"quoted\\\" \\u00e4\", e
assert e[\"node\"] == \"node2\" and e[\"pri\"] == 4, e'"

# ---- RRD ----

rrd_file_on()
{
    equal "$(on "$1" stat -c %s /var/lib/rrdcached/db/pve-node-9.0/node2)" 1504296
}

now=$(date +%s)
check 'an RRD value' ipc 2 set-status \
    --value="100:c:$now:1:2:3:4:5:6:7:8:9:10:11:12" rrd/pve2-node/node2
for n in 1 2 3; do
    check "node $n has a file of the documented size" within 60 rrd_file_on "$n"
done
check 'rrdtool reads it' has 'ds[netout].type = "DERIVE"' \
    on 1 rrdtool info /var/lib/rrdcached/db/pve-node-9.0/node2
check 'the dump has the value as sent' has "pve2-node/node2:100:c:$now:1:2" ipc 3 rrd
check 'and as JSON' json ipc 3 rrd --output-format=json

# ---- who may what ----

check 'www-data reads' www version
check 'www-data reads files' answers 'dir: local' www get-file storage.cfg
refuse 'but no private ones' www get-file priv/token.cfg
refuse 'however they are spelled' www get-file nodes//node1/priv/key
refuse 'nor sets keys' www set-status --value=x kv/x
refuse 'nor logs' www log x
refuse 'nobody is not let in' as 65534 65534 "$IPC" version
refuse 'nor is root of another group' as 0 65534 "$IPC" version

# ---- hostile clients ----

raw()
{
    local id=$1
    shift
    printf '41414141' | lab exec 1 -- "$IPC" raw "$@" "$id"
}

alive()
{
    ipc 1 version >/dev/null && on 1 ls /etc/pve >/dev/null
}

for size in 100000000 0 15 21 4294967295; do
    check "a request that claims $size bytes is EINVAL" has 'error 22' raw 6 --size="$size"
done
check 'an unknown request is ECHRNG' has 'error 44' raw 9
cat >"$WORK/hostile.py" <<'PY'
import mmap, os, random, socket, struct, sys, time

random.seed(int(sys.argv[1]))

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect('\0pve2' + '\0' * (108 - 5))
    s.sendall(struct.pack('<iiiiII', -1, 0, 24, 0, 1048576, 0))
    welcome = s.recv(12328, socket.MSG_WAITALL)
    if struct.unpack_from('<i', welcome, 16)[0] != 0:
        sys.exit(3)
    prefix = welcome[40:4136].split(b'\0')[0].decode()
    return s, prefix

def map_file(path):
    fd = os.open(path, os.O_RDWR)
    return mmap.mmap(fd, os.fstat(fd).st_size), fd

for turn in range(60):
    s, prefix = connect()
    (head, head_fd), (data, data_fd) = map_file(prefix + '-header'), map_file(prefix + '-data')
    for _ in range(40):
        word = random.choice((0, 1, 0xa1a1a1a1, 0xffffffff, random.getrandbits(32)))
        struct.pack_into('<I', head, random.randrange(0, 3) * 4, word)
        struct.pack_into('<I', head, 8208 + random.randrange(0, 8) * 4, word)
        struct.pack_into('<I', data, random.randrange(0, 64) * 4, word)
        struct.pack_into('<I', head, 8208, random.randrange(0, 3))
        try:
            s.send(b'x')
        except OSError:
            break
    head[12:12 + 4096] = b'/etc/pve-must-stay'.ljust(4096, b'\0')
    head[4108:4108 + 4096] = b'/etc/pve-must-stay'.ljust(4096, b'\0')
    if turn % 3 == 0:
        os.ftruncate(random.choice((head_fd, data_fd)), 0)
        try:
            s.send(b'x')
        except OSError:
            pass
    s.close()
    os.close(head_fd)
    os.close(data_fd)
silent = [socket.socket(socket.AF_UNIX) for _ in range(150)]
for s in silent:
    s.setblocking(False)
    try:
        s.connect('\0pve2' + '\0' * (108 - 5))
        s.send(random.randbytes(random.randrange(1, 23)))
    except OSError:
        pass
time.sleep(0.2)
PY
chmod 755 "$WORK" && chmod 644 "$WORK/hostile.py"
before=$(lab exec 1 -- cat /run/pve-cluster.pid)
on 1 touch /etc/pve-must-stay
for seed in "$SEED" $((SEED + 1)) $((SEED + 2)); do
    check "www-data scribbles over the shared memory ($seed)" as 33 33 \
        python3 "$WORK/hostile.py" "$seed"
    check "and the daemon lives ($seed)" alive
done
check 'it is the same daemon' answers "$before" on 1 cat /run/pve-cluster.pid
check 'and has removed nothing it was told to' on 1 test -e /etc/pve-must-stay
check 'nothing is left in /dev/shm' \
    within 60 sh -c "! '$TOP/scripts/lab' exec --name '$LAB_NAME' 1 \
    -- ls /dev/shm | grep -q '^qb-$before-'"

# ---- truth about nodes that fail ----

check 'a key of node 3' ipc 3 set-status --value=old kv/three
check 'is seen' within 60 answers old ipc 1 get-status --node=node3 kv/three
lab kill 3 pmxcfs
check 'a node whose daemon died is offline' within 60 shows 1 '1 1 0'
check 'its keys stay meanwhile' answers old ipc 1 get-status --node=node3 kv/three
lab start 3
check 'it returns' within 60 shows 1 '1 1 1'
refuse 'its old keys are gone' ipc 1 get-status --node=node3 kv/three
check 'the log is the same again' within 60 same_log

# ---- a watcher lives through a restart of its daemon ----

probed()
{
    grep -qE "$1" "$WORK/probe.out"
}

lab exec 1 -- timeout 120 "$PROBE" /etc/pve >"$WORK/probe.out" 2>&1 &
check 'a watcher begins' within 60 probed '^ready$'
on 2 sh -c 'echo one >/etc/pve/watched1'
check 'a watcher hears of a change on another node' within 60 probed ' watched1$'
lab stop 1 pmxcfs
on 2 sh -c 'echo two >/etc/pve/watched2'
lab start 1
check 'and of what happened while its daemon was down' within 60 probed ' watched2$|^anything'
on 2 sh -c 'echo three >/etc/pve/watched3'
check 'and goes on' within 60 probed ' watched3$'
check 'all are online for what follows' within 60 shows 1 '1 1 1'

lab partition 1,2/3
check 'the majority shows the lost node offline' within 60 shows 1 '1 1 0'
check 'the lost node shows itself alone' within 60 shows 3 '0 0 1'
check 'a key set in the majority' ipc 1 set-status --value=new kv/one
check 'a key set by the lost node' ipc 3 set-status --value=alone kv/three
check 'an entry logged by the lost node' ipc 3 log 'alone'
lab heal
check 'after healing all are online' within 60 shows 3 '1 1 1'
check 'the lost node has the new key' within 60 answers new ipc 3 get-status --node=node1 kv/one
check 'the others have its key' within 60 answers alone ipc 1 get-status --node=node3 kv/three
check 'and the log is one' within 60 same_log

lab kill 1 corosync
check 'without corosync a node shows only itself online' within 60 shows 1 '1 0 0'
check 'and IPC goes on' alive
check 'keys can be set' ipc 1 set-status --value=later kv/one
lab start 1
check 'it is back' within 60 shows 1 '1 1 1'
check 'and tells what it was told meanwhile' \
    within 60 answers later ipc 2 get-status --node=node1 kv/one
finish
