/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_dog: this process's watchdog at watchdog-mux (docs/wire/watchdog-mux.md). One thread at a
 * time. From open to close, this process must feed or the machine is reset; so must whoever
 * inherits the descriptor, therefore children drop it.
 */
#ifndef HA_MANAGER_IO_HA_DOG_H
#define HA_MANAGER_IO_HA_DOG_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <stdbool.h>
#include <stdint.h>

#define HA_DOG_SOCKET "/run/watchdog-mux.sock"

typedef struct HaDog {
    const char *socket; /* borrowed */
    int fd;             /* -1: closed */
} HaDog;

void ha_dog_init(HaDog *dog, const char *socket);

/* Connects to watchdog-mux, unless it is connected: it is armed from then on. -errno: it cannot
 * be reached. */
int ha_dog_open(HaDog *dog, Err *err) must_check;
bool ha_dog_is_open(const HaDog *dog);

/* Good for `client_ms` from `since` (of clock_boot) on; the device shall fire `device_ms` after its
 * own last feeding. An error also when the multiplexer has given us up. */
int ha_dog_feed(HaDog *dog, MonoTime since, int64_t client_ms, int64_t device_ms, Err *err)
    must_check;

/* In order: from here on nothing resets the machine for our sake. */
int ha_dog_close(HaDog *dog, Err *err) must_check;

/* After fork, in the child: the dog is the parent's alone. */
void ha_dog_drop(HaDog *dog);

#endif
