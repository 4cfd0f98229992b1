# SPDX-License-Identifier: Apache-2.0
# The REST API's outer shell: an unprivileged worker in front of root daemons.
noinst_LIBRARIES += %D%/libapicore.a
%C%_libapicore_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libapicore_a_SOURCES = %D%/core/api_guard.c %D%/core/api_guard.h
%C%_libapicore_a_SOURCES += %D%/core/api_route.c %D%/core/api_route.h
