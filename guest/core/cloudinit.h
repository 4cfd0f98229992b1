/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloudinit: the files a guest configures itself from at its first start, made from its
 * configuration: who it is, who may log in, its addresses. Formats nocloud, configdrive2 and
 * opennebula. Reference: guest.md section 15. Pure: texts in, texts out.
 */
#ifndef GUEST_CORE_CLOUDINIT_H
#define GUEST_CORE_CLOUDINIT_H

#include "guest/core/guestconf.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

typedef enum CloudinitFormat {
    CLOUDINIT_NOCLOUD,
    CLOUDINIT_CONFIGDRIVE2,
    CLOUDINIT_OPENNEBULA,
} CloudinitFormat;

typedef struct CloudinitParams {
    const char *nameserver;   /* of the host, when the guest has none of its own; may be NULL */
    const char *searchdomain; /* as above */
    /* Texts that replace the generated ones (option cicustom); each may be NULL. */
    const char *user;
    const char *network;
    const char *meta;
    const char *vendor;
} CloudinitParams;

typedef struct CloudinitFile {
    char *path; /* in the image: "user-data" */
    char *text;
} CloudinitFile;

/* The configured one, or what suits the kind of system. */
CloudinitFormat cloudinit_format(const GuestConf *gc);

/* What the image is called. */
const char *cloudinit_label(CloudinitFormat format);

/* The single texts, as they go into the image. Caller frees. */
char *cloudinit_user(const GuestConf *gc, const CloudinitParams *params);
char *cloudinit_network(const GuestConf *gc, const CloudinitParams *params);
char *cloudinit_meta(const GuestConf *gc, const CloudinitParams *params);

/* All files of the image: CloudinitFile *. The caller owns the array. */
GPtrArray *cloudinit_files(const GuestConf *gc, const CloudinitParams *params);

/* True for options that the image is made from: a change of one makes a new image. */
bool cloudinit_uses(const char *key);

#endif
