# SPDX-License-Identifier: Apache-2.0
# The tools around the code, the checks of the tree, and the targets a developer types.
# Whole folders: what a test or a person needs is there without a line for each file.
EXTRA_DIST += %D% docs .ci tests/integration tests/lib/tsan.supp tests/lib/lsan.supp

dist-hook:
	find $(distdir) \( -name __pycache__ -o -name .deps -o -name '*.o' \) -prune -exec rm -rf {} +

noinst_HEADERS += tests/lib/tsan_glib.h

HOUSE_TESTS += tests/house/test_house tests/house/test_commands
TESTS += $(HOUSE_TESTS)
EXTRA_DIST += $(HOUSE_TESTS)

.PHONY: check-code check-threaded format fuzz-smoke print-tests print-threaded tidy

# What a sanitizer build runs: every test but those of the source tree.
check-code:
	LSAN_OPTIONS="suppressions=$(abs_top_srcdir)/tests/lib/lsan.supp" \
	    $(MAKE) check TESTS='$(filter-out $(HOUSE_TESTS),$(TESTS))'

check-threaded:
	$(MAKE) $(BUILT_SOURCES) $(THREADED_TESTS)
	TSAN_OPTIONS="suppressions=$(abs_top_srcdir)/tests/lib/tsan.supp halt_on_error=1 $$TSAN_OPTIONS" \
	    $(MAKE) check-TESTS check_PROGRAMS= TESTS='$(THREADED_TESTS)'

# For scripts that choose among the tests.
print-tests:
	@echo '$(TESTS)'
print-threaded:
	@echo '$(THREADED_TESTS)'

# Each target for some seconds or runs, starting from its corpus. Seed 0 is a new one each time, and
# goes on from what was found before. With any other the inputs are the same each time, however the
# folders are sorted and however fast the machine is: that one only tells how many they are.
FUZZ_SECONDS = 10
FUZZ_RUNS = -1
FUZZ_SEED = 0
if ENABLE_FUZZ
fuzz-smoke: $(fuzz_programs)
	@set -e; for program in $(fuzz_programs); do \
	    name=$${program##*/fuzz_}; echo "fuzz $$name"; \
	    found=fuzz-found/$$name; \
	    [ $(FUZZ_SEED) = 0 ] || found=fuzz-found/seed-$(FUZZ_SEED)/$$name; \
	    [ $(FUZZ_SEED) = 0 ] || rm -rf $$found; \
	    mkdir -p $$found; \
	    corpus=$$(ls -d $(top_srcdir)/tests/fuzz/corpus/$$name/* | LC_ALL=C sort | paste -s -d,); \
	    ./$$program -max_total_time=$(FUZZ_SECONDS) -runs=$(FUZZ_RUNS) -seed=$(FUZZ_SEED) \
	        -reload=0 -shuffle=0 -timeout=60 -verbosity=0 -print_final_stats=1 \
	        -artifact_prefix=fuzz-found/$$name- -seed_inputs=$$corpus $$found; \
	done
else
fuzz-smoke:
	@echo 'fuzz-smoke: configure with --enable-fuzz CC=clang'; exit 1
endif

tidy:
	$(top_srcdir)/scripts/tidy
	$(top_srcdir)/scripts/check-layers --build $(abs_top_builddir)
	$(top_srcdir)/scripts/check-headers --build $(abs_top_builddir)

# Rewrites the C sources in place.
format:
	cd $(top_srcdir) && find api lib pmxcfs quorum guest migration ha-manager cli tests \
	    -name '*.[ch]' 2>/dev/null | xargs clang-format -i
