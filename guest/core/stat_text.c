/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/stat_text.h"

#include <math.h>
#include <string.h>

#define KIB 1024

/* Fields of /proc/stat behind "cpu", and of /proc/PID/stat behind the name, from 0. */
enum { CPU_IDLE = 3, CPU_IOWAIT = 4, CPU_SUMMED = 8 };
enum { PROC_UTIME = 11, PROC_STIME = 12, PROC_START = 19 };

/* Numbers of /proc/net/dev behind the colon. */
enum { DEV_RX_BYTES = 0, DEV_TX_BYTES = 8, DEV_NUMBERS = 9 };

/* The line behind this one, NULL at the end. */
static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end != NULL && end[1] != '\0' ? end + 1 : NULL;
}

/* A number at `*s` after blanks, which is then behind it; false when there is none in this line. */
static bool take_number(const char **s, uint64_t *ret)
{
    const char *from = *s + strspn(*s, " \t");
    char *end = NULL;

    if (!g_ascii_isdigit(*from)) {
        return false;
    }
    *ret = g_ascii_strtoull(from, &end, 10); /* the largest one when it does not fit */
    *s = end;
    return true;
}

static int64_t as_known(uint64_t value)
{
    return value <= INT64_MAX ? (int64_t)value : STAT_UNKNOWN;
}

static int64_t add_known(int64_t sum, uint64_t more)
{
    int64_t out;

    return as_known(more) != STAT_UNKNOWN && !__builtin_add_overflow(sum, (int64_t)more, &out)
               ? out
               : sum;
}

bool stat_text_cpu(const char *text, StatCpu *ret)
{
    StatCpu out = {0};
    bool found = false;

    for (const char *line = text; line != NULL; line = next_line(line)) {
        const char *s = line + strlen("cpu");
        uint64_t value;

        if (strncmp(line, "cpu", 3) != 0) {
            continue;
        }
        if (g_ascii_isdigit(*s)) {
            out.cpus++;
            continue;
        }
        for (int i = 0; i < CPU_SUMMED && take_number(&s, &value); i++) {
            out.total += value; /* guests are part of user */
            out.idle += i == CPU_IDLE ? value : 0;
            out.iowait += i == CPU_IOWAIT ? value : 0;
            found = found || i == CPU_IDLE;
        }
    }
    if (!found || out.cpus == 0) {
        return false;
    }
    *ret = out;
    return true;
}

void stat_text_memory(const char *text, StatMemory *ret)
{
    const struct {
        const char *name;
        int64_t *place;
    } rows[] = {{"MemTotal:", &ret->total},
                {"MemAvailable:", &ret->available},
                {"SwapTotal:", &ret->swap_total},
                {"SwapFree:", &ret->swap_free}};

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        *rows[i].place = STAT_UNKNOWN;
    }
    for (const char *line = text; line != NULL; line = next_line(line)) {
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
            const char *s = line + strlen(rows[i].name);
            uint64_t kib;

            if (g_str_has_prefix(line, rows[i].name) && take_number(&s, &kib) &&
                kib <= INT64_MAX / KIB) {
                *rows[i].place = (int64_t)kib * KIB;
            }
        }
    }
}

double stat_text_first(const char *text)
{
    char *end = NULL;
    double value = g_ascii_strtod(text, &end);

    return end != text && isfinite(value) && value >= 0 ? value : NAN;
}

int64_t stat_text_only(const char *text)
{
    uint64_t value;

    return take_number(&text, &value) ? as_known(value) : STAT_UNKNOWN;
}

int64_t stat_text_second(const char *text)
{
    uint64_t skipped;

    return take_number(&text, &skipped) ? stat_text_only(text) : STAT_UNKNOWN;
}

int64_t stat_text_keyed(const char *text, const char *key)
{
    size_t n = strlen(key);

    for (const char *line = text; line != NULL; line = next_line(line)) {
        if (strncmp(line, key, n) == 0 && line[n] == ' ') {
            return stat_text_only(line + n);
        }
    }
    return STAT_UNKNOWN;
}

/* "8:0 rbytes=1 wbytes=2 rios=3": the number behind `word` in this line, 0 when there is none. */
static uint64_t number_in_line(const char *line, const char *word)
{
    const char *s = g_strstr_len(line, (gssize)strcspn(line, "\n"), word);
    uint64_t value = 0;

    if (s != NULL) {
        s += strlen(word);
        (void)take_number(&s, &value); /* else it stays 0 */
    }
    return value;
}

void stat_text_io(const char *text, int64_t *ret_read, int64_t *ret_written)
{
    *ret_read = STAT_UNKNOWN;
    *ret_written = STAT_UNKNOWN;
    for (const char *line = text; line != NULL; line = next_line(line)) {
        if (g_ascii_isdigit(*line)) {
            *ret_read = add_known(MAX(*ret_read, 0), number_in_line(line, " rbytes="));
            *ret_written = add_known(MAX(*ret_written, 0), number_in_line(line, " wbytes="));
        }
    }
}

