#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Moving guests by `qm migrate` beside two bare QEMUs driven by hand, over the same link.

    sudo tests/bench/bench_migration.py [--runs 3] [--minutes 12] [--only WORD] BUILD

Makes a lab of two nodes. Each case is done bare and with qm in turns; the median of the runs is
shown, as a table for docs/benchmarks.md. Total: from the moment the target's QEMU is started
(bare) or `qm migrate` is called until the source's QEMU has ended. Stopped: between the last line
of the guest's console on the source and its first on the target (it writes one each 10 ms). CPU: of
both QEMUs and, with qm, of both agents. Some cases go over a link of a stated rate (a token bucket
on the interfaces of both nodes). Where the machine gives free huge pages back to a host, the first
to touch them pays for that: so as much memory as the guest has is touched and freed right before
each target starts, for both alike. On the other output: the phases of qm, and what a dry run
predicted beside what it really took. Cases that do not fit into the time are named and left out.
"""
import argparse
import json
import mmap
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
LAB = os.path.join(TOP, 'scripts', 'lab')
NAME = f'bench{os.getpid()}'
DIR = f'/var/tmp/quorate-{NAME}'
MACHINE = 'pc-i440fx-7.2'
TICK = os.sysconf('SC_CLK_TCK')
DEADLINE = 60  # seconds for the memory


def lab(verb, *words, check=True, text=None):
    return subprocess.run([LAB, verb, '--name', NAME, *words], check=check, input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def on(node, *words, check=True):
    done = lab('exec', str(node), '--', *words, check=False)
    if check and done.returncode != 0:
        sys.exit(f'node {node}: {" ".join(words)}: {done.stdout}{done.stderr}')
    return done


class Unfinished(Exception):
    """The guest changes its memory faster than it moves, even slowed down."""


def process_of(node):
    with open(f'/var/tmp/quorate-lab/{NAME}/nodes/{node}/pid', encoding='ascii') as file:
        return f'/proc/{file.read().split()[0]}'


def root_of(node):
    return process_of(node) + '/root'


class Console(threading.Thread):
    """When the first and the last line came."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.first, self.last, self.lines, self.stop = path, None, None, 0, False
        self.start()

    def run(self):
        stream = None
        while stream is None and not self.stop:
            try:
                stream = socket.socket(socket.AF_UNIX)
                stream.connect(self.path)
            except OSError:
                stream = None
                time.sleep(0.002)
        while not self.stop:
            data = stream.recv(4096)
            if not data:
                return
            now = time.monotonic()
            self.lines += data.count(b'\n')
            self.first = self.first or now
            self.last = now

    def wait(self, lines=3, seconds=300):
        deadline = time.monotonic() + seconds
        while self.lines < lines:
            if time.monotonic() > deadline:
                sys.exit(f'{self.path}: the guest does not count')
            time.sleep(0.01)


class Qmp:
    def __init__(self, path):
        deadline = time.monotonic() + 60
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)
        self.stream = self.socket.makefile('rw', encoding='utf-8')
        self.stream.readline()
        self.ask('qmp_capabilities')

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.stream.flush()
        while 'event' in (answer := json.loads(self.stream.readline())):
            pass
        if 'error' in answer:
            sys.exit(f'{command}: {answer["error"]["desc"]}')
        return answer['return']

    def capabilities(self, *names):
        self.ask('migrate-set-capabilities',
                 capabilities=[{'capability': n, 'state': True} for n in names])


