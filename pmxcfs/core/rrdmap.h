/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rrdmap: which RRD file a status value belongs to, what that file looks like, and what of the
 * value goes into it (reference pmxcfs chapter 13). Pure; any thread.
 *
 * Values come from other nodes and end up as file names and in the line protocol of rrdcached: only
 * what is spelled as such values are gets through.
 */
#ifndef PMXCFS_CORE_RRDMAP_H
#define PMXCFS_CORE_RRDMAP_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

#define RRDMAP_STEP_SEC 60

typedef enum RrdKind { RRD_KIND_NODE, RRD_KIND_GUEST, RRD_KIND_STORAGE, RRD_KIND_N } RrdKind;

typedef struct RrdTarget {
    RrdKind kind;
    char file[600];   /* relative to the base folder: "pve-node-9.0/n1" */
    unsigned skip;    /* leading columns of the value that are not stored */
    unsigned columns; /* columns after the time that the value must have; more are cut */
} RrdTarget;

/* -EINVAL: unknown prefix, wrong depth, or a name that must not become a file. */
int rrdmap_target(const char *id, RrdTarget *ret) must_check;

/* The row "time:v1:...:vn" for the file, padded with "U" to its number of columns. -EINVAL: too few
 * columns, no time, or a character that no column has. */
int rrdmap_row(const RrdTarget *t, const char *value, char **ret) must_check;

/* Definitions of data sources and archives of a new file, as rrd_create takes them (NULL
 * terminated, static). */
const char *const *rrdmap_definitions(RrdKind kind);
unsigned rrdmap_columns(RrdKind kind); /* data sources */

#endif
