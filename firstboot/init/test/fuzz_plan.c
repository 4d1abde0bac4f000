// SPDX-License-Identifier: Apache-2.0
// Whatever plan_parse() accepts must keep its promises: every number names a module, every text is inside the plan, the limits hold.
#include "firstboot/init/match.h"
#include "firstboot/init/plan.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int is_true) {
    if (!is_true)
        abort();
}

static void check_list(const struct plan *plan, const struct plan_list *list) {
    require(list->first + list->count <= plan->number_count);
    for (uint32_t i = 0; i < list->count; i++)
        require(plan->numbers[list->first + i] < plan->module_count);
}

static void check_text(const struct plan *plan, const char *text, size_t size) {
    require(*text == '\0' || (text >= plan->text && text + strlen(text) <= plan->text + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plan plan;
    struct err err = {0};
    if (plan_parse((const char *)data, size, &plan, &err) < 0) {
        require(strncmp(err.text, "plan", 4) == 0);
        return 0;
    }
    require(plan.timeout_s >= 1 && plan.timeout_s <= PLAN_MAX_TIMEOUT_S);
    require(plan.module_count <= PLAN_MAX_MODULES && plan.alias_count <= PLAN_MAX_ALIASES);
    check_list(&plan, &plan.load);
    for (uint32_t i = 0; i < plan.module_count; i++) {
        check_text(&plan, plan.modules[i].path, size);
        check_text(&plan, plan.modules[i].parameters, size);
        require(*plan.modules[i].path && !strstr(plan.modules[i].path, "/../") && !strchr(plan.modules[i].path, ' '));
    }
    for (uint32_t i = 0; i < plan.alias_count; i++) {
        check_text(&plan, plan.aliases[i].pattern, size);
        check_list(&plan, &plan.aliases[i].modules);
        require(plan.aliases[i].modules.count > 0 && plan.aliases[i].literal <= strlen(plan.aliases[i].pattern));
        bool is_match = match_pattern(plan.aliases[i].pattern, "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00");
        require(!is_match || plan.aliases[i].pattern[0] != 'v');
    }
    plan_done(&plan);
    return 0;
}
