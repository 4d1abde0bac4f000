# SPDX-License-Identifier: Apache-2.0
BUILDER_SOURCES = $(wildcard builder/*.c) $(wildcard builder/flash/*.c) $(wildcard builder/upload/*.c) $(wildcard builder/dnf/*.c)
BUILDER_LIBS = -lcyaml -lyaml -lexpat -lzstd -larchive -lcurl -lcryptsetup -lfdisk -luuid -lkmod -lssl -lcrypto -ljansson -lpthread
