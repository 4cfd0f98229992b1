#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the daemon's command line, exit statuses, foreground and background, pid file, signals,
# stale mounts, second instance, refusals at start, full and read-only disks, change feed and
# metrics are as documented (reference pmxcfs chapter 2, man pages). Method: a real daemon in
# namespaces.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/one_node.sh"
one_node
WAIT=$BUILD/cli/pmxcfs-wait
need "$WAIT" "$(command -v setpriv)"

# pmxcfs with everything of this test, for starts that are meant to fail or to go to the background.
run()
{
    timeout 60 "$PMXCFS" --mountpoint "$PVE" --state-dir "$STATE" --run-dir "$WORK/run" \
        --pid-file "$WORK/pmxcfs.pid" --corosync-conf "$WORK/etc/none" "$@"
}

status_is()
{
    local wanted=$1 have=0
    shift
    "$@" || have=$?
    equal "exit status $have" "exit status $wanted"
}

says()
{
    local wanted=$1
    shift
    "$@" >"$WORK/said" 2>&1
    grep -q -e "$wanted" "$WORK/said" || { cat "$WORK/said"; return 1; }
}

milliseconds()
{
    local start=$EPOCHREALTIME
    "$@" || return 1
    echo $(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
}

faster_than()
{
    local limit=$1 took
    shift
    took=$(milliseconds "$@") || return 1
    [ "$took" -lt "$limit" ] || { echo "took $took ms"; return 1; }
}

# ---- command line ----

check 'help: exit status 0' status_is 0 run --help
check 'version: exit status 0' status_is 0 run --version
check 'unknown option: exit status 1' status_is 1 run --no-such-option
check 'operand: exit status 255' status_is 255 run -l somewhere
check 'unknown durability: exit status 1' status_is 1 run -l --durability=maybe

# ---- background ----

mounted()
{
    mountpoint -q "$PVE"
}

gone()
{
    ! kill -0 "$1" 2>/dev/null
}

stop_background()
{
    local pid
    pid=$(cat "$WORK/pmxcfs.pid")
    kill "-${1:-TERM}" "$pid"
    within 60 gone "$pid" && [ ! -e "$WORK/pmxcfs.pid" ] && ! mounted
}

check 'background: starts, without any long wait' faster_than 15000 run -l
check 'background: it is mounted when the parent returns' mounted
check 'background: the pid file names it' kill -0 "$(cat "$WORK/pmxcfs.pid")"
check 'background: the pid file is readable for all' \
    equal "$(stat -c %a "$WORK/pmxcfs.pid")" 644
check 'background: it holds no terminal and no open files of the caller' \
    equal "$(readlink "/proc/$(cat "$WORK/pmxcfs.pid")/fd/0")" /dev/null
check 'background: a core file could not hold secrets' \
    equal "$(awk '/Max core file size/ {print $5}' "/proc/$(cat "$WORK/pmxcfs.pid")/limits")" 0
check 'second instance: exit status 255' status_is 255 run -l
check 'second instance: the first goes on' touch "$PVE/still-there"
check 'SIGTERM: stops, without any long wait' faster_than 15000 stop_background TERM
check 'the restart flag is set' [ -f "$WORK/run/cfs-restart-flag" ]
run -l
check 'started again: the restart flag is gone' [ ! -e "$WORK/run/cfs-restart-flag" ]
check 'started again: the content is there' [ -f "$PVE/still-there" ]
check 'SIGHUP: stops' stop_background HUP
run -l
check 'SIGINT: stops' stop_background INT
check 'the database is one file after a clean stop' \
    equal "$(ls "$STATE")" config.db

# Whoever starts it may have closed its standard streams: no file of the daemon gets their numbers.
no_streams()
{
    local pid status=0 fd
    run -l <&- >&- 2>&- || return 1
    pid=$(cat "$WORK/pmxcfs.pid")
    for fd in 0 1 2; do
        equal "$(readlink "/proc/$pid/fd/$fd")" /dev/null || status=1
    done
    echo x >"$PVE/without-streams" || status=1
    stop_background TERM || status=1
    "$BUILD/cli/pmxcfs-db" check -d "$STATE/config.db" <&- >&- || status=1
    return "$status"
}
check 'background: it starts with its standard streams closed' no_streams

# The limit holds for the daemon's files as well; its signal would end it.
size_limit()
{
    local status=0
    (ulimit -f 200 && run -l --state-dir "$WORK/limited") || return 1
    sh -c "head -c 600000 /dev/urandom >'$PVE/big'" 2>"$WORK/said"
    grep -q 'too large' "$WORK/said" || { cat "$WORK/said"; status=1; }
    echo small >"$PVE/file" || status=1
    equal "$(cat "$PVE/file")" small || status=1
    stop_background TERM || status=1
    return "$status"
}
check 'a limit on the size of files: EFBIG for the caller, the daemon goes on' size_limit

# ---- what is in the way ----

daemon -l
daemon_kill
check 'stale mount: nothing answers there' eval '! ls "$PVE" 2>/dev/null'
check 'stale mount: the next start cleans it up' daemon -l
check 'stale mount: and serves' [ -f "$PVE/still-there" ]
daemon_stop

# A thread that is stuck in the kernel keeps the connection of a killed daemon open. Here somebody
# else does; without help a reader would wait for ever.
kept_open()
{
    local keeper status=0
    : >"$WORK/kept"
    python3 -c '
import ctypes, os, sys, time
pid = int(sys.argv[1])
fds = [int(fd) for fd in os.listdir(f"/proc/{pid}/fd")
       if os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/fuse"]
pidfd = os.pidfd_open(pid)
kept = [ctypes.CDLL(None).syscall(438, pidfd, fd, 0) for fd in fds]  # pidfd_getfd
print(len(kept) if min(kept) >= 0 else "none", flush=True)
time.sleep(120)' "$(daemon_pid)" >"$WORK/kept" &
    keeper=$!
    within 60 grep -q '^[1-9]' "$WORK/kept" || status=1
    daemon_kill
    timeout 60 ls "$PVE/no-such-file" 2>"$WORK/said" || true
    # ENOTCONN, or ECONNABORTED for a call that was on its way.
    grep -q 'not connected\|connection abort' "$WORK/said" || { cat "$WORK/said"; status=1; }
    mountpoint -q "$PVE" || { echo 'the mount is gone'; status=1; }
    kill "$keeper"
    return "$status"
}
check 'a daemon to be killed runs' daemon -l
check 'killed with its connection held open: nobody waits for it' kept_open
check 'the next start cleans up after it' daemon -l
check 'and serves' [ -f "$PVE/still-there" ]
check 'stops' daemon_stop
check 'its guard ends with it' within 60 eval '! pgrep -x pmxcfs-guard'

check 'a file where the mount should be: exit status 255' \
    status_is 255 run -l --mountpoint "$WORK/etc/hosts"
check 'a missing mount point is made' \
    eval 'run -l --mountpoint "$WORK/new" && mountpoint -q "$WORK/new"'
kill "$(cat "$WORK/pmxcfs.pid")"
within 60 [ ! -e "$WORK/pmxcfs.pid" ]
check 'group missing: exit status 255 and a reason' \
    says "no-such-group" run -l --group no-such-group
check 'node name without an address: exit status 255' \
    eval 'hostname nowhere; status_is 255 run -l; s=$?; hostname single; [ "$s" = 0 ]'
check 'node name without an address: says what to do' \
    eval 'hostname nowhere; says /etc/hosts run -l; s=$?; hostname single; [ "$s" = 0 ]'
no_fuse()
{
    unshare -m bash -c "mount --bind /dev/null /dev/fuse && exec \"\$@\"" - "$PMXCFS" -l \
        --mountpoint "$WORK/new" --state-dir "$WORK/state2" --run-dir "$WORK/run2" \
        --pid-file "$WORK/pid2"
}
check 'no /dev/fuse: exit status 255' status_is 255 no_fuse
not_root()
{
    setpriv --reuid 65534 --regid 65534 --clear-groups "$PMXCFS" -l --mountpoint "$WORK/new" \
        --state-dir "$WORK/state3" --run-dir "$WORK/run3" --pid-file "$WORK/pid3"
}
chmod 711 "$WORK"
check 'not root: exit status 255' status_is 255 not_root

# ---- databases that cannot be used ----

damaged()
{
    mkdir -p "$WORK/bad"
    echo 'this is no database' >"$WORK/bad/config.db"
    status_is 255 run -l --state-dir "$WORK/bad" || return 1
    equal "$(cat "$WORK/bad/config.db")" 'this is no database'
}
check 'damaged database: refused, and not touched' damaged

# What the original loads without complaint (reference 3.4): names that no program can open, a
# cycle, a file above the limit, a counter that wraps with the next change.
strange()
{
    mkdir -p "$WORK/strange"
    python3 - "$WORK/strange/config.db" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL,"
           " version INTEGER NOT NULL, writer INTEGER NOT NULL, mtime INTEGER NOT NULL,"
           " type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)")
for row in [(0, 0, -1, 0, 1, 8, "__version__", None), (2, 0, 2, 0, 1, 8, "a/b", b"x"),
            (3, 0, 3, 0, 1, 8, ".", b"x"), (4, 0, 4, 0, 1, 4, "..", None),
            (5, 6, 5, 0, 1, 4, "c", b""), (6, 5, 6, 0, 1, 4, "d", None),
            (7, 0, 7, 0, 1, 8, "n" * 300, b"long"), (8, 0, 8, 0, 1, 8, "n" * 2000, b"x"),
            (9, 0, 9, 2**32 + 1, 2**32 + 7, 264, "big", b"y" * 1500000),
            (10, 0, 10, 0, 1, 8, "text", "text")]:
    db.execute("INSERT INTO tree VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
db.commit()
END
    STATE=$WORK/strange daemon -l || return 1
    local status=0 long
    long=$(printf 'n%.0s' $(seq 300))
    equal "$(ls "$PVE" | tr "\n" " ")" "big local lxc $long openvz qemu-server text " || status=1
    equal "$(cat "$PVE/$long" "$PVE/text")" longtext || status=1
    equal "$(stat -c '%s %Y' "$PVE/big")" '1500000 7' || status=1
    echo new >"$PVE/new" || status=1
    daemon_stop || status=1
    return "$status"
}
check 'a strange database: served as far as it can be, and goes on' strange

companion()
{
    mkdir -p "$WORK/made" "$WORK/in"
    echo one >"$WORK/in/storage.cfg"
    PATH=$BUILD/cli:$PATH "$TOP/cli/create_pmxcfs_db" "$WORK/in" "$WORK/made/config.db" || return 1
    STATE=$WORK/made daemon -l || return 1
    equal "$(cat "$PVE/storage.cfg")" one || return 1
    daemon_stop
}
check 'create_pmxcfs_db makes a database that is served' companion
check 'create_pmxcfs_db: wrong usage' status_is 255 "$TOP/cli/create_pmxcfs_db" "$WORK/in"

read_only()
{
    mkdir -p "$WORK/ro"
    mount -t tmpfs ro "$WORK/ro"
    touch "$WORK/ro/.pmxcfs.lockfile"
    mount -o remount,ro "$WORK/ro"
    status_is 255 run -l --state-dir "$WORK/ro"
    local status=$?
    umount "$WORK/ro"
    return "$status"
}
check 'read-only disk: exit status 255' read_only

# ---- a disk that fills up ----

full_disk()
{
    local status=0
    mkdir -p "$WORK/small"
    mount -t tmpfs -o size=1m small "$WORK/small"
    STATE=$WORK/small daemon -l || return 1
    echo before >"$PVE/file"
    dd if=/dev/zero of="$WORK/small/filler" bs=4k 2>/dev/null
    sh -c "head -c 300000 /dev/urandom >'$PVE/big'" 2>"$WORK/full"
    grep -q 'No space left' "$WORK/full" || { cat "$WORK/full"; status=1; }
    equal "$(cat "$PVE/file")" before || status=1
    rm "$WORK/small/filler"
    echo after >"$PVE/file" || status=1
    equal "$(cat "$PVE/file")" after || status=1
    daemon_stop || status=1
    STATE=$WORK/small daemon -l || return 1
    equal "$(cat "$PVE/file")" after || status=1
    daemon_stop || status=1
    umount "$WORK/small"
    return "$status"
}
check 'full disk: ENOSPC for the caller, reads go on, works again when space returns' full_disk

# ---- change feed and metrics ----

check 'the daemon runs' daemon -l

feed_now()
{
    local number
    number=$("$WAIT" -m "$PVE" --now) && echo "$number" && [ "$number" -gt 0 ]
}
check 'pmxcfs-wait --now prints a number' feed_now

feed_wait()
{
    local number
    number=$("$WAIT" -m "$PVE" --now)
    mkdir -p "$PVE/dir" && echo x >"$PVE/dir/file" && echo y >"$PVE/other"
    "$WAIT" -m "$PVE" --since "$number" -t 60 dir/file >"$WORK/event" &&
        grep -q '"op":"create","path":"dir/file"' "$WORK/event"
}
check 'pmxcfs-wait --since finds what happened meanwhile' feed_wait

feed_block()
{
    local number waiter
    number=$("$WAIT" -m "$PVE" --now)
    "$WAIT" -m "$PVE" --since "$number" -t 60 "$PVE/dir/file" >"$WORK/event" &
    waiter=$!
    sleep 0.3
    echo z >"$PVE/dir/other"
    sleep 0.2
    kill -0 "$waiter" || { echo 'did not wait for the right path'; return 1; }
    echo z >"$PVE/dir/file"
    wait "$waiter" && grep -q '"path":"dir/file"' "$WORK/event"
}
check 'pmxcfs-wait waits for its path' feed_block
check 'pmxcfs-wait: the time is over' status_is 124 "$WAIT" -m "$PVE" -t 0.2 dir/file
check 'pmxcfs-wait: not below the mount point' status_is 2 "$WAIT" -m "$PVE" -t 1 /etc/hosts
check 'pmxcfs-wait: no file system there' status_is 1 "$WAIT" -m "$WORK/etc" -t 1

feed_link()
{
    mkdir -p "$PVE/nodes/single/qemu-server"
    local number
    number=$("$WAIT" -m "$PVE" --now)
    echo 'cores: 1' >"$PVE/qemu-server/100.conf"
    "$WAIT" -m "$PVE" --since "$number" -t 60 qemu-server/100.conf >"$WORK/event" &&
        grep -q nodes/single/qemu-server/100.conf "$WORK/event"
}
check 'pmxcfs-wait follows the links of the top level' feed_link

feed_private()
{
    mkdir -p "$PVE/priv"
    chmod 755 "$WORK"
    local number
    number=$("$WAIT" -m "$PVE" --now)
    echo secret >"$PVE/priv/key"
    echo open >"$PVE/public"
    setpriv --reuid 65534 --regid 33 --clear-groups \
        "$WAIT" -m "$PVE" --since "$number" -t 60 >"$WORK/event" || return 1
    ! grep -q priv/ "$WORK/event" && grep -q public "$WORK/event"
}
check 'names in private directories are told to root alone' feed_private

counter()
{
    awk -v name="$1" '$1 == name {print $2}' "$PVE/.metrics"
}
counts()
{
    local before after
    before=$(counter 'pmxcfs_changes_total{op="create",result="ok"}')
    echo x >"$PVE/one-more"
    after=$(counter 'pmxcfs_changes_total{op="create",result="ok"}')
    equal "$after" $((before + 1)) && [ "$(counter pmxcfs_disk_bytes_total)" -gt 0 ]
}
check '.metrics counts' counts
check '.metrics has no line that is not Prometheus text' eval \
    '! grep -vE "^(# (HELP|TYPE) [a-z_]+ .*|[a-z_]+(\{[^}]*\})? [0-9.]+)$" "$PVE/.metrics"'
debug_lines()
{
    echo 1 >"$PVE/.debug" && equal "$(cat "$PVE/.debug")" 1 || return 1
    echo x >"$PVE/told" && echo x >"$PVE/priv/not-told" && mv "$PVE/told" "$PVE/told2" || return 1
    mkdir "$PVE/told2" 2>/dev/null
    echo 0 >"$PVE/.debug" || return 1
    mkdir "$PVE/told-no-more" || return 1
    grep -q "debug: CREATE 'told'" "$WORK/pmxcfs.log" &&
        grep -q "debug: RENAME 'told' to 'told2'" "$WORK/pmxcfs.log" &&
        grep -q "debug: CREATE '(private)'" "$WORK/pmxcfs.log" &&
        ! grep -q told-no-more "$WORK/pmxcfs.log"
}
check 'debug can be switched: the log tells of each change, but of no private path' debug_lines
check 'stops' daemon_stop
check 'the log names no private path' eval '! grep -q priv/ "$WORK/pmxcfs.log"'
finish
