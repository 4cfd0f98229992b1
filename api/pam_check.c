/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-pam: asks this host's PAM whether a password is right. A program of its own, since the
 * modules that PAM loads are not ours: what goes wrong in them must not reach the daemon.
 *
 * Standard input: user, remote host and password, each ended by a NUL. Exit status: 0 right, 1
 * wrong (or the account may not log in), 2 it could not be found out. Nothing is printed.
 */
#include "lib/port/secrecy.h"

#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE   "quorate"
#define INPUT_MAX 4096

static char input[INPUT_MAX + 1];

/* Answers each question that is not to be echoed with the password, all others not at all. */
static int
converse(int n, const struct pam_message **messages, struct pam_response **ret, void *data)
{
    struct pam_response *answers;

    if (n < 1 || n > PAM_MAX_NUM_MSG) {
        return PAM_CONV_ERR;
    }
    answers = calloc((size_t)n, sizeof *answers);
    if (answers == NULL) {
        return PAM_BUF_ERR;
    }
    for (int i = 0; i < n; i++) {
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF) {
            answers[i].resp = strdup(data);
        } else if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON) {
            free(answers); /* asks for something we do not have */
            return PAM_CONV_ERR;
        }
    }
    *ret = answers;
    return PAM_SUCCESS;
}

static int read_input(void)
{
    size_t n = 0;

    while (n < INPUT_MAX) {
        ssize_t r = read(0, input + n, INPUT_MAX - n);

        if (r < 0) {
            return -1;
        }
        if (r == 0) {
            return (int)n;
        }
        n += (size_t)r;
    }
    return -1; /* longer than anything we send */
}

static int ask(const char *user, const char *host, char *password)
{
    struct pam_conv conv = {converse, password};
    pam_handle_t *pam = NULL;
    int rc = pam_start(SERVICE, user, &conv, &pam);
    int status = 2;

    if (rc == PAM_SUCCESS && *host != '\0') {
        rc = pam_set_item(pam, PAM_RHOST, host);
    }
    if (rc == PAM_SUCCESS) {
        rc = pam_authenticate(pam, PAM_DISALLOW_NULL_AUTHTOK);
        rc = rc == PAM_SUCCESS ? pam_acct_mgmt(pam, 0) : rc;
        status = rc == PAM_SUCCESS ? 0 : 1;
    }
    if (pam != NULL) {
        (void)pam_end(pam, rc); /* the process ends right after */
    }
    return status;
}

int main(void)
{
    const char *user = input, *host;
    char *password;
    int n, status;

    secrecy_hide_memory(); /* the password (INV-8) */
    n = read_input();
    if (n < 3 || input[n - 1] != '\0') {
        return 2;
    }
    host = user + strlen(user) + 1;
    if (host >= input + n) {
        return 2;
    }
    password = input + (host - input) + strlen(host) + 1;
    if (password >= input + n || *user == '\0') {
        return 2;
    }
    status = ask(user, host, password);
    explicit_bzero(input, sizeof input);
    return status;
}
