#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a guest moves between nodes and never runs twice, never goes back, and leaves nothing
# behind, whatever is killed or cut meanwhile.
# Method: four nodes with real corosync, pmxcfs, agents and QEMU; the guest counts on its console.
# Timeout: 600
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img qemu-io as ld prlimit python3 ss
. "$(dirname "$0")/mig_lib.sh"
need "$BUILD/cli/qm" "$BUILD/cli/pvesm" "$BUILD/migration/quorate-migrated"

make_rom || exit 1
lab_up -n 4 --join
storages
for n in 1 2 3 4; do
    within 60 lab exec "$n" -- test -S /run/quorate/migration.sock || exit 1
done

# ---- there and back

guest 1 100 'scsi0: tank:100/vm-100-disk-0.qcow2,size=16M'
check 'its disk is on a shared storage' volume 1 tank 100 vm-100-disk-0.qcow2 qcow2
check 'the guest starts' on 1 qm start 100
check 'a dry run finds nothing against it' on 1 qm migrate 100 node2 --online --dry-run
check 'and changes nothing' placed 1 100
was=$(counter 1 100)
check 'it moves while it runs' on 1 qm migrate 100 node2 --online
check 'its configuration is on the target' placed 2 100
check 'it counts on' goes_on 2 100 "$was"
check 'nothing is left on the source' clean_on 1 100
round_trips()
{
    local i was
    for i in 1 2 3 4 5; do
        was=$(counter 2 100) && on 2 qm migrate 100 node1 --online >/dev/null &&
            goes_on 1 100 "$was" >/dev/null && was=$(counter 1 100) &&
            on 1 qm migrate 100 node2 --online >/dev/null &&
            goes_on 2 100 "$was" >/dev/null || return 1
    done
}
check 'ten moves to and fro, and the count never goes back' round_trips
# Each line is an object; the last one tells how it ended, and what it took.
told_as_json()
{
    on 2 qm migrate 100 node1 --online --migration_type insecure --output-format json \
        >"$WORK/json" && python3 - "$WORK/json" <<'END'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1], encoding='utf-8')]
assert {'log', 'plan', 'end'} <= {one['event'] for one in events}, events
end = events[-1]
assert (end['event'], end['result'], end['exit']) == ('end', 'moved', 0), end
assert end['stopped_ms'] > 0 and end['total_ms'] > 0 and end['transferred'] > 0, end
assert 'handover' in end['phases_ms'] or 'move' in end['phases_ms'], end
END
}
check 'plain when asked for, told as JSON' told_as_json
check 'the shared disk is whole' same_content 1 tank 100 vm-100-disk-0.qcow2 qcow2
check 'the log tells of it' on 1 grep -q 'migrat' /var/log/quorate/migrate-100.log
metric()
{
    on 1 qm migrations --metrics | grep -q '^quorate_migration_moved_total [1-9]'
}
check 'counters count' metric

# ---- refused before anything is changed

check 'to itself: refused' exits 5 on 1 qm migrate 100 node1 --online
check 'to a node that is not there: refused' exits 5 on 1 qm migrate 100 node9 --online
check 'running without --online: refused' exits 5 on 1 qm migrate 100 node2
check 'a guest that is not here: refused' exits 5 on 1 qm migrate 999 node2
on 1 sh -c 'echo "lock: backup" >>/etc/pve/nodes/node1/qemu-server/100.conf'
check 'locked by another: refused' exits 5 on 1 qm migrate 100 node2 --online
said_once()
{
    ! on 1 qm migrate 100 node2 --online >"$WORK/once" 2>&1 &&
        equal "$(grep -c 'locked (backup)' "$WORK/once")" 1
}
check 'which is said once' said_once
check 'and that lock stays' on 1 grep -q 'lock: backup' /etc/pve/nodes/node1/qemu-server/100.conf
on 1 sed -i '/^lock/d' /etc/pve/nodes/node1/qemu-server/100.conf
check 'and it runs on' runs_on 1 100
lab kill 4 migrated
check 'to a node whose agent does not answer: refused' exits 5 on 1 qm migrate 100 node4 --online
lab start 4 migrated >/dev/null

# ---- what a dry run finds on the target

