// SPDX-License-Identifier: Apache-2.0
// Networks by table. What is looked at is the resolved address, so a name that leads there is caught, too.
#include "firstboot/fetch/address.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

struct network {
    uint8_t bytes[16];
    unsigned bits;
};
#define V4(a, b, c, d, length)                                                                                                             \
    { {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (a), (b), (c), (d)}, 96 + (length) }

static const struct network loopback[] = {
    V4(127, 0, 0, 0, 8),
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128},
};
static const struct network special[] = {
    V4(169, 254, 0, 0, 16), // link-local: metadata of most clouds
    V4(0, 0, 0, 0, 8), // "this host"
    V4(224, 0, 0, 0, 3), // multicast and reserved
    V4(100, 100, 100, 200, 32), // metadata: Alibaba
    V4(168, 63, 129, 16, 32), // metadata: Azure
    V4(192, 0, 0, 192, 32), // metadata: Oracle
    {{0xfe, 0x80}, 10}, // link-local
    {{0xff}, 8}, // multicast
    {{0}, 128}, // unspecified
    {{0xfd, 0x00, 0x0e, 0xc2}, 32}, // metadata: Amazon
};

static bool is_in(const uint8_t bytes[16], const struct network *network) {
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(bytes, network->bytes, whole) != 0)
        return false;
    return !rest || ((bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

// IPv4 as ::ffff:a.b.c.d. False for other families.
static bool to_bytes(const struct sockaddr *address, uint8_t ret_bytes[16]) {
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        memcpy(ret_bytes, &v6.sin6_addr, 16);
        return true;
    }
    if (address->sa_family != AF_INET)
        return false;
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    memset(ret_bytes, 0, 10);
    memset(ret_bytes + 10, 0xff, 2);
    memcpy(ret_bytes + 12, &v4.sin_addr, 4);
    return true;
}

static bool is_in_any(const struct sockaddr *address, const struct network *networks, size_t count, bool otherwise) {
    uint8_t bytes[16];
    if (!to_bytes(address, bytes))
        return otherwise;
    for (size_t i = 0; i < count; i++)
        if (is_in(bytes, &networks[i]))
            return true;
    return false;
}

bool address_is_loopback(const struct sockaddr *address) {
    return is_in_any(address, loopback, ARRAY_SIZE(loopback), false);
}

bool address_is_special(const struct sockaddr *address) {
    return is_in_any(address, special, ARRAY_SIZE(special), true);
}

int address_shown(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return memchr(host, '@', strcspn(host, "/")) ? (int)(host - url) : (int)strcspn(url, "?#");
}

static bool has_part(CURLU *parsed, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static int check_parts(CURLU *parsed, const char *url, bool must_be_https, bool *ret_is_https, struct err *err) {
    char *scheme = NULL;
    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        return err_set(err, -EIO, "a redirect leads to an address that is none");
    bool is_https = strcmp(scheme, "https") == 0, is_http = strcmp(scheme, "http") == 0;
    curl_free(scheme);
    if (!is_https && !is_http)
        return err_set(err, -EIO, "a redirect leads away from http and https");
    if (!is_https && must_be_https)
        return err_set(err, -EIO, "a redirect leads from https to http");
    if (has_part(parsed, CURLUPART_USER) || has_part(parsed, CURLUPART_PASSWORD))
        return err_set(err, -EIO, "a redirect brings a user name or a password");
    *ret_is_https = is_https;
    return 0;
}

int address_check_redirect(const char *url, bool must_be_https, bool *ret_is_https, struct err *err) {
    CURLU *parsed = curl_url();
    int r = parsed ? check_parts(parsed, url, must_be_https, ret_is_https, err) : err_set(err, -ENOMEM, "out of memory");
    curl_url_cleanup(parsed);
    return r;
}
