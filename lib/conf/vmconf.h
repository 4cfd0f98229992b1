/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmconf: the text of a guest's configuration file, nodes/NODE/qemu-server/VMID.conf: a main
 * section, then `[PENDING]`, `[special:NAME]` and `[SNAPSHOT]` sections, each of `key: value` lines
 * and `#` lines of description. Reference: guest.md section 2.
 *
 * This room knows the grammar, not the keys: what a key means and accepts is guest/core/confschema.
 * Nothing is lost by reading and writing: keys of newer programs, sections and lines that are not
 * understood are kept and written back. What is not kept is order, which the format defines (keys
 * sorted), blank lines, and all but the last of a key given twice.
 *
 * Pure. One thread at a time per object.
 */
#ifndef LIB_CONF_VMCONF_H
#define LIB_CONF_VMCONF_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define VMCONF_TEXT_MAX     (1024 * 1024) /* largest file of the cluster filesystem */
#define VMCONF_SECTIONS_MAX 4096          /* a guest with more snapshots is a mistake */
#define VMCONF_SNAPNAME_MAX 40
#define VMCONF_DIGEST_SIZE  41 /* SHA-1 in hex and a NUL */

/* In the order in which they are written. */
typedef enum VmSectionKind {
    VM_SECTION_MAIN,
    VM_SECTION_PENDING,
    VM_SECTION_SPECIAL,  /* name: what follows "special:" */
    VM_SECTION_SNAPSHOT, /* name: of the snapshot */
    VM_SECTION_UNKNOWN,  /* name: between the brackets; only `kept` matters */
} VmSectionKind;

typedef struct VmEntry {
    char *key;
    char *value;
    unsigned line; /* where it was read, from 1; 0 when it was set by a program */
} VmEntry;

typedef struct VmSection {
    VmSectionKind kind;
    char *name;         /* "" for main and pending */
    char *description;  /* decoded text, NULL when there is none */
    GPtrArray *entries; /* VmEntry *, sorted by key, one per key */
    GPtrArray *kept;    /* char *: lines that were not understood, in order */
    unsigned line;      /* of its header, 0 for main */
} VmSection;

typedef struct VmConf {
    GPtrArray *sections;             /* VmSection *: main first, the others as written */
    char digest[VMCONF_DIGEST_SIZE]; /* of the text that was parsed; "" for a new one */
} VmConf;

/* `line` counts from 1; `text` has no newline. */
typedef void (*VmConfWarn)(void *ctx, unsigned line, const char *text);

typedef struct VmConfParse {
    const char *file; /* what errors call the text; may be NULL */
    bool strict;      /* a line or section that is not understood is an error, not a warning */
    VmConfWarn warn;  /* may be NULL */
    void *ctx;
} VmConfParse;

/* An empty one: a main section without keys. */
VmConf *vmconf_new(void);
VmConf *vmconf_copy(const VmConf *conf);
void vmconf_free(VmConf *conf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmConf, vmconf_free)

/* Parses `len` bytes. -EFBIG beyond VMCONF_TEXT_MAX, -E2BIG for too many sections, -EBADMSG for a
 * NUL byte and, when strict, for what is not understood; the text says file and line. */
int vmconf_parse(const char *text, size_t len, const VmConfParse *how, VmConf **ret, Err *err)
    must_check;

/* The file's text. Caller frees. */
char *vmconf_format(const VmConf *conf);

/* SHA-1 hex of raw text, as requests carry it to detect lost updates. */
void vmconf_digest(const char *text, size_t len, char ret[VMCONF_DIGEST_SIZE]);

/* The section, or NULL; borrowed. `name` is not looked at for main and pending. */
VmSection *vmconf_section(const VmConf *conf, VmSectionKind kind, const char *name);
VmSection *vmconf_main(const VmConf *conf);

/* The section, added when it is not there. */
VmSection *vmconf_need_section(VmConf *conf, VmSectionKind kind, const char *name);
/* True when it was there. The main section cannot be removed. */
bool vmconf_remove_section(VmConf *conf, VmSectionKind kind, const char *name);

/* The value, or NULL; borrowed. */
const char *vmsection_get(const VmSection *s, const char *key);
/* The entry, or NULL; borrowed. */
const VmEntry *vmsection_entry(const VmSection *s, const char *key);
/* Adds or replaces. `key` must pass vmconf_check_key and `value` hold no newline; other
 * odd bytes that were read, such as a carriage return inside, may be set as well. */
void vmsection_set(VmSection *s, const char *key, const char *value);
/* True when it was there. */
bool vmsection_unset(VmSection *s, const char *key);
/* NULL or "" takes the description away. */
void vmsection_set_description(VmSection *s, const char *text);
/* Makes `to` hold what `from` holds: entries, description, kept lines. */
void vmsection_assign(VmSection *to, const VmSection *from);

/* `[a-z][a-z_-]*[0-9]*`. 0 or -EINVAL. */
int vmconf_check_key(const char *key, Err *err) must_check;
/* letter, then letters, digits, `_`, `-`; 2 to 40 bytes; not "pending". 0 or -EINVAL. */
int vmconf_check_snapname(const char *name, Err *err) must_check;

#endif