# against WORD ARGS...: a dry run of ARGS says no, and names it.
against()
{
    local word=$1
    shift
    exits 5 on 1 qm migrate "$@" --dry-run >"$WORK/dry" 2>&1 &&
        grep -q "$word" "$WORK/dry" && return
    cat "$WORK/dry"
    return 1
}
# For node 3 a QEMU that answers as the real one does, but lacks a flag which the guest's CPU has.
weak_qemu()
{
    {
        echo '{"execute": "qmp_capabilities"}'
        echo '{"execute": "query-version", "id": "version"}'
        echo '{"execute": "query-machines", "id": "machines"}'
        printf '%s, %s\n' '{"execute": "query-cpu-model-expansion", "id": "cpu"' \
            '"arguments": {"type": "full", "model": {"name": "max"}}}'
        echo '{"execute": "quit"}'
    } | qemu-system-x86_64 -M none -accel tcg -nodefaults -display none -S -qmp stdio |
        sed 's/"cx16": true/"cx16": false/' >"$WORK/answers"
    printf '#!/bin/sh\nexec cat %s\n' "$WORK/answers" >"$WORK/qemu-weak"
    chmod +x "$WORK/qemu-weak"
    lab exec 3 -- mount --bind "$WORK/qemu-weak" "$(command -v qemu-system-x86_64)"
}
on 1 qm migrate 100 node2 --online --dry-run >"$WORK/dry"
for item in memory qemu machine cpu ha ports predicted; do
    check "a dry run tells of: $item" grep -q "$item" "$WORK/dry"
done
weak_qemu
check 'a flag of the CPU that the target lacks' against cx16 100 node3 --online
guest 1 109 'net0: virtio=02:00:00:00:00:01,bridge=vmbr77'
check 'a bridge that is missing' against vmbr77 109 node2
guest 1 109 'net0: virtio=02:00:00:00:00:01,bridge=vmbr78,mtu=1500'
lab exec 2 -- ip link add vmbr78 mtu 1280 type bridge
check 'a bridge that takes smaller packets only' against '1280 bytes' 109 node2
guest 1 109 'scsi0: disk:109/vm-109-disk-0.raw,size=16M'
volume 1 disk 109 vm-109-disk-0.raw raw
on 1 qm start 109 >/dev/null
lab exec 3 -- umount "$(command -v qemu-system-x86_64)"
lab exec 3 -- mount -t tmpfs -o size=1m tmpfs /var/lib/disk
lab exec 3 -- mkdir -p /var/lib/disk/images
check 'a storage without space' against 'MiB are free' 109 node3 --online --with-local-disks
lab exec 3 -- umount /var/lib/disk
on 1 qm stop 109 >/dev/null
on 1 pvesm free disk:109/vm-109-disk-0.raw >/dev/null
on 1 rm /etc/pve/nodes/node1/qemu-server/109.conf
check 'and without all that it could go' on 1 qm migrate 100 node3 --online --dry-run

# QEMU cannot start there: what it needs is on this node only.
start_fails()
{
    lab exec 1 -- cp "$WORK/rom" /var/lib/rom &&
        on 1 sed -i 's,^args.*,args: -bios /var/lib/rom,' \
            /etc/pve/nodes/node1/qemu-server/108.conf &&
        on 1 qm start 108 && exits 1 on 1 qm migrate 108 node2 --online >"$WORK/out" 2>&1 &&
        grep -q 'could not load PC BIOS' "$WORK/out" && placed 1 108 && runs_on 1 108 &&
        clean_on 2 108
}
guest 1 108
check "QEMU on the target does not start: its own words, and the guest runs on" start_fails
on 1 qm stop 108 >/dev/null

# ---- another network for the streams

for n in 1 2 3; do
    lab exec "$n" -- ip addr add "10.99.0.$n/24" dev eth0
done
by_network()
{
    on 1 qm migrate 100 node2 --online --dry-run "$@" | grep -q 'port.* of 10.99.0.2'
}
check 'the network by an option' by_network --migration_network 10.99.0.0/24
check 'a network the target is not in' against 'no address in' 100 node2 --online \
    --migration_network 10.98.0.0/24
lab exec 1 -- ip route add prohibit 10.99.0.3
check 'ports that cannot be reached' against firewall 100 node3 --online \
    --migration_network 10.99.0.0/24
