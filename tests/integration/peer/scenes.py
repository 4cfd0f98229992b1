#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it_16_peer.sh and peer_long.sh have the members of both makes do.

  scenes.py LAB FOLDER SCENE...    exit status 0 when all of it was as documented

Node 1 of the lab LAB runs `peer.py` on the socket and database in FOLDER, nodes 2 and 3 run the
product. Expected results are those of the published description. Every wait has a deadline and no
claim depends on how long something takes.
"""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time

from tree import Tree

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.join(HERE, '..', '..', '..', 'scripts', 'lab')
PATIENCE = 90
ZEROS = '00' * 8


class Wrong(Exception):
    """Something is not as documented."""


def expect(what, have, want):
    """A result that is certain."""
    if have != want:
        raise Wrong(f'{what}: {ascii(have)}, expected {ascii(want)}')


class Scene:
    """The members, and what can be asked of them."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self.socket = os.path.join(folder, 'peer.sock')
        self.base = os.path.join(folder, 'peer.db')

    # The product's nodes.

    def run(self, verb, *words):
        """A command of the lab; its output."""
        done = subprocess.run([LAB, verb, '--name', self.lab, *map(str, words)], check=False,
                              capture_output=True, text=True, errors='surrogateescape')
        if done.returncode:
            raise Wrong(f'{verb} {words}: {done.returncode} {done.stdout} {done.stderr}')
        return done.stdout

    def shell(self, node, script):
        """On the mount of a node."""
        return self.run('exec', node, '--', 'sh', '-c', 'cd /etc/pve && ' + script)

    def look(self, node):
        """All that a node of the product has."""
        return json.loads(self.run('exec', node, '--', 'python3',
                                   os.path.join(HERE, 'look.py')))

    # The peer.

    def ask(self, *words):
        """An order to the peer, and what it answers."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(PATIENCE)
            link.connect(self.socket)
            link.sendall(json.dumps([str(word) for word in words]).encode() + b'\n')
            return json.loads(link.makefile().readline())

    def does(self, want, *words):
        """A change by the peer, with the result that it must have there."""
        expect(words, self.ask(*words), want)

    def start(self, *more):
        """Starts the peer, with the database that it has. `more`: see peer.py."""
        with open(os.path.join(self.folder, 'peer.log'), 'ab') as log:
            subprocess.Popen([LAB, 'exec', '--name', self.lab, '1', '--', 'python3',
                              os.path.join(HERE, 'peer.py'), 'run', self.socket, self.base, '2',
                              *map(str, more)],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True)
        self.until('the peer is up', lambda: self.ask('groups') and True)

    def stop(self, order='quit'):
        """Ends it; it is gone from the groups when this returns."""
        try:
            self.ask(order)
        except ValueError:
            pass  # It died before it answered.
        self.until('the peer is down', self.deaf)
        os.unlink(self.socket)

    def deaf(self):
        """Nobody listens any more."""
        try:
            self.ask('groups')
        except ConnectionError:
            return True
        return False

    # Waiting.

    def until(self, what, true):
        """Waits for a condition; what it says otherwise is the reason."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                said = true()
            except OSError as problem:
                said = problem
            if said is True:
                return
            if time.monotonic() > end:
                raise Wrong(f'{what}: never; {ascii(said)}')
            time.sleep(0.1)

    def settled(self, members=(1, 2, 3)):
        """Both groups are whole, as the peer sees them."""
        def whole():
            groups = self.ask('groups')
            for group in groups.values():
                if group['mode'] != 'SYNCED' or group['queued'] or \
                        sorted(group['synced']) != list(members):
                    return groups
            return True
        self.until('both groups are whole', whole)

    def same(self, nodes=(2, 3)):
        """The trees of all are equal in everything that has a digest."""
        def equal():
            peer = self.ask('tree')
            want = {key: peer[key] for key in ('version', 'writer', 'mtime')}
            want['entries'], want['faults'] = sorted(peer['entries']), []
            for node in nodes:
                have = self.look(node)
                if have != want:
                    return [node] + [(key, have[key], want[key]) for key in want
                                     if key != 'entries' and have[key] != want[key]] + \
                        [one for one in have['entries'] if one not in want['entries']][:3] + \
                        [one for one in want['entries'] if one not in have['entries']][:3]
            return True
        self.until('all trees are equal', equal)

    def verified(self):
        """A verification that the peer asks for finds equal checksums on the product's nodes; one
        that a change of the members made void is asked for again."""
        def found():
            number = self.ask('verify')
            end = time.monotonic() + 5
            while time.monotonic() < end:
                logs = [self.run('logs', node, 'pmxcfs', '-n', 60) for node in (2, 3)]
                if any(f'verification {number}: content differs' in log for log in logs):
                    raise Wrong('the checksums differ')
                if all(f'verification {number}: content equal' in log for log in logs):
                    return True
                time.sleep(0.1)
            return f'{number} was not answered'
        self.until('the checksums are equal', found)
        self.settled()

    def agreed(self):
        """The end of most scenes."""
        self.same()
        self.verified()
        expect('fields that are not as documented', [group['complaints'] for group in
                                                     self.ask('groups').values()], [[], []])


