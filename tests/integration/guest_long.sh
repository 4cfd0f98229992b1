#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What takes too long for each run of the tests: verbs on a running guest, struck at growing delays
# until they end untouched. Two kinds of blows: the guest's QEMU is killed, or the command itself.
# After each the configuration names all volumes and no others, no lock stays, a snapshot is there
# or not, the disk has its content, and the guest starts. By hand:
# sudo tests/integration/guest_long.sh [PART...], where a part is storage (a move whose storages
# fill up or fail), or VERB-QEMU or VERB-command with a VERB of start, stop, set, move, clone,
# snapshot, delsnapshot, rollback, suspend, wake, resize; without one all of them. STEP_MS=40 is how
# much later each blow comes than the one before.
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img qemu-storage-daemon as ld python3
BUILD=$(build_dir)
need "$BUILD/cli/qm" "$BUILD/guest/qmeventd"
VERBS='start stop set resize move clone snapshot delsnapshot rollback suspend wake'
STEP_MS=${STEP_MS:-40}

# ------------------------------------------------------------------------------- on the outside
if [ -z "${GUEST_LONG_ROM-}" ]; then
    as --32 "$TOP/scripts/lib/counter_guest.S" -o "$WORK/rom.o"
    ld -m elf_i386 -Ttext 0 --oformat binary "$WORK/rom.o" -o "$WORK/rom"
    lab_up -n 1
    lab exec 1 -- env GUEST_LONG_ROM="$WORK/rom" STEP_MS="$STEP_MS" QUORATE_BUILD="$BUILD" \
        bash "$0" "$@"
    exit $?
fi

# ----------------------------------------------------------------------------- within the node
ROM=$GUEST_LONG_ROM
PROBE=$TOP/tests/integration/guest_probe.py
RUN=/run/qemu-server
NODE=/etc/pve/nodes/node1/qemu-server
TANK=$WORK/tank
DEEP=$WORK/deep
SIZE=24
mkdir -p "$NODE" "$TANK" "$DEEP"
printf 'dir: tank\n\tpath %s\n\tcontent images\n\ndir: deep\n\tpath %s\n\tcontent images\n' \
    "$TANK" "$DEEP" >/etc/pve/storage.cfg
# No block of it is like another: what is missing or misplaced is seen.
noise $((SIZE << 20)) >"$WORK/content"
qemu-img convert -f raw -O qcow2 "$WORK/content" "$WORK/disk.qcow2"

guest()
{
    mkdir -p "$TANK/images/100"
    cp "$WORK/disk.qcow2" "$TANK/images/100/vm-100-disk-0.qcow2"
    cat >"$NODE/100.conf" <<END
args: -bios $ROM
cpu: qemu64,flags=-apic
kvm: 0
memory: 64
name: struck
scsi0: tank:100/vm-100-disk-0.qcow2,size=${SIZE}M
scsihw: virtio-scsi-single
serial0: socket
vga: serial0
END
}

# gone: nothing is left of guest 100 and its clone.
gone()
{
    local id
    for id in 100 200; do
        timeout 120 qm stop $id --skiplock >/dev/null 2>&1
        [ ! -e "$NODE/$id.conf" ] || timeout 120 qm destroy $id --skiplock || return 1
    done
    equal "$(find "$TANK" "$DEEP" -type f)" ''
}

counts()
{
    timeout 120 "$PROBE" counter "$RUN/100.serial0" >/dev/null
}
is()
{
    equal "$(timeout 90 qm status 100)" "status: $1"
}

# The state before, for each verb, and the verb.
before()
{
    guest
    case $1 in
    start) return ;;
    esac
    qm start 100 || return 1
    case $1 in
    delsnapshot | rollback) qm snapshot 100 one --vmstate ;;
    wake) qm suspend 100 --todisk ;;
    esac
}
verb()
{
    case $1 in
    start | wake) qm start 100 ;;
    stop) qm stop 100 ;;
    set) qm set 100 --virtio1 tank:0.03125 --net0 virtio,link_down=1 ;;
    resize) qm resize 100 scsi0 +8M ;;
    move) qm move-disk 100 scsi0 deep --format raw --delete --bwlimit 40960 ;;
    clone) qm clone 100 200 --storage deep --bwlimit 40960 ;;
    snapshot) qm snapshot 100 one --vmstate ;;
    delsnapshot) qm delsnapshot 100 one ;;
    rollback) qm rollback 100 one ;;
    suspend) qm suspend 100 --todisk ;;
    esac
}

