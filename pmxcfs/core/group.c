/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/group.h"

STRTAB_DEFINE(group_mode, GroupMode, GROUP_MODE_LIST, GROUP_MODE_N)

int group_member_compare(const GroupMember *a, const GroupMember *b)
{
    if (a->nodeid != b->nodeid) {
        return a->nodeid < b->nodeid ? -1 : 1;
    }
    return (a->pid > b->pid) - (a->pid < b->pid);
}

bool group_member_equal(const GroupMember *a, const GroupMember *b)
{
    return a->nodeid == b->nodeid && a->pid == b->pid;
}
