# SPDX-License-Identifier: Apache-2.0
"""The client libraries of corosync: a group, the quorum, the list of nodes."""

import ctypes
import time

OK, TRY_AGAIN, EXIST = 1, 6, 14
AGREED = 2
ONE = 1
TRACK_CHANGES = 2


class Name(ctypes.Structure):
    """The name of a group."""
    _fields_ = [('length', ctypes.c_uint32), ('value', ctypes.c_char * 128)]


class Address(ctypes.Structure):
    """A member of a group."""
    _fields_ = [('node', ctypes.c_uint32), ('pid', ctypes.c_uint32), ('reason', ctypes.c_uint32)]


class Buffer(ctypes.Structure):
    """What to send."""
    _fields_ = [('base', ctypes.c_char_p), ('length', ctypes.c_size_t)]


DELIVER = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.POINTER(Name), ctypes.c_uint32,
                           ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)
CHANGE = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.POINTER(Name), ctypes.POINTER(Address),
                          ctypes.c_size_t, ctypes.POINTER(Address), ctypes.c_size_t,
                          ctypes.POINTER(Address), ctypes.c_size_t)
QUORUM = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32,
                          ctypes.POINTER(ctypes.c_uint32))


class GroupCalls(ctypes.Structure):
    """The callbacks of a group."""
    _fields_ = [('deliver', DELIVER), ('change', CHANGE)]


class QuorumCalls(ctypes.Structure):
    """The callbacks of the quorum."""
    _fields_ = [('notify', QUORUM)]


class Failed(Exception):
    """A library said no."""


def patiently(call, *args, tries=None):
    """A call, repeated while corosync is busy."""
    while True:
        result = call(*args)
        if result == OK:
            return
        if result != TRY_AGAIN or tries == 0:
            raise Failed(f'{call.__name__}: {result}')
        tries = tries and tries - 1
        time.sleep(0.1)


class Group:
    """One process group. `deliver(node, pid, message)` and `change(members, joined)` are called
    from `dispatch`; what they raise comes out of it."""

    def __init__(self, name, deliver, change):
        self.lib = ctypes.CDLL('libcpg.so.4')
        for call in (self.lib.cpg_join, self.lib.cpg_leave):
            call.argtypes = [ctypes.c_uint64, ctypes.POINTER(Name)]
        self.lib.cpg_finalize.argtypes = [ctypes.c_uint64]
        self.lib.cpg_mcast_joined.argtypes = [ctypes.c_uint64, ctypes.c_int,
                                              ctypes.POINTER(Buffer), ctypes.c_uint]
        self.lib.cpg_dispatch.argtypes = [ctypes.c_uint64, ctypes.c_int]
        self.name = Name(len(name) + 1, name)
        self.raised = None
        self.deliver, self.change = deliver, change
        self.calls = GroupCalls(DELIVER(self._deliver), CHANGE(self._change))
        self.handle = ctypes.c_uint64()
        self.open()

    def open(self):
        """A connection of one's own."""
        patiently(self.lib.cpg_initialize, ctypes.byref(self.handle), ctypes.byref(self.calls))
        node = ctypes.c_uint()
        patiently(self.lib.cpg_local_get, self.handle, ctypes.byref(node))
        self.node = node.value
        fd = ctypes.c_int()
        patiently(self.lib.cpg_fd_get, self.handle, ctypes.byref(fd))
        self.fd = fd.value

    def _deliver(self, _handle, _name, node, pid, message, length):
        try:
            self.deliver(node, pid, ctypes.string_at(message, length))
        except Exception as problem:  # pylint: disable=broad-except
            self.raised = problem

    def _change(self, _handle, _name, members, count, _left, _lefts, joined, joins):
        try:
            self.change([(members[i].node, members[i].pid) for i in range(count)],
                        [(joined[i].node, joined[i].pid) for i in range(joins)])
        except Exception as problem:  # pylint: disable=broad-except
            self.raised = problem

    def reopen(self):
        """A new connection in place of the one that has left."""
        patiently(self.lib.cpg_finalize, self.handle)
        self.open()

    def join(self):
        """Joins; False when the last leave is not through yet."""
        try:
            patiently(self.lib.cpg_join, self.handle, ctypes.byref(self.name))
        except Failed as problem:
            if str(problem).endswith(f': {EXIST}'):
                return False
            raise
        return True

    def leave(self):
        """Leaves."""
        patiently(self.lib.cpg_leave, self.handle, ctypes.byref(self.name))

    def send(self, message):
        """To all members, oneself among them."""
        buffer = Buffer(message, len(message))
        patiently(self.lib.cpg_mcast_joined, self.handle, AGREED, ctypes.byref(buffer), 1,
                  tries=100)

    def dispatch(self):
        """Takes one event."""
        patiently(self.lib.cpg_dispatch, self.handle, ONE)
        if self.raised:
            problem, self.raised = self.raised, None
            raise problem


class Quorum:
    """Whether this partition may decide: `quorate`."""

    def __init__(self):
        self.lib = ctypes.CDLL('libquorum.so.5')
        self.quorate = False
        self.calls = QuorumCalls(QUORUM(self._notify))
        self.handle = ctypes.c_uint64()
        kind, fd = ctypes.c_uint32(), ctypes.c_int()
        patiently(self.lib.quorum_initialize, ctypes.byref(self.handle), ctypes.byref(self.calls),
                  ctypes.byref(kind))
        patiently(self.lib.quorum_trackstart, self.handle, TRACK_CHANGES | 1)
        patiently(self.lib.quorum_fd_get, self.handle, ctypes.byref(fd))
        self.fd = fd.value

    def _notify(self, _handle, quorate, _ring, _count, _list):
        self.quorate = bool(quorate)

    def dispatch(self):
        """Takes one event."""
        patiently(self.lib.quorum_dispatch, self.handle, ctypes.c_int(ONE))


def node_list():
    """{node id: name} of the cluster's members."""
    lib = ctypes.CDLL('libcmap.so.4')
    handle = ctypes.c_uint64()
    patiently(lib.cmap_initialize, ctypes.byref(handle))
    lib.cmap_get_string.argtypes = [ctypes.c_uint64, ctypes.c_char_p,
                                    ctypes.POINTER(ctypes.c_char_p)]
    names = {}
    for i in range(64):
        node, name = ctypes.c_uint32(), ctypes.c_char_p()
        key = b'nodelist.node.%d.' % i
        if lib.cmap_get_uint32(handle, key + b'nodeid', ctypes.byref(node)) == OK and \
                lib.cmap_get_string(handle, key + b'name', ctypes.byref(name)) == OK:
            names[node.value] = name.value.decode()
    lib.cmap_finalize(handle)
    return names
