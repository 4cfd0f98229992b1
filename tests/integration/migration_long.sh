#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What takes too long for each run of the tests: a hundred moves of one guest, eight guests at once,
# post-copy with a broken stream, agents killed and a link cut at many moments; in each state of a
# move QEMU, agents or whole nodes killed, the link cut, the agents stalled (ROUNDS=1 times each;
# KINDS='QEMU 1' only that, one a line). By hand:
# sudo tests/integration/migration_long.sh [MOVES [PART]...], where the parts are moves, eight,
# postcopy, limits, agents, snapshots, mirrored, stands, versions, states and moments; without one
# all of them.
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img qemu-io as ld python3 ss
. "$(dirname "$0")/mig_lib.sh"
. "$(dirname "$0")/mig_blow.sh"
need "$BUILD/cli/qm" "$BUILD/cli/pvesm" "$BUILD/migration/quorate-migrated"
MOVES=${1:-100}
PARTS=" ${*:2} "
[ $# -gt 1 ] ||
    PARTS=' moves eight postcopy limits agents snapshots mirrored stands versions states moments '
part()
{
    case $PARTS in *" $1 "*) ;; *) return 1 ;; esac
}

make_rom || exit 1
as --32 --defsym MIB=256 --defsym DIRTY=1024 --defsym SET=256 \
    "$TOP/tests/bench/bench_guest.S" -o "$WORK/b.o"
ld -m elf_i386 -Ttext 0 --oformat binary "$WORK/b.o" -o "$WORK/busy"
lab_up -n 3 --join
storages
for n in 1 2 3; do
    within 60 lab exec "$n" -- test -S /run/quorate/migration.sock || exit 1
done

# ---- many moves, with a local disk

many_moves()
{
    local here=1 there=2 i was
    for i in $(seq "$MOVES"); do
        was=$(counter "$here" 101) &&
            on "$here" qm migrate 101 "node$there" --online --with-local-disks >"$WORK/out.move" &&
            goes_on "$there" 101 "$was" >/dev/null || {
            echo "move $i from node $here"
            cat "$WORK/out.move"
            return 1
        }
        here=$there
        there=$((3 - here))
    done
    same_content "$here" disk 101 vm-101-disk-0.qcow2 qcow2 && clean_on "$there" 101
}
part_moves()
{
    guest 1 101 'scsi0: disk:101/vm-101-disk-0.qcow2,size=16M'
    volume 1 disk 101 vm-101-disk-0.qcow2 qcow2
    on 1 qm start 101 >/dev/null
    check "$MOVES moves with a local disk: the count never goes back, the disk is whole" many_moves
    owner=$((1 + MOVES % 2))
    on "$owner" qm stop 101 >/dev/null
}

# ---- eight at once

eight()
{
    local v pids=
    for v in $(seq 200 207); do
        guest 1 "$v"
        on 1 qm start "$v" >/dev/null || return 1
    done
    for v in $(seq 200 207); do
        (
            trap - EXIT
            on 1 qm migrate "$v" node2 --online >"$WORK/m$v" 2>&1
        ) &
        pids="$pids $!"
    done
    for v in $pids; do
        wait "$v" || return 1
    done
    for v in $(seq 200 207); do
        placed 2 "$v" && goes_on 2 "$v" 0 >/dev/null && clean_on 1 "$v" || return 1
        on 2 qm stop "$v" >/dev/null
    done
}
part_eight()
{
    check 'eight guests at once' eight
}

# ---- post-copy

