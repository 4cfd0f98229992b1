/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: clients of libqb are served in order and side by side, only those who may are, and no
 * client, whatever it does to the socket or to the memory it shares, harms the daemon or another
 * client. Method: the service over an engine in memory; our own client and libqb's; children that
 * take other identities; a client written by hand that lies. Needs root for what only root may do.
 */
#include "lib/base/prng.h"
#include "lib/cfs/ipcc.h"
#include "pmxcfs/io/ipc_server.h"
#include "tests/unit/ipc_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <qb/qbdefs.h>
#include <qb/qbipcc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WWW_DATA    33
#define NOBODY      65534
#define PATIENCE_MS 120000 /* of calls that succeed, however busy the machine */

typedef struct Fixture {
    Engine *e;
    IpcServer *s;
    char name[64];
    char flag[96];
} Fixture;

static gint serial;

static void start(Fixture *f)
{
    const IpcServerConfig cfg = {.engine = f->e, .service = f->name, .read_only_gid = WWW_DATA};
    Err err = ERR_INIT;

    if (ipc_server_start(&cfg, &f->s, &err) < 0) {
        g_error("%s", err_text(&err));
    }
}

static void setup(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->e = ipc_engine_new();
    g_snprintf(f->name, sizeof f->name, "quorate-test-%d-%d", getpid(),
               g_atomic_int_add(&serial, 1));
    g_snprintf(f->flag, sizeof f->flag, "%s/%s.flag", g_get_tmp_dir(), f->name);
    start(f);
}

/* Nothing of ours may be left in /dev/shm. */
static void assert_shm_clean(void)
{
    g_autofree char *prefix = g_strdup_printf("qb-%d-", getpid());
    g_autoptr(GDir) dir = g_dir_open("/dev/shm", 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_assert_false(g_str_has_prefix(name, prefix));
    }
}

static void teardown(Fixture *f, gconstpointer unused)
{
    (void)unused;
    ipc_server_stop(f->s);
    engine_free(f->e);
    assert_shm_clean();
}

static bool need_root(void)
{
    if (getuid() != 0 || getgid() != 0) {
        g_test_skip("only root has full access");
        return false;
    }
    return true;
}

static Ipcc *client(Fixture *f, int64_t timeout_ms)
{
    const IpccOptions opt = {.service = f->name, .restart_flag = f->flag, .timeout_ms = timeout_ms};

    return ipcc_new(&opt);
}

static const WireIpcRequest get_version = {.id = WIRE_IPC_GET_VERSION};

static void assert_alive(Fixture *f)
{
    g_autoptr(Ipcc) c = client(f, PATIENCE_MS);
    Err err = ERR_INIT;
    int rc = ipcc_call(c, &get_version, NULL, &err);

    g_assert_cmpstr(err_text(&err), ==, "");
    g_assert_cmpint(rc, ==, 0);
}

/* ---- the good ones ---- */

static void serves(Fixture *f, gconstpointer unused)
{
    g_autoptr(Ipcc) c = client(f, 0);
    g_autoptr(GBytes) value = NULL;
    g_autoptr(GBytes) log = NULL;
    g_autofree char *pid = g_strdup_printf("\"pid\": %d", getpid());
    g_autofree char *text = NULL;
    const WireIpcRequest get_log = {.id = WIRE_IPC_GET_LOG, .u.get_log = {.max = 1, .user = ""}};

    (void)unused;
    if (!need_root()) {
        return;
    }
    g_assert_cmpint(ipcc_set_status(c, "kv/x", "value", NULL), ==, 0);
    g_assert_cmpint(ipcc_get_status(c, "n1", "kv/x", &value, NULL), ==, 0);
    g_assert_cmpstr(g_bytes_get_data(value, NULL), ==, "value");
    g_assert_cmpint(ipcc_set_status(c, "kv/x", NULL, NULL), ==, 0);
    g_clear_pointer(&value, g_bytes_unref);
    g_assert_cmpint(ipcc_get_status(c, NULL, "kv/x", &value, NULL), ==, -ENOENT);
    g_assert_cmpint(ipcc_log(c, 6, "root@pam", "tag", "text", NULL), ==, 0);
    g_assert_cmpint(ipcc_call(c, &get_log, &log, NULL), ==, 0);
    text = g_strndup(g_bytes_get_data(log, NULL), g_bytes_get_size(log));
    g_assert_nonnull(strstr(text, pid)); /* ours, from the kernel */
}

