#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: `qm showcmd` for another host says what is wrong with --root, --config and --assume, blames
# the option and not the guest's file, and leaves nothing behind.
set -u
qm=$(realpath "${top_builddir:?}")/cli/qm
tree=$(realpath "${top_srcdir:?}")/tests/golden/guest/tree
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
cd "$scratch" || exit 1
mkdir run
echo 'memory: 600' >100.conf
echo '[1]' >list.json
echo '{' >cut.json
: >empty.json
echo '{"amd-sev": 5}' >word.json
echo '{"amd-sev": {"sev-support": true, "cbitpos": "51"}}' >text.json
echo '{"amd-sev": {"sev-support": 1}}' >number.json
echo '{"amd-sev": {"cbitpos": 256}}' >large.json
echo '{"intel-tdx": {"tdx-support": "yes"}}' >tdx.json
echo '{"more": 1, "amd-sev": {"sev-support": true, "cbitpos": 51}}' >good.json

# fails WORDS OPTION...: status 1, and one line that says WORDS and begins with the option's name
fails()
{
    local words=$1 status=0
    shift
    "$qm" showcmd 100 --run-dir "$scratch/run" --config 100.conf "$@" >out 2>said || status=$?
    if [ "$status" != 1 ] || [ -s out ] || ! grep -qF -e "$words" said; then
        echo "$*: status $status, wanted 1 and '$words':"
        sed 's/^/    /' said
        failed=1
    fi
}

# works WORDS OPTION...: status 0, and the command has WORDS
works()
{
    local words=$1
    shift
    if ! "$qm" showcmd 100 --run-dir "$scratch/run" --config 100.conf "$@" >out 2>said ||
        ! grep -qF -e "$words" out; then
        echo "$*: no command with '$words'"
        sed 's/^/    /' said
        failed=1
    fi
}

fails "showcmd: --root: '/nonexistent' is no directory" --root /nonexistent --assume qemu=11.0.0
fails "showcmd: --root: '100.conf' is no directory" --root 100.conf --assume qemu=11.0.0
fails "nope.conf: No such file" --root "$tree" --assume qemu=11.0.0 --config nope.conf
for wrong in abc 12 '' 7.2.5+more 7.x 1000.0; do
    fails "showcmd: --assume: '$wrong' is not a QEMU version" --root "$tree" --assume "qemu=$wrong"
done
fails "showcmd: --assume: 'qemu' is given twice" --root "$tree" --assume qemu=8.0.0,qemu=9.0.0
fails "unknown property 'foo', known are: qemu arch" --root "$tree" --assume foo=1
fails "arch: 'riscv64' is not one of x86_64, aarch64" --root "$tree" --assume arch=riscv64
fails "pci: 'none' is not one of any, host" --root "$tree" --assume qemu=11.0.0,pci=none
for file in list cut empty word text number large tdx absent; do
    fails "showcmd: --assume: capabilities: $file.json: " --root "$tree" \
        --assume "qemu=11.0.0,capabilities=$file.json"
done
fails "'cbitpos' is not a number 0..255" --root "$tree" --assume qemu=11.0.0,capabilities=large.json

works type=pc-i440fx-99.1 --root "$tree" --assume qemu=99.1.2
works 'm 600' --root "$tree" --assume qemu=11.0.0,capabilities=good.json
echo 'amd-sev: std' >100.conf
fails "100.conf: amd-sev: needs bios ovmf" --root "$tree" \
    --assume qemu=11.0.0,capabilities=good.json
fails "amd-sev: the processor of node 'x' does not offer" --root "$tree" \
    --assume qemu=11.0.0,node=x
echo 'amd-sev: es' >100.conf
fails "node 'localhost' does not offer type 'es'" --root "$tree" \
    --assume qemu=11.0.0,capabilities=good.json
echo 'hostpci0: mapping=gpu' >100.conf
works host=0000:41:00.0 --root "$tree" --assume qemu=11.0.0,pci=any,node=n1
fails "hostpci0: " --root "$tree" --assume qemu=11.0.0,pci=any,node=elsewhere
fails "hostpci0: no PCI device" --root "$tree" --assume qemu=11.0.0,pci=host,node=n1
echo 'cpu: host,flags=+nested-virt' >100.conf
works +svm --root "$tree" --assume qemu=11.0.0,cpu-vendor=AuthenticAMD
works +vmx --root "$tree" --assume qemu=11.0.0,cpu-vendor=GenuineIntel

if [ -n "$(ls -A run)" ]; then
    echo "left behind: $(ls -A run)"
    failed=1
fi
exit "$failed"
