/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sectionlines: the lines of a section file, for reading: header lines `type: id` or `id` at the
 * left margin, below each its properties, indented, `key` or `key value`. Used for storage.cfg,
 * the mapping files and virtual-guest/cpu-models.conf. A key may appear more than once (mapping
 * files do that); what the words mean is decided by the reader of that file.
 *
 * Lines starting with `#` are comments. A line that is neither is an error of its section, kept
 * with its number, so that one bad section does not take the others away.
 *
 * Pure. One thread at a time per object.
 */
#ifndef LIB_CONF_SECTIONLINES_H
#define LIB_CONF_SECTIONLINES_H

#include "lib/base/err.h"

#include <glib.h>
#include <stddef.h>

#define SECTIONLINES_TEXT_MAX     (1024 * 1024) /* largest file of the cluster filesystem */
#define SECTIONLINES_SECTIONS_MAX 65536         /* a 1 MiB file cannot sensibly hold more */

typedef struct SectionLine {
    char *key;
    char *value; /* "" when the key stands alone */
    unsigned line;
} SectionLine;

typedef struct SectionLinesEntry {
    char *type; /* "" when the header is a plain id */
    char *id;
    unsigned line;
    GPtrArray *lines; /* SectionLine *, in order */
    char *error;      /* what is wrong with this section, or NULL */
} SectionLinesEntry;

typedef struct SectionLines {
    GPtrArray *sections; /* SectionLinesEntry *, in order */
} SectionLines;

/* -EFBIG, -E2BIG, -EBADMSG (a NUL byte, or properties before the first header). */
int sectionlines_parse(const char *text, size_t len, SectionLines **ret, Err *err) must_check;
void sectionlines_free(SectionLines *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SectionLines, sectionlines_free)

/* The first value of `key`, or NULL; borrowed. */
const char *sectionlines_get(const SectionLinesEntry *s, const char *key);

#endif
