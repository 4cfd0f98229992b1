#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: each pair of configuration and QEMU command in the reference data matches by meaning.
# Method: its own comparison tool runs `qm showcmd` for the host each pair names. Skipped when the
# shared data is not there (QUORATE_SHARED).
set -u
shared=${QUORATE_SHARED-}
qm=${top_builddir:?}/cli/qm
tool=$shared/tools/cfg2cmd_compare.py
if [ ! -f "$tool" ] || [ ! -d "$shared/qemu-cfg2cmd" ]; then
    echo "skipped: no reference data in '${shared:-QUORATE_SHARED}'"
    exit 77
fi
facts=qemu=QEMU_VERSION,arch=HOST_ARCH,cpu-vendor=CPU_VENDOR,capabilities=CAPS_FILE,pci=any
exec python3 "$tool" --dir "$shared/qemu-cfg2cmd" --require 100 --quiet --jobs 2 \
    --cmd "$qm showcmd VMID --root WORLD --config FILE --assume $facts"
