#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long `qm start` takes beside the bare QEMU command, in one run, in turns.

    lab exec 1 -- tests/bench/guest_start.py VMID [ROUNDS]

Run on a node that has the guest, which must be off. Both times end when QEMU's monitor says
`running`. Prints one line: medians and their difference in milliseconds.
"""
import json
import shlex
import socket
import statistics
import subprocess
import sys
import time

vmid, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15
qmp = f'/var/run/qemu-server/{vmid}.qmp'


def wait_running():
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(qmp)
            stream = connection.makefile('rw', encoding='utf-8')
            stream.readline()
            for command in ('qmp_capabilities', 'query-status'):
                stream.write(json.dumps({'execute': command}) + '\n')
                stream.flush()
                answer = json.loads(stream.readline())
            if answer.get('return', {}).get('status') == 'running':
                return


def measure(argv):
    begin = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_running()
    took = time.monotonic() - begin
    subprocess.run(['qm', 'stop', vmid], check=True, stdout=subprocess.DEVNULL)
    return took * 1000


bare = shlex.split(subprocess.run(['qm', 'showcmd', vmid], check=True, capture_output=True,
                                  text=True).stdout)
subprocess.run(['qm', 'start', vmid], check=True, stdout=subprocess.DEVNULL)  # makes directories
subprocess.run(['qm', 'stop', vmid], check=True)
times = {'bare': [], 'qm': []}
for _ in range(rounds):
    times['bare'].append(measure(bare))
    times['qm'].append(measure(['qm', 'start', vmid]))
middle = {name: statistics.median(values) for name, values in times.items()}
with open('/proc/loadavg', encoding='ascii') as file:
    load = file.read().split()[0]
print(f'guest_start rounds={rounds} bare_ms={middle["bare"]:.0f} qm_ms={middle["qm"]:.0f} '
      f'more_ms={middle["qm"] - middle["bare"]:.0f} load={load}')
