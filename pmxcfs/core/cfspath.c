/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/cfspath.h"

#include "pmxcfs/core/pmxcfs_limits.h"

#include <string.h>

/* One component of a path, borrowed. */
typedef struct Part {
    const char *s;
    size_t len;
} Part;

/* Moves `*pos` past the next component; false at the end. */
static bool next_part(const char **pos, Part *ret)
{
    const char *p = *pos;

    while (*p == '/') {
        p++;
    }
    if (*p == '\0') {
        return false;
    }
    ret->s = p;
    while (*p != '/' && *p != '\0') {
        p++;
    }
    ret->len = (size_t)(p - ret->s);
    *pos = p;
    return true;
}

static bool part_is(const Part *part, const char *word)
{
    return strlen(word) == part->len && memcmp(part->s, word, part->len) == 0;
}

/* Only "." as the whole path means the root. */
static bool is_root(const char *path)
{
    const char *pos = path;
    Part part;

    return strcmp(path, ".") == 0 || !next_part(&pos, &part);
}

/* ---- guests ---- */

static const struct {
    CfsGuestType type;
    const char *name, *dir;
} guest_types[] = {
    {CFS_GUEST_QEMU, "qemu", "qemu-server"},
    {CFS_GUEST_OPENVZ, "openvz", "openvz"},
    {CFS_GUEST_LXC, "lxc", "lxc"},
};

const char *cfs_guest_type_name(CfsGuestType type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(guest_types); i++) {
        if (guest_types[i].type == type) {
            return guest_types[i].name;
        }
    }
    return NULL;
}

const char *cfs_guest_type_dir(CfsGuestType type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(guest_types); i++) {
        if (guest_types[i].type == type) {
            return guest_types[i].dir;
        }
    }
    return NULL;
}

/* Letters, digits, and hyphens that are neither first nor last. */
static bool node_ok(const Part *part)
{
    for (size_t i = 0; i < part->len; i++) {
        if (!g_ascii_isalnum(part->s[i]) && part->s[i] != '-') {
            return false;
        }
    }
    return part->len > 0 && part->s[0] != '-' && part->s[part->len - 1] != '-';
}

/* "<vmid>.conf" with a decimal number that starts with 1 to 9 and fits 32 bits. */
static bool vmid_ok(const Part *part, uint32_t *ret)
{
    const size_t suffix = strlen(".conf");
    uint64_t n = 0;

    if (part->len <= suffix || memcmp(part->s + part->len - suffix, ".conf", suffix) != 0 ||
        part->s[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < part->len - suffix; i++) {
        if (!g_ascii_isdigit(part->s[i])) {
            return false;
        }
        n = n * 10 + (uint64_t)(part->s[i] - '0');
        if (n > UINT32_MAX) {
            return false;
        }
    }
    *ret = (uint32_t)n;
    return true;
}

bool cfspath_guest(const char *path, CfsGuest *ret)
{
    const char *pos = path;
    Part nodes, node, dir, file, rest;
    CfsGuest guest = {0};

    if (!next_part(&pos, &nodes) || !part_is(&nodes, "nodes") || !next_part(&pos, &node) ||
        !next_part(&pos, &dir) || !next_part(&pos, &file) || next_part(&pos, &rest)) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(guest_types); i++) {
        if (part_is(&dir, guest_types[i].dir)) {
            guest.type = guest_types[i].type;
        }
    }
    if (guest.type == 0 || !node_ok(&node) || !vmid_ok(&file, &guest.vmid)) {
        return false;
    }
    guest.node = node.s;
    guest.node_len = node.len;
    if (ret != NULL) {
        *ret = guest;
    }
    return true;
}

/* ---- spelling ---- */

bool cfspath_normalize_buf(const char *path, char *buf, size_t size)
{
    const char *pos = path;
    size_t used = 0;
    Part part;

    if (size == 0) {
        return false;
    }
    while (!is_root(path) && next_part(&pos, &part)) {
        size_t need = part.len + (used > 0 ? 1 : 0);
        if (need >= size - used) {
            return false;
        }
        if (used > 0) {
            buf[used++] = '/';
        }
        memcpy(buf + used, part.s, part.len);
        used += part.len;
    }
    buf[used] = '\0';
    return true;
}

