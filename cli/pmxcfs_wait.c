/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs-wait: waits until something below /etc/pve changes, on any node. Reads the change feed
 * `.events`; see pmxcfs-wait(1) and pmxcfs-events(5).
 */
#include "cli/cmdline.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_TIME_OVER 124 /* as timeout(1) */
#define LINE_MAX_BYTES (64 * 1024)
#define LINKS_MAX      8

static struct {
    gchar *mountpoint;
    gchar *since;
    gdouble timeout; /* seconds; negative: none */
    gboolean follow, now, version;
    gchar **paths;
} options = {.timeout = -1};

static GOptionEntry entries[] = {
    {"follow", 'f', 0, G_OPTION_ARG_NONE, &options.follow, "Go on after the first change", NULL},
    {"mountpoint", 'm', 0, G_OPTION_ARG_FILENAME, &options.mountpoint, "Default /etc/pve", "DIR"},
    {"now", 'n', 0, G_OPTION_ARG_NONE, &options.now, "Print the present number and exit", NULL},
    {"since", 's', 0, G_OPTION_ARG_STRING, &options.since, "Changes after this number count",
     "NUMBER"},
    {"timeout", 't', 0, G_OPTION_ARG_DOUBLE, &options.timeout, "Give up after so many seconds",
     "SECONDS"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &options.version, "Print the version and exit", NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.paths, NULL, "PATH..."},
    {0},
};

typedef struct Watch {
    int fd;
    GPtrArray *paths; /* of char*, relative to the mount; "" is all of it */
    GString *line;    /* begun and not yet complete */
    gint64 end;       /* monotonic microseconds, 0: never */
} Watch;

/* ---- paths --------------------------------------------------------------------------------- */

/* The same path with slashes only between components. */
static char *tidy_path(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    GString *out = g_string_new(NULL);

    for (char **part = parts; *part != NULL; part++) {
        if (**part != '\0' && strcmp(*part, ".") != 0) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? "/" : "", *part);
        }
    }
    return g_string_free(out, FALSE);
}

/* Events name the real place: a leading link (`local`, `qemu-server`, ...) is followed. */
static char *follow_links(char *path)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        g_autofree char *first = g_strndup(path, strcspn(path, "/"));
        g_autofree char *full = g_build_filename(options.mountpoint, first, NULL);
        g_autofree char *target = g_file_read_link(full, NULL);
        if (target == NULL || g_path_is_absolute(target)) {
            break;
        }
        g_autofree char *longer = g_strconcat(target, path + strlen(first), NULL);
        g_free(path);
        path = tidy_path(longer);
    }
    return path;
}

/* Accepts a path below the mount point, or one relative to it. */
static int add_path(Watch *w, const char *path, Err *err)
{
    size_t len = strlen(options.mountpoint);

    if (g_path_is_absolute(path)) {
        if (strncmp(path, options.mountpoint, len) != 0 ||
            (path[len] != '/' && path[len] != '\0')) {
            return err_setf(err, -EINVAL, "'%s' is not below '%s'", path, options.mountpoint);
        }
        path += len;
    }
    g_ptr_array_add(w->paths, follow_links(tidy_path(path)));
    return 0;
}

