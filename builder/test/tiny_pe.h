// SPDX-License-Identifier: Apache-2.0
// A PE32+ EFI application of two small sections, as little as the reader accepts; the fuzzer's corpus was made from it.
#pragma once
#include <stdint.h>
#include <string.h>

#define TINY_PE_BYTES 2048
#define TINY_PE_COFF 0x44
#define TINY_PE_OPTIONAL (TINY_PE_COFF + 20)
#define TINY_PE_SECTIONS (TINY_PE_OPTIONAL + 240)

static inline void tiny_put(uint8_t *p, uint32_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline void tiny_section(uint8_t *pe, unsigned index, const char *name, uint32_t vma, uint32_t size, uint32_t offset) {
    uint8_t *section = pe + TINY_PE_SECTIONS + index * 40;
    memcpy(section, name, strlen(name));
    tiny_put(section + 8, size, 4);
    tiny_put(section + 12, vma, 4);
    tiny_put(section + 16, 512, 4);
    tiny_put(section + 20, offset, 4);
    tiny_put(section + 36, 0x40000040, 4);
}

static inline void tiny_pe(uint8_t pe[TINY_PE_BYTES]) {
    memset(pe, 0, TINY_PE_BYTES);
    memcpy(pe, "MZ", 2);
    tiny_put(pe + 0x3c, 0x40, 4);
    memcpy(pe + 0x40, "PE\0\0", 4);
    tiny_put(pe + TINY_PE_COFF, 0x8664, 2);
    tiny_put(pe + TINY_PE_COFF + 2, 2, 2); // sections
    tiny_put(pe + TINY_PE_COFF + 4, 0x5eadbeef, 4); // time stamp
    tiny_put(pe + TINY_PE_COFF + 16, 240, 2);
    tiny_put(pe + TINY_PE_OPTIONAL, 0x20b, 2);
    tiny_put(pe + TINY_PE_OPTIONAL + 32, 4096, 4); // section alignment
    tiny_put(pe + TINY_PE_OPTIONAL + 36, 512, 4); // file alignment
    tiny_put(pe + TINY_PE_OPTIONAL + 56, 0x3000, 4); // size of image
    tiny_put(pe + TINY_PE_OPTIONAL + 60, 1024, 4); // size of headers
    tiny_put(pe + TINY_PE_OPTIONAL + 64, 0xabcd, 4); // checksum
    tiny_put(pe + TINY_PE_OPTIONAL + 68, 10, 2); // EFI application
    tiny_put(pe + TINY_PE_OPTIONAL + 108, 16, 4);
    tiny_section(pe, 0, ".text", 0x1000, 16, 1024);
    tiny_section(pe, 1, ".cmdline", 0x2000, 14, 1536);
    memcpy(pe + 1536, "console=ttyS0\n", 14);
}
