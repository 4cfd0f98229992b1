#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the lab does what its commands say, tells the truth by its exit status, and leaves nothing.
# Method: a cluster of corosync alone through formation, partition, loss, pause, kill and return;
# then broken and interrupted starts, after each of which processes and directories are looked for.
. "$(dirname "$0")/lib.sh"
need corosync ip nft nsenter

LABROOT=${QUORATE_LAB_ROOT:-$WORK/labs}
export QUORATE_LAB_ROOT=$LABROOT

members_of()
{
    lab status --json | python3 -c "
import json, sys
node = json.load(sys.stdin)['nodes'][$1 - 1]
print(node['state'], node['quorate'], *(node['members'] or []))"
}

sees()
{
    equal "$(members_of "$1")" "$2"
}

exit_status_is()
{
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    equal "$status" "$wanted"
}

processes_below()
{
    # Each process of a lab has the lab's directory in its arguments, or is a child of one that has.
    local pid
    for pid in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$pid/cmdline" | grep -qF -- "$1/"; then
            echo "${pid#/proc/}"
        fi
    done
}

no_process_below()
{
    equal "$(processes_below "$1")" ""
}

nothing_left()
{
    within 60 no_process_below "$LABROOT" || return 1
    equal "$(find "$LABROOT" -mindepth 1 2>/dev/null)" ""
    ! grep -F "$LABROOT" /proc/self/mounts
}

in_syslog()
{
    lab logs "$1" syslog | grep -q "$2"
}

claims_of_a_running_lab()
{
    lab_up -n 3 --daemons corosync
    check 'three nodes form one quorate cluster' sees 1 'up True 1 2 3'
    refuse 'a second lab of the same name is refused' lab up -n 1 --daemons corosync
    check 'exec gives the exit status of the command' exit_status_is 7 lab exec 1 -- sh -c 'exit 7'
    check 'exec gives 128 + the signal' exit_status_is 143 lab exec 1 -- sh -c 'kill -TERM $$'
    check 'exec gives 127 for a missing command' exit_status_is 127 lab exec 1 -- no-such-program
    check 'exec gives 125 for a node that is not there' exit_status_is 125 lab exec 9 -- true
    check 'nodes have their own name and hosts' \
        equal "$(lab exec 2 -- sh -c 'hostname; getent hosts node3')" "$(printf \
            'node2\n10.80.0.3       node3')"
    lab exec 1 -- sh -c 'echo one >/etc/only-here; echo x >/run/only-here'
    check 'what one node writes to /etc another does not see' \
        lab exec 2 -- sh -c '! test -e /etc/only-here && ! test -e /run/only-here'
    check 'nor does this machine' test ! -e /etc/only-here
    check 'nodes reach each other' lab exec 1 -- ping -q -c 1 -W 2 node3
    lab exec 1 -- logger -t claim 'kept by the node'
    check 'what goes to syslog is kept' within 60 in_syslog 1 'kept by the node'
}

