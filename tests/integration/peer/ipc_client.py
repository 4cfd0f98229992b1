#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client of the IPC service as the tools of the original are: libqb itself, and requests packed
by the published description (see tree.py for the rules of this folder). Runs on a node of ours,
with the content that `prepare` makes; exit status 0 when each answer is as documented."""

import ctypes
import errno
import json
import os
import struct
import sys

ROOM = 1048576
WWW_DATA = 33


class Vector(ctypes.Structure):
    """A struct iovec."""
    _fields_ = [('base', ctypes.c_char_p), ('length', ctypes.c_size_t)]


class Client:
    """One connection."""

    def __init__(self):
        self.lib = ctypes.CDLL('libqb.so.100', use_errno=True)
        self.lib.qb_ipcc_connect.restype = ctypes.c_void_p
        self.lib.qb_ipcc_connect.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self.lib.qb_ipcc_sendv_recv.restype = ctypes.c_ssize_t
        self.lib.qb_ipcc_sendv_recv.argtypes = [ctypes.c_void_p, ctypes.POINTER(Vector),
                                                ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t,
                                                ctypes.c_int32]
        self.lib.qb_ipcc_disconnect.argtypes = [ctypes.c_void_p]
        self.room = ctypes.create_string_buffer(ROOM)
        self.link = self.lib.qb_ipcc_connect(b'pve2', ROOM)
        if not self.link:
            raise ConnectionError(ctypes.get_errno(), 'refused')

    def ask(self, number, payload=b''):
        """(error, data) of a request."""
        message = struct.pack('<i4xi4x', number, 16 + len(payload)) + payload
        vector = Vector(message, len(message))
        got = self.lib.qb_ipcc_sendv_recv(self.link, ctypes.byref(vector), 1, self.room, ROOM,
                                          60000)
        if got < 24:
            raise ConnectionError(-got, f'request {number}: {got}')
        told, size, error = struct.unpack_from('<i4xi4xi4x', self.room.raw[:24])
        if told != number or size != got or error > 0 or error and got != 24:
            raise ValueError(f'answer to {number}: {told} {size} {error}, {got} bytes')
        return error, self.room.raw[24:got]

    def close(self):
        """The end of it."""
        self.lib.qb_ipcc_disconnect(self.link)


FAULTS = []


def expect(what, have, want):
    """One result."""
    if have != want:
        FAULTS.append(f'{what}: {have!r}, expected {want!r}')


def key(name):
    """A field of a key, or of a node's name."""
    return name.ljust(256, b'\0')


def line(priority, ident, tag, text):
    """The payload of a log request."""
    return struct.pack('BBB', priority, len(ident) + 1, len(tag) + 1) + b''.join(
        part + b'\0' for part in (ident, tag, text))


def prepare():
    """What the requests ask for."""
    for folder in ('priv', 'nodes/node2/priv', 'nodes/node2/qemu-server', 'nodes/node3/lxc'):
        os.makedirs('/etc/pve/' + folder, exist_ok=True)
    for path, text in (('priv/token.cfg', 'a@pve!x secret\nb@pve!y other'), ('priv/s', 'private'),
                       ('nodes/node2/priv/s', 'private'), ('ipc-text', 'te\0xt'), ('ipc-empty', ''),
                       ('nodes/node2/qemu-server/7001.conf',
                        'name:  web "1" \\ \ncores: 2\ntags:\n[snap]\nmemory: 4\n'),
                       ('nodes/node3/lxc/7002.conf', 'name: db\nmemory: 512')):
        with open('/etc/pve/' + path, 'w', encoding='utf-8') as file:
            file.write(text)
    with open('/etc/pve/ipc-large', 'wb') as file:
        file.write(b'l' * (ROOM - 24))


def check_texts(client):
    """Requests without a payload."""
    for number in (1, 2, 3, 10):
        error, text = client.ask(number)
        expect(f'{number}', error, 0)
        if number != 10:
            json.loads(text)
        expect(f'{number} with a payload', client.ask(number, b'x'), (-errno.EINVAL, b''))
    for number in (0, 9, 14, 99, -5):
        expect(f'{number}', client.ask(number), (-errno.ECHRNG, b''))


