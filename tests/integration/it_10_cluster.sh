#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: three nodes hold one tree through what happens to clusters.
# Method: real corosync and pmxcfs in the lab. After each event the bytes, modes, owners and times
# of all files are compared on all nodes; what was acknowledged before it must be there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
need corosync "$(build_dir)/pmxcfs/pmxcfs"

fill()
{
    at 1 'set -e; cd /etc/pve
        mkdir -p nodes/node1/qemu-server nodes/node2/qemu-server priv ha
        mkdir -p nodes/node3/qemu-server
        echo "memory: 512" >nodes/node1/qemu-server/100.conf
        echo secret >priv/authkey.key; : >empty
        head -c 1048576 /dev/urandom >largest; head -c 4097 /dev/urandom >ha/resources.cfg
        printf "line\n" >appended; printf "more\n" >>appended
        touch -d @1000000000 empty; chmod 640 appended'
    at 2 'cd /etc/pve && echo "memory: 1024" >nodes/node2/qemu-server/101.conf'
    at 3 'cd /etc/pve && echo three >three && mv three nodes/node3/moved'
}

claims_of_one_tree()
{
    local n
    lab_up -n 3
    for n in 1 2 3; do
        at "$n" "echo hello from $n >/etc/pve/hello-$n"
    done
    check 'what one node writes the others read' all_same 1 2 3
    for n in 1 2 3; do
        check "node $n has all three" reads "$n" '/etc/pve/hello-[123]' \
            "$(printf 'hello from %s\n' 1 2 3)"
    done
    check 'files of all kinds can be written' fill
    check 'they are the same everywhere' all_same 1 2 3
    check 'times given by a caller are kept everywhere' \
        equal "$(at 3 'stat -c %Y /etc/pve/empty')" 1000000000
    check 'private files are for root alone everywhere' \
        equal "$(at 2 'stat -c %a:%U:%G /etc/pve/priv/authkey.key')" 600:root:www-data
    check 'the link "local" is that of the node' \
        equal "$(at 2 'readlink /etc/pve/local')" nodes/node2
    check 'a VMID is given once in the cluster' \
        refused 3 'File exists' 'echo >/etc/pve/qemu-server/100.conf'
}

claims_of_a_killed_daemon()
{
    lab kill 2 pmxcfs
    check 'the others write on' at 1 'echo v2 >/etc/pve/hello-1 && rm /etc/pve/hello-3'
    lab start 2 pmxcfs
    check 'a killed pmxcfs returns, over its own stale mount' lab wait --timeout 90
    check 'and has caught up' all_same 1 2 3
    check 'with the change it missed' reads 2 /etc/pve/hello-1 v2
}

claims_of_a_killed_node()
{
    at 3 'echo acknowledged >/etc/pve/last-words'
    lab kill 3
    check 'a write is kept by the others when its writer dies' \
        within 60 reads 1 /etc/pve/last-words acknowledged
    check 'two of three go on' lab wait 1 2 --timeout 90
    check 'creating, changing, renaming, deleting' at 2 'set -e; cd /etc/pve
        mkdir while-away; echo new >while-away/file; mv hello-2 while-away/renamed
        echo changed >three-away; rm -r ha; head -c 300000 /dev/urandom >largest'
    lab start 3
    check 'the dead node returns' lab wait --timeout 90
    check 'and has caught up with all of it' all_same 1 2 3
    refuse 'what was deleted stays deleted' at 3 'test -e /etc/pve/ha'
}

claims_of_a_partition()
{
    local verb
    lab partition 1,2/3
    check 'the majority settles with quorum, the minority without' lab wait --timeout 90
    check 'the minority reads' reads 3 /etc/pve/while-away/file new
    for verb in 'echo x >new' 'echo x >empty' 'mkdir new' 'rm empty' 'mv empty new' \
        'touch empty'; do
        check "the minority refuses at once: $verb" \
            refused 3 'ermission denied' "cd /etc/pve && $verb"
    done
    check 'the majority writes' at 1 'echo majority >/etc/pve/partition; rm /etc/pve/appended'
    check 'the minority does not see it' at 3 'test ! -e /etc/pve/partition'
    lab heal
    check 'the network heals' lab wait --timeout 90
    check 'and all are the same again' all_same 1 2 3
    check 'with what the majority wrote' reads 3 /etc/pve/partition majority

    lab partition 1/2/3
    check 'three sides: none has quorum' lab wait --for inquorate --timeout 90
    check 'nobody writes' refused 1 'ermission denied' 'echo x >/etc/pve/new'
    lab heal
    check 'they find together' lab wait --timeout 90
    check 'and write' at 2 'echo again >/etc/pve/again'
    check 'one tree' all_same 1 2 3
}

claims_of_all_dying()
{
    local n
    at 1 'echo before the power cut >/etc/pve/power'
    for n in 1 2 3; do
        lab kill "$n"
    done
    for n in 3 2 1; do
        lab start "$n"
    done
    check 'all return after a power cut' lab wait --timeout 90
    check 'what was acknowledged is there' reads 3 /etc/pve/power 'before the power cut'
    check 'and everything else' all_same 1 2 3
    for n in 1 2 3; do
        check "node $n stops cleanly" lab stop "$n"
    done
    for n in 1 2 3; do
        lab start "$n"
    done
    check 'all return after a clean stop' lab wait --timeout 90
    check 'unchanged' all_same 1 2 3
    check 'the database of each is sound' sound_databases
}

sound_databases()
{
    local n
    for n in 1 2 3; do
        equal "$(at "$n" 'sqlite3 /var/lib/pve-cluster/config.db "PRAGMA integrity_check"')" ok ||
            return 1
    done
}

claims_of_one_tree
claims_of_a_killed_daemon
claims_of_a_killed_node
claims_of_a_partition
claims_of_all_dying
finish