char *cfspath_normalize(const char *path)
{
    size_t size = strlen(path) + 1; /* the canonical spelling is never longer */
    char *buf = g_malloc(size);
    bool fits = cfspath_normalize_buf(path, buf, size);

    g_assert(fits);
    return buf;
}

/* ---- private ---- */

/* Feeds components one after another: 1 private, 0 not, -1 not yet known. */
static int private_step(int depth, bool under_nodes, const Part *part)
{
    if (depth == 0) {
        return part_is(part, "priv") ? 1 : part_is(part, "nodes") ? -1 : 0;
    }
    if (!under_nodes) {
        return 0;
    }
    if (depth == 1) {
        return -1;
    }
    return part_is(part, "priv") ? 1 : 0;
}

bool cfspath_is_private(const char *path)
{
    const char *pos = path;
    int known = -1;
    Part part;

    for (int depth = 0; known < 0 && !is_root(path) && next_part(&pos, &part); depth++) {
        known = private_step(depth, depth > 0, &part);
    }
    return known == 1;
}

/* ---- locks ---- */

/* Components below priv/lock; 0 when the path is not there. */
static int lock_depth(const char *path)
{
    const char *pos = path;
    Part part;
    int depth = 0;

    if (!next_part(&pos, &part) || !part_is(&part, "priv") || !next_part(&pos, &part) ||
        !part_is(&part, "lock")) {
        return 0;
    }
    while (depth < 2 && next_part(&pos, &part)) {
        depth++;
    }
    return depth;
}

bool cfspath_is_lock(const char *path)
{
    return lock_depth(path) == 1;
}

bool cfspath_is_below_lock(const char *path)
{
    return lock_depth(path) > 0;
}

/* ---- names ---- */

bool cfspath_is_executable(const char *name)
{
    static const char *const actions[] = {"mount", "umount",   "start",
                                          "stop",  "premount", "postumount"};
    const char *dot = strchr(name, '.');

    if (dot == NULL) {
        return false;
    }
    if (!g_str_has_prefix(name, "vps.")) {
        if (dot == name || name[0] == '0') {
            return false;
        }
        for (const char *p = name; p < dot; p++) {
            if (!g_ascii_isdigit(*p)) {
                return false;
            }
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (strcmp(dot + 1, actions[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool cfspath_name_ok(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= CFS_NAME_MAX && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* ---- specials ---- */

STRTAB_DEFINE(cfs_special, CfsSpecial, CFS_SPECIAL_LIST, CFS_SPECIAL_N)

bool cfs_special_is_link(CfsSpecial special)
{
    return special <= CFS_SPECIAL_LXC;
}

char *cfs_special_target(CfsSpecial special, const char *nodename)
{
    if (!cfs_special_is_link(special)) {
        return NULL;
    }
    if (special == CFS_SPECIAL_LOCAL) {
        return g_strdup_printf("nodes/%s", nodename);
    }
    return g_strdup_printf("nodes/%s/%s", nodename, cfs_special_name(special));
}

/* ---- modes ---- */

uint32_t cfspath_mode(const char *path, bool is_dir, bool quorate)
{
    bool private = cfspath_is_private(path);
    uint32_t mode;

    if (is_root(path)) {
        return 0755; /* the mount point looks the same with and without quorum */
    }
    if (is_dir) {
        mode = private ? 0700 : 0755;
    } else {
        const char *slash = strrchr(path, '/');
        mode = private ? 0600 : 0640;
        if (cfspath_is_executable(slash != NULL ? slash + 1 : path)) {
            mode |= 0100;
        }
    }
    return quorate ? mode : mode & ~(uint32_t)0222;
}

uint32_t cfs_special_mode(CfsSpecial special, bool quorate)
{
    if (cfs_special_is_link(special)) {
        return quorate ? 0755 : 0555;
    }
    return special == CFS_SPECIAL_DEBUG ? 0640 : 0440;
}
