/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/password.h"

#include "lib/cfs/cfsfile.h"
#include "lib/wire/wire_ticket.h"

#include <crypt.h>
#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#define SHADOW_MAX (1024u * 1024u)

/* ---- realm pam ---------------------------------------------------------------------------------
 */

static gboolean too_late(gpointer cancellable)
{
    g_cancellable_cancel(cancellable);
    return G_SOURCE_REMOVE;
}

/* Runs the helper with `input`; its exit status, or -errno. */
static int run_helper(const char *helper, const char *input, gsize size, Err *err)
{
    const char *const argv[] = {helper, NULL};
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GSubprocess) child = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE, &gerror);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GSource) timer = g_timeout_source_new(PASSWORD_WAIT_MS);
    GOutputStream *in;

    if (child == NULL) {
        return err_setf(err, -EIO, "%s: %s", helper, gerror->message);
    }
    in = g_subprocess_get_stdin_pipe(child);
    /* A helper that ends early shows in its status. */
    (void)g_output_stream_write_all(in, input, size, NULL, NULL, NULL);
    (void)g_output_stream_close(in, NULL, NULL);
    g_source_set_callback(timer, too_late, cancellable, NULL);
    (void)g_source_attach(timer, NULL); /* the daemon's main loop */
    (void)g_subprocess_wait(child, cancellable, NULL);
    g_source_destroy(timer);
    if (g_cancellable_is_cancelled(cancellable)) {
        g_subprocess_force_exit(child);
        (void)g_subprocess_wait(child, NULL, NULL); /* it is killed */
        return err_setf(err, -EIO, "PAM does not answer within %d s", PASSWORD_WAIT_MS / 1000);
    }
    return g_subprocess_get_if_exited(child) ? g_subprocess_get_exit_status(child) : 2;
}

static int
by_pam(const char *helper, const char *name, const char *password, const char *peer, Err *err)
{
    GString *input = g_string_new(NULL);
    int status;

    g_string_append_len(input, name, (gssize)strlen(name) + 1);
    g_string_append_len(input, peer, (gssize)strlen(peer) + 1);
    g_string_append_len(input, password, (gssize)strlen(password) + 1);
    status = run_helper(helper, input->str, input->len, err);
    explicit_bzero(input->str, input->len);
    g_string_free(input, TRUE);
    if (status == 0) {
        return 0;
    }
    return status < 0    ? status
           : status == 1 ? err_setf(err, -EACCES, "PAM says no")
                         : err_setf(err, -EIO, "PAM could not be asked (service 'quorate')");
}

/* ---- realm pve ---------------------------------------------------------------------------------
 */

static bool crypt_is(const char *password, const char *hash)
{
    struct crypt_data *data = g_new0(struct crypt_data, 1);
    const char *out = crypt_r(password, hash, data);
    bool same = out != NULL && *out != '*' && wire_ticket_same_text(out, hash);

    explicit_bzero(data, sizeof *data);
    g_free(data);
    return same;
}

/* Lines `NAME:HASH:`. */
static int by_shadow(const char *pve, const char *name, const char *password, Err *err)
{
    /* Hashed for unknown names too, so that the duration does not tell which exist. */
    static const char nobody[] = "$5$rounds=5000$quoratequoratex$no";
    g_autofree char *path = g_build_filename(pve, "priv", "shadow.cfg", NULL);
    g_autofree char *hash = NULL;
    g_auto(GStrv) lines = NULL;
    char *text = NULL;
    gsize size = 0;
    bool same;

    if (cfsfile_read(path, SHADOW_MAX, &text, &size, err) == 0) {
        lines = g_strsplit(text, "\n", -1);
        explicit_bzero(text, size);
        g_free(text);
    }
    for (guint i = 0; lines != NULL && lines[i] != NULL; i++) {
        g_auto(GStrv) f = g_strsplit(lines[i], ":", 4);

        if (g_strv_length(f) >= 2 && strcmp(f[0], name) == 0 && hash == NULL) {
            hash = g_strdup(f[1]);
        }
        explicit_bzero(lines[i], strlen(lines[i]));
    }
    same = crypt_is(password, hash != NULL ? hash : nobody) && hash != NULL;
    if (!same && err != NULL) {
        err_clear(err);
    }
    return same ? 0 : err_setf(err, -EACCES, "wrong password, or no such user in realm 'pve'");
}

int password_check(const char *pve,
                   const char *helper,
                   const char *user,
                   const char *password,
                   const char *peer,
                   Err *err)
{
    const char *realm = strrchr(user, '@');
    g_autofree char *name = NULL;

    if (realm == NULL || strlen(password) > PASSWORD_LENGTH_MAX || *password == '\0') {
        return err_setf(err, -EACCES, "no user, or an impossible password");
    }
    name = g_strndup(user, (gsize)(realm - user));
    if (strcmp(realm, "@pam") == 0) {
        return by_pam(helper, name, password, peer, err);
    }
    if (strcmp(realm, "@pve") == 0) {
        return by_shadow(pve, name, password, err);
    }
    return err_setf(err, -EOPNOTSUPP, "realm '%s' is not supported", realm + 1);
}
