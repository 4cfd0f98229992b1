# SPDX-License-Identifier: Apache-2.0
# ha-manager
sbin_PROGRAMS += %D%/ha-manager
%C%_ha_manager_SOURCES = %D%/ha_manager_cli.c %D%/hamgr_verbs.h %D%/hamgr_table.c \
	%D%/hamgr_commands.c %D%/hamgr_common.c %D%/hamgr_explain.c %D%/hamgr_resources.c \
	%D%/hamgr_rules.c %D%/hamgr_status.c
%C%_ha_manager_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
%C%_ha_manager_LDADD = %D%/libcmdline.a $(HA_IO_LIBS)
dist_man_MANS += %D%/ha-manager.8
dist_bashcompletion_DATA += %D%/completion/ha-manager
