/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/statestream.h"

#include <errno.h>

static void put(uint8_t *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t get(const uint8_t *at, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)at[i] << (8 * i);
    }
    return v;
}

void statestream_write(const StateRecord *r, uint8_t ret[STATESTREAM_HEAD])
{
    put(ret, (uint64_t)r->kind, 4);
    put(ret + 4, r->length, 4);
    put(ret + 8, r->position, 8);
}

uint32_t statestream_payload(const StateRecord *r)
{
    return r->kind == STATE_BEGIN || r->kind == STATE_DATA ? r->length : 0;
}

static bool fits(const StateStream *s, const StateRecord *r, uint32_t max)
{
    return s->inside && r->length <= max && r->position <= s->size &&
           r->length <= s->size - r->position;
}

static bool belongs(const StateStream *s, const StateRecord *r, uint64_t kind)
{
    switch (kind) {
    case STATE_BEGIN:
        return !s->inside && r->length > 0 && r->length <= STATESTREAM_NAME_MAX &&
               r->position <= INT64_MAX;
    case STATE_DATA:
        return r->length > 0 && fits(s, r, STATESTREAM_DATA_MAX);
    case STATE_ZERO:
        return fits(s, r, STATESTREAM_ZERO_MAX);
    case STATE_END:
        return s->inside && r->length == 0;
    case STATE_LAST:
        return !s->inside && r->length == 0 && r->position == s->count;
    default:
        return false;
    }
}

int statestream_next(StateStream *s,
                     const uint8_t head[STATESTREAM_HEAD],
                     StateRecord *ret,
                     Err *err)
{
    uint64_t kind = get(head, 4);
    StateRecord r = {.length = (uint32_t)get(head + 4, 4), .position = get(head + 8, 8)};

    if (s->ended || !belongs(s, &r, kind)) {
        return err_setf(err, -EBADMSG, "the stream of snapshots is damaged");
    }
    r.kind = (StateKind)kind;
    if (r.kind == STATE_BEGIN) {
        s->inside = true;
        s->size = r.position;
    } else if (r.kind == STATE_END) {
        s->inside = false;
        s->count++;
    }
    s->ended = r.kind == STATE_LAST;
    *ret = r;
    return 0;
}
