/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_fencing.h"

#include "lib/base/strmap.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGENTS_MAX 32    /* devices used at once for one node */
#define RETRY_MS   10000 /* after all levels have failed */
#define LOOK_MS    20

extern char **environ;

/* ---- running one level ------------------------------------------------------------------------
 */

static void say_f(HaFenceSay say, void *ctx, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say_f(HaFenceSay say, void *ctx, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    say(ctx, text);
}

/* Only what root alone can change is run. NULL and the reason. */
static char *agent_path(const char *name, Err *err)
{
    g_autofree char *path =
        name[0] == '/' ? g_strdup(name) : g_build_filename(HA_FENCE_AGENT_DIR, name, NULL);
    struct stat st;

    if (stat(path, &st) < 0) {
        (void)err_setf(err, -errno, "%s: %s (Debian: fence-agents)", path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0) {
        (void)err_setf(err, -EPERM, "%s: must be a file that only root can change", path);
        return NULL;
    }
    return g_steal_pointer(&path);
}

/* By the names that fence agents have for them: --password, --snmp-priv-passwd, --community ... */
static bool is_secret(const char *arg)
{
    static const char *const parts[] = {"pass", "secret", "token", "community"};
    gsize n = strcspn(arg, "=");

    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (g_str_has_prefix(arg, "--") && g_strstr_len(arg, (gssize)n, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Short options whose next word is one: password, and of SNMP agents community and privacy. */
static bool is_before_secret(const char *arg)
{
    return strcmp(arg, "-p") == 0 || strcmp(arg, "-c") == 0 || strcmp(arg, "-P") == 0;
}

/* The command for people: what must stay secret is left out (INV-8). */
static char *shown(char *const *argv)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    char *text;

    for (gsize i = 0; argv[i] != NULL; i++) {
        bool hide = is_secret(argv[i]) || (i > 0 && is_before_secret(argv[i - 1]));
        const char *equals = strchr(argv[i], '=');

        if (!hide) {
            g_ptr_array_add(words, g_strdup(argv[i]));
        } else if (equals != NULL) {
            int n = (int)(equals - argv[i]);

            g_ptr_array_add(words, g_strdup_printf("%.*s=HIDDEN", n, argv[i]));
        } else {
            g_ptr_array_add(words, g_strdup("HIDDEN"));
        }
    }
    g_ptr_array_add(words, NULL);
    text = ha_fence_command_text((char *const *)words->pdata);
    return text;
}

/* The agent's words; for a look at the status, its action is replaced. */
static GPtrArray *agent_words(char *const *argv, HaFenceAction action)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (gsize i = 0; argv[i] != NULL; i++) {
        if (action == HA_FENCE_STATUS && g_str_has_prefix(argv[i], "--action=")) {
            continue;
        }
        if (action == HA_FENCE_STATUS && strcmp(argv[i], "-o") == 0 && argv[i + 1] != NULL) {
            i++;
            continue;
        }
        g_ptr_array_add(words, g_strdup(argv[i]));
    }
    if (action == HA_FENCE_STATUS) {
        g_ptr_array_add(words, g_strdup("--action=status"));
    }
    g_ptr_array_add(words, NULL);
    return words;
}

static int spawn_agent(char *const *argv, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&files); /* allocates nothing in glibc */
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    r = posix_spawn(ret, argv[0], &files, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return -r;
}

static bool accepted(HaFenceAction action, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    return code == 0 || (action == HA_FENCE_STATUS && code == 2); /* 2: it is off */
}

static void kill_all(pid_t *pids, guint n)
{
    for (guint i = 0; i < n; i++) {
        if (pids[i] > 0) {
            (void)kill(-pids[i], SIGKILL); /* with all that it started */
            (void)waitpid(pids[i], NULL, 0);
            pids[i] = 0;
        }
    }
}

/* Waits for all; the first that fails ends the others. 0 or -EIO, -ETIMEDOUT. */
static int wait_agents(pid_t *pids, guint n, HaFenceAction action, HaFenceSay say, void *ctx)
{
    MonoTime deadline = mono_add_ms(clock_mono(), HA_FENCE_TIMEOUT_MS);
    guint left = n;

    while (left > 0) {
        for (guint i = 0; i < n; i++) {
            int status;

            if (pids[i] == 0 || waitpid(pids[i], &status, WNOHANG) != pids[i]) {
                continue;
            }
            pids[i] = 0;
            left--;
            if (!accepted(action, status)) {
                say_f(say, ctx, "fence agent failed (%s %d)",
                      WIFEXITED(status) ? "exit status" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
                kill_all(pids, n);
                return -EIO;
            }
        }
        if (left > 0 && !mono_before(clock_mono(), deadline)) {
            say_f(say, ctx, "fence agent did not end within %d s", HA_FENCE_TIMEOUT_MS / 1000);
            kill_all(pids, n);
            return -ETIMEDOUT;
        }
        if (left > 0) {
            g_usleep(LOOK_MS * 1000);
        }
    }
    return 0;
}

static int run_level(GPtrArray *commands, HaFenceAction action, bool dry, HaFenceSay say, void *ctx)
{
    pid_t pids[AGENTS_MAX] = {0};
    guint n = 0;

    if (commands->len > AGENTS_MAX) { /* to leave some out would be no fence */
        say_f(say, ctx, "more than %d devices at once", AGENTS_MAX);
        return -E2BIG;
    }
    for (guint i = 0; i < commands->len; i++) {
        g_autoptr(GPtrArray) words = agent_words(g_ptr_array_index(commands, i), action);
        g_autofree char *text = shown((char *const *)words->pdata);
        Err why = ERR_INIT;
        char *path = agent_path(words->pdata[0], &why);
        int r = path == NULL ? why.code : 0;

        say_f(say, ctx, "%s", text);
        if (r == 0) {
            g_free(words->pdata[0]);
            words->pdata[0] = path;
            r = dry ? 0 : spawn_agent((char *const *)words->pdata, &pids[n]);
        }
        if (r < 0) {
            say_f(say, ctx, "%s", why.code < 0 ? err_text(&why) : strerror(-r));
            kill_all(pids, n);
            return r;
        }
        n += !dry;
    }
    return wait_agents(pids, n, action, say, ctx);
}

int ha_fencing_run(const HaFence *f,
                   const char *node,
                   HaFenceAction action,
                   bool dry,
                   HaFenceSay say,
                   void *ctx,
                   Err *err)
{
    bool all = dry || action == HA_FENCE_STATUS; /* otherwise the first that succeeds will do */
    guint level = 0;
    guint failed = 0; /* the first of them; counted from 1 */
    int code = 0;

    for (;; level++) {
        g_autoptr(GPtrArray) commands = ha_fence_commands(f, node, level);
        int r;

        if (commands->len == 0) {
            break;
        }
        r = run_level(commands, action, dry, say, ctx);
        if (r < 0 && failed == 0) {
            failed = level + 1;
            code = r;
        }
        if (!all && r == 0) {
            return 0;
        }
    }
    if (level == 0) {
        return err_setf(err, -ENOENT, "no fence device is connected to node '%s'", node);
    }
    if (!all) {
        return err_setf(err, -EIO, "all fence devices of node '%s' failed", node);
    }
    return failed == 0 ? 0
                       : err_setf(err, code, "fence device number %u of node '%s' failed", failed,
                                  node);
}

/* ---- in the background --------------------------------------------------------------------------
 */

typedef struct Fenced {
    bool done;
    bool failed;
    MonoTime failed_at;
} Fenced;

struct HaFencer {
    HaFenceSay say;
    void *ctx;
    HaWorkers *workers;
    HaFence *config; /* NULL: none, or none that can be used */
    char *text;      /* that it was read from */
    StrMap *nodes;   /* Fenced * */
};

typedef struct Order {
    HaFencer *f;
    const char *node;
} Order;

HaFencer *ha_fencing_new(HaFenceSay say, void (*in_child)(void *ctx), void *ctx)
{
    HaFencer *f = g_new0(HaFencer, 1);

    f->say = say;
    f->ctx = ctx;
    f->workers = ha_workers_new(in_child, ctx);
    f->nodes = strmap_new(g_free);
    return f;
}

void ha_fencing_free(HaFencer *f)
{
    if (f == NULL) {
        return;
    }
    ha_workers_free(f->workers);
    ha_fence_free(f->config);
    strmap_free(f->nodes);
    g_free(f->text);
    g_free(f);
}

static void say_warning(void *data, unsigned line, const char *text)
{
    HaFencer *f = data;

    say_f(f->say, f->ctx, "ha/fence.cfg line %u: %s", line, text);
}

void ha_fencing_configure(HaFencer *f, const char *text)
{
    g_autofree char *errors = NULL;

    if (g_strcmp0(f->text, text) == 0) {
        return;
    }
    g_free(f->text);
    f->text = g_strdup(text);
    g_clear_pointer(&f->config, ha_fence_free);
    if (ha_fence_parse(text, "ha/fence.cfg", say_warning, f, &f->config, &errors) < 0) {
        g_auto(GStrv) lines = g_strsplit(errors, "\n", -1);

        for (gsize i = 0; lines[i] != NULL; i++) {
            if (lines[i][0] != '\0') {
                f->say(f->ctx, lines[i]);
            }
        }
    }
}

bool ha_fencing_can(const HaFencer *f, const char *node)
{
    g_autoptr(GPtrArray) commands = NULL;

    if (f->config == NULL) {
        return false;
    }
    commands = ha_fence_commands(f->config, node, 0);
    return commands->len > 0;
}

static int fence_in_child(void *data)
{
    const Order *order = data;
    Err why = ERR_INIT;
    int r = ha_fencing_run(order->f->config, order->node, HA_FENCE_AS_CONFIGURED, false,
                           order->f->say, order->f->ctx, &why);

    if (r < 0) {
        say_f(order->f->say, order->f->ctx, "%s", err_text(&why));
    }
    return r == 0 ? 0 : 1;
}

void ha_fencing_poll(HaFencer *f)
{
    g_autofree char *node = NULL;
    int status;

    while (ha_workers_reap(f->workers, &node, &status) == 1) {
        Fenced *fenced = strmap_get(f->nodes, node);

        if (fenced != NULL) {
            fenced->done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            fenced->failed = !fenced->done;
            fenced->failed_at = clock_mono();
            say_f(f->say, f->ctx, "fence agents of node '%s' %s", node,
                  fenced->done ? "succeeded: it is off" : "failed, trying again later");
        }
        g_clear_pointer(&node, g_free);
    }
}

int ha_fencing_fence(HaFencer *f, const char *node)
{
    Fenced *fenced = strmap_get(f->nodes, node);
    Order order = {f, node};

    ha_fencing_poll(f);
    if (fenced != NULL && fenced->done) {
        return 1;
    }
    if (ha_workers_busy(f->workers, node) || f->config == NULL) {
        return 0;
    }
    if (fenced != NULL && fenced->failed &&
        mono_diff_us(clock_mono(), fenced->failed_at) < RETRY_MS * US_PER_MS) {
        return 0;
    }
    fenced = g_new0(Fenced, 1);
    strmap_set(f->nodes, node, fenced);
    if (ha_workers_start(f->workers, node, fence_in_child, &order) < 0) {
        fenced->failed = true;
        fenced->failed_at = clock_mono();
    }
    return 0;
}

bool ha_fencing_begun(const HaFencer *f, const char *node)
{
    return strmap_has(f->nodes, node);
}

void ha_fencing_over(HaFencer *f, const char *node)
{
    (void)strmap_remove(f->nodes, node); /* the next time it has to be switched off anew */
}
