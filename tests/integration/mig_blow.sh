# SPDX-License-Identifier: Apache-2.0
# Guest 400 moves from node 1 to node 2 with its disks, something strikes in a certain state of the
# move, and whatever comes of it, everything must be whole. For migration_long.sh and
# migration_soak.sh; after lib.sh and mig_lib.sh, in a lab of three nodes.

# Two disks: QEMU mirrors the one, the agents copy the other.
blow_guest()
{
    guest 1 400 'scsi0: disk:400/vm-400-disk-0.raw,size=16M' 'unused0: disk:400/vm-400-disk-1.raw'
    volume 1 disk 400 vm-400-disk-0.raw raw
    volume 1 disk 400 vm-400-disk-1.raw raw
    on 1 qm start 400 >/dev/null
    # The node says nothing to the others' corosync any more, while agents still hear each other.
    cat >"$WORK/deaf" <<'END'
nft add table inet deaf
nft add chain inet deaf out '{ type filter hook output priority 0; }'
nft add rule inet deaf out meta l4proto udp drop
END
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
    esac
}
# What was done to the lab is mended; what stalled has stalled longer than anybody waits for it.
mended()
{
    case $* in
    FULL*) lab exec 2 -- rm /var/lib/disk/filler ;;
    GUARD*) on 1 rm /etc/pve/ha/resources.cfg ;;
    *deaf) sleep 8 && lab exec "$2" -- nft delete table inet deaf && lab wait --timeout 90 ;;
    kill*) lab start "${@:2}" && lab wait --timeout 90 ;;
    partition*) lab heal && lab wait --timeout 90 ;;
    pause*) sleep 8 && lab resume "${@:2}" ;;
    esac
}
# The disk that could be filled goes away, and nothing with it.
put_back()
{
    [ "$1" != FULL ] || { home && lab exec 2 -- umount /var/lib/disk; }
}
# stays_stopped NODE: that is what a guest does which did not run.
stays_stopped()
{
    equal "$(on "$1" qm status 400 2>&1)" 'status: stopped'
}
# blow STATE MS WHAT...: the move, with the options in MOVE; so long after it came to STATE,
# mig_strike.py does WHAT. With MOVE without --online the guest is stopped before.
blow()
{
    local was=0 here=1 log victim=0 mover
    local move=${MOVE:---online --with-local-disks}
    log=$(lab path 1)/log/syslog
    case "$3 $#" in QEMU*) victim=$4 ;; 'kill 4') victim=$4 ;; esac
    home || return 1
    case $move in
    *--online*) was=$(counter 1 400) ;;
    *) on 1 qm stop 400 ;;
    esac && ready_for "$3" || return 1
    (
        trap - EXIT
        # shellcheck disable=SC2086 # words
        on 1 env QUORATE_HA_AGENT=1 qm migrate 400 node2 $move >"$WORK/blow" 2>&1
    ) &
    mover=$!
    "$TOP/tests/integration/mig_strike.py" "$LAB_NAME" "$(stat -c %s "$log")" "$@" &&
        mended "${@:3}" || return 1
    wait "$mover"
    within 90 on 3 sh -c 'ls /etc/pve/nodes/*/qemu-server/400.conf' || return 1
    on 3 test -e /etc/pve/nodes/node1/qemu-server/400.conf || here=2
    alone_on "$here" &&
        case $move in
        *--online*) runs_or_down "$here" "$victim" "$was" ;;
        *) stays_stopped "$here" ;;
        esac && put_back "$3" && return
    cat "$WORK/blow"
    return 1
}
