/* SPDX-License-Identifier: Apache-2.0 */
/* qm_agent: talks to the guest agent inside a guest. What it sends back is not trusted. */
#include "cli/qm_run.h"

#include "guest/io/guest_qmp.h"
#include "lib/base/jsontree.h"
#include "lib/port/clock.h"
#include "lib/port/prompt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXEC_TIMEOUT_S  30
#define EXEC_POLL_FIRST 20u  /* ms */
#define EXEC_POLL_LAST  500u /* ms */
#define STDIN_MAX       (1024 * 1024)
#define PASSWORD_MIN    5
#define PASSWORD_MAX    1024

/* Word of the person, command of the agent. */
static const struct AgentCommand {
    const char *name;
    const char *command;
    bool silent; /* does not answer when it obeys */
} commands[] = {
    {"ping", "guest-ping", false},
    {"get-time", "guest-get-time", false},
    {"info", "guest-info", false},
    {"fsfreeze-status", "guest-fsfreeze-status", false},
    {"fsfreeze-freeze", "guest-fsfreeze-freeze", false},
    {"fsfreeze-thaw", "guest-fsfreeze-thaw", false},
    {"fstrim", "guest-fstrim", false},
    {"network-get-interfaces", "guest-network-get-interfaces", false},
    {"get-vcpus", "guest-get-vcpus", false},
    {"get-fsinfo", "guest-get-fsinfo", false},
    {"get-memory-blocks", "guest-get-memory-blocks", false},
    {"get-memory-block-info", "guest-get-memory-block-info", false},
    {"suspend-hybrid", "guest-suspend-hybrid", true},
    {"suspend-ram", "guest-suspend-ram", true},
    {"suspend-disk", "guest-suspend-disk", true},
    {"shutdown", "guest-shutdown", true},
    {"get-host-name", "guest-get-host-name", false},
    {"get-osinfo", "guest-get-osinfo", false},
    {"get-users", "guest-get-users", false},
    {"get-timezone", "guest-get-timezone", false},
};

static int begin(char **operands, GuestHost **h, uint32_t *vmid, Err *err)
{
    int r = qm_run_begin(operands, h, vmid, err);

    return r < 0 ? r : qm_run_check_here(*h, *vmid, err);
}

static int find_command(const char *name, const struct AgentCommand **ret, Err *err)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            *ret = &commands[i];
            return 0;
        }
        g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", commands[i].name);
    }
    return err_setf(err, -EINVAL, "no command '%.40s'; there are %s", name, known->str);
}

static void print_pretty(const JsonTree *value)
{
    g_autofree char *text = jsontree_pretty(value);

    printf("%s", text);
}

int qm_guest_cmd(char **operands, Err *err)
{
    const struct AgentCommand *c = NULL;
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(JsonTree) answer = NULL;
    uint32_t vmid;
    int r = find_command(operands[1], &c, err);

    if (r == 0) {
        r = begin(operands, &h, &vmid, err);
    }
    if (r == 0) {
        r = guest_agent_call(h->run_dir, vmid, c->command, NULL, 0, &answer, err);
    }
    if (c != NULL && c->silent && (r == -ETIMEDOUT || r == -EPIPE)) {
        err_clear(err);
        return 0;
    }
    if (r == 0 && jsontree_count(answer) + (jsontree_kind(answer) < JSONTREE_ARRAY) > 0) {
        print_pretty(answer);
    }
    return r;
}

/* ------------------------------------------------------------------- programs */

static int read_stdin(JsonTree *args, Err *err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    guint8 piece[65536];
    ssize_t n;

    while ((n = read(STDIN_FILENO, piece, sizeof piece)) > 0) {
        if (data->len + (size_t)n > STDIN_MAX) {
            return err_setf(err, -EFBIG, "standard input is more than %d bytes", STDIN_MAX);
        }
        g_byte_array_append(data, piece, (guint)n);
    }
    if (n < 0) {
        return err_setf(err, -errno, "standard input: %s", g_strerror(errno));
    }
    g_autofree char *text = g_base64_encode(data->data, data->len);
    jsontree_set_text(args, "input-data", text);
    return 0;
}

static int start_program(const GuestHost *h, uint32_t vmid, char **words, int64_t *ret, Err *err)
{
    g_autoptr(JsonTree) args = jsontree_new_object();
    g_autoptr(JsonTree) answer = NULL;
    JsonTree *list = jsontree_new_array();
    int r = 0;

    jsontree_set_text(args, "path", words[0]);
    for (char **word = words + 1; *word != NULL; word++) {
        jsontree_add(list, jsontree_new_text(*word));
    }
    jsontree_set(args, "arg", list);
    jsontree_set_bool(args, "capture-output", true);
    if (qm_run.pass_stdin) {
        r = read_stdin(args, err);
    }
    if (r == 0) {
        r = guest_agent_call(h->run_dir, vmid, "guest-exec", g_steal_pointer(&args), 0, &answer,
                             err);
    }
    if (r < 0) {
        return r;
    }
    *ret = jsontree_get_int(answer, "pid", -1);
    return *ret >= 0 ? 0 : err_setf(err, -EBADMSG, "the agent does not tell a process id");
}

/* "out-data" comes in base64 and is shown as text. */
static void copy_data(JsonTree *to, const JsonTree *from, const char *key)
{
    const char *coded = jsontree_get_text(from, key);
    g_autofree guchar *bytes = NULL;
    g_autofree char *text = NULL;
    gsize len = 0;

    if (coded != NULL && coded[0] != '\0') {
        bytes = g_base64_decode(coded, &len);
        text = g_utf8_make_valid((const char *)bytes, (gssize)len);
        jsontree_set_text(to, key, text);
    }
}

