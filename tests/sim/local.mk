# SPDX-License-Identifier: Apache-2.0
# The cluster in one process: `make sim SEED=n`, `make sim SIM_ARGS='--seeds 1-1000 --native'`.
check_PROGRAMS += %D%/sim
%C%_sim_SOURCES = \
	%D%/sim.c %D%/sim.h %D%/sim_check.c %D%/sim_client.c %D%/sim_disk.c %D%/sim_fault.c \
	%D%/sim_main.c %D%/sim_node.c %D%/sim_ring.c
%C%_sim_LDADD = pmxcfs/core/libpmxcfs_core.a lib/wire/libwire.a lib/base/libbase.a \
	$(CRYPTO_LIBS) $(GLIB_LIBS)
EXTRA_DIST += %D%/test_sim
TESTS += %D%/test_sim

.PHONY: sim
sim: %D%/sim
	./%D%/sim $(if $(SEED),--seed $(SEED) --verbose) $(SIM_ARGS)

# Both sides of a migration in one process: every fault in every phase.
check_PROGRAMS += %D%/migsim
%C%_migsim_SOURCES = %D%/migsim.c %D%/migsim.h %D%/migsim_fault.c %D%/migsim_ops.c \
	%D%/migsim_run.c %D%/migsim_world.c
%C%_migsim_LDADD = migration/libmigcore.a lib/wire/libwire.a lib/conf/libconf.a \
	lib/base/libbase.a $(GLIB_LIBS)
EXTRA_DIST += %D%/test_migsim
TESTS += %D%/test_migsim
