/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_host DIR: the real mount on an engine in memory, steered by commands on standard input, one
 * a line, each answered by one line: "ok [VALUE]" or "error ERRNO". Words are separated by spaces.
 *
 *   write PATH TEXT [OFFSET]   another node writes (creates when missing; replaces without OFFSET)
 *   create|mkdir|delete PATH   another node does
 *   rename PATH TO             another node does
 *   mtime PATH SECONDS         another node does
 *   replace NAME TEXT          the tree is replaced by itself plus a file
 *   quorum 0|1                 quorum is lost or gained
 *   fail ERRNO                 the next change of ours is taken back with this error
 *   lose ERRNO                 the next making of a file is taken back when it is waited for
 *   hold 0|1                   changes wait for their disk, or no longer
 *   held                       changes that wait so
 *   advance SECONDS            locks get older
 *   changes                    changes so far: prints their number
 *   requests                   requests that entered the daemon so far
 *   sum PATH                   FNV-1a of the content in the tree
 *   stop                       ends; also at the end of input
 */
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/io/mount_priv.h"
#include "tests/lib/engine_mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Host {
    Engine *engine;
    Mount *mount;
} Host;

static void on_trace(void *ctx, TraceLevel level, const char *line)
{
    (void)ctx;
    fprintf(stderr, "mount_host[%d]: %s\n", (int)level, line);
}

static int remote_write(Engine *e, char **words)
{
    g_autoptr(Entry) old = NULL;
    g_autoptr(GBytes) data = g_bytes_new(words[2], strlen(words[2]));
    TreeOp create = {.kind = TREE_OP_CREATE, .path = words[1]};
    TreeOp op = {.kind = TREE_OP_WRITE, .path = words[1], .data = data};
    int r = engine_lookup(e, words[1], &old) == 0 ? 0 : engine_mem_remote(e, &create);
    if (words[3] != NULL) {
        op.offset = g_ascii_strtoull(words[3], NULL, 10);
    } else {
        op.truncate = true;
    }
    return r < 0 ? r : engine_mem_remote(e, &op);
}

static int remote(Engine *e, char **words, guint n)
{
    static const struct {
        const char *word;
        TreeOpKind kind;
    } kinds[] = {{"create", TREE_OP_CREATE},
                 {"mkdir", TREE_OP_MKDIR},
                 {"delete", TREE_OP_DELETE},
                 {"rename", TREE_OP_RENAME},
                 {"mtime", TREE_OP_MTIME}};
    TreeOp op = {.path = words[1], .to = n > 2 ? words[2] : NULL};
    if (n > 2) {
        op.mtime = (uint32_t)g_ascii_strtoull(words[2], NULL, 10);
    }
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(words[0], kinds[i].word) == 0) {
            op.kind = kinds[i].kind;
            return engine_mem_remote(e, &op);
        }
    }
    return -EINVAL;
}

static int64_t sum(Engine *e, const char *path)
{
    g_autoptr(Entry) entry = NULL;
    uint32_t hash = 2166136261u;
    int r = engine_lookup(e, path, &entry);
    if (r < 0) {
        return r;
    }
    const uint8_t *data = entry->data != NULL ? g_bytes_get_data(entry->data, NULL) : NULL;
    for (uint32_t i = 0; i < entry->size; i++) {
        hash = (hash ^ data[i]) * 16777619u;
    }
    return hash;
}

/* Returns the answer's value or -errno. */
static int64_t command(Host *h, char **words)
{
    guint n = g_strv_length(words);
    const char *word = words[0];
    int64_t number = n > 1 ? g_ascii_strtoll(words[1], NULL, 10) : 0;
    if (strcmp(word, "changes") == 0) {
        return (int64_t)engine_mem_changes(h->engine);
    }
    if (strcmp(word, "requests") == 0) {
        return (int64_t)mount_stats_requests(h->mount->stats);
    }
    if (strcmp(word, "held") == 0) {
        return engine_mem_held(h->engine);
    }
    if (n < 2) {
        return -EINVAL;
    }
    if (strcmp(word, "quorum") == 0) {
        engine_mem_set_quorate(h->engine, number != 0);
    } else if (strcmp(word, "fail") == 0) {
        engine_mem_fail_next(h->engine, (int)-number);
    } else if (strcmp(word, "lose") == 0) {
        engine_mem_lose_next(h->engine, (int)-number);
    } else if (strcmp(word, "hold") == 0) {
        engine_mem_hold(h->engine, number != 0);
    } else if (strcmp(word, "advance") == 0) {
        engine_mem_advance(h->engine, number);
    } else if (strcmp(word, "sum") == 0) {
        return sum(h->engine, words[1]);
    } else if (strcmp(word, "write") == 0) {
        return n < 3 ? -EINVAL : remote_write(h->engine, words);
    } else if (strcmp(word, "replace") == 0) {
        return n < 3 ? -EINVAL : engine_mem_replace(h->engine, words[1], words[2]);
    } else {
        return remote(h->engine, words, n);
    }
    return 0;
}

static gpointer commands(gpointer data)
{
    Host *h = data;
    char line[4096];
    bool stop = false;
    while (!stop && fgets(line, sizeof(line), stdin) != NULL) {
        g_auto(GStrv) words = g_strsplit(g_strchomp(line), " ", -1);
        if (words[0] == NULL) {
            continue;
        }
        stop = strcmp(words[0], "stop") == 0;
        int64_t r = stop ? 0 : command(h, words);
        if (r < 0) {
            printf("error %" PRId64 "\n", -r);
        } else {
            printf("ok %" PRId64 "\n", r);
        }
        (void)fflush(stdout); /* a reader that is gone needs no answer */
    }
    mount_stop(h->mount);
    return NULL;
}

int main(int argc, char **argv)
{
    Tracer tracer = {on_trace, NULL};
    MountOptions options = {.gid = 33};
    Err err = ERR_INIT;
    if (argc != 2) {
        fprintf(stderr, "usage: mount_host DIR\n");
        return 2;
    }
    Host h = {.engine = engine_mem_new("alpha")};
    int r = mount_new(h.engine, argv[1], &options, &tracer, &h.mount, &err);
    if (r == 0) {
        r = mount_attach(h.mount, &err);
    }
    if (r == 0) {
        printf("ready\n");
        (void)fflush(stdout);
        GThread *thread = g_thread_new("commands", commands, &h);
        r = mount_run(h.mount, &err);
        if (r == 0) {
            g_thread_join(thread);
        }
    }
    if (r < 0) {
        fprintf(stderr, "mount_host: %s\n", err_text(&err));
        return 1;
    }
    mount_free(h.mount);
    engine_free(h.engine);
    return 0;
}
