# SPDX-License-Identifier: Apache-2.0
# Units: NAME.service.in here, and NAME.service in systemd_units.
systemd_units = %D%/pve-cluster.service %D%/qmeventd.service %D%/quorate-guests.service \
	%D%/pve-ha-crm.service %D%/pve-ha-lrm.service %D%/watchdog-mux.service \
	%D%/quorate-api.service %D%/quorate-apid.service \
	%D%/quorate-joind.service %D%/quorate-migrated.service \
	%D%/quorate-recover.service %D%/quorate-statd.service
EXTRA_DIST += $(systemd_units:=.in)
CLEANFILES += $(systemd_units)
systemdsystemunit_DATA = $(systemd_units)

# Additions to the units of others.
corosyncdropindir = $(systemdsystemunitdir)/corosync.service.d
dist_corosyncdropin_DATA = %D%/quorate-corosync.conf

%D%/%.service: %D%/%.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) %D% && sed -e 's|@sbindir[@]|$(sbindir)|g; s|@bindir[@]|$(bindir)|g' \
	    $< >$@.tmp && mv $@.tmp $@
