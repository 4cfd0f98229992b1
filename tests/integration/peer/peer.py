#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A member of another make: speaks what is documented in both process groups, and no more.

  peer.py run SOCKET DATABASE [RETRY [UPDATES]]
                                  is a member until told to quit; for a node of the lab; comes back
                                  RETRY seconds after leaving; says nothing after so many UPDATEs
  peer.py ask SOCKET VERB ARG...  has it do something, or tell what it knows; prints JSON

Written from the published description of the formats alone (see tree.py). It has no mount.
"""

import binascii
import errno
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

import clog
from corosync import Failed, Quorum, node_list
from group import ERROR, KINDS, MODES, UPDATE, UPDATE_COMPLETE, VERIFY_REQUEST, Layer, Leave
from tree import Refused, Tree, entries_of_index, entry_of_update

WRITE, MKDIR, DELETE, RENAME, CREATE, MTIME, UNLOCK_REQUEST, UNLOCK = range(1, 9)
KV_UPDATE, KV_COMPLETE, KV_LOG = range(1, 4)
PATIENCE = 60


class Configuration(Layer):
    """The group of the tree."""

    def __init__(self, tree, quorum, pid, retry, most):
        self.tree, self.quorum, self.most = tree, quorum, most
        self.leader, self.updates = None, []
        super().__init__(b'pve_dcdb_v1', 1, pid, retry)
        self.requests = int(time.time())  # No two verifications of a test have one number.

    def send_file(self, subtype, path, to=b'', data=b'', offset=0, flags=0):
        """A change of a file; returns its number."""
        path += b'\0'
        to = to and to + b'\0'
        return self.send(subtype, struct.pack('<IIIII', len(data), offset, len(path), len(to),
                                              flags) + path + to + data)

    def apply(self, sender, subtype, when, payload):
        """A change of the tree: 0 or a length, or a negative errno; -1 without quorum."""
        if not self.quorum.quorate:
            raise Leave('a change without quorum')
        try:
            if subtype in (UNLOCK_REQUEST, UNLOCK):
                return self.apply_unlock(sender, subtype, when, payload)
            return self.apply_file(sender, subtype, when, payload)
        except Refused as refusal:
            return -refusal.errno
        finally:
            if self.tree.failed:
                self.become(ERROR)

    def apply_file(self, sender, subtype, when, payload):
        """All but the locks."""
        if len(payload) < 20:
            raise Leave('a change without its fields')
        size, offset, length, to_length, flags = struct.unpack_from('<IIIII', payload)
        if len(payload) != 20 + size + length + to_length:
            raise Leave('a change of a wrong length')
        path, rest = payload[20:20 + length], payload[20 + length:]
        to, data = rest[:to_length], rest[to_length:]
        if path[-1:] not in (b'', b'\0') or to[-1:] not in (b'', b'\0'):
            raise Leave('a path without its NUL')
        if (subtype != WRITE and (size or flags) or subtype not in (WRITE, MTIME) and offset or
                (subtype == RENAME) != bool(to) or flags > 1 or path[:1] == b'/'):
            self.complaints.append(f'fields of {subtype} of {sender}: {payload[:64]!r}')
        path, to, tree, node = path[:-1], to[:-1], self.tree, sender[0]
        calls = {WRITE: lambda: tree.write(path, data, offset, flags & 1, node, when),
                 MKDIR: lambda: tree.mkdir(path, node, when),
                 DELETE: lambda: tree.delete(path, node, when),
                 RENAME: lambda: tree.rename(path, to, node, when),
                 CREATE: lambda: tree.create(path, node, when),
                 MTIME: lambda: tree.mtime(path, node, offset)}
        if subtype not in calls:
            raise Leave('an unknown change')
        return calls[subtype]() or 0

    def apply_unlock(self, sender, subtype, when, payload):
        """A lock whose time may be over."""
        if len(payload) < 33 or payload[-1] != 0:
            raise Leave('an unlock of a wrong form')
        checksum, path = payload[:32], payload[32:-1]
        entry = self.tree.lock_of(path, checksum)
        if entry is None:
            return -errno.ENOENT
        if subtype == UNLOCK:
            self.tree.delete(path, sender[0], when)
        elif self.lowest == self.me[0] and self.tree.lock_expired(path, entry):
            self.send(UNLOCK, checksum + path + b'\0')
        return 0

    def state(self):
        """The index."""
        return self.tree.index()

    def process(self):
        """Who leads, and who needs what."""
        leader = None
        for key, member in self.members.items():
            if len(member.state) < 32 or \
                    struct.unpack_from('<I', member.state, 28)[0] != len(member.state):
                raise Leave('an index of a wrong length')
            version, when = (struct.unpack_from('<Q', member.state)[0],
                             struct.unpack_from('<I', member.state, 20)[0])
            if leader is None or (version, when) > leader[:2]:
                leader = version, when, key
        self.leader, self.updates = leader[2], []
        index = self.members[self.leader].state
        for member in self.members.values():
            member.synced = member.state == index
        if self.leader == self.me:
            self.lead(index)

    def lead(self, index):
        """Sends what the others lack."""
        lacking = set()
        for member in self.members.values():
            theirs = dict(entries_of_index(member.state))
            lacking |= {inode for inode, digest in entries_of_index(index)
                        if theirs.get(inode) != digest}
        for count, inode in enumerate(sorted(lacking)):
            if count == self.most:
                self.silent = set(KINDS)
            self.send_state(UPDATE, self.tree.entries[inode].update())
        self.send_state(UPDATE_COMPLETE)

    def store(self, payload):
        """One entry of the leader's."""
        self.updates.append(entry_of_update(payload))

    def commit(self):
        """All of them."""
        self.tree.commit(self.members[self.leader].state, self.updates)
        self.updates = []

    def checksum(self):
        """Of the whole tree."""
        return self.tree.checksum()

    def synced(self):
        """Nothing to tell."""


