/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_info: what a member tells about its cluster to a node that joins the documented way: the
 * join information of `GET /cluster/config/join`, the base64 text people copy from one node to the
 * other, and corosync's key as text. Pure; any thread. Reference: join chapters 7, 8, 17;
 * docs/wire/join.md.
 */
#ifndef QUORUM_CORE_JOIN_INFO_H
#define QUORUM_CORE_JOIN_INFO_H

#include "lib/base/jsontree.h"
#include "lib/conf/corosync_nodes.h"

#define JOIN_BLOB_MAX (64u * 1024u) /* characters of the copied text */

/* The totem section as an object, `interface` keyed by link number. */
JsonTree *join_info_totem(const CorosyncConf *conf);

/* Entries of the node list; each with `name` and, when `with_node`, `node`. */
JsonTree *join_info_nodes(const CorosyncConf *conf, bool with_node);

/* Addresses by which a list of nodes, as GET nodes gives it, knows `node`; NULL: it does not. */
GPtrArray *join_info_addresses(const JsonTree *nodes, const char *node);

/* A configuration with the same nodes and links, from the data of GET nodes and, unless NULL, GET
 * totem: enough to try the rules of adding a node. -EBADMSG when it is none. */
int join_info_conf(const JsonTree *nodes, const JsonTree *totem, CorosyncConf **ret, Err *err)
    must_check;

/* The copied text, from the data of `GET /cluster/config/join`. -EBADMSG. Caller frees. */
int join_info_blob(const JsonTree *data, char **ret, Err *err) must_check;

typedef struct JoinBlob {
    char *address;     /* of the member to ask */
    char *fingerprint; /* SHA-256 of its certificate, "AA:BB:..." */
    char *cluster;     /* name; may be NULL */
} JoinBlob;
void join_blob_done(JoinBlob *b);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JoinBlob, join_blob_done)

/* Longer than any host name, and base64 of something that begins like a JSON object. */
bool join_blob_looks_like(const char *text);
/* -EBADMSG with what is wrong. */
int join_blob_parse(const char *text, JoinBlob *ret, Err *err) must_check;

/* "AA:BB:..." of 32 bytes, in any case of letters. False when it is none. */
bool join_fingerprint_parse(const char *text, uint8_t ret[32]);
char *join_fingerprint_format(const uint8_t digest[32]); /* caller frees */

/* Corosync's key as a JSON string with its quotes: each byte is the character of that number. */
void join_authkey_append(GString *out, const uint8_t *key, gsize size);

typedef struct JoinClassicAnswer {
    uint8_t *authkey;
    gsize authkey_size;
    char *conf;
    GPtrArray *warnings; /* of char* */
} JoinClassicAnswer;
void join_classic_answer_done(JoinClassicAnswer *a);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JoinClassicAnswer, join_classic_answer_done)

/* The whole answer of `POST /cluster/config/nodes/NODE`. `text` is changed. -EBADMSG. */
int join_classic_parse(char *text, JoinClassicAnswer *ret, Err *err) must_check;

#endif
