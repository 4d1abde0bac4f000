# SPDX-License-Identifier: Apache-2.0
BUILDER_SOURCES = $(wildcard builder/*.c) $(filter-out %/main.c,$(wildcard builder/flash/*.c)) $(wildcard builder/upload/*.c) $(wildcard builder/dnf/*.c) $(wildcard builder/vendor/*.c)
BUILDER_LIBS = -lcyaml -lyaml -lexpat -lzstd -lsquashfs -larchive -lcurl -lcryptsetup -lfdisk -luuid -lkmod -lssl -lcrypto -ljansson -lresolv -lselinux -lpthread
# The same flashing as a program of its own, of what has a static library.
FLASH_SOURCES = $(wildcard builder/flash/*.c) builder/fat.c builder/fatdir.c builder/image_report.c builder/progress.c builder/release.c builder/seed.c builder/tempdir.c builder/tool_log.c
FLASH_LIBS = -lexpat -lzstd -ljansson -lssl -lcrypto -lresolv
# Reads disk images of others; the only program that is linked with libguestfs.
GUESTFS_SOURCES = $(wildcard builder/guestfs/*.c) builder/dnf/rpm_database.c
GUESTFS_COMMON_SOURCES = common/buf.c common/err.c common/file.c common/log.c common/opt.c common/run.c
GUESTFS_LIBS = -lguestfs -ljansson
