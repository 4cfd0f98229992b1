/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pvecm_ask.h"

#include "lib/port/prompt.h"
#include "lib/port/tls_client.h"
#include "quorum/core/join_info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX    1024
#define PEEK_TIMEOUT_MS 15000

void pvecm_free_password(char *password)
{
    if (password != NULL) {
        explicit_bzero(password, strlen(password));
        g_free(password);
    }
}

int pvecm_ask_password(const char *host, char **ret, Err *err)
{
    g_autofree char *question = g_strdup_printf("Password for root@pam on '%s': ", host);
    char line[PASSWORD_MAX + 2] = "";
    int r = prompt_secret(question, line, sizeof line, err);

    if (r == 0 && *line == '\0') {
        r = err_setf(err, -EINVAL, "it is empty");
    }
    if (r < 0) {
        return err_wrapf(err, r,
                         "no password (type it, or give it as first line of standard input)");
    }
    *ret = g_strdup(line);
    explicit_bzero(line, sizeof line);
    return 0;
}

int pvecm_ask_fingerprint(const ApiPeer *peer, uint8_t ret[32], Err *err)
{
    g_autofree char *text = NULL;
    char answer[16] = "";
    int r = tls_client_peek(peer->host, peer->port, PEEK_TIMEOUT_MS, ret, err);

    if (r < 0) {
        return r;
    }
    text = join_fingerprint_format(ret);
    if (!isatty(STDIN_FILENO)) {
        return err_setf(err, -EINVAL,
                        "'%s' shows the fingerprint %s: compare it with that of the member ('pvecm "
                        "joininfo' there) and give it with --fingerprint",
                        peer->host, text);
    }
    fprintf(stderr,
            "The member's certificate cannot be verified otherwise. Compare its fingerprint with "
            "the one the member shows:\n  %s\nIs it the same (yes/no)? ",
            text);
    if (fgets(answer, sizeof answer, stdin) == NULL || strcmp(g_strchomp(answer), "yes") != 0) {
        return err_setf(err, -EKEYREJECTED, "the fingerprint was not confirmed");
    }
    return 0;
}
