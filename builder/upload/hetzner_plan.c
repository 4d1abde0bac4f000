// SPDX-License-Identifier: Apache-2.0
// Server types and locations come and go: none is named here.
#include "builder/upload/hetzner_plan.h"
#include "common/buf.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define LABEL_MAX 63
#define GIGABYTE 1000000000u // a disk of 40 "GB" has 40 GiB; what fits into 40 GB fits in any case

const char *hetzner_arch_name(enum hetzner_arch arch) {
    return arch == HETZNER_ARM ? "arm" : "x86";
}

static const char *text_of(const json_t *item, const char *key) {
    return json_string_value(json_object_get(item, key)) ?: "";
}

static const json_t *find_named(const json_t *items, const char *name) {
    const json_t *item;
    size_t index;
    json_array_foreach(items, index, item) if (strcmp(text_of(item, "name"), name) == 0) return item;
    return NULL;
}

// "fsn1, nbg1, hel1"; `arch` NULL = of any.
static void add_names(struct buf *text, const json_t *items, const char *arch) {
    const json_t *item;
    size_t index;
    bool is_first = true;
    json_array_foreach(items, index, item) {
        if (arch && strcmp(text_of(item, "architecture"), arch) != 0)
            continue;
        buf_printf(text, "%s%s", is_first ? "" : ", ", text_of(item, "name"));
        is_first = false;
    }
}

static uint64_t disk_of(const json_t *type) {
    return (uint64_t)json_number_value(json_object_get(type, "disk")) * GIGABYTE;
}

static bool is_withdrawn(const json_t *type) {
    return json_is_true(json_object_get(type, "deprecated")) || json_is_object(json_object_get(type, "deprecation"));
}

static void add_offer(struct hetzner_offers *offers, const struct hetzner_offer *offer) {
    size_t at = offers->count;
    while (at > 0 && offers->items[at - 1].price > offer->price)
        at--;
    if (at == HETZNER_MAX_OFFERS)
        return;
    if (offers->count < HETZNER_MAX_OFFERS)
        offers->count++;
    memmove(&offers->items[at + 1], &offers->items[at], (offers->count - at - 1) * sizeof(*offer));
    offers->items[at] = *offer;
}

// The prices name the locations where a type is offered.
static void add_offers(struct hetzner_offers *offers, const json_t *type, const char *location) {
    const json_t *price;
    size_t index;
    json_array_foreach(json_object_get(type, "prices"), index, price) {
        const struct hetzner_offer offer = {text_of(type, "name"), text_of(price, "location"),
                                            strtod(text_of(json_object_get(price, "price_hourly"), "net"), NULL)};
        if (!location || strcmp(location, offer.location) == 0)
            add_offer(offers, &offer);
    }
}

static int check_type(const json_t *types, const json_t *type, const struct hetzner_wish *wish, struct err *err) {
    cleanup_buf struct buf names = {0};
    add_names(&names, types, hetzner_arch_name(wish->arch));
    if (!type)
        return err_set(err, -EINVAL, "there is no server type %s; there are %s", wish->type, buf_str(&names));
    if (strcmp(text_of(type, "architecture"), hetzner_arch_name(wish->arch)) != 0)
        return err_set(err, -EINVAL, "server type %s is of architecture %s, and the image is for %s; such types are %s", wish->type,
                       text_of(type, "architecture"), hetzner_arch_name(wish->arch), buf_str(&names));
    if (disk_of(type) < wish->image_bytes)
        return err_set(err, -EINVAL, "the disk of server type %s has %llu GB, and the image %.1f", wish->type,
                       (unsigned long long)(disk_of(type) / GIGABYTE), (double)wish->image_bytes / GIGABYTE);
    return 0;
}

int hetzner_choose(const json_t *types, const json_t *locations, const struct hetzner_wish *wish, struct hetzner_offers *ret_offers,
                   struct err *err) {
    cleanup_buf struct buf names = {0};
    struct hetzner_offers offers = {0};
    const json_t *type;
    size_t index;
    add_names(&names, locations, NULL);
    if (wish->location && !find_named(locations, wish->location))
        return err_set(err, -EINVAL, "there is no location %s; there are %s", wish->location, buf_str(&names));
    if (wish->type) {
        type = find_named(types, wish->type);
        int r = check_type(types, type, wish, err);
        if (r < 0)
            return r;
        add_offers(&offers, type, wish->location);
    }
    json_array_foreach(types, index, type) {
        bool fits = strcmp(text_of(type, "architecture"), hetzner_arch_name(wish->arch)) == 0 && disk_of(type) >= wish->image_bytes;
        if (!wish->type && fits && !is_withdrawn(type))
            add_offers(&offers, type, wish->location);
    }
    if (offers.count == 0 && wish->type)
        return err_set(err, -EINVAL, "server type %s is not offered in %s", wish->type, wish->location ? wish->location : "any location");
    if (offers.count == 0)
        return err_set(err, -EINVAL, "no server type of architecture %s%s%s has a disk of %.1f GB", hetzner_arch_name(wish->arch),
                       wish->location ? " in " : "", wish->location ? wish->location : "", (double)wish->image_bytes / GIGABYTE);
    *ret_offers = offers;
    return 0;
}

// More is better; 0 = not to be taken. Names end in their version: debian-12, debian-13.
static int rank(const json_t *image, enum hetzner_arch arch) {
    bool is_usable = strcmp(text_of(image, "architecture"), hetzner_arch_name(arch)) == 0 &&
                     strcmp(text_of(image, "status"), "available") == 0 && !json_is_string(json_object_get(image, "deprecated"));
    return !is_usable ? 0 : strcmp(text_of(image, "os_flavor"), "debian") == 0 ? 2 : 1;
}

int hetzner_choose_base(const json_t *images, enum hetzner_arch arch, int64_t *ret_id, struct err *err) {
    const json_t *image, *best = NULL;
    size_t index;
    json_array_foreach(images, index, image) {
        int rank_here = rank(image, arch), rank_best = best ? rank(best, arch) : 0;
        if (rank_here > rank_best || (rank_here && rank_here == rank_best && strverscmp(text_of(image, "name"), text_of(best, "name")) > 0))
            best = image;
    }
    if (!best)
        return err_set(err, -ENOENT, "Hetzner Cloud has no system image of architecture %s, which a server is made with",
                       hetzner_arch_name(arch));
    *ret_id = json_integer_value(json_object_get(best, "id"));
    return 0;
}

char *hetzner_label(const char *text) {
    char *label = str_printf("%.*s", LABEL_MAX, text);
    size_t size = strlen(label);
    for (char *at = label; *at; at++)
        if (!isascii(*at) || (!isalnum(*at) && !strchr("._-", *at)))
            *at = '-';
    while (size > 0 && !isalnum(label[size - 1]))
        label[--size] = 0;
    size_t skip = 0;
    while (label[skip] && !isalnum(label[skip]))
        skip++;
    memmove(label, label + skip, size - skip + 1);
    return label;
}
