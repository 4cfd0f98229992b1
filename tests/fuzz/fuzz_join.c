/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a joining node or a member of the API may receive: token line, token record,
 * join request, HTTP answer, messages between API worker and daemons, requests of members and the
 * tombstones of removed nodes. */
#include "lib/wire/wire_api.h"
#include "lib/wire/wire_http.h"
#include "quorum/core/join_request.h"
#include "quorum/core/member_request.h"
#include "quorum/core/tombstone.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void as_text(const char *text, size_t size)
{
    g_auto(JoinToken) token = {0};
    g_auto(JoinRecord) record = {0};
    g_auto(JoinRequest) request = {0};
    Err err = ERR_INIT;

    if (jointoken_parse(text, &token, &err) == 0) {
        g_autofree char *line = jointoken_format(&token);

        g_assert_true(jointoken_looks_like(line));
        g_assert_cmpuint(token.addresses->len, >, 0);
    }
    if (join_record_parse(text, size, &record, &err) == 0) {
        g_assert_cmpuint(record.uses_left, <=, 1000);
    }
    if (join_request_parse(text, size, &request, &err) == 0) {
        g_autofree char *json = join_request_format(&request);

        g_assert_nonnull(request.node);
        g_assert_nonnull(json);
    }
}

/* What members say to each other, and what a cluster remembers of those it took out. */
static void as_member(const char *text, size_t size)
{
    g_auto(MemberRequest) request = {0};
    g_auto(Tombstone) tombstone = {0};
    Err err = ERR_INIT;

    if (member_request_parse(text, size, &request, &err) == 0) {
        g_autofree char *json = member_request_format(&request);
        g_auto(MemberRequest) again = {0};

        g_assert_cmpint(member_request_parse(json, strlen(json), &again, &err), ==, 0);
        g_assert_cmpstr(again.node, ==, request.node);
    }
    if (tombstone_parse(text, size, &tombstone, &err) == 0) {
        g_autofree char *line = tombstone_format(&tombstone);
        g_auto(Tombstone) again = {0};

        g_assert_cmpint(tombstone_parse(line, strlen(line), &again, &err), ==, 0);
        g_assert_cmpuint(again.nodeid, ==, tombstone.nodeid);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_auto(HttpAnswer) http = {0};
    g_auto(ApiRequest) api = {0};
    g_auto(ApiAnswer) answer = {0};
    Err err = ERR_INIT;

    as_text(text, size);
    as_member(text, size);
    if (wire_http_answer(data, size, true, &http, &err) == 1) {
        g_assert_nonnull(http.body);
    }
    if (wire_api_request_decode(data, size, &api, &err) == 0) {
        g_assert_nonnull(api.path);
    }
    if (wire_api_answer_decode(data, size, &answer, &err) == 0) {
        g_assert_nonnull(answer.body);
    }
    return 0;
}