claims_of_faults()
{
    lab partition 1,2/3
    check 'a partition leaves the majority quorate' lab wait 1 2 --timeout 90
    check 'and the minority without quorum' lab wait 3 --for members,inquorate --timeout 90
    refuse 'the sides do not reach each other' lab exec 1 -- ping -q -c 1 -W 1 node3
    lab heal
    check 'healing brings all together' lab wait --timeout 90
    check 'all three again' sees 3 'up True 1 2 3'

    lab cut 1 2
    refuse 'a cut drops packets of one direction' lab exec 1 -- ping -q -c 1 -W 1 node2
    check 'and no others' lab exec 1 -- ping -q -c 1 -W 2 node3
    lab heal
    check 'healing ends the cut' lab exec 1 -- ping -q -c 1 -W 2 node2
    lab loss 2 100
    refuse 'a total loss loses all' lab exec 3 -- ping -q -c 1 -W 1 node2
    lab loss 2 0
    check 'a loss of nothing loses nothing' lab wait --timeout 90

    lab exec 1 -- sh -c "echo one >/etc/kept; echo x >/run/lost; sleep 9$$ &"
    check 'a command may leave something running' pgrep -xf "sleep 9$$"
    lab kill 1
    check 'a killed node is missed' lab wait 2 3 --timeout 90
    check 'by both' sees 2 'up True 2 3'
    check 'everything on it is dead' no_process_below "$LABROOT/$LAB_NAME/nodes/1"
    refuse 'what commands left running, too' pgrep -xf "sleep 9$$"
    check 'exec on it gives 125' exit_status_is 125 lab exec 1 -- true
    lab start 1
    check 'it comes back' lab wait --timeout 90
    check 'with its disk and without its memory' \
        lab exec 1 -- sh -c 'test -e /etc/kept && ! test -e /run/lost'

    lab pause 2
    refuse 'a paused node runs no command' timeout 60 "$TOP/scripts/lab" stop 2 --name "$LAB_NAME"
    check 'a paused node is missed' lab wait 1 3 --timeout 90
    lab resume 2
    check 'a resumed node is back' lab wait --timeout 90

    lab kill 3 corosync
    refuse 'a killed daemon is not running' lab signal 3 corosync CONT
    check 'the node lives on' lab exec 3 -- true
    lab start 3 corosync
    check 'a started daemon is back' lab wait --timeout 90
    refuse 'it is not started twice' lab start 3 corosync
    check 'stop ends a node cleanly' lab stop 3
    check 'the others go on' lab wait 1 2 --timeout 90
    refuse 'waiting for what does not come ends in time' lab wait 1 --for inquorate --timeout 1
}

claims_of_leaving()
{
    check 'down succeeds' lab down
    LAB_IS_UP=
    check 'and leaves nothing' nothing_left
    refuse 'a lab that is gone cannot be taken down' lab down
    printf '#!/bin/sh\necho why it failed >&2\nexit 3\n' >"$WORK/broken"
    chmod +x "$WORK/broken"
    refuse 'a start whose daemon dies fails' \
        lab up -n 2 --daemons corosync,pmxcfs --pmxcfs "$WORK/broken"
    cp "$WORK/out" "$WORK/up.out"
    check 'it shows the last words of that daemon' grep -q 'why it failed' "$WORK/up.out"
    check 'a failed start leaves nothing' nothing_left
    local signal pause
    for signal in INT TERM; do
        for pause in 0.2 0.8; do
            # A background job of a script ignores SIGINT; env gives it its usual meaning back.
            env --default-signal=INT "$TOP/scripts/lab" up --name "$LAB_NAME" --daemons corosync \
                >/dev/null 2>&1 &
            sleep "$pause"
            kill "-$signal" $!
            wait $!
            check "a start interrupted by SIG$signal after $pause s leaves nothing" nothing_left
        done
    done
    "$TOP/scripts/lab" up --name "$LAB_NAME" --daemons corosync >/dev/null 2>&1 &
    sleep 0.6
    kill -KILL $!
    wait $! 2>/dev/null
    check 'down clears what a killed start left' lab down
    check 'of that, too, nothing is left' nothing_left
}

claims_of_two_labs()
{
    lab_up -n 2 --daemons corosync
    check 'two labs live side by side' "$TOP/scripts/lab" up --name "$LAB_NAME-b" -n 2 \
        --daemons corosync
    lab kill 2
    check 'what happens in one does not touch the other' \
        "$TOP/scripts/lab" wait --name "$LAB_NAME-b" --timeout 5
    check 'each ends alone' "$TOP/scripts/lab" down --name "$LAB_NAME-b"
    check 'the first is still there' lab exec 1 -- true
    check 'and ends as well' lab down
    LAB_IS_UP=
    check 'after both nothing is left' nothing_left
}

claims_of_a_running_lab
claims_of_faults
claims_of_leaving
claims_of_two_labs
finish
