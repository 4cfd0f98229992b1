#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that record what they do on a mounted cluster, and who judges the record.

  history.py run DIR LOG NODE SECONDS [STOP]   two clients on this node, until the time is over or a
                                               file STOP is there
  history.py final DIR LOG NODE                reads everything once; after all have settled
  history.py check LOG...                      exit status 0 when the record is one that could be

A line of the record: node thread op key value start end result. Times are CLOCK_MONOTONIC, which
the nodes of a lab share. The operations:

  write   a file is overwritten with a value that nobody else writes; `begin` is noted before, for
          who is killed in the middle
  read    its content; `final` is a read when nobody writes any more and all are synchronised
  claim   open(O_CREAT | O_EXCL) of a name for which all compete; never removed
  lock    mkdir of a directory for which all compete; unlock is its rmdir

The result is `ok`, `no` (refused: it did not happen) or `maybe` (an error that may have come late).

What must hold. Writes are linearizable: there is one order of them that agrees with their times.
Reads may be old, but show prefixes of that order: a node never goes back, sees its own writes at
once, and what was read somewhere precedes every write that began later. What is not yet closed
shows on its own node alone, as POSIX has it, and says nothing about the order. At the end all that
was acknowledged is there. A name is claimed once; a lock has one holder. For each file all of that
is an order between its values: the record is refused when that order would have two in one place.
"""
import collections
import errno
import os
import random
import sys
import threading
import time

FILES = 3
WRITING = {f'file{i}': threading.Lock() for i in range(FILES)}
INFINITE = float('inf')
# Errors that come before anything was sent.
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}

Op = collections.namedtuple('Op', 'node thread op key value start end result')


# ---- clients ----

class Client:
    def __init__(self, folder, log, node, thread):
        self.folder, self.log, self.node, self.thread = folder, log, node, thread
        self.count = 0
        self.random = random.Random(f'{node}/{thread}/{time.monotonic_ns()}')

    def path(self, key):
        return os.path.join(self.folder, key)

    def note(self, op, key, value, start, result):
        end = time.monotonic_ns()
        os.write(self.log, f'{self.node} {self.thread} {op} {key} {value} {start} {end} '
                           f'{result}\n'.encode())

    def write(self, key):
        self.count += 1
        # Of many lengths: one that is cut, or parts of two, is no value that was written. Only the
        # first change of a file meets readers through the page cache; the others go around it.
        name = f'{self.node}.{self.thread}.{self.count}.'
        value = name + chr(ord('a') + self.count % 26) * self.random.randrange(1, 3000)
        # One at a time on a node: of two that cut and write a file at once, the close of one may
        # find it cut by the other, and an empty file is then what it rightly makes durable.
        with WRITING[key]:
            self.overwrite(key, value)

    def overwrite(self, key, value):
        start = time.monotonic_ns()
        result = 'no'
        self.note('begin', key, value, start, 'maybe')
        try:
            fd = os.open(self.path(key), os.O_WRONLY | os.O_TRUNC)
            result = 'maybe'
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
            result = 'ok'
        except OSError as e:
            if result == 'no' and e.errno not in REFUSED and e.errno != errno.ENOENT:
                result = 'maybe'
        self.note('write', key, value, start, result)

    def read(self, key, op='read'):
        start = time.monotonic_ns()
        try:
            with open(self.path(key), 'rb', buffering=0) as f:
                value = f.read(4096).decode() or '-'
            self.note(op, key, value, start, 'ok')
            return True
        except OSError as e:
            self.note(op, key, errno.errorcode.get(e.errno, str(e.errno)), start, 'no')
            return False

    def exclusive(self, op, key, call):
        self.count += 1
        value = f'{self.node}.{self.thread}.{self.count}'
        start = time.monotonic_ns()
        try:
            call(self.path(key))
            result = 'ok'
        except OSError as e:
            result = 'no' if e.errno in REFUSED | {errno.EEXIST, errno.ENOENT} else 'maybe'
        self.note(op, key, value, start, result)
        return result

    def claim(self):
        def create(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        # The same names at about the same time on every node.
        self.exclusive('claim', f'claim{time.monotonic_ns() // 50_000_000}', create)

    def lock(self):
        key = f'lock{self.random.randrange(2)}'
        if self.exclusive('lock', key, os.mkdir) == 'ok':
            time.sleep(self.random.random() * 0.02)
            while self.exclusive('unlock', key, os.rmdir) == 'maybe':
                pass

    def go(self, until, stop):
        while time.monotonic() < until and not os.path.exists(stop):
            key = f'file{self.random.randrange(FILES)}'
            kind = self.random.randrange(10)
            if kind < 3:
                self.write(key)
            elif kind < 8:
                self.read(key)
            elif kind < 9:
                self.claim()
            else:
                self.lock()
            time.sleep(self.random.random() * 0.01)


def run(folder, log, node, seconds, stop):
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    until = time.monotonic() + seconds
    clients = [Client(folder, fd, node, t) for t in range(2)]
    workers = [threading.Thread(target=c.go, args=(until, stop)) for c in clients]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return 0


def final(folder, log, node):
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    client = Client(folder, fd, node, 'final')
    return 0 if all([client.read(f'file{i}', 'final') for i in range(FILES)]) else 1


# ---- the judge ----

def load(paths):
    ops = []
    for path in paths:
        with open(path) as f:
            for line in f:
                if not line.endswith('\n'):
                    continue  # its writer was killed in the middle
                node, thread, op, key, value, start, end, result = line.split()
                ops.append(Op(node, thread, op, key, value, int(start), int(end), result))
    ended = {o.value for o in ops if o.op == 'write'}
    return [o if o.op != 'begin' else o._replace(op='write') for o in ops
            if o.op != 'begin' or o.value not in ended]


def components(edges):
    """The strongly connected components of {a: {b, ...}} (Tarjan, without recursion)."""
    index, low, on_stack, stack = {}, {}, set(), []
    for root in list(edges):
        if root in index:
            continue
        work = [(root, None)]
        while work:
            at, rest = work.pop()
            if rest is None:
                index[at] = low[at] = len(index)
                stack.append(at)
                on_stack.add(at)
                rest = iter(edges.get(at, ()))
            for b in rest:
                if b not in index:
                    work += [(at, rest), (b, None)]
                    break
                if b in on_stack:
                    low[at] = min(low[at], index[b])
            else:
                if work:
                    up = work[-1][0]
                    low[up] = min(low[up], low[at])
                if low[at] == index[at]:
                    found = []
                    while not found or found[-1] != at:
                        found.append(stack.pop())
                        on_stack.discard(found[-1])
                    yield found


def place(node):
    """The node of a client that says `NODE/ROUND`."""
    return node.partition('/')[0]


class File:
    """The values of one file, and which of them cannot be later than which."""

    def __init__(self, key, ops):
        self.key = key
        self.writes = {o.value: o for o in ops if o.op == 'write' and o.result != 'no'}
        self.refused = {o.value for o in ops if o.op == 'write' and o.result == 'no'}
        self.reads = [o for o in ops if o.op in ('read', 'final') and o.result == 'ok']
        self.told = [r for r in self.reads if not self.may_be_unsaved(r)]
        self.edges = collections.defaultdict(set)
        self.moments = 0

    def done(self, w):
        return w.end if w.result == 'ok' else INFINITE

    def may_be_unsaved(self, r):
        """Was the file open for writing on the same node, with this content or cut to nothing?"""
        return any(place(w.node) == place(r.node) and w.start < r.end and r.start < self.done(w) and
                   r.value in (w.value, '-') for w in self.writes.values())

    def chain(self, firsts, seconds):
        """None of `firsts` [(end, value)] is later than those of `seconds` [(start, value)] that
        begin after its end. By way of one vertex for each moment, so that the edges stay few."""
        events = sorted([(start, 0, v) for start, v in seconds] +
                        [(end, 1, v) for end, v in firsts if end != INFINITE])
        moment = None
        for _, is_first, value in events:
            if is_first:
                self.moments += 1
                fresh = self.moments  # numbers are moments, strings are values
                if moment is not None:
                    self.edges[moment].add(fresh)
                self.edges[value].add(fresh)
                moment = fresh
            elif moment is not None:
                self.edges[moment].add(value)

    def order(self):
        done = [(self.done(w), w.value, w.node) for w in self.writes.values()]
        begun = [(w.start, w.value) for w in self.writes.values()]
        self.edges['-'] |= set(self.writes)
        # Writes agree with their times, and follow what was read anywhere before they began.
        self.chain([(end, v) for end, v, _ in done] + [(r.end, r.value) for r in self.told], begun)
        # What one node shows only goes forward, and has what it wrote itself.
        for node in {place(r.node) for r in self.told}:
            reads = [r for r in self.told if place(r.node) == node]
            self.chain([(end, v) for end, v, at in done if place(at) == node] +
                       [(r.end, r.value) for r in reads], [(r.start, r.value) for r in reads])
        # In the end all that was acknowledged is there.
        self.chain([(end, v) for end, v, _ in done],
                   [(r.start, r.value) for r in self.told if r.op == 'final'])

    def judge(self, faults):
        for r in self.reads:
            w = self.writes.get(r.value)
            if r.value in self.refused:
                faults.append(f'{self.key}: node {r.node} read {brief(r.value)}, which was refused')
            elif w is None and r.value != '-':
                faults.append(f'{self.key}: node {r.node} read {brief(r.value)}, which nobody '
                              f'wrote')
            elif w is not None and w.start > r.end:
                faults.append(f'{self.key}: {brief(r.value)} was read before it was written')
        ends = {r.value for r in self.reads if r.op == 'final'}
        if len(ends) > 1:
            seen = ' and '.join(brief(v) for v in sorted(ends))
            faults.append(f'{self.key}: in the end nodes have {seen}')
        self.order()
        for members in components(self.edges):
            values = sorted(v for v in members if isinstance(v, str))
            if len(values) > 1:
                faults.append(f'{self.key}: no order of the writes explains what was seen of '
                              f'{", ".join(map(brief, values[:6]))}'
                              f'{" ..." if len(values) > 6 else ""}')


def brief(value):
    """A value as a message shows it."""
    return value if len(value) < 40 else f'{value[:24]}...{value[-8:]} ({len(value)} bytes)'


def judge_exclusive(ops, faults):
    holders = collections.defaultdict(list)
    for o in ops:
        if o.op == 'claim' and o.result == 'ok':
            holders[o.key].append(o)
    for key, who in holders.items():
        if len(who) > 1:
            faults.append(f'{key} was claimed by {" and ".join(o.value for o in who)}')
    held = collections.defaultdict(list)
    by_client = collections.defaultdict(list)
    for o in ops:
        if o.op in ('lock', 'unlock'):
            by_client[(o.node, o.thread, o.key)].append(o)
    for (_, _, key), seq in by_client.items():
        seq.sort(key=lambda o: o.start)
        for i, o in enumerate(seq):
            if o.op == 'lock' and o.result == 'ok':
                until = seq[i + 1].start if i + 1 < len(seq) else o.end
                held[key].append((o.end, until, o.value))
    for key, spans in held.items():
        spans.sort()
        for a, b in zip(spans, spans[1:]):
            if b[0] < a[1]:
                faults.append(f'{key} was held by {a[2]} and {b[2]} at once')


def check(paths):
    ops = load(paths)
    faults = []
    files = collections.defaultdict(list)
    for o in ops:
        if o.op in ('write', 'read', 'final'):
            files[o.key].append(o)
    for key in sorted(files):
        File(key, files[key]).judge(faults)
    judge_exclusive(ops, faults)
    done = collections.Counter((o.op, o.result) for o in ops)
    print('# ' + ', '.join(f'{n} {op} {result}' for (op, result), n in sorted(done.items())))
    for fault in faults[:20]:
        print(fault)
    if not done['write', 'ok'] or not done['read', 'ok']:
        print('nothing was written and read')
        return 1
    return 1 if faults else 0


def main():
    args = sys.argv[1:]
    if len(args) in (5, 6) and args[0] == 'run':
        return run(args[1], args[2], args[3], float(args[4]), args[5] if args[5:] else '')
    if len(args) == 4 and args[0] == 'final':
        return final(args[1], args[2], args[3])
    if len(args) > 1 and args[0] == 'check':
        return check(args[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
