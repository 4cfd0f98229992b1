# SPDX-License-Identifier: Apache-2.0
"""Namespaces, mounts and processes of Linux, as far as the lab needs them."""
import ctypes
import os
import signal
import subprocess
import time

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
NODE_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1

LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f'{what}: {os.strerror(code)}')


def unshare(flags):
    _check(LIBC.unshare(flags), 'unshare')


def mount(source, target, fstype=None, flags=0, data=None):
    def text(value):
        return None if value is None else os.fsencode(value)
    _check(LIBC.mount(text(source), text(target), text(fstype), ctypes.c_ulong(flags), text(data)),
           f'mount {source} on {target}')


def set_hostname(name):
    _check(LIBC.sethostname(os.fsencode(name), len(name)), 'sethostname')


def enter(pid):
    """Moves the caller into all namespaces of `pid`; the pid namespace holds for its children."""
    kinds = ('ipc', 'uts', 'net', 'pid', 'mnt')  # mnt last: after it, the host's /proc is gone
    files = [os.open(f'/proc/{pid}/ns/{kind}', os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for file in files:
        _check(LIBC.setns(file, 0), 'setns')
        os.close(file)


def die_with_parent(wanted):
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL if wanted else 0, 0, 0, 0)


def stat_fields(pid):
    """The fields of /proc/PID/stat after the command, from the state on; None when it is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            return file.read().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Process:
    """A process that is recognised again even when its number was given to another one since."""

    def __init__(self, pid, start):
        self.pid, self.start = pid, start

    @classmethod
    def of(cls, pid):
        fields = stat_fields(pid)
        return cls(pid, int(fields[19])) if fields else None

    @classmethod
    def load(cls, path):
        try:
            with open(path, encoding='ascii') as file:
                pid, start = file.read().split()
        except (FileNotFoundError, ValueError):
            return None
        return cls(int(pid), int(start))

    def save(self, path):
        with open(path + '.tmp', 'w', encoding='ascii') as file:
            file.write(f'{self.pid} {self.start}\n')
        os.rename(path + '.tmp', path)

    def state(self):
        """'' when it is dead (a zombie is), else its letter: R, S, D, T ..."""
        fields = stat_fields(self.pid)
        if not fields or int(fields[19]) != self.start or fields[0] in 'ZX':
            return ''
        return fields[0]

    def kill(self, seconds=10):
        """SIGKILL and wait; False when it still exists after `seconds`."""
        if self.state():
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
        deadline = time.monotonic() + seconds
        while self.state():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def fuse_mounts(pid, path):
    """The numbers of the FUSE connections that are mounted at `path` where `pid` is."""
    found = []
    try:
        with open(f'/proc/{pid}/mountinfo', encoding='utf-8', errors='replace') as file:
            for line in file:
                fields = line.split()
                kind = fields[fields.index('-') + 1]
                if fields[4] == path and kind.partition('.')[0] == 'fuse':
                    found.append(int(fields[2].partition(':')[2]))
    except (FileNotFoundError, ProcessLookupError, OSError):
        pass
    return found


def abort_fuse(connections):
    """Ends these connections as the end of the kernel would: all that wait for them go on."""
    script = 'mount -t fusectl none /sys/fs/fuse/connections && cd /sys/fs/fuse/connections && ' \
             'for c in "$@"; do [ ! -e "$c/abort" ] || echo 1 >"$c/abort"; done'
    subprocess.run(['unshare', '-m', '--propagation', 'private', 'sh', '-c', script, 'sh',
                    *[str(c) for c in connections]], check=True)


def kill_node(process):
    """Kills the first process of a node and with it all others; False when something is left.

    The kernel has no end for a file system whose daemon was killed while one of its threads told it
    of a change: that thread waits for a lock of a request, and the request for the daemon. A power
    cut would end both."""
    connections = fuse_mounts(process.pid, '/etc/pve')
    if process.kill(2):
        return True
    if connections:
        abort_fuse(connections)
    return process.kill()


def members(pid):
    """{pid inside: pid here} of all processes in the pid namespace whose first process is `pid`."""
    try:
        namespace = os.readlink(f'/proc/{pid}/ns/pid')
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            if os.readlink(f'/proc/{name}/ns/pid') != namespace:
                continue
            with open(f'/proc/{name}/status', encoding='utf-8', errors='replace') as file:
                inside = [line.split()[-1] for line in file if line.startswith('NSpid:')]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if inside:
            found[int(inside[0])] = int(name)
    return found


def signal_all(pid, number):
    """Sends `number` to every process of that pid namespace, also to those born meanwhile."""
    done = set()
    while True:
        fresh = set(members(pid).values()) - done
        if not fresh:
            return
        for one in fresh:
            try:
                os.kill(one, number)
            except ProcessLookupError:
                pass
        done |= fresh
