/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_request: what a person asks for, as it comes over the local socket; and the map of storages.
 * Pure; any thread.
 */
#ifndef MIGRATION_CORE_MIG_REQUEST_H
#define MIGRATION_CORE_MIG_REQUEST_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/base/strtab.h"
#include "migration/core/mig_limits.h"
#include "migration/core/mig_source.h"

#include <stdbool.h>
#include <stdint.h>

#define MIG_MAP_MAX 4096 /* bytes of a storage map */

#define MIG_COMPRESS_LIST(X)                                                                       \
    X(MIG_COMPRESS_AUTO, "auto") /* when it pays: mig_compression_pays */                          \
    X(MIG_COMPRESS_NONE, "none")                                                                   \
    X(MIG_COMPRESS_ZSTD, "zstd")
typedef enum MigCompress { MIG_COMPRESS_LIST(STRTAB_ENUM) MIG_COMPRESS_N } MigCompress;
STRTAB_DECLARE(mig_compress, MigCompress);

typedef struct MigRequest {
    uint32_t vmid;
    char target[MIG_NODE_SIZE];
    bool online, local_disks, force, dry_run, insecure, has_type;
    char map[MIG_MAP_MAX];
    char network[64];
    int64_t bwlimit_kib; /* 0: none given */
    int64_t downtime_ms, timeout_s;
    int64_t channels; /* of multifd, 0: none; -1: as it fits */
    MigPolicy policy;
    MigCompress compress;
} MigRequest;

/* Defaults for what is not there. -EINVAL names the member. */
int mig_request_read(const JsonTree *t, MigRequest *ret, Err *err) must_check;
JsonTree *mig_request_write(const MigRequest *q);

/* The storage that `source` becomes by `map` ("a:b,c:d,default", "1" or "": all stay). Caller
 * frees.
 */
char *mig_map_storage(const char *map, const char *source);
/* -EINVAL with what is wrong: two defaults, a source twice, `1` with others, bad names. */
int mig_map_check(const char *map, Err *err) must_check;

/* Smallest of the limits that are not 0. */
int64_t mig_least_limit(int64_t a, int64_t b);

#endif
