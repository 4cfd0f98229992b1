#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a node of the product has, on its mount and in its database, in the words of `peer.py ask
SOCKET tree`. Runs on the node; prints JSON."""

import hashlib
import json
import os
import sqlite3
import stat
import sys

MOUNT = b'/etc/pve'
DATABASE = '/var/lib/pve-cluster/config.db'


def mounted():
    """{inode: [path, size, mtime, digest]} of all entries."""
    found = {}
    for folder, folders, files in os.walk(MOUNT):
        if folder == MOUNT:
            files = [name for name in files
                     if name not in (b'.version', b'.members', b'.vmlist', b'.rrd', b'.debug',
                                     b'.clusterlog', b'.metrics', b'.changes', b'.status')]
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                continue
            content = b''
            if stat.S_ISREG(status.st_mode):
                with open(path, 'rb') as file:
                    content = file.read()
            found[status.st_ino] = [os.path.relpath(path, MOUNT).decode('utf-8', 'surrogateescape'),
                                    len(content), int(status.st_mtime) & 0xffffffff,
                                    hashlib.sha256(content).hexdigest()]
    return found


def main():
    """See the top."""
    base = sqlite3.connect(f'file:{DATABASE}?mode=ro', uri=True, timeout=30)
    rows = base.execute('SELECT inode, type, version, writer, mtime FROM tree').fetchall()
    seen = mounted()
    entries, faults = [], []
    for inode, kind, version, writer, mtime in rows:
        if inode == 0:
            top = {'version': version, 'writer': writer, 'mtime': mtime}
            continue
        path, size, when, digest = seen.pop(inode, ['?', 0, mtime, ''])
        if when != mtime:
            faults.append(f'{path} has another time on the mount: {when}, {mtime}')
        entries.append([path, kind, inode, version, writer, mtime, size, digest])
    faults += [f'{one[0]} is not in the database' for one in seen.values()]
    print(json.dumps({**top, 'entries': sorted(entries), 'faults': faults}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
