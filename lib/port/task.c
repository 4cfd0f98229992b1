/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/task.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERDICT_WAIT_MS 300
#define END_SIZE        (2 * TASK_LINE_MAX) /* of a log: its last line is in it */

typedef struct Running {
    char *dir, *upid, *path;
    GSubprocess *child;
} Running;

static void running_free(Running *t)
{
    g_free(t->dir);
    g_free(t->upid);
    g_free(t->path);
    g_clear_object(&t->child);
    g_free(t);
}

static char *log_path(const char *dir, const Upid *u, const char *upid)
{
    char digit[2] = {"0123456789ABCDEF"[u->starttime & 15], '\0'};

    return g_build_filename(dir, digit, upid, NULL);
}

/* Start of a process in clock ticks: the 22nd field, counted behind the name in parentheses. */
static uint64_t process_start(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *behind;

    if (!g_file_get_contents(path, &text, NULL, NULL) || (behind = strrchr(text, ')')) == NULL) {
        return 0;
    }
    fields = g_strsplit(behind + 1, " ", -1);
    return g_strv_length(fields) > 20 ? g_ascii_strtoull(fields[20], NULL, 10) : 0;
}

static bool alive(const Upid *u)
{
    return u->pid != 0 && u->pstart != 0 && process_start((pid_t)u->pid) == u->pstart;
}

/* ---- the lists ---------------------------------------------------------------------------------
 */

/* A line of `active`: its process was not killed before it could take the line away. */
static bool line_lives(const char *line)
{
    g_autofree char *upid = g_strndup(line, strcspn(line, " "));
    g_auto(Upid) u = {0};

    return upid_parse(upid, &u, NULL) == 0 && alive(&u);
}

/* Rewrites `active` without `upid` (and with it as a new line when `begins`). */
static void update_active(const char *dir, const char *upid, bool begins)
{
    g_autofree char *lock_path = g_build_filename(dir, ".active.lock", NULL);
    g_autofree char *path = g_build_filename(dir, "active", NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (lock >= 0) {
        (void)flock(lock, LOCK_EX); /* fails only for bad descriptors */
    }
    (void)g_file_get_contents(path, &text, NULL, NULL);
    lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        if (!g_str_has_prefix(lines[i], upid) && line_lives(lines[i])) {
            g_string_append_printf(out, "%s\n", lines[i]);
        }
    }
    if (begins) {
        g_string_append_printf(out, "%s 0\n", upid);
    }
    /* The list is for display: a full disk must not stop the work. */
    (void)g_file_set_contents_full(path, out->str, (gssize)out->len, G_FILE_SET_CONTENTS_CONSISTENT,
                                   0644, NULL);
    if (lock >= 0) {
        (void)close(lock); /* ends the lock */
    }
}

static void append_line(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    if (fd >= 0) {
        ssize_t n = write(fd, text, strlen(text)); /* as above: for display */

        (void)n;
        (void)close(fd);
    }
}

/* ---- running -----------------------------------------------------------------------------------
 */

