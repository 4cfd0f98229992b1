/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_alerts.h"

#include "lib/cfs/cfsfile.h"
#include "lib/port/log.h"
#include "lib/port/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAIL_MAX  65536
#define NAMES_MAX 64
#define LOOK_MS   20 /* between looks whether sendmail has ended */

const HaAlertPaths ha_alert_paths = {
    .hooks = "/etc/quorate/ha-alert.d",
    .mail = "/etc/quorate/ha-alert.mail",
    .sendmail = "/usr/sbin/sendmail",
    .patience_ms = 30000,
};

typedef struct Message {
    const HaAlertPaths *paths;
    const HaNotice *notice;
    const char *master;
    const char *status;
} Message;

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_hook(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
           (st.st_mode & 022) == 0 && (st.st_mode & 0100) != 0;
}

static void run_hooks(const HaAlertPaths *paths)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(paths->hooks, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL && names->len < NAMES_MAX) {
        g_ptr_array_add(names, g_build_filename(paths->hooks, name, NULL));
    }
    g_clear_pointer(&dir, g_dir_close);
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i < names->len; i++) {
        const char *const argv[] = {g_ptr_array_index(names, i), NULL};
        ProcessOptions options = {.timeout_ms = paths->patience_ms};
        Err why = ERR_INIT;

        if (is_hook(argv[0]) && process_check(argv, &options, NULL, &why) < 0) {
            log_line(TRACE_WARNING, "alert", "%s: %s", argv[0], err_text(&why));
        }
    }
}

/* Its end, or ours of patience: then it goes with all that it has started. */
static int wait_for(pid_t pid, unsigned patience_ms)
{
    gint64 until = g_get_monotonic_time() + patience_ms * G_GINT64_CONSTANT(1000);
    int status;
    pid_t r;

    while ((r = waitpid(pid, &status, WNOHANG)) == 0 && g_get_monotonic_time() < until) {
        g_usleep(LOOK_MS * 1000);
    }
    if (r == 0) {
        (void)kill(-pid, SIGKILL); /* a child of ours that is not reaped yet: it is there */
        (void)waitpid(pid, &status, 0);
        return -ETIMEDOUT;
    }
    return r < 0 ? -errno : status == 0 ? 0 : -EIO;
}

/* sendmail reads the message from its standard input: a file in memory. */
static int send_mail(const Message *m, const char *addresses)
{
    g_autofree char *to = g_strdelimit(g_strstrip(g_strdup(addresses)), "\n", ',');
    g_autofree char *text = g_strdup_printf(
        "To: %s\nSubject: %s: %s\nContent-Type: text/plain; charset=UTF-8\n\n%s\n\nmaster: %s\n"
        "%s%s\n\n%s\n",
        to, m->notice->prefix, m->notice->text, m->notice->text, m->master,
        m->notice->node != NULL ? "node: " : "", m->notice->node != NULL ? m->notice->node : "",
        m->status != NULL ? m->status : "");
    int fd = memfd_create("mail", MFD_CLOEXEC);
    pid_t pid;

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
        lseek(fd, 0, SEEK_SET) < 0) {
        return -errno;
    }
    pid = fork();
    if (pid == 0) {
        (void)setpgid(0, 0); /* cannot fail for a fresh child */
        (void)dup2(fd, STDIN_FILENO);
        execl(m->paths->sendmail, "sendmail", "-t", "-i", (char *)NULL);
        _exit(127);
    }
    (void)close(fd); /* a file in memory */
    if (pid < 0) {
        return -EAGAIN;
    }
    (void)setpgid(pid, pid); /* whoever is first; fails when it runs already, having done it */
    return wait_for(pid, m->paths->patience_ms);
}

static int send_all(void *data)
{
    const Message *m = data;
    g_autofree char *addresses = NULL;

    /* Cannot fail but for lack of memory, which ends us. */
    (void)g_setenv("HA_ALERT_KIND", m->notice->prefix, TRUE);
    (void)g_setenv("HA_ALERT_TEXT", m->notice->text, TRUE);
    (void)g_setenv("HA_ALERT_NODE", m->notice->node != NULL ? m->notice->node : "", TRUE);
    (void)g_setenv("HA_ALERT_SID", m->notice->sid != NULL ? m->notice->sid : "", TRUE);
    (void)g_setenv("HA_ALERT_MASTER", m->master, TRUE);
    run_hooks(m->paths);
    if (cfsfile_read(m->paths->mail, MAIL_MAX, &addresses, NULL, NULL) == 0 &&
        access(m->paths->sendmail, X_OK) == 0) {
        int r = send_mail(m, addresses);

        if (r < 0) {
            log_line(TRACE_WARNING, "alert", "%s: %s", m->paths->sendmail,
                     r == -ETIMEDOUT ? "took too long and was ended"
                     : r == -EIO     ? "failed"
                                     : strerror(-r));
        }
    }
    return 0;
}

