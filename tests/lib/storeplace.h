/* SPDX-License-Identifier: Apache-2.0 */
/* storeplace: a temporary directory with the database of a test, and a second, plain connection to
 * look at it. */
#ifndef TESTS_LIB_STOREPLACE_H
#define TESTS_LIB_STOREPLACE_H

#include "tests/lib/storerig.h"

typedef struct Place {
    char *dir;
    char *db; /* DIR/config.db, not there yet */
} Place;

/* Fixture functions: an empty directory; it goes with all that is in it. */
void place_init(Place *p, gconstpointer unused);
void place_done(Place *p, gconstpointer unused);

/* Path of the database and `suffix`; caller frees. Is there such a file? */
char *place_path(const Place *p, const char *suffix);
bool place_has(const Place *p, const char *suffix);

/* One value of a plain connection, as SQLite prints it; rows are separated by spaces. */
char *place_sql(const char *path, const char *text);

#define place_assert_sql(path, text, expected)                                                     \
    do {                                                                                           \
        g_autofree char *got_ = place_sql(path, text);                                             \
        g_assert_cmpstr(got_, ==, expected);                                                       \
    } while (0)

/* Runs statements by a plain connection, which must succeed. */
void place_exec(const char *path, const char *text);

/* Opens a rig, or fails the test; writes what is queued and closes it, without an error. */
StoreRig *place_open(const char *path);
void place_close(StoreRig *rig);

/* Opens and closes a store: its result. */
int place_try_open(const char *path, Err *err) must_check;

#endif
