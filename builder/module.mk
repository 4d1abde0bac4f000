# SPDX-License-Identifier: Apache-2.0
BUILDER_SOURCES = $(wildcard builder/*.c) $(wildcard builder/flash/*.c) $(wildcard builder/upload/*.c) $(wildcard builder/dnf/*.c) $(wildcard builder/vendor/*.c)
BUILDER_LIBS = -lcyaml -lyaml -lexpat -lzstd -larchive -lcurl -lcryptsetup -lfdisk -luuid -lkmod -lssl -lcrypto -ljansson -lpthread
# Reads disk images of others; the only program that is linked with libguestfs.
GUESTFS_SOURCES = $(wildcard builder/guestfs/*.c)
GUESTFS_COMMON_SOURCES = common/buf.c common/err.c common/file.c common/log.c common/opt.c
GUESTFS_LIBS = -lguestfs -ljansson
