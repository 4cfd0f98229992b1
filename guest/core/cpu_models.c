/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/cpu_models.h"

#include "guest/core/confprops.h"

#include <errno.h>
#include <string.h>

#define CUSTOM_TYPE "cpu-model"

#define INTEL(n)                                                                                   \
    {                                                                                              \
        .name = n, .qemu_name = n, .vendor = "GenuineIntel"                                        \
    }
#define AMD(n)                                                                                     \
    {                                                                                              \
        .name = n, .qemu_name = n, .vendor = "AuthenticAMD"                                        \
    }
#define GENERIC(n)                                                                                 \
    {                                                                                              \
        .name = n, .qemu_name = n                                                                  \
    }
#define OLD(n, who)                                                                                \
    {                                                                                              \
        .name = n, .qemu_name = n, .vendor = who, .kind = CPU_X86_32                               \
    }
#define ANY(n)                                                                                     \
    {                                                                                              \
        .name = n, .qemu_name = n, .kind = CPU_ANY                                                 \
    }
#define ARM(n)                                                                                     \
    {                                                                                              \
        .name = n, .qemu_name = n, .kind = CPU_ARM_64                                              \
    }
#define LEVEL(n, set)                                                                              \
    {                                                                                              \
        .name = n, .qemu_name = "qemu64", .flags = set                                             \
    }

#define V2_FLAGS     "+popcnt;+pni;+sse4.1;+sse4.2;+ssse3"
#define V2_AES_FLAGS V2_FLAGS ";+aes"
#define V3_FLAGS     V2_AES_FLAGS ";+abm;+avx;+avx2;+bmi1;+bmi2;+f16c;+fma;+movbe;+xsave"
#define V4_FLAGS     V3_FLAGS ";+avx512bw;+avx512cd;+avx512dq;+avx512f;+avx512vl"

/* There never was such a client processor; QEMU took its model away in 7.1. */
#define RENAMED(n, to)                                                                             \
    {                                                                                              \
        .name = n, .qemu_name = to, .vendor = "GenuineIntel"                                       \
    }

