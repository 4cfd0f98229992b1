/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmxcfs-wait: waits until something below /etc/pve changes, on any node. Reads the change feed
 * `.events`; see pmxcfs-wait(1) and pmxcfs-events(5).
 */
#include "cli/cmdline.h"
#include "lib/cfs/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EXIT_TIME_OVER 124 /* as timeout(1) */
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

typedef struct Wait {
    CfsWatch *watch;
    GPtrArray *paths; /* of char*, relative to the mount; "" is all of it */
} Wait;

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
static int add_path(Wait *w, const char *path, Err *err)
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

static bool counts(const Wait *w, const CfsChange *c)
{
    for (guint i = 0; i < w->paths->len; i++) {
        if (cfs_change_concerns(c, g_ptr_array_index(w->paths, i))) {
            return true;
        }
    }
    return false;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static int print_line(const char *line, Err *err)
{
    printf("%s\n", line);
    return fflush(stdout) != 0 ? err_setf(err, -errno, "writing: %s", g_strerror(errno)) : 0;
}

static int print_number(const Wait *w, Err *err)
{
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, cfs_watch_seq(w->watch));

    if (cfs_watch_seq(w->watch) == 0) {
        return err_setf(err, -ENOTSUP, "the file system at '%s' numbers no changes",
                        options.mountpoint);
    }
    return print_line(number, err);
}

static int64_t ms_until(gint64 end)
{
    return end == 0 ? -1 : MAX(0, (end - g_get_monotonic_time()) / 1000);
}

/* An exit status, or a negative errno. */
static int wait_until_enough(Wait *w, Err *err)
{
    gint64 end = 0; /* monotonic microseconds; 0: never */

    if (options.timeout >= 0) {
        end = g_get_monotonic_time() + (gint64)(MIN(options.timeout, 1e9) * G_USEC_PER_SEC);
    }
    for (;;) {
        g_auto(CfsChange) c = {0};
        int r = cfs_watch_next(w->watch, ms_until(end), &c, err);

        if (r <= 0) {
            return r < 0 ? r : EXIT_TIME_OVER;
        }
        if (counts(w, &c)) {
            r = print_line(c.line != NULL ? c.line : "{\"op\":\"resync\"}", err);
            if (r < 0 || !options.follow) {
                return r;
            }
        }
    }
}

static int parse_since(uint64_t *ret, Err *err)
{
    guint64 number = 0;

    if (options.since != NULL &&
        !g_ascii_string_to_unsigned(options.since, 10, 1, G_MAXINT64, &number, NULL)) {
        return err_setf(err, -EINVAL, "'%s' is no number of a change", options.since);
    }
    *ret = number;
    return 0;
}

static int run(Wait *w, Err *err)
{
    CfsWatchOptions opt = {.fail_when_gone = true};
    int r = parse_since(&opt.since, err);

    for (char **path = options.paths; r == 0 && path != NULL && *path != NULL; path++) {
        r = add_path(w, *path, err);
    }
    if (r == 0) {
        r = cfs_watch_open(options.mountpoint, &opt, &w->watch, err);
    }
    if (r < 0) {
        return r;
    }
    if (w->paths->len == 0) {
        g_ptr_array_add(w->paths, g_strdup("")); /* no path: everything */
    }
    return options.now ? print_number(w, err) : wait_until_enough(w, err);
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
    Wait w = {0};
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
    r = run(&w, &err);
    if (r < 0) {
        fprintf(stderr, "pmxcfs-wait: %s\n", err_text(&err));
        r = r == -EINVAL ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
    }
    cfs_watch_close(w.watch);
    g_ptr_array_unref(w.paths);
    g_free(options.mountpoint);
    g_free(options.since);
    g_strfreev(options.paths);
    return r;
}
