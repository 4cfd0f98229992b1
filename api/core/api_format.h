/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_format: the format that a client names in the path, "/api2/FORMAT/...". Daemons know "json"
 * alone; "extjs", which the web interface speaks, is the same in another envelope. Pure; any
 * thread. Reference: api, chapter 2.
 */
#ifndef API_CORE_API_FORMAT_H
#define API_CORE_API_FORMAT_H

#include "lib/wire/wire_api.h"

#include <stdbool.h>

typedef enum ApiFormat { API_FORMAT_JSON, API_FORMAT_EXTJS } ApiFormat;

/* The path as daemons know it, "/api2/json/..."; a path of no format of ours stays as it is. The
 * caller frees. */
char *api_format_path(const char *path, ApiFormat *ret_format);

/* Puts a daemon's answer into the envelope of the format. An error of "extjs" is told in the body;
 * its HTTP status is 200. */
void api_format_answer(ApiFormat format, ApiAnswer *answer);

/* May a body of this type be read, as a form or JSON? NULL: the client says nothing, yes. */
bool api_format_readable(const char *content_type);

#endif
