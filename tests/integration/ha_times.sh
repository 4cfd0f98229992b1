#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How long a guest under HA is away, from the fault to its running on another node, for
# docs/benchmarks.md: a real guest on three nodes of the lab, with a rule that prefers node 3; its
# node is killed, cut off, paused in part, drained, rebooted, shut down, or fenced by a device. By
# hand: sudo tests/integration/ha_times.sh [ROUNDS [FAULT]...]; without faults all of them.
. "$(dirname "$0")/lib.sh"
BUILD=$(build_dir)
need corosync qemu-system-x86_64 "$BUILD/cli/qm"
need "$BUILD/pmxcfs/pmxcfs" "$BUILD/ha-manager/pve-ha-crm" "$BUILD/cli/ha-manager"
WAIT=120
ROUNDS=${1:-3}
FAULTS=${*:2}
[ -n "$FAULTS" ] || FAULTS='killed cut lrm_paused crm_paused drained rebooted shut_down fenced'

on()
{
    local n=$1
    shift
    lab exec "$n" -- "$@"
}

# Its configuration is there, and its process lives.
guest_is_on()
{
    on "$1" sh -c "test -e /etc/pve/nodes/node$1/qemu-server/100.conf &&
        kill -0 \$(cat /var/run/qemu-server/100.pid)" 2>/dev/null
}

guest_is_elsewhere()
{
    guest_is_on 1 || guest_is_on 2
}

guest_is_home()
{
    guest_is_on 3 && on 1 ha-manager status | grep -q '^service vm:100 (node3, started)'
}

master_is()
{
    on "$1" grep -q "\"master_node\":\"node$1\"" /etc/pve/ha/manager_status
}

# The managers of the other nodes stand back until node 3 has the lock.
make_master()
{
    lab stop 1 crm >/dev/null && lab stop 2 crm >/dev/null &&
        within "$WAIT" master_is 3 && lab start 1 crm && lab start 2 crm
}

policy()
{
    on 1 sh -c "echo 'ha: shutdown_policy=$1' >/etc/pve/datacenter.cfg"
}

# The orderly end of a node: its LRM is asked to end while the machine goes down.
end_node()
{
    on 3 sh -c "echo $1 >/run/quorate/node-end"
    on 3 sh -c 'kill -TERM $(pgrep -x pve-ha-lrm)'
}

lrm_has_ended()
{
    ! on 3 pgrep -x pve-ha-lrm >/dev/null
}

write_fence_agent()
{
    cat >"$WORK/fence_lab" <<END_OF_AGENT
#!/bin/bash
touch $WORK/fence
for i in \$(seq 300); do
    [ ! -e $WORK/fenced ] || exit 0
    sleep 0.1
done
exit 1
END_OF_AGENT
    chmod 755 "$WORK/fence_lab"
    rm -f "$WORK/fence" "$WORK/fenced"
    on 1 sh -c "printf 'device lab $WORK/fence_lab action=off\nconnect lab node=node3 plug=3\n' \
        >/etc/pve/ha/fence.cfg; echo 'fencing: both' >/etc/pve/datacenter.cfg"
}

prepare()
{
    case $1 in
    crm_paused) make_master ;;
    rebooted) policy migrate ;;
    shut_down) policy failover ;;
    fenced) write_fence_agent ;;
    esac
    sleep 5 # what was changed last is known to all
}

strike()
{
    case $1 in
    killed) lab kill 3 ;;
    cut) lab partition 3/1,2 ;;
    lrm_paused) on 3 sh -c 'kill -STOP $(pgrep -x pve-ha-lrm)' ;;
    crm_paused) on 3 sh -c 'kill -STOP $(pgrep -x pve-ha-crm)' ;;
    drained) on 1 ha-manager crm-command node-maintenance enable node3 ;;
    rebooted) end_node reboot ;;
    shut_down) # its services are stopped before the machine goes off
        end_node shutdown
        within "$WAIT" lrm_has_ended && lab kill 3
        ;;
    fenced)
        (within "$WAIT" test -e "$WORK/fence" && lab kill 3 && touch "$WORK/fenced") &
        lab partition 3/1,2
        ;;
    esac
}

repair()
{
    wait
    lab heal
    case $1 in rebooted | shut_down) lab kill 3 ;; esac
    lab start 3
    lab wait --timeout "$WAIT"
    on 3 rm -f /run/quorate/node-end
    on 1 sh -c 'rm -f /etc/pve/ha/fence.cfg /etc/pve/datacenter.cfg'
    on 1 ha-manager crm-command node-maintenance disable node3
}

# Prints "NAME SECONDS".
measure()
{
    local name=$1 from status=0
    prepare "$name" || return 1
    from=$(date +%s.%N)
    strike "$name"
    within "$WAIT" guest_is_elsewhere || status=1
    echo "$name $(echo "$(date +%s.%N) $from" | awk '{printf "%.1f", $1 - $2}')" >>"$WORK/times"
    repair "$name"
    return $status
}

lab_up -n 3 --ha
on 3 sh -c 'mkdir -p /etc/pve/nodes/node3/qemu-server &&
    printf "memory: 64\nkvm: 0\nvga: none\n" >/etc/pve/nodes/node3/qemu-server/100.conf'
check 'a guest is put under HA' on 3 ha-manager add 100
check 'its node is the one it prefers' on 1 ha-manager rules add node-affinity home \
    --resources vm:100 --nodes node3
check 'it runs' within "$WAIT" guest_is_home
for fault in $FAULTS; do
    for round in $(seq "$ROUNDS"); do
        check "$fault: it runs elsewhere" measure "$fault"
        echo "# $(tail -1 "$WORK/times") s (load $(cut -d' ' -f1 /proc/loadavg))"
        check "$fault: and comes home (round $round)" within "$WAIT" guest_is_home
    done
done
echo "# fault: fastest, slowest"
awk '{if (!($1 in lo) || $2 < lo[$1]) lo[$1] = $2; if ($2 > hi[$1]) hi[$1] = $2}
    END {for (f in lo) print "# " f ": " lo[f] ", " hi[f]}' "$WORK/times" | sort
finish
