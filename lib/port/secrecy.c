/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/secrecy.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* Not by a limit where it can be helped: programs that are run would inherit it, guests among them,
 * and a collector of core files that the kernel pipes them to need not keep to it. */
void secrecy_hide_memory(void)
{
#ifdef SANITIZED
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none); /* lowering is always allowed */
#else
    (void)prctl(PR_SET_DUMPABLE, 0); /* a valid value: cannot fail */
#endif
}