class Status(Layer):
    """The group of what the nodes tell about themselves."""

    def __init__(self, name, address, pid, retry):
        self.name, self.address = name, address
        self.names = node_list()
        self.log, self.uid = clog.Log(), 0
        self.keys, self.addresses, self.rrd, self.online = {name: {}}, {}, {}, set()
        self.pid = pid
        self.say('root', 'cluster', 6, 'starting cluster log', tell=False)
        super().__init__(b'pve_kvstore_v1', 0, pid, retry)

    def joined(self):
        """Who is there."""
        self.online = {self.names.get(node) for node, _ in self.members}

    def put(self, name, key, value):
        """What a node says of itself."""
        if key.startswith('rrd/'):
            self.rrd[key[4:]] = value
        elif key == 'nodeip':
            self.addresses[name] = value.rstrip(b'\0').decode()
        elif value:
            table = self.keys.setdefault(name, {})
            table[key] = (table[key][0] + 1 if key in table else 0, value)
        else:
            self.keys.setdefault(name, {}).pop(key, None)

    def publish(self, key, value, local=True):
        """Tells something."""
        if local:
            self.put(self.name, key, value)
        self.send(KV_UPDATE, key.encode().ljust(256, b'\0') + value)

    def say(self, ident, tag, priority, text, tell=True):
        """A new entry of the log."""
        self.uid += 1
        line = clog.new_line(self.name.encode(), heard(ident), heard(tag), self.pid, self.uid,
                             int(time.time()), priority, heard(text))
        if self.log.insert(line) and tell:
            self.send(KV_LOG, bytes(8) + line.body)

    def apply(self, sender, subtype, _when, payload):
        """What another node told."""
        name = self.names.get(sender[0])
        if sender == self.me or name is None:
            return 0
        if subtype == KV_LOG:
            try:
                line = clog.Line(payload)
                if line.length == len(payload):
                    self.log.insert(line)
            except ValueError:
                self.trace.append(['bad log entry'])
            if any(payload[:8]):
                self.complaints.append(f'offsets in a log entry of {sender}')
        elif subtype == KV_UPDATE and len(payload) >= 256 and 0 in payload[:256]:
            key = payload[:256].split(b'\0')[0].decode('latin1')
            self.put(name, key, payload[256:])
        return 0

    def state(self):
        """The log in order."""
        return self.log.state()

    def process(self):
        """The logs of all, and once more what this node said."""
        self.log.merge([member.state for key, member in self.members.items() if key != self.me])
        for member in self.members.values():
            member.synced = True
        for key, (_, value) in self.keys[self.name].items():
            self.publish(key, value, local=False)

    def synced(self):
        """The address goes out with each synchronisation."""
        self.publish('nodeip', self.address.encode() + b'\0')


