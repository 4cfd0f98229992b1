# SPDX-License-Identifier: Apache-2.0
# A pmxcfs of its own for a test, in namespaces of its own: no network but loopback, own mounts, own
# host name, own processes, all gone when the test ends. After lib.sh a test calls
#
#   one_node            re-runs the test inside; what follows is inside
#   daemon ARGS...      starts pmxcfs -f in the background and waits until it serves; fails when not
#   daemon_pid          its process id
#   daemon_stop         SIGTERM and wait; fails when that takes longer than a minute or ends badly
#   daemon_kill         SIGKILL and wait
#
# The tree is at $PVE, state and database are in $STATE, the log is $WORK/pmxcfs.log.

BUILD=$(build_dir)
PMXCFS=${PMXCFS:-$BUILD/pmxcfs/pmxcfs}
PVE=$WORK/pve
STATE=$WORK/state
DAEMON=

one_node()
{
    need unshare ip "$PMXCFS"
    if [ ! -e /dev/fuse ]; then
        echo "1..0 # SKIP needs /dev/fuse"
        exit 77
    fi
    if [ -z "${ONE_NODE-}" ]; then
        local status=0
        ONE_NODE=yes QUORATE_BUILD=$BUILD unshare -m -n -u -i -p -f --kill-child \
            --propagation private --mount-proc bash "$0" || status=$?
        exit "$status"
    fi
    ip link set lo up
    ip addr add 10.111.0.1/32 dev lo
    hostname single
    mkdir -p "$PVE" "$STATE" "$WORK/etc"
    echo "10.111.0.1 single" >"$WORK/etc/hosts"
    mount --bind "$WORK/etc/hosts" /etc/hosts
    mount -t tmpfs run /run
    mount -t tmpfs shm /dev/shm
}

daemon()
{
    "$PMXCFS" -f --mountpoint "$PVE" --state-dir "$STATE" --corosync-conf "$WORK/etc/none" "$@" \
        >>"$WORK/pmxcfs.log" 2>&1 &
    DAEMON=$!
    within 60 serves || {
        echo "the daemon does not serve:"
        tail -n 30 "$WORK/pmxcfs.log"
        return 1
    }
}

serves()
{
    kill -0 "$DAEMON" 2>/dev/null && grep -q 'notice: ready' <(tail -n 3 "$WORK/pmxcfs.log") &&
        [ -e "$PVE/.version" ]
}

daemon_pid()
{
    echo "$DAEMON"
}

daemon_stop()
{
    local status=0
    if ! kill "$DAEMON"; then # it has ended already
        wait "$DAEMON" || status=$?
        died_of_signal "$status"
        return 1
    fi
    timeout 60 tail --pid="$DAEMON" -f /dev/null || return 1
    wait "$DAEMON" || status=$?
    died_of_signal "$status"
    return "$status"
}

# Says what is known of a daemon that a signal ended: there are no core files.
died_of_signal()
{
    if [ "$1" -gt 128 ]; then
        echo "the daemon was ended by signal $(($1 - 128)); its last words:"
        tail -n 30 "$WORK/pmxcfs.log"
    fi
}

daemon_kill()
{
    kill -9 "$DAEMON"
    wait "$DAEMON" 2>/dev/null || true
}
