#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The console of the counter guest, for the tests of migration.

    mig_probe.py counter SOCKET       the number it prints now
    mig_probe.py after SOCKET NUMBER  waits until it prints a greater number, and prints that; fails
                                      when the first number it sees is lower
    mig_probe.py press SOCKET KEY     types that there
    mig_probe.py qmp SOCKET COMMAND ARGUMENTS
    mig_probe.py ask SOCKET QUERY     prints the answer as JSON
    mig_probe.py crowd ADDRESS COUNT BASE
                                      so many connections to the agent there, silent, from when
                                      BASE.up is there until BASE.go is not
"""
import json
import os
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


def numbers(path):
    """Complete lines only: the first may have begun before we came."""
    connection, data = connect(path), b''
    first = True
    while True:
        more = connection.recv(4096)
        if not more:
            sys.exit('the console ended')
        data += more
        *lines, data = data.split(b'\n')
        for line in lines:
            if not first and len(line) == 8:
                yield int(line, 16)
            first = False


def qmp(path, command, arguments):
    stream = connect(path).makefile('rw', encoding='utf-8')
    stream.readline()
    for name, values in (('qmp_capabilities', {}), (command, arguments)):
        stream.write(json.dumps({'execute': name, 'arguments': values}) + '\n')
        stream.flush()
        while 'event' in (answer := json.loads(stream.readline())):
            pass
        if 'error' in answer:
            sys.exit(answer['error']['desc'])
    return answer['return']


def crowd(address, count, base):
    held = [socket.create_connection((address, 60000), DEADLINE) for _ in range(count)]
    with open(base + '.up', 'w', encoding='ascii'):
        pass
    deadline = time.monotonic() + 2 * DEADLINE
    while os.path.exists(base + '.go') and time.monotonic() < deadline:
        time.sleep(0.1)
    for one in held:
        one.close()


def main():
    verb, path = sys.argv[1:3]
    if verb == 'crowd':
        crowd(path, int(sys.argv[3]), sys.argv[4])
        return
    if verb == 'press':
        with connect(path) as console:
            console.recv(1)
            console.sendall(sys.argv[3].encode('ascii'))
            console.recv(1)
        return
    if verb == 'ask':
        print(json.dumps(qmp(path, sys.argv[3], {})))
        return
    if verb == 'qmp':
        qmp(path, sys.argv[3], json.loads(sys.argv[4]))
        return
    source = numbers(path)
    number = next(source)
    if verb == 'after':
        before = int(sys.argv[3])
        if number < before:
            sys.exit(f'the counter went back from {before} to {number}')
        while number <= before:
            number = next(source)
    print(number)


main()
