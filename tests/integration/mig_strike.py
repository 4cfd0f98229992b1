#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does something to the lab when a move from its node 1 comes to a certain state.

    mig_strike.py LAB OFFSET STATE MILLISECONDS QEMU|FREEZE|DEAF NODE
    mig_strike.py LAB OFFSET STATE MILLISECONDS CANCEL|FULL|GUARD|STORAGE
    mig_strike.py LAB OFFSET STATE MILLISECONDS CLOCK NODE SECONDS FILE
    mig_strike.py LAB OFFSET STATE MILLISECONDS COMMAND [ARGUMENT]...

Waits until node 1's log, from OFFSET on, tells that the source came to STATE, or to its end; then
so long; then kills with SIGKILL the QEMU of guest 400 on NODE; or stops it with SIGSTOP; or lets
NODE say nothing to the others' corosync any more, while agents still hear each other; or cancels
the move; or fills the target's storage; or takes the guard of the target's LRM away; or kills what
serves the source's disks; or lets the clock of clock_jump.c jump; or gives the lab that command:
all in this process, for the time that another one needs to begin is longer than some states are.
"""
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '../../scripts/lib'))
import labcli  # noqa: E402
import lablib  # noqa: E402

DEADLINE = 90
DEAF = ('table inet deaf { chain out { type filter hook output priority 0; '
        'meta l4proto udp drop; }; }')


def wait_for(path, offset, state):
    wanted = re.compile(rf'source: [a-z]+ -> ({state}|done|failed) '.encode())
    deadline = time.monotonic() + DEADLINE
    with open(path, 'rb') as log:
        while time.monotonic() < deadline:
            log.seek(offset)
            if wanted.search(log.read()):
                return
            time.sleep(0.001)
    sys.exit(f'the move does not come to {state}')


def send(first, what, word):
    """A signal to each process with that word where process `first` is."""
    space = os.stat(f'/proc/{first}/ns/pid').st_ino
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.stat(f'/proc/{pid}/ns/pid').st_ino != space:
                continue
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if word + b'\0' in file.read():
                    os.kill(int(pid), what)
        except OSError:
            pass  # it has ended meanwhile


def cancel(source):
    """Asks the agent as `qm migrate-cancel` does. The move may have ended: then it says no."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        connection.connect(f'/proc/{source}/root/run/quorate/migration.sock')
        connection.sendall(b'{"verb": "cancel", "vmid": 400}\n')
        connection.recv(1)


def fill(target):
    with open(f'/proc/{target}/root/var/lib/disk/filler', 'wb', buffering=0) as file:
        try:
            while file.write(bytes(65536)) > 0:
                pass
        except OSError:
            pass  # it is full


def jump(seconds, path):
    with open(path, 'r+b', buffering=0) as file:
        file.write(int(seconds).to_bytes(8, sys.byteorder, signed=True))


def main():
    name, offset, state, pause, what = sys.argv[1:6]
    words = sys.argv[6:]
    lab = lablib.Lab(name).load()
    wait_for(os.path.join(lab.node_dir(1), 'log', 'syslog'), int(offset), state)
    time.sleep(int(pause) / 1000)
    if what in ('QEMU', 'FREEZE'):
        send(lab.process(int(words[0])).pid, signal.SIGKILL if what == 'QEMU' else signal.SIGSTOP,
             b'/400.pid')
    elif what == 'STORAGE':
        send(lab.process(1).pid, signal.SIGKILL, b'/under.pid')
    elif what == 'CLOCK':
        jump(*words[1:])
    elif what == 'DEAF':
        sys.exit(labcli.main(['exec', '--name', name, words[0], '--', 'nft', DEAF]))
    elif what == 'CANCEL':
        cancel(lab.process(1).pid)
    elif what == 'FULL':
        fill(lab.process(2).pid)
    elif what == 'GUARD':
        os.unlink(f'/proc/{lab.process(2).pid}/root/run/quorate/ha-lrm.guarded')
    else:
        sys.exit(labcli.main([what, '--name', name] + words))


main()
