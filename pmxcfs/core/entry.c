/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/entry.h"

#include <string.h>

Entry *entry_new(const EntryInit *init)
{
    size_t name_size = strlen(init->name) + 1;
    size_t data_size = init->data != NULL ? g_bytes_get_size(init->data) : 0;
    Entry *e = g_malloc0(sizeof *e + name_size);

    g_assert(init->type == ENTRY_DIR || init->type == ENTRY_FILE);
    g_assert(data_size <= UINT32_MAX);
    g_assert(init->type == ENTRY_FILE || (data_size == 0 && init->hollow_size == 0));
    g_assert(init->hollow_size == 0 || data_size == 0);

    e->refs = 1;
    e->parent = init->parent;
    e->inode = init->inode;
    e->version = init->version;
    e->writer = init->writer;
    e->mtime = init->mtime;
    e->type = init->type;
    e->hollow = init->hollow_size > 0;
    e->size = e->hollow ? init->hollow_size : (uint32_t)data_size;
    e->data = data_size > 0 ? g_bytes_ref(init->data) : NULL;
    memcpy(e->name, init->name, name_size);
    return e;
}

Entry *entry_ref(Entry *e)
{
    (void)__atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
    return e;
}

void entry_unref(Entry *e)
{
    if (e != NULL && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        g_clear_pointer(&e->data, g_bytes_unref);
        g_free(e);
    }
}

EntryInit entry_init_from(const Entry *e)
{
    return (EntryInit){
        .parent = e->parent,
        .inode = e->inode,
        .version = e->version,
        .writer = e->writer,
        .mtime = e->mtime,
        .type = e->type,
        .name = e->name,
        .data = e->data,
        .hollow_size = e->hollow ? e->size : 0,
    };
}

size_t entry_read(const Entry *e, uint64_t offset, void *buf, size_t n)
{
    if (offset >= e->size) {
        return 0;
    }
    size_t count = MIN(n, (size_t)(e->size - offset));
    if (e->data == NULL) {
        memset(buf, 0, count);
    } else {
        memcpy(buf, (const uint8_t *)g_bytes_get_data(e->data, NULL) + offset, count);
    }
    return count;
}

static void hash_fields(const Entry *e, Sha256 *h)
{
    sha256_le64(h, e->version);
    sha256_le32(h, e->writer);
    sha256_le32(h, e->mtime);
    sha256_le32(h, e->size);
    sha256_u8(h, (uint8_t)e->type);
    sha256_le64(h, e->parent);
    sha256_bytes(h, e->name, strlen(e->name));
    if (e->data != NULL) {
        sha256_bytes(h, g_bytes_get_data(e->data, NULL), e->size);
    }
}

void entry_hash(const Entry *e, Sha256 *h)
{
    sha256_le64(h, e->inode);
    hash_fields(e, h);
}

const uint8_t *entry_digest(Entry *e)
{
    if (!e->has_digest) {
        g_autoptr(Sha256) h = sha256_new();
        hash_fields(e, h);
        sha256_finish(h, e->digest);
        e->has_digest = true;
    }
    return e->digest;
}

void entry_checksum(const Entry *e, uint8_t ret_csum[ENTRY_DIGEST_SIZE])
{
    g_autoptr(Sha256) h = sha256_new();

    entry_hash(e, h);
    sha256_finish(h, ret_csum);
}
