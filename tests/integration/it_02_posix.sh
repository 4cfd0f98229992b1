#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The mount: the POSIX suite, kernel caching, random operations beside a model and a stress, on the
# engine in memory and, as far as they steer nothing, on the daemon itself in local mode.
# Timeout: 300
. "$(dirname "$0")/lib.sh"

need unshare ip
BUILD=$(build_dir)
HERE=$BUILD/tests/integration
for program in posix_suite mount_coherence mount_model mount_stress; do
    make -s -C "$BUILD" "tests/integration/$program" tests/lib/mount_host >"$WORK/make.log" 2>&1
    need "$HERE/$program"
done
need "$BUILD/pmxcfs/pmxcfs"
export MOUNT_HOST=$BUILD/tests/lib/mount_host

# on_daemon COMMAND...: runs it with the mount point as last word, on a daemon of its own.
on_daemon()
{
    local dir
    chmod 755 "$WORK" # other users are tried too
    dir=$(mktemp -d "$WORK/daemon.XXXXXX")
    chmod 755 "$dir"
    mkdir "$dir/mnt" "$dir/state" "$dir/run"
    unshare -m -n -u -i bash -c '
        dir=$1 daemon=$2
        shift 2
        mount --make-rprivate /
        ip link set lo up
        hostname alpha
        { cat /etc/hosts; echo 10.0.0.1 alpha; } >"$dir/hosts"
        mount --bind "$dir/hosts" /etc/hosts
        "$daemon" -f -l --mountpoint "$dir/mnt" --state-dir "$dir/state" --run-dir "$dir/run" \
            --pid-file "$dir/run/pid" --corosync-conf "$dir/none" >"$dir/log" 2>&1 &
        pid=$!
        for _ in $(seq 100); do grep -q ready "$dir/log" && break; sleep 0.1; done
        "$@" "$dir/mnt"
        status=$?
        kill "$pid"
        wait "$pid" || { echo "the daemon ended with $?"; cat "$dir/log"; status=1; }
        exit "$status"' - "$dir" "$BUILD/pmxcfs/pmxcfs" "$@"
}

check 'every call and errno, engine in memory' "$HERE/posix_suite"
check 'what the kernel keeps and is told' "$HERE/mount_coherence"
check 'random operations match the model' "$HERE/mount_model" --seed "$SEED" --runs 30
check 'promises hold under stress' "$HERE/mount_stress" --seconds 10
check 'every call and errno, the daemon' on_daemon "$HERE/posix_suite" --dir
check 'random operations match the model, the daemon' \
    on_daemon "$HERE/mount_model" --seed "$SEED" --runs 5 --dir
check 'promises hold under stress, the daemon' on_daemon "$HERE/mount_stress" --seconds 5 --dir
finish
