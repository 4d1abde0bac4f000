// SPDX-License-Identifier: Apache-2.0
// Where webops-http.socket listens. Pure. The image's unit has the default; a file only where the configuration differs saves systemd a reload.
#include "common/schema_types.h"
#include "firstboot/render.h"
#include <netinet/in.h>
#include <string.h>

bool render_listen(const struct render *in, const char *key, struct render_listen *ret_listen) {
    const char *text = render_text(in, key), *colon = strrchr(text, ':');
    struct schema_cidr address;
    int64_t port;
    if (!*text)
        return false;
    bool is_v6 = text[0] == '[';
    struct render_listen listen = {.host = text + is_v6, .host_size = colon ? (size_t)(colon - text) - 2 * is_v6 : 0, .is_v6 = is_v6};
    if (!colon || !schema_parse_number(colon + 1, false, &port) || !schema_parse_cidr(listen.host, listen.host_size, &address)) {
        render_problem(in, key, "is no address and port");
        return false;
    }
    listen.port = (long)port;
    listen.is_loopback = address.family == AF_INET ? address.address[0] == 127 : memcmp(address.address, &in6addr_loopback, 16) == 0;
    *ret_listen = listen;
    return true;
}

void render_http(const struct render *in) {
    const struct schema_key *key = schema_find(in->schema, "HEALTH_LISTEN");
    struct render_listen listen;
    cleanup_buf struct buf file = {0};
    if (strcmp(render_text(in, key->name), key->fallback) == 0)
        return;
    buf_add_str(&file, "# Rendered by webops from config.env.\n");
    if (render_listen(in, key->name, &listen)) {
        buf_printf(&file, "[Socket]\nListenStream=\nListenStream=%s", listen.is_v6 ? "[" : "");
        render_word(in, &file, key->name, listen.host, listen.host_size);
        buf_printf(&file, "%s:%ld\n", listen.is_v6 ? "]" : "", listen.port);
    } else {
        buf_add_str(&file, "[Unit]\n# HEALTH_LISTEN is empty.\nConditionPathExists=!/\n");
    }
    render_file(in, "etc/systemd/system/webops-http.socket.d/90-webops.conf", 0644, &file);
}
