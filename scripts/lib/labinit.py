# SPDX-License-Identifier: Apache-2.0
"""The first process of a lab node: makes the node's own file systems, then starts, watches and
reaps its daemons, and keeps what they send to syslog. When it dies, the kernel kills the node.

It answers requests on a UNIX socket in the node's directory: one JSON object in, one back.
"""
import json
import os
import re
import selectors
import signal
import socket
import stat
import subprocess
import time

import labns

DEVICES = ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'fuse', 'net/tun')
# Directories of the node's disk that are bound, not overlaid: programs there care about fsync.
BOUND = ('/var/lib/pve-cluster', '/var/lib/corosync', '/var/lib/rrdcached')


def be_recorded(parent, directory):
    """Dies with the command that started it until its number stands in DIRECTORY/keeper."""
    labns.die_with_parent(True)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())  # the command blocked some to start us
    if os.getppid() != parent:
        raise SystemExit(1)
    labns.Process.of(os.getpid()).save(os.path.join(directory, 'keeper'))
    labns.die_with_parent(False)


def keep_node(directory, hostname):
    """Makes the namespaces and the node's first process, then waits for its end."""
    labns.unshare(labns.NODE_NAMESPACES)
    recorded, record = os.pipe()
    pid = os.fork()
    if pid == 0:
        labns.die_with_parent(True)
        os.close(record)
        # Waits, since its own /proc will hide the numbers that are valid outside.
        if os.read(recorded, 1):
            Init(directory, hostname).run()
        os._exit(0)  # the keeper died before it wrote the number down
    labns.Process.of(pid).save(os.path.join(directory, 'pid'))
    os.write(record, b'1')
    os.close(record)
    os.waitpid(pid, 0)


def keep_switch(directory):
    """Holds the network namespace with the bridges for as long as it lives."""
    labns.unshare(labns.CLONE_NEWNET)
    labns.Process.of(os.getpid()).save(os.path.join(directory, 'pid'))
    while True:
        signal.pause()


