/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mappingcfg: mapping/pci.cfg, usb.cfg and directory.cfg: cluster-wide names for devices and
 * directories that each node has under its own address. A name has any number of `map` lines, each
 * for one node: `map id=10de:2231,node=n1,path=0000:01:00.4`. Reading only. Pure.
 */
#ifndef LIB_CONF_MAPPINGCFG_H
#define LIB_CONF_MAPPINGCFG_H

#include "lib/base/err.h"
#include "lib/conf/sectionlines.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct MappingCfg MappingCfg;

/* -EFBIG, -E2BIG, -EBADMSG with the line. `file` is what errors call it. */
int mappingcfg_parse(const char *file, const char *text, size_t len, MappingCfg **ret, Err *err)
    must_check;
void mappingcfg_free(MappingCfg *cfg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MappingCfg, mappingcfg_free)

/* The paths that `name` has on `node`, in file order: GPtrArray of char *, owned by the caller.
 * -ENOENT when there is no such name, -ENODEV when it has nothing on that node, -EINVAL when its
 * section is wrong. */
int mappingcfg_paths(const MappingCfg *cfg,
                     const char *name,
                     const char *node,
                     GPtrArray **ret,
                     Err *err) must_check;

#endif
