# SPDX-License-Identifier: Apache-2.0
# Volumes and what changes configurations.
%C%_core_libguest_core_a_SOURCES += %D%/core/imagehead.c %D%/core/imagehead.h
%C%_core_libguest_core_a_SOURCES += %D%/core/qcowmap.c %D%/core/qcowmap.h
%C%_core_libguest_core_a_SOURCES += %D%/core/statestream.c %D%/core/statestream.h
%C%_core_libguest_core_a_SOURCES += %D%/core/volname.c %D%/core/volname.h
%C%_io_libguest_io_a_SOURCES += %D%/io/qemuimg.c %D%/io/qemuimg.h
%C%_io_libguest_io_a_SOURCES += %D%/io/storage_set.c %D%/io/storage_set.h
%C%_io_libguest_io_a_SOURCES += %D%/io/storage_kind.c %D%/io/storage_kind.h %D%/io/kind_dir.c
%C%_io_libguest_io_a_SOURCES += %D%/io/volume.c %D%/io/volume.h
%C%_io_libguest_io_a_SOURCES += %D%/io/nbd_disk.c %D%/io/nbd_disk.h
%C%_io_libguest_io_a_SOURCES += %D%/io/stream_io.c %D%/io/stream_io.h
%C%_io_libguest_io_a_SOURCES += %D%/io/volume_states.c %D%/io/volume_states.h
%C%_io_libguest_io_a_SOURCES += %D%/io/volume_stream.c %D%/io/volume_stream.h
%C%_core_libguest_core_a_SOURCES += %D%/core/guest_fresh.c %D%/core/guest_fresh.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_store.c %D%/io/guest_store.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_disks.c %D%/io/guest_disks.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_make.c %D%/io/guest_make.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_destroy.c %D%/io/guest_destroy.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_clone.c %D%/io/guest_clone.h
%C%_io_libguest_io_a_SOURCES += %D%/io/disk_work.c %D%/io/disk_work.h
%C%_core_libguest_core_a_SOURCES += %D%/core/cloudinit.c %D%/core/cloudinit.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_cloudinit.c %D%/io/guest_cloudinit.h
dist_man_MANS += %D%/storage.cfg.5
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_hot.c %D%/io/guest_hot.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_plug.c %D%/io/guest_plug.h
%C%_io_libguest_io_a_SOURCES += %D%/io/guest_mirror.c %D%/io/guest_mirror.h
