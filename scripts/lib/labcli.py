# SPDX-License-Identifier: Apache-2.0
"""The commands of scripts/lab."""
import argparse
import errno
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time

import labns
import labview
from lablib import (DAEMON_NAMES, DAEMONS, default_build, INTERRUPTS, Lab, LAB, lab_names, LabError,
                    node_environment, NODES_MAX, tail, wait_until)

EXIT_FAILED, EXIT_USAGE, EXIT_NO_NODE = 1, 2, 125


# --------------------------------------------------------------------------------- up, down, start

def per_node(values, lab, split):
    """{'N': value} from options like VALUE (every node) or N=VALUE; the last one counts."""
    result = {}
    for text in values or []:
        head, separator, value = text.partition('=')
        if separator and head.strip().isdigit():
            result[str(lab.number(head.strip()))] = split(value)
        else:
            result = {str(n): split(text) for n in lab.numbers()}
    return result


def absolute_program(path):
    full = os.path.realpath(path)
    if not os.access(full, os.X_OK) or os.path.isdir(full):
        raise LabError(f'{path} is not a program')
    return full


def cmd_up(args):
    if not 1 <= args.nodes <= NODES_MAX:
        raise LabError(f'a lab has 1 to {NODES_MAX} nodes')
    build = os.path.realpath(args.build) if args.build else default_build()
    if args.build and not os.path.isdir(build):
        raise LabError(f'there is no directory {args.build}')
    lab = Lab(args.name)
    lab.config = {
        'name': args.name, 'nodes': args.nodes, 'build': build, 'token': args.token,
        'authkey': secrets.token_hex(256), 'sides': [], 'bridges': 1, 'faults': [],
        'daemons': split_daemons(args.daemons, args.ha), 'programs': {}, 'arguments': {},
        'join': True,
    }
    lab.config['programs']['pmxcfs'] = per_node(args.pmxcfs, lab, absolute_program)
    lab.config['arguments']['pmxcfs'] = per_node(args.pmxcfs_args, lab, shlex.split)
    for daemon in DAEMONS:
        if args.daemons and daemon.name in lab.config['daemons'] \
                and lab.daemon_command(daemon, 1) is None:
            raise LabError(f'{daemon.program} has not been built and is not installed '
                           f'(build directory: {build or "none"})')
    # Without what `pvecm` needs (--daemons corosync) the nodes get finished configuration files.
    lab.config['join'] = args.bare or all(
        name in lab.config['daemons'] and lab.daemon_command(lab.daemon(name), 1)
        for name in ('corosync', 'pmxcfs', 'joind', 'api'))
    lab.lock()
    lab.check_free()
    try:
        lab.create()
        for n in lab.numbers():
            lab.power_on(n)
            if not lab.config['join']:
                start_daemons(lab, n)
        if lab.config['join'] and not args.bare:
            form_cluster(lab)
        if not args.no_wait and not args.bare:
            labview.wait_for(lab, list(lab.numbers()), None, args.timeout)
    except BaseException as error:
        if args.keep and isinstance(error, LabError):
            raise LabError(f"{error}\nthe lab was kept: 'lab down' removes it") from None
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        if isinstance(error, LabError):
            show_failed(lab)
        lab.destroy()
        lab.unlock_and_forget()
        raise
    return labview.show(lab, args.json)


def form_cluster(lab):
    """Makes the cluster as a person would: `pvecm create` on node 1, `pvecm add` on the others."""
    for n in lab.numbers():
        # Debian's package brings an example, which pmxcfs would take for this node's cluster.
        lab.run(n, ['rm', '-f', '/etc/corosync/corosync.conf'])
        lab.start_daemon(n, lab.daemon('pmxcfs'))
    wait_until(lambda: all(lab.query(n, ['test', '-e', '/etc/pve/.version'])[0] == 0
                           for n in lab.numbers()), 60, '/etc/pve on each node')
    said(lab, 1, ['pvecm', 'create', lab.name[:15].rstrip('-'), '--token', str(lab.config['token']),
                  '--token-coefficient', '0'])
    start_daemons(lab, 1)
    if lab.config['nodes'] > 1:
        wait_until(lambda: lab.query(1, ['test', '-S', '/run/quorate/joind.sock'])[0] == 0
                   and ':8006' in lab.query(1, ['ss', '-Htln', 'sport = 8006'])[1], 60,
                   'the API of node 1')
        join_others(lab)