/* The end of a log, however large it has grown. NULL: it cannot be read. Caller frees. */
static char *end_of(const char *path)
{
    g_autofree char *text = g_malloc(END_SIZE + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    ssize_t n = size >= 0 ? pread(fd, text, END_SIZE, MAX(size - (off_t)END_SIZE, 0)) : -1;

    if (fd >= 0) {
        (void)close(fd); /* only read */
    }
    if (n < 0) {
        return NULL;
    }
    for (ssize_t i = 0; i < n; i++) {
        text[i] = text[i] != '\0' ? text[i] : '?'; /* one text, whatever was written */
    }
    text[n] = '\0';
    return g_steal_pointer(&text);
}

/* Last line that says something; the text after "PROGRAM VERB: " stays as it is. Caller frees. */
static char *last_line(const char *path)
{
    g_autofree char *text = end_of(path);
    g_auto(GStrv) lines = NULL;

    if (text == NULL) {
        return g_strdup("its log cannot be read");
    }
    lines = g_strsplit(text, "\n", -1);
    for (guint i = g_strv_length(lines); i > 0; i--) {
        if (*g_strstrip(lines[i - 1]) != '\0') {
            return g_strndup(lines[i - 1], TASK_LINE_MAX);
        }
    }
    return g_strdup("no output");
}

/* The verdict in the log, the task in the index and no longer among the active ones. Frees it. */
static void close_lists(Running *t, const char *error)
{
    g_autofree char *index = g_build_filename(t->dir, "index", NULL);
    g_autofree char *text = g_strdup(error != NULL ? error : "OK");
    g_autofree char *line = NULL;
    g_autofree char *entry = NULL;

    g_strdelimit(text, "\n", ' '); /* both files have it as one line */
    line = g_strdup_printf("TASK %s%s\n", error != NULL ? "ERROR: " : "", text);
    append_line(t->path, line);
    entry = g_strdup_printf("%s %08X %s\n", t->upid, (guint32)clock_wall().sec, text);
    append_line(index, entry);
    update_active(t->dir, t->upid, false);
    running_free(t);
}

static gpointer wait_for_end(gpointer data)
{
    Running *t = data;
    g_autofree char *status = NULL;

    (void)g_subprocess_wait(t->child, NULL, NULL); /* cannot be cancelled */
    if (g_subprocess_get_successful(t->child)) {
        close_lists(t, NULL);
        return NULL;
    }
    if (g_subprocess_get_if_signaled(t->child)) {
        status = g_strdup_printf("ended by signal %d", g_subprocess_get_term_sig(t->child));
    } else {
        status = last_line(t->path);
    }
    close_lists(t, status);
    return NULL;
}

static void new_session(gpointer data)
{
    (void)data;
    (void)setsid(); /* fails only for leaders of a group, which a new process is not */
}

static int open_log(const char *dir, char **ret_path, Err *err)
{
    g_autofree char *path = g_build_filename(dir, ".start.XXXXXX", NULL);
    int fd, r;

    if (g_mkdir_with_parents(dir, 0755) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", dir, strerror(-r));
    }
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0640);
    if (fd < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    *ret_path = g_steal_pointer(&path);
    return fd;
}

static int feed(GSubprocess *child, const char *input, Err *err)
{
    GOutputStream *in = g_subprocess_get_stdin_pipe(child);
    g_autoptr(GError) gerror = NULL;

    if ((input != NULL &&
         !g_output_stream_write_all(in, input, strlen(input), NULL, NULL, &gerror)) ||
        !g_output_stream_close(in, NULL, &gerror)) {
        return err_setf(err, -EIO, "starting the task: %s", gerror->message);
    }
    return 0;
}

static int spawn(const TaskSpec *spec, int log, GSubprocess **ret, Err *err)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDIN_PIPE);
    g_autoptr(GError) gerror = NULL;

    g_subprocess_launcher_take_stdout_fd(launcher, dup(log));
    g_subprocess_launcher_take_stderr_fd(launcher, dup(log));
    g_subprocess_launcher_set_child_setup(launcher, new_session, NULL, NULL);
    g_subprocess_launcher_set_cwd(launcher, "/");
    g_subprocess_launcher_setenv(launcher, TASK_ENV, "1", TRUE);
    *ret = g_subprocess_launcher_spawnv(launcher, spec->argv, &gerror);
    if (*ret == NULL) {
        return err_setf(err, -EIO, "%s", gerror->message);
    }
    return feed(*ret, spec->input, err);
}

/* The log under its final name; the child goes on writing into the same file. */
static int name_log(Running *t, const char *temporary, const Upid *u, Err *err)
{
    g_autofree char *folder = NULL;
    int r;

    t->upid = upid_format(u);
    t->path = log_path(t->dir, u, t->upid);
    folder = g_path_get_dirname(t->path);
    if (g_mkdir_with_parents(folder, 0755) < 0 || rename(temporary, t->path) < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", t->path, strerror(-r));
    }
    return 0;
}

static Upid upid_of(const TaskSpec *spec)
{
    return (Upid){.node = (char *)spec->node,
                  .type = (char *)spec->type,
                  .id = (char *)spec->id,
                  .user = (char *)spec->user,
                  .starttime = (uint32_t)clock_wall().sec};
}