static void files_of_all_sizes(Fixture *f, gconstpointer unused)
{
    g_autoptr(Ipcc) c = client(f, 0);
    g_autofree char *data = g_malloc0(1024 * 1024);
    const gsize sizes[] = {0, 1, 4095, 4096, 65536, 1048552, 1048553, 1048576};

    (void)unused;
    if (!need_root()) {
        return;
    }
    for (int round = 0; round < 3; round++) {
        for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
            g_autoptr(GBytes) got = NULL;

            memset(data, 'a' + (int)i, sizes[i]);
            ipc_engine_write(f->e, "file", data, sizes[i]);
            if (sizes[i] > 1048552) {
                g_assert_cmpint(ipcc_get_file(c, "file", &got, NULL), ==, -EMSGSIZE);
            } else {
                g_assert_cmpint(ipcc_get_file(c, "file", &got, NULL), ==, 0);
                g_assert_cmpmem(g_bytes_get_data(got, NULL), g_bytes_get_size(got), data, sizes[i]);
            }
        }
    }
}

/* Requests sent ahead: answered one by one, in order, though the first takes long. */
static void pipelined(Fixture *f, gconstpointer unused)
{
    qb_ipcc_connection_t *c;
    g_autofree uint8_t *buf = g_malloc(WIRE_IPC_MESSAGE_MAX);

    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_hold(f->e, true);
    c = qb_ipcc_connect(f->name, WIRE_IPC_MESSAGE_MAX);
    g_assert_nonnull(c);
    for (int i = 0; i < 40; i++) {
        const char *key = i == 0 ? "slow/x" : "fast/x";
        const WireIpcRequest set = {.id = WIRE_IPC_SET_STATUS, .u.set_status = {key, "v", 2}};
        g_autoptr(GBytes) b = NULL;

        g_assert_cmpint(wire_ipc_encode(i % 2 == 0 ? &set : &get_version, &b), ==, 0);
        g_assert_cmpint(qb_ipcc_send(c, g_bytes_get_data(b, NULL), g_bytes_get_size(b)), ==,
                        (gssize)g_bytes_get_size(b));
    }
    ipc_engine_wait_held(f->e, 1);
    ipc_engine_hold(f->e, false);
    for (int i = 0; i < 40; i++) {
        gssize n = qb_ipcc_recv(c, buf, WIRE_IPC_MESSAGE_MAX, PATIENCE_MS);
        WireIpcResponse r;

        g_assert_cmpint(n, >, 0);
        g_assert_cmpint(wire_ipc_decode_response(buf, (gsize)n, &r), ==, 0);
        g_assert_cmpint(r.id, ==, i % 2 == 0 ? WIRE_IPC_SET_STATUS : WIRE_IPC_GET_VERSION);
        g_assert_cmpint(r.error, ==, 0);
    }
    qb_ipcc_disconnect(c);
}

static gpointer set_slow(gpointer data)
{
    g_autoptr(Ipcc) c = client(data, PATIENCE_MS);

    return GINT_TO_POINTER(ipcc_set_status(c, "slow/x", "v", NULL));
}

static void slow_does_not_block(Fixture *f, gconstpointer unused)
{
    GThread *slow[3];

    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_hold(f->e, true);
    for (int i = 0; i < 3; i++) {
        slow[i] = g_thread_new("slow", set_slow, f);
    }
    ipc_engine_wait_held(f->e, 3);
    for (int i = 0; i < 20; i++) {
        assert_alive(f);
    }
    ipc_engine_hold(f->e, false);
    for (int i = 0; i < 3; i++) {
        g_assert_null(g_thread_join(slow[i]));
    }
}

