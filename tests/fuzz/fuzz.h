/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz: what every fuzz target offers. With --enable-fuzz it is linked with libFuzzer; otherwise
 * with replay.c, which runs the corpus and simple mutations of it in `make check`.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Must not crash, leak, or hang, whatever the bytes. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