class Init:
    def __init__(self, directory, hostname):
        self.directory = directory
        self.hostname = hostname
        self.known = {}  # name -> arguments of do_start
        self.children = {}  # name -> {'pid', 'argv', and 'status' once it has ended}
        self.selector = selectors.DefaultSelector()
        self.syslog = None

    # ------------------------------------------------------------------------ the node's own world

    def make_world(self):
        disk = os.path.join(self.directory, 'disk')
        labns.mount(None, '/', None, labns.MS_REC | labns.MS_PRIVATE)
        labns.set_hostname(self.hostname)
        for path in ('/etc', '/var/lib'):
            upper = disk + path
            work = os.path.join(self.directory, 'work' + path.replace('/', '-'))
            os.makedirs(upper, exist_ok=True)
            os.makedirs(work, exist_ok=True)
            labns.mount('lab', path, 'overlay', 0,
                        f'lowerdir={path},upperdir={upper},workdir={work}')
        for path in BOUND:
            os.makedirs(path, exist_ok=True)
            self.bind(disk + path + '.bound', path)
        self.bind(os.path.join(self.directory, 'log'), '/var/log')
        os.makedirs('/var/log/corosync', exist_ok=True)
        labns.mount('proc', '/proc', 'proc', labns.MS_NOSUID | labns.MS_NODEV | labns.MS_NOEXEC)
        labns.mount('sysfs', '/sys', 'sysfs', labns.MS_NOSUID | labns.MS_NODEV | labns.MS_NOEXEC)
        labns.mount('run', '/run', 'tmpfs', labns.MS_NOSUID | labns.MS_NODEV, 'mode=0755')
        for path in ('/run/lock', '/run/corosync', '/run/corosync-qdevice', '/run/corosync-qnetd'):
            os.makedirs(path)
        self.make_dev()

    @staticmethod
    def bind(source, target):
        os.makedirs(source, exist_ok=True)
        labns.mount(source, target, None, labns.MS_BIND)

    @staticmethod
    def make_dev():
        found = {}
        for name in DEVICES:
            try:
                found[name] = os.stat('/dev/' + name).st_rdev
            except FileNotFoundError:
                pass
        labns.mount('dev', '/dev', 'tmpfs', labns.MS_NOSUID, 'mode=0755')
        for name, device in found.items():
            os.makedirs(os.path.dirname('/dev/' + name), exist_ok=True)
            os.mknod('/dev/' + name, stat.S_IFCHR | 0o666, device)
            os.chmod('/dev/' + name, 0o666)
        os.mkdir('/dev/pts')
        labns.mount('devpts', '/dev/pts', 'devpts', labns.MS_NOSUID | labns.MS_NOEXEC,
                    'newinstance,ptmxmode=0666,mode=0620')
        os.symlink('pts/ptmx', '/dev/ptmx')
        os.mkdir('/dev/shm')
        labns.mount('shm', '/dev/shm', 'tmpfs', labns.MS_NOSUID | labns.MS_NODEV, 'mode=1777')
        os.symlink('/proc/self/fd', '/dev/fd')
        for number, name in enumerate(('stdin', 'stdout', 'stderr')):
            os.symlink(f'/proc/self/fd/{number}', '/dev/' + name)

    # ------------------------------------------------------------------------------------ the loop

    def run(self):
        os.chdir('/')
        os.umask(0o022)
        self.make_world()
        control_path = os.path.join(self.directory, 'control')
        if os.path.exists(control_path):
            os.unlink(control_path)
        wake_read, wake_write = os.pipe()
        for end in (wake_read, wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.syslog = open('/var/log/syslog', 'ab', buffering=0)
        log_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log_socket.bind('/dev/log')
        os.chmod('/dev/log', 0o666)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(control_path)
        control.listen(16)
        self.selector.register(log_socket, selectors.EVENT_READ, self.on_syslog)
        self.selector.register(control, selectors.EVENT_READ, self.on_request)
        self.selector.register(wake_read, selectors.EVENT_READ, self.on_wake)
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def on_wake(self, pipe):
        os.read(pipe, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self.children.values():
                if child['pid'] == pid and 'status' not in child:
                    child['status'] = os.waitstatus_to_exitcode(status)

    def on_syslog(self, log_socket):
        message = log_socket.recv(65536).rstrip(b'\0\n')
        text = re.sub(rb'^<\d+>', b'', message)
        text = re.sub(rb'^[A-Z][a-z]{2} [ \d]\d [\d:]{8} ', b'', text)  # ours says the year as well
        now = time.time()
        stamp = time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(now))
        self.syslog.write(f'{stamp}.{int(now * 1000) % 1000:03} '.encode() + text + b'\n')

    def on_request(self, control):
        connection, _ = control.accept()
        with connection:
            connection.settimeout(5)
            try:
                data = b''
                while not data.endswith(b'\n'):
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                request = json.loads(data)
                answer = getattr(self, 'do_' + request.pop('do'))(**request)
            except OSError as error:
                answer = {'error': str(error)}
            try:
                connection.sendall(json.dumps(answer).encode() + b'\n')
            except OSError:
                pass  # the one who asked has gone

    # -------------------------------------------------------------------------------- the requests

    def do_list(self):
        return {'children': self.children}

    def do_start(self, name, argv, env):
        with open(f'/var/log/{name}.log', 'ab') as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env=env, cwd='/', start_new_session=True)
        self.children[name] = {'pid': child.pid, 'argv': argv}
        child.returncode = 0  # reaped by on_wake, not by the object
        return {'pid': child.pid}

    def do_know(self, name, argv, env):
        self.known[name] = {'name': name, 'argv': argv, 'env': env}
        return {}

    def do_start_known(self, name):
        if name not in self.known:
            return {'error': f'{name} is not installed on this node'}
        return self.do_start(**self.known[name])

    def do_signal(self, name, number):
        child = self.children.get(name)
        if child is None or 'status' in child:
            return {'error': f'{name} is not running'}
        os.kill(child['pid'], number)
        return {}

    def do_run(self, argv, text):
        try:
            done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return {'error': f'{argv[0]} did not end within 10 s'}
        return {'status': done.returncode, 'output': done.stdout + done.stderr}
