/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_tpm: the emulator of a guest's TPM (`tpmstate0`): a swtpm on the volume, started before
 * QEMU, which connects to it; it ends with QEMU. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_TPM_H
#define GUEST_IO_GUEST_TPM_H

#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

/* -ENOTSUP without the program. */
int guest_tpm_check(const GuestConf *conf, Err *err) must_check;

/* Starts the swtpm of a guest that has a TPM; 0 at once for others. Blocks until it has gone to
 * the background. */
int guest_tpm_start(const GuestConf *conf, const HostFacts *facts, Err *err) must_check;

/* Adds the process (pid_t) of a TPM that runs. */
void guest_tpm_list(const char *run_dir, uint32_t vmid, GArray *pids);

/* Sees to the end of a TPM whose QEMU has gone or never came. */
void guest_tpm_end(const char *run_dir, uint32_t vmid);

#endif
