# SPDX-License-Identifier: Apache-2.0
"""The tree of the configuration as a member of another make keeps it.

Written from the published description of the format alone, to be compared with the product: share
no code with it, and take no rule from it.
"""

import errno
import hashlib
import re
import sqlite3
import struct
import time

DIRECTORY, FILE = 4, 8
LARGEST = 1048576
LOCK_LIFE = 120
LOCKS = 'priv/lock'
GUEST = re.compile(r'nodes/([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)/'
                   r'(qemu-server|openvz|lxc)/([1-9][0-9]*)\.conf\Z')


class Refused(Exception):
    """A change that the rules do not allow; `errno` says why."""

    def __init__(self, number):
        super().__init__(errno.errorcode[number])
        self.errno = number


class Entry:
    """A file or directory. A file may have a size and yet no content (`data` is None)."""

    def __init__(self, parent, inode, version, writer, mtime, kind, name, data, size=None):
        self.parent, self.inode, self.version = parent, inode, version
        self.writer, self.mtime = writer & 0xffffffff, mtime & 0xffffffff
        self.kind, self.name, self.data = kind, name, data or None
        self.size = len(data or b'') if size is None else size

    def hashed(self):
        """What every digest of this entry is taken over."""
        head = struct.pack('<QIIIBQ', self.version, self.writer, self.mtime, self.size, self.kind,
                           self.parent)
        return head + self.name + (self.data or b'' if self.kind == FILE else b'')

    def digest(self):
        """The digest in the index."""
        return hashlib.sha256(self.hashed()).digest()

    def checksum(self):
        """The checksum that names a lock."""
        return hashlib.sha256(struct.pack('<Q', self.inode) + self.hashed()).digest()

    def update(self):
        """The payload of the message that carries this entry."""
        data = b'' if self.kind == DIRECTORY else self.data or bytes(self.size)
        return struct.pack('<QQQIIIIB', self.parent, self.inode, self.version, self.writer,
                           self.mtime, self.size, len(self.name) + 1,
                           self.kind) + self.name + b'\0' + data


def entry_of_update(payload):
    """The entry in such a payload; ValueError when it is malformed."""
    if len(payload) < 42:
        raise ValueError('update too short')
    parent, inode, version, writer, mtime, size, length, kind = struct.unpack_from('<QQQIIIIB',
                                                                                   payload)
    if len(payload) != 41 + length + size or length < 1 or payload[40 + length] != 0:
        raise ValueError('update of a wrong length')
    return Entry(parent, inode, version, writer, mtime, kind, payload[41:40 + length],
                 payload[41 + length:], size)


def guest_of(path):
    """(vmid, node, type) when the path is that of a guest's configuration."""
    match = GUEST.match(path.decode('latin1'))
    if not match or int(match.group(3)) > 0xffffffff:
        return None
    return int(match.group(3)), match.group(1), match.group(2)


def parts(path):
    """The components of a path."""
    return [] if path == b'.' else [part for part in path.split(b'/') if part]