void ha_alerts_send(HaWorkers *workers,
                    const HaAlertPaths *paths,
                    const HaNotice *notice,
                    const char *master,
                    const char *status_json)
{
    Message m = {paths, notice, master, status_json};
    int r = ha_workers_start(workers, "alert", send_all, &m);

    if (r < 0) {
        log_line(TRACE_ERR, "alert", "cannot send '%s': %s", notice->text, strerror(-r));
    }
}

/* A service at the look before. */
typedef struct Seen {
    HaServiceState state;
    char *node;
} Seen;

struct HaAlerts {
    StrMap *seen; /* sid -> Seen * */
};

static void seen_free(void *data)
{
    Seen *seen = data;

    g_free(seen->node);
    g_free(seen);
}

HaAlerts *ha_alerts_new(void)
{
    HaAlerts *a = g_new0(HaAlerts, 1);

    a->seen = strmap_new(seen_free);
    return a;
}

void ha_alerts_free(HaAlerts *a)
{
    if (a != NULL) {
        strmap_free(a->seen);
        g_free(a);
    }
}

/* All of fence, recovery and start may happen in one round: then it is where it was not before,
 * without a motion. */
static bool was_recovered(const Seen *before, const HaService *s)
{
    return (s->state == HA_SERVICE_STARTED || s->state == HA_SERVICE_REQUEST_STOP) &&
           (before->state == HA_SERVICE_RECOVERY || before->state == HA_SERVICE_FENCE ||
            (before->state == HA_SERVICE_STARTED && s->proof != NULL &&
             strcmp(before->node, s->node) != 0));
}

static void remember(HaAlerts *a, const char *sid, const HaService *s)
{
    Seen *now = g_new0(Seen, 1);

    *now = (Seen){s->state, g_strdup(s->node)};
    strmap_set(a->seen, sid, now);
}

static void forget_others(HaAlerts *a, const HaManagerStatus *ms)
{
    for (guint i = 0; i < strmap_size(a->seen);) {
        if (strmap_has(ms->services, strmap_key(a->seen, i))) {
            i++;
        } else {
            strmap_remove_at(a->seen, i);
        }
    }
}

void ha_alerts_observe(HaAlerts *a, const HaManagerStatus *ms)
{
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        remember(a, strmap_key(ms->services, i), strmap_value(ms->services, i));
    }
    forget_others(a, ms);
}

static void look_at_service(HaAlerts *a,
                            const char *sid,
                            const HaService *s,
                            void (*notify)(void *ctx, const HaNotice *notice),
                            void *ctx)
{
    const Seen *before = strmap_get(a->seen, sid);
    g_autofree char *text = NULL;
    HaNotice notice = {.node = s->node, .sid = sid};

    if (before != NULL && before->state != s->state && s->state == HA_SERVICE_ERROR) {
        text = g_strdup_printf("service '%s' on node '%s' is in error state and needs help", sid,
                               s->node);
        notice.prefix = "ERROR";
    } else if (before != NULL && was_recovered(before, s)) {
        text = g_strdup_printf("service '%s' was recovered to node '%s' (%s)", sid, s->node,
                               s->proof != NULL ? s->proof : "lease-expired");
        notice.prefix = "RECOVERY";
    }
    if (text != NULL) {
        notice.text = text;
        notify(ctx, &notice);
    }
    remember(a, sid, s);
}

void ha_alerts_look(HaAlerts *a,
                    const HaManagerStatus *ms,
                    void (*notify)(void *ctx, const HaNotice *notice),
                    void *ctx)
{
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        look_at_service(a, strmap_key(ms->services, i), strmap_value(ms->services, i), notify, ctx);
    }
    forget_others(a, ms);
}

bool ha_alerts_look_at_spare(bool told_lost,
                             const char *why,
                             void (*notify)(void *ctx, const HaNotice *notice),
                             void *ctx)
{
    HaNotice notice = {.prefix = "REDUNDANCY"};
    g_autofree char *text = NULL;
    bool lost = why != NULL;

    if (lost != told_lost) {
        text = lost ? g_strdup_printf("lost redundancy: %s", why)
                    : g_strdup("redundancy is back: the loss of any node can be carried");
        notice.text = text;
        notify(ctx, &notice);
    }
    return lost;
}
