/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: QMP messages are read as documented, and the client survives every peer: one that lies,
 * hangs, answers late, closes at any moment; each command is answered exactly once. Method: a
 * socket pair whose other end is driven by the test. Times are real but short. */
#include "lib/port/qmp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"

/* ---------------------------------------------------------------- messages */

static int decode(const char *line, WireQmp *m, Err *err)
{
    return wire_qmp_decode(line, strlen(line), m, err);
}

static void test_messages(void)
{
    g_auto(WireQmp) ret = {0};
    g_auto(WireQmp) error = {0};
    g_auto(WireQmp) event = {0};
    g_auto(WireQmp) greeting = {0};
    g_auto(WireQmp) clockless = {0};
    g_autofree char *line = NULL;
    g_autofree char *plain = NULL;
    g_autoptr(JsonTree) args = jsontree_new_object();

    g_assert_cmpint(decode("{\"return\": {\"a\": 1}, \"id\": 7}", &ret, NULL), ==, 0);
    g_assert_cmpint(ret.kind, ==, WIRE_QMP_RETURN);
    g_assert_true(ret.has_id && ret.id == 7);
    g_assert_cmpint(jsontree_get_int(ret.data, "a", 0), ==, 1);
    g_assert_cmpint(
        decode("{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"x\"}}", &error, NULL), ==,
        0);
    g_assert_cmpint(error.kind, ==, WIRE_QMP_ERROR);
    g_assert_false(error.has_id);
    g_assert_cmpstr(error.description, ==, "x");
    g_assert_cmpint(decode("{\"timestamp\":{\"seconds\":2,\"microseconds\":3},\"event\":\"STOP\"}",
                           &event, NULL),
                    ==, 0);
    g_assert_cmpint(event.kind, ==, WIRE_QMP_EVENT);
    g_assert_cmpstr(event.name, ==, "STOP");
    g_assert_cmpint(event.time_us, ==, 2000003);
    g_assert_cmpint(decode(GREETING, &greeting, NULL), ==, 0);
    g_assert_cmpint(greeting.kind, ==, WIRE_QMP_GREETING);
    g_assert_cmpint(decode("{\"event\":\"X\",\"timestamp\":{\"seconds\":-1,\"microseconds\":-1}}",
                           &clockless, NULL),
                    ==, 0);
    g_assert_cmpint(clockless.time_us, ==, 0);

    jsontree_set_text(args, "id", "a\"b");
    line = wire_qmp_encode("device_del", args, 9);
    g_assert_cmpstr(line, ==,
                    "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"a\\\"b\"},\"id\":9}\n");
    plain = wire_qmp_encode("stop", NULL, 1);
    g_assert_cmpstr(plain, ==, "{\"execute\":\"stop\",\"id\":1}\n");
}

static void test_bad_messages(void)
{
    static const char *const bad[] = {
        "[]",
        "1",
        "{}",
        "{\"id\":1}",
        "{\"return\":{},\"id\":\"1\"}",
        "{\"return\":{},\"id\":-1}",
        "{\"return\":{},\"id\":1.5}",
        "{\"error\":{}}",
        "{\"error\":{\"class\":\"X\"}}",
        "{\"error\":\"X\"}",
        "{\"event\":7}",
        "{\"return\":",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        WireQmp m = {0};
        Err err = ERR_INIT;

        g_test_message("%s", bad[i]);
        g_assert_cmpint(decode(bad[i], &m, &err), ==, -EBADMSG);
        g_assert_null(m.tree);
        g_assert_true(g_str_has_prefix(err_text(&err), "QMP: "));
    }
}

static void test_error_classes(void)
{
    g_assert_cmpint(wire_qmp_errno("GenericError"), ==, -EIO);
    g_assert_cmpint(wire_qmp_errno("CommandNotFound"), ==, -EOPNOTSUPP);
    g_assert_cmpint(wire_qmp_errno("DeviceNotFound"), ==, -ENODEV);
    g_assert_cmpint(wire_qmp_errno("DeviceNotActive"), ==, -ENOTCONN);
    g_assert_cmpint(wire_qmp_errno("KVMMissingCap"), ==, -ENOTSUP);
    g_assert_cmpint(wire_qmp_errno("SomethingNew"), ==, -EIO);
}

/* ------------------------------------------------------------------ client */

typedef struct Peer {
    int fd; /* of the test's side */
    QmpClient *q;
    GString *log; /* what callbacks said, one word each */
    bool free_in_reply;
    bool free_in_closed;
    bool again_in_reply;
} Peer;

static void on_event(void *ctx, const WireQmp *event)
{
    Peer *p = ctx;

    g_string_append_printf(p->log, "event:%s ", event->name);
}

