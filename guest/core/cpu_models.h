/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_models: CPU models by name: those QEMU has, the levels x86-64-v2 to v4 built on qemu64, and
 * the custom models of virtual-guest/cpu-models.conf. Reference: guest.md sections 4 and 8. Pure.
 */
#ifndef GUEST_CORE_CPU_MODELS_H
#define GUEST_CORE_CPU_MODELS_H

#include "lib/base/err.h"
#include "lib/conf/propstring.h"
#include "lib/conf/sectionlines.h"

/* Which guests can have a model. */
typedef enum CpuKind {
    CPU_X86_64,
    CPU_X86_32, /* x86 without 64-bit mode */
    CPU_ARM_64,
    CPU_ANY, /* a name that QEMU has on each architecture */
} CpuKind;

typedef struct CpuModel {
    const char *name;
    const char *qemu_name; /* what QEMU calls it */
    const char *vendor;    /* that the guest must see; NULL: the host's */
    const char *flags;     /* "+aes;+avx" that make the level; NULL when QEMU knows it all */
    CpuKind kind;
} CpuModel;

/* NULL when there is none of that name. */
const CpuModel *cpu_model_find(const char *name);
size_t cpu_model_count(void);
const CpuModel *cpu_model_at(size_t i);

#define CPU_CUSTOM_PREFIX "custom-"

/* The properties of custom model `name` (without prefix), in the schema of the option `cpu`.
 * -ENOENT, -EINVAL with the line. `models` may be NULL: there are none. */
int cpu_custom_model(const SectionLines *models, const char *name, PropString **ret, Err *err)
    must_check;

#endif
