# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libbase.a
%C%_libbase_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS) $(CRYPTO_CFLAGS)
%C%_libbase_a_SOURCES = \
	%D%/cursor.c %D%/cursor.h \
	%D%/err.c %D%/err.h \
	%D%/hextext.c %D%/hextext.h \
	%D%/jsontext.c %D%/jsontext.h \
	%D%/jsontree.c %D%/jsontree.h \
	%D%/prng.c %D%/prng.h \
	%D%/sha256.c %D%/sha256.h \
	%D%/sizetext.c %D%/sizetext.h \
	%D%/strmap.c %D%/strmap.h \
	%D%/strtab.h \
	%D%/timeval.h \
	%D%/tracer.c %D%/tracer.h
