/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_tree: the files of the HA stack in the mounted tree: where they are, reading, writing, and
 * changing them under the lock that all who edit ha/ share. A tree that is not mounted is an error,
 * never an empty configuration. One thread at a time; calls block.
 */
#ifndef HA_MANAGER_IO_HA_TREE_H
#define HA_MANAGER_IO_HA_TREE_H

#include "ha-manager/core/ha_env.h"

#define HA_TREE_DEFAULT  "/etc/pve"
#define HA_DOMAIN_LOCK   "domain-ha"
#define HA_GENERIC_DIR   "ha-services" /* below nodes/NODE: one file a generic service */
#define HA_LOCK_WAIT_MS  10000         /* people's commands wait that long for the domain lock */
#define HA_LOCK_ROUND_MS 1000          /* daemons do not: they try again next round */

/* The path of a file below `pve`; caller frees. `node` only for HA_FILE_LRM_STATUS. */
char *ha_tree_path(const char *pve, HaFile file, const char *node);

/* 0 when the tree is mounted; -ENOTCONN. */
int ha_tree_check(const char *pve, Err *err) must_check;

/* A missing file reads as "". The caller frees *ret_text. */
int ha_tree_read(const char *pve, HaFile file, const char *node, char **ret_text, Err *err)
    must_check;
int ha_tree_write(const char *pve, HaFile file, const char *node, const char *text, Err *err)
    must_check;

/* HaEnvOps.update; the lock is taken only when the edit has something to change. -ETIMEDOUT when
 * somebody else holds it for longer than `wait_ms`. An edit's own failure is passed on. */
int ha_tree_update(
    const char *pve, HaFile file, HaEdit edit, void *data, unsigned wait_ms, Err *err) must_check;

/* The file that makes the guest of `sid` belong to `node`; NULL for a type without one. Caller
 * frees. */
char *ha_tree_guest_path(const char *pve, const char *sid, const char *node);

#endif
