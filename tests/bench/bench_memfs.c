/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_memfs DIR: the least that a FUSE file system can be, to measure the mount against: files
 * and directories in memory, the kernel told to keep names, attributes and pages for good, requests
 * as large as the mount takes, many threads, one lock. No rename, no links, no modes, nothing is
 * kept. Runs until it is unmounted.
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define KEEP_SEC  (86400.0 * 365)
#define WRITE_MAX (1024u * 1024u)

typedef struct Node {
    fuse_ino_t ino;
    mode_t mode;
    GByteArray *data;     /* file */
    GHashTable *children; /* directory: name -> Node */
    struct timespec mtime;
} Node;

static GMutex lock;
static GPtrArray *nodes; /* at [ino - 1]; removed ones stay until the end */

static Node *node_new(mode_t mode)
{
    Node *n = g_new0(Node, 1);

    n->mode = mode;
    if (S_ISDIR(mode)) {
        n->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    } else {
        n->data = g_byte_array_new();
    }
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &n->mtime);
    g_ptr_array_add(nodes, n);
    n->ino = nodes->len;
    return n;
}

static Node *node(fuse_ino_t ino)
{
    return g_ptr_array_index(nodes, ino - 1);
}

static struct stat attr_of(const Node *n)
{
    return (struct stat){
        .st_ino = n->ino,
        .st_mode = n->mode,
        .st_nlink = 1,
        .st_size = n->data != NULL ? n->data->len : 0,
        .st_blksize = 4096,
        .st_mtim = n->mtime,
        .st_ctim = n->mtime,
        .st_atim = n->mtime,
    };
}

static struct fuse_entry_param entry_of(const Node *n)
{
    return (struct fuse_entry_param){
        .ino = n->ino, .attr = attr_of(n), .attr_timeout = KEEP_SEC, .entry_timeout = KEEP_SEC};
}

static void on_init(void *ctx, struct fuse_conn_info *conn)
{
    (void)ctx;
    conn->want = conn->capable &
                 (FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_EXPLICIT_INVAL_DATA |
                  FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_NO_OPENDIR_SUPPORT);
    conn->max_write = WRITE_MAX;
    conn->max_readahead = WRITE_MAX;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = {.entry_timeout = KEEP_SEC};
    const Node *n;

    g_mutex_lock(&lock);
    n = g_hash_table_lookup(node(parent)->children, name);
    if (n != NULL) {
        e = entry_of(n);
    }
    g_mutex_unlock(&lock);
    fuse_reply_entry(req, &e);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    g_mutex_lock(&lock);
    st = attr_of(node(ino));
    g_mutex_unlock(&lock);
    fuse_reply_attr(req, &st, KEEP_SEC);
}

static void resize(Node *n, gsize size)
{
    gsize old = n->data->len;

    g_byte_array_set_size(n->data, (guint)size);
    if (size > old) {
        memset(n->data->data + old, 0, size - old);
    }
}

static void
on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
    struct stat now;

    (void)fi;
    g_mutex_lock(&lock);
    if ((what & FUSE_SET_ATTR_SIZE) != 0 && node(ino)->data != NULL) {
        resize(node(ino), (gsize)st->st_size);
    }
    now = attr_of(node(ino));
    g_mutex_unlock(&lock);
    fuse_reply_attr(req, &now, KEEP_SEC);
}

static Node *add(fuse_ino_t parent, const char *name, mode_t mode)
{
    Node *n = node_new(mode);

    g_hash_table_replace(node(parent)->children, g_strdup(name), n);
    return n;
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param e;

    g_mutex_lock(&lock);
    e = entry_of(add(parent, name, S_IFDIR | (mode & 0777)));
    g_mutex_unlock(&lock);
    fuse_reply_entry(req, &e);
}

static void on_create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fuse_entry_param e;

    fi->keep_cache = 1;
    g_mutex_lock(&lock);
    e = entry_of(add(parent, name, S_IFREG | (mode & 0777)));
    g_mutex_unlock(&lock);
    fuse_reply_create(req, &e, fi);
}

static void on_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    bool found;

    g_mutex_lock(&lock);
    found = g_hash_table_remove(node(parent)->children, name);
    g_mutex_unlock(&lock);
    fuse_reply_err(req, found ? 0 : ENOENT);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void
on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
    g_autofree char *copy = NULL;
    gsize have = 0;

    (void)fi;
    g_mutex_lock(&lock);
    if ((guint64)at < node(ino)->data->len) {
        have = MIN(size, node(ino)->data->len - (gsize)at);
        copy = g_memdup2(node(ino)->data->data + at, have);
    }
    g_mutex_unlock(&lock);
    fuse_reply_buf(req, copy, have);
}

static void on_write(fuse_req_t req,
                     fuse_ino_t ino,
                     const char *data,
                     size_t size,
                     off_t at,
                     struct fuse_file_info *fi)
{
    (void)fi;
    g_mutex_lock(&lock);
    if (node(ino)->data->len < (gsize)at + size) {
        resize(node(ino), (gsize)at + size);
    }
    memcpy(node(ino)->data->data + at, data, size);
    g_mutex_unlock(&lock);
    fuse_reply_write(req, size);
}

static void on_done(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    on_done(req, ino, fi);
}

/* The names from the `off`-th on, without "." and "..", as the mount lists them. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    g_autofree char *buf = g_malloc(size);
    g_autofree gpointer *names = NULL;
    gsize used = 0;
    guint n;

    g_mutex_lock(&lock);
    names = g_hash_table_get_keys_as_array(node(ino)->children, &n);
    for (guint i = (guint)off; i < n; i++) {
        struct fuse_entry_param e = entry_of(g_hash_table_lookup(node(ino)->children, names[i]));
        gsize need =
            plus ? fuse_add_direntry_plus(req, buf + used, size - used, names[i], &e, i + 1)
                 : fuse_add_direntry(req, buf + used, size - used, names[i], &e.attr, i + 1);

        if (need > size - used) {
            break;
        }
        used += need;
    }
    g_mutex_unlock(&lock);
    fuse_reply_buf(req, buf, used);
}

static void
on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, false);
}

static void
on_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, true);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .mkdir = on_mkdir,
    .create = on_create,
    .unlink = on_remove,
    .rmdir = on_remove,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .flush = on_done,
    .release = on_done,
    .fsync = on_fsync,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
};

int main(int argc, char **argv)
{
    char *words[] = {argv[0], (char *)(gpointer) "-oallow_other,default_permissions", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    struct fuse_session *session;
    int rc = 1;

    if (argc != 2) {
        g_printerr("usage: bench_memfs DIR\n");
        return 2;
    }
    nodes = g_ptr_array_new();
    (void)node_new(S_IFDIR | 0755); /* the root has number 1 */
    session = fuse_session_new(&args, &operations, sizeof operations, NULL);
    if (session != NULL && fuse_session_mount(session, argv[1]) == 0) {
        fuse_loop_cfg_set_clone_fd(config, 0);
        rc = fuse_session_loop_mt(session, config) < 0;
        fuse_session_unmount(session);
    }
    if (session != NULL) {
        fuse_session_destroy(session);
    }
    fuse_loop_cfg_destroy(config);
    fuse_opt_free_args(&args);
    return rc;
}
