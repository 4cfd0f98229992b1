# SPDX-License-Identifier: Apache-2.0
# What tests of whole clusters share; after lib.sh.
#
#   at N COMMAND            runs it on node N
#   reads N FILES TEXT      these files read so on node N
#   refused N ERRNO COMMAND it fails on node N, and with this errno's text
#   same_on N...            these nodes show the same tree, and count it as the same version
#   all_same N...           they do so soon; else the difference
#   clients N...            starts recording clients on these nodes; `clients_end` stops them
#   judged N...             all settled: reads everything once more, and judges the record
#
# LONG=yes (scripts/soak-cluster) makes the tests that look at it take their time.

TREE=/etc/pve
JUDGE=$TOP/tests/integration/history.py
CLIENTS=()
ROUND=0

at()
{
    local n=$1
    shift
    lab exec "$n" -- sh -c "$*"
}

reads()
{
    equal "$(at "$1" "cat $2")" "$3"
}

# By the text: what waited for a quorum that is not there fails at its deadline, and otherwise.
refused()
{
    local n=$1 text=$2 out status=0
    out=$(at "$n" "$3" 2>&1) || status=$?
    echo "status $status: $out"
    [ "$status" != 0 ] && [ "$status" -lt 124 ] && [[ $out == *"$text"* ]]
}

# Everything about the tree that a caller can see, one line an entry, a digest of each content, and
# the number of its version.
look()
{
    lab exec "$1" -- sh -c 'cd /etc/pve && find . -mindepth 1 ! -path "./.*" ! -type l \
        -printf "%P %y %m %u %g %s %T@\n" | LC_ALL=C sort &&
        find . -type f ! -path "./.*" -exec sha256sum {} + | LC_ALL=C sort -k 2 &&
        grep "^pmxcfs_tree_version " .metrics'
}

same_on()
{
    local first=$1 n
    look "$first" >"$WORK/look.$first" || return 1
    shift
    for n in "$@"; do
        look "$n" >"$WORK/look.$n" || return 1
        cmp -s "$WORK/look.$first" "$WORK/look.$n" || return 1
    done
    [ -s "$WORK/look.$first" ]
}

all_same()
{
    local n
    if ! within 90 same_on "$@"; then
        for n in "${@:2}"; do
            diff -U 0 "$WORK/look.$1" "$WORK/look.$n" | head -n 20
        done
        return 1
    fi
}

# The files that the clients of history.py write.
history_begin()
{
    at 1 "cd $TREE && mkdir history && for i in 0 1 2; do : >history/file\$i; done"
}

clients()
{
    local n
    rm -f "$WORK/stop"
    ROUND=$((ROUND + 1))
    for n in "$@"; do
        lab exec "$n" -- timeout -s KILL 900 python3 "$JUDGE" run "$TREE/history" \
            "$WORK/record.$n.$ROUND" "$n/$ROUND" 900 "$WORK/stop" >"$WORK/client.$n" 2>&1 &
        CLIENTS+=($!)
    done
}

# Their own end is no matter: a node may have died under them.
clients_end()
{
    local pid
    touch "$WORK/stop"
    for pid in "${CLIENTS[@]}"; do
        wait "$pid"
    done
    CLIENTS=()
    return 0
}

judged()
{
    local n
    for n in "$@"; do
        lab exec "$n" -- python3 "$JUDGE" final "$TREE/history" "$WORK/record.$n.end" "$n/end" ||
            return 1
    done
    python3 "$JUDGE" check "$WORK"/record.*
}
