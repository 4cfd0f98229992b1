#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the installed form of the simulator, ha-simulator, passes every reference scenario and every
# reference configuration file line for line. Method: the comparison tool that comes with the data
# runs the program on private copies without the answers.
. "$(dirname "$0")/lib.sh"
need python3

SHARED=${QUORATE_SHARED:-$TOP/../shared}
SIMULATOR=${QUORATE_BUILD:-$TOP/build}/ha-manager/ha-simulator
COMPARE=$SHARED/tools/ha_compare.py

if [ ! -e "$COMPARE" ] || [ ! -d "$SHARED/ha-scenarios" ]; then
    echo "1..0 # SKIP no reference data below $SHARED (QUORATE_SHARED)"
    exit 77
fi
if [ ! -x "$SIMULATOR" ]; then
    echo "1..0 # SKIP no program $SIMULATOR (QUORATE_BUILD)"
    exit 77
fi

scenarios()
{
    python3 "$COMPARE" --require exact --jobs 2 --cmd "$SIMULATOR --scenario DIR" \
        "$SHARED"/ha-scenarios/*/ >"$WORK/scenarios" ||
        { grep -v 'exact=PASS' "$WORK/scenarios" | sed 's/^/# /'; return 1; }
}

config_files()
{
    python3 "$COMPARE" --require exact --rules-cmd "$SIMULATOR --check-rules FILE" \
        --fence-cmd "$SIMULATOR --check-fence FILE" \
        "$SHARED"/ha-rules-cfgs/*.cfg "$SHARED"/ha-fence-cfgs/*.cfg >"$WORK/files" ||
        { grep -v 'exact=PASS' "$WORK/files" | sed 's/^/# /'; return 1; }
}

# A comparison that cannot fail shows nothing.
a_wrong_answer_is_found()
{
    local one
    one=$(ls -d "$SHARED"/ha-scenarios/*/ | head -1)
    python3 "$COMPARE" --require exact --cmd "cat /dev/null" "$one" >/dev/null
}

# A person cuts power and watches: by commands on standard input, without a terminal ...
commands_on_stdin()
{
    printf 'power node3 off\nrun 12\nshow\n' | "$SIMULATOR" --plain >"$WORK/plain" &&
        grep -q "recover service 'vm:103' from fenced node 'node3'" "$WORK/plain" &&
        grep -Eq '^node3 +OFF' "$WORK/plain" && grep -Eq '^vm:103 .* node[12]$' "$WORK/plain"
}

a_wrong_command_is_noticed()
{
    echo 'power node9 off' | "$SIMULATOR" --plain
}

# ... and on a terminal, where time runs by itself.
commands_on_a_terminal()
{
    timeout 60 python3 -c "
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
time.sleep(2.5)
os.write(fd, b'cut node1 node2\n')
time.sleep(1.5)
os.write(fd, b'quit\n')
out = b''
try:
    while True:
        out += os.read(fd, 65536)
except OSError:
    pass
status = os.waitpid(pid, 0)[1]
text = out.decode(errors='replace')
# time went on by itself (it starts at 60), and the view shows what was cut
ok = status == 0 and 'quorum LOST' in text and 'time 80 s' in text and 'OFF' in text
sys.exit(0 if ok else 1)" "$SIMULATOR"
}

check 'every scenario passes line for line' scenarios
check 'every rules and fence file passes line for line' config_files
refuse 'an empty log passes' a_wrong_answer_is_found
check 'an unknown scenario is an error' \
    sh -c "! '$SIMULATOR' --scenario '$WORK/none' 2>'$WORK/err' && grep -q none '$WORK/err'"
check 'commands on standard input' commands_on_stdin
refuse 'a wrong command' a_wrong_command_is_noticed
check 'commands on a terminal' commands_on_a_terminal
finish
