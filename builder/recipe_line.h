// SPDX-License-Identifier: Apache-2.0
// Where in a YAML text a member stands, and complaints that say so. A member is named by its path: "files[1].mode".
#pragma once
#include "common/err.h"

// Line of a member, or of the nearest that there is on the way to it; 1 when the text is not even YAML. Of two of one name: of the last.
unsigned recipe_line(const char *text, size_t size, const char *member) must_check nonnull(3);

struct recipe_place { // where a check stands, for its message
    const char *text; // of the whole recipe
    size_t size;
    const char *name; // of the file
    struct err *err;
    char within[64]; // "fetch[1]." when members are those of a list's entry, else empty
};

// The same place for the members of LIST[index].
struct recipe_place recipe_within(const struct recipe_place *place, const char *list, unsigned index) nonnull(1, 2);
// "NAME:LINE: MEMBER: what". Returns -EINVAL.
int recipe_complain(const struct recipe_place *place, const char *member, const char *format, ...) printf_like(3, 4) nonnull(1, 2, 3);
// For what turns out when the text is no longer at hand: reads the file at `path` again for the line, and puts "PATH:LINE: MEMBER: " before the
// present text. Returns `code`.
int recipe_blame(const char *path, const char *member, int code, struct err *err) nonnull(1, 2, 4);
// Prefixes `err`, whose text begins with a member, by "NAME:LINE". Returns -EINVAL.
int recipe_stack_complain(const char *text, size_t size, const char *name, struct err *err) nonnull(3, 4);
