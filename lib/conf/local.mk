# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += %D%/libconf.a
%C%_libconf_a_CFLAGS = $(AM_CFLAGS) $(QR_STRICT_CFLAGS)
%C%_libconf_a_SOURCES =

# corosync.conf
%C%_libconf_a_SOURCES += \
	%D%/corosync_check.c %D%/corosync_check.h \
	%D%/corosync_conf.c %D%/corosync_conf.h \
	%D%/corosync_nodes.c %D%/corosync_nodes.h

# guest configuration: property strings, VMID.conf
%C%_libconf_a_SOURCES += %D%/propstring.c %D%/propstring.h %D%/vmconf.c %D%/vmconf.h

# section files read by the guest room: storages, mappings, CPU models
%C%_libconf_a_SOURCES += \
	%D%/mappingcfg.c %D%/mappingcfg.h \
	%D%/sectionlines.c %D%/sectionlines.h \
	%D%/storagecfg.c %D%/storagecfg.h \
	%D%/storagecfg_edit.c %D%/storagecfg_edit.h

# section files: resources, groups and rules of HA
%C%_libconf_a_SOURCES += %D%/sectionconf.c %D%/sectionconf.h

# users and their rights
%C%_libconf_a_SOURCES += %D%/usercfg.c %D%/usercfg.h

# the quorum device of corosync.conf
%C%_libconf_a_SOURCES += %D%/corosync_device.c %D%/corosync_device.h
