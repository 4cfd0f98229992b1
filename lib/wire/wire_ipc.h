/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_ipc: requests and responses of the libqb service `pve2` (docs/wire/ipc.md; reference pmxcfs
 * chapter 15). Both directions, so that the daemon, the client and the tests share one description.
 *
 * Pure. Decoded requests borrow from the bytes they were decoded from.
 */
#ifndef LIB_WIRE_WIRE_IPC_H
#define LIB_WIRE_WIRE_IPC_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_IPC_SERVICE       "pve2" /* name of the libqb service, an abstract socket on Linux */
#define WIRE_IPC_REQUEST_HEAD  16u
#define WIRE_IPC_RESPONSE_HEAD 24u
#define WIRE_IPC_MESSAGE_MAX   1048576u /* what clients offer as buffer, header included */
#define WIRE_IPC_FIELD_SIZE    256u     /* key and node name fields */

#define WIRE_IPC_LIST(X)                                                                           \
    X(WIRE_IPC_GET_VERSION, 1, "version")                                                          \
    X(WIRE_IPC_GET_MEMBERS, 2, "members")                                                          \
    X(WIRE_IPC_GET_VMLIST, 3, "vmlist")                                                            \
    X(WIRE_IPC_SET_STATUS, 4, "set-status")                                                        \
    X(WIRE_IPC_GET_STATUS, 5, "get-status")                                                        \
    X(WIRE_IPC_GET_FILE, 6, "get-file")                                                            \
    X(WIRE_IPC_LOG, 7, "log")                                                                      \
    X(WIRE_IPC_GET_LOG, 8, "get-log")                                                              \
    X(WIRE_IPC_GET_RRD, 10, "rrd")                                                                 \
    X(WIRE_IPC_GUEST_PROPERTY, 11, "guest-property")                                               \
    X(WIRE_IPC_VERIFY_TOKEN, 12, "verify-token")                                                   \
    X(WIRE_IPC_GUEST_PROPERTIES, 13, "guest-properties")                                           \
    X(WIRE_IPC_VERIFY, 1000, "verify") /* ours alone */
#define WIRE_IPC_ENUM(value, number, name) value = number,
typedef enum WireIpcId { WIRE_IPC_LIST(WIRE_IPC_ENUM) } WireIpcId;

/* "version", ...; NULL when the id is not assigned. */
const char *wire_ipc_name(int32_t id);

typedef struct WireIpcSetStatus {
    const char *key;
    const void *value;
    size_t size;
} WireIpcSetStatus;

typedef struct WireIpcGetStatus {
    const char *key;
    const char *node; /* "": the node that answers */
} WireIpcGetStatus;

typedef struct WireIpcText {
    const char *s; /* not NUL terminated */
    size_t len;
} WireIpcText;

typedef struct WireIpcLog {
    uint8_t priority;
    const char *ident;
    const char *tag;
    WireIpcText text;
} WireIpcLog;

typedef struct WireIpcGetLog {
    uint32_t max;     /* 0: 50 */
    const char *user; /* "": all */
} WireIpcGetLog;

/* Both guest requests; GUEST_PROPERTY has one name. */
typedef struct WireIpcGuestProperties {
    uint32_t vmid; /* 0: all guests */
    uint8_t n_names;
    const char *names; /* `n_names` strings, each with its NUL, back to back */
} WireIpcGuestProperties;

typedef struct WireIpcRequest {
    int32_t id; /* which of these: */
    union {
        WireIpcSetStatus set_status;
        WireIpcGetStatus get_status;
        WireIpcText path; /* GET_FILE; without its NUL */
        WireIpcLog log;
        WireIpcGetLog get_log;
        WireIpcGuestProperties properties;
        const char *token; /* VERIFY_TOKEN: the line to be found */
    } u;
} WireIpcRequest;

/* Decodes a whole request of `size` bytes that arrived. `ret->id` is set as soon as there is a
 * header. -EINVAL  no header, size field not `size`, or a fault named in the reference (15.3)
 *  -ECHRNG  id not assigned */
int wire_ipc_decode(const void *data, size_t size, WireIpcRequest *ret) must_check;

/* The request as bytes. -EMSGSIZE when a field or the whole is too long. */
int wire_ipc_encode(const WireIpcRequest *req, GBytes **ret) must_check;

/* Response header: `size` of the whole response, `error` 0 or a negative errno. */
void wire_ipc_encode_response_head(int32_t id,
                                   size_t size,
                                   int error,
                                   uint8_t ret[WIRE_IPC_RESPONSE_HEAD]);

typedef struct WireIpcResponse {
    int32_t id;
    int error;           /* 0 or a negative errno */
    const uint8_t *data; /* borrowed, never NULL */
    size_t size;
} WireIpcResponse;

/* -EBADMSG: no header, size field not `size`, a positive error, or data with an error. */
int wire_ipc_decode_response(const void *data, size_t size, WireIpcResponse *ret) must_check;

#endif
