#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
"""Random verbs on guests against a model of what they hold.

    guest_model.py --qm QM --pvesm PVESM --root PVE --run-dir DIR --storage NAME=PATH ... --seed N
                   [--seconds N]

Every disk gets a pattern of its own in its first bytes when it is made; copies take it along. After
each verb: exit status as the model says, each guest has the disks of the model, each disk its
pattern and size, no file on a storage that no guest names, no image that is damaged.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import time

PATTERN_BYTES = 65536
MIB = 1024 * 1024
DISK = re.compile(r'^(scsi\d+|virtio\d+|unused\d+): ([^,]+)')


class Mismatch(Exception):
    """What is there is not what the model says."""


class Disk:
    def __init__(self, pattern, size):
        self.pattern, self.size, self.base = pattern, size, False


class World:
    def __init__(self, args):
        self.args = args
        self.random = random.Random(args.seed)
        self.storages = dict(item.split('=', 1) for item in args.storage)
        self.guests = {}   # vmid -> {key: Disk}
        self.template = set()
        self.parent = {}   # vmid of a linked clone -> template
        self.next_pattern = 1
        self.log = []

    # ------------------------------------------------------------------ running

    def run(self, expect, *words):
        command = [self.args.qm, *map(str, words), '--root', self.args.root, '--run-dir',
                   self.args.run_dir]
        self.log.append(' '.join(map(str, words)))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if (done.returncode == 0) != expect or done.returncode not in (0, 1):
            raise Mismatch(f'{words}: exit status {done.returncode}, expected '
                           f'{"success" if expect else "refusal"}: {done.stderr}')

    def conf(self, vmid):
        path = os.path.join(self.args.root, 'qemu-server', f'{vmid}.conf')
        with open(path, encoding='utf-8') as file:
            return file.read()

    def volumes(self, vmid):
        found = {}
        for line in self.conf(vmid).splitlines():
            match = DISK.match(line)
            if match:
                found[match.group(1)] = match.group(2)
        return found

    def path(self, volid):
        storage, volume = volid.split(':', 1)
        return os.path.join(self.storages[storage], 'images', *volume.split('/')[-2:])

    @staticmethod
    def format(path):
        return path.rsplit('.', 1)[1]

    def write_pattern(self, vmid, key):
        path = self.path(self.volumes(vmid)[key])
        pattern = self.next_pattern % 255 + 1
        self.next_pattern += 1
        subprocess.run(['qemu-io', '-f', self.format(path), '-c',
                        f'write -q -P {pattern} 0 {PATTERN_BYTES}', path],
                       check=True, capture_output=True, timeout=60)
        return pattern

    # -------------------------------------------------------------------- verbs

    def some_guest(self, wanted=lambda vmid: True):
        fitting = [vmid for vmid in self.guests if wanted(vmid)]
        return self.random.choice(fitting) if fitting else None

    def free_id(self):
        return self.random.choice([n for n in range(200, 230) if n not in self.guests])

    def spec(self, size_mib):
        storage = self.random.choice(list(self.storages))
        return f'{storage}:{size_mib / 1024},format={self.random.choice(["raw", "qcow2"])}'

    def verb_create(self):
        vmid, size = self.free_id(), self.random.randint(1, 8)
        self.run(True, 'create', vmid, '--scsi0', self.spec(size), '--memory', 64)
        self.guests[vmid] = {'scsi0': Disk(self.write_pattern(vmid, 'scsi0'), size * MIB)}

    def verb_create_taken(self):
        vmid = self.some_guest()
        if vmid:
            self.run(False, 'create', vmid, '--scsi0', self.spec(1))

    def verb_create_wrong(self):
        self.run(False, 'create', self.free_id(), '--scsi0', self.spec(1), '--virtio1', 'no:1')

    def verb_add_disk(self):
        vmid = self.some_guest(lambda v: v not in self.template)
        if not vmid:
            return
        free = [f'scsi{n}' for n in range(1, 6) if f'scsi{n}' not in self.guests[vmid]]
        if free:
            size = self.random.randint(1, 8)
            self.run(True, 'set', vmid, f'--{free[0]}', self.spec(size))
            self.guests[vmid][free[0]] = Disk(self.write_pattern(vmid, free[0]), size * MIB)

    def verb_detach(self):
        vmid = self.some_guest(lambda v: v not in self.template)
        keys = [k for k in self.guests.get(vmid, {}) if not k.startswith('unused')]
        if keys:
            key = self.random.choice(keys)
            self.run(True, 'set', vmid, '--delete', key)
            taken = self.guests[vmid]
            free = next(f'unused{n}' for n in range(256) if f'unused{n}' not in taken)
            taken[free] = taken.pop(key)

    def verb_free(self):
        vmid = self.some_guest(lambda v: v not in self.template)
        keys = list(self.guests.get(vmid, {}))
        if keys:
            key = self.random.choice(keys)
            self.run(True, 'set', vmid, '--delete', key, '--force')
            del self.guests[vmid][key]

    def verb_resize(self):
        vmid = self.some_guest(lambda v: v not in self.template)
        keys = [k for k in self.guests.get(vmid, {}) if not k.startswith('unused')]
        if keys:
            key, more = self.random.choice(keys), self.random.randint(1, 4)
            self.run(True, 'resize', vmid, key, f'+{more}M')
            self.guests[vmid][key].size += more * MIB

    def verb_shrink(self):
        vmid = self.some_guest()
        keys = [k for k in self.guests.get(vmid, {}) if not k.startswith('unused')]
        if keys:
            self.run(False, 'resize', vmid, self.random.choice(keys), '1K')

    def verb_move(self):
        vmid = self.some_guest(lambda v: v not in self.template)
        keys = [k for k in self.guests.get(vmid, {}) if not k.startswith('unused')]
        if not keys:
            return
        key = self.random.choice(keys)
        volid = self.volumes(vmid)[key]
        storage = self.random.choice(list(self.storages))
        fmt = self.random.choice(['raw', 'qcow2'])
        same = volid.startswith(storage + ':') and self.format(volid) == fmt
        self.run(not same, 'disk', 'move', vmid, key, storage, '--format', fmt, '--delete')

    def verb_give(self):
        vmid = self.some_guest(lambda v: v not in self.template and v not in self.parent)
        other = self.some_guest(lambda v: v not in self.template and v != vmid)
        keys = [k for k in self.guests.get(vmid, {}) if not k.startswith('unused')]
        if not keys or not other:
            return
        key = self.random.choice(keys)
        free = key not in self.guests[other]
        self.run(free, 'disk', 'move', vmid, key, '--target-vmid', other)
        if free:
            self.guests[other][key] = self.guests[vmid].pop(key)

    def copy_of(self, vmid):
        return {k: Disk(d.pattern, d.size) for k, d in self.guests[vmid].items()
                if not k.startswith('unused')}

    def verb_clone(self):
        vmid, newid = self.some_guest(), self.free_id()
        if vmid and len(self.guests) < 12:
            self.run(True, 'clone', vmid, newid, '--full', 1)
            self.guests[newid] = self.copy_of(vmid)

    def verb_linked(self):
        vmid, newid = self.some_guest(), self.free_id()
        if vmid and len(self.guests) < 12:
            able = vmid in self.template
            self.run(able, 'clone', vmid, newid, '--full', 0)
            if able:
                self.guests[newid] = self.copy_of(vmid)
                self.parent[newid] = vmid

    def verb_template(self):
        vmid = self.some_guest(lambda v: v not in self.template and v not in self.parent)
        if vmid and len(self.template) < 2:
            self.run(True, 'template', vmid)
            self.template.add(vmid)

    def verb_destroy(self):
        vmid = self.some_guest()
        if not vmid:
            return
        held = vmid in self.template and vmid in self.parent.values() and any(
            k for child, parent in self.parent.items() if parent == vmid
            for k in self.links(child, vmid))
        self.run(not held, 'destroy', vmid)
        if not held:
            del self.guests[vmid]
            self.template.discard(vmid)
            self.parent.pop(vmid, None)
            self.parent = {c: p for c, p in self.parent.items() if p != vmid}

    def links(self, child, parent):
        """Volumes of a clone that still hang on its template."""
        return [v for v in self.volumes(child).values() if f':{parent}/base-' in v]

    def verb_import(self):
        vmid = self.some_guest()
        source = self.some_guest()
        keys = list(self.guests.get(source, {}))
        if vmid and keys and vmid not in self.template and source not in self.parent:
            key = self.random.choice(keys)
            path = self.path(self.volumes(source)[key])
            self.run(True, 'importdisk', vmid, path, self.random.choice(list(self.storages)))
            disk, taken = self.guests[source][key], self.guests[vmid]
            free = next(f'unused{n}' for n in range(256) if f'unused{n}' not in taken)
            taken[free] = Disk(disk.pattern, disk.size)

    def verb_rescan(self):
        self.run(True, 'rescan')

    # ------------------------------------------------------------------- checks

    def check_disk(self, vmid, key, volid, disk):
        path = self.path(volid)
        fmt = self.format(path)
        if fmt == 'qcow2':
            done = subprocess.run(['qemu-img', 'check', '-q', '-f', fmt, path],
                                  capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                raise Mismatch(f'{vmid} {key}: {volid} is damaged: {done.stderr}{done.stdout}')
        done = subprocess.run(['qemu-io', '-r', '-f', fmt, '-c',
                               f'read -q -P {disk.pattern} 0 {PATTERN_BYTES}', '-c', 'length',
                               path], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0 or 'erification failed' in done.stdout:
            raise Mismatch(f'{vmid} {key}: {volid} lost its data: {done.stdout}{done.stderr}')
        size = os.path.getsize(path) if fmt == 'raw' else None
        if size is not None and size != disk.size:
            raise Mismatch(f'{vmid} {key}: {volid} has {size} bytes, expected {disk.size}')

    def check(self, touched_only):
        names = set()
        there = {int(n[:-5]) for n in os.listdir(os.path.join(self.args.root, 'qemu-server'))}
        if there != set(self.guests):
            raise Mismatch(f'guests {sorted(there)}, expected {sorted(self.guests)}')
        for vmid, disks in self.guests.items():
            volumes = self.volumes(vmid)
            if 'lock:' in self.conf(vmid) or set(volumes) != set(disks):
                raise Mismatch(f'guest {vmid} has {sorted(volumes)}, expected {sorted(disks)}')
            for key, volid in volumes.items():
                names.add(self.path(volid))
                if not touched_only or self.random.random() < 0.3:
                    self.check_disk(vmid, key, volid, disks[key])
        for path in self.storages.values():
            for folder, _, files in os.walk(os.path.join(path, 'images')):
                for name in files:
                    if os.path.join(folder, name) not in names:
                        raise Mismatch(f'{folder}/{name} belongs to nobody')
                    names.discard(os.path.join(folder, name))
        if names:
            raise Mismatch(f'{sorted(names)} are named and not there')


def main():
    parser = argparse.ArgumentParser()
    for option in ('--qm', '--pvesm', '--root', '--run-dir'):
        parser.add_argument(option, required=True)
    parser.add_argument('--storage', action='append', required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--seconds', type=float, default=25)
    parser.add_argument('--verbs', type=int, default=400)
    args = parser.parse_args()
    world = World(args)
    verbs = [getattr(world, name) for name in sorted(dir(world)) if name.startswith('verb_')]
    print(f'seed {args.seed}')
    end = time.monotonic() + args.seconds
    done = 0
    try:
        while done < args.verbs and time.monotonic() < end:
            few = len(world.guests) < 4
            (world.verb_create if few else world.random.choice(verbs))()
            world.check(touched_only=True)
            done += 1
        world.check(touched_only=False)
        # Clones before their templates.
        for vmid in sorted(world.guests, key=lambda v: v in world.template):
            world.run(True, 'destroy', vmid)
            del world.guests[vmid]
        world.check(touched_only=False)
    except (Mismatch, subprocess.SubprocessError, OSError, KeyError) as error:
        print(f'seed {args.seed}: after {done} verbs: {error}')
        print('the last verbs:', *world.log[-12:], sep='\n    ')
        return 1
    print(f'seed {args.seed}: {done} verbs, {len(world.log)} commands')
    return 0


if __name__ == '__main__':
    sys.exit(main())
