#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every verb of ha-manager that changes or shows something, as typed on a node of it_71_ha.sh: the
# command, what it says, its exit status. The whole is compared with ha_verbs.expect, that of
# "groups" with ha_groups.expect: for these a node's LRM must be on its way out, so that no master
# makes rules of the groups.
set -u

run()
{
    echo "\$ ha-manager $*"
    ha-manager "$@" 2>&1
    echo "= $?"
}

of_groups()
{
    printf 'group: first\n\tnodes node1:2,node2\n\n' >/etc/pve/ha/groups.cfg
    run groupconfig
    run groupadd second --nodes node3:1,node1:x
    run groupadd second --nodes node3:1,node3
    run groupadd second
    run groupadd 'second one' --nodes node1
    run groupadd second --nodes node3:1,node1 --restricted 1 --nofailback yes --comment 'two of us'
    run groupadd second --nodes node3
    run groupset second --delete restricted,colour
    run groupset second --delete restricted --comment 'not so strict'
    run groupset second --delete nodes
    run groupset second --nofailback=perhaps
    run groupset third --nofailback 1
    run groupset second --nodes node1 --digest 0000000000000000000000000000000000000000
    run groupconfig
    run groupconfig --output-format json
    run add exec:web --group third
    run set exec:web --group third
    run rules add node-affinity home --resources exec:web --nodes node1
    run groupremove second
    run groupremove second
    run groupremove first
    run groupconfig
    rm -f /etc/pve/ha/groups.cfg
}

if [ "${1:-}" = groups ]; then
    of_groups
    exit
fi
for id in 101 102 103; do
    mkdir -p /etc/pve/nodes/node2/qemu-server
    printf 'memory: 64\n' >/etc/pve/nodes/node2/qemu-server/$id.conf
done
for _ in $(seq 300); do
    ha-manager add vm:103 --state ignored 2>/dev/null && break
    sleep 0.1 # the list of guests follows the files
done
run add 999
run add vm:999
run add ct:101
run add dream:1
run add exec:../../bin/true
run add 101 --state stopped --comment 'the first one'
run add vm:101
run add vm:102 --state disabled --max_restart 3 --failback 0 --group g
run add vm:102 --state disabled --max_restart 3 --failback 0
run set 102 --max_relocate 2 --comment second
run set 102 --delete comment,failback
run set 102 --digest 0000000000000000000000000000000000000000 --comment x
run set 102 --delete remark
run set vm:999 --comment x
run set vm:102 --max_restart many
run config --type vm
run config --type vm --output-format json
ha-manager set 102 --comment "$(printf 'red \033[31m')" # is not to reach a terminal
run config --type vm
run config --type dream
run managed 101
run managed vm:103
run managed 999
run migrate vm:999 node1
run migrate vm:101 node9
run crm-command relocate vm:999 node1
run crm-command stop vm:101 soon
run crm-command stop vm:999 0
run crm-command node-maintenance enable node9
run crm-command node-maintenance now node1
run crm-command disarm-ha sing
run rules add resource-affinity apart --affinity negative --resources vm:102,vm:101
run rules add resource-affinity apart --affinity negative --resources vm:102,vm:101
run rules add resource-affinity together --affinity positive --resources vm:101,vm:102
run rules add resource-affinity one --affinity positive --resources vm:101
run rules add resource-affinity none --affinity positive
run rules add resource-affinity odd --affinity positive --resources vm:101,vm:998,vm:999
run rules add node-affinity home --resources vm:101
run rules add node-affinity home --resources vm:101 --nodes node1,node8,node9:2
run rules add node-affinity home --resources vm:101 --nodes node1:high
run rules add node-affinity home --resources vm:101 --nodes node1,node2,node1:2
run rules add node-affinity home --resources vm:101 --nodes :1
run rules add node-affinity best --resources vm:101 --nodes node3:1,node1:2
run rules add node-affinity home --resources vm:101 --nodes node3:0,node1,node2 --comment near
run rules add node-affinity away --resources vm:101 --nodes node2
run rules set node-affinity home --nodes node1,node2 --strict 1 --delete comment
run rules set node-affinity home --disable 1
run rules config --resource vm:101 --type node-affinity --output-format json
run rules set node-affinity home --delete affinity
run rules set resource-affinity gone --comment x
run rules list --type vm
run rules list --resource vm:101
run rules config --type node-affinity --resource vm:101
run rules config --resource vm:102 --output-format json
run rules set node-affinity home --disable 0
run rules config --type node-affinity --resource vm:101
run groupconfig
run groupadd g --nodes node1
run groupset g --nofailback 1
run groupremove g
run remove vm:999
run remove vm:103
run remove 102
run rules list --resource vm:101
run remove vm:101
run rules list --resource vm:101
run rules remove home
run config --type vm
rm -f /etc/pve/nodes/node2/qemu-server/10[123].conf
