/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_qmp: messages of QEMU's machine protocol and of the guest agent: one JSON object per line.
 *
 *   from QEMU   {"QMP": {...}}                                    greeting, first line
 *               {"return": ANY, "id": N}                          answer
 *               {"error": {"class": C, "desc": D}, "id": N}       answer
 *               {"event": E, "data": {...}, "timestamp": {"seconds": S, "microseconds": U}}
 *   to QEMU     {"execute": C, "arguments": {...}, "id": N}
 *               {"exec-oob": C, ...}                              ahead of others, when agreed on
 *
 * A message of another shape is refused. Unknown members are ignored. Reference guest.md section 9.
 * Pure; any thread.
 */
#ifndef LIB_WIRE_WIRE_QMP_H
#define LIB_WIRE_WIRE_QMP_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_QMP_LINE_MAX (16u * 1024u * 1024u) /* query-block of many disks stays below 1 MiB */

typedef enum WireQmpKind {
    WIRE_QMP_GREETING,
    WIRE_QMP_RETURN,
    WIRE_QMP_ERROR,
    WIRE_QMP_EVENT,
} WireQmpKind;

typedef struct WireQmp {
    WireQmpKind kind;
    JsonTree *tree; /* owned: the whole message */
    bool has_id;
    uint64_t id;
    const JsonTree *data;    /* value of "return", "data" or "QMP"; may be NULL; borrowed */
    const char *name;        /* of the event, or class of the error; borrowed */
    const char *description; /* of the error; borrowed */
    int64_t time_us;         /* of the event, Unix time */
} WireQmp;

void wire_qmp_clear(WireQmp *m);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WireQmp, wire_qmp_clear)

/* One line without its end. -EBADMSG, -E2BIG. */
int wire_qmp_decode(const char *line, size_t len, WireQmp *ret, Err *err) must_check;

/* One line with its end. `arguments` may be NULL; borrowed. Caller frees. */
char *wire_qmp_encode(const char *command, const JsonTree *arguments, uint64_t id);

/* The same for a command that QEMU runs ahead of others, outside its main loop. */
char *wire_qmp_encode_oob(const char *command, const JsonTree *arguments, uint64_t id);

/* What an error of QEMU is for us: a negative errno. */
int wire_qmp_errno(const char *error_class);

#endif
