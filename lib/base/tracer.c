/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/tracer.h"

#include <stdarg.h>
#include <stdio.h>

void trace(const Tracer *t, TraceLevel level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    if (t == NULL || t->emit == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap); /* cut lines are fine in a log */
    va_end(ap);
    t->emit(t->ctx, level, line);
}
