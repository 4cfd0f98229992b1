/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor: the one way bytes from outside become values, and values become bytes.
 *
 * Reader: walks a borrowed buffer and never passes its end. The first read that does not fit marks
 * the reader bad; every later read gives zero or NULL, so that a decoder may read all its fields
 * and check once at the end with `reader_ok`. Little-endian is spelled out, without pointer casts.
 *
 * Writer: appends to a GByteArray it owns, up to a limit given at the start; the append that would
 * pass the limit marks it bad and adds nothing.
 *
 * One thread at a time per object.
 */
#ifndef LIB_BASE_CURSOR_H
#define LIB_BASE_CURSOR_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Reader {
    const uint8_t *data;
    size_t size;
    size_t pos;
    bool bad;
} Reader;

/* Borrows `data` (may be NULL when `size` is 0) for the life of the reader. */
Reader reader_init(const void *data, size_t size);

/* Little-endian numbers; 0, and the reader is bad from then on, when too few bytes are left. */
uint8_t reader_u8(Reader *r);
uint16_t reader_le16(Reader *r);
uint32_t reader_le32(Reader *r);
uint64_t reader_le64(Reader *r);

/* `n` bytes, borrowed from the buffer; NULL when fewer are left. `n` 0 gives a non-NULL pointer. */
const uint8_t *reader_bytes(Reader *r, size_t n);

/* Exactly `n` bytes whose last is the only NUL: the string, borrowed; NULL (and bad) otherwise.
 * `n` counts the NUL and must be at least 1. */
const char *reader_strz(Reader *r, size_t n);

/* A fixed field of `n` bytes that holds a NUL terminated string; what follows the NUL is ignored.
 * NULL (and bad) when there is no NUL in the field. */
const char *reader_strfield(Reader *r, size_t n);

/* Passes over `n` bytes. */
void reader_skip(Reader *r, size_t n);

/* Bytes not yet read; 0 when bad. */
size_t reader_left(const Reader *r);

/* All reads so far were inside the buffer. */
bool reader_ok(const Reader *r);

/* Additionally nothing is left over: the answer to "trailing bytes". */
bool reader_done(const Reader *r);

typedef struct Writer {
    GByteArray *bytes; /* owned */
    size_t limit;
    bool bad;
} Writer;

/* `limit`: most bytes this writer may hold. */
void writer_init(Writer *w, size_t limit);

/* Frees what is left; safe after writer_steal and on a zeroed struct. */
void writer_done(Writer *w);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Writer, writer_done)

/* Little-endian numbers and bytes. Beyond the limit the writer becomes bad, and writes nothing
 * more. */
void writer_u8(Writer *w, uint8_t v);
void writer_le16(Writer *w, uint16_t v);
void writer_le32(Writer *w, uint32_t v);
void writer_le64(Writer *w, uint64_t v);
void writer_bytes(Writer *w, const void *data, size_t n);
void writer_zero(Writer *w, size_t n);

/* The string with its NUL. */
void writer_strz(Writer *w, const char *s);

/* The string in a field of `n` bytes, rest zero; bad when it does not fit with its NUL. */
void writer_strfield(Writer *w, const char *s, size_t n);

/* Overwrites 4 bytes already written at `pos` (length fields known only at the end). */
void writer_patch_le32(Writer *w, size_t pos, uint32_t v);

/* Bytes so far; has everything fitted? */
size_t writer_size(const Writer *w);
bool writer_ok(const Writer *w);

/* Takes the bytes out; NULL when the writer is bad. The caller owns the result. */
GBytes *writer_steal(Writer *w);

#endif
