// SPDX-License-Identifier: Apache-2.0
// nft wants one family per set, so a source list becomes two.
#include "firstboot/stack/ports.h"
#include "common/schema_types.h"
#include <netinet/in.h>
#include <string.h>

static const char *const protocols[] = {[STACK_TCP] = "tcp", [STACK_UDP] = "udp"};

// A number or a range stands in the stack, else the value of a key does.
static char *port_text(const struct render *in, const char *port) {
    if (port[strspn(port, "0123456789-")] == 0)
        return str_dup(port);
    const char *text = schema_find(in->schema, port) ? schema_text(in->schema, in->config, port) : NULL;
    return text && *text && text[strspn(text, "0123456789")] == 0 ? str_dup(text) : NULL;
}

static bool set_holds(const char *set, const char *item, size_t size) {
    for (const char *at = set; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == size && memcmp(at, item, size) == 0)
            return true;
    return false;
}

static void add_source(struct buf *set, const char *item, size_t size) {
    if (set_holds(buf_str(set), item, size))
        return;
    buf_add_str(set, set->size ? ", " : "");
    buf_add(set, item, size);
}

// Networks, addresses, or peers "name=address".
static void add_sources(const struct render *in, const char *stack, const char *key, struct buf *set4, struct buf *set6) {
    const char *item, *text = schema_find(in->schema, key) ? schema_text(in->schema, in->config, key) : NULL;
    const struct config_entry *entry = config_find(in->config, key);
    size_t size;
    for (const char *cursor = text ? text : ""; (item = schema_next_word(&cursor, &size));) {
        struct schema_cidr cidr;
        const char *equals = memchr(item, '=', size);
        if (equals) {
            size -= (size_t)(equals + 1 - item);
            item = equals + 1;
        }
        if (schema_parse_cidr(item, size, &cidr))
            add_source(cidr.family == AF_INET ? set4 : set6, item, size);
        else
            config_problem_add(&in->plan->stack_problems, entry ? entry->line : 0,
                               "%s: a host name opens no port of %s: the firewall takes addresses only", key, stack);
    }
}

static void plan_port(const struct render *in, const struct stack *stack, const struct stack_port *port) {
    cleanup_buf struct buf set4 = {0}, set6 = {0};
    bool is_any = strcmp(port->from, "any") == 0;
    if (strcmp(port->from, "local") == 0 || !stack_holds(in->facts->stacks->set, port->when, in->config))
        return;
    if (!is_any)
        add_sources(in, stack->name, port->from, &set4, &set6);
    cleanup_free char *text = port_text(in, port->port);
    if (!text || (!is_any && !set4.size && !set6.size))
        return;
    struct plan *plan = in->plan;
    plan->ports = mem_resize(plan->ports, plan->port_count + 1, sizeof(*plan->ports));
    plan->ports[plan->port_count++] = (struct plan_port){
        .stack = stack->name,
        .port = take_ptr(text),
        .protocol = protocols[port->protocol],
        .is_any = is_any,
        .from4 = buf_take(&set4),
        .from6 = buf_take(&set6),
    };
}

void stack_ports_plan(const struct render *in) {
    for (size_t i = 0; i < in->plan->stack_count; i++) {
        const struct plan_stack *planned = &in->plan->stacks[i];
        for (size_t k = 0; plan_stack_is_active(planned) && k < planned->stack->port_count; k++)
            plan_port(in, planned->stack, &planned->stack->ports[k]);
    }
}

void stack_ports_nft(const struct plan *plan, struct buf *text) {
    for (size_t i = 0; i < plan->port_count; i++) {
        const struct plan_port *port = &plan->ports[i];
        if (port->is_any)
            buf_printf(text, "\t\t%s dport %s accept comment \"%s\"\n", port->protocol, port->port, port->stack);
        if (*port->from4)
            buf_printf(text, "\t\tip saddr { %s } %s dport %s accept comment \"%s\"\n", port->from4, port->protocol, port->port,
                       port->stack);
        if (*port->from6)
            buf_printf(text, "\t\tip6 saddr { %s } %s dport %s accept comment \"%s\"\n", port->from6, port->protocol, port->port,
                       port->stack);
    }
}

void stack_ports_format(const struct plan *plan, struct buf *text) {
    for (size_t i = 0; i < plan->port_count; i++) {
        const struct plan_port *port = &plan->ports[i];
        buf_printf(text, "%s: port %s/%s open from %s%s%s\n", port->stack, port->port, port->protocol,
                   port->is_any ? "everywhere" : port->from4, *port->from4 && *port->from6 ? ", " : "", port->from6);
    }
}
