/* SPDX-License-Identifier: Apache-2.0 */
/* guest_hook: runs a guest's hook script at its four moments. Reference guest.md section 17. Main
 * thread; blocks as long as the script runs. */
#ifndef GUEST_IO_GUEST_HOOK_H
#define GUEST_IO_GUEST_HOOK_H

#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "guest/io/guest_host.h"
#include "lib/base/err.h"

/* `phase`: pre-start, post-start, pre-stop, post-stop. 0 when there is no script or it ended well;
 * what it prints goes to the caller of the verb. */
int guest_hook_run(const GuestHost *h,
                   const HostFacts *facts,
                   const GuestConf *conf,
                   const char *phase,
                   Err *err) must_check;

#endif
