#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a cluster of real nodes does in the lab, beside a bare client of corosync's process groups.

  sudo tests/bench/bench_cluster.py [NODES...]      prints a table; default: 3 5

QUORATE_BUILD names the build directory (build). The nodes share one machine with its disk.
Visible means: a reader on the other node has seen it. One has the file open, waits in a read of
`.events`, and then reads the file; as the bare client, it does nothing until there is something to
see, and the time begins with the writer's `write`. The other one opens, reads and closes the file
every 0.2 ms, and the time begins with the writer's `open`: what both need for that counts. In
brackets
behind a rate: processor time of each, in microseconds: all corosyncs, all pmxcfs, the client.
"""
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.path.realpath(os.environ.get('QUORATE_BUILD', os.path.join(TOP, 'build')))
SELF = os.path.realpath(__file__)
CPG = os.path.join(BUILD, 'tests', 'bench', 'bench_cpg')
CHANGES = os.path.join(BUILD, 'tests', 'bench', 'bench_changes')
TREE = '/etc/pve'
DATABASE = '/var/lib/pve-cluster/config.db'
COUNT = 150  # timed changes
RATE_SECONDS = 5
STAMP = '%d %d'


# ---- what runs on a node ----

def overwrite(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def node_write(path, count):
    """Timed changes; prints how long each took until it was acknowledged."""
    for i in range(1, int(count) + 1):
        start = time.monotonic_ns()
        overwrite(path, (STAMP % (i, start)).encode().ljust(1024))
        print(i, (time.monotonic_ns() - start) // 1000)
        time.sleep(0.02)


def node_write_opened(path, count):
    """The same, from the moment on when the file is open."""
    for i in range(1, int(count) + 1):
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        start = time.monotonic_ns()
        os.write(fd, (STAMP % (i, start)).encode().ljust(1024))
        os.close(fd)
        print(i, (time.monotonic_ns() - start) // 1000)
        time.sleep(0.02)


def node_told(path, count):
    """Reads the file, which is open, as soon as `.events` tells of a change, until that of this
    number. The change is told a moment before it is shown. The handle is one that was opened while
    the file changes: one from before gets the old content for up to 0.1 s more, so that no read
    has parts of both."""
    signal.alarm(120)
    events = os.open(f'{TREE}/.events', os.O_RDONLY)
    print('waits', flush=True)
    file, newest = -1, 0
    while newest < int(count):
        os.read(events, 65536)
        if newest < 5:
            if file >= 0:
                os.close(file)
            file = os.open(path, os.O_RDONLY)
        until = time.monotonic_ns() + 10**8
        seen = newest
        while seen == newest and time.monotonic_ns() < until:
            words = os.pread(file, 64, 0).split()
            if len(words) == 2 and int(words[0]) != newest:
                newest = int(words[0])
                print(newest, (time.monotonic_ns() - int(words[1])) // 1000)


def node_watch(path, seconds):
    until = time.monotonic() + float(seconds)
    newest = 0
    while time.monotonic() < until and newest < COUNT:
        try:
            fd = os.open(path, os.O_RDONLY)  # open() would ask for the attributes as well
            words = os.read(fd, 64).split()
            os.close(fd)
        except OSError:
            words = []
        if len(words) == 2 and int(words[0]) != newest:
            newest = int(words[0])
            print(newest, (time.monotonic_ns() - int(words[1])) // 1000)
        time.sleep(0.0002)


def node_sync(folder):
    """Median time of an fdatasync of 4 KiB there, in microseconds."""
    path = os.path.join(folder, 'bench-sync')
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    took = []
    for i in range(100):
        os.pwrite(fd, os.urandom(4096), 0)
        start = time.monotonic_ns()
        os.fdatasync(fd)
        took.append((time.monotonic_ns() - start) // 1000)
    os.close(fd)
    os.unlink(path)
    print(statistics.median(took))


def node_fill(folder, files, size, first=0):
    os.makedirs(folder, exist_ok=True)

    def one(t, i):
        for n in range(int(first) + t, int(first) + int(files), 8):
            overwrite(f'{folder}/n{n}', os.urandom(int(size)))
    workers = [threading.Thread(target=one, args=(t, 0)) for t in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()


# ---- the cluster ----

class Cluster:
    def __init__(self, nodes):
        self.nodes = nodes
        self.name = f'bench{os.getpid()}'
        self.lab('up', '-n', str(nodes))

    def lab(self, *args, wait=True):
        command = [os.path.join(TOP, 'scripts', 'lab'), args[0], '--name', self.name, *args[1:]]
        env = dict(os.environ, QUORATE_BUILD=BUILD)
        p = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
        if not wait:
            return p
        out = p.communicate()[0]
        if p.returncode != 0:
            raise SystemExit(f'{" ".join(args)}: exit status {p.returncode}')
        return out

    def on(self, node, *command, wait=True):
        return self.lab('exec', str(node), '--', *[str(c) for c in command], wait=wait)

    def me(self, node, *args, wait=True):
        return self.on(node, 'python3', SELF, 'on-node', *args, wait=wait)

    def metric(self, node, name):
        text = self.on(node, 'cat', f'{TREE}/.metrics')
        return float(next(line.split()[1] for line in text.splitlines()
                          if line.startswith(f'{name} ')))

    def others(self):
        return range(2, self.nodes + 1)


def pairs(text):
    return dict(tuple(int(w) for w in line.split()) for line in text.splitlines())


def slowest(per_node):
    """Of each change, the time on the last node that has it."""
    common = set.intersection(*[set(p) for p in per_node])
    return sorted(max(p[i] for p in per_node) for i in common)


def ms(sorted_us):
    p99 = sorted_us[min(len(sorted_us) - 1, len(sorted_us) * 99 // 100)]
    return f'{statistics.median(sorted_us) / 1000:.1f} / {p99 / 1000:.1f}'


def raw(c, work):
    seconds = COUNT // 10 + 10
    logs = [os.path.join(work, f'cpg.{n}') for n in c.others()]
    listeners = [c.on(n, CPG, 'listen', log, seconds, wait=False)
                 for n, log in zip(c.others(), logs)]
    time.sleep(1)
    c.on(1, CPG, 'latency', COUNT)
    for p in listeners:
        p.communicate()
    return slowest([pairs(open(log).read()) for log in logs])


def told(c):
    path = f'{TREE}/bench'
    c.on(1, 'sh', '-c', f'echo 0 0 >{path}')
    readers = [c.me(n, 'told', path, COUNT, wait=False) for n in c.others()]
    for p in readers:
        p.stdout.readline()
    acknowledged = sorted(pairs(c.me(1, 'write_opened', path, COUNT)).values())
    return slowest([pairs(p.communicate()[0]) for p in readers]), acknowledged


def visible(c):
    path = f'{TREE}/bench'
    c.on(1, 'sh', '-c', f'echo 0 0 >{path}')
    watchers = [c.me(n, 'watch', path, COUNT * 0.1 + 5, wait=False) for n in c.others()]
    time.sleep(1)
    acknowledged = sorted(pairs(c.me(1, 'write', path, COUNT)).values())
    return slowest([pairs(p.communicate()[0]) for p in watchers]), acknowledged


def processor_seconds(c, node, daemon):
    text = c.on(node, 'sh', '-c', f'cat /proc/$(cat /run/{daemon}.pid)/stat')
    fields = text.rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def idle(c):
    before = processor_seconds(c, 1, 'pve-cluster')
    time.sleep(30)
    return (processor_seconds(c, 1, 'pve-cluster') - before) * 2


def rate(c, row, name, nodes, *command):
    """Rate of a command that prints it, on these nodes together, and in brackets the processor
    time of each message or change in microseconds: all corosyncs, all pmxcfs, the command."""
    def used(daemon):
        return sum(processor_seconds(c, n, daemon) for n in range(1, c.nodes + 1))
    before = {d: used(d) for d in ('corosync', 'pve-cluster')}
    runs = [c.on(n, *[a.replace('NODE', str(n)) for a in command], wait=False) for n in nodes]
    results = [tuple(float(w) for w in p.communicate()[0].split()) for p in runs]
    total = sum(r for r, _ in results)
    each = {d: (used(d) - before[d]) * 1e6 / (total * RATE_SECONDS) for d in before}
    own = sum(r * us for r, us in results) / total
    row(name, f'{total:.0f} ({each["corosync"]:.0f} + {each["pve-cluster"]:.0f} + {own:.0f})')


def rates(c, row):
    seconds = str(RATE_SECONDS)
    every = range(1, c.nodes + 1)
    rate(c, row, 'bare client: messages of 1 KiB per second', [1], CPG, 'rate', seconds)
    for window in ('1', '8', '64'):
        rate(c, row, f'bare client: the same, {window} on the way', [1], CPG, 'rate', seconds,
             window)
    for threads in ('1', '8', '64'):
        rate(c, row, f'changes of 1 KiB per second, {threads} writer(s) on one node', [1],
             CHANGES, 'files', f'{TREE}/w', threads, seconds)
    for threads in ('4', '32'):
        rate(c, row, f'the same, {threads} writers on every node', every,
             CHANGES, 'files', f'{TREE}/allNODE', threads, seconds)
    c.on(1, 'mkdir', '-p', f'{TREE}/priv/lock')
    for threads in ('1', '8'):
        rate(c, row, f'lock and unlock per second, {threads} at the same time', [1],
             CHANGES, 'locks', f'{TREE}/priv/lock', threads, seconds)


def rejoin(c, change, empty):
    """Seconds from the start of the last node's pmxcfs until it has all."""
    last = c.nodes
    c.lab('kill', str(last), 'pmxcfs')
    change()
    if empty:
        c.on(last, 'sh', '-c', f'rm -f {DATABASE}*')
    wanted = c.metric(1, 'pmxcfs_tree_version')
    start = time.monotonic()
    c.lab('start', str(last), 'pmxcfs', wait=False)
    while True:
        p = c.on(last, 'cat', f'{TREE}/.metrics', wait=False)
        text = p.communicate()[0]
        if f'\npmxcfs_tree_version {wanted:.0f}\n' in text and \
                '\npmxcfs_mode{mode="SYNCED"} 1\n' in text:
            return time.monotonic() - start
        if time.monotonic() - start > 300:
            raise SystemExit('the node does not return')