class Cpu(threading.Thread):
    """CPU seconds that what moves guests on our two nodes uses, what ends meanwhile included."""
    NAMES = ('qemu-system-x86', 'quorate-migrate')

    def __init__(self):
        super().__init__(daemon=True)
        self.nodes = {os.stat(process_of(node) + '/ns/pid').st_ino for node in (1, 2)}
        self.known, self.ours, self.stop = set(), set(), False
        self.find()
        self.begin = {pid: self.used(pid) for pid in self.ours}
        self.seconds = dict(self.begin)
        self.start()

    def find(self):
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if pid not in self.known:
                self.known.add(pid)
                if self.is_ours(pid):
                    self.ours.add(pid)

    def is_ours(self, pid):
        """A process that has just been made may not be QEMU yet: it is looked at once more."""
        try:
            if os.stat(f'/proc/{pid}/ns/pid').st_ino not in self.nodes:
                return False
            with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                name = file.read().strip()
        except OSError:
            return False
        if name not in self.NAMES:
            self.known.discard(pid)
        return name in self.NAMES

    @staticmethod
    def used(pid):
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii') as file:
                fields = file.read().rsplit(')', 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / TICK
        except OSError:
            return None

    def look(self):
        for pid in self.ours:
            self.seconds[pid] = self.used(pid) or self.seconds.get(pid, 0)

    def run(self):
        while not self.stop:
            self.find()
            for _ in range(5):
                self.look()
                time.sleep(0.02)

    def end(self):
        self.stop = True
        self.join()
        self.look()
        return sum(self.seconds.values()) - sum(value or 0 for value in self.begin.values())


def rom(case):
    mib, dirty, working = case['mib'], case['dirty'], case['set'] or case['mib']
    path = f'{DIR}/guest-{mib}-{dirty}-{working}.rom'
    source = os.path.join(TOP, 'tests', 'bench', 'bench_guest.S')
    subprocess.run(['as', '--32', '--defsym', f'MIB={mib}', '--defsym', f'DIRTY={dirty}',
                    '--defsym', f'SET={working}', source, '-o', path + '.o'], check=True)
    subprocess.run(['ld', '-m', 'elf_i386', '-Ttext', '0', '--oformat', 'binary', path + '.o', '-o',
                    path], check=True)
    return path


def start_bare(node, name, case, *words):
    on(node, 'qemu-system-x86_64', '-name', name, '-accel', 'tcg', '-M', MACHINE, '-cpu',
       'qemu64,-apic', '-m', str(case['mib']), '-nodefaults', '-no-user-config', '-display', 'none',
       '-bios', case['rom'], '-serial', f'unix:{DIR}/{name}.ser,server=on,wait=off', '-qmp',
       f'unix:{DIR}/{name}.qmp,server=on,wait=off', '-daemonize', *words)


def disk_words(path):
    return ['-blockdev', f'driver=raw,node-name=d0,file.driver=file,file.filename={path}',
            '-device', 'virtio-blk-pci,drive=d0']


def bare_disk(source, target, case):
    place = {'host': '10.80.0.2', 'port': '60002'}
    target.ask('nbd-server-start', addr={'type': 'inet', 'data': place},
               **({'tls-creds': 'tls0'} if case['tls'] else {}))
    target.ask('block-export-add', id='e0', type='nbd', name='d0', writable=True,
               **{'node-name': 'd0'})
    source.ask('blockdev-add', driver='nbd', export='d0', **{'node-name': 'm0'},
               server={'type': 'inet', **place},
               **({'tls-creds': 'tls0', 'tls-hostname': 'node2'} if case['tls'] else {}))
    source.ask('blockdev-mirror', device='d0', target='m0', sync='full',
               **{'job-id': 'm0', 'auto-dismiss': False})
    while source.ask('query-jobs')[0]['status'] != 'ready':
        time.sleep(0.01)


def warm_up(case):
    memory = mmap.mmap(-1, (case['mib'] + 64) << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    for place in range(0, len(memory), 4096):
        memory[place] = 1
    memory.close()


def limit_link(gbit):
    for node in (1, 2):
        on(node, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root', check=False)  # there may be none
        if gbit:
            on(node, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', 'rate', f'{gbit}gbit',
               'burst', '1mb', 'latency', '20ms')


def copy_of(disk, path):
    """With the holes of the original, and on the disk: writing it shall not fall into the move."""
    subprocess.run(['cp', '--sparse=always', '--reflink=never', disk, path], check=True)
    subprocess.run(['sync', path], check=True)


def wait_for_switch(source):
    deadline = time.monotonic() + DEADLINE
    while (status := source.ask('query-migrate'))['status'] != 'pre-switchover':
        if status['status'] == 'failed':
            sys.exit(f'bare: {status}')
        if time.monotonic() > deadline:
            raise Unfinished
        time.sleep(0.001)


def bare(case):
    disks = []
    if case['disk']:
        for node in (1, 2):
            disks.append(f'{DIR}/bare{node}.img')
        copy_of(case['disk'], disks[0])
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'raw', disks[1],
                        str(os.path.getsize(disks[0]))], check=True)
    start_bare(1, 'source', case, *(disk_words(disks[0]) if disks else []))
    here = Console(f'{DIR}/source.ser')
    here.wait()
    source = Qmp(f'{DIR}/source.qmp')
    warm_up(case)
    cpu = Cpu()
    began = time.monotonic()
    start_bare(2, 'target', case, '-S', '-incoming', 'defer',
               *(disk_words(disks[1]) if disks else []))
    there = Console(f'{DIR}/target.ser')
    target = Qmp(f'{DIR}/target.qmp')
    common = ['events', 'return-path'] + (['multifd'] if case['channels'] else [])
    for side, end in ((source, 'client'), (target, 'server')):
        if case['tls']:
            side.ask('object-add', **{'qom-type': 'tls-creds-x509', 'id': 'tls0', 'endpoint': end,
                                      'dir': '/run/quorate/migration-tls', 'verify-peer': True},
                     **({'priority': case['priority']} if case['priority'] else {}))
        side.capabilities(*common, *(['pause-before-switchover', 'auto-converge']
                                     if side is source else []))
        side.ask('migrate-set-parameters', **({'tls-creds': 'tls0'} if case['tls'] else {}),
                 **({'multifd-channels': case['channels']} if case['channels'] else {}),
                 **({'multifd-compression': 'zstd'} if case['zstd'] else {}),
                 **({'tls-hostname': 'node2'} if case['tls'] and side is source else {}),
                 **{'max-bandwidth': 16 << 30, 'downtime-limit': 240})
    target.ask('migrate-incoming', uri='tcp:10.80.0.2:60001')
    if disks:
        bare_disk(source, target, case)
    source.ask('migrate', uri='tcp:10.80.0.2:60001')
    try:
        wait_for_switch(source)
    except Unfinished:
        here.stop = there.stop = True
        cpu.end()
        source.ask('quit')
        target.ask('quit')
        raise
    if disks:
        source.ask('block-job-cancel', device='m0')
        while source.ask('query-jobs')[0]['status'] != 'concluded':
            time.sleep(0.001)
        source.ask('job-dismiss', id='m0')
        source.ask('blockdev-del', **{'node-name': 'm0'})
    source.ask('migrate-continue', state='pre-switchover')
    while (status := source.ask('query-migrate'))['status'] != 'completed':
        time.sleep(0.001)
    while target.ask('query-status')['status'] != 'paused':
        time.sleep(0.001)
    if disks:
        target.ask('nbd-server-stop')
    target.ask('cont')
    source.ask('quit')
    total = time.monotonic() - began
    there.wait()
    cpu = cpu.end()
    target.ask('quit')
    here.stop = there.stop = True
    return {'total': total, 'stopped': there.first - here.last, 'cpu': cpu,
            'bytes': status['ram']['transferred'], 'memory': status['total-time'] / 1000}


def ours_up(case):
    conf = f'args: -bios {case["rom"]}\ncpu: qemu64,flags=-apic\nkvm: 0\n' \
           f'memory: {case["mib"]}\nserial0: socket\nvga: serial0\n'
    if case['disk']:
        os.makedirs(root_of(1) + '/var/lib/disk/images/100', exist_ok=True)
        copy_of(case['disk'], root_of(1) + '/var/lib/disk/images/100/vm-100-disk-0.raw')
        conf += f'virtio0: disk:100/vm-100-disk-0.raw,size={os.path.getsize(case["disk"])}\n'
    lab('exec', '1', '--', 'sh', '-c', 'cat >/etc/pve/nodes/node1/qemu-server/100.conf', text=conf)
    on(1, 'qm', 'start', '100')


def ours_down(node):
    on(node, 'qm', 'stop', '100')
    on(node, 'sh', '-c', f'rm -f /etc/pve/nodes/node{node}/qemu-server/100.conf; '
       'rm -rf /var/lib/disk/images/100')


def events(done):
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]