# pid_of_qemu: of guest 100, also while it has no pid file yet.
pid_of_qemu()
{
    pgrep -f '^/usr/bin/qemu-system-x86_64 .*/100\.pid' | tail -n 1
}

pause()
{
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}
# strike VERB VICTIM MS: 1 when the verb had ended before.
strike()
{
    local status=0 qm
    (
        trap - EXIT HUP INT TERM
        # shellcheck disable=SC2317 # verb calls it
        qm()
        {
            exec timeout -s KILL 300 qm "$@" # no shell stays around it
        }
        verb "$1"
    ) >"$WORK/said" 2>&1 &
    qm=$!
    pause "$3"
    if [ -z "$(jobs -r)" ]; then
        status=1
    elif [ "$2" = QEMU ]; then
        kill -9 "$(pid_of_qemu)" 2>/dev/null
    else
        kill -9 "$(pgrep -P $qm)" 2>/dev/null
    fi
    wait $qm 2>/dev/null
    echo "exit status $?" >>"$WORK/said"
    return $status
}

names_and_files()
{
    local named there
    named=$(grep -hoE '(tank|deep):[0-9]+/vm-[0-9]+-[a-z]+[^,]*' "$NODE"/*.conf |
        sed 's/.*\///' | sort -u)
    there=$(find "$TANK" "$DEEP" -type f -printf '%f\n' | sort -u)
    equal "$there" "$named"
}
disk_of()
{
    pvesm path "$(sed '/^\[/,$d' "$NODE/$1.conf" | sed -n 's/^scsi0: \([^,]*\).*/\1/p')"
}
# The disk has its data, and is sound; clusters that nothing uses (3) are what a QEMU that was
# killed leaves.
content()
{
    local disk status=0
    disk=$(disk_of "$1") && qemu-img convert -O raw -f "${disk##*.}" "$disk" "$WORK/now" &&
        cmp -n $((SIZE << 20)) "$WORK/content" "$WORK/now" || return 1
    [ "${disk##*.}" = raw ] || qemu-img check -q -f qcow2 "$disk" >"$WORK/check" || status=$?
    case $status in
    0 | 3) ;;
    *)
        cat "$WORK/check"
        return 1
        ;;
    esac
}
# Snapshots in the image are those of the configuration, and none is half-made.
snapshots()
{
    local disk
    disk=$(disk_of 100)
    ! grep -q '^snapstate' "$NODE/100.conf" || return 1
    [ "${disk##*.}" = raw ] || equal "$(qemu-img snapshot -l "$disk" | awk 'NR > 2 { print $2 }')" \
        "$(sed -n 's/^\[\(.*\)\]$/\1/p' "$NODE/100.conf" | grep -vi pending)"
}
ended()
{
    [ -z "$(pid_of_qemu)" ] && [ ! -e "$RUN/100.pid" ]
}
no_lock()
{
    ! grep '^lock: ' "$NODE/100.conf"
}

# What a blow leaves is put right by the next command.
next_command()
{
    case $1 in
    clone) [ ! -e "$NODE/200.conf" ] || ! grep -q '^lock' "$NODE/200.conf" || qm destroy 200 ;;
    rollback) ! grep -q '^lock' "$NODE/100.conf" || qm rollback 100 one ;;
    esac && case $(sed -n 's/^lock: //p' "$NODE/100.conf") in
    suspended) qm start 100 ;;
    *) qm set 100 --description 'looked at' ;;
    esac
}
# sound VERB: all is well after it.
sound()
{
    if [ -z "$(pid_of_qemu)" ]; then
        within 90 ended || return 1
    fi
    next_command "$1" && no_lock || return 1
    if [ -n "$(pid_of_qemu)" ]; then
        counts && qm stop 100 || return 1
    fi
    within 90 ended && is stopped && names_and_files && snapshots && content 100 || return 1
    [ ! -e "$NODE/200.conf" ] || content 200 || return 1
    qm start 100 && counts && qm stop 100 && names_and_files && content 100 && gone
}