def measure(nodes, table, work):
    def row(name, value):
        table.setdefault(name, {})[nodes] = value
        print(f'# {nodes} nodes: {name}: {value}', file=sys.stderr, flush=True)

    c = Cluster(nodes)
    try:
        row('bare client: to every other node, median / p99, ms', ms(raw(c, work)))
        row('one `fdatasync` of 4 KiB, ms',
            f'{float(c.me(1, "sync", os.path.dirname(DATABASE))) / 1000:.1f}')
        seen, acknowledged = told(c)
        row('change of 1 KiB, from `write` until read on every other node by who is told of it, '
            'median / p99, ms', ms(seen))
        row('the same, until `close` has returned: acknowledged, ms', ms(acknowledged))
        seen, acknowledged = visible(c)
        row('the same, from `open` until seen on every other node by who opens and reads it every '
            '0.2 ms, ms', ms(seen))
        row('the same, until acknowledged, ms', ms(acknowledged))
        rates(c, row)
        row('idle: processor seconds of pmxcfs per minute', f'{idle(c):.2f}')
        for name, files, size in (('100 files of 1 KiB', 100, 1024),
                                  ('5,000 files of 1 KiB', 5000, 1024),
                                  ('64 MiB in files of 1 MiB', 64, 1 << 20)):
            folder = f'{TREE}/rejoin{files}'
            c.me(1, 'fill', folder, files, size)
            row(f'rejoin, s: {name}, all missing', f'{rejoin(c, lambda: None, True):.1f}')
            part = max(1, files // 100)
            row(f'rejoin, s: {name}, 1 % differing',
                f'{rejoin(c, lambda: c.me(1, "fill", folder, part, size), False):.1f}')
            c.on(1, 'rm', '-r', folder)
    finally:
        c.lab('down')


def main():
    if len(sys.argv) > 2 and sys.argv[1] == 'on-node':
        globals()['node_' + sys.argv[2]](*sys.argv[3:])
        return
    sizes = [int(a) for a in sys.argv[1:]] or [3, 5]
    subprocess.run(['make', '-s', '-C', BUILD, 'tests/bench/bench_cpg',
                    'tests/bench/bench_changes'], check=True)
    table = {}
    with tempfile.TemporaryDirectory(prefix='quorate-bench') as work:
        for nodes in sizes:
            measure(nodes, table, work)
    print('| |', ' | '.join(f'{n} nodes' for n in sizes), '|')
    print('|---' * (len(sizes) + 1) + '|')
    for name, values in table.items():
        print(f'| {name} |', ' | '.join(values.get(n, '') for n in sizes), '|')
    print(f'load: {" ".join(open("/proc/loadavg").read().split()[:3])}')


if __name__ == '__main__':
    main()
