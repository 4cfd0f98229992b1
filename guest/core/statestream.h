/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statestream: the snapshots of a disk as a stream (`snapshots+size`), oldest first, each as what
 * changed since the one before, the first against zeroes. After the size of the disk, 64 bits, come
 * records with a head of 16 bytes, numbers little-endian:
 *
 *      0  kind      4  length      8  position
 *
 *   begin  a snapshot: `length` bytes of name follow, `position` is its size
 *   data   `length` bytes follow, for that position
 *   zero   `length` zeroes, of which none follow; a length of 0 only shows that somebody is there
 *   end    that snapshot is complete
 *   last   so is the stream; `position` is how many there were
 *
 * What a guest has now is not in it: QEMU's mirror writes that on top. Pure; any thread.
 */
#ifndef GUEST_CORE_STATESTREAM_H
#define GUEST_CORE_STATESTREAM_H

#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define STATESTREAM_HEAD     16
#define STATESTREAM_DATA_MAX ((uint32_t)256 * 1024)
#define STATESTREAM_ZERO_MAX ((uint32_t)1 << 30)
#define STATESTREAM_NAME_MAX 128

typedef enum StateKind {
    STATE_BEGIN = 1,
    STATE_DATA,
    STATE_ZERO,
    STATE_END,
    STATE_LAST,
} StateKind;

typedef struct StateRecord {
    StateKind kind;
    uint32_t length;
    uint64_t position;
} StateRecord;

/* The bytes of a record's head. */
void statestream_write(const StateRecord *r, uint8_t ret[STATESTREAM_HEAD]);

/* Who reads one; zeroed at its begin. */
typedef struct StateStream {
    bool inside, ended;
    uint64_t size; /* of the snapshot it is in */
    uint64_t count;
} StateStream;

/* The next record. -EBADMSG: it is none, or does not belong here. */
int statestream_next(StateStream *s,
                     const uint8_t head[STATESTREAM_HEAD],
                     StateRecord *ret,
                     Err *err) must_check;
/* Bytes that follow a head. */
uint32_t statestream_payload(const StateRecord *r);

#endif