lab exec 1 -- ip route del prohibit 10.99.0.3
on 1 sh -c 'echo "migration: type=insecure,network=10.99.0.0/24" >/etc/pve/datacenter.cfg'
check 'the network by datacenter.cfg' by_network
was=$(counter 1 100)
check 'it moves over that network' on 1 qm migrate 100 node3 --online
check 'and counts on' goes_on 3 100 "$was"
on 1 rm /etc/pve/datacenter.cfg
compressed()
{
    on 3 qm migrate 100 node1 --online --compress zstd >"$WORK/out" &&
        grep -q 'in TLS over one and 2 channels, compressed' "$WORK/out"
}
check 'it moves with compressed channels' compressed
check 'and counts on' goes_on 1 100 "$was"

# ---- local disks

guest 1 101 'scsi0: disk:101/vm-101-disk-0.raw,size=16M' \
    'virtio0: disk:101/vm-101-disk-1.qcow2,size=16M'
check 'volumes' volume 1 disk 101 vm-101-disk-0.raw raw
volume 1 disk 101 vm-101-disk-1.qcow2 qcow2
check 'the guest with local disks starts' on 1 qm start 101
check 'local disks without --with-local-disks: refused' exits 5 on 1 qm migrate 101 node2 --online
was=$(counter 1 101)
check 'it takes its disks along' on 1 qm migrate 101 node2 --online --with-local-disks
check 'it counts on with them' goes_on 2 101 "$was"
check 'the raw disk is whole' same_content 2 disk 101 vm-101-disk-0.raw raw
check 'the qcow2 disk is whole' same_content 2 disk 101 vm-101-disk-1.qcow2 qcow2
volumes_of()
{
    on "$1" sh -c 'ls /var/lib/disk/images/*/* /var/lib/other/images/*/* 2>/dev/null' | wc -l
}
equal_volumes()
{
    [ "$(volumes_of 2)" = "$1" ]
}
check 'they are gone from the source' equal "$(volumes_of 1)" 0
check 'it stops' on 2 qm stop 101
check 'stopped, it moves to another storage' on 2 qm migrate 101 node1 --targetstorage disk:other
check 'and its configuration names it' \
    on 1 grep -q '^scsi0: other:101/' /etc/pve/nodes/node1/qemu-server/101.conf
check 'with the same content' same_content 1 other 101 vm-101-disk-0.raw raw
check 'and nothing on the other side' equal "$(volumes_of 2)" 0

# ---- snapshots on a local disk

keep_two()
{
    on 1 qm start 111 && write_to 1 111 scsi0 'write -P 1 1M 1M' &&
        on 1 qm snapshot 111 one && write_to 1 111 scsi0 'write -P 2 1M 2M' &&
        on 1 qm snapshot 111 two && write_to 1 111 scsi0 'write -P 3 1M 1M'
}
kept()
{
    on "$1" qm listsnapshot 111 && snapshots_of "$1" disk 111 vm-111-disk-0.qcow2
}
# What the guest had on its disk when the first one was made.
back_to_one()
{
    on 2 qm stop 111 && on 2 qm rollback 111 one &&
        on 2 qemu-io -r -f qcow2 -c 'read -P 1 1M 1M' -c 'read -P 0x5a 2M 1M' \
            /var/lib/disk/images/111/vm-111-disk-0.qcow2 >"$WORK/read" &&
        ! grep -v -e '^read' -e 'ops;' "$WORK/read" &&
        on 2 qemu-img check -q /var/lib/disk/images/111/vm-111-disk-0.qcow2
}
on 1 sh -c 'printf "\nlvmthin: thin\n\tvgname vg\n\tthinpool tp\n" >>/etc/pve/storage.cfg'
guest 1 111 'scsi0: disk:111/vm-111-disk-0.qcow2,size=16M'
volume 1 disk 111 vm-111-disk-0.qcow2 qcow2
check 'two snapshots on a local disk' keep_two
check 'to a storage without snapshots: refused' against 'cannot hold' 111 node2 --online \
    --with-local-disks --targetstorage thin
was=$(counter 1 111)
had=$(kept 1)
check 'it takes them along while it runs' on 1 qm migrate 111 node2 --online --with-local-disks
check 'it counts on' goes_on 2 111 "$was"
check 'with all that each of them held' equal "$(kept 2)" "$had"
check 'nothing is left on the source' clean_on 1 111
check 'no volume either' on 1 test ! -e /var/lib/disk/images/111
check 'and back to the first one' back_to_one
on 2 qm destroy 111 >/dev/null