def told(data):
    """Bytes for JSON."""
    return data.decode('utf-8', 'surrogateescape') if isinstance(data, bytes) else data


def heard(text):
    """And back."""
    return text.encode('utf-8', 'surrogateescape')


class Peer:
    """The process: both groups, the quorum and a socket for orders."""

    def __init__(self, path, database, retry=6, most=None):
        self.quorum = Quorum()
        name = os.uname().nodename.split('.')[0]
        self.conf = Configuration(Tree(database), self.quorum, os.getpid(), retry,
                                  most)
        self.status = Status(name, socket.gethostbyname(name), os.getpid(), retry)
        self.layers = {'conf': self.conf, 'status': self.status}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(8)
        self.going = True

    def serve(self):
        """Until told to quit."""
        while self.going:
            sources = {self.quorum.fd: self.quorum.dispatch, self.socket.fileno(): self.order}
            for layer in self.layers.values():
                sources[layer.group.fd] = layer.group.dispatch
            for fd in select.select(list(sources), [], [], 0.2)[0]:
                sources[fd]()
            for layer in self.layers.values():
                layer.tick()

    def order(self):
        """One order, from one connection."""
        link, _ = self.socket.accept()

        def answer(value):
            with link:
                link.sendall(json.dumps(value, default=told).encode() + b'\n')

        words = [heard(word) for word in json.loads(link.makefile().readline())]
        verb = words[0].decode().replace('-', '_')
        if hasattr(self, 'do_' + verb):
            getattr(self, 'do_' + verb)(answer, *words[1:])
        elif hasattr(self, 'tell_' + verb):
            answer(getattr(self, 'tell_' + verb)(*words[1:]))
        else:
            answer('unknown order')

    # Orders that answer with what came of a change: None when nobody knows.

    def change(self, answer, *args, **fields):
        """Sends a change as soon as that makes sense."""
        if not self.quorum.quorate:
            answer(-errno.EACCES)
            return
        try:
            number = self.conf.send_file(*args, **fields)
        except Failed:
            answer(-errno.EACCES)
            return
        self.conf.wait(number, answer)

    def do_create(self, answer, path):
        """A file."""
        self.change(answer, CREATE, path)

    def do_mkdir(self, answer, path):
        """A directory."""
        self.change(answer, MKDIR, path)

    def do_delete(self, answer, path):
        """Away with either."""
        self.change(answer, DELETE, path)

    def do_rename(self, answer, old, new):
        """Another name."""
        self.change(answer, RENAME, old, to=new)

    def do_mtime(self, answer, path, when):
        """Another time."""
        self.change(answer, MTIME, path, offset=int(when))

    def do_write(self, answer, path, data, offset=0, flags=0):
        """Content."""
        self.change(answer, WRITE, path, data=data, offset=int(offset), flags=int(flags))

    def do_fill(self, answer, path, size, byte):
        """Much content, in one message."""
        self.change(answer, WRITE, path, data=byte * int(size))

    def do_many(self, answer, before, count):
        """Many files, each with its number in it; answers for the last."""
        for i in range(int(count)):
            name = before + b'%d' % i
            self.conf.send_file(CREATE, name)
            number = self.conf.send_file(WRITE, name, data=b'%d' % i)
        self.conf.wait(number, answer)

    def do_unlock(self, answer, path):
        """Asks that a lock be removed whose time is over."""
        entry = self.conf.tree.find(path)
        if entry is None:
            answer(-errno.ENOENT)
            return
        self.conf.wait(self.conf.send(UNLOCK_REQUEST, entry.checksum() + path + b'\0'), answer)

    # Orders that answer at once.

    def tell_tree(self):
        """Every entry with the digest of what a reader sees, and what describes all."""
        tree = self.conf.tree
        return {'version': tree.root.version, 'writer': tree.root.writer,
                'mtime': tree.root.mtime, 'checksum': tree.checksum().hex(),
                'index': hashlib.sha256(tree.index()).hexdigest(),
                'entries': [[path, entry.kind, entry.inode, entry.version, entry.writer,
                             entry.mtime, entry.size,
                             hashlib.sha256(entry.data or bytes(entry.size)).hexdigest()]
                            for path, entry in tree.walk()]}

    def tell_read(self, path):
        """Content."""
        entry = self.conf.tree.find(path)
        return entry and (entry.data or b'')

    def tell_groups(self):
        """How both groups are."""
        return {name: {'mode': MODES[layer.mode], 'why': layer.why,
                       'members': [node for node, _ in layer.members],
                       'synced': [node for (node, _), one in layer.members.items() if one.synced],
                       'complaints': layer.complaints, 'lowest': layer.lowest,
                       'silent': sorted(layer.silent),
                       'queued': len(layer.first) + len(layer.second)}
                for name, layer in self.layers.items()}

    def tell_trace(self, group):
        """What happened there since the last time of asking."""
        layer = self.layers[group.decode()]
        trace, layer.trace = layer.trace, []
        return trace

    def tell_status(self):
        """What the nodes tell about themselves."""
        return {'keys': self.status.keys, 'addresses': self.status.addresses,
                'rrd': self.status.rrd, 'online': sorted(filter(None, self.status.online))}

    def tell_log(self):
        """The text of the log."""
        return self.status.log.dump()

    def tell_ring(self):
        """The order of the log."""
        return [[line.time, told(line.node), line.uid] for line in self.status.log.ring.lines()]

    def tell_set(self, key, value):
        """A status of this node."""
        self.status.publish(key.decode(), value)

    def tell_say(self, ident, tag, priority, text):
        """An entry of the log."""
        self.status.say(told(ident), told(tag), int(priority), told(text))

    def tell_verify(self):
        """Asks all to compare checksums; the number of it."""
        self.conf.requests += 1
        self.conf.send_state(VERIFY_REQUEST, struct.pack('<Q', self.conf.requests))
        return self.conf.requests

    def tell_spoil(self, path):
        """From now on this node differs from the others, and does not know."""
        entry = self.conf.tree.find(path)
        entry.data = b'S' * entry.size

    def tell_age(self, seconds):
        """As if all locks had been seen so much earlier."""
        for timer in self.conf.tree.timers.values():
            timer[0] -= int(seconds)

    def tell_silent(self, group, *kinds):
        """These messages are not sent from now on; those of before are again."""
        self.layers[group.decode()].silent = {kind.decode() for kind in kinds}

    def tell_most(self):
        """From now on it sends all updates."""
        self.conf.most = None

    def tell_state(self, group, kind, payload=b''):
        """Sends a message of the synchronisation, with the epoch of the moment."""
        self.layers[group.decode()].send_state(KINDS.index(kind.decode()),
                                               binascii.unhexlify(payload))

    def tell_raw(self, group, message):
        """Sends whatever it is."""
        self.layers[group.decode()].group.send(binascii.unhexlify(message))

    def tell_leave(self, group):
        """Leaves, and comes back."""
        self.layers[group.decode()].drop_out('told to')

    def tell_quit(self):
        """The end."""
        self.going = False

    @staticmethod
    def do_die(_answer):
        """The end, with nothing said to anybody."""
        os.kill(os.getpid(), signal.SIGKILL)


def ask(path, words):
    """Has a member do something; prints the answer."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE)
        link.connect(path)
        link.sendall(json.dumps(words).encode() + b'\n')
        answer = json.loads(link.makefile().readline())
    if isinstance(answer, str):
        sys.stdout.buffer.write(heard(answer))
    else:
        print(json.dumps(answer))
    return 0


def main(arguments):
    """See the top."""
    if len(arguments) >= 3 and arguments[0] == 'ask':
        return ask(arguments[1], arguments[2:])
    if 3 <= len(arguments) <= 5 and arguments[0] == 'run':
        Peer(*arguments[1:3], *map(int, arguments[3:])).serve()
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
