#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the QEMU command of each configuration in tests/golden/guest is exactly the expected one.
# Method: each file says in its first line for which host, and after that maybe which snapshot; `qm
# showcmd` prints command, warnings and errors, which are compared with FILE.out. After a wanted
# change: UPDATE=1 make check TESTS=... and read the difference.
set -u
top=${top_srcdir:?}
qm=${top_builddir:?}/cli/qm
dir=$top/tests/golden/guest
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0 count=0

for conf in "$dir"/*.conf; do
    name=$(basename "$conf" .conf)
    assume=$(sed -n '1s/^#assume //p' "$conf")
    snapshot=$(sed -n '2s/^#snapshot //p' "$conf")
    cp "$conf" "$scratch/100.conf"
    (cd "$scratch" && "$qm" showcmd 100 --root "$dir/tree" --config 100.conf --assume "$assume" \
        --pretty ${snapshot:+--snapshot "$snapshot"}) >"$scratch/out" 2>&1
    status=$?
    echo "exit status $status" >>"$scratch/out"
    # The folder of the bridge scripts is chosen at configure time.
    sed -i 's|script=[^,]*/qm-bridge|script=DIR/qm-bridge|g' "$scratch/out"
    count=$((count + 1))
    if [ -n "${UPDATE-}" ]; then
        cp "$scratch/out" "$dir/$name.out"
    elif ! diff -u "$dir/$name.out" "$scratch/out"; then
        echo "$name: not the expected command"
        failed=$((failed + 1))
    fi
done
echo "$count commands, $failed wrong"
[ "$count" -gt 0 ] && [ "$failed" = 0 ]