static const CpuModel models[] = {
    ANY("host"),
    OLD("kvm32", NULL),
    GENERIC("kvm64"),
    ANY("max"),
    OLD("qemu32", NULL),
    GENERIC("qemu64"),
    LEVEL("x86-64-v2", V2_FLAGS),
    LEVEL("x86-64-v2-AES", V2_AES_FLAGS),
    LEVEL("x86-64-v3", V3_FLAGS),
    LEVEL("x86-64-v4", V4_FLAGS),
    OLD("486", "GenuineIntel"),
    INTEL("Broadwell"),
    INTEL("Broadwell-IBRS"),
    INTEL("Broadwell-noTSX"),
    INTEL("Broadwell-noTSX-IBRS"),
    INTEL("Cascadelake-Server"),
    INTEL("Cascadelake-Server-noTSX"),
    INTEL("Cascadelake-Server-v2"),
    INTEL("Cascadelake-Server-v4"),
    INTEL("Cascadelake-Server-v5"),
    INTEL("ClearwaterForest"),
    INTEL("Conroe"),
    INTEL("Cooperlake"),
    INTEL("Cooperlake-v2"),
    INTEL("DiamondRapids"),
    INTEL("GraniteRapids"),
    INTEL("GraniteRapids-v2"),
    INTEL("Haswell"),
    INTEL("Haswell-IBRS"),
    INTEL("Haswell-noTSX"),
    INTEL("Haswell-noTSX-IBRS"),
    RENAMED("Icelake-Client", "Icelake-Server"),
    RENAMED("Icelake-Client-noTSX", "Icelake-Server-noTSX"),
    INTEL("Icelake-Server"),
    INTEL("Icelake-Server-noTSX"),
    INTEL("Icelake-Server-v3"),
    INTEL("Icelake-Server-v4"),
    INTEL("Icelake-Server-v5"),
    INTEL("Icelake-Server-v6"),
    INTEL("IvyBridge"),
    INTEL("IvyBridge-IBRS"),
    INTEL("KnightsMill"),
    INTEL("Nehalem"),
    INTEL("Nehalem-IBRS"),
    INTEL("Penryn"),
    INTEL("SandyBridge"),
    INTEL("SandyBridge-IBRS"),
    INTEL("SapphireRapids"),
    INTEL("SapphireRapids-v2"),
    INTEL("SapphireRapids-v3"),
    INTEL("SierraForest"),
    INTEL("SierraForest-v2"),
    INTEL("Skylake-Client"),
    INTEL("Skylake-Client-IBRS"),
    INTEL("Skylake-Client-noTSX-IBRS"),
    INTEL("Skylake-Client-v4"),
    INTEL("Skylake-Server"),
    INTEL("Skylake-Server-IBRS"),
    INTEL("Skylake-Server-noTSX-IBRS"),
    INTEL("Skylake-Server-v4"),
    INTEL("Skylake-Server-v5"),
    INTEL("Westmere"),
    INTEL("Westmere-IBRS"),
    INTEL("core2duo"),
    OLD("coreduo", "GenuineIntel"),
    OLD("pentium", "GenuineIntel"),
    OLD("pentium2", "GenuineIntel"),
    OLD("pentium3", "GenuineIntel"),
    AMD("EPYC"),
    AMD("EPYC-Genoa"),
    AMD("EPYC-Genoa-v2"),
    AMD("EPYC-IBPB"),
    AMD("EPYC-Milan"),
    AMD("EPYC-Milan-v2"),
    AMD("EPYC-Milan-v3"),
    AMD("EPYC-Rome"),
    AMD("EPYC-Rome-v2"),
    AMD("EPYC-Rome-v3"),
    AMD("EPYC-Rome-v4"),
    AMD("EPYC-Rome-v5"),
    AMD("EPYC-Turin"),
    AMD("EPYC-v3"),
    AMD("EPYC-v4"),
    AMD("EPYC-v5"),
    AMD("Opteron_G1"),
    AMD("Opteron_G2"),
    AMD("Opteron_G3"),
    AMD("Opteron_G4"),
    AMD("Opteron_G5"),
    OLD("athlon", "AuthenticAMD"),
    AMD("phenom"),
    ARM("cortex-a35"),
    ARM("cortex-a53"),
    ARM("cortex-a55"),
    ARM("cortex-a57"),
    ARM("cortex-a72"),
    ARM("cortex-a76"),
    ARM("neoverse-n1"),
    ARM("neoverse-n2"),
    ARM("neoverse-v1"),
};

const CpuModel *cpu_model_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        if (strcmp(models[i].name, name) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

size_t cpu_model_count(void)
{
    return G_N_ELEMENTS(models);
}

const CpuModel *cpu_model_at(size_t i)
{
    return &models[i];
}

static int read_custom(const SectionLinesEntry *e, PropString **ret, Err *err)
{
    g_autoptr(PropString) p = propstring_new(&props_cpu);

    if (e->error != NULL) {
        return err_setf(err, -EINVAL, "cpu-models.conf: %s", e->error);
    }
    for (guint i = 0; i < e->lines->len; i++) {
        const SectionLine *l = e->lines->pdata[i];
        int r = propstring_set(p, l->key, l->value, err);
        if (r < 0) {
            return err_wrapf(err, r, "cpu-models.conf: line %u", l->line);
        }
    }
    *ret = g_steal_pointer(&p);
    return 0;
}

int cpu_custom_model(const SectionLines *custom, const char *name, PropString **ret, Err *err)
{
    for (guint i = 0; custom != NULL && i < custom->sections->len; i++) {
        const SectionLinesEntry *e = custom->sections->pdata[i];
        if (strcmp(e->type, CUSTOM_TYPE) == 0 && strcmp(e->id, name) == 0) {
            return read_custom(e, ret, err);
        }
    }
    return err_setf(err, -ENOENT, "custom model '%s' is not in cpu-models.conf", name);
}
