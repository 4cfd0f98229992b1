/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/volid.h"

#include <errno.h>
#include <string.h>

int vmid_parse(const char *text, uint32_t *ret, Err *err)
{
    gint64 n = 0;
    bool digits =
        g_ascii_isdigit(text[0]) && text[0] != '0' && text[strspn(text, "0123456789")] == '\0';

    if (!digits || !g_ascii_string_to_signed(text, 10, VMID_MIN, VMID_MAX, &n, NULL)) {
        return err_setf(err, -EINVAL, "'%.40s' is not a VMID: a number %d..%d", text, VMID_MIN,
                        VMID_MAX);
    }
    *ret = (uint32_t)n;
    return 0;
}

int storage_id_check(const char *id, Err *err)
{
    size_t len = strlen(id);
    bool ok =
        len >= 2 && len <= STORAGE_ID_MAX && g_ascii_isalpha(id[0]) && g_ascii_isalnum(id[len - 1]);

    for (size_t i = 0; ok && i < len; i++) {
        ok = g_ascii_isalnum(id[i]) || strchr("._-", id[i]) != NULL;
    }
    if (!ok) {
        return err_setf(err, -EINVAL,
                        "'%.80s' is not a storage name: a letter, then letters, digits, '.', '_', "
                        "'-', at least 2 characters",
                        id);
    }
    return 0;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

bool volume_is_inside(const char *volume)
{
    g_auto(GStrv) parts = g_strsplit(volume, "/", -1);

    for (char **part = parts; *part != NULL; part++) {
        if ((*part)[0] == '\0' || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0) {
            return false;
        }
    }
    return volume[0] != '\0';
}

static int parse_volume(const char *text, Volid *ret, Err *err)
{
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    Volid v = {.kind = VOLID_VOLUME};
    int r;

    if (colon == NULL || len > STORAGE_ID_MAX) {
        return err_setf(err, -EINVAL,
                        "'%.100s' is not a volume: write STORAGE:VOLUME, an absolute path, 'none' "
                        "or 'cdrom'",
                        text);
    }
    memcpy(v.storage, text, len);
    v.storage[len] = '\0';
    r = storage_id_check(v.storage, err);
    if (r < 0) {
        return err_wrapf(err, r, "volume '%.100s'", text);
    }
    v.rest = colon + 1;
    if (!volume_is_inside(v.rest)) {
        return err_setf(err, -EINVAL,
                        "volume '%.100s' must not be empty nor have '..', '.' or empty parts",
                        text);
    }
    *ret = v;
    return 0;
}

int volid_parse(const char *text, Volid *ret, Err *err)
{
    if (strlen(text) > VOLUME_MAX) {
        return err_setf(err, -EINVAL, "volume '%.60s...' is too long", text);
    }
    if (has_control(text)) {
        return err_setf(err, -EINVAL, "a volume cannot hold control characters");
    }
    if (strcmp(text, "none") == 0 || strcmp(text, "cdrom") == 0) {
        *ret = (Volid){.kind = text[0] == 'n' ? VOLID_NONE : VOLID_CDROM, .rest = text};
        return 0;
    }
    if (text[0] == '/') {
        if (!volume_is_inside(text + 1)) {
            return err_setf(err, -EINVAL, "path '%.100s' must not have '..' or empty parts", text);
        }
        *ret = (Volid){.kind = VOLID_PATH, .rest = text};
        return 0;
    }
    return parse_volume(text, ret, err);
}

int volid_check(const char *text, Err *err)
{
    Volid v;

    return volid_parse(text, &v, err);
}
