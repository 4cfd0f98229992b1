/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verification (9.4) that somebody waits for. The protocol has no answer but leaving: who has
 * other content than who asked leaves as soon as it hears the checksum, and comes back. So what is
 * told is who was there when we heard it and left soon after.
 */
#include "lib/base/hextext.h"
#include "pmxcfs/core/replica_priv.h"

#include <errno.h>
#include <string.h>

struct ReplicaVerify {
    uint64_t token;
    MonoTime deadline;
    bool compared; /* the checksum has been heard by all that listen */
    uint8_t csum[WIRE_DFSM_CSUM_SIZE];
    uint32_t n_members;
    GroupMember members[GROUP_MEMBERS_MAX]; /* who was there then */
    bool left[GROUP_MEMBERS_MAX];
};

static void answer(Replica *r, int result, const char *text)
{
    update_answer(r->up, r->verify->token, result, 0, text);
    g_clear_pointer(&r->verify, g_free);
}

void replica_verify_ask(Replica *r, uint64_t token)
{
    if (r->verify != NULL) {
        update_answer(r->up, token, -EBUSY, 0, "a verification is under way");
        return;
    }
    r->verify = g_new0(ReplicaVerify, 1);
    r->verify->token = token;
    r->verify->deadline = mono_add_ms(r->now, REPLICA_VERIFY_MS);
    if (r->dfsm == NULL) {
        answer(r, -ENOTCONN, "this node is in no cluster: there is nobody to compare with");
    } else if (!dfsm_verify(r->dfsm)) {
        answer(r, -EBUSY, "this node is not synchronised with the cluster");
    }
}

void replica_verify_compared(Replica *r, GroupMember asked, const uint8_t csum[WIRE_DFSM_CSUM_SIZE])
{
    GroupMember self = dfsm_self(r->dfsm);
    ReplicaVerify *v = r->verify;
    const DfsmMember *members;

    if (v == NULL || v->compared || !group_member_equal(&asked, &self)) {
        return;
    }
    v->compared = true;
    v->deadline = mono_add_ms(r->now, REPLICA_VERIFY_LEAVE_MS);
    memcpy(v->csum, csum, sizeof v->csum);
    members = dfsm_members(r->dfsm, &v->n_members);
    for (uint32_t i = 0; i < v->n_members; i++) {
        v->members[i] = members[i].id;
    }
}

static bool is_among(GroupMember who, const DfsmMember *members, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (group_member_equal(&members[i].id, &who)) {
            return true;
        }
    }
    return false;
}

void replica_verify_view(Replica *r, const DfsmMember *members, uint32_t n)
{
    ReplicaVerify *v = r->verify;

    if (v == NULL) {
        return;
    }
    if (n == 0) {
        answer(r, -EBUSY, "this node left the group meanwhile: ask again");
        return;
    }
    if (!v->compared) {
        answer(r, -EBUSY, "the members changed meanwhile: ask again");
        return;
    }
    for (uint32_t i = 0; i < v->n_members; i++) {
        v->left[i] = v->left[i] || !is_among(v->members[i], members, n);
    }
}

void replica_verify_tick(Replica *r)
{
    const ReplicaVerify *v = r->verify;
    g_autoptr(GString) text = NULL;
    g_autofree char *csum = NULL;
    uint32_t left = 0;

    if (v == NULL || mono_before(r->now, v->deadline)) {
        return;
    }
    if (!v->compared) {
        answer(r, -ETIMEDOUT, "the verification does not come through");
        return;
    }
    csum = hextext_format(v->csum, sizeof v->csum);
    text = g_string_new(NULL);
    g_string_append_printf(text, "{\"members\":%u,\"checksum\":\"%s\",\"left\":[", v->n_members,
                           csum);
    for (uint32_t i = 0; i < v->n_members; i++) {
        if (v->left[i] && left++ < REPLICA_VERIFY_NAMED) {
            g_string_append_printf(text, "%s%u", left > 1 ? "," : "", v->members[i].nodeid);
        }
    }
    g_string_append(text, "]}");
    answer(r, (int)left, text->str);
}

bool replica_verify_cancel(Replica *r, uint64_t token)
{
    if (r->verify == NULL || r->verify->token != token) {
        return false;
    }
    g_clear_pointer(&r->verify, g_free);
    return true;
}

MonoTime replica_verify_next_tick(const Replica *r)
{
    return r->verify != NULL ? r->verify->deadline : MONO_NEVER;
}
