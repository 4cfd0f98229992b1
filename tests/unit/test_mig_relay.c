/* SPDX-License-Identifier: Apache-2.0 */
/* The relay in front of the target's disks, with real sockets: what the other side may do wrong is
 * told in time, and what goes right passes unchanged. TLS itself: it_60_migration. */
#include "lib/wire/wire_nbd.h"
#include "migration/io/mig_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTENT (3u * 1024 * 1024)

typedef enum Conduct { ECHO, SILENT, GARBAGE, NO_TLS, HANG_UP } Conduct;

typedef struct Server {
    Conduct conduct;
    int fd;
    unsigned port;
    GThread *thread;
} Server;

static void echo(int fd)
{
    uint8_t piece[65536];
    ssize_t n;

    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) {
        for (ssize_t done = 0; done < n;) {
            ssize_t sent = send(fd, piece + done, (size_t)(n - done), MSG_NOSIGNAL);

            if (sent <= 0) {
                return;
            }
            done += sent;
        }
    }
}

static void refuse_tls(int fd)
{
    uint8_t greeting[WIRE_NBD_GREETING_SIZE], ask[WIRE_NBD_STARTTLS_SIZE];
    const uint8_t refusal[WIRE_NBD_REPLY_SIZE] = {0, 3, 0xe8, 0x89, 4, 0x55, 0x65,
                                                  0xa9, 0, 0, 0, 5, 0x80, 0, 0, 1};

    wire_nbd_greeting_encode(WIRE_NBD_FIXED_NEWSTYLE, greeting);
    g_assert_cmpint(send(fd, greeting, sizeof greeting, 0), ==, sizeof greeting);
    g_assert_cmpint(recv(fd, ask, sizeof ask, MSG_WAITALL), ==, sizeof ask);
    g_assert_cmpint(send(fd, refusal, sizeof refusal, 0), ==, sizeof refusal);
}

static gpointer serve(gpointer data)
{
    const Server *s = data;
    int fd = accept(s->fd, NULL, NULL);
    uint8_t byte;

    g_assert_cmpint(fd, >=, 0);
    switch (s->conduct) {
    case ECHO:
        echo(fd);
        break;
    case GARBAGE:
        g_assert_cmpint(send(fd, "HTTP/1.1 400 Bad Request", 24, 0), ==, 24);
        break;
    case NO_TLS:
        refuse_tls(fd);
        break;
    case SILENT:
        while (recv(fd, &byte, 1, 0) > 0) {
            /* says nothing */
        }
        break;
    case HANG_UP:
        break;
    }
    (void)close(fd);
    return NULL;
}

static void server_start(Server *s, Conduct conduct)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;

    s->conduct = conduct;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(s->fd, (struct sockaddr *)&a, sizeof a), ==, 0);
    g_assert_cmpint(listen(s->fd, 1), ==, 0);
    g_assert_cmpint(getsockname(s->fd, (struct sockaddr *)&a, &size), ==, 0);
    s->port = ntohs(a.sin_port);
    s->thread = g_thread_new("server", serve, s);
}

static void server_end(Server *s)
{
    (void)g_thread_join(s->thread);
    (void)close(s->fd);
}

static char *socket_path(void)
{
    return g_strdup_printf("%s/test-relay-%d", g_get_tmp_dir(), (int)getpid());
}

static int open_relay(const Server *s, const char *peer, const char *path, MigRelay **ret)
{
    MigRelayTo to = {.pve = "/nonexistent",
                     .node = "here",
                     .peer = peer,
                     .address = "127.0.0.1",
                     .port = s->port,
                     .path = path};
    Err err = ERR_INIT;
    int r = mig_relay_open(&to, ret, &err);

    g_assert_true(r == 0 || *err_text(&err) != '\0');
    return r;
}

static int connect_local(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)g_strlcpy(a.sun_path, path, sizeof a.sun_path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
    return fd;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static gpointer send_content(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    g_autofree uint8_t *content = g_malloc(CONTENT);

    for (uint32_t i = 0; i < CONTENT; i++) {
        content[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    for (size_t done = 0; done < CONTENT;) {
        ssize_t n = send(fd, content + done, CONTENT - done, MSG_NOSIGNAL);

        g_assert_cmpint(n, >, 0);
        done += (size_t)n;
    }
    return NULL;
}

static void bytes_pass_unchanged(void)
{
    g_autofree char *path = socket_path();
    g_autofree uint8_t *content = g_malloc(CONTENT);
    MigRelay *relay = NULL;
    GThread *sender;
    Server s;
    int fd;

    server_start(&s, ECHO);
    g_assert_cmpint(open_relay(&s, NULL, path, &relay), ==, 0);
    fd = connect_local(path);
    mig_relay_settled(relay);
    mig_relay_free(relay); /* it goes on */
    sender = g_thread_new("sender", send_content, GINT_TO_POINTER(fd));
    g_assert_cmpint(recv(fd, content, CONTENT, MSG_WAITALL), ==, CONTENT);
    (void)g_thread_join(sender);
    for (uint32_t i = 0; i < CONTENT; i++) {
        g_assert_cmpuint(content[i], ==, (uint8_t)(i * 2654435761u >> 24));
    }
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS)); /* for one connection only */
    (void)close(fd);
    server_end(&s); /* hears of it */
}

static void silence_ends_what_is_not_settled(void)
{
    g_autofree char *path = socket_path();
    MigRelay *relay = NULL;
    Server s;
    uint8_t byte = 1;
    int fd;

    server_start(&s, SILENT);
    g_assert_cmpint(open_relay(&s, NULL, path, &relay), ==, 0);
    fd = connect_local(path);
    g_assert_cmpint(send(fd, &byte, 1, MSG_NOSIGNAL), ==, 1);
    g_assert_cmpint(recv(fd, &byte, 1, 0), ==, 0); /* whoever opens it is not held for ever */
    (void)close(fd);
    mig_relay_free(relay);
    server_end(&s);
}

static void nobody_comes(void)
{
    g_autofree char *path = socket_path();
    MigRelay *relay = NULL;
    Server s;

    server_start(&s, SILENT);
    g_assert_cmpint(open_relay(&s, NULL, path, &relay), ==, 0);
    mig_relay_free(relay); /* not settled: it ends */
    server_end(&s);
    for (int i = 0; i < 600 && g_file_test(path, G_FILE_TEST_EXISTS); i++) {
        g_usleep(100000);
    }
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void servers_that_are_none(void)
{
    const struct {
        Conduct conduct;
        int code;
    } cases[] = {{GARBAGE, -EPROTO}, {NO_TLS, -EPROTO}, {HANG_UP, -EPIPE}, {SILENT, -ETIMEDOUT}};
    g_autofree char *path = socket_path();
    MigRelay *relay = NULL;
    Server s;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        server_start(&s, cases[i].conduct);
        g_assert_cmpint(open_relay(&s, "there", path, &relay), ==, cases[i].code);
        server_end(&s);
    }
    g_assert_cmpint(open_relay(&s, "there", path, &relay), ==, -ECONNREFUSED);
    g_assert_null(relay);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mig-relay/bytes-pass-unchanged", bytes_pass_unchanged);
    g_test_add_func("/mig-relay/silence-ends-what-is-not-settled",
                    silence_ends_what_is_not_settled);
    g_test_add_func("/mig-relay/nobody-comes", nobody_comes);
    g_test_add_func("/mig-relay/servers-that-are-none", servers_that_are_none);
    return g_test_run();
}
