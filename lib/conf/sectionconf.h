/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sectionconf: the text format of ha/resources.cfg, ha/groups.cfg and ha/rules.cfg (and of other
 * "section" files): sections of a header line `type: id` and indented property lines, each section
 * ended by an empty line. Reference: ha.md section 2.1.
 *
 * A schema says which types and properties exist and what a value must look like. Whatever does not
 * fit is reported through the warning callback with its line number, and never spoils its
 * neighbours: a bad property is left out of the section, a bad section out of the file. What was
 * left out is not lost: its lines are kept and written back unchanged, so that a program that does
 * not know a property never destroys it.
 *
 * Pure. One thread at a time per object.
 */
#ifndef LIB_CONF_SECTIONCONF_H
#define LIB_CONF_SECTIONCONF_H

#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SECTIONCONF_TEXT_MAX     (1024 * 1024) /* largest file of the cluster filesystem */
#define SECTIONCONF_SECTIONS_MAX 65536         /* a 1 MiB file cannot sensibly hold more */

typedef enum SectionKind {
    SECTION_TEXT, /* any text, at most `max` bytes when `max` is not 0 */
    SECTION_BOOL, /* 1 on yes true / 0 off no false, any case, no value = 1; stored "1" or "0" */
    SECTION_INT,  /* decimal, `min` to `max`; stored without leading zeros */
    SECTION_WORD, /* one of `words` (NULL terminated) */
    SECTION_LIST, /* separated by `,` `;` or blanks; at least one entry; stored as written */
} SectionKind;

typedef struct SectionProp {
    const char *name;
    SectionKind kind;
    bool required;
    int64_t min;
    int64_t max;
    const char *const *words;
} SectionProp;

typedef struct SectionType {
    const char *name;
    int (*check_id)(const char *id, Err *err); /* 0, or -EINVAL with the reason */
    const SectionProp *props;
    size_t n_props;
} SectionType;

typedef struct SectionSchema {
    const SectionType *types;
    size_t n_types;
    bool key_has_type; /* sections are looked up as "type:id" instead of "id" */
} SectionSchema;

typedef struct Section {
    const SectionType *type; /* NULL: header not understood, only `kept` matters */
    char *id;
    char *key;       /* id or type:id, by the schema */
    StrMap *values;  /* property -> char *, checked and normalised */
    GPtrArray *kept; /* char *: lines not understood, written back as they are */
    bool complete;   /* false: a required property is missing, the content does not count */
} Section;

typedef struct SectionConf {
    const SectionSchema *schema;
    GPtrArray *sections; /* Section *, in file order */
    GHashTable *by_key;  /* key -> Section *, only sections that count */
    char digest[41];     /* SHA-1 hex of the text that was parsed */
} SectionConf;

/* `line` counts from 1; `text` has no newline. */
typedef void (*SectionWarn)(void *ctx, unsigned line, const char *text);

/* Parses `len` bytes. Never fails on content: see above; `warn` may be NULL. Text beyond
 * SECTIONCONF_TEXT_MAX gives -EFBIG, a NUL byte -EBADMSG. The caller owns *ret_conf. `schema` must
 * live as long. */
int sectionconf_parse(const SectionSchema *schema,
                      const char *text,
                      size_t len,
                      SectionWarn warn,
                      void *ctx,
                      SectionConf **ret_conf,
                      Err *err) must_check;
void sectionconf_free(SectionConf *conf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SectionConf, sectionconf_free)

/* The section, or NULL; borrowed. */
Section *sectionconf_get(const SectionConf *conf, const char *key);

/* Adds an empty section at the end. -EEXIST, or -EINVAL for an unknown type or bad id. */
int sectionconf_add(SectionConf *conf,
                    const char *type,
                    const char *id,
                    Section **ret_section,
                    Err *err) must_check;
/* True when it was there. */
bool sectionconf_remove(SectionConf *conf, const char *key);

/* Checks and normalises `value` (NULL: no value) by the schema and stores it. -EINVAL. */
int section_set(Section *s, const char *name, const char *value, Err *err) must_check;
void section_unset(Section *s, const char *name);

/* Value as stored, or NULL; borrowed. */
const char *section_text(const Section *s, const char *name);
/* Value, or `fallback` when not set. */
bool section_bool(const Section *s, const char *name, bool fallback);
int64_t section_int(const Section *s, const char *name, int64_t fallback);

/* The file text: sections in order, properties in the documented order. Caller frees. */
char *sectionconf_format(const SectionConf *conf);

/* letter, then at least one of letters, digits, `_`, `-`. 0 or -EINVAL. */
int sectionconf_check_configid(const char *id, Err *err) must_check;

/* Splits a list value on `,` `;` or blanks, leaving out empty entries. Owned char *. */
GPtrArray *sectionconf_split_list(const char *value);

#endif
