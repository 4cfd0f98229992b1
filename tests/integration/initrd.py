#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""initrd.py FILE PATH=SOURCE...: an initial RAM disk with these programs at these paths, and an
empty /dev. Folders on the way are made."""
import sys


def entry(name, mode, data=b''):
    name = name.encode() + b'\0'
    head = b'070701' + b''.join(b'%08X' % value for value in (
        0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)) + name
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)


def main(target, *files):
    known = {'dev'}
    parts = [entry('dev', 0o40755)]
    for word in files:
        path, source = word.split('=', 1)
        steps = path.strip('/').split('/')
        for depth in range(1, len(steps)):
            folder = '/'.join(steps[:depth])
            if folder not in known:
                known.add(folder)
                parts.append(entry(folder, 0o40755))
        with open(source, 'rb') as file:
            parts.append(entry('/'.join(steps), 0o100755, file.read()))
    with open(target, 'wb') as file:
        file.write(b''.join(parts) + entry('TRAILER!!!', 0))


main(*sys.argv[1:])
