#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Starts one QEMU for each value that the option table accepts, paused, and looks at it over QMP.

    guest_start.py QM PRINT_OPTIONS SCRATCH [WORD...]

A row is one value of one option, put into a small guest that has what the value needs (CONTEXT).
Rows whose command equals one that ran already are not run again. What this QEMU or this machine
cannot do is listed in EXPECTED with the reason; such a row must fail, so that the list stays true.
WORD: only rows with that word. Prints TAP. Exit status: 0 all as expected, 1 not.
"""
import concurrent.futures
import glob
import itertools
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time

QM, TABLE, SCRATCH = sys.argv[1:4]
WORDS = sys.argv[4:]
STORE = f'{SCRATCH}/store'
TREE = f'{SCRATCH}/tree'
SWTPM = '/usr/bin/swtpm'
VIRTIOFSD = '/usr/lib/qemu/virtiofsd'
HUGE = '/run/hugepages/kvm'
# Pages to set aside, by size in KiB: enough for one small guest of each worker.
PAGES = {2048: 64, 1048576: 1}
JOBS = 2

# Every guest: no hardware virtualization, little memory.
BASE = {'kvm': '0', 'memory': '64', 'name': 'smoke'}
DISK = 'smoke:100/vm-100-disk-0.raw'
# What the value of an option needs around it: (value it is put behind, other options).
CONTEXT = {
    'agent': ('1', {}),
    'amd-sev': ('std', {'bios': 'ovmf'}),
    'audio0': ('device=AC97,driver=none', {'vga': 'qxl'}),
    'cpu': ('', {}),
    'efidisk0': ('smoke:100/vm-100-disk-1.raw', {'bios': 'ovmf'}),
    'hostpci0': ('01:00.0', {'machine': 'q35'}),
    'ide0': (DISK, {}),
    'intel-tdx': ('tdx', {'bios': 'ovmf'}),
    'ivshmem': ('size=1,name=quorate-smoke', {}),
    'machine': ('', {}),
    'memory': ('', {}),
    'net0': ('virtio', {}),
    'numa0': ('cpus=0,memory=64', {'numa': '1'}),
    'rng0': ('/dev/urandom', {}),
    'sata0': (DISK, {}),
    'scsi0': (DISK, {'scsihw': 'virtio-scsi-single'}),
    'smbios1': ('uuid=5c0c4a52-9a9f-4a9d-a1b6-2f3f1a7d1c11', {}),
    'spice_enhancements': ('', {'vga': 'qxl'}),
    'startup': ('', {}),
    'tpmstate0': (DISK, {}),
    'unused0': (DISK, {}),
    'usb0': ('spice', {'vga': 'qxl'}),
    'vga': ('', {'serial0': 'socket', 'serial1': 'socket', 'serial2': 'socket',
                 'serial3': 'socket'}),
    'virtio0': (DISK, {}),
    'virtiofs0': ('homes', {}),
    'watchdog': ('', {}),
}
# Options that stand alone but need others beside them.
BESIDE = {
    'bios': {'machine': 'q35'},
    'bootdisk': {'scsi0': DISK},
    'hugepages': {'numa': '1', 'memory': '64'},
    'scsihw': {'scsi0': DISK, 'scsi1': 'smoke:100/vm-100-disk-2.qcow2', 'scsi9': DISK + ',ro=1'},
    'vcpus': {'cores': '2', 'hotplug': 'cpu'},
}
# Limits that exclude each other or need a partner.
PARTNER = {
    r'(i?m?bps|iops)(_rd|_wr)?_max$': lambda p: f'{p[:-4]}=1',
    r'bps(_rd|_wr)?_max_length$': lambda p: 'm' + p[:-11] + '=1,m' + p[:-7] + '=2',
    r'iops(_rd|_wr)?_max_length$': lambda p: p[:-11] + '=1,' + p[:-7] + '=2',
    r'policy$': lambda p: 'hostnodes=0',
    r'clipboard$': lambda p: 'type=std',
    r'memory$': lambda p: 'type=std' if p == 'memory' else '',
    r'aw-bits$': lambda p: 'type=q35,viommu=intel',
    r'viommu$': lambda p: 'type=q35',
}
# Not to be had here: (pattern of KEY PROPERTY VALUE, who refuses it, reason).
EXPECTED = (
    (r'amd-sev |intel-tdx ', 'qm', 'needs a processor with it'),
    (r'hostpci0 ', 'qm', 'needs a PCI device of the host, and /dev/vfio'),
    (r'arch - aarch64', 'any', 'needs qemu-system-aarch64'),
    (r'kvm - 1', 'qemu', 'needs hardware virtualization'),
    (r'cores - 8192|sockets - 128|vcpus - 8192', 'qm', 'more CPUs than any host here'),
    (r'memory current 67108864', 'qemu', 'more memory than the address space'),
    (r'cpu cputype (cortex|neoverse)', 'qm', 'a model of another architecture'),
    (r'cpu cputype (ClearwaterForest|DiamondRapids|GraniteRapids|SierraForest|SapphireRapids-v[23]|'
     r'EPYC-(Genoa|Turin|v4|v5|Milan-v[23]|Rome-v[345]|Genoa-v2)|Icelake-Server-v6|'
     r'Skylake-Client-v4|SapphireRapids$)', 'older', 'models newer than this QEMU'),
    (r'cpu guest-phys-bits', 'qm', 'newer than this QEMU'),
    (r'cpu cputype host', 'qemu', 'needs hardware virtualization'),
    (r'virtio0 media cdrom', 'qm', 'this bus has no CD drives'),
    (r'machine aw-bits (32|64)', 'qm', 'the Intel IOMMU has 39 or 48'),
    (r'vga type virtio-gl', 'older', 'needs a graphics card'),
    (r'ivshmem size 1048576', 'older', 'more memory than there is'),
)


PORTS = itertools.cycle(range(61000, 62000))


# What this machine turned out not to have: (pattern, who, reason) as above.
MISSING = []


class Failed(Exception):
    pass


def missing(pattern, reason):
    MISSING.append((pattern, 'any', reason))


class HugePages:
    """pages set aside for as long as this runs, and where QEMU finds them"""

    def __init__(self):
        self.taken = {}

    @staticmethod
    def count(size, change=0):
        path = f'/sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages'
        with open(path, 'r+', encoding='ascii') as file:
            now = int(file.read())
            if change:
                file.seek(0)
                file.write(f'{now + change}\n')
        return now

    def take(self, size, pages):
        place = f'{SCRATCH}/huge/{size}kB'
        os.makedirs(place)
        before = self.count(size)
        self.count(size, pages)
        self.taken[size] = max(self.count(size) - before, 0)
        if self.taken[size] < pages:
            raise Failed(f'{self.taken[size]} of {pages} pages')
        subprocess.run(['mount', '-t', 'hugetlbfs', '-o', f'pagesize={size}k', 'none', place],
                       check=True)

    def __enter__(self):
        for size, pages in PAGES.items():
            try:
                self.take(size, pages)
            except (Failed, OSError, subprocess.CalledProcessError) as error:
                missing(r'hugepages - (2|any)$' if size == 2048 else r'hugepages - 1024$',
                        f'no huge pages of {size} KiB to be had: {error}')
        return self

    def __exit__(self, *_):
        for size, pages in self.taken.items():
            subprocess.run(['umount', f'{SCRATCH}/huge/{size}kB'], check=False,
                           stderr=subprocess.DEVNULL)
            self.count(size, -pages)


def rows():
    out = subprocess.run([TABLE, 'table'], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        row = line.split('\t')
        if all(any(word in field for field in row) for word in WORDS):
            yield tuple(row)
    if not WORDS:
        machines = subprocess.run(['qemu-system-x86_64', '-machine', 'help'], check=True,
                                  capture_output=True, text=True).stdout
        for name in re.findall(r'^(pc-(?:i440fx|q35)-\S+)', machines, re.MULTILINE):
            yield ('machine', 'type', name)
        yield from (('hotplug', '-', 'memory,cpu'), ('usb0', '-', 'plain'),
                    ('boot', 'order', 'net0'))


def config(key, prop, value):
    """the options of a guest in which the row counts"""
    if prop == '-':
        conf = dict(BASE, **BESIDE.get(key, {}))
        if key == 'hotplug':
            conf.update(numa='1', memory='1536', sockets='2')
        if key == 'usb0':
            conf.update(vga='qxl', ostype='l26')
            value = 'spice,usb3=1'
        if (key, value) == ('hugepages', '1024'):
            conf['memory'] = '1024'
        conf[key] = value
        return conf
    start, beside = CONTEXT.get(key, ('', {}))
    parts = [p for p in start.split(',') if p and not p.startswith(prop + '=')]
    for pattern, partner in PARTNER.items():
        if re.fullmatch(pattern, prop) and not (prop == 'memory' and key != 'vga'):
            parts += [p for p in partner(prop).split(',') if p]
    if parts and '=' not in parts[0] and prop in ('model', 'source', 'enabled', 'dirid') \
            or (key, prop) in (('amd-sev', 'type'), ('intel-tdx', 'type')):
        parts = parts[1:]
    if key == 'numa0' and prop == 'memory':
        value = '64'
    conf = dict(BASE, **beside)
    conf[key] = ','.join(parts + [f'{prop}={value}'])
    if key == 'usb0' and prop == 'usb3':
        conf['ostype'] = 'w2k8'
    if (prop, value) == ('efitype', '4m'):
        conf[key] = conf[key].replace('disk-1.raw', 'disk-3.raw')
    if key == 'ivshmem':
        conf[key] = f'size={value},name=quorate-smoke-{value}'
    return conf


def showcmd(conf, scratch):
    path = f'{scratch}/100.conf'
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(f'{k}: {v}\n' for k, v in conf.items())
    done = subprocess.run([QM, 'showcmd', '100', '--root', TREE, '--config', path, '--run-dir',
                           '/run/guest-smoke'], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return shlex.split(done.stdout)


class Qmp:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.file = self.sock.makefile('rw')
        self.file.readline()
        self('qmp_capabilities')

    def __call__(self, command, **arguments):
        self.file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.file.flush()
        for line in self.file:
            reply = json.loads(line)
            if 'error' in reply:
                raise Failed(f"{command}: {reply['error']['desc']}")
            if 'return' in reply:
                return reply['return']
        raise Failed(f'{command}: QEMU closed the connection')


def look(qmp, argv):
    """the machine is paused, and has each device with an id"""
    if qmp('query-status')['status'] != 'prelaunch':
        raise Failed('not prelaunch')
    there = {o['name'] for o in qmp('qom-list', path='/machine/peripheral')}
    for option, value in zip(argv, argv[1:]):
        found = re.search(r'(?:^|,)id=([^,]+)', value) if option == '-device' else None
        if found and found[1] not in there:
            raise Failed(f'no device {found[1]}')


def start_helpers(argv, scratch):
    """the programs that QEMU connects to at its start; each ends when QEMU does"""
    procs = []
    for word in argv:
        path = re.search(r'path=([^,]*/(?:100\.swtpm|virtiofsd/[^,]*))', word)
        if path is None:
            continue
        if path[1].endswith('swtpm'):
            state = f'{scratch}/tpm-state'
            with open(state, 'wb') as file:
                file.truncate(4 << 20)
            words = [SWTPM, 'socket', '--tpmstate', f'backend-uri=file://{state}', '--tpm2',
                     '--terminate', '--ctrl', f'type=unixio,path={path[1]}']
        else:
            os.makedirs(os.path.dirname(path[1]))
            words = [VIRTIOFSD, f'--socket-path={path[1]}', '-f', '-o', f'source={STORE}']
        procs.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 60
        while not os.path.exists(path[1]):
            if procs[-1].poll() is not None or time.monotonic() > deadline:
                raise Failed(f'{words[0]} does not listen')
            time.sleep(0.02)
    return procs


def start(argv, scratch, port):
    # Disks are shared by the guests that run at the same time, so none may keep its writes.
    argv = [a.replace('/run/guest-smoke', scratch).replace('tls-port=61000', f'tls-port={port}')
            .replace(HUGE, f'{SCRATCH}/huge') for a in argv if a != '-daemonize']
    helpers = start_helpers(argv, scratch)
    try:
        start_qemu(argv, scratch)
        for proc in helpers:
            proc.wait(60)
    finally:
        for proc in helpers:
            if proc.poll() is None:
                proc.kill()
                proc.wait()


def start_qemu(argv, scratch):
    log = f'{scratch}/log'
    with open(log, 'wb') as out:
        proc = subprocess.Popen(argv + ['-S', '-snapshot'], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out)
    try:
        deadline = time.monotonic() + 60
        qmp = None
        while qmp is None:
            if proc.poll() is not None:
                raise Failed(f'QEMU ended with {proc.returncode}')
            if time.monotonic() > deadline:
                raise Failed('no answer over QMP')
            try:
                qmp = Qmp(f'{scratch}/100.qmp')
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.02)
        look(qmp, argv)
        qmp('quit')
        if proc.wait(60) != 0:
            raise Failed(f'QEMU ended with {proc.returncode} after quit')
    except (Failed, OSError, ValueError) as error:
        with open(log, encoding='utf-8', errors='replace') as file:
            said = [x for x in file.read().splitlines() if 'warning' not in x]
        raise Failed(f'{error}: {said[0] if said else ""}') from None
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()


def run(argv):
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        os.makedirs(f'{scratch}/efidisk')
        subprocess.run(['cp', '/usr/share/OVMF/OVMF_VARS.fd', f'{scratch}/efidisk/100-ovmf.fd'],
                       check=False)
        try:
            start(argv, scratch, next(PORTS))
        except (Failed, FileNotFoundError) as error:
            return str(error)
        return ''


def expectation(row):
    for pattern, who, reason in itertools.chain(EXPECTED, MISSING):
        if re.match(pattern, ' '.join(row)):
            return who, reason
    return None, ''


def prepare():
    os.makedirs(f'{STORE}/images/100')
    os.makedirs(TREE)
    with open(f'{TREE}/storage.cfg', 'w', encoding='utf-8') as file:
        file.write(f'dir: smoke\n\tpath {STORE}\n\tcontent images,iso\n')
    for name, fmt, size in (('disk-0', 'raw', '8M'), ('disk-1', 'raw', '131072'),
                            ('disk-2', 'qcow2', '8M'), ('disk-3', 'raw', '540672')):
        subprocess.run(['qemu-img', 'create', '-q', '-f', fmt,
                        f'{STORE}/images/100/vm-100-{name}.{fmt}', size], check=True)
    if not os.access(SWTPM, os.X_OK):
        missing('tpmstate0 ', 'needs swtpm')
    if not os.access(VIRTIOFSD, os.X_OK):
        missing('virtiofs0 ', 'needs virtiofsd')


def main():
    prepare()
    pending, seen, results = [], {}, []
    with HugePages(), concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for row in rows():
            try:
                argv = showcmd(config(*row), SCRATCH)
            except Failed as error:
                results.append((row, 'qm', str(error)))
                continue
            key = '\0'.join(argv)
            if key not in seen:
                seen[key] = pool.submit(run, argv)
            pending.append((row, seen[key]))
        results += [(row, 'qemu' if future.result() else '', future.result())
                    for row, future in pending]
    for name in glob.glob('/dev/shm/pve-shm-quorate-smoke-*'):
        os.unlink(name)
    bad = 0
    for count, (row, who, text) in enumerate(results, 1):
        wanted, reason = expectation(row)
        name = f'{" ".join(row)}'
        if wanted is None:
            good = not who
        else:
            good = bool(who) and wanted in (who, 'any', 'older') or wanted == 'older'
        bad += not good
        if not good or who:
            print('# ' + (text or 'worked, though it was expected not to').replace('\n', '\n# '))
        print(f'{"ok" if good else "not ok"} {count} - {name}'
              + (f' # SKIP {reason}' if good and who else ''))
    print(f'1..{len(results)}')
    print(f'# {len(seen)} different commands started')
    return 1 if bad or len(results) < (1 if WORDS else 500) else 0


if __name__ == '__main__':
    sys.exit(main())
