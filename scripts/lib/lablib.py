# SPDX-License-Identifier: Apache-2.0
"""A cluster of namespace nodes on this machine: its state on disk, its network, nodes and daemons.

Directory of a lab (LABROOT/NAME): `lab.json` what was asked for, `switch/` the process that holds
the network namespace with the bridges, `nodes/N/` one directory per node: `pid` its first process,
`keeper` the parent of that, `control` its socket, `disk/` what survives a power cut, `log/` its
/var/log.

Nothing is left when those processes are dead and that directory is gone: mounts, interfaces and
namespaces live and die with the processes.
"""
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import uuid

import labns

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
LAB = os.path.join(SOURCE, 'scripts', 'lab')
OVERLAYFS = 'overlay'
NODES_MAX = 64
SUBNET = '10.80.0'
TERM_SECONDS = 15
INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class LabError(Exception):
    """Something the person who typed the command has to know; no traceback."""


# ----------------------------------------------------------------------------------------- daemons

class Daemon:
    """A program the lab starts on each node. `folder`: where the build directory has it; `{build}`
    in its arguments stands for that directory."""

    def __init__(self, name, program, folder, arguments, joined=False, asked=False, manual=False):
        self.name, self.program, self.folder, self.arguments = name, program, folder, arguments
        self.joined = joined  # needs the certificates that `pvecm` makes
        self.asked = asked  # started by `lab up --ha`, or when named
        self.manual = manual  # started when named, or by commands on the node


# In the order of their start. A daemon without a folder belongs to Debian and must be installed;
# one of ours is started when it has been built.
DAEMONS = [
    Daemon('corosync', 'corosync', None, ['-f']),
    Daemon('pmxcfs', 'pmxcfs', 'pmxcfs', ['-f']),
    Daemon('qmeventd', 'qmeventd', 'guest', []),
    Daemon('joind', 'quorate-joind', 'quorum', [], joined=True),
    Daemon('qdevice', 'corosync-qdevice', None, ['-f'], manual=True),
    Daemon('qnetd', 'corosync-qnetd', None, ['-f'], manual=True),
    Daemon('apid', 'quorate-apid', 'api', ['--pam-helper', '{build}/api/quorate-pam'], joined=True),
    Daemon('api', 'quorate-api', 'api', [], joined=True),
    Daemon('migrated', 'quorate-migrated', 'migration', [], joined=True),
    # Often, so that tests need not wait long.
    Daemon('statd', 'quorate-statd', 'guest', ['--period', '2'], asked=True),
    # A watchdog device, the multiplexer, and the two that feed it.
    Daemon('labdog', 'labdog', '{source}/scripts/lib', [], asked=True),
    Daemon('watchdog-mux', 'watchdog-mux', 'ha-manager/watchdog-mux', [], asked=True),
    Daemon('crm', 'pve-ha-crm', 'ha-manager', ['start', '--foreground'], asked=True),
    Daemon('lrm', 'pve-ha-lrm', 'ha-manager', ['start', '--foreground'], asked=True),
]
HA_DAEMONS = [daemon.name for daemon in DAEMONS if daemon.asked]
DAEMON_NAMES = [daemon.name for daemon in DAEMONS]

# Folders of the build directory that hold programs a person types.
PROGRAM_FOLDERS = ('pmxcfs', 'api', 'quorum', 'guest', 'migration', 'ha-manager', 'cli')
DOG_MS = 4000  # the lab's watchdog device fires that long after its last feeding


def default_build():
    """The build directory to take programs from: $QUORATE_BUILD, here, or build/ of the sources."""
    for path in (os.environ.get('QUORATE_BUILD'), os.getcwd(), os.path.join(SOURCE, 'build')):
        if path and os.path.exists(os.path.join(path, 'config.status')):
            return os.path.realpath(path)
    return None


