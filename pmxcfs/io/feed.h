/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: what changed, in order, for whoever wants to know: the content of the virtual file
 * `.events`. A bounded list of lines, one JSON object each, with ascending sequence numbers; who is
 * too slow gets a line that says so. Format and rules for readers: man page pmxcfs-events(5).
 *
 * One appender at a time (the engine's owner); any thread may read. Readers never block it.
 */
#ifndef PMXCFS_IO_FEED_H
#define PMXCFS_IO_FEED_H

#include "lib/base/timeval.h"
#include "pmxcfs/core/memdb.h"

#define FEED_LINES_MAX       16384u     /* kept for readers who come back */
#define FEED_BYTES_MAX       (4u << 20) /* their text, all together */
#define FEED_NUMBERS_PER_SEC (1u << 20) /* see feed_new */

typedef struct Feed Feed;

/* `start`: begin of this process. Sequence numbers start at that many seconds times
 * FEED_NUMBERS_PER_SEC: they ascend over restarts of the daemon too, so that an old number is never
 * taken for a new one, and stay below 2^53. */
Feed *feed_new(WallTime start);
void feed_free(Feed *f); /* no reader may be left */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Feed, feed_free)

/* Called after each append, on the appender's thread; must only wake somebody. Set once, before
 * the first append. */
void feed_set_listener(Feed *f, void (*fn)(void *ctx), void *ctx);

/* ---- appending (one at a time) ------------------------------------------------------------------
 */

/* One line per entry that changed; a delta that replaces the tree, or more entries than are kept,
 * gives the one line "resync". `own`: by a caller on this node. `undone`: the change was taken
 * back. */
void feed_append_delta(Feed *f, const MemdbDelta *delta, bool own, WallTime now);
void feed_append_quorum(Feed *f, bool quorate, WallTime now);

/* ---- reading (any thread) -------------------------------------------------------------------- */

/* Sequence number of the newest line; what is appended from now on is above it. */
uint64_t feed_newest(Feed *f);

/* One open file; one thread at a time. */
typedef struct FeedCursor {
    uint64_t after;    /* lines above this number come next */
    uint64_t expected; /* file offset of the next read that continues; another one is a seek */
    GString *pending;  /* text of lines not yet handed out */
    gsize taken;       /* of it */
    bool privileged;   /* may see names in private directories */
} FeedCursor;

/* A reader who opens now: first the line "open", which tells the number to come back with. */
void feed_cursor_init(FeedCursor *c, Feed *f, bool privileged, WallTime now);
void feed_cursor_done(FeedCursor *c);

/* Reads as the file does: up to `n` bytes at file offset `offset`, 0 when there is nothing yet (the
 * caller then waits or answers -EAGAIN). An offset other than where the last read ended is a
 * sequence number: the lines after it follow, or a line "lost" when some of them are gone. */
size_t feed_read(Feed *f, FeedCursor *c, uint64_t offset, void *buf, size_t n);

/* Would feed_read at the expected offset give something? */
bool feed_ready(Feed *f, const FeedCursor *c);

/* Nothing more will come: every reader is ready, and the listener is told. */
void feed_shutdown(Feed *f);

#endif
