#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Moves of all sorts, each struck by something at a random moment of a random state, for as long as
# told: the guest runs on one side at most, its counter never goes back, its disks keep their
# content, and no process, port, lock, journal or volume is left. By hand:
# sudo tests/integration/migration_soak.sh [MINUTES]; QUORATE_SEED repeats a run's choices. KINDS
# and STATES, one a line as in mig_blow.sh, are all that may strike and where; what has struck least
# strikes next. Logs of failures are kept in
# soak-failures/ of the build directory.
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img qemu-io as ld python3 ss
. "$(dirname "$0")/mig_lib.sh"
. "$(dirname "$0")/mig_blow.sh"
need "$BUILD/cli/qm" "$BUILD/cli/pvesm" "$BUILD/migration/quorate-migrated"
UNTIL=$((SECONDS + ${1:-30} * 60))
RANDOM=${QUORATE_SEED:-$(date +%s)}

make_rom || exit 1
lab_up -n 3 --join
storages
for n in 1 2 3; do
    within 60 lab exec "$n" -- test -S /run/quorate/migration.sock || exit 1
done
blow_guest

mapfile -t states <<<"${STATES:-$BLOW_STATES}"
mapfile -t kinds <<<"${KINDS:-$BLOW_KINDS}"
mapfile -t moves <<'END'
--online --with-local-disks
--online --with-local-disks --migration_type insecure
--online --with-local-disks --channels 2
--online --with-local-disks --compress zstd
--online --with-local-disks --bwlimit 20000
--targetstorage disk
END

keep_logs()
{
    local n to
    to=$BUILD/soak-failures/migration-$(date +%s)
    mkdir -p "$to"
    cp "$WORK/out" "$to/said"
    for n in 1 2 3; do
        cp "$(lab path "$n")/log/syslog" "$to/syslog.$n"
        on "$n" cat /var/log/quorate/migrate-400.log >"$to/migrate.$n" 2>/dev/null
    done
    echo "# logs: $to"
}
declare -A struck
# Of those that have struck least, one.
next_kind()
{
    local one least=${struck[${kinds[0]}]:-0} few=()
    for one in "${kinds[@]}"; do
        [ "${struck[$one]:-0}" -ge "$least" ] || least=${struck[$one]:-0}
    done
    for one in "${kinds[@]}"; do
        [ "${struck[$one]:-0}" != "$least" ] || few+=("$one")
    done
    kind=${few[RANDOM % ${#few[@]}]}
}
while [ "$SECONDS" -lt "$UNTIL" ]; do
    read -r state most <<<"${states[RANDOM % ${#states[@]}]}"
    next_kind
    MOVE=${moves[RANDOM % ${#moves[@]}]}
    case "$MOVE $state $kind" in
    --target*' start '* | --target*' mirror '* | --target*' move '*) continue ;;
    --target*' switch '* | --target*QEMU* | --target*FREEZE*) continue ;;
    *bwlimit*' mirror '* | *bwlimit*' move '*) most=$((most * 5)) ;;
    esac
    ms=$((RANDOM % most))
    before=$FAILED
    # shellcheck disable=SC2086 # words
    check "${kind/ $WORK*/} in $state, after $ms ms, moving with $MOVE" blow "$state" "$ms" $kind
    struck[$kind]=$((${struck[$kind]:-0} + 1))
    [ "$before" = "$FAILED" ] || keep_logs
done
for kind in "${kinds[@]}"; do
    echo "# ${struck[$kind]:-0} x ${kind/ $WORK*/}"
done
finish