static JsonTree *readable(const JsonTree *status)
{
    static const char *const numbers[] = {"exitcode", "signal"};
    static const char *const flags[] = {"out-truncated", "err-truncated"};
    JsonTree *out = jsontree_new_object();

    jsontree_set_int(out, "exited", jsontree_get_bool(status, "exited", false));
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (jsontree_get(status, numbers[i]) != NULL) {
            jsontree_set_int(out, numbers[i], jsontree_get_int(status, numbers[i], -1));
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (jsontree_get_bool(status, flags[i], false)) {
            jsontree_set_int(out, flags[i], 1);
        }
    }
    copy_data(out, status, "out-data");
    copy_data(out, status, "err-data");
    return out;
}

static int ask_program(const GuestHost *h, uint32_t vmid, int64_t pid, JsonTree **ret, Err *err)
{
    JsonTree *args = jsontree_new_object();

    jsontree_set_int(args, "pid", pid);
    return guest_agent_call(h->run_dir, vmid, "guest-exec-status", args, 0, ret, err);
}

static int wait_program(const GuestHost *h, uint32_t vmid, int64_t pid, Err *err)
{
    int seconds = qm_run.timeout > 0 ? qm_run.timeout : EXEC_TIMEOUT_S;
    MonoTime deadline = mono_add_sec(clock_mono(), seconds);
    unsigned pause_ms = EXEC_POLL_FIRST;

    for (;;) {
        g_autoptr(JsonTree) status = NULL;
        g_autoptr(JsonTree) out = NULL;
        int r = ask_program(h, vmid, pid, &status, err);
        if (r < 0) {
            return r;
        }
        out = readable(status);
        if (jsontree_get_bool(status, "exited", false)) {
            print_pretty(out);
            return 0;
        }
        if (!mono_before(clock_mono(), deadline)) {
            jsontree_set_int(out, "pid", pid);
            print_pretty(out);
            return err_setf(err, -ETIMEDOUT,
                            "the program still runs after %d s; 'qm guest exec-status' tells more",
                            seconds);
        }
        g_usleep(pause_ms * 1000); /* the agent has no events */
        pause_ms = MIN(pause_ms * 2, EXEC_POLL_LAST);
    }
}

int qm_guest_exec(char **operands, Err *err)
{
    char **words = operands + 1;
    g_autoptr(GuestHost) h = NULL;
    unsigned timeout_ms;
    uint32_t vmid;
    int64_t pid = -1;
    int r = begin(operands, &h, &vmid, err);

    if (*words != NULL && strcmp(*words, "--") == 0) {
        words++;
    }
    if (r == 0 && *words == NULL) {
        r = err_setf(err, -EINVAL, "which program? 'qm guest exec VMID -- PROGRAM ARGUMENT...'");
    }
    if (r == 0) {
        r = qm_run_timeout(&timeout_ms, err);
    }
    if (r == 0) {
        r = start_program(h, vmid, words, &pid, err);
    }
    if (r < 0) {
        return r;
    }
    if (!qm_run.synchronous) {
        g_autoptr(JsonTree) out = jsontree_new_object();
        jsontree_set_int(out, "pid", pid);
        print_pretty(out);
        return 0;
    }
    return wait_program(h, vmid, pid, err);
}

int qm_guest_exec_status(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(JsonTree) status = NULL;
    g_autoptr(JsonTree) out = NULL;
    char *end = NULL;
    gint64 pid = g_ascii_strtoll(operands[1], &end, 10);
    uint32_t vmid;
    int r = begin(operands, &h, &vmid, err);

    if (r == 0 && (*end != '\0' || end == operands[1] || pid < 0)) {
        r = err_setf(err, -EINVAL, "'%.40s' is no process id", operands[1]);
    }
    if (r == 0) {
        r = ask_program(h, vmid, pid, &status, err);
    }
    if (r < 0) {
        return r;
    }
    out = readable(status);
    print_pretty(out);
    return 0;
}

/* ------------------------------------------------------------------- password */

static int ask_password(char *ret, size_t size, Err *err)
{
    char again[PASSWORD_MAX + 2];
    int r = prompt_secret("Enter new password: ", ret, size, err);

    if (r == 0 && strlen(ret) < PASSWORD_MIN) {
        r = err_setf(err, -EINVAL, "a password has at least %d characters", PASSWORD_MIN);
    }
    if (r == 0 && isatty(STDIN_FILENO)) {
        r = prompt_secret("Retype new password: ", again, sizeof again, err);
        if (r == 0 && strcmp(ret, again) != 0) {
            r = err_setf(err, -EINVAL, "the passwords differ");
        }
        explicit_bzero(again, sizeof again);
    }
    return r;
}

int qm_guest_passwd(char **operands, Err *err)
{
    char secret[PASSWORD_MAX + 2];
    g_autofree char *coded = NULL;
    g_autoptr(GuestHost) h = NULL;
    JsonTree *args;
    uint32_t vmid;
    int r = begin(operands, &h, &vmid, err);

    if (r == 0) {
        r = ask_password(secret, sizeof secret, err);
    }
    if (r < 0) {
        return r;
    }
    coded = g_base64_encode((const guchar *)secret, strlen(secret));
    explicit_bzero(secret, sizeof secret);
    args = jsontree_new_object();
    jsontree_set_text(args, "username", operands[1]);
    jsontree_set_text(args, "password", coded);
    jsontree_set_bool(args, "crypted", qm_run.crypted != 0);
    return guest_agent_call(h->run_dir, vmid, "guest-set-user-password", args, 0, NULL, err);
}
