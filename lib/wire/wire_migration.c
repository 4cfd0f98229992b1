/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_migration.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(wire_mig, WireMigType, WIRE_MIG_TYPE_LIST, WIRE_MIG_N)

#define TEXT(name, max, text)                                                                      \
    {                                                                                              \
        name, WIRE_MIG_TEXT, true, max, text                                                       \
    }
#define MAY_TEXT(name, max, text)                                                                  \
    {                                                                                              \
        name, WIRE_MIG_TEXT, false, max, text                                                      \
    }
#define INT(name, max, text)                                                                       \
    {                                                                                              \
        name, WIRE_MIG_INT, true, max, text                                                        \
    }
#define MAY_INT(name, max, text)                                                                   \
    {                                                                                              \
        name, WIRE_MIG_INT, false, max, text                                                       \
    }
#define BOOL(name, text)                                                                           \
    {                                                                                              \
        name, WIRE_MIG_BOOL, true, 1, text                                                         \
    }
#define MAY_BOOL(name, text)                                                                       \
    {                                                                                              \
        name, WIRE_MIG_BOOL, false, 1, text                                                        \
    }
#define LIST(name, text)                                                                           \
    {                                                                                              \
        name, WIRE_MIG_LIST, true, WIRE_MIG_LIST_MAX, text                                         \
    }
#define TABLE(name, text)                                                                          \
    {                                                                                              \
        name, WIRE_MIG_TABLE, true, WIRE_MIG_LIST_MAX, text                                        \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, WIRE_MIG_TEXT, false, 0, NULL                                                        \
    }

#define VMID_MAX 999999999

static const WireMigField none_fields[] = {END};

static const WireMigField hello_fields[] = {
    INT("version", 255, "newest version the sender speaks"),
    INT("oldest", 255, "oldest version the sender speaks"),
    TEXT("node", WIRE_MIG_NAME_MAX, "name of the sender; must be in its certificate"),
    TEXT("id", WIRE_MIG_ID_LEN, "name of the migration: 32 hex digits"),
    INT("vmid", VMID_MAX, "the guest"),
    TEXT("purpose", 16, "`control`, or `volume`: this connection carries one volume"),
    MAY_TEXT("volume", 256, "for `volume`: its id on the source"),
    END,
};
static const WireMigField welcome_fields[] = {
    INT("version", 255, "version both will speak"),
    TEXT("node", WIRE_MIG_NAME_MAX, "name of the sender"),
    TEXT("state", 32, "what it knows of this migration: `new`, or the state of its machine"),
    END,
};
static const WireMigField check_fields[] = {
    TABLE("needs",
          "wait, memory, machine, qemu, kvm, cpu, bridges, mtus, storages, space, network"),
    BOOL("online", "the guest runs and shall go on running"),
    END,
};
static const WireMigField checked_fields[] = {
    LIST("problems", "objects: check, fatal, text"),
    TABLE("facts", "qemu, zstd, memory_available, ports_free, address, speed, probe_port, passed"),
    END,
};
static const WireMigField prepare_fields[] = {
    BOOL("online", "start a QEMU that waits for the guest"),
    BOOL("secure", "streams in TLS"),
    LIST("volumes", "local volumes that move: objects drive, volid, storage, format, size, "
                    "how, snapshots, base"),
    MAY_TEXT("network", 64, "network of the streams, CIDR"),
    END,
};
static const WireMigField prepared_fields[] = {
    LIST("volumes", "objects drive, volid, new"),
    END,
};
static const WireMigField waiting_fields[] = {
    INT("position", 100000, "place in the queue for a port, from 1"),
    END,
};
static const WireMigField start_fields[] = {
    TEXT("config", 1024 * 1024, "text of the guest's configuration, with the new volumes"),
    TEXT("machine", 64, "machine type of the running guest"),
    MAY_TEXT("cpu", 1024, "its CPU as QEMU was told"),
    INT("channels", 64, "of multifd; 0: none"),
    TEXT("compression", 16, "none or zstd"),
    LIST("capabilities", "migration capabilities of the source's QEMU: both sides use what both "
                         "have"),
    LIST("exports", "drives to be exported for writing"),
    BOOL("postcopy", "may end as post-copy"),
    MAY_BOOL("stands", "the guest does not run: nobody will tell it to go on"),
    END,
};
static const WireMigField started_fields[] = {
    TEXT("host", 64, "address of the streams"),
    INT("port", 65535, "of the memory stream"),
    INT("nbd_port", 65535, "of the disks; 0: none"),
    LIST("capabilities", "migration capabilities of the target's QEMU"),
    LIST("exports", "objects drive, export"),
    END,
};
static const WireMigField loaded_fields[] = {END};
static const WireMigField run_fields[] = {
    BOOL("paused", "the guest was paused and stays so"),
    END,
};
static const WireMigField aborted_fields[] = {
    TEXT("place", 16, "where the sender sees the configuration: `here`, `there` or `unknown`"),
    BOOL("quorate", "the sender has quorum"),
    END,
};
static const WireMigField text_fields[] = {
    TEXT("text", WIRE_MIG_TEXT_MAX, "for people"),
    END,
};
static const WireMigField end_fields[] = {
    INT("size", INT64_MAX, "bytes that were sent"),
    TEXT("sha256", 64, "of them, hex"),
    END,
};
static const WireMigField imported_fields[] = {
    TEXT("volid", 256, "the new volume"),
    END,
};
static const WireMigField error_fields[] = {
    INT("code", 4095, "errno"),
    TEXT("text", WIRE_MIG_TEXT_MAX, "what failed and why"),
    END,
};
static const WireMigField recovered_fields[] = {
    TEXT("host", 64, "address of the new stream"),
    INT("port", 65535, "its port"),
    END,
};

