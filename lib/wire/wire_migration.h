/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_migration: what the migration agents of two nodes say to each other, inside TLS.
 *
 *   offset size
 *   0      2    "QM"
 *   2      1    version, 1
 *   3      1    type
 *   4      4    reserved, zero
 *   8      4    length of the body, little-endian
 *   12     n    body: a JSON object; for DATA raw bytes
 *
 * Which members a body has, of which kind and how long is in one table (wire_migration.c); what is
 * missing or wrong is refused, members not in the table are ignored, so that newer agents may add
 * some. An unknown type or version is refused. docs/wire/migration.md is made from the same table.
 * Pure; any thread.
 */
#ifndef LIB_WIRE_WIRE_MIGRATION_H
#define LIB_WIRE_WIRE_MIGRATION_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/base/strtab.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MIG_VERSION     1
#define WIRE_MIG_HEADER_SIZE 12u
#define WIRE_MIG_BODY_MAX    (4u * 1024 * 1024) /* a configuration (1 MiB) as a JSON string */
#define WIRE_MIG_DATA_MAX    (256u * 1024)      /* raw bytes of one DATA */
#define WIRE_MIG_ID_LEN      32                 /* name of a migration: hex digits */
#define WIRE_MIG_NAME_MAX    63                 /* of a node */
#define WIRE_MIG_TEXT_MAX    512                /* of an error or a line of the log */
#define WIRE_MIG_LIST_MAX    64                 /* volumes, problems, capabilities */

/* Numbers are part of the format: only append. */
#define WIRE_MIG_TYPE_LIST(X)                                                                      \
    X(WIRE_MIG_NONE, "none")                                                                       \
    X(WIRE_MIG_HELLO, "hello")                                                                     \
    X(WIRE_MIG_WELCOME, "welcome")                                                                 \
    X(WIRE_MIG_CHECK, "check")                                                                     \
    X(WIRE_MIG_CHECKED, "checked")                                                                 \
    X(WIRE_MIG_PREPARE, "prepare")                                                                 \
    X(WIRE_MIG_PREPARED, "prepared")                                                               \
    X(WIRE_MIG_WAITING, "waiting")                                                                 \
    X(WIRE_MIG_START, "start")                                                                     \
    X(WIRE_MIG_STARTED, "started")                                                                 \
    X(WIRE_MIG_LOADED, "loaded")                                                                   \
    X(WIRE_MIG_RUN, "run")                                                                         \
    X(WIRE_MIG_RUNNING, "running")                                                                 \
    X(WIRE_MIG_FINISH, "finish")                                                                   \
    X(WIRE_MIG_FINISHED, "finished")                                                               \
    X(WIRE_MIG_ABORT, "abort")                                                                     \
    X(WIRE_MIG_ABORTED, "aborted")                                                                 \
    X(WIRE_MIG_PING, "ping")                                                                       \
    X(WIRE_MIG_DATA, "data")                                                                       \
    X(WIRE_MIG_END, "end")                                                                         \
    X(WIRE_MIG_IMPORTED, "imported")                                                               \
    X(WIRE_MIG_LOG, "log")                                                                         \
    X(WIRE_MIG_ERROR, "error")                                                                     \
    X(WIRE_MIG_RECOVER, "recover")                                                                 \
    X(WIRE_MIG_RECOVERED, "recovered")
typedef enum WireMigType { WIRE_MIG_TYPE_LIST(STRTAB_ENUM) WIRE_MIG_N } WireMigType;
STRTAB_DECLARE(wire_mig, WireMigType);

typedef struct WireMig {
    WireMigType type;
    JsonTree *body; /* owned; NULL for DATA */
    GBytes *data;   /* owned; only for DATA */
} WireMig;

void wire_mig_clear(WireMig *m);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WireMig, wire_mig_clear)

typedef enum WireMigKind {
    WIRE_MIG_TEXT,  /* at most `max` bytes */
    WIRE_MIG_INT,   /* 0 to `max` */
    WIRE_MIG_BOOL,  /* true or false */
    WIRE_MIG_LIST,  /* at most `max` elements */
    WIRE_MIG_TABLE, /* an object of at most `max` members */
} WireMigKind;

typedef struct WireMigField {
    const char *name; /* NULL ends the list */
    WireMigKind kind;
    bool required;
    int64_t max;
    const char *text; /* for people */
} WireMigField;

/* Members of a body; ends with a NULL name. */
const WireMigField *wire_mig_fields(WireMigType type);
/* One line for people. */
const char *wire_mig_text(WireMigType type);

/* Length of the whole message that starts with `data`: 0 when fewer than WIRE_MIG_HEADER_SIZE bytes
 * are there, -EBADMSG for another magic, version or type, -E2BIG for a length that is too long. */
int64_t wire_mig_size(const void *data, size_t size, Err *err) must_check;

/* One whole message. -EBADMSG, -E2BIG. */
int wire_mig_decode(const void *data, size_t size, WireMig *ret, Err *err) must_check;

/* The same check for a body that we made ourselves or took apart. */
int wire_mig_check(WireMigType type, const JsonTree *body, Err *err) must_check;

/* `body` may be NULL for an empty object; borrowed. NULL when it does not pass wire_mig_check: a
 * fault of the program or a text too long. Caller frees. */
GBytes *wire_mig_encode(WireMigType type, const JsonTree *body);
GBytes *wire_mig_encode_data(const void *data, size_t size);

#endif