static void on_closed(void *ctx, const Err *why)
{
    Peer *p = ctx;

    g_string_append_printf(p->log, "closed:%d ", why->code);
    if (p->free_in_closed) {
        g_clear_pointer(&p->q, qmp_client_free);
    }
}

static void on_reply(void *ctx, int r, const JsonTree *value, const Err *err)
{
    Peer *p = ctx;

    g_assert_true((r == 0) == (err->code == 0));
    g_assert_true((r == 0) == (value != NULL));
    g_string_append_printf(p->log, "reply:%d ", r == 0 ? (int)jsontree_int(value, 0) : r);
    if (p->free_in_reply) {
        g_clear_pointer(&p->q, qmp_client_free);
    } else if (p->again_in_reply) {
        p->again_in_reply = false;
        qmp_execute(p->q, "again", NULL, 0, on_reply, p);
    }
}

static void setup(Peer *p, const void *data)
{
    int fds[2];
    QmpHandlers handlers = {.event = on_event, .closed = on_closed, .ctx = p};

    (void)data;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    p->log = g_string_new(NULL);
    p->fd = fds[1];
    g_assert_cmpint(qmp_client_new_fd(NULL, fds[0], &handlers, &p->q, NULL), ==, 0);
}

static void teardown(Peer *p, const void *data)
{
    (void)data;
    qmp_client_free(p->q);
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    g_string_free(p->log, TRUE);
}

