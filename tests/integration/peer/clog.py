# SPDX-License-Identifier: Apache-2.0
"""The cluster log of a member of another make; see tree.py for the rules of this folder."""

import struct

SIZE = 131072
LARGEST = 4096


def fnv(text):
    """The digest of a name with its NUL."""
    value = 0xcbf29ce484222325
    for byte in text + b'\0':
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def spell(text, room):
    """The form in which a message is kept: ASCII, of at most `room` bytes with its NUL."""
    out = b''
    try:
        points = [ord(char) for char in text.decode()]
        for point in points:
            if room - len(out) < 7:
                break
            if point == 34:
                out += b'\\"'
            elif point < 32 or point == 127:
                out += b'#%03d' % point
            elif point < 127:
                out += bytes([point])
            elif point <= 0xffff:
                out += b'\\u%04x' % point
    except UnicodeDecodeError:
        for byte in text:
            if room - len(out) < 7:
                break
            out += b'#0%02d' % byte if byte < 32 else b'?' if byte >= 127 else bytes([byte])
    return out


class Line:
    """One entry of the log."""

    def __init__(self, packed):
        if len(packed) < 48:
            raise ValueError('entry too short')
        (self.uid, self.time, self.node_digest, self.ident_digest, self.pid, self.priority,
         *lengths, last) = struct.unpack_from('<IIQQIBBBBI', packed, 8)
        lengths.append(last)
        self.length = 48 + sum(lengths)
        if len(packed) < self.length:
            raise ValueError('entry of a wrong length')
        texts, at = [], 44
        for length in lengths:
            if length < 1 or packed[at + length - 1] != 0:
                raise ValueError('text without its NUL')
            texts.append(packed[at:at + length - 1])
            at += length
        self.node, self.ident, self.tag, self.text = texts
        self.body = packed[8:44 + sum(lengths)] + bytes(4)

    @property
    def key(self):
        """The order of the log."""
        return self.time, self.node_digest, self.uid

    @property
    def space(self):
        """What it takes in the ring."""
        return self.length + 7 & ~7

    def json(self):
        """Its line in the dump."""
        return (b'{"uid": %d, "time": %d, "pri": %d, "tag": "%b", "pid": %d, "node": "%b", '
                b'"user": "%b", "msg": "%b"}' % (self.uid, self.time, self.priority, self.tag,
                                                 self.pid, self.node, self.ident, self.text))


def new_line(node, ident, tag, pid, uid, when, priority, text):
    """An entry of one's own."""
    texts = [name[:254] + b'\0' for name in (node, ident, tag)]
    texts.append(spell(text, LARGEST - 44 - sum(map(len, texts))) + b'\0')
    lengths = [len(name) for name in texts]
    return Line(struct.pack('<IIIIQQIBBBBI', 0, 0, uid, when, fnv(node[:254]), fnv(ident[:254]),
                            pid, priority, *lengths) + b''.join(texts) + bytes(4))


class Ring:
    """The ring of the newest entries."""

    def __init__(self, packed=None):
        self.bytes = bytearray(packed or struct.pack('<II', SIZE, 0) + bytes(SIZE - 8))

    @property
    def newest(self):
        """Offset of the newest entry, 0 for none."""
        return struct.unpack_from('<I', self.bytes, 4)[0]

    def add(self, line):
        """A new newest entry."""
        old = self.newest
        at = struct.unpack_from('<I', self.bytes, old + 4)[0] if old else 8
        if at + line.space >= SIZE:
            at = 8
        packed = struct.pack('<II', old, at + line.space) + line.body
        self.bytes[at:at + len(packed)] = packed
        struct.pack_into('<I', self.bytes, 4, at)

    def lines(self):
        """All entries that are whole, newest first."""
        out, start = [], self.newest
        at = start
        while at and (at <= start or at > start + LARGEST):
            out.append(Line(bytes(self.bytes[at:at + LARGEST + 1024])))
            before = struct.unpack_from('<I', self.bytes, at)[0]
            if at < before <= start:
                break
            at = before
        return out


class Log:
    """The log of one member."""

    def __init__(self):
        self.ring = Ring()
        self.last = {}

    def insert(self, line):
        """Adds an entry; False when the node has told a newer one before."""
        stamp = line.time, line.uid
        if stamp <= self.last.get(line.node_digest, (-1, -1)):
            return False
        self.last[line.node_digest] = stamp
        self.ring.add(line)
        return True

    def state(self):
        """The ring in order, as it is sent."""
        ring = Ring()
        for line in sorted(self.ring.lines(), key=lambda one: one.key):
            ring.add(line)
        self.ring = ring
        return bytes(ring.bytes)

    def merge(self, others):
        """Takes in the rings of the others."""
        lines, space = {}, 0
        every = self.ring.lines()
        for packed in others:
            if len(packed) > 8 and struct.unpack_from('<I', packed)[0] == len(packed):
                every += Ring(packed).lines()
        for line in sorted(every, key=lambda one: one.key, reverse=True):
            if space >= SIZE - 8 - LARGEST:
                break
            if line.key not in lines:
                lines[line.key] = line
                space += line.space
        self.ring, self.last = Ring(), {}
        for key in sorted(lines):
            line = lines[key]
            self.ring.add(line)
            self.last[line.node_digest] = max(self.last.get(line.node_digest, (0, 0)),
                                              (line.time, line.uid))

    def dump(self, most=50, ident=b''):
        """The text that callers read."""
        lines = [line.json() for line in self.ring.lines()
                 if not ident or line.ident_digest == fnv(ident)][:most]
        return b'{\n"data": [\n' + b',\n'.join(lines) + (b'\n' if lines else b'') + b']\n}\n'