static bool below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return len == 0 || (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

static bool is_watched(const Watch *w, const char *path)
{
    for (guint i = 0; path != NULL && i < w->paths->len; i++) {
        if (below(path, g_ptr_array_index(w->paths, i))) {
            return true;
        }
    }
    return false;
}

/* ---- events -------------------------------------------------------------------------------- */

typedef struct Event {
    JsonNode *node; /* owns the strings */
    const char *op, *path, *to;
    gint64 seq;
} Event;

static void event_done(Event *e)
{
    g_clear_pointer(&e->node, json_node_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Event, event_done)

static int parse_event(const char *line, Event *ret, Err *err)
{
    JsonObject *o;

    ret->node = json_from_string(line, NULL);
    if (ret->node == NULL || !JSON_NODE_HOLDS_OBJECT(ret->node)) {
        return err_setf(err, -EBADMSG, "'%s/.events': not an event: %s", options.mountpoint, line);
    }
    o = json_node_get_object(ret->node);
    ret->op = json_object_get_string_member_with_default(o, "op", "");
    ret->path = json_object_get_string_member_with_default(o, "path", NULL);
    ret->to = json_object_get_string_member_with_default(o, "to", NULL);
    ret->seq = json_object_get_int_member_with_default(o, "seq", 0);
    return 0;
}

/* After "lost" and "resync" anything may have changed. */
static bool counts(const Watch *w, const Event *e)
{
    return strcmp(e->op, "lost") == 0 || strcmp(e->op, "resync") == 0 || is_watched(w, e->path) ||
           is_watched(w, e->to);
}

/* 1: enough was seen; 0: go on. */
static int handle_line(Watch *w, const char *line, Err *err)
{
    g_auto(Event) e = {0};
    int r = parse_event(line, &e, err);

    if (r < 0) {
        return r;
    }
    if (options.now) {
        printf("%" G_GINT64_FORMAT "\n", e.seq);
        return 1;
    }
    if (!counts(w, &e)) {
        return 0;
    }
    printf("%s\n", line);
    if (fflush(stdout) != 0) {
        return err_setf(err, -errno, "writing: %s", g_strerror(errno));
    }
    return options.follow ? 0 : 1;
}

static int handle_bytes(Watch *w, const char *bytes, size_t n, Err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            g_string_append_c(w->line, bytes[i]);
            continue;
        }
        int r = handle_line(w, w->line->str, err);
        g_string_truncate(w->line, 0);
        if (r != 0) {
            return r;
        }
    }
    return w->line->len <= LINE_MAX_BYTES ? 0 : err_setf(err, -EBADMSG, "an event without end");
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* 1: readable; 0: the time is over. */
static int wait_readable(const Watch *w, Err *err)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    int ms = -1, r;

    do {
        if (w->end != 0) {
            gint64 left = w->end - g_get_monotonic_time();
            ms = left <= 0 ? 0 : (int)MIN(left / 1000 + 1, G_MAXINT);
        }
        r = poll(&p, 1, ms);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? err_setf(err, -errno, "waiting: %s", g_strerror(errno)) : r;
}

static int watch_until_enough(Watch *w, Err *err)
{
    char buf[16384];

    for (;;) {
        int r = wait_readable(w, err);
        if (r <= 0) {
            return r < 0 ? r : EXIT_TIME_OVER;
        }
        ssize_t n = read(w->fd, buf, sizeof buf);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            return err_setf(err, n < 0 ? -errno : -ENOTCONN, "'%s/.events': %s", options.mountpoint,
                            n < 0 ? g_strerror(errno) : "the file system went away");
        }
        r = handle_bytes(w, buf, (size_t)n, err);
        if (r != 0) {
            return r < 0 ? r : CLI_EXIT_OK;
        }
    }
}

static int seek_since(const Watch *w, Err *err)
{
    guint64 number = 0;

    if (!g_ascii_string_to_unsigned(options.since, 10, 1, G_MAXINT64, &number, NULL)) {
        return err_setf(err, -EINVAL, "'%s' is no number of a change", options.since);
    }
    if (lseek(w->fd, (off_t)number, SEEK_SET) < 0) {
        return err_setf(err, -errno, "'%s/.events': %s", options.mountpoint, g_strerror(errno));
    }
    return 0;
}

/* An exit status, or a negative errno. */
static int run(Watch *w, Err *err)
{
    g_autofree char *events = g_build_filename(options.mountpoint, ".events", NULL);
    int r = 0;

    w->fd = open(events, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (w->fd < 0) {
        return err_setf(err, -errno, "'%s': %s", events, g_strerror(errno));
    }
    for (char **path = options.paths; r == 0 && path != NULL && *path != NULL; path++) {
        r = add_path(w, *path, err);
    }
    if (r == 0 && w->paths->len == 0) {
        g_ptr_array_add(w->paths, g_strdup("")); /* no path: everything */
    }
    if (r == 0 && options.since != NULL) {
        r = seek_since(w, err);
    }
    if (r == 0 && options.timeout >= 0) {
        w->end = g_get_monotonic_time() + (gint64)(MIN(options.timeout, 1e9) * G_USEC_PER_SEC);
    }
    return r < 0 ? r : watch_until_enough(w, err);
}

static int parse_command_line(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- wait for a change in the cluster");
    g_autoptr(GError) gerror = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror)) {
        fprintf(stderr, "pmxcfs-wait: %s\nSee 'pmxcfs-wait --help'.\n", gerror->message);
        return CLI_EXIT_USAGE;
    }
    if (options.mountpoint == NULL) {
        options.mountpoint = g_strdup("/etc/pve");
    }
    return -1;
}

int main(int argc, char **argv)
{
    Watch w = {.fd = -1};
    Err err = ERR_INIT;
    int r = parse_command_line(argc, argv);

    if (r >= 0) {
        return r;
    }
    if (options.version) {
        printf("pmxcfs-wait (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return CLI_EXIT_OK;
    }
    w.paths = g_ptr_array_new_with_free_func(g_free);
    w.line = g_string_new(NULL);
    r = run(&w, &err);
    if (r < 0) {
        fprintf(stderr, "pmxcfs-wait: %s\n", err_text(&err));
        r = r == -EINVAL ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
    }
    if (w.fd >= 0) {
        (void)close(w.fd); /* read only: nothing can be lost */
    }
    g_ptr_array_unref(w.paths);
    g_string_free(w.line, TRUE);
    g_free(options.mountpoint);
    g_free(options.since);
    g_strfreev(options.paths);
    return r;
}