double stat_text_pressure(const char *text, const char *kind)
{
    static const char word[] = " avg10=";

    for (const char *line = text; line != NULL; line = next_line(line)) {
        size_t n = strlen(kind);

        if (strncmp(line, kind, n) == 0 && g_str_has_prefix(line + n, word)) {
            return stat_text_first(line + n + strlen(word));
        }
    }
    return NAN;
}

int64_t stat_text_arc(const char *text)
{
    for (const char *line = text; line != NULL; line = next_line(line)) {
        if (g_str_has_prefix(line, "size ")) {
            return stat_text_second(line + strlen("size ")); /* its type, then the number */
        }
    }
    return STAT_UNKNOWN;
}

bool stat_text_process(const char *text, StatProcess *ret)
{
    const char *s = strrchr(text, ')'); /* the name may hold anything */
    uint64_t fields[PROC_START + 1] = {0};
    int n = 0;

    if (s == NULL || s[1] != ' ' || s[2] == '\0') {
        return false;
    }
    s += 3; /* the state is a letter */
    for (n = 1; n <= PROC_START && *s == ' '; n++) {
        s++;
        fields[n] = g_ascii_strtoull(s, NULL, 10); /* some are negative; none of ours */
        s += strcspn(s, " \n");
    }
    if (n <= PROC_START) {
        return false;
    }
    ret->used = fields[PROC_UTIME] + fields[PROC_STIME];
    ret->start = fields[PROC_START];
    return true;
}

/* ---- interfaces ---- */

/* "tap100i0", or "veth100i0" of a container: 100; 0 for other names. */
static guint tap_vmid(const char *name, size_t len)
{
    size_t head = g_str_has_prefix(name, "tap") ? 3 : g_str_has_prefix(name, "veth") ? 4 : 0;
    const char *s = name + head;
    uint64_t vmid;

    if (head == 0 || len < head + 3 || !g_ascii_isdigit(*s) || !take_number(&s, &vmid) ||
        *s != 'i') {
        return 0;
    }
    return vmid > 0 && vmid < 1000000000 ? (guint)vmid : 0;
}

static bool leads_outside(const char *name, size_t len)
{
    static const char *const inside[] = {"lo",    "tap",  "fwbr", "fwln",  "fwpr",
                                         "veth",  "vmbr", "bond", "virbr", "docker",
                                         "dummy", "tun",  "wg",   "vxlan", "br-"};

    for (size_t i = 0; i < G_N_ELEMENTS(inside); i++) {
        if (len >= strlen(inside[i]) && strncmp(name, inside[i], strlen(inside[i])) == 0) {
            return false;
        }
    }
    return len > 0 && memchr(name, '.', len) == NULL; /* "eth0.7" is a VLAN */
}

static void add_traffic(StatTraffic *t, uint64_t in, uint64_t out)
{
    t->in = add_known(MAX(t->in, 0), in);
    t->out = add_known(MAX(t->out, 0), out);
}

static void add_tap(GHashTable *guests, guint vmid, const uint64_t numbers[DEV_NUMBERS])
{
    StatTraffic *t = g_hash_table_lookup(guests, GUINT_TO_POINTER(vmid));

    if (t == NULL) {
        t = g_new0(StatTraffic, 1);
        g_hash_table_insert(guests, GUINT_TO_POINTER(vmid), t);
    }
    /* The host is the other end: what it sends, the guest receives. */
    add_traffic(t, numbers[DEV_TX_BYTES], numbers[DEV_RX_BYTES]);
}

void stat_text_devices(const char *text, StatTraffic *ret_node, GHashTable **ret_guests)
{
    GHashTable *guests = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    StatTraffic node = {STAT_UNKNOWN, STAT_UNKNOWN};

    for (const char *line = text; line != NULL; line = next_line(line)) {
        const char *name = line + strspn(line, " ");
        size_t len = strcspn(name, ":\n");
        const char *s = name + len + 1;
        uint64_t numbers[DEV_NUMBERS];
        int n = 0;

        while (name[len] == ':' && n < DEV_NUMBERS && take_number(&s, &numbers[n])) {
            n++;
        }
        if (n < DEV_NUMBERS) {
            continue; /* one of the two lines on top */
        }
        if (tap_vmid(name, len) != 0) {
            add_tap(guests, tap_vmid(name, len), numbers);
        } else if (leads_outside(name, len)) {
            add_traffic(&node, numbers[DEV_RX_BYTES], numbers[DEV_TX_BYTES]);
        }
    }
    *ret_node = node;
    *ret_guests = guests;
}
