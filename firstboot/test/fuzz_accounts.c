// SPDX-License-Identifier: Apache-2.0
// Whatever an image's account files hold: the operator is there once, and a second edit changes nothing.
#include "firstboot/accounts.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_lines(const char *text, const char *start) {
    size_t count = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        count += strncmp(line, start, strlen(start)) == 0;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const edits[])(const char *, const struct account *, struct buf *) = {accounts_passwd, accounts_group, accounts_shadow,
                                                                                        accounts_gshadow};
    static const struct account account = {.name = "ops", .uid = 1000, .gid = 1000};
    cleanup_buf struct buf text = {0};
    buf_add(&text, data, size);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        cleanup_buf struct buf once = {0}, twice = {0};
        edits[i](buf_str(&text), &account, &once);
        edits[i](buf_str(&once), &account, &twice);
        assert(strcmp(buf_str(&once), buf_str(&twice)) == 0);
        assert(count_lines(buf_str(&once), "ops:") == 1);
    }
    return 0;
}
