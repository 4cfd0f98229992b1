# SPDX-License-Identifier: Apache-2.0
# Guest 400 moves from node 1 to node 2 with its disks, something strikes in a certain state of the
# move, and whatever comes of it, everything must be whole. For migration_long.sh and
# migration_soak.sh; after lib.sh and mig_lib.sh, in a lab of three nodes.
need nft gcc qemu-storage-daemon

# All that may strike: words for mig_strike.py. The wall clock of an agent, and of what it starts,
# jumps back within the day that certificates leave, and on by a month.
BLOW_KINDS="QEMU 1
QEMU 2
FREEZE 2
kill 1
kill 2
kill 1 migrated
kill 2 migrated
partition 1/2,3
partition 1,3/2
partition 1/2/3
DEAF 1
DEAF 2
pause 1 migrated
pause 2 migrated
CANCEL
FULL
STORAGE
GUARD
CLOCK 1 -72000 $WORK/ahead
CLOCK 2 2592000 $WORK/ahead"
# How long a state lasts, more or less, in milliseconds. An offline move has no start to switch.
BLOW_STATES='connect 20
check 30
lock 15
prepare 40
copy 100
start 300
mirror 300
move 300
switch 50
handover 8
run 8
clean 80
finish 15'

# Two disks: QEMU mirrors the one, the agents copy the other.
blow_guest()
{
    guest 1 400 'scsi0: disk:400/vm-400-disk-0.raw,size=16M' 'unused0: disk:400/vm-400-disk-1.raw'
    volume 1 disk 400 vm-400-disk-0.raw raw
    volume 1 disk 400 vm-400-disk-1.raw raw
    on 1 qm start 400 >/dev/null
    gcc -D_GNU_SOURCE -shared -fPIC -O1 -o "$WORK/clock.so" "$TOP/tests/integration/clock_jump.c"
}
volumes_of()
{
    on "$1" sh -c 'ls /var/lib/disk/images/400/ 2>/dev/null' | tr '\n' ' '
}
# alone_on NODE: guest 400 is there with all it has, the other of nodes 1 and 2 has nothing of it.
alone_on()
{
    within 120 placed "$1" 400 && within 120 quiet 1 && within 120 quiet 2 &&
        within 90 clean_on $((3 - $1)) 400 &&
        equal "$(volumes_of "$1")" 'vm-400-disk-0.raw vm-400-disk-1.raw ' &&
        equal "$(volumes_of $((3 - $1)))" '' &&
        same_content "$1" disk 400 vm-400-disk-0.raw raw &&
        same_content "$1" disk 400 vm-400-disk-1.raw raw
}
# runs_or_down NODE VICTIM FROM: it counts on there; or it is down, because VICTIM was all it had,
# or because the source's QEMU was killed before the agent looked at it.
runs_or_down()
{
    if runs_on "$1" 400 >/dev/null; then
        goes_on "$1" 400 "$3" >/dev/null
    else
        equal "$1" "$2" || grep 'moved offline' "$WORK/blow"
    fi
}
# Wherever guest 400 is: it runs on node 1 then.
home()
{
    if on 1 test -e /etc/pve/nodes/node2/qemu-server/400.conf; then
        on 2 qm migrate 400 node1 --online --with-local-disks || return 1
    fi
    runs_on 1 400 >/dev/null || on 1 qm start 400
}
# The disks of the source are served by a process, which can be killed: what uses them gets errors.
serve_disks()
{
    on 1 qm stop 400 && lab exec 1 -- sh -c 'cd /var/lib/disk/images/400 &&
        mkdir -p /var/lib/under && set -- && for disk in vm-400-disk-*; do
            mv $disk /var/lib/under/ && : >$disk &&
            set -- "$@" --blockdev driver=file,node-name=$disk,filename=/var/lib/under/$disk \
                --export type=fuse,id=$disk,node-name=$disk,mountpoint=$PWD/$disk,writable=on
        done && qemu-storage-daemon --daemonize --pidfile /run/under.pid "$@"' && on 1 qm start 400
}
# What it served is there again, if the guest still is; else it goes, as somebody was told to do.
take_disks_back()
{
    lab exec 1 -- sh -c 'cd /var/lib/disk/images/400 && for disk in vm-400-disk-*; do
            umount -l $disk; mv -f /var/lib/under/$disk $disk || exit 1
        done' && [ "$1" = 1 ] && return
    grep vm-400-disk-0.raw "$WORK/blow" && lab exec 1 -- sh -c 'rm /var/lib/disk/images/400/*'
}
# agent_with_clock NODE: it, and what it starts, see a wall clock that can jump.
agent_with_clock()
{
    rm -f "$WORK/ahead" # what uses the old one keeps it
    head -c 8 /dev/zero >"$WORK/ahead"
    lab kill "$1" migrated
    (
        trap - EXIT
        lab exec "$1" -- sh -c "echo \$\$ >/run/clock.pid; LD_PRELOAD=$WORK/clock.so \
            CLOCK_JUMP=$WORK/ahead exec quorate-migrated" >/dev/null 2>&1
    ) &
    within 60 on "$1" qm migrations >/dev/null
}
# What some blows need before the move begins.
ready_for()
{
    case $1 in
    FULL)
        lab exec 2 -- mount -t tmpfs -o size=48m tmpfs /var/lib/disk &&
            lab exec 2 -- mkdir /var/lib/disk/images
        ;;
    GUARD)
        on 1 sh -c 'mkdir -p /etc/pve/ha && echo "vm: 400" >/etc/pve/ha/resources.cfg' &&
            lab exec 2 -- touch /run/quorate/ha-lrm.guarded
        ;;
    STORAGE) serve_disks ;;
    CLOCK) agent_with_clock "$2" ;;
    esac
}
# What was done to the lab is mended; what stalled has stalled longer than anybody waits for it. A
# blow that never came leaves nothing to mend.
mended()
{
    case $* in
    FULL*) lab exec 2 -- rm -f /var/lib/disk/filler ;;
    GUARD*) on 1 rm -f /etc/pve/ha/resources.cfg ;;
    DEAF*) sleep 8 && lab exec "$2" -- nft delete table inet deaf && lab wait --timeout 90 ;;
    FREEZE*) sleep 8 && lab exec "$2" -- sh -c "kill -CONT \$(cat $RUN/400.pid) || true" ;;
    kill*) lab start "${@:2}" && lab wait --timeout 90 ;;
    partition*) lab heal && lab wait --timeout 90 ;;
    pause*) sleep 8 && lab resume "${@:2}" ;;
    esac
}
# settled NODE WHAT...: what must be so before anything is looked at.
settled()
{
    [ "$2" != STORAGE ] || { within 120 quiet 1 && within 120 quiet 2 && take_disks_back "$1"; }
}
# What was made ready goes away, and nothing with it.
put_back()
{
    case $1 in
    FULL) home && lab exec 2 -- umount /var/lib/disk ;;
    STORAGE) home && on 1 qm stop 400 && on 1 qm start 400 ;;
    CLOCK) lab exec "$2" -- sh -c 'kill $(cat /run/clock.pid)' && lab start "$2" migrated ;;
    esac
}
# stays_stopped NODE: that is what a guest does which did not run.
stays_stopped()
{
    is_stopped "$1" 400
}
# whole NODE STATE MS WHAT...: the guest and all it has are there, as they should.
whole()
{
    local victim=0
    case "$4 $#" in QEMU*) victim=$5 ;; 'kill 5') victim=$5 ;; esac
    settled "$1" "${@:4}" && alone_on "$1" || return 1
    case $move in
    *--online*) runs_or_down "$1" "$victim" "$was" ;;
    *) stays_stopped "$1" ;;
    esac
}
# blow STATE MS WHAT...: the move, with the options in MOVE; so long after it came to STATE,
# mig_strike.py does WHAT. With MOVE without --online the guest is stopped before.
blow()
{
    local was=0 here=1 log mover good=yes
    local move=${MOVE:---online --with-local-disks}
    log=$(lab path 1)/log/syslog
    home && ready_for "${@:3}" || return 1
    case $move in
    *--online*) was=$(counter 1 400) ;;
    *) on 1 qm stop 400 ;;
    esac || return 1
    (
        trap - EXIT
        # shellcheck disable=SC2086 # words
        on 1 env QUORATE_HA_AGENT=1 qm migrate 400 node2 $move >"$WORK/blow" 2>&1
    ) &
    mover=$!
    "$TOP/tests/integration/mig_strike.py" "$LAB_NAME" "$(stat -c %s "$log")" "$@" || good=
    mended "${@:3}" || good=
    wait "$mover"
    within 90 on 3 sh -c 'ls /etc/pve/nodes/*/qemu-server/400.conf' || return 1
    on 3 test -e /etc/pve/nodes/node1/qemu-server/400.conf || here=2
    whole "$here" "$@" || good=
    put_back "${@:3}" || good=
    [ -z "$good" ] || return 0
    cat "$WORK/blow"
    return 1
}
