#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at guests from outside, for integration tests.

    guest_probe.py counter SOCKET          the counter that the ROM guest prints, as a number
    guest_probe.py qmp SOCKET COMMAND [ARGUMENTS-AS-JSON]
    guest_probe.py fake PIDFILE SOCKET HOW   stands for a QEMU with a bad monitor: HOW is
                                           silent (and deaf to SIGTERM), liar (nonsense),
                                           eternal (says yes, does nothing)
"""
import json
import os
import signal
import socket
import sys
import time

DEADLINE = 60


def connect(path):
    deadline = time.monotonic() + DEADLINE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        try:
            connection.connect(path)
            return connection
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def counter(path):
    """The second complete line: the first may have begun before we came."""
    connection, data = connect(path), b''
    while data.count(b'\n') < 3:
        more = connection.recv(4096)
        if not more:
            sys.exit('the serial line ended')
        data += more
    print(int(data.split(b'\n')[1], 16))


def qmp(path, command, arguments='{}'):
    stream = connect(path).makefile('rw', encoding='utf-8')

    def ask(name, **parameters):
        stream.write(json.dumps({'execute': name, 'arguments': parameters}) + '\n')
        stream.flush()
        while True:
            answer = json.loads(stream.readline())
            if 'event' not in answer:
                return answer
    stream.readline()
    ask('qmp_capabilities')
    answer = ask(command, **json.loads(arguments))
    print(json.dumps(answer.get('return', answer)))
    sys.exit('error' in answer)


GREETING = b'{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n'


def serve(connection, how):
    if how == 'liar':
        connection.sendall(b'{"QMP": 7}}}} no json at all\n' * 3)
    elif how == 'eternal':
        connection.sendall(GREETING)
    while True:
        data = connection.recv(65536)
        if not data:
            return
        if how == 'eternal':
            for line in data.splitlines():
                number = json.loads(line).get('id')
                connection.sendall(json.dumps({'return': {}, 'id': number}).encode() + b'\r\n')


def fake(pid_file, path, how):
    """Its command line has to look like QEMU's: `-pidfile FILE` comes last."""
    if how == 'silent':
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    with open(pid_file + '.new', 'w', encoding='ascii') as file:
        file.write(f'{os.getpid()}\n')
    os.rename(pid_file + '.new', pid_file)
    while True:
        connection, _ = listener.accept()
        if how == 'silent':
            continue
        try:
            serve(connection, how)
        except (OSError, ValueError):
            pass


def main():
    verb, *words = sys.argv[1:]
    if verb == 'fake':
        fake(words[0], words[1], words[2])
    else:
        {'counter': counter, 'qmp': qmp}[verb](*words)


main()
