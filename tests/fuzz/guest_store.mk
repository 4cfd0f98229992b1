# SPDX-License-Identifier: Apache-2.0
fuzz_programs += %D%/fuzz_guest_store
%C%_fuzz_guest_store_SOURCES = %D%/fuzz_guest_store.c $(fuzz_main)
%C%_fuzz_guest_store_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_guest_store_LDADD = guest/core/libguest_core.a lib/conf/libconf.a lib/base/libbase.a \
	$(GLIB_LIBS)

fuzz_programs += %D%/fuzz_ovf
%C%_fuzz_ovf_SOURCES = %D%/fuzz_ovf.c $(fuzz_main)
%C%_fuzz_ovf_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ovf_LDADD = guest/core/libguest_core.a lib/conf/libconf.a lib/base/libbase.a \
	$(GLIB_LIBS)
