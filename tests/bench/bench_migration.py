#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Moving guests by `qm migrate` beside two bare QEMUs driven by hand, over the same link.

    sudo tests/bench/bench_migration.py [--runs 3] [--mib 1024] [--disk-gib 4] [--only WORD] BUILD

Makes a lab of two nodes. Each case is done bare and with qm in turns; the median of the runs is
shown, as a table for docs/benchmarks.md. Total: from the moment the target's QEMU is started
(bare) or `qm migrate` is called until the source's QEMU has ended. Stopped: between the last line
of the guest's console on the source and its first on the target (it writes one each 10 ms). CPU: of
both QEMUs.
"""
import argparse
import json
import os
import shutil
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


def lab(verb, *words, check=True, text=None):
    return subprocess.run([LAB, verb, '--name', NAME, *words], check=check, input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def on(node, *words, check=True):
    done = lab('exec', str(node), '--', *words, check=False)
    if check and done.returncode != 0:
        sys.exit(f'node {node}: {" ".join(words)}: {done.stdout}{done.stderr}')
    return done


def root_of(node):
    with open(f'/var/tmp/quorate-lab/{NAME}/nodes/{node}/pid', encoding='ascii') as file:
        return f'/proc/{file.read().split()[0]}/root'


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
    """CPU seconds that the QEMUs of this benchmark use from now on, those that end included."""

    def __init__(self):
        super().__init__(daemon=True)
        self.begin, self.seconds, self.stop = self.look(), {}, False
        self.start()

    @staticmethod
    def look():
        found = {}
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as file:
                    if DIR.encode() not in file.read():
                        continue
                with open(f'/proc/{pid}/stat', encoding='ascii') as file:
                    fields = file.read().rsplit(')', 1)[1].split()
                found[pid] = (int(fields[11]) + int(fields[12])) / TICK
            except OSError:
                pass
        return found

    def run(self):
        while not self.stop:
            self.seconds.update(self.look())
            time.sleep(0.05)

    def end(self):
        self.stop = True
        self.join()
        return sum(self.seconds.values()) - sum(self.begin.values())


def rom(mib, dirty):
    path = f'{DIR}/guest-{mib}-{dirty}.rom'
    source = os.path.join(TOP, 'tests', 'bench', 'bench_guest.S')
    subprocess.run(['as', '--32', '--defsym', f'MIB={mib}', '--defsym', f'DIRTY={dirty}', source,
                    '-o', path + '.o'], check=True)
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


def bare(case):
    disks = []
    if case['disk']:
        for node in (1, 2):
            disks.append(f'{DIR}/bare{node}.img')
        shutil.copyfile(case['disk'], disks[0])
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'raw', disks[1],
                        str(os.path.getsize(disks[0]))], check=True)
    start_bare(1, 'source', case, *(disk_words(disks[0]) if disks else []))
    here = Console(f'{DIR}/source.ser')
    here.wait()
    source = Qmp(f'{DIR}/source.qmp')
    cpu = Cpu()
    began = time.monotonic()
    start_bare(2, 'target', case, '-S', '-incoming', 'defer',
               *(disk_words(disks[1]) if disks else []))
    there = Console(f'{DIR}/target.ser')
    target = Qmp(f'{DIR}/target.qmp')
    names = ['events', 'return-path', 'pause-before-switchover']
    names += ['multifd'] if case['channels'] else []
    for side, end in ((source, 'client'), (target, 'server')):
        if case['tls']:
            side.ask('object-add', **{'qom-type': 'tls-creds-x509', 'id': 'tls0', 'endpoint': end,
                                      'dir': '/run/quorate/migration-tls', 'verify-peer': True})
        side.capabilities(*names[:2 if side is target else 3], *names[3:])
        side.ask('migrate-set-parameters', **({'tls-creds': 'tls0'} if case['tls'] else {}),
                 **({'multifd-channels': case['channels']} if case['channels'] else {}),
                 **({'tls-hostname': 'node2'} if case['tls'] and side is source else {}),
                 **{'max-bandwidth': 16 << 30, 'downtime-limit': 240})
    target.ask('migrate-incoming', uri='tcp:10.80.0.2:60001')
    if disks:
        bare_disk(source, target, case)
    source.ask('migrate', uri='tcp:10.80.0.2:60001')
    while (status := source.ask('query-migrate'))['status'] != 'pre-switchover':
        if status['status'] == 'failed':
            sys.exit(f'bare: {status}')
        time.sleep(0.001)
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


def ours(case):
    conf = f'args: -bios {case["rom"]}\ncpu: qemu64,flags=-apic\nkvm: 0\n' \
           f'memory: {case["mib"]}\nserial0: socket\nvga: serial0\n'
    if case['disk']:
        os.makedirs(root_of(1) + '/var/lib/disk/images/100', exist_ok=True)
        shutil.copyfile(case['disk'], root_of(1) + '/var/lib/disk/images/100/vm-100-disk-0.raw')
        conf += f'virtio0: disk:100/vm-100-disk-0.raw,size={os.path.getsize(case["disk"])}\n'
    lab('exec', '1', '--', 'sh', '-c', 'cat >/etc/pve/nodes/node1/qemu-server/100.conf', text=conf)
    on(1, 'qm', 'start', '100')
    here = Console(root_of(1) + '/run/qemu-server/100.serial0')
    here.wait()
    there = Console(root_of(2) + '/run/qemu-server/100.serial0')
    cpu = Cpu()
    words = ['--channels', str(case['channels'])] if case['channels'] is not None else []
    began = time.monotonic()
    done = on(1, 'qm', 'migrate', '100', 'node2', '--online', '--with-local-disks',
              '--migration_type', 'secure' if case['tls'] else 'insecure', '--output-format',
              'json', *words)
    total = time.monotonic() - began
    there.wait()
    end = json.loads(done.stdout.strip().splitlines()[-1])
    cpu = cpu.end()
    on(2, 'qm', 'stop', '100')
    on(2, 'sh', '-c', 'rm -f /etc/pve/nodes/node2/qemu-server/100.conf; '
       'rm -rf /var/lib/disk/images/100')
    here.stop = there.stop = True
    return {'total': total, 'stopped': there.first - here.last, 'cpu': cpu,
            'bytes': end['transferred'], 'memory': end['qemu_total_ms'] / 1000,
            'phases': end['phases_ms']}


def show(title, rows):
    phases = [run.pop('phases') for run in rows[1][1]]
    for who, runs in rows:
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rate = middle['bytes'] / max(middle['memory'], 0.001) / (1 << 20)
        print(f'| {title} | {who} | {middle["total"]:.2f} | {middle["memory"]:.2f} | '
              f'{middle["stopped"] * 1000:.0f} | {rate:.0f} | {middle["cpu"]:.2f} |', flush=True)
    names = sorted({name for run in phases for name in run})
    print('phases of qm, ms: ' + ', '.join(
        f'{name} {statistics.median(run.get(name, 0) for run in phases):.0f}' for name in names),
          file=sys.stderr, flush=True)


def cases(options):
    mib = options.mib
    for dirty in (0, 64, 1024):
        what = 'idle' if dirty == 0 else f'dirties {dirty * 4096 * 100 >> 20} MiB/s'
        for tls in (False, True):
            for channels in (0, 1, 2, 4) if dirty == 0 else (0,):
                yield (f'{mib} MiB, {what}, {"TLS" if tls else "plain"}'
                       + (f', {channels} channels' if channels else ''),
                       {'mib': mib, 'dirty': dirty, 'tls': tls, 'channels': channels, 'disk': None})
    for tls in (False, True):
        yield (f'64 MiB, {options.disk_gib} GiB local disk, {"TLS" if tls else "plain"}',
               {'mib': 64, 'dirty': 0, 'tls': tls, 'channels': 0, 'disk': f'{DIR}/disk.img'})


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--mib', type=int, default=1024)
    parser.add_argument('--disk-gib', type=int, default=4)
    parser.add_argument('--only', default='')
    options = parser.parse_args()
    os.environ['QUORATE_BUILD'] = os.path.abspath(options.build)
    os.makedirs(DIR)
    try:
        lab('up', '-n', '2', '--join')
        lab('exec', '1', '--', 'sh', '-c', 'cat >/etc/pve/storage.cfg',
            text='dir: disk\n\tpath /var/lib/disk\n\tcontent images\n')
        for node in (1, 2):
            on(node, 'mkdir', '-p', '/var/lib/disk/images')
        print('| case | | total s | memory s | stopped ms | MiB/s | CPU s |\n'
              '|---|---|---|---|---|---|---|')
        for title, case in cases(options):
            if options.only not in title:
                continue
            case['rom'] = rom(case['mib'], case['dirty'])
            if case['disk'] and not os.path.exists(case['disk']):
                subprocess.run(['qemu-img', 'create', '-q', '-f', 'raw', case['disk'],
                                f'{options.disk_gib}G'], check=True)
                for gib in range(options.disk_gib):
                    subprocess.run(['qemu-io', '-f', 'raw', '-c', f'write -q -P 0x5a {gib}G 1G',
                                    case['disk']], check=True)
            rows = [('bare', []), ('qm', [])]
            for _ in range(options.runs):
                rows[0][1].append(bare(case))
                rows[1][1].append(ours(case))
            show(title, rows)
    finally:
        lab('down', check=False)
        shutil.rmtree(DIR)
    with open('/proc/loadavg', encoding='ascii') as file:
        print(f'\nLoad at the end: {file.read().strip()}')


main()