# ---- cancelled, killed, cut

# slow_move VMID: a move that takes long, in the background; its exit status in $WORK/status.
slow_move()
{
    rm -f "$WORK/status"
    (
        trap - EXIT
        lab exec 1 -- env QUORATE_HA_AGENT=1 timeout 200 qm migrate "$1" node2 --online \
            --with-local-disks --bwlimit 100 >"$WORK/move.log" 2>&1
        echo $? >"$WORK/status.new"
        mv "$WORK/status.new" "$WORK/status"
    ) &
}
ended()
{
    within 90 test -e "$WORK/status" && equal "$(cat "$WORK/status")" "$1" && return
    tail -n 5 "$WORK/move.log"
    return 1
}
on 1 qm start 101 >/dev/null
was=$(counter 1 101)
slow_move 101
check 'disks are being mirrored' within 60 in_state 1 101 mirror
check 'a second move of the same guest: refused' exits 5 on 1 qm migrate 101 node3 --online
check 'cancelled' on 1 qm migrate-cancel 101
check 'its exit status says so' ended 3
check 'it is where it was' placed 1 101
check 'and counts on' goes_on 1 101 "$was"
check 'the target has nothing of it' within 30 clean_on 2 101
check 'no volume either' equal "$(volumes_of 2)" 0

slow_move 101
within 60 in_state 1 101 mirror
lab exec 2 -- sh -c "kill -9 \$(cat $RUN/101.pid)"
check 'QEMU on the target killed: the move fails' ended 1
check 'and the guest runs on' goes_on 1 101 "$was"
check 'unlocked' placed 1 101
check 'and the target is clean' within 30 clean_on 2 101

slow_move 101
within 60 in_state 1 101 mirror
lab kill 2 migrated
check 'agent on the target killed: the move fails' ended 1
check 'the guest does not notice' goes_on 1 101 "$was"
lab exec 2 -- touch /var/lib/quorate/migration/0123.target.tmp.node2.1 # killed while it wrote
lab start 2 migrated >/dev/null
check 'started again, it cleans up' within 60 clean_on 2 101
check 'volumes as well' equal "$(volumes_of 2)" 0

# What makes a volume outlives the agent that started it, and its name was never noted.
slow_pvesm()
{
    cp "$BUILD/cli/pvesm" "$WORK/pvesm.real"
    printf '#!/bin/sh\n%s "$@"; s=$?\n[ "$1" != alloc ] || sleep 3\nexit $s\n' \
        "$WORK/pvesm.real" >"$WORK/pvesm.slow"
    chmod +x "$WORK/pvesm.slow"
    lab exec 2 -- mount --bind "$WORK/pvesm.slow" "$BUILD/cli/pvesm"
}
has_volume()
{
    [ "$(volumes_of 2)" != 0 ]
}
slow_pvesm
slow_move 101
check 'a volume is being made on the target' within 60 has_volume
lab kill 2 migrated
check 'agent on the target killed just then: the move fails' ended 1
lab exec 2 -- umount -l "$BUILD/cli/pvesm"
lab start 2 migrated >/dev/null
check 'started again, it finds that volume' within 60 equal_volumes 0

# Memory at 100 KiB/s never gets through.
was=$(counter 1 100)
slow_move 100
check 'memory is on its way' within 60 in_state 1 100 move
lab kill 1 migrated
check 'agent on the source killed: the guest does not notice' goes_on 1 100 "$was"
lab start 1 migrated >/dev/null
check 'started again, it takes the move back' within 90 placed 1 100
check 'and the target is clean' within 60 clean_on 2 100
check 'the source has no journal left' within 60 quiet 1
check 'it can move again' on 1 qm migrate 100 node2 --online

# ---- quorum lost while the guest stands still

