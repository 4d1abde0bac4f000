// SPDX-License-Identifier: Apache-2.0
// Takes addresses apart. Dots in paths are the server's business: it resolves them as it likes.
#include "builder/flash/url.h"
#include "common/buf.h"
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *start, *port;
    bool is_tls;
} schemes[] = {{"http://", "80", false}, {"https://", "443", true}};

static size_t find_scheme(const char *text) {
    size_t i = 0;
    while (i < ARRAY_SIZE(schemes) && strncasecmp(text, schemes[i].start, strlen(schemes[i].start)) != 0)
        i++;
    return i;
}

bool url_is(const char *text) {
    return find_scheme(text) < ARRAY_SIZE(schemes);
}

void url_done(struct url *url) {
    free(url->text);
    free(url->host);
    free(url->port);
    free(url->authority);
    free(url->target);
    *url = (struct url){0};
}

static bool is_printable(const char *text) {
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static bool is_port(const char *text, size_t size) {
    unsigned long port = 0;
    for (size_t i = 0; i < size && i < 6; i++)
        port = isdigit((unsigned char)text[i]) ? port * 10 + (unsigned long)(text[i] - '0') : UINT16_MAX + 1;
    return size > 0 && size < 6 && port > 0 && port <= UINT16_MAX;
}

// "[2001:db8::1]:8443", "images.example.org"; the size of the host in it, 0 when it is none.
static size_t host_size(const char *authority, size_t size) {
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", address[] = "0123456789abcdefABCDEF:.";
    bool is_address = size > 0 && *authority == '[';
    size_t length = is_address ? strspn(authority + 1, address) : strspn(authority, name);
    if (length == 0 || length > 253 || (is_address && authority[1 + length] != ']'))
        return 0;
    return is_address ? length + 2 : length;
}

static int refuse(const char *text, const char *why, struct err *err) {
    return err_set(err, -EINVAL, "'%s' is no address to fetch from: %s", text, why);
}

int url_parse(const char *text, struct url *ret_url, struct err *err) {
    size_t scheme = find_scheme(text);
    if (scheme == ARRAY_SIZE(schemes))
        return refuse(text, "it begins neither with https:// nor with http://", err);
    if (strlen(text) > URL_MAX_BYTES || !is_printable(text))
        return refuse(text, "it is too long, or has blanks or other characters that must be written as %XX", err);
    const char *authority = text + strlen(schemes[scheme].start), *target = authority + strcspn(authority, "/?#");
    size_t size = (size_t)(target - authority), host = host_size(authority, size), target_size = strcspn(target, "#");
    if (memchr(authority, '@', size))
        return refuse(text, "names and passwords in it are not sent", err);
    const char *port = authority + host + 1;
    bool has_port = host < size && authority[host] == ':';
    if (host == 0 || (host < size && (!has_port || !is_port(port, size - host - 1))))
        return refuse(text, "host or port is none", err);
    cleanup_free char *given = has_port ? str_printf("%.*s", (int)(size - host - 1), port) : str_dup(schemes[scheme].port);
    bool is_address = *authority == '[', is_usual = strcmp(given, schemes[scheme].port) == 0;
    *ret_url = (struct url){
        .text = str_dup(text),
        .is_tls = schemes[scheme].is_tls,
        .host = str_printf("%.*s", (int)(is_address ? host - 2 : host), authority + is_address),
        .authority = str_printf("%.*s", (int)(is_usual ? host : size), authority),
        .target = str_printf("%s%.*s", *target == '/' ? "" : "/", (int)target_size, target),
    };
    ret_url->port = take_ptr(given);
    return 0;
}

int url_join(const struct url *base, const char *reference, struct url *ret_url, struct err *err) {
    const char *scheme = schemes[base->is_tls].start;
    size_t path = strcspn(base->target, "?");
    while (path > 0 && base->target[path - 1] != '/')
        path--;
    cleanup_free char *joined = url_is(reference)                  ? str_dup(reference)
                                : strncmp(reference, "//", 2) == 0 ? str_printf("%s%s", scheme, reference + 2)
                                : *reference == '/' || !*reference
                                    ? str_printf("%s%s%s", scheme, base->authority, reference)
                                    : str_printf("%s%s%.*s%s", scheme, base->authority, (int)path, base->target, reference);
    return url_parse(joined, ret_url, err);
}

char *url_beside(const char *text, const char *const *tails, const char *ending) {
    size_t size = url_is(text) ? strcspn(text, "?#") : strlen(text);
    cleanup_free char *path = str_printf("%.*s", (int)size, text), *base = str_without(path, tails);
    return str_printf("%s%s%.*s", base, ending, (int)strcspn(text + size, "#"), text + size);
}