def search_path(build):
    folders = [os.path.join(build, folder) for folder in PROGRAM_FOLDERS] if build else []
    return ':'.join([f for f in folders if os.path.isdir(f)] +
                    ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'])


# ---------------------------------------------------------------------------------------- the labs

def lab_root():
    root = os.environ.get('QUORATE_LAB_ROOT')
    if root:
        return os.path.abspath(root)
    # Overlay mounts need a writable layer that is no overlay itself (containers have such a root).
    if file_system('/var/tmp') == OVERLAYFS:
        return '/dev/shm/quorate-lab'
    return '/var/tmp/quorate-lab'


def file_system(path):
    best = ('', '')
    with open('/proc/self/mounts', encoding='utf-8') as file:
        for line in file:
            _, target, fstype = line.split()[:3]
            if (path + '/').startswith(target.rstrip('/') + '/') and len(target) >= len(best[0]):
                best = (target, fstype)
    return best[1]


def lab_names():
    try:
        return sorted(name for name in os.listdir(lab_root())
                      if os.path.isdir(os.path.join(lab_root(), name)))
    except FileNotFoundError:
        return []


def corosync_conf(lab):
    nodes = ''.join(f'''  node {{
    name: {lab.hostname(n)}
    nodeid: {n}
    quorum_votes: 1
    ring0_addr: {lab.address(n)}
  }}
''' for n in lab.numbers())
    return f'''totem {{
  version: 2
  config_version: 1
  cluster_name: {lab.name}
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
  ip_version: ipv4
  token: {lab.config['token']}
  token_coefficient: 0
  interface {{
    linknumber: 0
  }}
}}

nodelist {{
{nodes}}}

quorum {{
  provider: corosync_votequorum
}}

logging {{
  to_stderr: yes
  to_syslog: no
  timestamp: hires
  debug: off
}}

system {{
  sched_rr: no
  move_to_root_cgroup: no
}}
'''


class Lab:
    def __init__(self, name):
        if not re.fullmatch(r'[a-z0-9][a-z0-9-]{0,31}', name):
            raise LabError(f"'{name}' is no name for a lab: use a-z, 0-9 and -, at most 32")
        self.name = name
        self.directory = os.path.join(lab_root(), name)
        self.config = None
        self.lock_file = None
        self.keepers = []  # started by this very command

    # ------------------------------------------------------------------------------- state on disk

    def exists(self):
        return os.path.isdir(self.directory)

    def load(self):
        try:
            with open(os.path.join(self.directory, 'lab.json'), encoding='utf-8') as file:
                self.config = json.load(file)
        except FileNotFoundError:
            other = [name for name in lab_names() if name != self.name]
            hint = f'; running: {", ".join(other)} (--name)' if other else "; 'lab up' makes one"
            raise LabError(f"there is no lab '{self.name}'{hint}") from None
        return self

    def save(self):
        path = os.path.join(self.directory, 'lab.json')
        with open(path + '.tmp', 'w', encoding='utf-8') as file:
            json.dump(self.config, file, indent=1)
        os.rename(path + '.tmp', path)

    def lock(self):
        """Commands that change the lab take turns. The lock is beside the directory, not in it."""
        os.makedirs(lab_root(), exist_ok=True)
        path = self.directory + '.lock'
        while True:
            self.lock_file = open(path, 'w', encoding='ascii')
            fcntl.flock(self.lock_file, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(self.lock_file.fileno()), os.stat(path)):
                    return self
            except FileNotFoundError:
                pass  # whoever had it removed the lab and its lock: take a new one
            self.lock_file.close()

    def unlock_and_forget(self):
        """After the directory is gone: the lock file too, then the root when it is empty."""
        os.unlink(self.directory + '.lock')
        self.lock_file.close()
        try:
            os.rmdir(lab_root())
        except OSError:
            pass  # other labs are there

    # ----------------------------------------------------------------------------------- its nodes

    def numbers(self):
        return range(1, self.config['nodes'] + 1)

    def hostname(self, n):
        return f'node{n}'

    @staticmethod
    def address(n):
        return f'{SUBNET}.{n}'

    def node_dir(self, n):
        return os.path.join(self.directory, 'nodes', str(n))

    def number(self, word):
        """The number of a node given as 2, node2 or n2."""
        match = re.fullmatch(r'(?:node|n)?(\d{1,3})', word)
        if not match or int(match.group(1)) not in self.numbers():
            raise LabError(f"lab '{self.name}' has no node '{word}': "
                           f'its nodes are 1 to {self.config["nodes"]}')
        return int(match.group(1))

    def boot_id(self, n):
        """Changes with each power_on, as the kernel's does; the nodes share one kernel."""
        return read_text(os.path.join(self.node_dir(n), 'boot_id'))

    def process(self, n):
        return labns.Process.load(os.path.join(self.node_dir(n), 'pid'))

    def node_state(self, n):
        """'down', 'paused' or 'up'."""
        process = self.process(n)
        state = process.state() if process else ''
        return 'down' if not state else 'paused' if state == 'T' else 'up'

    def need_up(self, n):
        state = self.node_state(n)
        if state == 'down':
            raise LabError(f"node {n} is down: 'lab start {n}'")
        if state == 'paused':
            raise LabError(f"node {n} is paused: 'lab resume {n}'")
        return self.process(n)

    # -------------------------------------------------------------------- talking to a node's init

    def ask(self, n, do, seconds=15, **request):
        request['do'] = do
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(seconds)
        try:
            with connection:
                connection.connect(os.path.join(self.node_dir(n), 'control'))
                connection.sendall(json.dumps(request).encode() + b'\n')
                data = b''
                while not data.endswith(b'\n'):
                    more = connection.recv(65536)
                    if not more:
                        break
                    data += more
            answer = json.loads(data)
        except (OSError, ValueError) as error:
            raise LabError(f'node {n} does not answer: {error}') from None
        if 'error' in answer:
            raise LabError(f'node {n}: {answer["error"]}')
        return answer

    def run(self, n, argv, text=''):
        answer = self.ask(n, 'run', argv=argv, text=text)
        if answer['status'] != 0:
            raise LabError(f'node {n}: {argv[0]}: {answer["output"].strip()}')

    def query(self, n, argv, seconds=5):
        """(exit status, output) of a short command on the node; status 124 when it hung."""
        pid = self.process(n).pid
        done = subprocess.run(
            ['nsenter', '-t', str(pid), '-m', '-u', '-i', '-n', '-p', '--',
             'timeout', '-s', 'KILL', str(seconds)] + argv,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace')
        return (124 if done.returncode in (137, -9) else done.returncode), done.stdout

    # --------------------------------------------------------------------------------- its network

    def switch(self):
        return labns.Process.load(os.path.join(self.directory, 'switch', 'pid'))

    def start_switch(self):
        directory = os.path.join(self.directory, 'switch')
        os.makedirs(directory)
        self.spawn_keeper('_switch', directory, [], 'log')
        wait_until(self.switch, 10, 'the process of the network to start')
        self.in_switch(['ip', '-batch', '-'], 'link set lo up\n' + self.bridge_commands(0))

    def in_switch(self, argv, text):
        process = self.switch()
        if process is None or not process.state():
            raise LabError(f"the network of lab '{self.name}' is gone: 'lab down' and 'lab up'")
        done = subprocess.run(['nsenter', '-t', str(process.pid), '-n'] + argv, input=text,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f'{argv[0]}: {(done.stdout + done.stderr).strip()}')

    @staticmethod
    def bridge_commands(side):
        return (f'link add br{side} type bridge mcast_snooping 0 forward_delay 0\n'
                f'link set br{side} up\n')

    def side_of(self, n):
        for side, group in enumerate(self.config['sides']):
            if n in group:
                return side
        return 0

    def plug(self, n):
        """A cable from the node to the bridge of its side; replaces an older one."""
        pid = self.process(n).pid
        self.unplug(n)
        self.in_switch(['ip', '-batch', '-'], f'''link add p{n} type veth peer name eth0 netns {pid}
link set p{n} master br{self.side_of(n)}
link set p{n} up
''')
        self.run(n, ['ip', '-batch', '-'], f'''link set lo up
link set eth0 address 02:51:4c:00:00:{n:02x}
addr add {self.address(n)}/24 dev eth0
link set eth0 up
''')

    def unplug(self, n):
        try:
            self.in_switch(['ip', 'link', 'del', f'p{n}'], '')
        except LabError as error:
            # The kernel may be removing it already, since the node's end is gone.
            if 'Cannot find device' not in str(error) and 'No such device' not in str(error):
                raise

    def set_sides(self, sides):
        """Splits the network into groups of nodes; those in none of them form one more."""
        named = {n for group in sides for n in group}
        rest = [n for n in self.numbers() if n not in named]
        sides = sides + ([rest] if rest else [])
        made = self.config['bridges']
        commands = ''.join(self.bridge_commands(side) for side in range(made, len(sides)))
        self.config['bridges'] = max(made, len(sides))
        self.config['sides'] = sides if len(sides) > 1 else []
        for n in self.numbers():
            if self.node_state(n) != 'down':
                commands += f'link set p{n} master br{self.side_of(n)}\n'
        self.in_switch(['ip', '-batch', '-'], commands)
        self.save()

    def set_faults(self, faults):
        """Drops between ports: {'from': n or None, 'to': n or None, 'percent': 1..100} each."""
        rules = ''
        for fault in faults:
            match = f'iifname "p{fault["from"]}" ' if fault['from'] else ''
            match += f'oifname "p{fault["to"]}" ' if fault['to'] else ''
            if fault['percent'] < 100:
                match += f'numgen random mod 100 < {fault["percent"]} '
            rules += f'  {match}drop\n'
        self.in_switch(['nft', '-f', '-'], f'''table bridge faults
delete table bridge faults
table bridge faults {{
 chain ports {{
  type filter hook forward priority 0; policy accept;
{rules} }}
}}
''')
        self.config['faults'] = faults
        self.save()

    # ----------------------------------------------------------------------------- starting a node

    def spawn_keeper(self, kind, directory, words, log_name):
        with open(os.path.join(directory, log_name), 'ab') as log:
            # No interrupt may come between the start and the note of it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
            try:
                keeper = subprocess.Popen([LAB, kind, str(os.getpid()), directory] + words,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          cwd='/', start_new_session=True)
                self.keepers.append(keeper)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return keeper

    def make_disk(self, n):
        """What the node finds on its disk at its first start."""
        etc = os.path.join(self.node_dir(n), 'disk', 'etc')
        os.makedirs(os.path.join(etc, 'corosync'))
        os.makedirs(os.path.join(self.node_dir(n), 'log'))
        hosts = '127.0.0.1 localhost\n' + ''.join(
            f'{self.address(m)} {self.hostname(m)}\n' for m in self.numbers())
        write_file(os.path.join(etc, 'hosts'), hosts, 0o644)
        write_file(os.path.join(etc, 'hostname'), self.hostname(n) + '\n', 0o644)
        write_file(os.path.join(etc, 'machine-id'), secrets.token_hex(16) + '\n', 0o444)
        if self.config['join']:
            return  # `pvecm` makes the rest
        write_file(os.path.join(etc, 'corosync', 'corosync.conf'), corosync_conf(self), 0o644)
        key = bytes.fromhex(self.config['authkey'])
        write_file(os.path.join(etc, 'corosync', 'authkey'), key, 0o400)

    def power_on(self, n):
        """Starts the node's first process and plugs in its cable; no daemon yet."""
        pid_file = os.path.join(self.node_dir(n), 'pid')
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        write_file(os.path.join(self.node_dir(n), 'boot_id'), str(uuid.uuid4()), 0o644)
        log_name = os.path.join('log', 'init.log')
        keeper = self.spawn_keeper('_node', self.node_dir(n), [self.hostname(n)], log_name)

        def answers():
            if keeper.poll() is not None:
                raise LabError(f'node {n} could not be made: '
                               + tail(os.path.join(self.node_dir(n), log_name), 1).strip())
            if not os.path.exists(pid_file):
                return False
            try:
                self.ask(n, 'list', seconds=5)
            except LabError:
                return False
            return True

        wait_until(answers, 20, f'node {n} to start')
        self.plug(n)
        for daemon in DAEMONS:
            argv = self.daemon_command(daemon, n)
            if argv is not None:  # so that the node's own commands can start and stop it
                self.ask(n, 'know', name=daemon.name, argv=argv, env=node_environment(self, n))

    def power_off(self, n):
        """Kills everything on the node at once, as a power cut would."""
        process = self.process(n)
        if process is not None and not labns.kill_node(process):
            raise LabError(f'node {n} (process {process.pid}) does not die')
        if self.switch() is not None and self.switch().state():
            self.unplug(n)

    # ------------------------------------------------------------------------------------- daemons

    def daemon_command(self, daemon, n):
        program = self.config['programs'].get(daemon.name, {}).get(str(n))
        if program is None and daemon.folder and self.config['build']:
            built = os.path.join(self.config['build'], daemon.folder.format(source=SOURCE),
                                 daemon.program)
            program = built if os.path.exists(built) else None
        program = program or shutil.which(daemon.program, path=search_path(None))
        if program is None:
            return None
        extra = self.config['arguments'].get(daemon.name, {}).get(str(n), [])
        build = self.config['build'] or ''
        return [program] + [word.format(build=build) for word in daemon.arguments] + extra

    def wanted_daemons(self, n):
        return [d for d in DAEMONS if d.name in self.config['daemons']
                and self.daemon_command(d, n) is not None]

    def daemon(self, name):
        for daemon in DAEMONS:
            if daemon.name == name:
                return daemon
        raise LabError(f"unknown daemon '{name}': one of {', '.join(DAEMON_NAMES)}")

    def children(self, n):
        return self.ask(n, 'list')['children']

    def is_running(self, n, name):
        child = self.children(n).get(name)
        return child is not None and 'status' not in child

    def start_daemon(self, n, daemon):
        command = self.daemon_command(daemon, n)
        if command is None:
            raise LabError(f'{daemon.program} has not been built and is not installed')
        self.ask(n, 'start', name=daemon.name, argv=command, env=node_environment(self, n))

    def signal_daemon(self, n, name, number):
        self.daemon(name)
        self.ask(n, 'signal', name=name, number=number)

    def stop_daemon(self, n, name):
        """SIGTERM, and wait for its end; its exit status."""
        self.signal_daemon(n, name, signal.SIGTERM)
        self.wait_daemon(n, name, TERM_SECONDS)
        return self.children(n)[name]['status']

    def wait_daemon(self, n, name, seconds):
        wait_until(lambda: not self.is_running(n, name), seconds,
                   f'{name} on node {n} to end')

    # --------------------------------------------------------------------------------- up and down

    def check_free(self):
        """Nothing is in the way of a new lab of this name; nothing has been made yet."""
        if self.exists():
            alive = any(process.state() for process in self.processes())
            raise LabError(f"lab '{self.name}' is up: 'lab down', or another --name" if alive
                           else f"lab '{self.name}' left a directory behind: 'lab down' removes it")
        if len(os.path.join(self.directory, 'nodes', '00', 'control')) > 107:
            raise LabError(f'the path {self.directory} is too long: set QUORATE_LAB_ROOT')
        if re.search('[,:\\\\]', self.directory):
            raise LabError(f'the path {self.directory} must not contain , : or \\')

    def create(self):
        os.makedirs(self.directory)
        self.save()
        self.start_switch()
        for n in self.numbers():
            self.make_disk(n)

    def processes(self):
        """Every process recorded below the lab's directory that may still exist."""
        places = [os.path.join(self.directory, 'switch')]
        nodes = os.path.join(self.directory, 'nodes')
        if os.path.isdir(nodes):
            places += [os.path.join(nodes, name) for name in os.listdir(nodes)]
        found = [labns.Process.load(os.path.join(place, name))
                 for place in places for name in ('pid', 'keeper')]
        return [process for process in found if process is not None]

    def destroy(self):
        """Kills what runs, removes the directory. Works on what a broken `up` left, too."""
        for keeper in self.keepers:  # one of them may not have recorded itself yet
            keeper.kill()
            keeper.wait()
        for process in reversed(self.processes()):
            if not labns.kill_node(process):
                raise LabError(f'process {process.pid} does not die; nothing was removed')
        if self.exists():
            shutil.rmtree(self.directory)


# ----------------------------------------------------------------------------------------- helpers

def node_environment(lab, n):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('SSH_', 'XDG_', 'DBUS_', 'SUDO_', 'LD_', 'PYENV'))}
    environment.update(PATH=search_path(lab.config['build']), HOME=os.environ.get('HOME', '/root'),
                       QUORATE_BOOT_ID=lab.boot_id(n), WATCHDOG_DEVICE_MS=str(DOG_MS),
                       QUORATE_LAB=lab.name, QUORATE_LAB_NODE=str(n),
                       QUORATE_LAB_CONTROL=os.path.join(lab.node_dir(n), 'control'),
                       QUORATE_SERVICE_COMMAND=os.path.join(SOURCE, 'scripts', 'lib', 'labservice'))
    return environment


def read_text(path):
    try:
        with open(path, encoding='ascii') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def write_file(path, content, mode):
    with open(path, 'wb') as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(path, mode)


def tail(path, lines):
    try:
        with open(path, 'rb') as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 200 * max(lines, 1) - 4096))
            text = file.read().decode(errors='replace')
    except FileNotFoundError:
        return ''
    return ''.join(text.splitlines(keepends=True)[-lines:])


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f'waited {seconds:g} s in vain for {what}')
        time.sleep(0.05)