# The quorum goes while memory moves slowly, and then QEMU is told to hurry.
set_speed()
{
    on 1 "$PROBE" qmp "$RUN/$1.qmp" migrate-set-parameters "{\"max-bandwidth\": $2}"
}
no_quorum()
{
    on "$1" grep -q '"quorate": 0' /etc/pve/.members
}
check 'back to node 1' on 2 qm migrate 100 node1 --online
was=$(counter 1 100)
slow_move 100
check 'memory is on its way' within 60 in_state 1 100 move
lab partition 1,2/3,4
check 'the quorum is gone on both sides' within 60 no_quorum 1
check 'the guest stops for the switch' set_speed 100 10000000000
check 'no quorum: it does not change hands' ended 1
check 'and says why' grep -q quorum "$WORK/move.log"
check 'it counts on where it was' goes_on 1 100 "$was"
check 'without quorum a move is refused' exits 5 on 1 qm migrate 100 node2 --online
lab heal
check 'unlocked when there is quorum again' within 90 placed 1 100
check 'the target is clean' within 60 clean_on 2 100

# ---- the target's LRM loses its lease on the way

on 1 sh -c 'mkdir -p /etc/pve/ha && echo "vm: 100" >/etc/pve/ha/resources.cfg'
check 'an HA guest to a node whose LRM has no lease: refused' against 'does not guard' 100 node2 \
    --online
lab exec 2 -- touch /run/quorate/ha-lrm.guarded
slow_move 100
check 'with a lease it is on its way' within 60 in_state 1 100 move
lab exec 2 -- rm /run/quorate/ha-lrm.guarded
set_speed 100 10000000000
check 'the lease is lost meanwhile: the target does not let it run' ended 1
check 'and says why' grep -q 'does not guard' "$WORK/move.log"
check 'it counts on where it was' goes_on 1 100 "$was"
check 'unlocked' placed 1 100
check 'the target is clean' within 60 clean_on 2 100
on 1 rm /etc/pve/ha/resources.cfg

# ---- the storage goes away with the guest on its way

slow_move 100
within 60 in_state 1 100 move
lab exec 2 -- mount -t tmpfs none "$WORK/tank/images/100"
set_speed 100 10000000000
check 'the target cannot open its disk: the move is taken back' ended 1
check "and says why, in QEMU's words" grep -q "node 'node2': cont: Could not open" "$WORK/move.log"
lab exec 2 -- umount "$WORK/tank/images/100"
check 'it counts on where it was' goes_on 1 100 "$was"
check 'unlocked' placed 1 100
check 'the target is clean' within 60 clean_on 2 100

# ---- the target's QEMU freezes with the last of the memory on its way

# socket_buffers BYTES: what a new connection begins with. All of the guest fits into large ones, so
# that the source goes on to its last step while the target reads nothing any more.
socket_buffers()
{
    local n
    for n in 1 2; do
        lab exec "$n" -- sh -c "cd /proc/sys/net/ipv4 && echo '4096 $1 33554432' >tcp_rmem &&
            echo '4096 $1 16777216' >tcp_wmem"
    done
}
check 'large buffers' socket_buffers 8388608
slow_move 100
within 60 in_state 1 100 move
lab exec 2 -- sh -c "kill -STOP \$(cat $RUN/100.pid)"
set_speed 100 10000000000
check 'a target that freezes: the move is taken back' ended 1
check 'and says why' grep -q 'in time' "$WORK/move.log"
socket_buffers 131072
check 'it counts on where it was' goes_on 1 100 "$was"
check 'unlocked' placed 1 100
check 'the target is clean' within 60 clean_on 2 100

slow_move 100
within 60 in_state 1 100 move
check 'cancelled while memory moves' on 1 qm migrate-cancel 100
check 'it says so' ended 3
check 'and counts on' goes_on 1 100 "$was"
check 'time over: the move is given up' exits 1 on 1 qm migrate 100 node2 --online --bwlimit 100 \
    --timeout 1
check 'and the guest counts on' goes_on 1 100 "$was"

# ---- the guest shuts down, or resets itself, on its way

# fell BELOW: guest 100 counts from its beginning again.
fell()
{
    [ "$(counter 1 100)" -lt "$1" ]
}
# beyond COUNT: guest 100 has counted that far.
beyond()
{
    [ "$(counter 1 100)" -gt "$1" ]
}
slow_move 100
within 60 in_state 1 100 move
check 'the guest shuts down on its way' press 1 100 s
check 'the move ends' ended 1
check 'it is stopped where it was' within 60 is_stopped 1 100
check 'unlocked' placed 1 100
check 'the target is clean' within 60 clean_on 2 100
on 1 qm start 100 >/dev/null
# Far enough that nobody who looks late takes what comes after the reset for what was before.
check 'started again, it counts' within 60 beyond 300
slow_move 100
within 60 in_state 1 100 move
was=$(counter 1 100)
press 1 100 r >/dev/null
check 'the guest resets itself on its way' within 60 fell "$was"
was=$(counter 1 100)
set_speed 100 10000000000
check 'it moves all the same' ended 0
check 'and counts on there' goes_on 2 100 "$was"
check 'with its shared disk' same_content 2 tank 100 vm-100-disk-0.qcow2 qcow2