def check_status(client):
    """Keys of this node."""
    expect('set', client.ask(4, key(b'kv/ipc') + b'val\0ue\0'), (0, b''))
    expect('get', client.ask(5, key(b'kv/ipc') + key(b'')), (0, b'val\0ue\0'))
    expect('get by name', client.ask(5, key(b'kv/ipc') + key(b'node2')), (0, b'val\0ue\0'))
    expect('largest', client.ask(4, key(b'kv/big') + b'v' * 32768), (0, b''))
    expect('too large', client.ask(4, key(b'kv/big') + b'v' * 32769), (-errno.EFBIG, b''))
    for name in (b'kv/ipc', b'kv/big'):
        expect('remove', client.ask(4, key(name)), (0, b''))
        expect('removed', client.ask(5, key(name) + key(b'')), (-errno.ENOENT, b''))
    for name, node in ((b'kv/none', b''), (b'kv/ipc', b'nobody'), (b'nodeip', b''),
                       (b'rrd/pve2-node/node2', b'')):
        expect(f'get {name!r} {node!r}', client.ask(5, key(name) + key(node)),
               (-errno.ENOENT, b''))
    for payload in (b'', b'x' * 255):
        expect('set too short', client.ask(4, payload), (-errno.EINVAL, b''))
        expect('get too short', client.ask(5, payload + bytes(256)), (-errno.EINVAL, b''))
    for value in (b'', b'1:2', b'1' * 4096 + b'\0'):
        expect('rrd', client.ask(4, key(b'rrd/pve2-node/node2') + value), (-errno.ENOMEM, b''))
    expect('rrd', client.ask(4, key(b'rrd/pve2-node/node2') + b'1:2:3\0'), (0, b''))
    expect('unknown rrd', client.ask(4, key(b'rrd/what/node2') + b'1\0'), (0, b''))
    text = client.ask(10)[1].rstrip(b'\0')
    expect('rrd dump', b'pve2-node/node2:1:2:3' in text.split(b'\n'), True)


def check_files(client):
    """Content of files."""
    for path in (b'ipc-text', b'/ipc-text', b'//ipc-text'):
        expect(path, client.ask(6, path + b'\0'), (0, b'te\0xt'))
    expect('empty file', client.ask(6, b'ipc-empty\0'), (0, b''))
    expect('largest file', client.ask(6, b'ipc-large\0')[1] == b'l' * (ROOM - 24), True)
    expect('no path', client.ask(6), (-errno.EINVAL, b''))
    for path in (b'none', b'nodes', b'.version', b'local/priv/s', b'nodes/node2'):
        expect(path, client.ask(6, path + b'\0'), (-errno.ENOENT, b''))


def check_log(client):
    """The log of the cluster."""
    expect('log', client.ask(7, line(6, b'root@pam', b'ipc', 'w\u00f6rld'.encode())), (0, b''))
    expect('loud', client.ask(7, line(8, b'root@pam', b'ipc', b'never')), (0, b''))
    good = line(6, b'root@pam', b'ipc', b'x')
    for payload in (b'', good[:3], good[:10], b'\6\0\0', good[:1] + b'\xff' + good[2:],
                    good.replace(b'pam\0', b'pamx'), good.replace(b'ipc\0', b'ipcx')):
        expect(f'log {payload!r}', client.ask(7, payload), (-errno.EINVAL, b''))
    error, text = client.ask(8, struct.pack('<IIII', 0, 0, 0, 0) + b'root@pam\0')
    expect('get log', error, 0)
    entry = json.loads(text)['data'][0]
    expect('entry', [entry[name] for name in ('user', 'tag', 'pri', 'msg', 'node', 'pid')],
           ['root@pam', 'ipc', 6, 'w\u00f6rld', 'node2', os.getpid()])
    expect('one entry', len(json.loads(client.ask(8, struct.pack('<IIII', 1, 0, 0, 0) + b'\0')[1])
                            ['data']), 1)
    expect('of nobody', client.ask(8, struct.pack('<IIII', 5, 0, 0, 0) + b'nobody\0'),
           (0, b'{\n"data": [\n]\n}\n'))
    expect('get log without a user', client.ask(8, bytes(16)), (-errno.EINVAL, b''))


