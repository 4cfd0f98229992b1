/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_upid: the name of a task: `UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:`, numbers in
 * hexadecimal. Pure; any thread. Reference: api, chapter 10.
 */
#ifndef LIB_WIRE_WIRE_UPID_H
#define LIB_WIRE_WIRE_UPID_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

#define WIRE_UPID_MAX 512u

typedef struct Upid {
    char *node, *type, *id, *user; /* id may be empty; user may be USER!TOKEN */
    uint32_t pid;
    uint64_t pstart; /* start of the process, in clock ticks since boot; up to 36 bits */
    uint32_t starttime;
} Upid;
void upid_done(Upid *u);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Upid, upid_done)

/* -EBADMSG. Whatever passes can be a file name. */
int upid_parse(const char *text, Upid *ret, Err *err) must_check;
char *upid_format(const Upid *u); /* caller frees */

#endif
