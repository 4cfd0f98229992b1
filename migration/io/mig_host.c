/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_host.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/log.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_S "20" /* for a QEMU that only answers questions */

struct MigHosts {
    GMutex lock;       /* held while QEMU is asked: nobody asks twice */
    GHashTable *known; /* char * -> MigHost *; what is outdated stays for those who borrowed it */
};

MigHosts *mig_hosts_new(void)
{
    MigHosts *h = g_new0(MigHosts, 1);

    g_mutex_init(&h->lock);
    h->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return h;
}

static void take_machines(MigHost *host, const JsonTree *list)
{
    host->machines = jsontree_new_array();
    for (guint i = 0; i < jsontree_count(list); i++) {
        const char *name = jsontree_get_text(jsontree_at(list, i), "name");
        const char *alias = jsontree_get_text(jsontree_at(list, i), "alias");

        if (name != NULL) {
            jsontree_add(host->machines, jsontree_new_text(name));
        }
        if (alias != NULL) {
            jsontree_add(host->machines, jsontree_new_text(alias));
        }
    }
}

static void take_version(MigHost *host, const JsonTree *t)
{
    const JsonTree *v = jsontree_get(t, "qemu");

    host->version =
        g_strdup_printf("%d.%d.%d", (int)jsontree_get_int(v, "major", 0),
                        (int)jsontree_get_int(v, "minor", 0), (int)jsontree_get_int(v, "micro", 0));
}

/* Questions, in the order of the answers. */
static const char questions[] = "{\"execute\":\"qmp_capabilities\"}\n"
                                "{\"execute\":\"query-version\",\"id\":\"version\"}\n"
                                "{\"execute\":\"query-machines\",\"id\":\"machines\"}\n"
                                "{\"execute\":\"query-cpu-model-expansion\",\"id\":\"cpu\","
                                "\"arguments\":{\"type\":\"full\",\"model\":{\"name\":\"max\"}}}\n"
                                "{\"execute\":\"migrate-set-parameters\",\"id\":\"zstd\","
                                "\"arguments\":{\"multifd-compression\":\"zstd\"}}\n"
                                "{\"execute\":\"quit\"}\n";

static void take_answer(MigHost *host, const char *line)
{
    g_autoptr(JsonTree) t = NULL;
    const JsonTree *value;
    const char *id;
    Err err = ERR_INIT;

    if (*line == '\0' || jsontree_parse(line, strlen(line), &t, &err) < 0) {
        return; /* what is missing is seen at the end */
    }
    id = jsontree_get_text(t, "id");
    value = jsontree_get(t, "return");
    if (value == NULL || id == NULL) {
        return;
    }
    if (strcmp(id, "version") == 0) {
        take_version(host, value);
    } else if (strcmp(id, "machines") == 0) {
        take_machines(host, value);
    } else if (strcmp(id, "cpu") == 0) {
        host->cpu = jsontree_copy(jsontree_get(jsontree_get(value, "model"), "props"));
    } else if (strcmp(id, "zstd") == 0) {
        host->zstd = true;
    }
}

static MigHost *ask(const char *program, bool kvm, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GSubprocess) p = g_subprocess_new(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
            G_SUBPROCESS_FLAGS_STDERR_PIPE,
        &gerror, "timeout", PROBE_S, program, "-M", "none", "-accel", kvm ? "kvm" : "tcg",
        "-nodefaults", "-no-user-config", "-display", "none", "-S", "-qmp", "stdio", NULL);
    g_autofree char *out = NULL, *said = NULL;
    g_auto(GStrv) lines = NULL;
    MigHost *host;

    if (p == NULL || !g_subprocess_communicate_utf8(p, questions, NULL, &out, &said, &gerror)) {
        (void)err_setf(err, -EIO, "%s: %s", program, gerror->message);
        return NULL;
    }
    host = g_new0(MigHost, 1);
    lines = g_strsplit(out, "\n", -1);
    for (int i = 0; lines[i] != NULL; i++) {
        take_answer(host, g_strchomp(lines[i]));
    }
    if (host->version != NULL && host->machines != NULL) {
        return host; /* not every architecture can tell about CPUs */
    }
    (void)err_setf(err, -EIO, "%s: %s", program, *said != '\0' ? g_strchomp(said) : "no answer");
    g_free(host->version);
    jsontree_free(host->machines);
    jsontree_free(host->cpu);
    g_free(host);
    return NULL;
}

int mig_hosts_get(MigHosts *h, const char *arch, bool kvm, const MigHost **ret, Err *err)
{
    g_autofree char *name = g_strdup_printf("qemu-system-%s", arch);
    g_autofree char *program = g_find_program_in_path(name);
    g_autofree char *key = NULL;
    struct stat st;
    MigHost *host;

    if (program == NULL || stat(program, &st) < 0) {
        return err_setf(err, -ENOENT, "%s is not installed", name);
    }
    key = g_strdup_printf("%s %s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, program,
                          kvm ? "kvm" : "tcg", (gint64)st.st_mtime, (gint64)st.st_size);
    g_mutex_lock(&h->lock);
    host = g_hash_table_lookup(h->known, key);
    if (host == NULL && (host = ask(program, kvm, err)) != NULL) {
        g_hash_table_insert(h->known, g_steal_pointer(&key), host);
    }
    g_mutex_unlock(&h->lock);
    *ret = host;
    return host != NULL ? 0 : -EIO;
}

int64_t mig_host_mtu(const char *bridge)
{
    g_autofree char *path = NULL, *text = NULL;
    Err err = ERR_INIT;

    if (strchr(bridge, '/') != NULL) {
        return 0;
    }
    path = g_build_filename("/sys/class/net", bridge, "mtu", NULL);
    return cfsfile_read(path, 64, &text, NULL, &err) == 0 ? g_ascii_strtoll(text, NULL, 10) : 0;
}

static void *warm_main(void *data)
{
    bool kvm = access("/dev/kvm", R_OK | W_OK) == 0;
    const MigHost *host = NULL;
    Err err = ERR_INIT;

    if (mig_hosts_get(data, "x86_64", kvm, &host, &err) < 0) {
        log_line(TRACE_INFO, "migrate", "%s", err_text(&err)); /* a move asks again, and says so */
    }
    return NULL;
}

void mig_hosts_warm(MigHosts *h)
{
    g_thread_unref(g_thread_new("mig-host", warm_main, h));
}