# ---- changes by the peer -----------------------------------------------------------------------

def peer_files(scene):
    """Each kind of change of files and directories, with the results of chapter 4."""
    does = scene.does
    for path in ('d1', 'd2', 'd3', 'd1/tr/'):
        does(0, 'mkdir', path)
    does(-errno.EEXIST, 'mkdir', 'd1')
    does(0, 'create', 'a')
    does(-errno.EEXIST, 'create', 'a')
    does(-errno.ENOTDIR, 'create', 'a/b')
    does(-errno.ENOENT, 'create', 'x/y')
    for path in ('..', '.', ''):
        does(-errno.EACCES, 'create', path)
    does(-errno.ENOTDIR, 'create', 'd1')
    does(5, 'write', 'a', 'hello')
    does(2, 'write', 'a', 'XY', 10)
    does(0, 'write', 'a', '', 3, 1)
    does(0, 'write', 'a', '', 7, 1)
    does(-errno.ENOENT, 'write', 'zz', 'q')
    does(-errno.EFBIG, 'write', 'a', 'q', 1048576)
    does(-errno.EFBIG, 'write', 'a', 'q', 4294967295)
    does(-errno.ENOTEMPTY, 'delete', 'd1')
    does(-errno.ENOENT, 'delete', 'nope')
    does(-errno.EACCES, 'delete', '')
    does(0, 'create', 'd1/f')
    does(0, 'rename', 'd3', 'd2')
    does(-errno.ENOENT, 'rename', 'nope', 'd9')
    does(-errno.ENOENT, 'rename', 'a', 'nodir/f')
    does(0, 'rename', 'a', 'b')
    does(-errno.ENOTEMPTY, 'rename', 'd1', 'd4')
    does(0, 'mtime', 'b', 1)
    does(0, 'mtime', 'b', 4294967295)
    does(0, 'mtime', 'd1', 5)
    does(-errno.ENOENT, 'mtime', 'nope', 4)
    does(-errno.EACCES, 'mtime', '', 5)
    for path in ('d1/\udcff\udcfe', 'n' * 255, 'd1//dd', '__version__'):
        does(0, 'create', path)
    does(0, 'create', 'big')
    does(1048576, 'fill', 'big', 1048576, 'b')
    does(-errno.EFBIG, 'fill', 'big', 1048577, 'c')
    does(0, 'create', 'gone')
    does(0, 'delete', 'gone')


def peer_guests(scene):
    """The rules of VMIDs."""
    does, one, two = scene.does, 'nodes/node1/qemu-server/', 'nodes/node2/qemu-server/'
    for path in ('nodes', 'nodes/node1', 'nodes/node2', one, two, 'nodes/node1/lxc'):
        does(0, 'mkdir', path)
    does(0, 'create', one + '100.conf')
    does(-errno.EEXIST, 'create', two + '100.conf')
    does(-errno.EEXIST, 'create', 'nodes/node1/lxc/100.conf')
    does(0, 'create', one + '0100.conf')
    does(8, 'write', one + '100.conf', 'name: x\n')
    does(0, 'rename', one + '100.conf', two + '100.conf')
    does(0, 'create', one + '101.conf')
    does(-errno.EEXIST, 'rename', one + '101.conf', 'nodes/node1/lxc/100.conf')
    does(0, 'rename', one + '101.conf', two + '100.conf')
    does(-errno.EEXIST, 'rename', 'b', 'nodes/node1/lxc/100.conf')
    does(0, 'delete', two + '100.conf')


