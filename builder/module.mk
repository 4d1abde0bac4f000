# SPDX-License-Identifier: Apache-2.0
BUILDER_SOURCES = $(wildcard builder/*.c)
BUILDER_LIBS = -lcyaml -lyaml -larchive -lcurl -lcryptsetup -lfdisk -luuid -lkmod -lcrypto -ljansson -lpthread