static gpointer many_calls(gpointer data)
{
    g_autoptr(Ipcc) c = client(data, 0);

    for (int i = 0; i < 200; i++) {
        g_autofree char *key = g_strdup_printf("kv/%d", i % 5);
        int rc = i % 3 == 0   ? ipcc_set_status(c, key, "v", NULL)
                 : i % 3 == 1 ? ipcc_log(c, 6, "i", "t", "x", NULL)
                              : ipcc_call(c, &get_version, NULL, NULL);

        g_assert_cmpint(rc, ==, 0);
    }
    return NULL;
}

static void many_clients(Fixture *f, gconstpointer unused)
{
    GThread *threads[8];

    (void)unused;
    if (!need_root()) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        threads[i] = g_thread_new("client", many_calls, f);
    }
    for (int i = 0; i < 8; i++) {
        g_thread_join(threads[i]);
    }
}

/* ---- the client's patience ---- */

static void timeout(Fixture *f, gconstpointer unused)
{
    g_autoptr(Ipcc) c = client(f, 200);
    gint64 until = g_get_monotonic_time() + PATIENCE_MS * 1000;
    int rc;

    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_hold(f->e, true);
    g_assert_cmpint(ipcc_set_status(c, "slow/x", "v", NULL), ==, -ETIMEDOUT);
    ipc_engine_hold(f->e, false);
    do {
        rc = ipcc_call(c, &get_version, NULL, NULL); /* not the late answer */
    } while (rc == -ETIMEDOUT && g_get_monotonic_time() < until);
    g_assert_cmpint(rc, ==, 0);
}

static void reconnects(Fixture *f, gconstpointer unused)
{
    g_autoptr(Ipcc) c = client(f, 0);

    (void)unused;
    if (!need_root()) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(ipcc_call(c, &get_version, NULL, NULL), ==, 0);
        ipc_server_stop(f->s);
        start(f);
    }
    ipc_server_stop(g_steal_pointer(&f->s));
    g_assert_cmpint(ipcc_call(c, &get_version, NULL, NULL), ==, -ECONNREFUSED);
}

static gpointer start_later(gpointer data)
{
    g_usleep(500 * 1000);
    start(data);
    return NULL;
}

/* While the flag says that the daemon will be back, it is waited for. */
static void restart_flag(Fixture *f, gconstpointer unused)
{
    g_autoptr(Ipcc) c = client(f, PATIENCE_MS);
    g_autoptr(Ipcc) impatient = client(f, 300);
    GThread *t;

    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_server_stop(g_steal_pointer(&f->s));
    g_assert_true(g_file_set_contents(f->flag, "", 0, NULL));
    g_assert_cmpint(ipcc_call(impatient, &get_version, NULL, NULL), ==, -ECONNREFUSED);
    g_assert_true(g_file_test(f->flag, G_FILE_TEST_EXISTS)); /* it did not wait its full time */
    t = g_thread_new("later", start_later, f);
    g_assert_cmpint(ipcc_call(c, &get_version, NULL, NULL), ==, 0);
    g_thread_join(t);
    g_assert_cmpint(g_unlink(f->flag), ==, 0);
}

static void second_instance(Fixture *f, gconstpointer unused)
{
    const IpcServerConfig cfg = {.engine = f->e, .service = f->name, .read_only_gid = WWW_DATA};
    IpcServer *second = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_cmpint(ipc_server_start(&cfg, &second, &err), ==, -EADDRINUSE);
    g_assert_null(second);
    g_assert_nonnull(strstr(err_text(&err), f->name));
}

static gpointer stop(gpointer server)
{
    ipc_server_stop(server);
    return NULL;
}