def peer_locks(scene):
    """The rules of locks, and their end."""
    does, lock = scene.does, 'priv/lock/l1'
    for path in ('priv', 'priv/lock', lock, lock + '/deep'):
        does(0, 'mkdir', path)
    does(-errno.EACCES, 'mtime', lock, 0)
    does(0, 'mtime', lock, 4000000000)
    does(-errno.EACCES, 'mtime', lock, 3000000000)
    does(-errno.EACCES, 'rename', lock, 'priv/l1')
    does(-errno.EACCES, 'rename', lock + '/deep', 'deep')
    does(0, 'mtime', lock + '/deep', 1)
    does(0, 'delete', lock + '/deep')
    does(0, 'unlock', lock)
    does(0, 'create', 'priv/lock/f')
    does(0, 'mtime', 'priv/lock/f', 1)
    does(0, 'mtime', 'big', 1600000000)
    scene.ask('age', 200)
    does(0, 'unlock', lock)
    scene.until('the lock is gone', lambda: not any(one[0] == lock for one in
                                                    scene.ask('tree')['entries']))


def peer_changes(scene):
    """All of it."""
    scene.settled()
    peer_files(scene)
    peer_guests(scene)
    peer_locks(scene)
    scene.agreed()


# ---- changes by the product --------------------------------------------------------------------

OURS = '''
mkdir d; echo hello >d/f; : >d/f; printf xyz >d/f; truncate -s 10 d/f; truncate -s 2 d/f
: >e; truncate -s 10 e; : >e2; truncate -s 1M e2; mv d/f g; touch -d @1700000000 g
touch -d 2096-01-01 d; touch -d @4294967295 e
head -c 1048576 /dev/zero >zero; dd if=/dev/zero of=p bs=4k count=20 2>/dev/null; echo tail >>p
printf q | dd of=p bs=1 seek=100 conv=notrunc 2>/dev/null
mkdir -p priv/lock; mkdir priv/lock/a; touch -d @0 priv/lock/a; touch -d @4100000000 priv/lock/a
mkdir priv/lock/b; rmdir priv/lock/b
mkdir -p nodes/node2/qemu-server nodes/node3/qemu-server; echo name: x >qemu-server/200.conf
mv qemu-server/200.conf nodes/node3/qemu-server/; mkdir nodes/node2/qemu-server/201.conf
echo x >nodes/node2/qemu-server/200.conf; rmdir d; mv g p; rm e; true'''


def our_changes(scene):
    """What callers of the product can do."""
    scene.settled()
    scene.shell(2, OURS)
    scene.agreed()
    expect('guests of ours', [one[0] for one in scene.ask('tree')['entries']
                              if one[0].endswith(('200.conf', '201.conf'))],
           ['nodes/node3/qemu-server/200.conf'])


def at_once(scene, rounds=15):
    """Changes by all members at the same time, many of them of the same file."""
    scene.settled()
    faults = []

    def work(node):
        try:
            scene.shell(node, f'''mkdir -p load; for i in $(seq {rounds}); do
                echo $i >load/{node}.$i; echo more >>load/{node}.$i; echo $i >load/shared
                [ $((i % 3)) = 0 ] && mv load/{node}.$i load/moved; mkdir load/d{node}.$i
                [ $((i % 4)) = 0 ] && rmdir load/d{node}.$i; done; true''')
        except Wrong as problem:
            faults.append(problem)

    workers = [threading.Thread(target=work, args=(node,)) for node in (2, 3)]
    for worker in workers:
        worker.start()
    scene.ask('mkdir', 'load')
    scene.ask('create', 'load/shared')
    for i in range(rounds):
        scene.does(0, 'create', f'load/peer{i}')
        scene.does(i, 'write', f'load/peer{i}', 'x' * i)
        scene.ask('write', 'load/shared', f'p{i}')
    for worker in workers:
        worker.join()
    if faults:
        raise faults[0]
    scene.agreed()