static const struct {
    const WireMigField *fields;
    const char *text;
} table[WIRE_MIG_N] = {
    [WIRE_MIG_NONE] = {none_fields, "never sent"},
    [WIRE_MIG_HELLO] = {hello_fields, "first words of who connects"},
    [WIRE_MIG_WELCOME] = {welcome_fields, "first words of who was connected to"},
    [WIRE_MIG_CHECK] = {check_fields, "can the guest run on your node?"},
    [WIRE_MIG_CHECKED] = {checked_fields, "what stands against it"},
    [WIRE_MIG_PREPARE] = {prepare_fields, "make the volumes, take the ports"},
    [WIRE_MIG_PREPARED] = {prepared_fields, "done; the new volumes"},
    [WIRE_MIG_WAITING] = {waiting_fields, "all ports are taken; the request stays in the queue"},
    [WIRE_MIG_START] = {start_fields, "start a QEMU that waits for the guest"},
    [WIRE_MIG_STARTED] = {started_fields, "it waits"},
    [WIRE_MIG_LOADED] = {loaded_fields, "the guest's state is complete on the target"},
    [WIRE_MIG_RUN] = {run_fields, "the guest is yours: run it. The sender will never run it again"},
    [WIRE_MIG_RUNNING] = {none_fields, "it runs"},
    [WIRE_MIG_FINISH] = {none_fields, "the source has nothing left of it: unlock"},
    [WIRE_MIG_FINISHED] = {none_fields, "unlocked and forgotten"},
    [WIRE_MIG_ABORT] = {text_fields, "end the QEMU, free the volumes, forget it"},
    [WIRE_MIG_ABORTED] = {aborted_fields, "done; this node will not run it"},
    [WIRE_MIG_PING] = {none_fields, "sent every second by both sides"},
    [WIRE_MIG_DATA] = {NULL, "a piece of a volume, raw bytes"},
    [WIRE_MIG_END] = {end_fields, "the volume is complete"},
    [WIRE_MIG_IMPORTED] = {imported_fields, "and stored"},
    [WIRE_MIG_LOG] = {text_fields, "a line for the log of the task"},
    [WIRE_MIG_ERROR] = {error_fields, "what was asked for failed"},
    [WIRE_MIG_RECOVER] = {none_fields, "post-copy: a new stream, please"},
    [WIRE_MIG_RECOVERED] = {recovered_fields, "where it is"},
};

const WireMigField *wire_mig_fields(WireMigType type)
{
    return (size_t)type < WIRE_MIG_N && table[type].fields != NULL ? table[type].fields
                                                                   : none_fields;
}

const char *wire_mig_text(WireMigType type)
{
    return (size_t)type < WIRE_MIG_N ? table[type].text : NULL;
}

