/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_ignored: /etc/default/pveproxy, by which the original lets only some addresses in. It is not
 * read here; who set something there must learn that it has no effect. Pure; any thread.
 * Reference: api, chapter 1.
 */
#ifndef API_CORE_API_IGNORED_H
#define API_CORE_API_IGNORED_H

#define API_IGNORED_FILE "/etc/default/pveproxy"

/* The keys that are set in the text of such a file, as "A, B"; NULL: none. The caller frees. */
char *api_ignored_keys(const char *text);

#endif