# ---- synchronisation ---------------------------------------------------------------------------

def older_peer(scene):
    """Who was away takes what ours did."""
    scene.stop()
    scene.shell(2, '''mkdir -p old; for i in $(seq 9); do echo $i >old/$i; done; rm -f load/peer1
        head -c 1000000 /dev/urandom >big''')
    scene.start()
    scene.settled()
    scene.agreed()


def newer_peer(scene):
    """Who was changed alone has more, and so leads; ours keep what they lose."""
    scene.stop()
    scene.shell(2, 'echo lost >lost-to-the-newer')
    change_alone(scene.base)
    scene.start()
    scene.settled()
    scene.agreed()
    for node in (2, 3):
        scene.shell(node, 'test -e alone-1 && test ! -e lost-to-the-newer')
        scene.until('what was lost is kept', lambda at=node: 'kept\n' == scene.shell(
            at, 'ls /var/lib/pve-cluster/*replaced*-from-node-1* >/dev/null && echo kept; true'))
    status_logs(scene)  # They were merged.


def change_alone(base, name=b'alone', times=40):
    """A peer's database is changed while no group sees it, more often than the others are."""
    tree, when = Tree(base), int(time.time())
    for i in range(times):
        tree.create(name + b'-%d' % i, 1, when)
        tree.write(name + b'-%d' % i, b'%d' % i * i, 0, 0, 1, when)
    tree.delete(name + b'-7', 1, when)
    tree.mkdir(name + b'-d', 1, when)
    tree.create(name + b'-big', 1, when)
    tree.write(name + b'-big', bytes(range(256)) * 4096, 0, 0, 1, when)
    tree.base.close()


def fresh_product(scene):
    """A node of ours without a database takes what the group has, which only the peer leads."""
    scene.settled()
    scene.run('stop', 3, 'pmxcfs')
    scene.run('exec', 3, '--', 'sh', '-c', 'rm -f /var/lib/pve-cluster/config.db*')
    scene.does(0, 'create', 'meanwhile')
    scene.run('start', 3, 'pmxcfs')
    scene.settled()
    scene.agreed()


def fresh_peer(scene):
    """A peer without a database."""
    scene.stop()
    for end in ('', '-wal', '-shm'):
        if os.path.exists(scene.base + end):
            os.unlink(scene.base + end)
    scene.start()
    scene.settled()
    scene.agreed()


# ---- what only the original does ---------------------------------------------------------------

def quirks(scene):
    """A target lost by a rename that fails, a file with a size and no content."""
    does = scene.does
    scene.settled()
    for path in ('full', 'full/d', 'lost'):
        does(0, 'mkdir', path)
    does(-errno.ENOTEMPTY, 'rename', 'full', 'lost')
    does(0, 'create', 'hollow')
    does(0, 'write', 'hollow', '', 5, 1)
    scene.agreed()
    fresh_peer(scene)
    if b'\0' * 5 != scene.ask('read', 'hollow').encode():
        raise Wrong('the hollow file is not what it reads as')


def twins(scene):
    """Two configs of one VMID."""
    does, one, two = scene.does, 'nodes/node1/qemu-server/300.conf', 'nodes/node2/lxc/300.conf'
    scene.settled()
    for path in ('nodes', 'nodes/node1', 'nodes/node2', 'nodes/node1/qemu-server',
                 'nodes/node1/lxc', 'nodes/node2/lxc', 'nodes/node1/lxc/300.conf'):
        scene.ask('mkdir', path)
    does(0, 'create', one)
    does(0, 'delete', 'nodes/node1/lxc/300.conf')
    does(0, 'create', two)
    scene.agreed()
    scene.run('stop', 3, 'pmxcfs')
    scene.run('exec', 3, '--', 'sh', '-c', 'rm -f /var/lib/pve-cluster/config.db*')
    scene.run('start', 3, 'pmxcfs')
    scene.settled()
    scene.agreed()
    does(-errno.EEXIST, 'write', one, 'q')
    does(1, 'write', two, 'q')
    does(0, 'delete', one)
    scene.agreed()


