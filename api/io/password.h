/* SPDX-License-Identifier: Apache-2.0 */
/*
 * password: is this the user's password? Realm "pam" asks this host's PAM by the helper program
 * quorate-pam; realm "pve" compares with priv/shadow.cfg. Passwords go through pipes, never through
 * arguments (INV-8). Any thread; blocks.
 */
#ifndef API_IO_PASSWORD_H
#define API_IO_PASSWORD_H

#include "lib/base/err.h"

#define PASSWORD_LENGTH_MAX 1024u
#define PASSWORD_WAIT_MS    20000 /* for PAM modules that ask over the network */

/* 0; -EACCES wrong; -EOPNOTSUPP a realm we do not know; -EIO PAM could not be asked; with a text
 * for the log. `user` is USER@REALM. */
int password_check(const char *pve,
                   const char *helper,
                   const char *user,
                   const char *password,
                   const char *peer,
                   Err *err) must_check;

#endif
