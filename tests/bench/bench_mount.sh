#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench_mount.sh [BUILD-DIRECTORY]: the local mount beside tmpfs, the disk's own file system and a
# bare FUSE file system in memory, as a table of operations per second, with the bytes written per
# byte of content below. As root; RUNS=N repeats and takes the median of each number (3);
# KINDS="memfs pmxcfs" CASES=open measures only that.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${1:-$TOP/build}" && pwd)
RUNS=${RUNS:-3}
KINDS=${KINDS:-"tmpfs disk memfs pmxcfs relaxed"}
make -s -C "$BUILD" tests/bench/bench_mount tests/bench/bench_memfs pmxcfs/pmxcfs
if [ -z "${INSIDE-}" ]; then
    INSIDE=yes exec unshare -m -n -u -i -p -f --kill-child --propagation private --mount-proc \
        bash "$0" "$BUILD"
fi
WORK=$(mktemp -d "${BENCH_DIR:-/var/tmp}/quorate-bench.XXXXXX")
trap 'umount -l "$WORK"/*/ 2>/dev/null || true; rm -rf "$WORK"' EXIT
ip link set lo up
ip addr add 10.111.0.1/32 dev lo
hostname single
echo '10.111.0.1 single' >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
mount -t tmpfs run /run

# pmxcfs_at NAME ARGS...: starts one; its process id is in $PID.
pmxcfs_at()
{
    local dir=$WORK/$1
    shift
    mkdir -p "$dir" "$dir.state"
    "$BUILD/pmxcfs/pmxcfs" -l -f --mountpoint "$dir" --state-dir "$dir.state" \
        --corosync-conf "$WORK/none" "$@" >"$dir.log" 2>&1 &
    PID=$!
    for _ in $(seq 600); do
        [ ! -e "$dir/.version" ] || return 0
        sleep 0.1
    done
    cat "$dir.log" >&2
    return 1
}

measure()
{
    local kind=$1 dir=$WORK/$1 pid=
    mkdir -p "$dir"
    case $kind in
    tmpfs) mount -t tmpfs bench "$dir" ;;
    memfs)
        "$BUILD/tests/bench/bench_memfs" "$dir" &
        pid=$!
        for _ in $(seq 600); do
            ! mountpoint -q "$dir" || break
            sleep 0.1
        done
        ;;
    pmxcfs) pmxcfs_at "$kind" ;;
    relaxed) pmxcfs_at "$kind" --durability=relaxed ;;
    esac
    case $kind in
    pmxcfs | relaxed)
        "$BUILD/tests/bench/bench_mount" "$dir" "$PID"
        kill "$PID"
        wait "$PID"
        rm -rf "$dir.state"
        ;;
    *) "$BUILD/tests/bench/bench_mount" "$dir" ;;
    esac
    ! mountpoint -q "$dir" || umount "$dir"
    [ -z "$pid" ] || wait "$pid"
}

for run in $(seq "$RUNS"); do
    for kind in $KINDS; do
        measure "$kind" | sed "s/^/$kind /" >>"$WORK/results"
    done
done
awk -v kinds="$KINDS" '
{ key = $1 " " $2; all[key] = all[key] " " $3; if (!($2 in seen)) { seen[$2]; order[++n] = $2 } }
function median(text,   v, i, j, t, c) {
    c = split(text, v, " ")
    for (i = 2; i <= c; i++) for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) {
        t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
    }
    return c > 0 ? v[int((c + 1) / 2)] : ""
}
END {
    m = split(kinds, k, " ")
    printf "| case |"; for (j = 1; j <= m; j++) printf " %s |", k[j]; print ""
    printf "|---|"; for (j = 1; j <= m; j++) printf "---|"; print ""
    for (i = 1; i <= n; i++) {
        printf "| %s |", order[i]
        for (j = 1; j <= m; j++) printf " %s |", median(all[k[j] " " order[i]])
        print ""
    }
}' "$WORK/results"
echo "load: $(cut -d' ' -f1-3 /proc/loadavg)"