/* Stops with clients connected, and with requests under way: their clients hear of it at once. */
static void stop_under_load(Fixture *f, gconstpointer unused)
{
    GThread *slow;
    GThread *stopping;
    g_autoptr(Ipcc) idle = client(f, 0);

    (void)unused;
    if (!need_root()) {
        return;
    }
    g_assert_cmpint(ipcc_call(idle, &get_version, NULL, NULL), ==, 0);
    ipc_engine_hold(f->e, true);
    slow = g_thread_new("slow", set_slow, f);
    ipc_engine_wait_held(f->e, 1);
    stopping = g_thread_new("stop", stop, g_steal_pointer(&f->s));
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(slow)), <, 0);
    ipc_engine_hold(f->e, false);
    g_thread_join(stopping);
}

/* ---- other identities ---- */

/* Runs `fn` in a child that is `uid`, `gid`; its result is the exit status. */
static int as(uid_t uid, gid_t gid, int (*fn)(Fixture *f), Fixture *f)
{
    pid_t pid = fork();
    int status = 0;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        if (setgid(gid) < 0 || setuid(uid) < 0) {
            _exit(99);
        }
        _exit(fn(f));
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int try_refused(Fixture *f)
{
    Ipcc *c = client(f, 3000);
    int rc = ipcc_call(c, &get_version, NULL, NULL);

    return rc == -EACCES ? 0 : rc == 0 ? 1 : 2;
}

static int try_read_only(Fixture *f)
{
    Ipcc *c = client(f, 3000);
    GBytes *data = NULL;

    return ipcc_call(c, &get_version, NULL, NULL) != 0                     ? 1
           : ipcc_get_file(c, "user.cfg", &data, NULL) != 0                ? 2
           : ipcc_get_file(c, "priv/key", &data, NULL) != -EPERM           ? 3
           : ipcc_get_file(c, "nodes//n1/priv/key", &data, NULL) != -EPERM ? 4
           : ipcc_set_status(c, "kv/x", "v", NULL) != -EPERM               ? 5
           : ipcc_log(c, 6, "i", "t", "x", NULL) != -EPERM                 ? 6
                                                                           : 0;
}

static void identities(Fixture *f, gconstpointer unused)
{
    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_write(f->e, "user.cfg", "u", 1);
    ipc_engine_write(f->e, "priv/key", "k", 1);
    ipc_engine_write(f->e, "nodes/n1/priv/key", "k", 1);
    g_assert_cmpint(as(WWW_DATA, WWW_DATA, try_read_only, f), ==, 0);
    g_assert_cmpint(as(NOBODY, WWW_DATA, try_read_only, f), ==, 0);
    g_assert_cmpint(as(0, WWW_DATA, try_read_only, f), ==, 0); /* root of that group too */
    g_assert_cmpint(as(NOBODY, NOBODY, try_refused, f), ==, 0);
    g_assert_cmpint(as(0, NOBODY, try_refused, f), ==, 0);
    g_assert_cmpint(as(NOBODY, 0, try_refused, f), ==, 0);
    g_assert_cmpint(as(WWW_DATA, NOBODY, try_refused, f), ==, 0);
    assert_alive(f);
}

static void buffer_sizes(Fixture *f, gconstpointer unused)
{
    qb_ipcc_connection_t *c;

    (void)unused;
    if (!need_root()) {
        return;
    }
    errno = 0;
    g_assert_null(qb_ipcc_connect(f->name, 100 * 1024 * 1024));
    g_assert_cmpint(errno, ==, EMSGSIZE);
    c = qb_ipcc_connect(f->name, 1); /* libqb raises it to its own smallest */
    g_assert_nonnull(c);
    qb_ipcc_disconnect(c);
}

/* ---- a client that lies ---- */

typedef struct Raw {
    int fd;
    char head[4096], data[4096]; /* paths of the request ring */
    uint8_t *shared;             /* its header */
    uint8_t *words;
} Raw;

enum { HELLO_SIZE = 24, WELCOME_SIZE = 40 + 3 * 4096, RING_SIZE = 1052672, SEM = 8208 };

static int raw_socket(Fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    memcpy(addr.sun_path + 1, f->name, strlen(f->name));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof addr), ==, 0);
    return fd;
}