def unfit(scene):
    """Two configs of one VMID, a lost target and a file without content, all in an exchange: a peer
    that had to commit the twins would be out for good, so ours let the file be. Without the twins
    they fill it, and what a peer does then that lost a target is its own fault: ours go on."""
    does, one, two = scene.does, 'nodes/node1/qemu-server/301.conf', 'nodes/node2/lxc/301.conf'
    scene.settled()
    for path in ('nodes', 'nodes/node1', 'nodes/node2', 'nodes/node1/qemu-server',
                 'nodes/node1/lxc', 'nodes/node2/lxc', 'nodes/node1/lxc/301.conf'):
        scene.ask('mkdir', path)
    does(0, 'create', one)
    does(0, 'delete', 'nodes/node1/lxc/301.conf')
    does(0, 'create', two)
    for path in ('full2', 'full2/d', 'lost2'):
        does(0, 'mkdir', path)
    does(-errno.ENOTEMPTY, 'rename', 'full2', 'lost2')
    does(0, 'create', 'hollow2')
    does(0, 'write', 'hollow2', '', 5, 1)
    scene.agreed()
    scene.run('restart', 3, 'pmxcfs')
    scene.settled()
    scene.agreed()
    scene.shell(2, 'wc -c <hollow2 | grep -qx 5')
    does(0, 'delete', one)
    scene.run('restart', 2, 'pmxcfs')  # Now it is filled, and a peer that lost a target falls out.
    scene.until('the peer falls out', lambda: scene.ask('groups')['conf']['mode'] != 'SYNCED' or 0)
    scene.until('ours write', lambda: scene.shell(3, 'echo on >on2; echo ok') == 'ok\n' or 0)
    scene.stop()
    scene.start()
    scene.settled()
    scene.agreed()
    if scene.ask('read', 'hollow2') != '\0' * 5:
        raise Wrong('the hollow file is not what it reads as')


# ---- the group of the status -------------------------------------------------------------------

def status(scene):
    """Values, log and addresses, both ways."""
    scene.settled()
    scene.ask('say', 'root@pam', 'tst', '6', 'h\u00e9llo "q" \x01')
    for key, value in (('kv/foo', 'bar\0'), ('rrd/pve2-node/node1', '1:2:3\0'), ('kv/gone', 'x'),
                       ('kv/gone', ''), ('kv/foo', 'bar\0')):
        scene.ask('set', key, value)
    ipc = os.path.join(os.environ['QUORATE_PROGRAMS'], 'cli', 'pmxcfs-ipc')
    scene.run('exec', 2, '--', 'sh', '-c', f"""
        {ipc} log --ident root@pam --tag ours 'w\u00f6rld "x"'
        printf value | {ipc} set-status kv/ours; printf 1:2:3:4 | {ipc} set-status rrd/x""")
    status_of_peer(scene, ipc)
    scene.until('the peer has what ours told', lambda: status_at_peer(scene))
    status_logs(scene)


def status_of_peer(scene, ipc):
    """What the peer told, at our nodes."""
    for node in (2, 3):
        def shown(at=node):
            told = scene.run('exec', at, '--', 'sh', '-c', f"""
                {ipc} get-status --node node1 kv/foo; cd /etc/pve; cat .rrd .members""")
            return all(text in told for text in ('bar', 'pve2-node/node1:1:2:3',
                                                 '"node1": { "id": 1, "online": 1, "ip"')) or told
        scene.until(f'node {node} shows what the peer told', shown)
        scene.until('a removed key is gone', lambda at=node:
                    'kv/gone' not in scene.shell(at, 'cat .version') or 'still there')


def status_at_peer(scene):
    """What ours told, at the peer."""
    told = scene.ask('status')
    keys = told['keys'].get('node2', {})
    return keys.get('kv/ours', [0, ''])[1].rstrip('\0') == 'value' and \
        told['addresses'].get('node3') == '10.80.0.3' and told['online'] == \
        ['node1', 'node2', 'node3'] or told


def status_logs(scene):
    """Three logs are equal, byte for byte."""
    def equal():
        have = [scene.shell(node, 'cat .clusterlog') for node in (2, 3)]
        return have[0] == have[1] == scene.ask('log') or [scene.ask('log'), *have]
    scene.until('the logs are equal', equal)