broken_stream()
{
    (
        trap - EXIT
        on 2 qm migrate 300 node1 --online --bwlimit 20000 --timeout 2 --on-timeout postcopy \
            >"$WORK/pc" 2>&1
        echo $? >"$WORK/pc.status"
    ) &
    within 60 in_state 2 300 run && on 2 "$PROBE" qmp "$RUN/300.qmp" migrate-pause '{}' || return 1
    within 90 test -s "$WORK/pc.status" && equal "$(cat "$WORK/pc.status")" 0
}
part_postcopy()
{
    guest 1 300
    on 1 sh -c "sed -i 's/^memory.*/memory: 256/; s,^args.*,args: -bios $WORK/busy,' \
        /etc/pve/nodes/node1/qemu-server/300.conf"
    on 1 qm start 300 >/dev/null
    was=$(counter 1 300)
    check 'a guest that is too busy goes over to post-copy' on 1 qm migrate 300 node2 --online \
        --bwlimit 20000 --timeout 2 --on-timeout postcopy
    check 'and counts on' goes_on 2 300 "$was"
    check 'nothing is left behind' clean_on 1 300
    was=$(counter 2 300)
    check 'a broken stream of post-copy is made anew' broken_stream
    check 'and the guest counts on' goes_on 1 300 "$was"
    on 1 qm stop 300 >/dev/null
}

# ---- the limit of a node is shared

agent_by_hand()
{
    local node=$1
    shift
    lab kill "$node" migrated
    (
        trap - EXIT
        lab exec "$node" -- sh -c "echo \$\$ >/run/migrated.hand; exec quorate-migrated $*" \
            >/dev/null 2>&1
    ) &
    within 60 on "$node" qm migrations >/dev/null
}
limit_of()
{
    on 1 "$PROBE" ask "$RUN/$1.qmp" query-migrate-parameters | grep -q "\"max-bandwidth\": $2[,}]"
}
slow_pair()
{
    local v
    for v in 310 311; do
        (
            trap - EXIT
            on 1 qm migrate "$v" node2 --online >/dev/null 2>&1
        ) &
        within 60 in_state 1 "$v" move || return 1
    done
}
storage_limit()
{
    local begin=$SECONDS
    on 1 qm migrate 312 node2 --online --with-local-disks --targetstorage disk:other >/dev/null &&
        [ $((SECONDS - begin)) -ge 3 ]
}
part_limits()
{
    agent_by_hand 1 --bwlimit 100
    guest 1 310
    guest 1 311
    on 1 qm start 310 >/dev/null
    on 1 qm start 311 >/dev/null
    check 'two moves under a limit of the node' slow_pair
    check 'the first has half of it' within 60 limit_of 310 $((50 * 1024))
    check 'and the second the other half' within 60 limit_of 311 $((50 * 1024))
    check 'one is cancelled' on 1 qm migrate-cancel 311
    check 'the other one has all of it' within 60 limit_of 310 $((100 * 1024))
    on 1 qm migrate-cancel 310 >/dev/null
    on 1 sh -c 'echo "bwlimit: default=90,migration=80" >/etc/pve/datacenter.cfg'
    (
        trap - EXIT
        on 1 qm migrate 310 node2 --online >/dev/null 2>&1
    ) &
    check 'the limit of datacenter.cfg' within 60 limit_of 310 $((80 * 1024))
    on 1 rm /etc/pve/datacenter.cfg
    on 1 qm migrate-cancel 310 >/dev/null
    on 1 qm stop 310 >/dev/null
    on 1 qm stop 311 >/dev/null
    lab exec 1 -- sh -c 'kill $(cat /run/migrated.hand)'
    lab start 1 migrated >/dev/null

    # ---- the limit of a storage

    guest 1 312 'scsi0: disk:312/vm-312-disk-0.raw,size=16M'
    volume 1 disk 312 vm-312-disk-0.raw raw
    on 1 qm start 312 >/dev/null
    on 1 sed -i 's,path /var/lib/other,&\n\tbwlimit migration=4000,' /etc/pve/storage.cfg
    check '16 MiB at 4000 KiB/s take their time' storage_limit
    on 2 qm stop 312 >/dev/null
}

# ---- with local disks: the source's agent killed, the source cut off

