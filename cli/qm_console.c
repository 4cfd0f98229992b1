/* SPDX-License-Identifier: Apache-2.0 */
/* qm_console: a guest's serial line in this terminal, and its screen for a VNC viewer. */
#include "cli/qm_run.h"

#include "guest/core/guestconf.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define PIECE        4096
#define TICKET_ENV   "LC_PVE_TICKET" /* name that ssh lets through; web UIs set it */
#define TICKET_BYTES 6               /* VNC looks at eight characters, no more */
#define TICKET_LIFE  "+30"           /* seconds to connect */
#define ESCAPE_USUAL "^O"

static int connect_to(const char *path, Err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof addr.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0) {
        int r = -errno;
        if (fd >= 0) {
            (void)close(fd); /* never connected */
        }
        return err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    return fd;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* One piece from `from` to `to`; 1 when there was one, 0 at the end or after the escape character
 * (-1: none). */
static int move_piece(int from, int to, int escape)
{
    char piece[PIECE];
    ssize_t n = read(from, piece, sizeof piece);
    const char *end = NULL;
    int r;

    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? 1 : -errno;
    }
    if (n > 0 && escape >= 0) {
        end = memchr(piece, escape, (size_t)n);
    }
    r = write_all(to, piece, end != NULL ? (size_t)(end - piece) : (size_t)n);
    return r < 0 ? r : n > 0 && end == NULL;
}

/* Until one side ends. */
static int relay(int fd, int escape)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int r = 1;

    while (r > 0) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        if (fds[1].revents != 0) {
            r = move_piece(fd, STDOUT_FILENO, -1);
        }
        if (r > 0 && fds[0].revents != 0) {
            r = move_piece(STDIN_FILENO, fd, escape);
        }
    }
    return r;
}

static int find_running(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = qm_run_check_here(h, vmid, err);

    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
        r = r == 0 ? err_setf(err, -ESRCH, "VM %u is not running", vmid) : MIN(r, 0);
    }
    return r;
}

/* ----------------------------------------------------------------- terminal */

/* "^O" is the character of Ctrl and O; anything else stands for itself. */
static int parse_escape(const char *text, int *ret, Err *err)
{
    if (text[0] == '^' && text[1] != '\0' && text[2] == '\0') {
        *ret = g_ascii_toupper(text[1]) & 0x1f;
        return 0;
    }
    if (text[0] != '\0' && text[1] == '\0') {
        *ret = (unsigned char)text[0];
        return 0;
    }
    return err_setf(err, -EINVAL, "--escape %s: expected one character, or ^ and a letter", text);
}

/* The serial port: that which was asked for, or the first one there is. Caller frees. */
static int serial_socket(const GuestHost *h, uint32_t vmid, char **ret, Err *err)
{
    for (int i = 0; i < 4; i++) {
        g_autofree char *name = g_strdup_printf("serial%d", i);
        g_autofree char *path = guest_run_path(h->run_dir, vmid, name);
        bool wanted = qm_run.iface == NULL || strcmp(qm_run.iface, name) == 0;
        if (wanted && access(path, F_OK) == 0) {
            *ret = g_steal_pointer(&path);
            return 0;
        }
    }
    return err_setf(err, -ENOENT, "VM %u has no %s: 'qm set %u --serial0 socket' adds one", vmid,
                    qm_run.iface != NULL ? qm_run.iface : "serial port", vmid);
}

static int run_terminal(int fd, const char *path, const char *escape_text, int escape)
{
    struct termios old;
    struct termios raw;
    bool people = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
    int r;

    if (people) {
        g_autofree char *name = g_path_get_basename(path);
        fprintf(stderr, "starting serial terminal on interface %s (press %s to exit)\r\n",
                strchr(name, '.') + 1, escape_text);
        raw = old;
        cfmakeraw(&raw);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw); /* line by line is better than nothing */
    }
    r = relay(fd, escape);
    if (people) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old); /* the shell would do so too */
        fprintf(stderr, "\n");
    }
    return r;
}

int qm_terminal(char **operands, Err *err)
{
    const char *escape_text = qm_run.escape != NULL ? qm_run.escape : ESCAPE_USUAL;
    g_autoptr(GuestHost) h = NULL;
    g_autofree char *path = NULL;
    uint32_t vmid;
    int escape = -1;
    int fd;
    int r = parse_escape(escape_text, &escape, err);

    if (r == 0) {
        r = qm_run_begin(operands, &h, &vmid, err);
    }
    if (r == 0) {
        r = find_running(h, vmid, err);
    }
    if (r == 0) {
        r = serial_socket(h, vmid, &path, err);
    }
    if (r < 0) {
        return r;
    }
    fd = connect_to(path, err);
    if (fd < 0) {
        return fd;
    }
    r = run_terminal(fd, path, escape_text, escape);
    (void)close(fd); /* the guest's side stays */
    return r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : 0;
}

/* ---------------------------------------------------------------------- VNC */

/* The secret that a viewer must know for this one connection: never in an argument. */
static int choose_ticket(char **ret, Err *err)
{
    const char *given = g_getenv(TICKET_ENV);
    unsigned char bytes[TICKET_BYTES];

    if (given != NULL && given[0] != '\0') {
        *ret = g_strdup(given);
        return 0;
    }
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return err_setf(err, -EIO, "no random numbers: %s", g_strerror(errno));
    }
    *ret = g_base64_encode(bytes, sizeof bytes); /* eight characters */
    fprintf(stderr, "ticket: %s\n", *ret);
    return 0;
}

static int set_ticket(const GuestHost *h, uint32_t vmid, const char *ticket, Err *err)
{
    g_autoptr(QmpClient) qmp = NULL;
    JsonTree *password = jsontree_new_object();
    JsonTree *expiry = jsontree_new_object();
    int r = guest_qmp_open(h->run_dir, vmid, &qmp, err);

    jsontree_set_text(password, "protocol", "vnc");
    jsontree_set_text(password, "password", ticket);
    jsontree_set_text(expiry, "protocol", "vnc");
    jsontree_set_text(expiry, "time", TICKET_LIFE);
    if (r < 0) {
        jsontree_free(password);
        jsontree_free(expiry);
        return r;
    }
    r = qmp_call(qmp, "set_password", password, 0, NULL, err);
    if (r < 0) {
        jsontree_free(expiry);
        return err_wrapf(err, r, "VM %u", vmid);
    }
    return qmp_call(qmp, "expire_password", expiry, 0, NULL, err);
}

int qm_vncproxy(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autofree char *path = NULL;
    g_autofree char *ticket = NULL;
    uint32_t vmid;
    int fd;
    int r = qm_run_begin(operands, &h, &vmid, err);

    if (r == 0) {
        r = find_running(h, vmid, err);
    }
    if (r == 0) {
        path = guest_run_path(h->run_dir, vmid, "vnc");
        if (access(path, F_OK) < 0) {
            r = err_setf(err, -ENOENT, "VM %u has no screen (its display is a serial port or none)",
                         vmid);
        }
    }
    if (r == 0) {
        r = choose_ticket(&ticket, err);
    }
    if (r == 0) {
        r = set_ticket(h, vmid, ticket, err);
    }
    if (r < 0) {
        return r;
    }
    fd = connect_to(path, err);
    if (fd < 0) {
        return fd;
    }
    r = relay(fd, -1);
    (void)close(fd); /* the viewer is gone, or QEMU is */
    return r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : 0;
}
