# SPDX-License-Identifier: Apache-2.0
"""What a lab looks like: the state of its nodes, and waiting for one."""
import json
import re
import signal
import time

from lablib import LabError, lab_root

# What `lab wait` can wait for on a node.
CONDITIONS = {
    'members': "corosync's members are the nodes that run on this side of the network",
    'quorate': 'corosync has quorum',
    'inquorate': 'corosync has no quorum',
    'mounted': '/etc/pve is mounted and answers',
    'joined': 'pmxcfs has quorum, sees its members online and has the state of the cluster',
    'settled': 'all of these that the number of members allows, as far as the daemons run',
}


def ending(status):
    if status >= 0:
        return f'exit status {status}'
    return signal.Signals(-status).name


def numbers_by_id(lab, conf):
    """{nodeid: lab node} by the names in a corosync.conf: who joins first gets the lower id."""
    numbers = {lab.hostname(n): n for n in lab.numbers()}
    found = {}
    for block in re.findall(r'\bnode\s*\{([^}]*)\}', conf):
        keys = dict(re.findall(r'^\s*(\w+)\s*:\s*(\S+)', block, re.MULTILINE))
        if keys.get('name') in numbers and keys.get('nodeid', '').isdigit():
            found[int(keys['nodeid'])] = numbers[keys['name']]
    return found


def corosync_view(lab, n):
    """{'quorate', 'members'} as corosync on the node tells them; None when it does not answer."""
    status, out = lab.query(n, ['sh', '-c', 'corosync-quorumtool -s; echo CONF; '
                                'cat /etc/corosync/corosync.conf 2>/dev/null; exit 0'])
    out, _, conf = out.partition('\nCONF\n')
    match = re.search(r'^Quorate:\s+(\w+)', out, re.MULTILINE)
    if status == 124 or not match:
        return {'quorate': None, 'members': None}
    table = out.partition('Membership information')[2]
    names = numbers_by_id(lab, conf)
    members = [names.get(int(word), int(word))
               for word in re.findall(r'^\s*(\d+)\s+\d+\s', table, re.MULTILINE)]
    return {'quorate': match.group(1) == 'Yes', 'members': sorted(members)}


def mount_view(lab, n):
    """{'mounted', 'cfs_quorate', 'online'} as /etc/pve on the node tells them."""
    view = {'mounted': False, 'cfs_quorate': None, 'online': None, 'cfs_mode': None}
    status, out = lab.query(n, ['sh', '-c', 'grep -q " /etc/pve fuse" /proc/mounts || exit 1; '
                                'cat /etc/pve/.members || exit 1; echo; echo METRICS; '
                                'cat /etc/pve/.metrics 2>/dev/null; exit 0'])
    if status != 0:
        return view
    text, _, metrics = out.partition('\nMETRICS\n')
    try:
        members = json.loads(text)
    except ValueError:
        return view
    view['mounted'] = True
    mode = re.search(r'^pmxcfs_mode\{mode="(\w+)"\} 1$', metrics, re.MULTILINE)
    if mode:
        view['cfs_mode'] = mode.group(1)
    cluster = members.get('cluster')
    if cluster is not None:
        view['cfs_quorate'] = cluster.get('quorate') == 1
        numbers = {lab.hostname(n): n for n in lab.numbers()}
        view['online'] = sorted(numbers.get(name, int(node['id']))
                                for name, node in members.get('nodelist', {}).items()
                                if node.get('online') == 1)
    return view


def node_view(lab, n):
    view = {'node': n, 'name': lab.hostname(n), 'address': lab.address(n),
            'state': lab.node_state(n), 'side': lab.side_of(n), 'daemons': {},
            'quorate': None, 'members': None, 'mounted': False, 'cfs_quorate': None, 'online': None,
            'cfs_mode': None}
    if view['state'] != 'up':
        return view
    for name, child in lab.children(n).items():
        view['daemons'][name] = {'running': 'status' not in child, 'pid': child['pid']}
        if 'status' in child:
            view['daemons'][name]['ended'] = ending(child['status'])
    if runs(view, 'corosync'):
        view.update(corosync_view(lab, n))
    if runs(view, 'pmxcfs'):
        view.update(mount_view(lab, n))
    return view