def predicted(command):
    plans = [event for event in events(on(1, *command, '--dry-run')) if event['event'] == 'plan']
    return {key: plans[-1].get(key) for key in
            ('predicted_ms', 'predicted_downtime_ms', 'speed', 'dirty_rate', 'converges')}


def ours(case, predict):
    ours_up(case)
    here = Console(root_of(1) + '/run/qemu-server/100.serial0')
    here.wait()
    command = ['qm', 'migrate', '100', 'node2', '--online', '--with-local-disks',
               '--migration_type', 'secure' if case['tls'] else 'insecure', '--timeout',
               str(DEADLINE), '--output-format', 'json']
    command += ['--channels', str(case['channels']), '--compress',
                'zstd' if case['zstd'] else 'none']
    guess = predicted(command) if predict else None
    there = Console(root_of(2) + '/run/qemu-server/100.serial0')
    warm_up(case)
    cpu = Cpu()
    began = time.monotonic()
    done = on(1, *command, check=False)
    total = time.monotonic() - began
    end = events(done)[-1]
    if done.returncode != 0:
        here.stop = there.stop = True
        cpu.end()
        ours_down(1)
        print(f'qm: {end.get("why")}', file=sys.stderr)
        raise Unfinished
    there.wait()
    cpu = cpu.end()
    ours_down(2)
    here.stop = there.stop = True
    return {'total': total, 'stopped': there.first - here.last, 'cpu': cpu,
            'bytes': end['transferred'], 'memory': end['qemu_total_ms'] / 1000,
            'phases': end['phases_ms'], 'predicted': guess}


