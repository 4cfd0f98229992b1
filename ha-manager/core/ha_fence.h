/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_fence: ha/fence.cfg: fence devices, and the commands that switch a node off. Reference: ha.md
 * section 2.5. Pure; immutable once parsed.
 *
 * Devices are tried one after the other (level, "try" 0, 1, ...); the sub-devices of one are used
 * together: all of their commands must succeed.
 */
#ifndef HA_MANAGER_CORE_HA_FENCE_H
#define HA_MANAGER_CORE_HA_FENCE_H

#include "lib/base/err.h"

#include <glib.h>

typedef struct HaFence HaFence;

/* Lines that are no command are reported to `warn` (may be NULL) and ignored. Any error makes the
 * whole file invalid: -EINVAL, and *ret_errors (when not NULL; caller frees) holds all of them, one
 * per line, under the heading that names `file`. */
int ha_fence_parse(const char *text,
                   const char *file,
                   void (*warn)(void *ctx, unsigned line, const char *text),
                   void *ctx,
                   HaFence **ret_fence,
                   char **ret_errors) must_check;
void ha_fence_free(HaFence *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaFence, ha_fence_free)

/* The commands that fence `node` at level `level`: an array of argument vectors (GPtrArray of
 * GStrv), agent first; empty when there is no such level. Caller unrefs. */
GPtrArray *ha_fence_commands(const HaFence *f, const char *node, guint level);

/* One command as a line for people, quoted where needed; caller frees. */
char *ha_fence_command_text(char *const *argv);

/* The file's text in its written form; caller frees. */
char *ha_fence_format(const HaFence *f);

#endif
