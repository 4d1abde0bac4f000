// SPDX-License-Identifier: Apache-2.0
// Fuzz entry: any bytes as a request. What is understood is one of two paths, asked for in one of two ways, and ends where it says.
#include "firstboot/http/request.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    struct request request = request_parse(text, size);
    if (request.status != 200 && request.status != 400 && request.status != 404 && request.status != 405)
        abort();
    if (request.status != 200)
        return 0;
    const char *method = request.is_head ? "HEAD " : "GET ", *path = request.target == REQUEST_HEALTH ? "/health" : "/metrics";
    if (!request_is_complete(text, size) || strncmp(text, method, strlen(method)) != 0 ||
        strncmp(text + strlen(method), path, strlen(path)) != 0 ||
        memchr(text, 0, (size_t)((const char *)memmem(text, size, "\r\n\r\n", 4) - text)))
        abort();
    return 0;
}
