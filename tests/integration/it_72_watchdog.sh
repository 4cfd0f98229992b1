#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: watchdog-mux on a real watchdog of a real kernel: a client that is silent, a client that
# dies, and a killed multiplexer end in a reset within the bound; who leaves in order ends in none.
# Method: Debian's cloud kernel with softdog in small machines, one for each way to end; time is
# their own.
# Timeout: 300
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 gcc python3 apt-get apt-cache dpkg-deb ldd
BUILD=$(build_dir)
MUX=$BUILD/ha-manager/watchdog-mux/watchdog-mux
need "$MUX"
CLIENT_MS=2000 # as in watchdog_guest_init.c
DEVICE_MS=4000
# docs/wire/watchdog-mux.md: silence, the next look, and a device that was fed once more, late.
BOUND_MS=$((CLIENT_MS + 500 + 2 * DEVICE_MS))

package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    awk '/Depends: linux-image/ { print $2; exit }')
mkdir "$WORK/kernel"
if [ -z "$package" ] || ! (cd "$WORK/kernel" &&
    timeout 120 apt-get -q download "$package" >log 2>&1 && dpkg-deb -x ./*.deb root); then
    echo '1..0 # SKIP no Debian archive to take linux-image-cloud-amd64 from'
    exit 77
fi
if ! gcc -static -O1 -o "$WORK/init" "$TOP/tests/integration/watchdog_guest_init.c"; then
    echo '1..0 # SKIP no static C library'
    exit 77
fi
KERNEL=$(echo "$WORK"/kernel/root/boot/vmlinuz-*)
FILES=("init=$WORK/init" "watchdog-mux=$MUX")
for module in watchdog softdog; do
    file=$(find "$WORK/kernel/root/lib/modules" -name "$module.ko")
    [ -z "$file" ] || FILES+=("$module.ko=$file")
done
for library in $(ldd "$MUX" | grep -o '/[^ ]*\.so[^ ]*'); do
    FILES+=("${library#/}=$library")
done
python3 "$TOP/tests/integration/initrd.py" "$WORK/initrd" "${FILES[@]}"

# With -no-reboot a reset ends QEMU.
machine()
{
    timeout 240 qemu-system-x86_64 -accel tcg -M pc -m 128 -smp 1 -nodefaults -no-user-config \
        -nographic -no-reboot -kernel "$KERNEL" -initrd "$WORK/initrd" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check how=$1" \
        -serial "file:$WORK/$1.log" </dev/null >"$WORK/$1.qemu" 2>&1
}

says()
{
    grep -aq "^TEST $2" "$WORK/$1.log" || { tail -n 20 "$WORK/$1.log"; return 1; }
}

# It ended by itself, and did not live on.
was_reset()
{
    says "$1" SINCE && ! says "$1" SURVIVED
}

last_seen()
{
    tr -d '\r' <"$WORK/$1.log" |
        awk '$1 == "TEST" && $2 == "SINCE" && NF == 3 {ms = $3} END {print ms}'
}

declare -A RESULT
for how in silent dies killed; do
    machine "$how" &
    RESULT[$how]=$!
done
for how in silent dies killed; do
    wait "${RESULT[$how]}"
    RESULT[$how]=$?
done
check 'a client that leaves in order: no reset' says silent LEFT
for how in silent dies killed; do
    check "$how: fed for longer than the device forgives, the machine lives" says "$how" FED
    check "$how: it is reset then" was_reset "$how"
    check "$how: QEMU ends for that" equal "${RESULT[$how]}" 0
    check "$how: within the bound ($(last_seen "$how") of $BOUND_MS ms)" \
        test "$(last_seen "$how")" -le "$BOUND_MS"
    refuse "$how: and was served before" says "$how" REFUSED
done
finish