def runs(view, name):
    return view['daemons'].get(name, {}).get('running', False)


def show(lab, as_json):
    views = [node_view(lab, n) for n in lab.numbers()]
    if as_json:
        print(json.dumps({
            'name': lab.name, 'directory': lab.directory, 'build': lab.config['build'],
            'sides': lab.config['sides'], 'faults': lab.config['faults'], 'nodes': views}))
        return 0
    print(f"lab '{lab.name}' in {lab_root()}")
    for view in views:
        daemons = ' '.join(name if d['running'] else f'{name}({d["ended"]})'
                           for name, d in view['daemons'].items())
        words = {True: 'quorate', False: 'NO QUORUM', None: ''}[view['quorate']]
        members = ','.join(map(str, view['members'] or []))
        print(f'  {view["node"]:>2} {view["name"]:<7} {view["address"]:<11} {view["state"]:<6} '
              f'{words:<9} {"sees " + members if members else "":<14} '
              f'{"/etc/pve" if view["mounted"] else "":<8}  {daemons}'.rstrip())
    if lab.config['sides']:
        print('  network split: ' + ' / '.join(','.join(map(str, s)) for s in lab.config['sides']))
    for fault in lab.config['faults']:
        print(f'  lost: {fault["percent"]} % from {fault["from"] or "all"} to {fault["to"]}')
    return 0


# ----------------------------------------------------------------------------------------- waiting

def expected_members(lab, n):
    """Those that run corosync on the node's side of the network."""
    return [m for m in lab.numbers()
            if lab.side_of(m) == lab.side_of(n) and lab.node_state(m) == 'up'
            and lab.is_running(m, 'corosync')]


def unmet(lab, n, condition, view):
    """What is missing on the node for the condition, or None."""
    if condition == 'members':
        wanted = expected_members(lab, n)
        return None if view['members'] == wanted else f'sees {view["members"]}, not {wanted}'
    if condition == 'quorate':
        return None if view['quorate'] else 'is not quorate'
    if condition == 'inquorate':
        return None if view['quorate'] is False and view['cfs_quorate'] is not True \
            else 'still has quorum'
    if condition == 'mounted':
        return None if view['mounted'] else '/etc/pve does not answer'
    wanted = expected_members(lab, n)
    if not view['cfs_quorate'] or view['online'] != wanted:
        return f'pmxcfs: quorate {view["cfs_quorate"]}, online {view["online"]}, not {wanted}'
    # A foreign pmxcfs does not tell its mode.
    return None if view['cfs_mode'] in (None, 'SYNCED') else f'pmxcfs is in mode {view["cfs_mode"]}'


def first_unmet(lab, numbers, conditions):
    for n in numbers:
        view = node_view(lab, n)
        if view['state'] != 'up':
            return f'node {n} is {view["state"]}'
        for condition in conditions or ['settled']:
            missing = unsettled(lab, n, view) if condition == 'settled' \
                else unmet(lab, n, condition, view)
            if missing:
                return f'node {n} {missing}'
    return None


def unsettled(lab, n, view):
    for name, daemon in view['daemons'].items():
        if not daemon['running']:
            raise LabError(f'{name} on node {n} ended ({daemon["ended"]})')
    has_quorum = 2 * len(expected_members(lab, n)) > lab.config['nodes']
    conditions = ['members', 'quorate' if has_quorum else 'inquorate']
    if 'pmxcfs' in view['daemons']:
        conditions += ['mounted', 'joined'] if has_quorum else ['mounted']
    return next(filter(None, (unmet(lab, n, c, view) for c in conditions)), None)


def wait_for(lab, numbers, conditions, seconds):
    for condition in conditions or []:
        if condition not in CONDITIONS:
            raise LabError(f"cannot wait for '{condition}': some of {','.join(CONDITIONS)}")
    deadline = time.monotonic() + seconds
    while True:
        missing = first_unmet(lab, numbers, conditions)
        if missing is None:
            return
        if time.monotonic() > deadline:
            raise LabError(f'after {seconds:g} s: {missing}')
        time.sleep(0.1)