# explain: what somebody who looks for the cause wants to see.
explain()
{
    cat "$WORK/said" "$WORK/why"
    echo 'the configuration right after, and now:'
    cat "$WORK/struck" "$NODE"/*.conf
    find "$TANK" "$DEEP" -type f
}

walk()
{
    local ms=0 status=0
    while [ $status = 0 ]; do
        before "$1" >"$WORK/before" 2>&1 || { cat "$WORK/before"; return 1; }
        strike "$1" "$2" $ms || status=1
        cp "$NODE/100.conf" "$WORK/struck" 2>/dev/null
        if ! sound "$1" >"$WORK/why" 2>&1; then
            echo "struck after $ms ms; the verb said:"
            explain
            gone
            return 1
        fi
        ms=$((ms + STEP_MS))
    done
    echo "# $1-$2: $((ms / STEP_MS)) blows, the last $((ms - STEP_MS)) ms after the beginning"
}

# ----------------------------------------------------------------------------- bad storages
# moved_or_not HOW: the move fails while it goes on, and the guest goes on as it was, its disk on
# the first storage; or it was through before.
moved_or_not()
{
    counts && qm stop 100 && within 90 ended && names_and_files && content 100
}
# The target fills up after so many ms.
fill_walk()
{
    local ms=0 status=0
    while [ $status = 0 ]; do
        mount -t tmpfs -o size=40m tmpfs "$DEEP" && guest && qm start 100 || return 1
        (trap - EXIT && verb move) >"$WORK/said" 2>&1 &
        pause $ms
        [ -n "$(jobs -r)" ] || status=1
        dd if=/dev/zero of="$DEEP/filler" bs=64k >/dev/null 2>&1
        wait $!
        echo "exit status $?" >>"$WORK/said"
        rm "$DEEP/filler"
        cp "$NODE/100.conf" "$WORK/struck"
        moved_or_not >"$WORK/why" 2>&1 || { echo "full after $ms ms"; explain; return 1; }
        gone && umount "$DEEP" || return 1
        ms=$((ms + 2 * STEP_MS))
    done
    echo "# filled up $((ms / STEP_MS / 2)) times"
}
# The target's file system is taken away under the copy.
target_gone()
{
    mount -t tmpfs -o size=40m tmpfs "$DEEP" && guest && qm start 100 || return 1
    (trap - EXIT && verb move) >"$WORK/said" 2>&1 &
    pause 200
    umount -l "$DEEP"
    wait $! && echo 'the move claims to have succeeded' && return 1
    cat "$WORK/said"
    cp "$NODE/100.conf" "$WORK/struck"
    grep -q '^scsi0: tank:' "$NODE/100.conf" && moved_or_not && gone
}
# What the source is on goes away under the copy: reads of it are errors from then on.
source_fails()
{
    local volume=$TANK/images/100/vm-100-disk-0.raw daemon
    guest
    rm "$TANK/images/100/vm-100-disk-0.qcow2"
    truncate -s "${SIZE}M" "$volume"
    qemu-storage-daemon --blockdev driver=file,node-name=file,filename="$WORK/content" \
        --export type=fuse,id=fuse,node-name=file,mountpoint="$volume",writable=on,growable=on \
        >"$WORK/daemon" 2>&1 &
    daemon=$!
    within 60 cmp "$WORK/content" "$volume" || return 1
    sed -i 's/^scsi0: .*/scsi0: tank:100\/vm-100-disk-0.raw,cache=writeback,aio=threads/' \
        "$NODE/100.conf"
    qm start 100 || return 1
    qm move-disk 100 scsi0 deep --format qcow2 --delete --bwlimit 8192 >"$WORK/said" 2>&1 &
    pause 600
    kill -9 $daemon
    wait $! && echo 'the move claims to have succeeded' && return 1
    cp "$NODE/100.conf" "$WORK/struck"
    cat "$WORK/said"
    grep -q '^scsi0: tank:' "$NODE/100.conf" && equal "$(find "$DEEP" -type f)" '' && counts ||
        return 1
    # It comes back.
    qm stop 100
    within 90 ended && umount "$volume" && cp "$WORK/content" "$volume" &&
        names_and_files && content 100 && gone
}

part_storage()
{
    check 'a move whose target fills up at any moment' fill_walk
    sed -n '/^# /p' "$WORK/out"
    check 'a move whose target goes away' target_gone
    check 'a move whose source fails' source_fails
}

for part in ${*:-storage $VERBS}; do
    [ "$part" != storage ] || { part_storage; continue; }
    case $part in
    *-*) victims=${part#*-} ;;
    *) victims='QEMU command' ;;
    esac
    for victim in $victims; do
        check "${part%-*} with its $victim killed at any moment" walk "${part%-*}" "$victim"
        sed -n '/^# /p' "$WORK/out"
    done
done
finish
