# SPDX-License-Identifier: Apache-2.0
"""The message layer that both process groups have in common; see tree.py for the rules of this
folder."""

import struct
import time

from corosync import Failed, Group

NORMAL, SYNC_START, STATE, UPDATE, UPDATE_COMPLETE, VERIFY_REQUEST, VERIFY = range(7)
KINDS = ('NORMAL', 'SYNC_START', 'STATE', 'UPDATE', 'UPDATE_COMPLETE', 'VERIFY_REQUEST', 'VERIFY')
MODES = {0: 'START', 1: 'START_SYNC', 2: 'SYNCED', 3: 'UPDATE', 253: 'LEAVE',
         254: 'VERSION_ERROR', 255: 'ERROR'}
START, START_SYNC, SYNCED, UPDATING = range(4)
LEAVE, VERSION_ERROR, ERROR = 253, 254, 255
PATIENCE = 60


class Leave(Exception):
    """A reason to leave the group and come back."""


class Member:
    """A member as this one sees it."""

    def __init__(self):
        self.synced = False
        self.state = None


class Queued:
    """A change that arrived before its time."""

    def __init__(self, sender, count, message):
        self.sender, self.count, self.message = sender, count, message


class Layer:
    """One member of one group. A subclass says what the messages mean:

    apply(sender, subtype, when, payload)  a change; what it returns goes to the waiting caller
    state()                   the payload of STATE
    process()                 all states are here: marks members synced, sends updates
    store(payload)            one UPDATE
    commit()                  UPDATE_COMPLETE
    checksum()                of a verification
    synced()                  the mode has become SYNCED
    """

    def __init__(self, name, protocol, pid, retry):
        self.protocol, self.pid, self.retry = protocol, pid, retry
        self.mode, self.members, self.sent, self.requests = START, {}, 0, 0
        self.first, self.second, self.waiting, self.trace = [], [], {}, []
        self.epoch, self.changes = bytes(16), 0
        self.saved = (0, bytes(16))
        self.complaints, self.counts = [], {}  # What is not as documented, though nobody minds.
        self.silent = set()  # Kinds of messages that are not sent though they should be.
        self.back = None
        self.why = ''
        self.group = Group(name, self.deliver, self.change)
        self.me = self.group.node, pid
        self.lowest = 0
        if not self.group.join():
            raise Failed('the group has this process already')

    # Sending.

    def send_state(self, kind, payload=b''):
        """A message of the synchronisation."""
        if KINDS[kind] not in self.silent:
            self.group.send(struct.pack('<HHIII', kind, 0, self.protocol, int(time.time()), 0) +
                            self.epoch + payload)

    def send(self, subtype, payload):
        """A change; returns its number."""
        self.sent += 1
        self.group.send(struct.pack('<HHIIIQ', NORMAL, subtype, self.protocol, int(time.time()), 0,
                                    self.sent) + payload)
        return self.sent

    def wait(self, number, answer):
        """Calls `answer(result)` when the change with this number was delivered; None is for a
        change whose fate is unknown."""
        self.waiting[number] = answer

    def release(self, number=None, result=None):
        """Answers those who wait, up to a number."""
        for waiting in sorted(self.waiting):
            if number is None or waiting <= number:
                self.waiting.pop(waiting)(result if waiting == number else None)

    # Modes.

    def become(self, mode):
        """Another mode."""
        if mode >= 128 and self.mode >= 128 and mode < self.mode:
            return
        fresh = mode == SYNCED and self.mode != SYNCED
        self.mode = mode
        if fresh:
            self.synced()

    def drop_out(self, why):
        """Leaves the group; comes back after a while."""
        self.why = str(why)
        self.trace.append(['LEAVE', self.why])
        if self.mode >= 128:
            return
        self.become(LEAVE)
        self.group.leave()
        self.release()
        self.back = time.monotonic() + self.retry

    def tick(self):
        """What time brings."""
        if self.back and time.monotonic() >= self.back:
            self.back = time.monotonic() + self.retry
            self.group.reopen()
            self.counts = {}
            if self.group.join():
                self.back = None
                self.become(START)

    # Membership.

    def change(self, members, joined):
        """The callback of a configuration change."""
        self.trace.append(['members', sorted(members)])
        self.changes += 1
        self.epoch = struct.pack('<IIII', self.changes, int(time.time()), *self.me)
        self.saved = (self.requests, bytes(16))
        self.second = []
        for member in joined:  # What it numbered while it was away went nowhere.
            self.counts.pop(member, None)
        if self.mode >= 128:
            return
        self.lowest = min((node for node, _ in members), default=0)
        self.members = {member: Member() for member in sorted(members)}
        if self.me not in self.members:
            if self.mode != START:
                self.drop_out('not a member')
            return
        if len(members) > 1:
            if joined and self.first:
                mine = [one for one in self.first if one.sender == self.me]
                self.first = []
                for one in mine:
                    self.group.send(one.message)
            self.become(START_SYNC)
            if self.lowest == self.me[0]:
                self.send_state(SYNC_START)
        else:
            self.become(SYNCED)
            self.members[self.me].synced = True
            self.deliver_first()
        self.joined()

    def joined(self):
        """The members are new."""

    # Delivery.

    def deliver(self, node, pid, message):
        """The callback of a message."""
        if self.mode >= 128:
            return
        try:
            self.take((node, pid), message)
        except (Leave, ValueError) as problem:
            self.drop_out(problem)

    def take(self, sender, message):
        """One message in any mode."""
        if len(message) < 16:
            raise Leave('message without a header')
        kind, subtype, protocol, when, reserved = struct.unpack_from('<HHIII', message)
        self.mind(sender, kind, subtype, when, reserved)
        self.trace.append([KINDS[kind] if kind < 7 else kind, sender[0], subtype, len(message)])
        if protocol > self.protocol:
            self.become(VERSION_ERROR)
            self.group.leave()
            return
        if protocol < self.protocol:
            return
        if kind == NORMAL:
            if len(message) < 24:
                raise Leave('change without a header')
            one = Queued(sender, struct.unpack_from('<Q', message, 16)[0], message)
            self.mind_count(one)
            if self.mode == SYNCED:
                self.run(one)
            else:
                self.queue(one)
            return
        if len(message) < 32:
            raise Leave('state message without an epoch')
        if kind != SYNC_START and message[16:32] != self.epoch:
            return
        {START: self.in_start, START_SYNC: self.in_start_sync, SYNCED: self.in_synced,
         UPDATING: self.in_update}[self.mode](sender, kind, message)

    def mind(self, sender, kind, subtype, when, reserved):
        """Fields that a receiver does not look at."""
        if sender != self.me and (reserved or kind != NORMAL and subtype or
                                  abs(when - time.time()) > PATIENCE):
            self.complaints.append(f'header of {sender}: {kind} {subtype} {when} {reserved}')

    def mind_count(self, one):
        """Changes are numbered; one that is sent anew keeps its number."""
        if one.count > self.counts.get(one.sender, one.count - 1) + 1 or one.count == 0:
            self.complaints.append(f'count {one.count} of {one.sender}')
        self.counts[one.sender] = one.count

    def run(self, one):
        """Applies a change."""
        subtype, _, when = struct.unpack_from('<HII', one.message, 2)
        try:
            result = self.apply(one.sender, subtype, when, one.message[24:])
        except (Leave, ValueError):
            if one.sender == self.me:
                self.release(one.count, -1)
            raise
        if one.sender == self.me:
            self.release(one.count, result)

    def queue(self, one):
        """Keeps a change for later."""
        if one.sender not in self.members:
            raise Leave('a change of an unknown sender')
        if self.mode == UPDATING and self.members[one.sender].synced:
            self.second.append(one)
            return
        at = len(self.first)
        while at and self.first[at - 1].count > one.count:
            at -= 1
        self.first.insert(at, one)

    def deliver_first(self):
        """What the first queue can give by now."""
        queue, self.first = self.first, []
        for one in queue:
            member = self.members.get(one.sender)
            if member is None:
                continue
            if not member.synced:
                self.first.append(one)
            elif self.mode == UPDATING:
                self.second.append(one)
            elif self.mode == SYNCED:
                self.run(one)

    def in_start(self, _sender, kind, _message):
        """State messages while joining."""
        raise Leave(f'{KINDS[kind]} before the membership')

    def in_synced(self, sender, kind, message):
        """State messages to a synced member."""
        if kind == UPDATE_COMPLETE:
            for member in self.members.values():
                member.synced = True
            self.deliver_first()
        elif kind == VERIFY_REQUEST:
            if len(message) != 40:
                raise Leave('request of a wrong length')
            number = struct.unpack_from('<Q', message, 32)[0]
            self.saved = (number, message[16:32])
            self.sum = self.checksum()
            if sender == self.me:
                self.send_state(VERIFY, struct.pack('<Q', number) + self.sum)
        elif kind == VERIFY:
            if len(message) != 72:
                raise Leave('answer of a wrong length')
            if self.saved == (struct.unpack_from('<Q', message, 32)[0], message[16:32]):
                self.trace.append(['verified', self.sum == message[40:]])
                if self.sum != message[40:]:
                    raise Leave('the checksum is another')

    def in_start_sync(self, sender, kind, message):
        """State messages while states are collected."""
        if kind == SYNC_START:
            self.epoch = message[16:32]
            for member in self.members.values():
                member.state = None
            self.send_state(STATE, self.state())
        elif kind == STATE:
            member = self.members.get(sender)
            if member is None or member.state is not None:
                raise Leave('a state of an unknown member, or a second one')
            member.state = message[32:]
            if all(one.state is not None for one in self.members.values()):
                self.all_states()
        elif kind in (UPDATE, UPDATE_COMPLETE):
            raise Leave(f'{KINDS[kind]} before all states')

    def all_states(self):
        """Every member has told its state."""
        self.process()
        if self.members[self.me].synced:
            self.become(SYNCED)
            self.free()
        else:
            self.become(UPDATING)
        self.deliver_first()

    def free(self):
        """States are needed no longer."""
        for member in self.members.values():
            member.state = None

    def in_update(self, _sender, kind, message):
        """State messages to a member that waits for updates."""
        if kind == UPDATE:
            self.store(message[32:])
        elif kind == UPDATE_COMPLETE:
            self.commit()
            for member in self.members.values():
                member.synced = True
            self.become(SYNCED)
            queue, self.second = self.second, []
            for one in queue:
                self.run(one)
            self.deliver_first()
            self.free()
        elif kind in (SYNC_START, STATE):
            raise Leave(f'{KINDS[kind]} among the updates')

    def store(self, _payload):
        """No updates unless a subclass has some."""
        raise Leave('an update where there are none')

    def commit(self):
        """See store()."""

    def checksum(self):
        """See store()."""
        return bytes(32)
