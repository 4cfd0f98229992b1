/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/joiner.h"

#include "quorum/io/certs.h"

#include <stdarg.h>
#include <string.h>

static void guest_free(void *p)
{
    JoinerGuest *g = p;

    g_free(g->dir);
    g_free(g->name);
    g_free(g->text);
    g_free(g);
}

void joiner_init(Joiner *j, const ClusterPaths *paths, const JoinClientOptions *opt)
{
    *j = (Joiner){.paths = paths, .opt = opt, .guests = g_ptr_array_new_with_free_func(guest_free)};
}

void joiner_done(Joiner *j)
{
    jointoken_done(&j->token);
    jointoken_free_line(j->token_line);
    certs_free_key(j->key);
    explicit_bzero(j->authkey, sizeof j->authkey);
    g_clear_pointer(&j->addresses, g_ptr_array_unref);
    g_clear_pointer(&j->guests, g_ptr_array_unref);
    g_free(j->peer);
    g_free(j->node);
    g_free(j->fqdn);
    g_free(j->address);
    g_free(j->backup);
    g_free(j->cert);
    g_free(j->ca);
    g_free(j->conf);
}

void joiner_say(const Joiner *j, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (j->opt->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    j->opt->say(j->opt->ctx, text);
}

bool joiner_by_token(const Joiner *j)
{
    return j->token_line != NULL;
}

void joiner_problem(Joiner *j, int *count, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    joiner_say(j, "problem: %s", text);
    (*count)++;
}

JoinerGuest *joiner_add_guest(Joiner *j, const char *dir, const char *name)
{
    JoinerGuest *g = g_new0(JoinerGuest, 1);

    g->dir = g_strdup(dir);
    g->name = g_strdup(name);
    g_ptr_array_add(j->guests, g);
    return g;
}

char *joiner_saved(const Joiner *j, const char *name)
{
    return g_build_filename(j->backup, name, NULL);
}

int joiner_prepare(Joiner *j, const char *line, const char *peer, Err *err)
{
    int r;

    if ((line != NULL && (r = jointoken_parse(line, &j->token, err)) < 0) ||
        (r = cluster_this_node(&j->node, &j->fqdn, &j->addresses, err)) < 0) {
        return r;
    }
    j->token_line = line != NULL ? jointoken_format(&j->token) : NULL;
    j->peer = g_strdup(peer);
    r = cluster_own_address(j->node, j->addresses, &j->address, err);
    if (r < 0 && j->opt->links[0].present) {
        err_clear(err); /* links are given: the fallback address is not needed */
        r = 0;
    }
    return r;
}