# slow_move VMID [LIMIT]: a move that takes long, in the background; its exit status in
# $WORK/status.
slow_move()
{
    rm -f "$WORK/status"
    (
        trap - EXIT
        lab exec 1 -- timeout 200 qm migrate "$1" node2 --online --with-local-disks \
            --bwlimit "${2:-100}" >"$WORK/move.log" 2>&1
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
part_agents()
{
    guest 1 102 'scsi0: disk:102/vm-102-disk-0.raw,size=16M'
    volume 1 disk 102 vm-102-disk-0.raw raw
    on 1 qm start 102 >/dev/null
    was=$(counter 1 102)
    slow_move 102
    within 60 in_state 1 102 mirror
    lab kill 1 migrated
    check 'agent on the source killed: the guest does not notice' goes_on 1 102 "$was"
    lab start 1 migrated >/dev/null
    check 'started again, it takes the move back' within 90 placed 1 102
    check 'and the target is clean' within 60 clean_on 2 102
    check 'the source has no journal left' within 60 quiet 1

    slow_move 102
    within 60 in_state 1 102 mirror
    lab partition 1/2,3
    check 'source cut off: the move fails' ended 1
    check 'and the guest runs on' goes_on 1 102 "$was"
    lab heal
    check 'unlocked when there is quorum again' within 90 placed 1 102
    check 'and the target is clean' within 90 clean_on 2 102

    on 1 qm stop 102 >/dev/null
}

# ---- neither side can run the guest, until what stands in its way is gone

# The target needs some seconds to end its QEMU.
slow_qm()
{
    cp "$BUILD/cli/qm" "$WORK/qm.real"
    printf '#!/bin/sh\n[ "$1" != stop ] || sleep 3\nexec %s "$@"\n' "$WORK/qm.real" >"$WORK/qm.slow"
    chmod +x "$WORK/qm.slow"
    lab exec 2 -- mount --bind "$WORK/qm.slow" "$BUILD/cli/qm"
}
# lock_image FILE: as soon as the source has given it up, somebody else says that nobody may write.
lock_image()
{
    python3 - "$1" "$WORK/image" <<'END' &
import fcntl, os, struct, sys, time
image = os.open(sys.argv[1], os.O_RDWR)
asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 101, 1, 0)
deadline = time.monotonic() + 90
while struct.unpack('hhqqi4x', fcntl.fcntl(image, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK:
    if time.monotonic() > deadline:
        sys.exit('the source never gave its disk up')
    time.sleep(0.001)
fcntl.lockf(image, fcntl.LOCK_SH, 1, 201)
open(sys.argv[2] + '.held', 'w').close()
while not os.path.exists(sys.argv[2] + '.go') and time.monotonic() < deadline:
    time.sleep(0.05)
END
}
stands_still()
{
    equal "$(on 1 "$PROBE" ask "$RUN/320.qmp" query-status | grep -o postmigrate)" postmigrate &&
        on 1 grep -q '^lock: migrate' /etc/pve/nodes/node1/qemu-server/320.conf
}
# stuck_move: guest 320 stands still on node 1 after it.
stuck_move()
{
    rm -f "$WORK"/image.*
    slow_move 320 && within 60 in_state 1 320 move || return 1
    lock_image "$WORK/tank/images/320/vm-320-disk-0.raw"
    lab exec 2 -- mount -t tmpfs none "$WORK/tank/images/320"
    on 1 "$PROBE" qmp "$RUN/320.qmp" migrate-set-parameters '{"max-bandwidth": 10000000000}' &&
        within 60 test -e "$WORK/image.held" && ended 1
    local status=$?
    lab exec 2 -- umount "$WORK/tank/images/320"
    return $status
}
# A guest that does not run stays so, wherever it goes, and its disks are usable there.
stands_there()
{
    local here=1 there=2 i
    for i in 1 2 3 4; do
        on "$here" qm migrate 340 "node$there" --online || return 1
        equal "$(on "$there" qm status 340 --verbose | grep '^qmpstatus')" 'qmpstatus: paused' ||
            return 1
        here=$there
        there=$((3 - here))
    done
}
paused_moves()
{
    guest 1 340 'scsi0: tank:340/vm-340-disk-0.qcow2,size=16M'
    volume 1 tank 340 vm-340-disk-0.qcow2 qcow2
    on 1 qm start 340 >/dev/null
    was=$(counter 1 340)
    on 1 qm suspend 340
    check 'a paused guest moves to and fro' stands_there
    on 1 qm resume 340
    check 'and counts on when told to' goes_on 1 340 "$was"
    check 'it moves while it runs' on 1 qm migrate 340 node2 --online
    check 'and counts on' goes_on 2 340 "$was"
    check 'nothing is left behind' clean_on 1 340
    on 2 qm stop 340 >/dev/null
}
part_stands()
{
    guest 1 320 'scsi0: tank:320/vm-320-disk-0.raw,size=16M'
    volume 1 tank 320 vm-320-disk-0.raw raw
    on 1 qm start 320 >/dev/null
    slow_qm
    was=$(counter 1 320)
    check 'the target cannot run the guest, nor can the source' stuck_move
    check 'which is said, with what to do' grep -q 'stands still on this node.*skiplock' \
        "$WORK/move.log"
    check 'it stands still, locked' stands_still
    touch "$WORK/image.go"
    check 'it counts on as soon as it can' goes_on 1 320 "$was"
    check 'unlocked' within 60 placed 1 320
    check 'and the target is clean' within 60 clean_on 2 320
    check 'once more' stuck_move
    lab kill 1 migrated
    lab start 1 migrated >/dev/null
    check 'the agent begins anew: it stands still, locked' stands_still
    touch "$WORK/image.go"
    check 'and counts on as soon as it can' goes_on 1 320 "$was"
    check 'unlocked' within 60 placed 1 320
    check 'once more' stuck_move
    check 'its memory is given up' on 1 qm stop 320 --skiplock
    check 'then it is unlocked, too' within 60 placed 1 320
    touch "$WORK/image.go"
    check 'and starts' within 60 on 1 qm start 320
    lab exec 2 -- umount -l "$BUILD/cli/qm"
    on 1 qm stop 320 >/dev/null
    paused_moves
}

# ---- two QEMUs that are not the same, a guest that nobody sees shutting down

# other_qemu NODE NAME...: QEMU there is one that has no capabilities of these names.
other_qemu()
{
    local node=$1 qemu
    shift
    qemu=$(readlink -f "$(command -v qemu-system-x86_64)")
    lab exec "$node" -- umount "$qemu" 2>/dev/null
    python3 - "$qemu" "$WORK/qemu.$*" "$@" <<'END' && chmod +x "$WORK/qemu.$*" &&
import sys
data = open(sys.argv[1], 'rb').read()
for name in sys.argv[3:]:
    other = name[:-1] + '#'
    assert name.encode() + b'\0' in data, name
    data = data.replace(name.encode() + b'\0', other.encode() + b'\0')
open(sys.argv[2], 'wb').write(data)
END
        lab exec "$node" -- mount --bind "$WORK/qemu.$*" "$qemu"
}
# says TEXT COMMAND...: which fails or not.
says()
{
    local text=$1
    shift
    "$@" >"$WORK/says" 2>&1
    grep -q "$text" "$WORK/says" && return
    cat "$WORK/says"
    return 1
}
part_versions()
{
    guest 1 330
    on 1 qm start 330 >/dev/null
    was=$(counter 1 330)
    check "node 2's QEMU has no channels and no post-copy" other_qemu 2 multifd postcopy-ram
    check 'to it: over one connection' says "QEMU of node 'node2' has no channels" \
        on 1 qm migrate 330 node2 --online --channels 2
    check 'it counts on' goes_on 2 330 "$was"
    check 'and from it' says "QEMU of node 'node2' has no channels" \
        on 2 qm migrate 330 node1 --online --channels 2 --compress zstd
    check 'it counts on' goes_on 1 330 "$was"
    check 'no post-copy to it' says "QEMU of node 'node2' has no post-copy" \
        on 1 qm migrate 330 node2 --online --on-timeout postcopy --timeout 1 --bwlimit 100
    check 'the move was aborted' placed 1 330
    check 'it counts on' goes_on 1 330 "$was"
    check "node 2's QEMU has no return path" other_qemu 2 return-path
    check 'refused by name' says "QEMU of node 'node2' lacks 'return-path'" \
        on 1 qm migrate 330 node2 --online
    check 'it counts on' goes_on 1 330 "$was"
    check 'the target is clean' within 60 clean_on 2 330
    lab exec 2 -- umount "$(readlink -f "$(command -v qemu-system-x86_64)")"
    lab stop 1 qmeventd
    slow_move 330
    within 60 in_state 1 330 move
    check 'it shuts down, and nobody ends its QEMU' press 1 330 s
    on 1 "$PROBE" qmp "$RUN/330.qmp" migrate-set-parameters '{"max-bandwidth": 10000000000}'
    check 'the move ends' ended 0
    check 'it is stopped on the target' within 60 is_stopped 2 330
    check 'nothing is left there' within 60 clean_on 2 330
    check 'and here' within 60 clean_on 1 330
    lab start 1 qmeventd
}

# ---- two disks with three snapshots each, one of them with memory

snap_guest()
{
    guest 1 103 'scsi0: disk:103/vm-103-disk-0.qcow2,size=16M' \
        'virtio1: disk:103/vm-103-disk-1.qcow2,size=16M'
    volume 1 disk 103 vm-103-disk-0.qcow2 qcow2
    volume 1 disk 103 vm-103-disk-1.qcow2 qcow2
    on 1 qm start 103 && on 1 qm snapshot 103 one --vmstate &&
        write_to 1 103 scsi0 'write -P 1 0 1M' && write_to 1 103 virtio1 'write -z 1M 1M' &&
        on 1 qm snapshot 103 two && write_to 1 103 scsi0 'discard 9M 1M' &&
        write_to 1 103 virtio1 'write -P 2 3M 3M' && on 1 qm snapshot 103 three &&
        write_to 1 103 scsi0 'write -P 3 14M 1M'
}
held()
{
    snapshots_of "$1" "$2" 103 vm-103-disk-0.qcow2 &&
        snapshots_of "$1" "$2" 103 vm-103-disk-1.qcow2 &&
        on "$1" sh -c 'sha256sum </var/lib/'"$2"'/images/103/vm-103-state-one.raw'
}
# all_held NODE STORAGE: disks, snapshots and memory are there as they were in the beginning.
all_held()
{
    equal "$(held "$1" "$2")" "$snaps" && equal "$(on "$1" qm listsnapshot 103)" "$tree" &&
        equal "$(on "$1" ls "/var/lib/$2/images/103" | tr '\n' ' ')" "$files" &&
        reads "$1" "$2" 0 -c 'read -P 1 0 1M' -c 'read -P 0x5a 1M 2M' -c 'read -P 3 14M 1M' &&
        reads "$1" "$2" 1 -c 'read -P 0 1M 1M' -c 'read -P 2 3M 3M' -c 'read -P 0xa5 9M 1M'
}
# reads NODE STORAGE DISK WHAT...: what a running guest has on its disk now.
reads()
{
    local file=/var/lib/$2/images/103/vm-103-disk-$3.qcow2
    write_to "$1" 103 scsi0 flush && write_to "$1" 103 virtio1 flush &&
        on "$1" qemu-io -r -U -f qcow2 "${@:4}" "$file" >"$WORK/read" || return 1
    ! grep -v -e '^read' -e 'ops;' "$WORK/read"
}
# nothing_on NODE [VMID]
nothing_on()
{
    local v=${2:-103}
    clean_on "$1" "$v" && equal "$(on "$1" sh -c "ls /var/lib/*/images/$v 2>/dev/null")" ''
}
# back_to NODE NAME PATTERN WHERE: goes back to that snapshot; what is there then.
back_to()
{
    on "$1" qm rollback 103 "$2" && on "$1" qemu-io -r -U -f qcow2 -c "read -P $3 $4" \
        "/var/lib/disk/images/103/vm-103-disk-0.qcow2" >"$WORK/read" &&
        ! grep -v -e '^read' -e 'ops;' "$WORK/read"
}
part_snapshots()
{
    check 'a guest with two disks and three snapshots' snap_guest
    snaps=$(held 1 disk)
    tree=$(on 1 qm listsnapshot 103)
    files=$(on 1 ls /var/lib/disk/images/103 | tr '\n' ' ')
    check 'three snapshots on each disk' equal "$(wc -l <<<"$snaps")" 7
    was=$(counter 1 103)
    check 'it moves while it runs' on 1 qm migrate 103 node2 --online --with-local-disks
    check 'and counts on' goes_on 2 103 "$was"
    check 'with all that it had' all_held 2 disk
    check 'the source has nothing of it' nothing_on 1

    was=$(counter 2 103)
    check 'back again' on 2 qm migrate 103 node1 --online --with-local-disks
    check 'it counts on' goes_on 1 103 "$was"
    check 'all is there' all_held 1 disk
    slow_move 103
    check 'snapshots are on their way' within 60 in_state 1 103 copy
    check 'no snapshot is made meanwhile' exits 1 on 1 qm snapshot 103 four
    check 'and none deleted' exits 1 on 1 qm delsnapshot 103 one
    check 'cancelled' on 1 qm migrate-cancel 103
    check 'it says so' ended 3
    check 'the guest counts on' goes_on 1 103 "$was"
    check 'where it was' placed 1 103
    check 'the target has nothing of it' within 60 nothing_on 2

    slow_move 103
    within 60 in_state 1 103 copy
    lab kill 2 migrated
    check 'agent on the target killed: the move fails' ended 1
    lab start 2 migrated >/dev/null
    check 'started again, it cleans up' within 60 nothing_on 2
    slow_move 103
    within 60 in_state 1 103 copy
    lab kill 1 migrated
    check 'agent on the source killed: the guest does not notice' goes_on 1 103 "$was"
    lab start 1 migrated >/dev/null
    check 'started again, it takes the move back' within 90 placed 1 103
    check 'and the target is clean' within 60 nothing_on 2
    check 'the source has no journal left' within 60 quiet 1
    slow_move 103
    within 60 in_state 1 103 copy
    lab partition 1/2,3
    check 'source cut off: the move fails' ended 1
    lab heal
    check 'unlocked when there is quorum again' within 90 placed 1 103
    check 'and the target is clean' within 90 nothing_on 2
    check 'after all that, the source has all it had' all_held 1 disk

    lab exec 2 -- mount -t tmpfs -o size=14m tmpfs /var/lib/disk
    lab exec 2 -- mkdir /var/lib/disk/images
    check 'too small a storage: refused' exits 5 on 1 qm migrate 103 node2 --online \
        --with-local-disks
    lab exec 2 -- umount /var/lib/disk

    check 'to another storage' on 1 qm migrate 103 node2 --online --with-local-disks \
        --targetstorage other
    check 'all is there' all_held 2 other
    check 'and back' on 2 qm migrate 103 node1 --online --with-local-disks --targetstorage disk \
        --migration_type insecure
    check 'it counts on' goes_on 1 103 "$was"
    check 'all is there' all_held 1 disk
    check 'the last one: a guest that stands still' back_to 1 three 1 '0 1M'
    check 'the one before' back_to 1 two 0xa5 '9M 1M'
    check 'the first one' back_to 1 one 0x5a '1M 2M'
    check 'goes on with the memory of then' runs_on 1 103
    on 1 qm stop 103 >/dev/null
    check 'sound' on 1 sh -c 'qemu-img check /var/lib/disk/images/103/vm-103-disk-0.qcow2 &&
        qemu-img check /var/lib/disk/images/103/vm-103-disk-1.qcow2'
    on 1 qm destroy 103 >/dev/null
}

filled()
{
    within 90 in_state 1 104 copy && ! lab exec 2 -- dd if=/dev/zero of=/var/lib/disk/filler bs=1M
}
# All that goes wrong while QEMU mirrors onto the snapshots, and storages that fill up.
part_mirrored()
{
    guest 1 104 'scsi0: disk:104/vm-104-disk-0.qcow2,size=16M'
    volume 1 disk 104 vm-104-disk-0.qcow2 qcow2
    on 1 qm start 104 >/dev/null
    check 'a guest with one snapshot' on 1 qm snapshot 104 one
    snaps=$(snapshots_of 1 disk 104 vm-104-disk-0.qcow2)
    was=$(counter 1 104)
    slow_move 104 400
    check 'on top of it QEMU mirrors' within 90 in_state 1 104 mirror
    check 'cancelled then' on 1 qm migrate-cancel 104
    check 'it says so' ended 3
    check 'the target has nothing of it' within 60 nothing_on 2 104
    slow_move 104 400
    within 90 in_state 1 104 mirror
    lab kill 2 migrated
    check 'agent on the target killed there: the move fails' ended 1
    lab start 2 migrated >/dev/null
    check 'started again, it cleans up' within 60 nothing_on 2 104
    lab exec 2 -- mount -t tmpfs -o size=80m tmpfs /var/lib/disk
    lab exec 2 -- mkdir /var/lib/disk/images
    slow_move 104 400
    check 'a storage that gets full' filled
    check 'the move fails' ended 1
    check 'the guest counts on' goes_on 1 104 "$was"
    lab exec 2 -- rm /var/lib/disk/filler
    check 'and the target is clean' within 60 nothing_on 2 104
    lab exec 2 -- umount /var/lib/disk
    check 'it moves' on 1 qm migrate 104 node2 --online --with-local-disks
    check 'and counts on' goes_on 2 104 "$was"
    check 'with its snapshot' equal "$(snapshots_of 2 disk 104 vm-104-disk-0.qcow2)" "$snaps"
    on 2 qm stop 104 >/dev/null
    check 'and its disk' same_content 2 disk 104 vm-104-disk-0.qcow2 qcow2
    on 2 qm destroy 104 >/dev/null
}

# ---- something dies, is cut or stalls in each state of a move

# blows STATE MS: of each kind one, at a random moment of the first MS of that state.
blows()
{
    local state=$1 most=$2 what ms
    while read -r what <&3; do
        ms=$((RANDOM % most))
        # shellcheck disable=SC2086 # words
        check "${what/ $WORK*/} in $state, after $ms ms" blow "$state" "$ms" $what
    done 3<<<"${KINDS:-$BLOW_KINDS}"
}
part_states()
{
    local state most
    blow_guest
    for _ in $(seq "${ROUNDS:-1}"); do
        while read -r state most <&4; do
            blows "$state" "$most"
        done 4<<<"$BLOW_STATES"
    done
    home >/dev/null
    on 1 qm stop 400 >/dev/null
    on 1 rm /etc/pve/nodes/node1/qemu-server/400.conf
    on 1 sh -c 'rm -r /var/lib/disk/images/400'
}

# ---- agents killed, the link cut at many moments

part_moments()
{
    guest 1 400
    on 1 qm start 400 >/dev/null
    for ms in 05 15 30 45 50 55 60 65 70 80 95; do
        check "source's agent killed after 0.$ms s" moment "$ms" lab kill 1 migrated
        check "target's agent killed after 0.$ms s" moment "$ms" lab kill 2 migrated
        check "link cut after 0.$ms s" moment "$ms" lab partition 1/2,3
        check "source's agent stalls after 0.$ms s" moment "$ms" \
            sh -c "$TOP/scripts/lab pause --name $LAB_NAME 1 migrated; sleep 8; \
                $TOP/scripts/lab resume --name $LAB_NAME 1 migrated"
    done
}

for name in moves eight postcopy limits agents snapshots mirrored stands versions states moments; do
    if part "$name"; then
        "part_$name"
    fi
done
finish
