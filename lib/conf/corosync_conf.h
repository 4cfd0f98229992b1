/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_conf: the text of corosync.conf as a document that can be read, changed and written
 * without losing a comment, an unknown key or the order of lines. What it means is checked in
 * corosync_check.h; the node list is handled in corosync_nodes.h.
 * Reference: join chapter 4; corosync.conf(5).
 *
 * Grammar: `name {` opens a section, `}` closes it, `key: value` sets a value that reaches to the
 * end of the line; `#` starts a comment where a token could start. Sections written on one line
 * (`totem { version: 2 }`) are read too and become one token per line when written.
 *
 * Pure; one thread at a time per document.
 */
#ifndef LIB_CONF_COROSYNC_CONF_H
#define LIB_CONF_COROSYNC_CONF_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define COROSYNC_CONF_SIZE_MAX  (256u * 1024u) /* bytes; 128 nodes with 8 links need 40 KiB */
#define COROSYNC_CONF_DEPTH_MAX 8u             /* the real grammar needs 4 */
#define COROSYNC_CONF_ITEMS_MAX 16384u

typedef struct CorosyncConf CorosyncConf;

typedef enum CorosyncItemKind {
    COROSYNC_ITEM_SECTION,
    COROSYNC_ITEM_KEY,
    COROSYNC_ITEM_COMMENT, /* a comment line of its own, or a blank line (text "") */
} CorosyncItemKind;

typedef struct CorosyncItem CorosyncItem;
struct CorosyncItem {
    CorosyncItemKind kind;
    char *name;       /* SECTION, KEY */
    char *value;      /* KEY; COMMENT: the text with its `#`, "" for a blank line */
    char *trailing;   /* comment behind the item on its line, with its `#`; NULL */
    GPtrArray *items; /* SECTION: of CorosyncItem*, in the order of the text */
    unsigned line;    /* 1-based line of the text it came from; 0 when made by a program */
};

/* Reads a whole text. -EBADMSG with line and reason; -E2BIG when a limit is passed. */
int corosync_conf_parse(const char *text, size_t size, CorosyncConf **ret, Err *err) must_check;
CorosyncConf *corosync_conf_new(void); /* an empty document */
void corosync_conf_free(CorosyncConf *conf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CorosyncConf, corosync_conf_free)

/* The text: two blanks per level, `key: value`, an empty line after each top level section.
 * Comments, unknown keys and the order of a document that was read stay. Caller frees. */
char *corosync_conf_format(const CorosyncConf *conf);

/* The top level of the document: a SECTION item without name. Borrowed. */
CorosyncItem *corosync_conf_root(const CorosyncConf *conf);

/* First section or key of that name directly in `section`; NULL when there is none. Borrowed. */
CorosyncItem *corosync_section(const CorosyncItem *section, const char *name);
const CorosyncItem *corosync_key(const CorosyncItem *section, const char *name);

/* All sections of that name, in order (GPtrArray of borrowed CorosyncItem*). */
GPtrArray *corosync_sections(const CorosyncItem *section, const char *name);

/* Value at a dotted path of first sections ("totem.cluster_name"); NULL when absent. Borrowed. */
const char *corosync_conf_get(const CorosyncConf *conf, const char *path);

/* The same as a decimal number; false when absent or no number up to UINT64_MAX. */
bool corosync_conf_get_u64(const CorosyncConf *conf, const char *path, uint64_t *ret);

/* Sets a key; a new one goes where byte order among its sibling keys puts it. Sections on the way
 * are made. Name and value must be single-line texts; the value must not be empty. */
void corosync_conf_set(CorosyncConf *conf, const char *path, const char *value);
void corosync_item_set(CorosyncItem *section, const char *name, const char *value);

/* Appends a section after its last sibling of that name, or in byte order. Borrowed result. */
CorosyncItem *corosync_item_add_section(CorosyncItem *section, const char *name);

/* Removes a direct child together with the comment lines right above it. */
void corosync_item_remove(CorosyncItem *section, const CorosyncItem *child);

/* totem.config_version; 0 when absent or unreadable. */
uint64_t corosync_conf_version(const CorosyncConf *conf);

/* Version number as the cluster filesystem finds it in any text, also a damaged one: the digits
 * behind the first "config_version", optional blanks, ":" (reference pmxcfs 14.3). False when there
 * is none. */
bool corosync_text_version(const char *text, size_t size, uint64_t *ret);

/* SHA-1 of the text in hex, as join information carries it. Caller frees. */
char *corosync_text_digest(const char *text, size_t size);

#endif
