#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the installed QEMU accepts every value of the option table that it knows.
# Method: guest_start.py starts a paused guest for each of them. SPICE wants the node's certificate,
# so all of it runs in a mount namespace with an /etc of its own.
# Timeout: 1200
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img openssl unshare python3
BUILD=$(build_dir)
need "$BUILD/cli/qm" "$BUILD/tests/golden/print_options"

in_own_etc()
{
    unshare --mount --propagation private -- bash -euc '
        mkdir -p "$1/up" "$1/work"
        mount -t tmpfs none "$1/up"
        mkdir "$1/up/u" "$1/up/w"
        mount -t overlay -o "lowerdir=/etc,upperdir=$1/up/u,workdir=$1/up/w" none /etc
        mkdir -p /etc/pve
        mount -t tmpfs none /etc/pve
        mkdir /etc/pve/local
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=smoke \
            -keyout /etc/pve/local/pve-ssl.key -out /etc/pve/local/pve-ssl.pem 2>/dev/null
        cp /etc/pve/local/pve-ssl.pem /etc/pve/pve-root-ca.pem
        mkdir "$1/scratch"
        shift
        exec "$@"' - "$WORK" "$@"
}

# Its lines are the cases of this test.
in_own_etc "$TOP/tests/integration/guest_start.py" "$BUILD/cli/qm" \
    "$BUILD/tests/golden/print_options" "$WORK/scratch" "$@"
exit $?
