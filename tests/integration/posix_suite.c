/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/posix.h"

#include <dirent.h>
#include <ftw.h>

void posix_dir_make(const char *name)
{
    MT_OK(mkdir(mt("%s", name), 0755));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void posix_dir_remove(const char *name)
{
    MT_OK(nftw(mt("%s", name), remove_one, 16, FTW_DEPTH | FTW_PHYS));
}

struct stat posix_stat(const char *path)
{
    struct stat st;
    MT_OK(lstat(path, &st));
    return st;
}

void posix_add_steered(const char *name, void (*fn)(void))
{
    if (mt_has_ctl()) {
        g_test_add_func(name, fn);
    }
}

int main(int argc, char **argv)
{
    const char *dir = NULL;
    g_test_init(&argc, &argv, NULL);
    if (argc == 3 && strcmp(argv[1], "--dir") == 0) {
        dir = argv[2];
    } else if (argc != 1) {
        fprintf(stderr, "usage: posix_suite [--dir DIR]\n");
        return 2;
    }
    mt_start(dir);
    posix_add_special();
    posix_add_attr();
    posix_add_names();
    posix_add_data();
    posix_add_open();
    posix_add_users();
    posix_add_locks();
    posix_add_quorum();
    int r = g_test_run();
    mt_stop();
    return r;
}
