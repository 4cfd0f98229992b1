/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_records.h"

#include "lib/cfs/cfsfile.h"

#include <string.h>

char *join_record_path(const char *pve, const uint8_t id[JOINTOKEN_ID_SIZE])
{
    g_autofree char *name = jointoken_id_text(id);

    return g_build_filename(pve, "priv", "join-tokens", name, NULL);
}

int join_record_read(const char *path, JoinRecord *ret, Err *err)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, JOINTOKEN_LINE_MAX, &text, &size, err);

    if (r == 0) {
        r = join_record_parse(text, size, ret, err);
        explicit_bzero(text, size);
    }
    return r;
}

int join_record_write(const char *path, const JoinRecord *record, Err *err)
{
    char *text = join_record_format(record);
    int r = cfsfile_write(path, text, strlen(text), err);

    jointoken_free_line(text);
    return r;
}
