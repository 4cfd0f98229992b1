/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store_db.h"

#include <errno.h>
#include <sqlite3.h>

/* A failed write, sync or truncate: the errno when it tells a person what to do. Others may be
 * left over from an earlier call and would mislead. */
static int io_errno(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EFBIG:
        return -sys;
    default:
        return -EIO;
    }
}

static int open_errno(int sys)
{
    switch (sys) {
    case EACCES:
    case EISDIR:
    case ELOOP:
    case EMFILE:
    case ENAMETOOLONG:
    case ENFILE:
    case ENOENT:
    case ENOSPC:
    case ENOTDIR:
    case EPERM:
    case EROFS:
        return -sys;
    default:
        return -EIO;
    }
}

int store_errno(int rc, int sys)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : io_errno(sys);
    case SQLITE_CANTOPEN:
        return open_errno(sys);
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_INTERRUPT:
    case SQLITE_ABORT:
        return -ECANCELED;
    case SQLITE_TOOBIG:
    case SQLITE_NOLFS:
        return -EFBIG;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: /* a statement that this file's schema does not fit */
        return -EBADMSG;
    default: /* INTERNAL, MISUSE, RANGE, NOTFOUND, EMPTY: our own mistake */
        return -EINVAL;
    }
}
