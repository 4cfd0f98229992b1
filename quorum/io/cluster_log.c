/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/cluster_log.h"

#include "lib/cfs/ipcc.h"

#include <stdarg.h>
#include <syslog.h>

void cluster_log(int priority, const char *fmt, ...)
{
    const IpccOptions opt = {.timeout_ms = CLUSTER_LOG_TIMEOUT_MS};
    g_autoptr(Ipcc) ipcc = ipcc_new(&opt);
    g_autofree char *text = NULL;
    Err err = ERR_INIT;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (ipcc_log(ipcc, (uint8_t)priority, "root@pam", "pvecm", text, &err) < 0) {
        syslog(LOG_WARNING, "not in the cluster log (%s): %s", err_text(&err), text);
    }
}