def show_row(title, who, runs):
    if not runs:
        print(f'| {title} | {who} | not within {DEADLINE} | | | | |', flush=True)
        return
    middle = {key: statistics.median(run[key] for run in runs)
              for key in ('total', 'memory', 'stopped', 'bytes', 'cpu')}
    rate = middle['bytes'] / max(middle['memory'], 0.001) / (1 << 20)
    print(f'| {title} | {who} | {middle["total"]:.2f} | {middle["memory"]:.2f} | '
          f'{middle["stopped"] * 1000:.0f} | {rate:.0f} | {middle["cpu"]:.2f} |', flush=True)


def show(title, rows):
    for who, runs in rows.items():
        show_row(title, who, runs)
    phases = [run['phases'] for run in rows['qm']]
    names = sorted({name for run in phases for name in run})
    print('phases of qm, ms: ' + ', '.join(
        f'{name} {statistics.median(run.get(name, 0) for run in phases):.0f}' for name in names),
          file=sys.stderr, flush=True)
    for run in rows['qm']:
        if run['predicted']:
            print(f'predicted {run["predicted"]}; really {run["total"] * 1000:.0f} ms, stopped '
                  f'{run["stopped"] * 1000:.0f} ms', file=sys.stderr, flush=True)


def guest_cases(options):
    """Title, pages that are changed each 10 ms, MiB of which these are, TLS, channels, zstd."""
    for tls in (False, True):
        for channels in (0, 1, 2, 4):
            yield 'idle', 0, 0, tls, channels, False
    yield 'idle', 0, 0, True, 2, True
    for working, tls, channels, zstd in ((64, False, 0, False), (64, True, 0, False),
                                         (64, True, 2, False), (256, False, 0, False),
                                         (256, True, 2, False)):
        working = min(working, options.mib // 2)
        yield f'writes 100 MiB/s in {working} MiB', 256, working, tls, channels, zstd


def link_cases():
    """Gbit/s, TLS, channels: what a network of that rate leaves of the difference."""
    for gbit in (1, 2.5, 5):
        for tls, channels in ((False, 0), (True, 0), (True, 2)):
            yield gbit, tls, channels


def cases(options):
    common = {'priority': options.priority, 'disk': None, 'gbit': None}
    for gbit, tls, channels in link_cases():
        yield (f'{options.mib} MiB, idle, over {gbit} Gbit/s, {"TLS" if tls else "plain"}'
               + (f', {channels} channels' if channels else ''),
               {**common, 'mib': options.mib, 'dirty': 0, 'set': 0, 'tls': tls, 'gbit': gbit,
                'channels': channels, 'zstd': False})
    for what, dirty, working, tls, channels, zstd in guest_cases(options):
        yield (f'{options.mib} MiB, {what}, {"TLS" if tls else "plain"}'
               + (f', {channels} channel{"s" if channels > 1 else ""}' if channels else '')
               + (', zstd' if zstd else ''),
               {**common, 'mib': options.mib, 'dirty': dirty, 'set': working, 'tls': tls,
                'channels': channels, 'zstd': zstd})
    for tls in (False, True):
        yield (f'64 MiB, local disk of {options.disk_mib} MiB, a quarter of it used, '
               f'{"TLS" if tls else "plain"}',
               {**common, 'mib': 64, 'dirty': 0, 'set': 0, 'tls': tls, 'channels': 0,
                'zstd': False, 'disk': f'{DIR}/disk.img'})


def make_disk(path, mib):
    """Data that no compression or detection of zeroes helps with: the first MiB of every four."""
    data = random.Random(1).randbytes(1 << 20)
    with open(path, 'wb') as file:
        for place in range(0, mib, 4):
            file.seek(place << 20)
            file.write(data)
        file.truncate(mib << 20)


def run_case(title, case, runs):
    case['rom'] = rom(case)
    if case['disk'] and not os.path.exists(case['disk']):
        make_disk(case['disk'], case['disk_mib'])
    limit_link(case['gbit'])
    rows = {'bare': [], 'qm': []}
    for number in range(runs):
        for who, work in (('bare', bare), ('qm', lambda case: ours(case, number == 0))):
            try:
                rows[who].append(work(case))
            except Unfinished:
                pass
    show(title, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--mib', type=int, default=1024)
    parser.add_argument('--disk-mib', type=int, default=4096)
    parser.add_argument('--minutes', type=float, default=12)
    parser.add_argument('--only', default='')
    parser.add_argument('--priority', help='of GnuTLS, for the bare QEMUs')
    options = parser.parse_args()
    os.environ['QUORATE_BUILD'] = os.path.abspath(options.build)
    os.makedirs(DIR)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # takes the lab down
    try:
        lab('up', '-n', '2', '--join')
        lab('exec', '1', '--', 'sh', '-c', 'cat >/etc/pve/storage.cfg',
            text='dir: disk\n\tpath /var/lib/disk\n\tcontent images\n')
        for node in (1, 2):
            on(node, 'mkdir', '-p', '/var/lib/disk/images')
        print('| case | | total s | memory s | stopped ms | MiB/s | CPU s |\n'
              '|---|---|---|---|---|---|---|')
        for title, case in cases(options):
            case['disk_mib'] = options.disk_mib
            if options.only not in title:
                continue
            if time.monotonic() - began > options.minutes * 60:
                print(f'no time for: {title}', file=sys.stderr)
                continue
            run_case(title, case, options.runs)
    finally:
        lab('down', check=False)
        shutil.rmtree(DIR)
    with open('/proc/loadavg', encoding='ascii') as file:
        print(f'\nLoad at the end: {file.read().strip()}; {time.monotonic() - began:.0f} s')


main()
