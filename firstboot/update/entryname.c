// SPDX-License-Identifier: Apache-2.0
// Entry file names to struct and back. Which entry wins is boot_systemd.c's business.
#include "firstboot/update/entryname.h"
#include <string.h>

#define SUFFIX ".conf"
#define MAX_DIGITS 9

static bool take_number(const char **text, unsigned *ret_number) {
    unsigned number = 0, digits = 0;
    for (; **text >= '0' && **text <= '9' && digits < MAX_DIGITS; digits++)
        number = number * 10 + (unsigned)(*(*text)++ - '0');
    *ret_number = number;
    return digits > 0 && (digits == 1 || (*text)[-(int)digits] != '0');
}

bool entryname_parse(const char *name, struct entryname *ret_name) {
    struct entryname parsed = {0};
    if (name[0] != 'a' && name[0] != 'b')
        return false;
    parsed.slot = name[0] == 'a' ? BOOT_SLOT_A : BOOT_SLOT_B;
    const char *at = name + 1;
    if (*at == '+') {
        at++;
        parsed.is_counted = true;
        if (!take_number(&at, &parsed.left))
            return false;
        if (*at == '-' && (at++, !take_number(&at, &parsed.done) || parsed.done == 0))
            return false;
    }
    if (strcmp(at, SUFFIX) != 0)
        return false;
    *ret_name = parsed;
    return true;
}

void entryname_format(const struct entryname *name, char ret_text[ENTRYNAME_BYTES]) {
    const char *slot = boot_slot_name(name->slot);
    if (!name->is_counted)
        snprintf(ret_text, ENTRYNAME_BYTES, "%s" SUFFIX, slot);
    else if (name->done == 0)
        snprintf(ret_text, ENTRYNAME_BYTES, "%s+%u" SUFFIX, slot, name->left);
    else
        snprintf(ret_text, ENTRYNAME_BYTES, "%s+%u-%u" SUFFIX, slot, name->left, name->done);
}
