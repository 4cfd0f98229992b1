#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the manual page vmid.conf(5) says what the option table says, and is sound.
# Method: its generated part is compared with what print_options prints; mandoc reads the page.
# After a change of the table: UPDATE=1 make check TESTS=tests/golden/vmid_conf_page.sh
set -u
page=${top_srcdir:?}/guest/vmid.conf.5
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${top_builddir:?}/tests/golden/print_options" man >"$scratch/options" || exit 1
{
    sed '/^\.\\" BEGIN generated/q' "$page"
    cat "$scratch/options"
    sed -n '/^\.\\" END generated/,$p' "$page"
} >"$scratch/page"
if [ -n "${UPDATE-}" ]; then
    cp "$scratch/page" "$page"
fi
if ! diff -u "$page" "$scratch/page"; then
    echo "vmid.conf.5 is not what the option table says"
    exit 1
fi
[ "$(grep -c '^\.It Cm' "$page")" -gt 200 ] || { echo "the page lists too few options"; exit 1; }
if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$page" || exit 1
else
    echo "mandoc is not installed: the page was not checked for form"
fi