# ---- connections that say nothing

node_address()
{
    lab exec "$1" -- ip -4 -o addr show dev eth0 | awk '{ sub("/.*", "", $4); print $4; exit }'
}
# crowd NODE COUNT: so many from node 3 to its agent, held until $WORK/crowd.go is gone.
crowd()
{
    rm -f "$WORK/crowd.up"
    touch "$WORK/crowd.go"
    (
        trap - EXIT
        lab exec 3 -- "$PROBE" crowd "$(node_address "$1")" "$2" "$WORK/crowd" >/dev/null 2>&1
    ) &
    within 60 test -e "$WORK/crowd.up"
}
# said NODE TEXT: in its log.
said()
{
    grep -q "$2" "$(lab path "$1")/log/syslog"
}
# open_files NUMBER: the agent of node 2 may open no descriptor of this number or above.
open_files()
{
    lab exec 2 -- prlimit --pid "$(agent_pid 2)" --nofile="$1":4096
}
check 'more silent connections than it has places for' crowd 1 80
check 'the oldest of them go' within 60 said 1 'connections have not said who they are'
check 'and a guest comes in all the same' on 2 qm migrate 100 node1 --online
rm "$WORK/crowd.go"
check 'an agent that may open no more files' open_files 3
check 'and is asked for' crowd 2 1
check 'says so' within 60 said 2 'a connection cannot be accepted'
rm "$WORK/crowd.go"
check 'it may open some again' open_files 1024
check 'and a guest comes in' on 1 qm migrate 100 node2 --online

# ---- more moves than ports

few_ports()
{
    lab kill 3 migrated
    (
        trap - EXIT
        lab exec 3 -- sh -c 'echo $$ >/run/few.pid; exec quorate-migrated --ports 60001-60001' \
            >/dev/null 2>&1
    ) &
    within 60 on 3 qm migrations >/dev/null
}
# away VMID OPTIONS...: from node 2 to node 3, in the background.
away()
{
    local vmid=$1
    shift
    (
        trap - EXIT
        on 2 qm migrate "$vmid" node3 --online "$@" >"$WORK/away.$vmid" 2>&1
        echo $? >"$WORK/away.$vmid.status"
    ) &
}
ports_say()
{
    on 3 qm migrations | grep -q "^ports: $1"
}
arrived()
{
    within 90 test -s "$WORK/away.$1.status" && equal "$(cat "$WORK/away.$1.status")" 0 &&
        placed 3 "$1" && runs_on 3 "$1"
}
check 'an agent with one port only' few_ports
for v in 110 111 112; do
    guest 2 "$v"
    on 2 qm start "$v" >/dev/null
done
away 110 --bwlimit 100
check 'the first has the port' within 60 in_state 2 110 move
away 111
check 'the second waits' within 60 ports_say '1 of 1 taken, 1 waiting'
away 112
check 'and the third' within 60 ports_say '1 of 1 taken, 2 waiting'
check 'the second is told its place' within 60 grep -q 'place 1 in its queue' "$WORK/away.111"
check 'so is the third' within 60 grep -q 'place 2 in its queue' "$WORK/away.112"
check 'the first gives up' on 2 qm migrate-cancel 110
check 'now the second comes through' arrived 111
check 'and the third' arrived 112
check 'nobody has a port or waits' within 60 ports_say '0 of 1 taken, 0 waiting'
lab exec 3 -- sh -c 'kill $(cat /run/few.pid)'
lab start 3 migrated >/dev/null

# ---- agents killed at some moment of a short move; more moments are in migration_long.sh

guest 1 400
on 1 qm start 400 >/dev/null
check "source's agent killed on the way" moment 20 lab kill 1 migrated
check "target's agent killed on the way" moment 25 lab kill 2 migrated
finish
