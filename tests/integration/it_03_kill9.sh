#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: kill -9 of the daemon at any moment loses nothing that was acknowledged, leaves no file in
# half, and the next start works, with a stale mount in its way (INV-2).
# Method: four threads write and note what was acknowledged; the daemon is killed at random moments,
# started again, and every noted change is looked for. Twice: with and without syncing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/one_node.sh"
one_node
ACKLOAD=$BUILD/tests/integration/ackload
need "$ACKLOAD"
ROUNDS=${ROUNDS:-15}
RANDOM=$((SEED % 32768))

kill_loop()
{
    local round
    : >"$WORK/ack"
    for round in $(seq "$ROUNDS"); do
        daemon -l "$@" || return 1
        "$ACKLOAD" check "$PVE" "$WORK/ack" || return 1
        "$ACKLOAD" run "$PVE" "$WORK/ack" 4 1 &
        local load=$!
        sleep "0.$((RANDOM % 400 + 100))"
        daemon_kill
        wait "$load" || return 1
    done
    daemon -l "$@" || return 1
    "$ACKLOAD" check "$PVE" "$WORK/ack" || return 1
    [ "$(grep -c put "$WORK/ack")" -gt "$ROUNDS" ] || { echo 'too little was written'; return 1; }
    daemon_stop || { echo 'did not stop cleanly'; return 1; }
    if [ -x "$BUILD/cli/pmxcfs-db" ]; then
        "$BUILD/cli/pmxcfs-db" check -d "$STATE/config.db" || return 1
    fi
    rm -f "$STATE"/config.db*
}

# The checker itself must miss what never happened.
forged()
{
    daemon -l || return 0
    "$ACKLOAD" run "$PVE" "$WORK/ack" 1 1
    echo "$1" >>"$WORK/ack"
    "$ACKLOAD" check "$PVE" "$WORK/ack"
    local status=$?
    daemon_stop
    rm -f "$STATE"/config.db* "$WORK/ack"
    return "$status"
}

refuse 'a forged acknowledgement of a content is found' forged 'put 0 999999'
refuse 'a forged acknowledgement of a new file is found' forged 'new 0 999999'
check "kill -9: every acknowledged change is there ($ROUNDS kills)" kill_loop
check 'the same with --durability=relaxed' kill_loop --durability=relaxed
finish
