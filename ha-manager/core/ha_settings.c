/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_settings.h"

#include "ha-manager/core/ha_limits.h"

#include <glib.h>
#include <math.h>
#include <string.h>

void ha_settings_init(HaSettings *s)
{
    *s = (HaSettings){
        .shutdown_policy = "conditional",
        .scheduler = "basic",
        .threshold = 0.3,
        .margin = 0.1,
        .hold_duration = 3,
        .max_workers = 4,
        .fencing = HA_FENCING_WATCHDOG,
    };
}

static bool read_bool(const char *value)
{
    g_autofree char *lower = g_ascii_strdown(value, -1);

    return strcmp(lower, "1") == 0 || strcmp(lower, "on") == 0 || strcmp(lower, "yes") == 0 ||
           strcmp(lower, "true") == 0;
}

static void read_fraction(const char *value, double *ret)
{
    char *end;
    double d = g_ascii_strtod(value, &end);

    if (end == value || *end != '\0' || !isfinite(d) || d < 0 || d > 100) {
        return;
    }
    *ret = d > 1 ? d / 100 : d;
}

static void read_int(const char *value, int min, int max, int *ret)
{
    gint64 n;

    if (g_ascii_string_to_signed(value, 10, min, max, &n, NULL)) {
        *ret = (int)n;
    }
}

static void take_crs(HaSettings *s, const char *key, const char *value)
{
    if (strcmp(key, "ha") == 0) {
        (void)g_strlcpy(s->scheduler, value, sizeof s->scheduler); /* cut = unknown mode */
    } else if (strcmp(key, "ha-rebalance-on-start") == 0) {
        s->rebalance_on_start = read_bool(value);
    } else if (strcmp(key, "ha-auto-rebalance") == 0) {
        s->auto_rebalance = read_bool(value);
    } else if (strcmp(key, "ha-auto-rebalance-threshold") == 0) {
        read_fraction(value, &s->threshold);
    } else if (strcmp(key, "ha-auto-rebalance-margin") == 0) {
        read_fraction(value, &s->margin);
    } else if (strcmp(key, "ha-auto-rebalance-method") == 0) {
        s->topsis = strcmp(value, "topsis") == 0;
    } else if (strcmp(key, "ha-auto-rebalance-hold-duration") == 0) {
        read_int(value, 0, INT32_MAX, &s->hold_duration);
    }
}

static void take_ha(HaSettings *s, const char *key, const char *value)
{
    if (strcmp(key, "shutdown_policy") == 0) {
        (void)g_strlcpy(s->shutdown_policy, value, sizeof s->shutdown_policy); /* cut = unknown */
    } else if (strcmp(key, "timing") == 0) {
        (void)g_strlcpy(s->timing, value, sizeof s->timing); /* cut = unknown */
    }
}

/* `a=b,c=d` */
static void
take_list(HaSettings *s, const char *list, void (*take)(HaSettings *, const char *, const char *))
{
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);

    for (size_t i = 0; parts[i] != NULL; i++) {
        char *part = g_strstrip(parts[i]);
        char *equal = strchr(part, '=');

        if (equal != NULL) {
            *equal = '\0';
            take(s, part, equal + 1);
        }
    }
}

static void take_key(HaSettings *s, const char *key, const char *value)
{
    if (strcmp(key, "ha") == 0) {
        take_list(s, value, take_ha);
    } else if (strcmp(key, "crs") == 0) {
        take_list(s, value, take_crs);
    } else if (strcmp(key, "max_workers") == 0) {
        read_int(value, 1, HA_WORKERS_MAX, &s->max_workers);
    } else if (strcmp(key, "fencing") == 0) {
        s->fencing = strcmp(value, "hardware") == 0 ? HA_FENCING_HARDWARE
                     : strcmp(value, "both") == 0   ? HA_FENCING_BOTH
                                                    : HA_FENCING_WATCHDOG;
    }
}

void ha_settings_parse(const char *text, HaSettings *ret_settings)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    ha_settings_init(ret_settings);
    for (size_t i = 0; lines[i] != NULL; i++) {
        char *line = g_strstrip(lines[i]);
        char *colon = strchr(line, ':');

        if (line[0] == '#' || colon == NULL) {
            continue;
        }
        *colon = '\0';
        take_key(ret_settings, g_strchomp(line), g_strchug(colon + 1));
    }
}