static void *map_path(const char *path, gsize size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p;

    g_assert_cmpint(fd, >=, 0);
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(p != MAP_FAILED);
    (void)close(fd);
    return p;
}

static void raw_connect(Fixture *f, Raw *r)
{
    const int32_t hello[] = {-1, 0, HELLO_SIZE, 0, WIRE_IPC_MESSAGE_MAX, 0};
    g_autofree char *welcome = g_malloc(WELCOME_SIZE);

    r->fd = raw_socket(f);
    g_assert_cmpint(send(r->fd, hello, sizeof hello, 0), ==, HELLO_SIZE);
    g_assert_cmpint(recv(r->fd, welcome, WELCOME_SIZE, MSG_WAITALL), ==, WELCOME_SIZE);
    g_snprintf(r->head, sizeof r->head, "%s-header", welcome + 40);
    g_snprintf(r->data, sizeof r->data, "%s-data", welcome + 40);
    r->shared = map_path(r->head, 8248);
    r->words = map_path(r->data, RING_SIZE);
}

static void raw_close(Raw *r)
{
    (void)close(r->fd);
    munmap(r->shared, 8248);
    munmap(r->words, RING_SIZE);
}

static void nudge(Raw *r)
{
    (void)send(r->fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* it may be closed already */
}

/* A chunk at the start of a fresh ring. */
static void raw_chunk(Raw *r, uint32_t size, uint32_t mark, const void *data, gsize n)
{
    memcpy(r->words + 8, data, n);
    memcpy(r->words, &size, 4);
    memcpy(r->words + 4, &mark, 4);
    *(volatile uint32_t *)(void *)(r->shared + SEM) += 1;
    nudge(r);
}

/* Reads until the daemon closes; it must. */
static void assert_closed(Raw *r)
{
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    char c;

    g_assert_cmpint(setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), ==, 0);
    g_assert_cmpint(recv(r->fd, &c, 1, 0), <=, 0);
    g_assert_cmpint(errno, !=, EAGAIN);
    errno = 0;
}

static void lies_about_chunks(Fixture *f, gconstpointer unused)
{
    const struct {
        uint32_t size, mark;
    } lies[] = {{100000000, 0xa1a1a1a1}, {0xffffffff, 0xa1a1a1a1},
                {0, 0xa1a1a1a1},         {16, 0},
                {16, 0xd0d0d0d0},        {WIRE_IPC_MESSAGE_MAX + 1, 0xa1a1a1a1}};

    (void)unused;
    if (!need_root()) {
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(lies); i++) {
        const int32_t head[] = {1, 0, 16, 0};
        Raw r;

        raw_connect(f, &r);
        raw_chunk(&r, lies[i].size, lies[i].mark, head, sizeof head);
        errno = 0;
        assert_closed(&r);
        raw_close(&r);
        assert_alive(f);
    }
}

/* 18.1.27, over the wire: an answer with EINVAL, and life goes on. */
static void lies_about_sizes(Fixture *f, gconstpointer unused)
{
    const int32_t sizes[] = {100000000, 0, 15, -1, 21, 19, INT32_MIN, 0x7fffffff};
    qb_ipcc_connection_t *c;
    uint8_t answer[64];

    (void)unused;
    if (!need_root()) {
        return;
    }
    c = qb_ipcc_connect(f->name, WIRE_IPC_MESSAGE_MAX);
    g_assert_nonnull(c);
    for (int32_t id = 0; id < 15; id++) {
        for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
            const int32_t request[] = {id, 0, sizes[i], 0, 0x41414141};
            const struct iovec iov = {(void *)request, sizeof request};
            gssize n = qb_ipcc_sendv_recv(c, &iov, 1, answer, sizeof answer, PATIENCE_MS);
            WireIpcResponse r;

            g_assert_cmpint(n, ==, WIRE_IPC_RESPONSE_HEAD);
            g_assert_cmpint(wire_ipc_decode_response(answer, (gsize)n, &r), ==, 0);
            g_assert_cmpint(r.id, ==, id);
            g_assert_cmpint(r.error, ==, -EINVAL);
        }
    }
    qb_ipcc_disconnect(c);
    assert_alive(f);
}

