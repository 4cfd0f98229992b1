/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrecy: keeps what a process holds in memory to itself. For programs that handle keys, tokens or
 * passwords (INV-8). Main thread, before the first secret is read.
 */
#ifndef LIB_PORT_SECRECY_H
#define LIB_PORT_SECRECY_H

/* From now on the kernel writes no core file of this process, however core files are collected, and
 * only root may look into it. Programs that it runs are not concerned: they hide themselves. Cannot
 * fail. Builds with a sanitizer only set the size of core files to 0, since their checkers look
 * into the process. */
void secrecy_hide_memory(void);

#endif
