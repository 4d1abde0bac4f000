// SPDX-License-Identifier: Apache-2.0
// Whatever webops-guestfs prints: what parses can be judged, and patterns made of it stay one a line.
#include "builder/vendor/report.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_vendor_report struct vendor_report report = {0};
    struct recipe_image image = {.id = (char *)"i", .architecture = (char *)"amd64", .manager = (char *)"apt"};
    struct err err = {0};
    if (vendor_report_parse(size ? (const char *)data : "", size, &report, &err) < 0 || vendor_report_check(&report, &image, "d", &err) < 0)
        return 0;
    const struct vendor_system *system = &report.systems[0];
    const char *kernel = vendor_kernel_find(system);
    cleanup_buf struct buf text = {0};
    vendor_exclude_format(&image, system, kernel, &text);
    for (const char *line = buf_str(&text); *line; line += strcspn(line, "\n") + 1)
        assert(*line == '/');
    return 0;
}
