#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: where all members speak the native protocol it is used, with what it promises; with one who
# does not, all go on by the documented one.
# Method: real corosync and pmxcfs in the lab; one with --documented-protocol plays the foreign one.
. "$(dirname "$0")/lib.sh"
PMXCFS=$(build_dir)/pmxcfs/pmxcfs
need corosync "$PMXCFS"
IPC=$(build_dir)/cli/pmxcfs-ipc

at()
{
    local n=$1
    shift
    lab exec "$n" -- sh -c "$*"
}

native_is()
{
    local value=$1 n
    shift
    for n in "$@"; do
        at "$n" "grep -q '^pmxcfs_native $value\$' /etc/pve/.metrics" || return 1
    done
}

synced_are()
{
    at "$1" "grep -q '^pmxcfs_members_synced $2\$' /etc/pve/.metrics"
}

term_of()
{
    at "$1" "sed -n 's/^pmxcfs_native_term //p' /etc/pve/.metrics"
}

same_file()
{
    local path=$1 first
    first=$(at 1 "sha256sum <$path") || return 1
    equal "$(at 2 "sha256sum <$path")" "$first" && equal "$(at 3 "sha256sum <$path")" "$first"
}

# Each disk counts, also of the node that joined last.
claims_of_each()
{
    local n
    for n in 1 2 3; do
        lab pause "$n" pmxcfs
        check "the others write without node $n, which is stopped" within 60 \
            at $((n % 3 + 1)) "mkdir -p /etc/pve/without-$n"
        lab resume "$n" pmxcfs
    done
    check 'and all are members again' within 60 native_is 1 1 2 3
}

claims_of_the_protocol()
{
    local term
    lab_up -n 3
    check 'three members find out that all are native' within 30 native_is 1 1 2 3
    claims_of_each
    check 'a file of 5 MiB can be written' at 1 'head -c 5242880 /dev/urandom >/etc/pve/big'
    check 'and is the same everywhere' within 20 same_file /etc/pve/big
    check 'many small changes at once' at 2 'cd /etc/pve && mkdir many &&
        for i in 1 2 3 4 5 6 7 8; do (echo $i >many/$i) & done; wait; test $(ls many | wc -l) = 8'
    # Acknowledged is what two of three have: the third may still be about to take it.
    check 'which the third node soon has' within 60 \
        at 3 'cd /etc/pve/many && test "$(echo $(cat 1 2 3 4 5 6 7 8))" = "1 2 3 4 5 6 7 8"'
    check 'a rename that must not replace does not, and one that may does' at 3 'cd /etc/pve/many &&
        mv -n 1 2 && test "$(cat 2)" = 2 && mv 1 2 && test "$(cat 2)" = 1'
    term=$(term_of 1)
    lab kill 3 pmxcfs
    check 'two of three go on, in a new term' at 1 "echo two >/etc/pve/two"
    check 'which is a later one' test "$(term_of 1)" -gt "$term"
    lab start 3 pmxcfs
    check 'the third comes back' within 30 native_is 1 1 2 3
    check 'with everything' within 20 synced_are 1 3
    check 'and fetched what it missed, not the large file' fetched_little 3
}

# The last takeover of a node brought less than 64 KiB.
fetched_little()
{
    lab logs "$1" pmxcfs -n 400 | grep -a 'taken over' | tail -n 1 | tee "$WORK/taken"
    test "$(sed -n 's/.*taken over, \([0-9]*\) bytes.*/\1/p' "$WORK/taken")" -lt 65536
}

claims_of_a_silent_member()
{
    lab pause 3 pmxcfs
    check 'a stopped member holds nobody up' at 1 'mkdir /etc/pve/while-paused'
    lab kill 2 pmxcfs
    lab start 2 pmxcfs
    check 'nor one that joins: the silent one is left out' within 30 native_is 1 1 2
    check 'and is named' reported 1 'member 3 .* does not answer'
    check 'the others write' at 2 'echo 2 >/etc/pve/left-out'
    check 'one writes into the log of the cluster' at 2 "'$IPC' log 'one is silent'"
    check 'which another one shows' within 60 at 1 "'$IPC' get-log | grep -q 'one is silent'"
    lab resume 3 pmxcfs
    check 'it goes on and is taken in again' within 30 synced_are 1 3
    check 'with what it missed' within 20 at 3 'test -s /etc/pve/left-out'
}

reported()
{
    lab logs "$1" pmxcfs -n 400 | grep -aq "$2"
}

# Too few disks for a promise: corosync has quorum, but only one member is left.
claims_of_too_few()
{
    lab kill 2 pmxcfs
    lab kill 3 pmxcfs
    refuse 'one member of three acknowledges nothing' at 1 'mkdir /etc/pve/priv/lock/lonely'
    lab start 2 pmxcfs
    lab start 3 pmxcfs
    check 'with the others back it goes on' within 60 synced_are 1 3
    check 'and what was refused did not happen' at 2 'test ! -e /etc/pve/priv/lock/lonely'
}

change_locally()
{
    at "$1" "set -e; $PMXCFS -l
        rm /etc/pve/two; echo mine >/etc/pve/local-only
        kill \$(cat /run/pve-cluster.pid)
        for i in \$(seq 100); do test -e /run/pve-cluster.pid || exit 0; sleep 0.1; done; exit 1"
}

saved_copy()
{
    at "$1" 'ls /var/lib/pve-cluster/config.db.replaced-*local-changes*'
}

claims_of_local_mode()
{
    lab stop 3 pmxcfs
    check 'a node can be changed in local mode' change_locally 3
    lab start 3 pmxcfs
    check 'when it is back' within 30 synced_are 1 3
    check 'what the majority has stands' within 20 at 3 'test -s /etc/pve/two &&
        test ! -e /etc/pve/local-only'
    check 'and the local content is kept beside the database' within 20 saved_copy 3
    check 'where it can be compared' compare_copy 3
}

compare_copy()
{
    lab stop 3 pmxcfs
    at 3 "$(build_dir)/cli/pmxcfs-db compare --help" >/dev/null || return 1
    at 3 "cd /var/lib/pve-cluster && $(build_dir)/cli/pmxcfs-db compare config.db.replaced-*" |
        grep -a local-only
}

claims_of_a_foreign_member()
{
    lab down
    LAB_IS_UP=
    lab_up -n 3 --pmxcfs-args 3=--documented-protocol
    check 'with a foreign member nobody is native' within 30 native_is 0 1 2 3
    check 'all read and write' at 3 'echo foreign >/etc/pve/foreign && mkdir /etc/pve/d'
    check 'each what the other wrote' within 20 at 1 'test -s /etc/pve/foreign'
    lab kill 3 pmxcfs
    check 'without it the others become native' within 30 native_is 1 1 2
    check 'and may write large files' at 1 'head -c 2097152 /dev/urandom >/etc/pve/large'
    lab start 3 pmxcfs
    check 'it comes back: the documented protocol again' within 30 native_is 0 1 2 3
    check 'with content beyond its limits, nothing lost' within 20 same_file /etc/pve/large
    check 'which is reported' within 20 reported 1 'exceeds what a foreign member'
    check 'writing goes on, by all' at 2 'echo on >/etc/pve/on'
    refuse 'within the documented limits' at 1 'head -c 2097152 /dev/urandom >/etc/pve/large2'
}

claims_of_the_protocol
claims_of_a_silent_member
claims_of_too_few
claims_of_local_mode
claims_of_a_foreign_member
finish