def ipc(scene):
    """The service for clients on one node, as libqb's own client sees it."""
    scene.settled()
    scene.run('exec', 2, '--', 'python3', os.path.join(HERE, 'ipc_client.py'))
    scene.agreed()


# ---- faults ------------------------------------------------------------------------------------

def spoiled(scene):
    """A tree that differs is found by the checksum, and made equal again."""
    scene.settled()
    scene.shell(2, 'echo x >spoil')
    scene.same()
    scene.ask('spoil', 'spoil')
    scene.ask('trace', 'conf')
    scene.ask('verify')
    for node in (2, 3):
        scene.until(f'node {node} finds it', lambda n=node: 'content differs' in
                    scene.run('logs', n, 'pmxcfs', '-n', 60) or 'not yet')
    scene.until('ours are back', lambda: scene.ask('groups')['conf']['members'] == [1, 2, 3] or 0)
    scene.settled()
    scene.agreed()


def spoiled_and_asked(scene):
    """The same, where an administrator of ours asks, and is told who it was."""
    verify = os.path.join(os.environ['QUORATE_PROGRAMS'], 'cli', 'pmxcfs-ipc') + ' verify 2>&1 || :'
    scene.settled()
    scene.shell(2, 'echo x >spoil2')
    scene.same()
    scene.until('all is equal', lambda: 'equal on 3 member' in (said := scene.shell(2, verify))
                or said)
    scene.ask('spoil', 'spoil2')
    said = scene.shell(2, verify)
    if 'other content, or stopped: 1;' not in said:
        raise Wrong(f'verify says {said}')
    scene.until('it is back', lambda: scene.ask('groups')['conf']['members'] == [1, 2, 3] or 0)
    scene.settled()
    scene.agreed()


NONSENSE = {'a header that is short': '0000', 'an older protocol': '0000010000000000' + '00' * 16,
            'an unknown change': '0000630001000000' + ZEROS + '0900000000000000' + '00' * 20,
            'a length that is wrong': '0000010001000000' + ZEROS + '0a00000000000000' + 'ff' * 20,
            'an unknown kind': '0900000001000000' + ZEROS + '00' * 16}


def nonsense(scene):
    """Malformed messages: nobody dies, all are equal in the end."""
    for what, message in NONSENSE.items():
        scene.settled()
        scene.ask('raw', 'conf', message)
        try:
            scene.settled()
            scene.shell(2, 'echo on >on')
            scene.same()
        except Wrong as problem:
            raise Wrong(f'after {what}: {problem}') from problem


def silent_leader(scene):
    """A peer that leads and does not end its updates; its end lets the others go on."""
    scene.settled()
    scene.ask('silent', 'conf', 'UPDATE_COMPLETE')
    scene.ask('leave', 'conf')
    scene.until('it is back', lambda: scene.ask('groups')['conf']['mode'] != 'LEAVE' or 0)
    scene.ask('silent', 'conf')
    scene.ask('leave', 'conf')
    scene.settled()
    scene.shell(3, 'echo after >after-silence')
    scene.agreed()


def half_told(scene, name):
    """A peer that leads falls silent in the middle of its updates: readers read on, writers are
    told within their time, and the wait is reported."""
    scene.settled()
    scene.shell(2, f'mkdir {name} && echo ours >{name}/ours')
    scene.agreed()
    scene.stop()
    change_alone(scene.base, name.encode(), 60)
    scene.start(7)
    scene.until('it is silent', lambda: scene.ask('groups')['conf']['silent'] != [] or 'not yet')
    for node in (2, 3):
        scene.until(f'node {node} waits for updates', lambda at=node: 'mode="UPDATE"} 1' in
                    scene.shell(at, 'cat .metrics') or 0)
        expect('a reader in the middle', scene.shell(node, f'cat {name}/ours; ls -d {name}-* || :'),
               'ours\n')
        scene.shell(node, f'! echo s 2>/dev/null >{name}/silent')
        scene.until(f'node {node} reports it', lambda at=node: 'waiting for updates' in
                    scene.run('logs', at, 'pmxcfs', '-n', 60) or 0)