def check_guests(client):
    """Properties of guests."""
    name = b'"7001":{"name": "web \\"1\\" \\\\"}'
    expect('property', client.ask(11, struct.pack('<I', 7001) + b'name\0'),
           (0, b'{\n' + name + b'\n}\n'))
    both = client.ask(11, struct.pack('<I', 0) + b'name\0')[1]
    expect('of all', [json.loads(both).get(vmid) for vmid in ('7001', '7002')],
           [{'name': 'web "1" \\'}, {'name': 'db'}])
    for missing in (b'tags', b'memory', b'nope'):
        expect(missing, client.ask(11, struct.pack('<I', 7001) + missing + b'\0'),
               (0, b'{\n\n}\n'))
    expect('two', client.ask(13, struct.pack('<IB', 7001, 2) + b'cores\0name\0'),
           (0, b'{\n"7001":{"cores": "2","name": "web \\"1\\" \\\\"}\n}\n'))
    expect('last line', client.ask(11, struct.pack('<I', 7002) + b'memory\0'),
           (0, b'{\n"7002":{"memory": "512"}\n}\n'))
    for vmid, error in ((1, errno.EINVAL), (99, errno.EINVAL), (100, errno.ENOENT),
                        (7003, errno.ENOENT)):
        expect(vmid, client.ask(11, struct.pack('<I', vmid) + b'name\0'), (-error, b''))
        expect(vmid, client.ask(13, struct.pack('<IB', vmid, 1) + b'name\0'), (-error, b''))
    for payload in (b'', b'\0\0', bytes(4)):
        expect('11 too short', client.ask(11, payload), (-errno.EINVAL, b''))
    for payload in (b'', bytes(4), bytes(5), bytes(4) + b'\1', bytes(4) + b'\1\0',
                    bytes(4) + b'\1name', bytes(4) + b'\1Name\0', bytes(4) + b'\1name\0x\0',
                    bytes(4) + b'\2name\0'):
        expect(f'13 {payload!r}', client.ask(13, payload), (-errno.EINVAL, b''))


def check_tokens(client):
    """Tokens, which also those may ask who may not read the file."""
    for token, error in ((b'a@pve!x secret\0', 0), (b'b@pve!y other\0', 0), (b'', errno.EINVAL),
                         (b'a@pve!x\0', errno.ENOENT), (b'a@pve!x secret', errno.EINVAL),
                         (b'\0', errno.EINVAL), (b'a@pve!x secret\nb@pve!y other\0', errno.EINVAL),
                         (b'a@pve!x secret\0\0', errno.EINVAL), (b'c@pve!z s\0', errno.ENOENT)):
        expect(f'token {token!r}', client.ask(12, token), (-error, b''))


def as_user(uid, gid, work):
    """Runs it as somebody else; faults come back by the exit status."""
    child = os.fork()
    if child == 0:
        FAULTS.clear()
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            work()
            for fault in FAULTS:
                print(f'as {uid}:{gid}: {fault}')
            os._exit(1 if FAULTS else 0)
        except BaseException as problem:  # pylint: disable=broad-except
            print(f'as {uid}:{gid}: {problem!r}', flush=True)
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        FAULTS.append(f'see above: {uid}:{gid}')


def reader():
    """Whoever is of www-data may look, but not at what is private."""
    client = Client()
    check_texts(client)
    check_files(client)
    check_guests(client)
    check_tokens(client)
    expect('set', client.ask(4, key(b'kv/www') + b'x\0'), (-errno.EPERM, b''))
    expect('log', client.ask(7, line(6, b'www', b'ipc', b'x')), (-errno.EPERM, b''))
    for path in (b'priv/s', b'/priv/s', b'priv//s', b'priv/none', b'priv', b'nodes/node2/priv/s',
                 b'nodes//node2/priv/s', b'nodes/node2//priv/none', b'/nodes/node9/priv'):
        expect(path, client.ask(6, path + b'\0'), (-errno.EPERM, b''))
    client.close()


def stranger():
    """Others are refused."""
    try:
        Client()
    except ConnectionError:
        return
    FAULTS.append('was let in')


def main():
    """See the top."""
    prepare()
    client = Client()
    for check in (check_texts, check_status, check_files, check_log, check_guests, check_tokens):
        check(client)
    expect('private', client.ask(6, b'priv/s\0'), (0, b'private'))
    client.close()
    for fault in FAULTS:
        print(fault)
    for uid, gid, work in ((WWW_DATA, WWW_DATA, reader), (0, WWW_DATA, reader),
                           (1000, WWW_DATA, reader), (1000, 1000, stranger), (0, 1000, stranger),
                           (WWW_DATA, 0, stranger)):
        as_user(uid, gid, work)
    return 1 if FAULTS else 0


if __name__ == '__main__':
    sys.exit(main())