def join_others(lab):
    """One after the other, so that node N has the id N, as people and tests expect."""
    others = [n for n in lab.numbers() if n > 1]
    tokens = said(lab, 1, ['sh', '-c', 'for n in "$@"; do pvecm token || exit; done', 'sh']
                  + [str(n) for n in others]).split()
    for n, token in zip(others, tokens):
        hear(n, speak(lab, n, ['pvecm', 'add', '-'], token))
        start_daemons(lab, n)


def said(lab, n, command):
    """What a command on a node says; its failure is the lab's."""
    return hear(n, speak(lab, n, command))


def speak(lab, n, command, text=''):
    process = subprocess.Popen([LAB, 'exec', '--name', lab.name, str(n), '--'] + command, cwd='/',
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None  # so that communicate() leaves it alone
    return process


def hear(n, process):
    try:
        output = process.communicate(timeout=300)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise LabError(f'node {n}: {" ".join(process.args[5:])}: no end within 300 s') from None
    if process.returncode != 0:
        raise LabError(f'node {n}: {" ".join(process.args[5:])}: '
                       + '; '.join(output.strip().splitlines()[-3:]))
    return output


def split_daemons(text, ha):
    names = text.split(',') if text else [d.name for d in DAEMONS
                                          if (ha or not d.asked) and not d.manual]
    for name in names:
        if name not in DAEMON_NAMES:
            raise LabError(f"unknown daemon '{name}': some of {','.join(DAEMON_NAMES)}")
    return names


def show_failed(lab):
    """The last words of every daemon that ended, before the directory with its log goes."""
    for n in lab.numbers():
        try:
            children = lab.children(n)
        except LabError:
            continue
        for name, child in children.items():
            if 'status' in child:
                print(f'--- node {n}: {name} ended ({labview.ending(child["status"])}):\n'
                      + tail(os.path.join(lab.node_dir(n), 'log', f'{name}.log'), 15),
                      file=sys.stderr)


def start_daemons(lab, n):
    for daemon in lab.wanted_daemons(n):
        if not lab.is_running(n, daemon.name):
            lab.start_daemon(n, daemon)


def cmd_down(args):
    names = lab_names() if args.all else [args.name]
    for name in names:
        lab = Lab(name)
        if not lab.exists():
            raise LabError(f"there is no lab '{name}'")
        lab.lock()
        lab.destroy()
        lab.unlock_and_forget()
    return 0


def cmd_start(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    if lab.node_state(n) == 'down':
        lab.power_on(n)
        if args.daemon is None:
            start_daemons(lab, n)
    else:
        lab.need_up(n)
    if args.daemon is None:
        start_daemons(lab, n)
    elif lab.is_running(n, args.daemon):
        raise LabError(f'{args.daemon} runs on node {n} already')
    else:
        lab.start_daemon(n, lab.daemon(args.daemon))
    return 0


def cmd_stop(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    lab.need_up(n)
    if args.daemon is not None:
        lab.daemon(args.daemon)
        return clean_end(n, args.daemon, lab.stop_daemon(n, args.daemon))
    result = 0
    for daemon in reversed(DAEMONS):
        if lab.is_running(n, daemon.name):
            result |= clean_end(n, daemon.name, lab.stop_daemon(n, daemon.name))
    lab.power_off(n)
    return result


def clean_end(n, name, status):
    if status == 0:
        return 0
    print(f'lab: {name} on node {n} ended unclean ({labview.ending(status)})', file=sys.stderr)
    return EXIT_FAILED


def cmd_kill(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    if args.daemon is None:
        if lab.node_state(n) == 'down':
            raise LabError(f'node {n} is down already')
        lab.power_off(n)
    else:
        lab.need_up(n)
        lab.signal_daemon(n, args.daemon, signal.SIGKILL)
        lab.wait_daemon(n, args.daemon, 10)
    return 0


def cmd_restart(args):
    status = cmd_stop(args)
    return cmd_start(args) or status


def cmd_pause(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    process = lab.need_up(n)
    if args.daemon is None:
        labns.signal_all(process.pid, signal.SIGSTOP)
    else:
        lab.signal_daemon(n, args.daemon, signal.SIGSTOP)
    return 0


def cmd_resume(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    if lab.node_state(n) == 'down':
        raise LabError(f"node {n} is down: 'lab start {n}'")
    if args.daemon is None:
        labns.signal_all(lab.process(n).pid, signal.SIGCONT)
    else:
        lab.need_up(n)
        lab.signal_daemon(n, args.daemon, signal.SIGCONT)
    return 0


def cmd_signal(args):
    lab = Lab(args.name).load()
    n = lab.number(args.node)
    lab.need_up(n)
    try:
        number = int(args.signal) if args.signal.isdigit() \
            else signal.Signals['SIG' + args.signal.upper().removeprefix('SIG')]
    except KeyError:
        raise LabError(f"unknown signal '{args.signal}'") from None
    lab.signal_daemon(n, args.daemon, number)
    return 0


# ----------------------------------------------------------------------------------------- network

def cmd_partition(args):
    lab = Lab(args.name).load().lock()
    sides = []
    for group in args.groups.split('/'):
        side = [lab.number(word) for word in group.split(',') if word]
        if not side:
            raise LabError(f"empty group in '{args.groups}': write for example 1,2/3")
        sides.append(side)
    named = [n for side in sides for n in side]
    if len(named) != len(set(named)):
        raise LabError(f"a node is named twice in '{args.groups}'")
    lab.set_sides(sides)
    return 0


def cmd_heal(args):
    lab = Lab(args.name).load().lock()
    lab.set_sides([])
    if lab.config['faults']:
        lab.set_faults([])
    return 0


def cmd_cut(args):
    lab = Lab(args.name).load().lock()
    fault = {'from': lab.number(args.source), 'to': lab.number(args.target), 'percent': 100}
    if fault['from'] == fault['to']:
        raise LabError('a cut is between two nodes')
    lab.set_faults(lab.config['faults'] + [fault])
    return 0


def cmd_loss(args):
    lab = Lab(args.name).load().lock()
    n = lab.number(args.node)
    if not 0 <= args.percent <= 100:
        raise LabError('a loss is 0 to 100 percent')
    faults = [f for f in lab.config['faults'] if f['from'] or f['to'] != n]
    if args.percent:
        faults.append({'from': None, 'to': n, 'percent': args.percent})
    lab.set_faults(faults)
    return 0


# ------------------------------------------------------------------------- running things on nodes

def cmd_exec(args):
    """Ends with the exit status of the command; 125 to 127 are the lab's own words."""
    if args.command[:1] == ['--']:
        del args.command[0]
    if not args.command:
        print('lab: exec: no command given', file=sys.stderr)
        return EXIT_USAGE
    try:
        lab = Lab(args.name).load()
        n = lab.number(args.node)
        process = lab.need_up(n)
    except LabError as error:
        print(f'lab: {error}', file=sys.stderr)
        return EXIT_NO_NODE
    environment = node_environment(lab, n)
    if 'TERM' in os.environ:
        environment['TERM'] = os.environ['TERM']
    directory = os.getcwd()
    labns.enter(process.pid)
    signals = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        labns.die_with_parent(True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        become(args.command, environment, directory)
    # A terminal sends its signals to the command as well; those sent to us alone are passed on.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGQUIT, lambda number, frame: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def become(command, environment, directory):
    try:
        os.chdir(directory)
    except OSError:
        os.chdir('/')
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        print(f'lab: {command[0]}: {error.strerror}', file=sys.stderr)
        os._exit(127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126)


def cmd_shell(args):
    args.command = ['env', 'PS1=\\h:\\w# ', 'bash', '--norc', '-i']
    return cmd_exec(args)


def cmd_logs(args):
    lab = Lab(args.name).load()
    directory = os.path.join(lab.node_dir(lab.number(args.node)), 'log')
    names = [args.log] if args.log else sorted(
        name for name in os.listdir(directory) if os.path.isfile(os.path.join(directory, name))
        and os.path.getsize(os.path.join(directory, name)) > 0)
    paths = [os.path.join(directory, name) for name in names]
    if args.log and not os.path.isfile(paths[0]):
        paths = [paths[0] + '.log']
        if not os.path.exists(paths[0]):
            raise LabError(f"there is no log '{args.log}' on node {args.node}")
    if args.follow:
        os.execvp('tail', ['tail', '-n', str(args.lines), '-F'] + paths)
    for path in paths:
        if len(paths) > 1:
            print(f'==> {os.path.basename(path)} <==')
        sys.stdout.write(tail(path, args.lines))
    return 0


# ----------------------------------------------------------------------------------------- looking

def cmd_status(args):
    return labview.show(Lab(args.name).load(), args.json)


def cmd_list(args):
    labs = []
    for name in lab_names():
        try:
            lab = Lab(name).load()
            states = [lab.node_state(n) for n in lab.numbers()]
        except (LabError, ValueError):
            states = []
        labs.append({'name': name, 'nodes': len(states), 'up': states.count('up')})
    if args.json:
        print(json.dumps(labs))
    else:
        for lab in labs:
            print(f'{lab["name"]}: {lab["up"]} of {lab["nodes"]} nodes up')
    return 0


def cmd_wait(args):
    lab = Lab(args.name).load()
    numbers = [lab.number(word) for word in args.node] or \
        [n for n in lab.numbers() if lab.node_state(n) == 'up']
    if not numbers:
        raise LabError('no node is up')
    conditions = args.conditions.split(',') if args.conditions else None
    started = time.monotonic()
    labview.wait_for(lab, numbers, conditions, args.timeout)
    if args.json:
        print(json.dumps({'seconds': round(time.monotonic() - started, 3)}))
    return 0


def cmd_path(args):
    """Where the lab keeps something, for scripts: its directory, a node's disk or its log."""
    lab = Lab(args.name).load()
    print(lab.node_dir(lab.number(args.node)) if args.node else lab.directory)
    return 0


# ------------------------------------------------------------------------------------ command line

def build_parser():
    parser = argparse.ArgumentParser(
        prog='lab', description='Clusters on one machine: nodes in namespaces, real corosync.',
        epilog=f'Daemons: {", ".join(DAEMON_NAMES)}. Exit status: 0 done, 1 failed, 2 wrong usage; '
        'exec: that of its command, 125 no such node or not up, 126 not executable, 127 not found.')
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--name', default=os.environ.get('QUORATE_LAB', 'lab'),
                        help='which lab, when there are several (default: $QUORATE_LAB or lab)')
    commands = parser.add_subparsers(dest='verb', required=True, metavar='COMMAND')

    def command(verb, function, text, **options):
        sub = commands.add_parser(verb, parents=[common], help=text, description=text, **options)
        sub.set_defaults(function=function)
        return sub

    add_up(command)
    sub = command('down', cmd_down, 'kill everything and remove every trace')
    sub.add_argument('--all', action='store_true', help='all labs of this machine')
    for verb, function, text in (
            ('start', cmd_start, 'start a node, or the daemons it lacks, or one daemon'),
            ('stop', cmd_stop, 'stop one daemon, or a node, cleanly (SIGTERM, then wait)'),
            ('restart', cmd_restart, 'stop, then start'),
            ('kill', cmd_kill, 'SIGKILL everything on a node (a power cut), or one daemon'),
            ('pause', cmd_pause, 'SIGSTOP everything on a node, or one daemon'),
            ('resume', cmd_resume, 'SIGCONT what was paused')):
        sub = command(verb, function, text)
        sub.add_argument('node')
        sub.add_argument('daemon', nargs='?', choices=DAEMON_NAMES)
    sub = command('signal', cmd_signal, 'send a signal to one daemon')
    sub.add_argument('node')
    sub.add_argument('daemon', choices=DAEMON_NAMES)
    sub.add_argument('signal', help='HUP, SIGUSR1, 15 ...')
    add_network(command)
    add_looking(command)
    return parser


def add_up(command):
    sub = command('up', cmd_up, 'make a lab and wait until its cluster works')
    sub.add_argument('-n', '--nodes', type=int, default=3, help='how many nodes (default: 3)')
    sub.add_argument('--build', help='build directory with our programs (default: $QUORATE_BUILD, '
                     'the current directory, or build/ of the sources)')
    sub.add_argument('--daemons', help='start only these, comma separated (default: all built); '
                     'without joind or api finished files form the cluster, not pvecm')
    sub.add_argument('--pmxcfs', action='append', metavar='[N=]PATH',
                     help='run this program as pmxcfs on node N, or on all')
    sub.add_argument('--pmxcfs-args', action='append', metavar="[N=]'ARGS'",
                     help='more arguments for pmxcfs on node N, or on all')
    sub.add_argument('--token', type=int, default=1000,
                     help="corosync's token in ms (default: 1000)")
    sub.add_argument('--timeout', type=float, default=60, help='seconds to wait (default: 60)')
    sub.add_argument('--no-wait', action='store_true', help='return when all was started')
    sub.add_argument('--bare', action='store_true', help='only nodes: no cluster, no daemon')
    sub.add_argument('--join', action='store_true', help='form the cluster by pvecm create, token '
                     'and add (the default)')
    sub.add_argument('--ha', action='store_true', help='start the high-availability daemons, with '
                     'a watchdog that resets the node')
    sub.add_argument('--keep', action='store_true', help='leave a lab that did not come up')
    sub.add_argument('--json', action='store_true')


def add_network(command):
    sub = command('partition', cmd_partition, 'split the network: 1,2/3 (others are one more side)')
    sub.add_argument('groups')
    command('heal', cmd_heal, 'join all sides, and end cuts and losses')
    sub = command('cut', cmd_cut, 'drop all packets from one node to another (one way)')
    sub.add_argument('source', metavar='FROM')
    sub.add_argument('target', metavar='TO')
    sub = command('loss', cmd_loss, 'drop this share of the packets to a node')
    sub.add_argument('node')
    sub.add_argument('percent', type=int)


def add_looking(command):
    sub = command('exec', cmd_exec, 'run a command on a node: lab exec 1 -- ls /etc/pve')
    sub.add_argument('node')
    sub.add_argument('command', nargs=argparse.REMAINDER, metavar='CMD')
    sub = command('shell', cmd_shell, 'an interactive shell on a node')
    sub.add_argument('node')
    sub = command('logs', cmd_logs, 'show the logs of a node')
    sub.add_argument('node')
    sub.add_argument('log', nargs='?', help='corosync, pmxcfs, syslog ... (default: all)')
    sub.add_argument('-n', '--lines', type=int, default=50)
    sub.add_argument('-f', '--follow', action='store_true')
    sub = command('status', cmd_status, 'what runs, who sees whom')
    sub.add_argument('--json', action='store_true')
    sub = command('list', cmd_list, 'the labs of this machine')
    sub.add_argument('--json', action='store_true')
    sub = command('wait', cmd_wait, 'wait until nodes are in a state; else exit 1')
    sub.add_argument('node', nargs='*', help='default: all that are up')
    sub.add_argument('--for', dest='conditions', metavar='LIST',
                     help=f'some of {",".join(labview.CONDITIONS)} (default: '
                     'settled: what the nodes on this side of the network can reach)')
    sub.add_argument('--timeout', type=float, default=60)
    sub.add_argument('--json', action='store_true')
    sub = command('path', cmd_path, 'print the directory of the lab, or of one node')
    sub.add_argument('node', nargs='?')


def interrupted(number, frame):
    raise KeyboardInterrupt


def main(words):
    args = build_parser().parse_args(words)
    if os.geteuid() != 0:
        print('lab: needs root: namespaces, mounts and interfaces are made', file=sys.stderr)
        return EXIT_FAILED
    os.umask(0o022)
    if args.verb not in ('exec', 'shell'):
        signal.signal(signal.SIGTERM, interrupted)
        signal.signal(signal.SIGHUP, interrupted)
    try:
        return args.function(args)
    except LabError as error:
        print(f'lab: {error}', file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print('lab: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        return EXIT_FAILED
