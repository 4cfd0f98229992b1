/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS listener: both families, a kernel without IPv6, and why it cannot serve. */
#include "api/io/api_front.h"
#include "quorum/io/certs.h"

#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 50 /* another program may take the free port before we do */

static struct {
    char *cert, *key;
} pki;
static bool no_ipv6;

/* In front of the C library's, for the HTTP library too: what a kernel booted with
 * ipv6.disable=1 says. */
__attribute__((visibility("default"))) int socket(int domain, int type, int protocol)
{
    if (no_ipv6 && domain == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return (int)syscall(SYS_socket, domain, type, protocol);
}

static void make_pki(void)
{
    WallTime now = {1700000000};

    g_assert_cmpint(certs_make_key(2048, &pki.key, NULL), ==, 0);
    g_assert_cmpint(certs_make_ca(pki.key, now, &pki.cert, NULL), ==, 0);
}

/* A bound socket and the port it holds. */
static int hold_port(uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t size = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&in, sizeof in), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&in, &size), ==, 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static ApiFrontConfig config(void)
{
    return (ApiFrontConfig){
        .cert = pki.cert, .key = pki.key, .run_dir = "/nonexistent", .pve = "/nonexistent"};
}

static ApiFront *serve(uint16_t *ret_port)
{
    ApiFrontConfig cfg = config();
    ApiFront *front = NULL;
    Err err = ERR_INIT;
    int r = -EADDRINUSE;

    for (int i = 0; r == -EADDRINUSE && i < TRIES; i++) {
        (void)close(hold_port(&cfg.port)); /* free now, most likely */
        r = api_front_start(&cfg, &front, &err);
    }
    g_assert_cmpint(r, ==, 0);
    *ret_port = cfg.port;
    return front;
}

static bool connects(const struct sockaddr *to, socklen_t size)
{
    int fd = (int)syscall(SYS_socket, to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool done = fd >= 0 && connect(fd, to, size) == 0;

    if (fd >= 0) {
        (void)close(fd); /* nothing was said */
    }
    return done;
}

static bool connects_ipv4(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connects((struct sockaddr *)&in, sizeof in);
}

static void test_both_families(void)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;
    uint16_t port;
    ApiFront *front = serve(&port);

    if (fd >= 0) {
        (void)close(fd); /* only asked whether there is such an address */
    }
    g_assert_true(connects_ipv4(port));
    in6.sin6_port = htons(port);
    g_assert_true(!has_ipv6 || connects((struct sockaddr *)&in6, sizeof in6));
    api_front_stop(front);
}

static void test_no_ipv6(void)
{
    ApiFront *front;
    uint16_t port;

    no_ipv6 = true;
    front = serve(&port);
    g_assert_true(connects_ipv4(port));
    api_front_stop(front);
    no_ipv6 = false;
}

static void test_port_taken(void)
{
    ApiFrontConfig cfg = config();
    ApiFront *front = NULL;
    Err err = ERR_INIT;
    int fd = hold_port(&cfg.port);

    g_assert_cmpint(api_front_start(&cfg, &front, &err), ==, -EADDRINUSE);
    g_assert_nonnull(strstr(err_text(&err), "Address already in use"));
    (void)close(fd); /* a listening socket */
}

static void test_bad_certificate(void)
{
    ApiFrontConfig cfg = config();
    ApiFront *front = NULL;
    Err err = ERR_INIT;
    int r = -EADDRINUSE;

    cfg.cert = "no certificate";
    for (int i = 0; r == -EADDRINUSE && i < TRIES; i++) {
        (void)close(hold_port(&cfg.port)); /* free now, most likely */
        r = api_front_start(&cfg, &front, &err);
    }
    g_assert_cmpint(r, ==, -EBADMSG);
    g_assert_nonnull(strstr(err_text(&err), "certificate or key cannot be used"));
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    make_pki();
    g_test_add_func("/api-front/listens-on-both-families", test_both_families);
    g_test_add_func("/api-front/a-kernel-without-ipv6-is-served-on-ipv4", test_no_ipv6);
    g_test_add_func("/api-front/a-taken-port-is-said", test_port_taken);
    g_test_add_func("/api-front/a-bad-certificate-is-said", test_bad_certificate);
    r = g_test_run();
    g_free(pki.cert);
    g_free(pki.key);
    return r;
}
