#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Time of `qm list` with 1,000 configured guests on a pmxcfs of its own.
#
#     sudo tests/bench/bench_qm_list.sh [BUILD-DIRECTORY]
#
# Prints one line: the smallest and the median of 25 runs, and processor time of one run, in ms.
QUORATE_BUILD=$(realpath "${1:-${QUORATE_BUILD:-build}}")
export QUORATE_BUILD
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/../integration/one_node.sh"
one_node
GUESTS=$PVE/nodes/single/qemu-server

daemon -l
mkdir -p "$PVE/nodes/single" && mkdir "$GUESTS"
for id in $(seq 1000 1999); do
    cat >"$GUESTS/$id.conf" <<END
boot: order=scsi0;net0
cores: 2
cpu: x86-64-v2-AES
memory: 2048
meta: creation-qemu=7.2.22,ctime=1760000000
name: guest$id
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0
scsi0: local:$id/vm-$id-disk-0.qcow2,discard=on,iothread=1,size=32G
scsihw: virtio-scsi-single
smbios1: uuid=5c0c4a52-9a9f-4a9d-a1b6-2f3f1a7d1c11
vmgenid: 0c7b3f1e-3f4d-4c27-9f6a-111111111111
END
done

list()
{
    "$BUILD/cli/qm" list --root "$PVE" --run-dir "$WORK/run" >"$WORK/list"
}

list && [ "$(wc -l <"$WORK/list")" = 1001 ] || exit 1
for _ in $(seq 25); do
    start=${EPOCHREALTIME/./}
    list
    echo $(((${EPOCHREALTIME/./} - start) / 100))
done | sort -n >"$WORK/times"
TIMEFORMAT='%U %S'
cpu=$({ time for _ in $(seq 10); do list; done; } 2>&1)
awk -v cpu="$cpu" '{ t[NR] = $1 / 10 } END { split(cpu, c, " ");
    printf "qm_list guests=1000 min_ms=%.1f median_ms=%.1f cpu_ms=%.1f\n", t[1], t[13],
        (c[1] + c[2]) * 100 }' "$WORK/times"
daemon_stop
