/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volid: volume ids, `STORAGE:VOLUME`, and the other things a drive may point to. This part of the
 * grammar is the same for all kinds of storage; what stands after the colon is read by the kind
 * (storage_path). Reference: guest.md sections 5 and 21.
 *
 * No volume may leave its storage: `..`, empty path components and control characters are refused
 * here, before anything else looks at the text (INV-7). Pure; any thread.
 */
#ifndef GUEST_CORE_VOLID_H
#define GUEST_CORE_VOLID_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define VMID_MIN 100
#define VMID_MAX 999999999

#define STORAGE_ID_MAX 64  /* names of storages are typed by people */
#define VOLUME_MAX     512 /* longest name any kind of storage makes is far below */

typedef enum VolidKind {
    VOLID_NONE,   /* "none": an empty drive */
    VOLID_CDROM,  /* "cdrom": the host's own drive */
    VOLID_PATH,   /* absolute path on the host */
    VOLID_VOLUME, /* storage and volume */
} VolidKind;

typedef struct Volid {
    VolidKind kind;
    char storage[STORAGE_ID_MAX + 1]; /* VOLID_VOLUME only */
    const char *rest;                 /* volume or path; borrowed from the parsed text */
} Volid;

/* -EINVAL with the rule that was broken. */
int volid_parse(const char *text, Volid *ret, Err *err) must_check;
int volid_check(const char *text, Err *err) must_check;

/* Letter, then letters, digits, `.`, `_`, `-`, ending in a letter or digit; at least 2 bytes. */
int storage_id_check(const char *id, Err *err) must_check;

/* Digits without leading zeros, VMID_MIN..VMID_MAX. */
int vmid_parse(const char *text, uint32_t *ret, Err *err) must_check;

/* A relative path without empty, `.` and `..` components. */
bool volume_is_inside(const char *volume);

#endif