class Tree:
    """All entries, in memory and in the database file."""

    def __init__(self, file):
        self.file = file
        self.failed = False
        self.base = sqlite3.connect(file, timeout=10, isolation_level=None)
        self.base.execute('PRAGMA journal_mode=WAL')
        self.base.execute('PRAGMA synchronous=NORMAL')
        integer = ', '.join(f"{name} INTEGER NOT NULL CHECK(typeof({name})=='integer')"
                            for name in ('parent', 'version', 'writer', 'mtime', 'type'))
        self.base.execute('CREATE TABLE IF NOT EXISTS tree (inode INTEGER PRIMARY KEY NOT NULL, '
                          f'{integer}, name TEXT NOT NULL, data BLOB)')
        self.base.text_factory = bytes
        self.timers = {}
        self.load()
        if self.root.version == 0:
            self.root.version, self.root.mtime = 1, int(time.time())
            self.keep(self.root)

    # The database.

    def load(self, fresh=True):
        """Reads all rows anew. `fresh`: at the start, where twins of a guest are refused."""
        rows = self.base.execute('SELECT inode, parent, version, writer, mtime, type, '
                                 'CAST(name AS BLOB), CAST(data AS BLOB) FROM tree').fetchall()
        self.entries = {0: Entry(0, 0, 0, 0, 0, DIRECTORY, b'', None)}
        for inode, parent, version, writer, mtime, kind, name, data in rows:
            if inode == 0:
                if name != b'__version__':
                    raise ValueError('row 0 has another name')
                self.entries[0] = Entry(0, 0, version, writer, mtime, DIRECTORY, b'', None)
            else:
                self.entries[inode] = Entry(parent, inode, version, writer, mtime, kind & 255,
                                            name, data)
        self.check()
        self.register(fresh)
        self.timers = {}
        for path, entry in self.walk():
            if self.is_lock(path) and entry.kind == DIRECTORY:
                self.lock_expired(path, entry)

    def check(self):
        """Refuses what cannot be a tree."""
        self.inside = {inode: {} for inode, e in self.entries.items() if e.kind == DIRECTORY}
        for inode, entry in self.entries.items():
            if entry.kind not in (DIRECTORY, FILE):
                raise ValueError(f'inode {inode} is of type {entry.kind}')
            if entry.kind == DIRECTORY and entry.data:
                raise ValueError(f'directory {inode} has content')
            if inode == 0:
                continue
            if not entry.name or entry.parent not in self.inside:
                raise ValueError(f'inode {inode} has no name or no directory')
            if entry.name in self.inside[entry.parent]:
                raise ValueError(f'inode {inode} has the name of another')
            self.inside[entry.parent][entry.name] = entry

    def register(self, fresh):
        """Builds the list of guests anew."""
        self.guests = {}
        for path, entry in self.walk():
            guest = guest_of(path)
            if guest and entry.kind == FILE:
                if guest[0] in self.guests and fresh:
                    raise ValueError(f'guest {guest[0]} twice')
                self.failed = self.failed or guest[0] in self.guests
                self.guests[guest[0]] = guest

    def row(self, entry, root_type=FILE):
        """Puts one row, inside whatever transaction there is."""
        name = b'__version__' if entry.inode == 0 else entry.name
        kind = root_type if entry.inode == 0 else entry.kind
        self.base.execute('REPLACE INTO tree (inode, parent, version, writer, mtime, type, name, '
                          'data) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)',
                          (entry.inode, entry.parent, entry.version, entry.writer, entry.mtime,
                           kind, name, entry.data))

    def keep(self, *entries, without=()):
        """One transaction: these rows, and not those; row 0 with each."""
        self.base.execute('BEGIN')
        for inode in without:
            self.base.execute('DELETE FROM tree WHERE inode = ?', (inode,))
        for entry in entries:
            self.row(entry)
        if self.root not in entries:
            self.row(self.root)
        self.base.execute('COMMIT')

    # Looking.

    @property
    def root(self):
        """The entry that counts the changes of all."""
        return self.entries[0]

    def walk(self, inode=0, before=b''):
        """Every reachable (path, entry)."""
        for name, entry in sorted(self.inside.get(inode, {}).items()):
            path = before + name
            yield path, entry
            if entry.kind == DIRECTORY:
                yield from self.walk(entry.inode, path + b'/')

    def find(self, path):
        """The entry of a path, or None."""
        entry = self.root
        for name in parts(path):
            entry = self.inside.get(entry.inode, {}).get(name)
            if entry is None:
                return None
        return entry

    def place(self, path):
        """(directory, last name) of a path that is to be made or changed."""
        names = parts(path)
        directory = self.find(b'/'.join(names[:-1]))
        if directory is None:
            raise Refused(errno.ENOENT)
        if directory.kind != DIRECTORY:
            raise Refused(errno.ENOTDIR)
        if not names or names[-1] in (b'.', b'..'):
            raise Refused(errno.EACCES)
        return directory, names[-1]

    def index(self):
        """The payload of a STATE message."""
        inodes = sorted(self.entries)
        return struct.pack('<QQIIII', self.root.version, inodes[-1], self.root.writer,
                           self.root.mtime, len(inodes), 32 + 40 * len(inodes)) + b''.join(
            struct.pack('<Q', inode) + self.entries[inode].digest() for inode in inodes)

    def checksum(self):
        """The checksum of a verification."""
        total = hashlib.sha256()
        for inode in sorted(self.entries):
            total.update(struct.pack('<Q', inode) + self.entries[inode].hashed())
        return total.digest()

    # Changes.

    def bump(self, writer, when):
        """The next version of the tree."""
        self.root.version += 1
        self.root.writer, self.root.mtime = writer, when & 0xffffffff

    def stamp(self, entry):
        """The entry was changed by what was just counted."""
        entry.version, entry.writer, entry.mtime = (self.root.version, self.root.writer,
                                                    self.root.mtime)

    def conflict(self, path):
        """A guest's configuration whose number another has."""
        guest = guest_of(path)
        if guest and self.guests.get(guest[0], guest) != guest:
            raise Refused(errno.EEXIST)

    def enlist(self, path):
        """Enters a guest into the list."""
        guest = guest_of(path)
        if guest:
            self.guests[guest[0]] = guest

    def strike(self, path):
        """Takes one off the list."""
        guest = guest_of(path)
        if guest:
            self.guests.pop(guest[0], None)

    def make(self, path, kind, writer, when):
        """The part that files and directories have in common."""
        directory, name = self.place(path)
        if kind == FILE:
            self.conflict(path)
        old = self.inside[directory.inode].get(name)
        if old:
            raise Refused(errno.ENOTDIR if kind == FILE and old.kind == DIRECTORY
                          else errno.EEXIST)
        self.bump(writer, when)
        entry = Entry(directory.inode, self.root.version, 0, 0, 0, kind, name, None)
        self.stamp(entry)
        self.entries[entry.inode] = self.inside[directory.inode][name] = entry
        if kind == DIRECTORY:
            self.inside[entry.inode] = {}
        self.keep(entry)
        return entry

    def create(self, path, writer, when):
        """A new file."""
        self.make(path, FILE, writer, when)
        self.enlist(path)

    def mkdir(self, path, writer, when):
        """A new directory."""
        entry = self.make(path, DIRECTORY, writer, when)
        if self.is_lock(path):
            self.timers[path] = [time.monotonic(), entry.checksum()]

    def write(self, path, data, offset, truncate, writer, when):
        """Content of a file."""
        if offset + len(data) > LARGEST:
            raise Refused(errno.EFBIG)
        directory, name = self.place(path)
        self.conflict(path)
        entry = self.inside[directory.inode].get(name)
        if entry is None:
            raise Refused(errno.ENOENT)
        if entry.kind == DIRECTORY:
            raise Refused(errno.ENOTDIR)
        self.bump(writer, when)
        self.stamp(entry)
        end = offset + len(data)
        if not data and entry.size == 0 and end > 0:
            entry.size = end  # Of content there is none.
        else:
            content = bytearray(entry.data or bytes(entry.size))
            if end > entry.size:
                content.extend(bytes(end - entry.size))
            elif truncate:
                del content[end:]
            content[offset:end] = data
            entry.data, entry.size = bytes(content) or None, len(content)
        self.keep(entry)
        self.enlist(path)
        return len(data)

    def delete(self, path, writer, when):
        """A file or an empty directory goes."""
        entry = self.find(path)
        if entry is None:
            raise Refused(errno.ENOENT)
        if entry.inode == 0:
            raise Refused(errno.EACCES)
        if entry.kind == DIRECTORY:
            if self.inside[entry.inode]:
                raise Refused(errno.ENOTEMPTY)
            self.timers.pop(path, None)
        self.forget(entry)
        self.bump(writer, when)
        self.keep(without=[entry.inode])
        self.strike(path)

    def forget(self, entry):
        """Out of memory with an entry."""
        del self.inside[entry.parent][entry.name]
        del self.entries[entry.inode]
        self.inside.pop(entry.inode, None)

    def rename_conflict(self, old, new, entry):
        """A guest's configuration may move, but not take another's number."""
        guest, before = guest_of(new), guest_of(old)
        if entry.kind != FILE or not guest or self.guests.get(guest[0], guest) == guest:
            return
        if not before or before[0] != guest[0]:
            raise Refused(errno.EEXIST)

    def rename(self, old, new, writer, when):
        """A file or an empty directory gets another name."""
        entry = self.find(old)
        if entry is None:
            raise Refused(errno.ENOENT)
        if entry.inode == 0:
            raise Refused(errno.EACCES)
        self.rename_conflict(old, new, entry)
        if entry.kind == DIRECTORY and old.startswith(LOCKS.encode() + b'/'):
            raise Refused(errno.EACCES)
        target = self.find(new)
        if target:
            if self.inside.get(target.inode):
                raise Refused(errno.ENOTEMPTY)
            self.forget(target)
        directory, name = self.place(new)
        if self.inside.get(entry.inode):
            raise Refused(errno.ENOTEMPTY)  # The target is gone from memory all the same.
        self.bump(writer, when)
        del self.inside[entry.parent][entry.name]
        entry.parent, entry.name = directory.inode, name
        self.stamp(entry)
        self.inside[directory.inode][name] = entry
        self.keep(entry, without=[target.inode] if target else [])
        self.strike(old)
        if entry.kind == FILE:
            self.enlist(new)

    def mtime(self, path, writer, when):
        """Another time; of a lock, a renewal."""
        directory, name = self.place(path)
        entry = self.inside[directory.inode].get(name)
        if entry is None:
            raise Refused(errno.ENOENT)
        lock = entry.kind == DIRECTORY and self.is_lock(path)
        if lock and (when < entry.mtime or writer != entry.writer):
            raise Refused(errno.EACCES)
        self.bump(writer, when)
        self.stamp(entry)
        self.keep(entry)
        if lock:
            self.timers[path] = [time.monotonic(), entry.checksum()]

    # Locks.

    @staticmethod
    def is_lock(path):
        """Directly in the directory of locks."""
        names = parts(path)
        return len(names) == 3 and b'/'.join(names[:2]) == LOCKS.encode()

    def lock_of(self, path, checksum):
        """The directory anywhere below the locks, if it has this checksum."""
        entry = self.find(path)
        if (entry is None or entry.kind != DIRECTORY or not path.startswith(LOCKS.encode() + b'/')
                or entry.checksum() != checksum):
            return None
        return entry

    def lock_expired(self, path, entry):
        """Whether its time is over, as far as this node has seen."""
        timer = self.timers.get(path)
        if timer is None or timer[1] != entry.checksum():
            self.timers[path] = [time.monotonic(), entry.checksum()]
            return False
        return int(time.monotonic() - timer[0]) > LOCK_LIFE

    # Synchronisation.

    def commit(self, index, updates):
        """Takes the leader's tree; ValueError when that does not give the leader's index."""
        theirs = {inode for inode, _ in entries_of_index(index)}
        before = self.entries, self.inside, self.guests, self.timers
        self.base.execute('BEGIN')
        try:
            for inode in set(self.entries) - theirs:
                self.base.execute('DELETE FROM tree WHERE inode = ?', (inode,))
            for entry in updates:
                self.row(entry, DIRECTORY)
            self.load(fresh=False)
            if self.index() != index:
                raise ValueError('the index is not that of the leader')
            self.base.execute('COMMIT')
        except (ValueError, sqlite3.Error):
            self.base.execute('ROLLBACK')
            self.entries, self.inside, self.guests, self.timers = before
            self.failed = True
            raise


def entries_of_index(index):
    """Every (inode, digest) of an index."""
    count = struct.unpack_from('<I', index, 24)[0]
    return [(struct.unpack_from('<Q', index, 32 + 40 * i)[0], index[40 + 40 * i:72 + 40 * i])
            for i in range(count)]
