# SPDX-License-Identifier: Apache-2.0
# What the integration tests share. A test sources this file and then
#
#   need PROGRAM...            ends with 77 (skipped) and a reason when one is missing
#   lab_up ARGS...             `lab up` under a name of this test alone; gone when the test ends
#   lab ARGS...                any other command of the lab
#   check 'claim' CMD ARGS...  one case: passes when the command succeeds
#   refuse 'claim' CMD ...     one case: passes when the command fails (but not by a timeout)
#   within SECONDS CMD ...     repeats the command until it succeeds, at most so long
#   noise BYTES                prints random bytes, the same ones each time
#   finish                     the end: exit status 0 when no case failed
#
# Each case prints a TAP line; scripts/test counts them. What is random comes from SEED: always the
# same, so that a run that failed fails again, unless QUORATE_SEED asks for another.
set -u

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_NAME=${LAB_NAME:-t$$}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/quorate-test.XXXXXX")
SEED=${QUORATE_SEED:-1}
CASES=0
FAILED=0

lab()
{
    local verb=$1
    shift
    "$TOP/scripts/lab" "$verb" --name "$LAB_NAME" "$@"
}

on_exit()
{
    local status=$?
    trap - EXIT
    if [ -n "${LAB_IS_UP-}" ]; then
        if [ "$status" != 0 ] && [ "$status" != 77 ]; then
            show_lab
        fi
        lab down || status=1
    fi
    rm -rf "$WORK"
    exit "$status"
}
trap on_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# What somebody who looks for the cause of a failure wants to see.
show_lab()
{
    echo "# load: $(cat /proc/loadavg)"
    lab status | sed 's/^/# /'
    local n
    for n in $(seq 1 "$LAB_NODES"); do
        lab logs "$n" corosync -n 6 2>/dev/null | sed "s/^/# node $n: /"
        lab logs "$n" pmxcfs -n 20 2>/dev/null | sed "s/^/# node $n: /"
    done
}

need()
{
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null && [ ! -x "$program" ]; then
            echo "1..0 # SKIP needs $program"
            exit 77
        fi
    done
    if [ "$(id -u)" != 0 ]; then
        echo "1..0 # SKIP needs root"
        exit 77
    fi
}

noise()
{
    python3 -c 'import random, sys
sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))' "$SEED" "$1"
}

# The build directory whose programs are tested.
build_dir()
{
    local dir
    for dir in "${QUORATE_BUILD-}" "$PWD" "$TOP/build"; do
        if [ -n "$dir" ] && [ -e "$dir/config.status" ]; then
            (cd "$dir" && pwd)
            return
        fi
    done
}

lab_up()
{
    LAB_IS_UP=yes
    LAB_NODES=3
    local previous=
    for word in "$@"; do
        case $previous in -n | --nodes) LAB_NODES=$word ;; esac
        previous=$word
    done
    if ! lab up "$@" >"$WORK/up.log" 2>&1; then
        LAB_IS_UP=
        sed 's/^/# /' "$WORK/up.log"
        echo "not ok 1 - the lab comes up"
        exit 1
    fi
}

result()
{
    local status=$1 claim=$2
    CASES=$((CASES + 1))
    if [ "$status" = 0 ]; then
        echo "ok $CASES - $claim"
    else
        FAILED=$((FAILED + 1))
        sed 's/^/# /' "$WORK/out"
        echo "not ok $CASES - $claim"
    fi
}

check()
{
    local claim=$1
    shift
    "$@" >"$WORK/out" 2>&1
    result $? "$claim"
}

refuse()
{
    local claim=$1 status=0
    shift
    "$@" >"$WORK/out" 2>&1 || status=$?
    case $status in
    0)
        echo 'succeeded, should have failed' >>"$WORK/out"
        result 1 "$claim"
        ;;
    124 | 125 | 126 | 127 | 137) result 1 "$claim" ;;
    *) result 0 "$claim" ;;
    esac
}

within()
{
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            return 1
        fi
        sleep 0.1
    done
}

equal()
{
    if [ "$1" != "$2" ]; then
        printf 'have: %s\nwant: %s\n' "$1" "$2"
        return 1
    fi
}

finish()
{
    echo "1..$CASES"
    if [ "$FAILED" != 0 ]; then
        exit 1
    fi
    exit 0
}