static void short_messages(Fixture *f, gconstpointer unused)
{
    (void)unused;
    if (!need_root()) {
        return;
    }
    for (gsize size = 1; size < 16; size++) {
        qb_ipcc_connection_t *c = qb_ipcc_connect(f->name, WIRE_IPC_MESSAGE_MAX);
        const int32_t request[] = {1, 0, 16, 0};
        const struct iovec iov = {(void *)request, size};
        uint8_t answer[64];
        WireIpcResponse r;

        g_assert_nonnull(c);
        g_assert_cmpint(qb_ipcc_sendv_recv(c, &iov, 1, answer, sizeof answer, PATIENCE_MS), ==, 24);
        g_assert_cmpint(wire_ipc_decode_response(answer, 24, &r), ==, 0);
        g_assert_cmpint(r.error, ==, -EINVAL);
        qb_ipcc_disconnect(c);
    }
}

/* libqb's own server stops serving everybody here: a message without its byte, bytes without one.
 */
static void nudges_that_lie(Fixture *f, gconstpointer unused)
{
    const int32_t head[] = {1, 0, 16, 0};
    Raw r;

    (void)unused;
    if (!need_root()) {
        return;
    }
    raw_connect(f, &r);
    for (int i = 0; i < 1000; i++) {
        nudge(&r); /* nothing there */
    }
    assert_alive(f);
    raw_chunk(&r, 16, 0xa1a1a1a1, head, sizeof head);
    *(volatile uint32_t *)(void *)(r.shared + SEM) += 5; /* messages that are not there */
    nudge(&r);
    assert_alive(f);
    raw_close(&r);
}

static void truncates(Fixture *f, gconstpointer unused)
{
    const int32_t head[] = {1, 0, 16, 0};

    (void)unused;
    if (!need_root()) {
        return;
    }
#ifdef __SANITIZE_THREAD__
    g_test_skip("ThreadSanitizer's own semaphore does not return from a SIGBUS handler");
    return;
#endif
    for (int which = 0; which < 2; which++) {
        Raw r;

        raw_connect(f, &r);
        raw_chunk(&r, 16, 0xa1a1a1a1, head, sizeof head);
        g_usleep(50 * 1000);
        g_assert_cmpint(truncate(which == 0 ? r.head : r.data, 0), ==, 0);
        nudge(&r);
        if (which == 0) {
            errno = 0;
            assert_closed(&r);
        }
        raw_close(&r);
        assert_alive(f);
    }
}

static void scribbles(Fixture *f, gconstpointer unused)
{
    Prng rng;

    (void)unused;
    if (!need_root()) {
        return;
    }
    prng_init(&rng, 4711);
    for (int round = 0; round < 60; round++) {
        Raw r;

        raw_connect(f, &r);
        for (int i = 0; i < 30; i++) {
            uint32_t v = prng_chance(&rng, 1, 3) ? 0xa1a1a1a1 : (uint32_t)prng_u64(&rng);

            memcpy(r.shared + prng_below(&rng, 2062) * 4, &v, 4);
            memcpy(r.shared + SEM + prng_below(&rng, 8) * 4, &v, 4);
            memcpy(r.words + prng_below(&rng, 64) * 4, &v, 4);
            *(volatile uint32_t *)(void *)(r.shared + SEM) = 1 + (uint32_t)prng_below(&rng, 3);
            nudge(&r);
        }
        raw_close(&r);
        if (round % 10 == 0) {
            assert_alive(f);
        }
    }
    assert_alive(f);
}