def leader_dies(scene):
    """Then it dies: the others go on with what they had. It comes back, and tells all."""
    half_told(scene, 'dies')
    scene.stop('die')
    scene.until('ours write', lambda: scene.shell(3, 'echo on >dies/on; echo ok') == 'ok\n' or 0)
    for node in (2, 3):
        expect('nothing of it was taken', scene.shell(node, 'cat dies/on; ls -d dies-* || :'),
               'on\n')
    scene.start()
    scene.settled()
    scene.agreed()
    scene.shell(2, 'test -e dies-1')


def leader_leaves(scene):
    """Or it leaves, comes back and tells all, while its process lives."""
    half_told(scene, 'leaves')
    scene.ask('most')
    scene.ask('silent', 'conf')
    scene.ask('leave', 'conf')
    scene.settled()
    scene.agreed()
    scene.shell(2, 'test -e leaves-1')


def silent_member(scene):
    """A peer that tells no state: ours answer their callers, with an error, and go on later."""
    scene.settled()
    scene.ask('silent', 'conf', 'STATE')
    scene.ask('leave', 'conf')
    scene.until('it is silent', lambda: scene.ask('groups')['conf']['mode'] == 'START_SYNC' or 0)
    expect('a reader beside a silent member', scene.shell(2, 'echo $(($(wc -c <b) > 0))'), '1\n')
    scene.shell(2, '! echo s 2>/dev/null >silent')
    scene.ask('silent', 'conf')
    scene.ask('leave', 'conf')
    scene.settled()
    scene.until('ours write', lambda: scene.shell(2, 'echo s >silent; echo ok') == 'ok\n' or 0)
    scene.agreed()


def falling_back(scene):
    """Ours speak among themselves while the peer is away, and write while it comes and goes."""
    stop, faults = threading.Event(), []

    def work(node):
        try:
            while not stop.is_set():
                scene.shell(node, f'''for i in 1 2 3 4 5 6 7 8; do
                    for t in 1 2 3 4 5 6 7 8 9; do echo $i >fb{node} && break; sleep 0.5; done
                    test $(cat fb{node}) = $i || exit 1; done''')
        except Wrong as problem:
            faults.append(problem)

    workers = [threading.Thread(target=work, args=(node,)) for node in (2, 3)]
    for worker in workers:
        worker.start()
    for _ in range(5):
        scene.stop()
        time.sleep(1)
        scene.start()
        scene.settled()
    stop.set()
    for worker in workers:
        worker.join()
    if faults:
        raise faults[0]
    scene.agreed()


def beyond_limits(scene):
    """Content that only ours can have, when the peer comes back."""
    scene.stop()
    scene.until('large files can be written',
                lambda: scene.shell(2, 'head -c 3000000 /dev/zero >large && echo ok') == 'ok\n')
    scene.start()
    scene.settled()
    scene.same()
    scene.shell(3, '! head -c 2000000 /dev/zero 2>/dev/null >large2; rm -f large2')
    scene.shell(3, 'rm large')
    scene.agreed()


def restarts(scene):
    """Daemons and corosync of either side, killed and started again."""
    for what in ((2, 'pmxcfs'), (3, 'pmxcfs')):
        scene.settled()
        scene.run('kill', *what)
        scene.does(0, 'create', f'without-{what[0]}')
        scene.run('start', *what)
        scene.settled()
        scene.agreed()
    scene.run('restart', 3, 'corosync')
    scene.settled()
    scene.agreed()


SCENES = {call.__name__: call for call in (
    peer_changes, our_changes, at_once, older_peer, newer_peer, fresh_product, fresh_peer, quirks,
    twins, unfit, status, ipc, spoiled, spoiled_and_asked, nonsense, silent_leader, silent_member,
    leader_dies, leader_leaves, falling_back, beyond_limits, restarts)}


def main(arguments):
    """See the top."""
    scene = Scene(*arguments[:2])
    for name in arguments[2:]:
        if name in ('start', 'stop', 'settled'):
            getattr(scene, name)()
            continue
        try:
            SCENES[name](scene)
        except Wrong as problem:
            print(f'{name}: {problem}')
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