static void say(Peer *p, const char *text)
{
    g_assert_cmpint(send(p->fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

static void run(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* Next line that the client sent, without the end; the caller frees. */
static char *hear(Peer *p)
{
    GString *line = g_string_new(NULL);
    char c;

    for (int i = 0; i < 60000; i++) {
        run();
        while (recv(p->fd, &c, 1, MSG_DONTWAIT) == 1) {
            if (c == '\n') {
                return g_string_free(line, FALSE);
            }
            g_string_append_c(line, c);
        }
        g_usleep(1000);
    }
    g_error("the client sent nothing");
}

static void expect_line(Peer *p, const char *text)
{
    g_autofree char *line = hear(p);

    g_assert_cmpstr(line, ==, text);
}

static void greet(Peer *p)
{
    say(p, GREETING);
    expect_line(p, "{\"execute\":\"qmp_capabilities\",\"id\":1}");
    say(p, "{\"return\":{},\"id\":1}\n");
    run();
}

/* Runs until the log has this text, at most a minute. */
static void wait_log(Peer *p, const char *text)
{
    for (int i = 0; i < 60000 && strcmp(p->log->str, text) != 0; i++) {
        run();
        g_usleep(1000);
    }
    g_assert_cmpstr(p->log->str, ==, text);
}

static void test_commands_wait_for_the_peer(Peer *p, const void *data)
{
    (void)data;
    qmp_execute(p->q, "query-status", NULL, 0, on_reply, p);
    qmp_execute(p->q, "stop", NULL, 0, on_reply, p);
    run();
    say(p, "{\"QMP\":");
    run();
    say(p, "{}}\n");
    expect_line(p, "{\"execute\":\"qmp_capabilities\",\"id\":3}");
    say(p, "{\"return\":{},\"id\":3}\n");
    expect_line(p, "{\"execute\":\"query-status\",\"id\":1}");
    expect_line(p, "{\"execute\":\"stop\",\"id\":2}");
    say(p, "{\"return\":22,\"id\":2}\r\n{\"event\":\"STOP\"}\r\n{\"return\":11,\"id\":1}\n");
    wait_log(p, "reply:22 event:STOP reply:11 ");
}

static void test_errors_of_qemu(Peer *p, const void *data)
{
    (void)data;
    greet(p);
    qmp_execute(p->q, "device_del", NULL, 0, on_reply, p);
    expect_line(p, "{\"execute\":\"device_del\",\"id\":2}");
    say(p, "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"no x\"},\"id\":2}\n");
    g_autofree char *want = g_strdup_printf("reply:%d ", -ENODEV);
    wait_log(p, want);
}

static void test_late_answer_is_dropped(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:%d reply:3 ", -ETIMEDOUT);

    (void)data;
    greet(p);
    qmp_execute(p->q, "slow", NULL, 20, on_reply, p);
    qmp_execute(p->q, "patient", NULL, 600000, on_reply, p);
    g_usleep(30000);
    run();
    say(p, "{\"return\":1,\"id\":2}\n{\"return\":3,\"id\":3}\n{\"return\":4,\"id\":99}\n");
    wait_log(p, want);
}

static void test_peer_closes(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:%d reply:%d closed:%d ", -EPIPE, -EPIPE, -EPIPE);

    (void)data;
    greet(p);
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    qmp_execute(p->q, "b", NULL, 0, on_reply, p);
    run();
    (void)close(p->fd);
    p->fd = -1;
    wait_log(p, want);
    qmp_execute(p->q, "c", NULL, 0, on_reply, p);
    g_autofree char *more = g_strdup_printf("%sreply:%d ", want, -EPIPE);
    g_assert_cmpstr(p->log->str, ==, more);
}

static void refuse(Peer *p, const char *text, int code)
{
    g_autofree char *want = g_strdup_printf("reply:%d closed:%d ", code, code);

    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    say(p, text);
    wait_log(p, want);
}

static void test_nonsense_before_greeting(Peer *p, const void *data)
{
    (void)data;
    refuse(p, "hello\n", -EBADMSG);
}

static void test_answer_before_greeting(Peer *p, const void *data)
{
    (void)data;
    refuse(p, "{\"return\":1,\"id\":1}\n", -EBADMSG);
}

static void test_greeting_twice(Peer *p, const void *data)
{
    (void)data;
    greet(p);
    refuse(p, GREETING, -EBADMSG);
}

static void test_nonsense_later(Peer *p, const void *data)
{
    (void)data;
    greet(p);
    refuse(p, "{\"return\":1,\"id\":\"x\"}\n", -EBADMSG);
}

static void test_message_without_end(Peer *p, const void *data)
{
    g_autofree char *piece = g_strnfill(1024 * 1024, 'a');
    g_autofree char *want = g_strdup_printf("closed:%d ", -E2BIG);

    (void)data;
    greet(p);
    for (int i = 0; i < 60000 && p->log->len == 0; i++) {
        (void)send(p->fd, piece, strlen(piece), MSG_NOSIGNAL | MSG_DONTWAIT); /* it may be full */
        run();
    }
    wait_log(p, want);
}

static void test_capabilities_refused(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:%d closed:%d ", -EIO, -EIO);

    (void)data;
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    say(p, GREETING);
    expect_line(p, "{\"execute\":\"qmp_capabilities\",\"id\":2}");
    say(p, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":2}\n");
    wait_log(p, want);
}

static void test_free_answers_all(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:%d reply:%d ", -ECANCELED, -ECANCELED);

    (void)data;
    greet(p);
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    qmp_execute(p->q, "b", NULL, 0, on_reply, p);
    g_clear_pointer(&p->q, qmp_client_free);
    g_assert_cmpstr(p->log->str, ==, want);
}

static void test_free_in_reply(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:5 reply:%d ", -ECANCELED);

    (void)data;
    greet(p);
    p->free_in_reply = true;
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    qmp_execute(p->q, "b", NULL, 0, on_reply, p);
    say(p, "{\"return\":5,\"id\":2}\n{\"return\":6,\"id\":3}\n");
    wait_log(p, want);
    g_assert_null(p->q);
}

static void test_free_in_closed(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("closed:%d ", -EPIPE);

    (void)data;
    p->free_in_closed = true;
    (void)close(p->fd);
    p->fd = -1;
    wait_log(p, want);
    g_assert_null(p->q);
}

static void test_command_in_reply(Peer *p, const void *data)
{
    (void)data;
    greet(p);
    p->again_in_reply = true;
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    expect_line(p, "{\"execute\":\"a\",\"id\":2}");
    say(p, "{\"return\":1,\"id\":2}\n");
    expect_line(p, "{\"execute\":\"again\",\"id\":3}");
    say(p, "{\"return\":2,\"id\":3}\n");
    wait_log(p, "reply:1 reply:2 ");
}

static void test_too_many_commands(Peer *p, const void *data)
{
    g_autofree char *want = g_strdup_printf("reply:%d ", -ENOBUFS);

    (void)data;
    for (int i = 0; i < 1023; i++) {
        qmp_execute(p->q, "a", NULL, 0, NULL, NULL);
    }
    qmp_execute(p->q, "a", NULL, 0, on_reply, p);
    g_assert_cmpstr(p->log->str, ==, want);
}

static void *serve(void *data)
{
    Peer *p = data;
    char buffer[512];

    g_assert_cmpint(recv(p->fd, buffer, sizeof buffer, 0), >, 0);
    say(p, "{\"return\":{},\"id\":1}\n");
    g_assert_cmpint(recv(p->fd, buffer, sizeof buffer, 0), >, 0);
    say(p, "{\"return\":{\"status\":\"running\"},\"id\":2}\n");
    return NULL;
}

static void test_call(Peer *p, const void *data)
{
    g_autoptr(JsonTree) value = NULL;
    JsonTree *none = NULL;
    Err err = ERR_INIT;
    GThread *server;

    (void)data;
    say(p, GREETING);
    run();
    server = g_thread_new("peer", serve, p);
    g_assert_cmpint(qmp_call(p->q, "query-status", NULL, 0, &value, &err), ==, 0);
    g_assert_cmpstr(jsontree_get_text(value, "status"), ==, "running");
    (void)g_thread_join(server);
    g_assert_cmpint(qmp_call(p->q, "hang", NULL, 20, &none, &err), ==, -ETIMEDOUT);
    g_assert_cmpstr(err_text(&err), ==, "QMP: no answer to 'hang' in time");
    g_assert_null(none);
}

/* An agent that still sends an old answer, then the one to our number. */
static void test_agent(void)
{
    Peer p = {.log = g_string_new(NULL)};
    QmpHandlers handlers = {.closed = on_closed, .ctx = &p};
    g_autofree char *sync = NULL;
    g_autofree char *answer = NULL;
    g_autofree char *want =
        g_strdup_printf("reply:7 reply:8 reply:%d closed:%d ", -ETIMEDOUT, -ETIMEDOUT);
    const char *number;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    p.fd = fds[1];
    g_assert_cmpint(qmp_client_new_agent_fd(NULL, fds[0], &handlers, &p.q, NULL), ==, 0);
    qmp_execute(p.q, "guest-ping", NULL, 0, on_reply, &p);
    sync = hear(&p);
    g_assert_true(g_str_has_prefix(sync, "\xff{\"execute\":\"guest-sync-delimited\","));
    number = strstr(sync, "\"id\":") + strlen("\"id\":");
    say(&p, "{\"return\": {}}\n{\"half\": \xff{\"return\": 1}\n{\"return\": 2}\n");
    answer = g_strdup_printf("\xff{\"return\": %.*s}\n", (int)strspn(number, "0123456789"), number);
    say(&p, answer);
    expect_line(&p, "{\"execute\":\"guest-ping\",\"id\":1}");
    say(&p, "{\"return\": 7}\n");
    qmp_execute(p.q, "guest-info", NULL, 0, on_reply, &p);
    expect_line(&p, "{\"execute\":\"guest-info\",\"id\":2}");
    say(&p, "{\"return\": 8, \"id\": 2}\n");
    run();
    qmp_execute(p.q, "guest-hangs", NULL, 20, on_reply, &p);
    wait_log(&p, want);
    teardown(&p, NULL);
}

static void test_connect_errors(void)
{
    g_autofree char *dir = g_dir_make_tmp("qmp-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "socket", NULL);
    g_autofree char *longest = g_strnfill(200, 'a');
    QmpClient *q = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(qmp_client_new(NULL, path, NULL, &q, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err_text(&err), path));
    g_assert_cmpint(qmp_client_new(NULL, longest, NULL, &q, &err), ==, -ENAMETOOLONG);
    g_assert_null(q);
    g_assert_cmpint(rmdir(dir), ==, 0);
}

static void test_timeouts(void)
{
    g_assert_cmpuint(qmp_timeout_ms("query-status"), ==, 5000);
    g_assert_cmpuint(qmp_timeout_ms("device_add"), ==, 60000);
    g_assert_cmpuint(qmp_timeout_ms("guest-fsfreeze-freeze"), ==, 3600000);
    g_assert_cmpuint(qmp_timeout_ms("guest-fsfreeze-thaw"), ==, 180000);
    g_assert_cmpuint(qmp_timeout_ms("block-job-cancel"), ==, 600000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp/messages", test_messages);
    g_test_add_func("/qmp/bad-messages", test_bad_messages);
    g_test_add_func("/qmp/error-classes", test_error_classes);
    g_test_add_func("/qmp/connect-errors", test_connect_errors);
    g_test_add_func("/qmp/timeouts", test_timeouts);
    g_test_add_func("/qmp/agent", test_agent);
#define CASE(name, function) g_test_add("/qmp/" name, Peer, NULL, setup, function, teardown)
    CASE("commands-wait-for-the-peer", test_commands_wait_for_the_peer);
    CASE("errors-of-qemu", test_errors_of_qemu);
    CASE("late-answer-is-dropped", test_late_answer_is_dropped);
    CASE("peer-closes", test_peer_closes);
    CASE("nonsense-before-greeting", test_nonsense_before_greeting);
    CASE("answer-before-greeting", test_answer_before_greeting);
    CASE("greeting-twice", test_greeting_twice);
    CASE("nonsense-later", test_nonsense_later);
    CASE("message-without-end", test_message_without_end);
    CASE("capabilities-refused", test_capabilities_refused);
    CASE("free-answers-all", test_free_answers_all);
    CASE("free-in-reply", test_free_in_reply);
    CASE("free-in-closed", test_free_in_closed);
    CASE("command-in-reply", test_command_in_reply);
    CASE("too-many-commands", test_too_many_commands);
    CASE("call", test_call);
    return g_test_run();
}
