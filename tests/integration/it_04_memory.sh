#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the daemon keeps each file once: with 5,000 files of 1 KiB it has at most 1.5 times their
# content and 20 MiB resident, also when all were just written and read, and after a restart.
# Method: a real daemon; VmRSS of /proc. That the figure follows the content is seen first.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/one_node.sh"
one_node
FILES=5000
LIMIT_KIB=$((FILES * 3 / 2 + 20 * 1024))

resident_kib()
{
    awk '/^VmRSS:/ {print $2}' "/proc/$(daemon_pid)/status"
}

resident_below()
{
    local have
    have=$(resident_kib)
    echo "resident: $have KiB, limit: $1 KiB"
    [ "$have" -gt 0 ] && [ "$have" -le "$1" ]
}

# Different content in each file: nothing could be shared.
make_files()
{
    mkdir -p "$WORK/files"
    head -c $((FILES * 1024)) /dev/urandom >"$WORK/all"
    (cd "$WORK/files" && split -a 4 -d -b 1024 "$WORK/all" f)
    equal "$(find "$WORK/files" -type f | wc -l)" "$FILES"
}

same_files()
{
    diff -r "$WORK/files" "$PVE/files"
}

check 'files are made' make_files
check 'the daemon runs' daemon -l --durability=relaxed
EMPTY=$(resident_kib)
check 'an empty one is small' resident_below $((20 * 1024))
check 'files are written' cp -r "$WORK/files" "$PVE/files"
check 'files are read' same_files
check 'written and read, they take no more than promised' resident_below "$LIMIT_KIB"
check 'they are counted there' [ "$(resident_kib)" -ge $((EMPTY + FILES)) ]
check 'the daemon stops' daemon_stop
check 'the daemon runs again' daemon -l
check 'files are read again' same_files
check 'after a restart they take no more than promised' resident_below "$LIMIT_KIB"
check 'the daemon stops again' daemon_stop
finish