static void garbage_at_the_door(Fixture *f, gconstpointer unused)
{
    Prng rng;
    int silent[200];

    (void)unused;
    prng_init(&rng, 12);
    for (int round = 0; round < 100; round++) {
        uint8_t junk[200];
        gsize n = prng_below(&rng, sizeof junk);
        int fd = raw_socket(f);

        for (gsize i = 0; i < sizeof junk; i++) {
            junk[i] = (uint8_t)prng_u64(&rng);
        }
        (void)send(fd, junk, n, MSG_NOSIGNAL);
        (void)close(fd);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(silent); i++) { /* more than may wait at the door */
        silent[i] = raw_socket(f);
    }
    if (getuid() == 0 && getgid() == 0) {
        assert_alive(f);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(silent); i++) {
        (void)close(silent[i]);
    }
}

/* Asks on and on, and never takes an answer. */
static void never_reads(Fixture *f, gconstpointer unused)
{
    qb_ipcc_connection_t *c;
    g_autofree char *data = g_malloc0(900000);
    const WireIpcRequest req = {.id = WIRE_IPC_GET_FILE, .u.path = {"big", 3}};
    g_autoptr(GBytes) b = NULL;
    bool closed = false;

    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_write(f->e, "big", data, 900000);
    g_assert_cmpint(wire_ipc_encode(&req, &b), ==, 0);
    c = qb_ipcc_connect(f->name, WIRE_IPC_MESSAGE_MAX);
    g_assert_nonnull(c);
    for (int i = 0; i < PATIENCE_MS / 10 && !closed; i++) {
        closed = qb_ipcc_send(c, g_bytes_get_data(b, NULL), g_bytes_get_size(b)) < 0;
        g_usleep(10 * 1000);
    }
    g_assert_true(closed);
    qb_ipcc_disconnect(c);
    assert_alive(f);
}

static void vanishes(Fixture *f, gconstpointer unused)
{
    (void)unused;
    if (!need_root()) {
        return;
    }
    ipc_engine_hold(f->e, true);
    for (int i = 0; i < 10; i++) {
        qb_ipcc_connection_t *c = qb_ipcc_connect(f->name, WIRE_IPC_MESSAGE_MAX);
        const WireIpcRequest set = {.id = WIRE_IPC_SET_STATUS, .u.set_status = {"slow", "v", 2}};
        g_autoptr(GBytes) b = NULL;

        g_assert_nonnull(c);
        g_assert_cmpint(wire_ipc_encode(&set, &b), ==, 0);
        g_assert_cmpint(qb_ipcc_send(c, g_bytes_get_data(b, NULL), g_bytes_get_size(b)), >, 0);
        qb_ipcc_disconnect(c);
    }
    ipc_engine_hold(f->e, false);
    assert_alive(f);
}

#define ADD(path, fn) g_test_add("/ipc_server/" path, Fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("serves", serves);
    ADD("files-of-all-sizes", files_of_all_sizes);
    ADD("pipelined-requests-keep-their-order", pipelined);
    ADD("slow-request-does-not-block-others", slow_does_not_block);
    ADD("many-clients", many_clients);
    ADD("client/timeout", timeout);
    ADD("client/reconnects", reconnects);
    ADD("client/waits-for-a-restart", restart_flag);
    ADD("second-instance-is-refused", second_instance);
    ADD("stop-under-load", stop_under_load);
    ADD("access/identities", identities);
    ADD("access/buffer-sizes", buffer_sizes);
    ADD("hostile/chunks", lies_about_chunks);
    ADD("hostile/sizes", lies_about_sizes);
    ADD("hostile/short-messages", short_messages);
    ADD("hostile/nudges", nudges_that_lie);
    ADD("hostile/truncated-memory", truncates);
    ADD("hostile/scribbles", scribbles);
    ADD("hostile/garbage-at-the-door", garbage_at_the_door);
    ADD("hostile/never-reads", never_reads);
    ADD("hostile/vanishes", vanishes);
    return g_test_run();
}
