// SPDX-License-Identifier: Apache-2.0
// Runs a libFuzzer entry as a plain test: every file of its corpus, then a fixed number of seeded mutations of them. TAP on stdout.
// The corpus of <room>/test/fuzz_x.c is <room>/test/corpus/x/; the path is derived from argv[0] (build/<room>/test/fuzz_x).
#include "common/buf.h"
#include "common/file.h"
#include <fcntl.h>
#include <string.h>

#define MUTATIONS_PER_FILE 2000
#define MAX_FILE_BYTES (2 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t next_random(uint32_t *state) { // xorshift32: the same mutations on every machine
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void mutate(const char *data, size_t size, uint32_t *seed) {
    cleanup_buf struct buf copy = {0};
    buf_add(&copy, data, size);
    unsigned edits = 1 + next_random(seed) % 4;
    for (unsigned i = 0; i < edits && copy.size; i++) {
        size_t at = next_random(seed) % copy.size;
        switch (next_random(seed) % 4) {
        case 0:
            copy.data[at] ^= (char)(1u << next_random(seed) % 8);
            break;
        case 1:
            copy.data[at] = (char)next_random(seed);
            break;
        case 2:
            copy.size = at;
            break;
        default:
            buf_add(&copy, copy.data + at, 0);
            memmove(copy.data + at, copy.data + at + 1, copy.size - at - 1);
            copy.size--;
        }
    }
    // An exact-size heap copy, so that ASan sees a read past the end.
    cleanup_free uint8_t *exact = mem_array(copy.size, 1);
    if (copy.size)
        memcpy(exact, copy.data, copy.size);
    LLVMFuzzerTestOneInput(exact, copy.size);
}

static char *corpus_path(const char *program) {
    const char *room = strstr(program, "build/") ? strstr(program, "build/") + strlen("build/") : program;
    const char *base = strrchr(room, '/');
    if (!base || strncmp(base, "/fuzz_", 6) != 0)
        return NULL;
    return str_printf("%.*s/corpus/%s", (int)(base - room), room, base + 6);
}

int main(int argc, char **argv) {
    (void)argc;
    cleanup_free char *path = corpus_path(argv[0]);
    cleanup_dir DIR *dir = path ? opendir(path) : NULL;
    unsigned files = 0, runs = 0;
    uint32_t seed = 2463534242u;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        struct err err = {0};
        cleanup_free char *data = NULL;
        size_t size = 0;
        if (file_read(dirfd(dir), entry->d_name, MAX_FILE_BYTES, &data, &size, &err) < 0) {
            printf("1..1\nnot ok 1 - %s\n", err.text);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        for (int i = 0; i < MUTATIONS_PER_FILE; i++)
            mutate(data, size, &seed);
        files++;
        runs += 1 + MUTATIONS_PER_FILE;
    }
    printf("1..1\n%s 1 - %u inputs from %u corpus files in %s\n", files ? "ok" : "not ok", runs, files, path ? path : "?");
    return files ? 0 : 1;
}
