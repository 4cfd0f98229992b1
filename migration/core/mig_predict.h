/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_predict: how long a move will take and how long the guest will stand still, from the size of
 * what moves, the speed of the link and how fast the guest changes its memory. Pure; any thread.
 */
#ifndef MIGRATION_CORE_MIG_PREDICT_H
#define MIGRATION_CORE_MIG_PREDICT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MigPredictAsk {
    int64_t memory, disks; /* bytes; all of the memory counts, QEMU does not say how much is used */
    int64_t speed;         /* bytes per second, of link, limits and QEMU; 0: not known */
    int64_t dirty;         /* bytes per second */
    int64_t downtime_ms;   /* the promise */
} MigPredictAsk;

typedef struct MigPrediction {
    bool known;     /* else the speed was not */
    bool converges; /* else the guest dirties faster than its memory moves */
    int64_t total_ms, downtime_ms;
    unsigned rounds; /* over the memory */
} MigPrediction;

/* After the start of the target's QEMU the disks, then the memory in rounds: in each the guest
 * dirties what the next one has to send, until the rest fits into what QEMU may take. */
MigPrediction mig_predict(const MigPredictAsk *ask);

/* What one thread of QEMU sends where nothing was measured yet, bytes per second: a careful guess,
 * measured with 7.2 on one core of 2023. */
#define MIG_STREAM_PLAIN (INT64_C(700) << 20)
#define MIG_STREAM_TLS   (INT64_C(250) << 20)

/* What QEMU may take in its pass `pass` (from 1) of a promise, milliseconds. */
int64_t mig_downtime_limit(int64_t promise_ms, unsigned pass);

/* Does it pay to compress? Only on a link that is slower than a core compresses (zstd, level 1,
 * some 400 MB/s, and then only if pages shrink), so: up to 1 Gbit/s. With a limit never: QEMU 7.2
 * counts the bytes before they are compressed against it. In TLS it saves most system calls, but
 * for pages that shrink to a half or a third it costs the processor what it saves there. */
bool mig_compression_pays(int64_t link_speed, int64_t limit);

/* Channels for a stream in TLS over a link (bytes per second, 0: not known) between nodes with so
 * many processors: as many as it takes to fill the link, if there are processors for them. */
unsigned mig_tls_channels(int64_t link_speed, unsigned processors);

#endif
