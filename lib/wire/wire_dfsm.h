/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_dfsm: the headers in front of every message of both process groups (docs/wire/dfsm.md;
 * reference pmxcfs chapter 8.2), and the payloads of the verification messages.
 *
 * Pure. Decoded payloads borrow from the message.
 */
#ifndef LIB_WIRE_WIRE_DFSM_H
#define LIB_WIRE_WIRE_DFSM_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_DFSM_COMMON_SIZE 16u /* what every message starts with */
#define WIRE_DFSM_NORMAL_SIZE 24u /* header of NORMAL */
#define WIRE_DFSM_STATE_SIZE  32u /* header of all others */
#define WIRE_DFSM_CSUM_SIZE   32u

#define WIRE_DFSM_TYPE_LIST(X)                                                                     \
    X(WIRE_DFSM_NORMAL, "NORMAL")                                                                  \
    X(WIRE_DFSM_SYNC_START, "SYNC_START")                                                          \
    X(WIRE_DFSM_STATE, "STATE")                                                                    \
    X(WIRE_DFSM_UPDATE, "UPDATE")                                                                  \
    X(WIRE_DFSM_UPDATE_COMPLETE, "UPDATE_COMPLETE")                                                \
    X(WIRE_DFSM_VERIFY_REQUEST, "VERIFY_REQUEST")                                                  \
    X(WIRE_DFSM_VERIFY, "VERIFY")
typedef enum WireDfsmType { WIRE_DFSM_TYPE_LIST(STRTAB_ENUM) WIRE_DFSM_TYPE_N } WireDfsmType;
STRTAB_DECLARE(wire_dfsm_type, WireDfsmType);

/* Two epochs are the same only if all four fields are. */
typedef struct WireDfsmEpoch {
    uint32_t counter, time, nodeid, pid;
} WireDfsmEpoch;

typedef struct WireDfsmHeader {
    uint16_t type;       /* WireDfsmType, or a number above that a later version may know */
    uint16_t subtype;    /* NORMAL only, else 0 */
    uint32_t version;    /* of the group's protocol */
    uint32_t time;       /* sender's clock, Unix seconds */
    uint64_t count;      /* NORMAL only: number of the message in its process */
    WireDfsmEpoch epoch; /* all but NORMAL */
} WireDfsmHeader;

typedef struct WireDfsmMessage {
    WireDfsmHeader head;
    const uint8_t *payload; /* never NULL */
    size_t payload_size;
} WireDfsmMessage;

/* All parts of both are the same. */
bool wire_dfsm_epoch_equal(const WireDfsmEpoch *a, const WireDfsmEpoch *b);

/* Takes a message of a group whose protocol version is `version` apart.
 * -EBADMSG: shorter than its header; -EPROTO: a newer protocol; -ESTALE: an older one. The checks
 * come in the documented order: common header, version, rest. The reserved field is not looked at.
 */
int wire_dfsm_decode(const void *data, size_t size, uint32_t version, WireDfsmMessage *ret)
    must_check;

/* Header and payload in one piece; `reserved` and, for other types than NORMAL, `subtype` become 0.
 */
GBytes *wire_dfsm_encode(const WireDfsmHeader *head, const void *payload, size_t payload_size);

/* ---- payloads of verification ---- */

typedef struct WireDfsmVerify {
    uint64_t id;
    const uint8_t *csum; /* VERIFY: WIRE_DFSM_CSUM_SIZE bytes, borrowed; VERIFY_REQUEST: NULL */
} WireDfsmVerify;

/* `type`: VERIFY_REQUEST or VERIFY. -EBADMSG unless the length is exact. */
int wire_dfsm_decode_verify(WireDfsmType type,
                            const void *payload,
                            size_t size,
                            WireDfsmVerify *ret) must_check;
GBytes *wire_dfsm_encode_verify(const WireDfsmVerify *v);

#endif
