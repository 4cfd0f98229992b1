#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The judge of recorded histories (tests/integration/history.py) accepts what may be and refuses
# each kind of what must not be.
judge=$top_srcdir/tests/integration/history.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# verdict NAME WANTED: judges the record on standard input, after two operations that are always so.
verdict()
{
    local status=0
    { echo '9 0 write other x 1 2 ok'; echo '9 0 read other x 3 4 ok'; cat; } >"$work/log"
    python3 "$judge" check "$work/log" >"$work/said" 2>&1 || status=$?
    if [ "$status" != "$2" ]; then
        echo "$1: status $status, wanted $2"
        sed 's/^/    /' "$work/said"
        failed=1
    fi
}

verdict 'one after the other' 0 <<'R'
1 0 read f - 1 2 ok
1 0 write f a 10 20 ok
2 0 write f b 30 40 ok
1 0 read f b 50 60 ok
3 0 final f b 70 80 ok
R
verdict 'another node sees it late' 0 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 ok
2 0 read f - 50 60 ok
2 0 read f a 61 62 ok
2 0 read f b 70 80 ok
R
verdict 'writes at once, in either order' 0 <<'R'
1 0 write f a 10 40 ok
2 0 write f b 20 30 ok
1 0 read f b 50 60 ok
2 0 read f b 50 60 ok
R
verdict 'the same value again and again' 0 <<'R'
1 0 write f a 10 20 ok
2 0 read f a 21 22 ok
2 1 read f a 21 30 ok
2 0 read f a 25 26 ok
2 1 read f a 31 32 ok
R
verdict 'not yet closed, it shows on its own node' 0 <<'R'
1/1 0 write f a 10 90 ok
1/2 0 read f a 20 30 ok
2 0 write f b 40 50 ok
1 0 read f b 60 70 ok
1 0 final f a 91 92 ok
R
verdict 'not yet closed, it shows elsewhere' 1 <<'R'
1/1 0 write f a 10 90 ok
3 0 read f a 20 30 ok
2 0 write f b 40 50 ok
1 0 read f b 60 70 ok
1 0 final f a 91 92 ok
R
verdict 'an error that came late' 0 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 maybe
2 0 read f b 50 60 ok
R
verdict 'killed in the middle of a write' 0 <<'R'
1 0 write f a 10 20 ok
1 0 begin f b 30 30 maybe
2 0 final f b 50 60 ok
R
verdict 'an error after which nothing happened' 0 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 maybe
2 0 final f a 50 60 ok
R
verdict 'an acknowledged write is lost' 1 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 ok
1 0 final f a 50 60 ok
2 0 final f a 50 60 ok
R
verdict 'nodes differ in the end' 1 <<'R'
1 0 write f a 10 40 ok
2 0 write f b 20 30 ok
1 0 final f a 50 60 ok
2 0 final f b 50 60 ok
R
verdict 'a node goes back' 1 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 ok
2 0 read f b 50 60 ok
2 1 read f a 61 70 ok
R
verdict 'a node goes back to nothing' 1 <<'R'
1 0 write f a 10 20 ok
2 0 read f a 50 60 ok
2 1 read f - 61 70 ok
R
verdict 'two nodes see two orders' 1 <<'R'
1 0 write f a 10 40 ok
2 0 write f b 10 40 ok
3 0 read f a 41 42 ok
3 0 read f b 43 44 ok
4 0 read f b 41 42 ok
4 0 read f a 43 44 ok
R
verdict 'a node does not see its own write' 1 <<'R'
1 0 write f a 10 20 ok
1 0 write f b 30 40 ok
1 1 read f a 50 60 ok
R
verdict 'a write is put before what was read when it began' 1 <<'R'
1 0 write f a 10 90 ok
2 0 read f a 20 30 ok
3 0 write f b 40 50 ok
4 0 read f b 60 70 ok
4 0 read f a 71 72 ok
R
verdict 'read before it was written' 1 <<'R'
2 0 read f a 1 2 ok
1 0 write f a 10 20 ok
R
verdict 'what was refused is there' 1 <<'R'
3 0 write f a 10 20 no
3 0 read f a 30 40 ok
R
verdict 'what nobody wrote is there' 1 <<'R'
1 0 read f z 30 40 ok
R
verdict 'a name claimed once' 0 <<'R'
1 0 claim c 1 10 20 ok
2 0 claim c 2 10 20 no
3 0 claim c 3 10 20 maybe
R
verdict 'a name claimed twice' 1 <<'R'
1 0 claim c 1 10 20 ok
2 0 claim c 2 10 20 ok
R
verdict 'a lock goes from one to the next' 0 <<'R'
1 0 lock l 1 10 20 ok
1 0 unlock l 2 30 40 ok
2 0 lock l 3 25 35 ok
2 0 unlock l 4 50 60 ok
R
verdict 'a lock has two holders' 1 <<'R'
1 0 lock l 1 10 20 ok
2 0 lock l 2 22 25 ok
1 0 unlock l 3 30 40 ok
2 0 unlock l 4 50 60 ok
R
printf '1 0 write f a 10 20 no\n' >"$work/log"
python3 "$judge" check "$work/log" >/dev/null && { echo 'an empty record passes'; failed=1; }
exit "$failed"