/* A task that begins: a child that runs the command of `spec`, or this process. */
static int begin(const char *dir, const TaskSpec *spec, bool runs, Running **ret, Err *err)
{
    Running *t = g_new0(Running, 1);
    g_autofree char *temporary = NULL;
    Upid u = upid_of(spec);
    int log, r;

    t->dir = g_strdup(dir);
    log = open_log(dir, &temporary, err);
    r = log < 0 ? log : runs ? spawn(spec, log, &t->child, err) : 0;
    if (log >= 0) {
        (void)close(log); /* a child has its own; our own lines are appended by name */
    }
    if (r == 0) {
        const char *pid = runs ? g_subprocess_get_identifier(t->child) : NULL;

        /* Of a child NULL: it has ended already, which the log will tell. */
        u.pid = !runs         ? (uint32_t)getpid()
                : pid != NULL ? (uint32_t)g_ascii_strtoull(pid, NULL, 10)
                              : 0;
        u.pstart = process_start((pid_t)u.pid);
        r = name_log(t, temporary, &u, err);
    }
    if (r < 0) {
        if (temporary != NULL) {
            (void)g_unlink(temporary); /* renamed already, or of no use */
        }
        running_free(t);
        return r;
    }
    update_active(dir, t->upid, true);
    *ret = t;
    return 0;
}

int task_start(const char *dir, const TaskSpec *spec, char **ret_upid, Err *err)
{
    Running *t;
    int r = begin(dir, spec, true, &t, err);

    if (r == 0) {
        *ret_upid = g_strdup(t->upid);
        g_thread_unref(g_thread_new("task", wait_for_end, t));
    }
    return r;
}

/* ---- this process ------------------------------------------------------------------------------
 */

struct TaskRecord {
    Running *running;
};

int task_record_begin(const char *dir, const TaskSpec *spec, TaskRecord **ret, Err *err)
{
    Running *t;
    int r = begin(dir, spec, false, &t, err);

    if (r == 0) {
        *ret = g_new0(TaskRecord, 1);
        (*ret)->running = t;
    }
    return r;
}

void task_record_say(TaskRecord *t, const char *line)
{
    if (t != NULL) {
        g_autofree char *text = g_strconcat(line, "\n", NULL);

        append_line(t->running->path, text);
    }
}

void task_record_end(TaskRecord *t, const char *error)
{
    if (t != NULL) {
        close_lists(t->running, error);
        g_free(t);
    }
}

/* ---- asking ------------------------------------------------------------------------------------
 */

int task_log(const char *dir, const char *upid, char **ret, gsize *ret_size, Err *err)
{
    g_auto(Upid) u = {0};
    g_autofree char *path = NULL;
    g_autoptr(GError) gerror = NULL;
    struct stat st;
    int r = upid_parse(upid, &u, err);

    if (r < 0) {
        return r;
    }
    path = log_path(dir, &u, upid);
    if (stat(path, &st) < 0) {
        return err_setf(err, -ENOENT, "no such task");
    }
    if (st.st_size > TASK_LOG_MAX) {
        return err_setf(err, -EFBIG, "the log of the task is larger than %u bytes", TASK_LOG_MAX);
    }
    return g_file_get_contents(path, ret, ret_size, &gerror)
               ? 0
               : err_setf(err, -EIO, "%s", gerror->message);
}

/* Reads the verdict off the log's last line; false when there is none. */
static bool verdict(const char *text, TaskStatus *ret)
{
    const char *line = strrchr(text, '\n');

    line = line != NULL ? line + 1 : text;
    if (g_str_has_prefix(line, "TASK ERROR: ")) {
        *ret = (TaskStatus){.exitstatus = g_strdup(line + 12)};
    } else if (strcmp(line, "TASK OK") == 0 || g_str_has_prefix(line, "TASK WARNINGS: ")) {
        *ret = (TaskStatus){.exitstatus = g_strdup(line + 5)};
    } else {
        return false;
    }
    return true;
}

int task_status(const char *dir, const char *upid, TaskStatus *ret, Err *err)
{
    g_auto(Upid) u = {0};
    g_autofree char *path = NULL;
    int r = upid_parse(upid, &u, err);

    if (r < 0) {
        return r;
    }
    path = log_path(dir, &u, upid);
    for (int tries = 0;; tries++) {
        bool was_alive = alive(&u); /* before the log is read */
        g_autofree char *text = end_of(path);

        if (text == NULL) {
            return err_setf(err, -ENOENT, "no such task");
        }
        if (verdict(g_strchomp(text), ret)) {
            return 0;
        }
        if (was_alive || tries == 1) {
            *ret = (TaskStatus){.running = was_alive,
                                .exitstatus = was_alive ? NULL : g_strdup("unexpected status")};
            return 0;
        }
        g_usleep(VERDICT_WAIT_MS * 1000); /* its last line is about to be written */
    }
}
