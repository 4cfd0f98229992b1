#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: what commands print with --output-format json is JSON, whatever names and values hold:
# quotes, control characters, bytes that are no UTF-8. Method: a tree, a storage and a database with
# such names, all read by commands that need no cluster; a parser that takes nothing else.
set -u
bin=$(realpath "${top_builddir:?}")/cli
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
failed=0
hostile=$'a"b\\c\'d\te\x01\x7ff\xff\xc3(\xed\xa0\x80\xf4\x90\x80\x80<script>\xe2\x80\xa8z'
node=$(uname -n)
node=${node%%.*}

# parses NEEDLE COMMAND...: status 0, the output is JSON, and somewhere in it is NEEDLE
parses()
{
    local needle=$1 status=0
    shift
    "$bin/$@" --output-format json >out 2>said </dev/null || status=$?
    if [ "$status" != 0 ] && [ "$status" != "${allowed:-0}" ] || ! python3 - "$needle" <<'END'; then
import json
import sys

with open('out', 'rb') as file:
    text = file.read().decode('utf-8')  # strictly
value = json.loads(text, parse_constant=lambda name: sys.exit(f'{name} is no JSON'))
if sys.argv[1] not in json.dumps(value, ensure_ascii=False):
    sys.exit(f'{sys.argv[1]!r} is not in it')
END
        echo "$*: status $status"
        sed 's/^/    /' said out
        failed=1
    fi
}

# ---- guests and storages
mkdir -p run tree/nodes/"$node"/qemu-server store/images/100 store/template/iso store/dump
{
    printf '#%s\n' "$hostile"
    printf 'name: web\nmemory: 64\nargs: -name "%s"\n' "$(tr -d '\001' <<<"$hostile")"
    printf 'tags: a;b\nunheard: %s\n[snap]\nmemory: 32\n' "$hostile"
} >tree/nodes/"$node"/qemu-server/100.conf
ln -s nodes/"$node" tree/local
printf 'dir: store\n\tpath %s\n\tcontent images,iso,backup\n' "$scratch/store" >tree/storage.cfg
truncate -s 1M store/images/100/vm-100-disk-0.raw
: >"store/template/iso/$hostile.iso"
: >store/template/iso/$'new\nline.iso'
: >store/template/iso/plain.iso
touch store/dump/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst
printf '%s' "$hostile" >store/dump/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst.notes
where=(--root "$scratch/tree" --run-dir "$scratch/run")
parses '"web"' qm list --full "${where[@]}"
parses '"memory"' qm config 100 "${where[@]}"
parses '"memory"' qm config 100 --snapshot snap "${where[@]}"
parses '"memory"' qm pending 100 "${where[@]}"
parses '"snap"' qm listsnapshot 100 "${where[@]}"
parses '"store"' pvesm status --root "$scratch/tree"
parses 'plain.iso' pvesm list store --root "$scratch/tree"
parses 'images' pvesm config store --root "$scratch/tree"

# ---- the database
mkdir -p files/"$hostile"
printf '%s' "$hostile" >files/"$hostile"/"$hostile"
: >files/$'new\nline'
printf 'x' >files/plain
"$bin/pmxcfs-db" import --database one.db files >said 2>&1 || { cat said; failed=1; }
printf 'y' >files/plain
"$bin/pmxcfs-db" import --database two.db files >said 2>&1 || { cat said; failed=1; }
parses '' pmxcfs-db check --database one.db
parses '' pmxcfs-db stat --database one.db
parses 'plain' pmxcfs-db dump --content --database one.db
allowed=3 parses 'plain' pmxcfs-db compare two.db --database one.db
parses '' pmxcfs-db repair --dry-run --database one.db
exit "$failed"
