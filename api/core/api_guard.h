/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_guard: slows down who keeps failing to prove himself. Each failure of a peer doubles the time
 * until its next attempt is looked at; success or a quiet hour forgets. Bounded memory: when full,
 * the peer that has been quiet longest is forgotten. Pure; one thread at a time.
 */
#ifndef API_CORE_API_GUARD_H
#define API_CORE_API_GUARD_H

#include "lib/base/timeval.h"

#include <stdbool.h>

#define API_GUARD_PEERS_MAX  4096u
#define API_GUARD_FREE       3u /* failures that cost nothing: people mistype */
#define API_GUARD_FIRST_MS   1000
#define API_GUARD_MAX_MS     60000
#define API_GUARD_FORGET_SEC 3600

typedef struct ApiGuard ApiGuard;

ApiGuard *api_guard_new(void);
void api_guard_free(ApiGuard *g);

/* Milliseconds until an attempt of `peer` is allowed; 0: now. */
int64_t api_guard_wait_ms(ApiGuard *g, const char *peer, MonoTime now);

/* Outcome of an attempt. Returns the number of failures in a row. */
unsigned api_guard_result(ApiGuard *g, const char *peer, bool success, MonoTime now);

#endif
