/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdfds: descriptors 0, 1 and 2 of a process are never anything else than its standard streams.
 * Main thread, as the first thing of a program.
 */
#ifndef LIB_PORT_STDFDS_H
#define LIB_PORT_STDFDS_H

/* Opens /dev/null in the place of each of the three that the caller closed (`>&-` in a shell).
 * Without it the first files that the program opens would get their numbers, and what is printed
 * would be written into them. 0; -1 when it could not: the program must not go on then. errno says
 * why; nobody can be told. */
int stdfds_fill(void) __attribute__((warn_unused_result));

#endif