void wire_mig_clear(WireMig *m)
{
    g_clear_pointer(&m->body, jsontree_free);
    g_clear_pointer(&m->data, g_bytes_unref);
    m->type = WIRE_MIG_NONE;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static bool fits(const WireMigField *f, const JsonTree *value)
{
    switch (f->kind) {
    case WIRE_MIG_TEXT:
        return jsontree_text(value) != NULL && strlen(jsontree_text(value)) <= (size_t)f->max;
    case WIRE_MIG_INT:
        return jsontree_kind(value) == JSONTREE_INT && jsontree_int(value, -1) >= 0 &&
               jsontree_int(value, -1) <= f->max;
    case WIRE_MIG_BOOL:
        return jsontree_kind(value) == JSONTREE_BOOL;
    case WIRE_MIG_LIST:
        return jsontree_kind(value) == JSONTREE_ARRAY && jsontree_count(value) <= f->max;
    case WIRE_MIG_TABLE:
        return jsontree_kind(value) == JSONTREE_OBJECT && jsontree_count(value) <= f->max;
    }
    return false;
}

int wire_mig_check(WireMigType type, const JsonTree *body, Err *err)
{
    if (body != NULL && jsontree_kind(body) != JSONTREE_OBJECT) {
        return err_setf(err, -EBADMSG, "migration message '%s': the body is no object",
                        wire_mig_name(type));
    }
    for (const WireMigField *f = wire_mig_fields(type); f->name != NULL; f++) {
        const JsonTree *value = jsontree_get(body, f->name);

        if (value == NULL && f->required) {
            return err_setf(err, -EBADMSG, "migration message '%s' has no '%s'",
                            wire_mig_name(type), f->name);
        }
        if (value != NULL && !fits(f, value)) {
            return err_setf(err, -EBADMSG, "migration message '%s': '%s' is of no good",
                            wire_mig_name(type), f->name);
        }
    }
    return 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Header only; `ret_type` and the length of the body. */
static int64_t decode_header(const void *data, size_t size, WireMigType *ret_type, Err *err)
{
    Reader r = reader_init(data, size);
    const uint8_t *magic = reader_bytes(&r, 2);
    uint8_t version = reader_u8(&r), type = reader_u8(&r);
    uint32_t reserved = reader_le32(&r), length = reader_le32(&r);

    if (!reader_ok(&r) || memcmp(magic, "QM", 2) != 0) {
        return err_setf(err, -EBADMSG, "this is no message of a migration agent");
    }
    if (version != WIRE_MIG_VERSION || reserved != 0) {
        return err_setf(err, -EBADMSG, "migration message of version %u; this is version %u",
                        version, WIRE_MIG_VERSION);
    }
    if (type == WIRE_MIG_NONE || type >= WIRE_MIG_N) {
        return err_setf(err, -EBADMSG, "migration message of unknown type %u", type);
    }
    if (length > (type == WIRE_MIG_DATA ? WIRE_MIG_DATA_MAX : WIRE_MIG_BODY_MAX)) {
        return err_setf(err, -E2BIG, "migration message '%s' of %u bytes", wire_mig_name(type),
                        length);
    }
    *ret_type = (WireMigType)type;
    return length;
}

int64_t wire_mig_size(const void *data, size_t size, Err *err)
{
    WireMigType type;
    int64_t length;

    if (size < WIRE_MIG_HEADER_SIZE) {
        return 0;
    }
    length = decode_header(data, size, &type, err);
    return length < 0 ? length : length + WIRE_MIG_HEADER_SIZE;
}

int wire_mig_decode(const void *data, size_t size, WireMig *ret, Err *err)
{
    const uint8_t *bytes = data;
    WireMigType type = WIRE_MIG_NONE;
    g_autoptr(JsonTree) body = NULL;
    int64_t length = decode_header(data, size, &type, err);
    int r;

    if (length < 0) {
        return (int)length;
    }
    if ((size_t)length != size - WIRE_MIG_HEADER_SIZE) {
        return err_setf(err, -EBADMSG, "migration message '%s' of %zu bytes says %" G_GINT64_FORMAT,
                        wire_mig_name(type), size - WIRE_MIG_HEADER_SIZE, length);
    }
    if (type == WIRE_MIG_DATA) {
        *ret = (WireMig){type, NULL, g_bytes_new(bytes + WIRE_MIG_HEADER_SIZE, (size_t)length)};
        return 0;
    }
    r = jsontree_parse((const char *)bytes + WIRE_MIG_HEADER_SIZE, (size_t)length, &body, err);
    if (r < 0) {
        return err_wrapf(err, r, "migration message '%s'", wire_mig_name(type));
    }
    r = wire_mig_check(type, body, err);
    if (r < 0) {
        return r;
    }
    *ret = (WireMig){type, g_steal_pointer(&body), NULL};
    return 0;
}

static GBytes *encode(WireMigType type, const void *data, size_t size, size_t max)
{
    g_auto(Writer) w;

    writer_init(&w, WIRE_MIG_HEADER_SIZE + max);
    writer_bytes(&w, "QM", 2);
    writer_u8(&w, WIRE_MIG_VERSION);
    writer_u8(&w, (uint8_t)type);
    writer_le32(&w, 0);
    writer_le32(&w, (uint32_t)size);
    writer_bytes(&w, data, size);
    return writer_steal(&w);
}

GBytes *wire_mig_encode(WireMigType type, const JsonTree *body)
{
    g_autoptr(GString) text = g_string_new(NULL);

    assert(type > WIRE_MIG_NONE && type < WIRE_MIG_N && type != WIRE_MIG_DATA);
    if (wire_mig_check(type, body, NULL) < 0) {
        return NULL;
    }
    if (body != NULL) {
        jsontree_append(text, body);
    } else {
        g_string_append(text, "{}");
    }
    return encode(type, text->str, text->len, WIRE_MIG_BODY_MAX);
}

GBytes *wire_mig_encode_data(const void *data, size_t size)
{
    assert(size <= WIRE_MIG_DATA_MAX);
    return encode(WIRE_MIG_DATA, data, size, WIRE_MIG_DATA_MAX);
}
