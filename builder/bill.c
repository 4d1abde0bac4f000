// SPDX-License-Identifier: Apache-2.0
// Package lists of layers → list and SPDX document. Sources: SPDX specification 2.3; purl-spec.
#include "builder/bill.h"
#include "common/file.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#define INFO_MAX_BYTES (16 << 20)
#define MAX_PACKAGES 20000

static void json_done(json_t **json) {
    json_decref(*json);
}

void bill_done(struct bill *bill) {
    for (unsigned i = 0; i < bill->count; i++) {
        free(bill->packages[i].name);
        free(bill->packages[i].version);
        free(bill->packages[i].architecture);
        free(bill->packages[i].source);
    }
    free(bill->packages);
    bill->packages = NULL;
    bill->count = 0;
}

static int add_package(struct bill *bill, unsigned layer, json_t *item, struct err *err) {
    const char *name = NULL, *version = NULL, *architecture = NULL, *source = NULL;
    json_error_t error;
    if (json_unpack_ex(item, &error, 0, "{s:s, s:s, s:s, s?s}", "name", &name, "version", &version, "architecture", &architecture, "source",
                       &source) < 0)
        return err_set(err, -EINVAL, "package list: %s", error.text);
    if (bill->count >= MAX_PACKAGES)
        return err_set(err, -E2BIG, "package list: more than %d packages", MAX_PACKAGES);
    bill->packages = mem_resize(bill->packages, bill->count + 1, sizeof(*bill->packages));
    bill->packages[bill->count++] =
        (struct bill_package){str_dup(name), str_dup(version), str_dup(architecture), str_dup(source ? source : name), layer};
    return 0;
}

static int load_layer(struct bill *bill, unsigned layer, struct err *err) {
    const char *path = bill->layers[layer].info_path;
    cleanup_free char *text = NULL;
    size_t size = 0, index;
    json_error_t error;
    json_t *item;
    int r = file_read(AT_FDCWD, path, INFO_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    cleanup(json_done) json_t *info = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!info)
        return err_set(err, -EINVAL, "%s:%d: %s", path, error.line, error.text);
    json_t *packages = json_object_get(info, "packages");
    if (!json_is_array(packages))
        return err_set(err, -EINVAL, "%s: no list of packages", path);
    json_array_foreach(packages, index, item) {
        r = add_package(bill, layer, item, err);
        if (r < 0)
            return err_prefix(err, r, "%s", path);
    }
    return 0;
}

static int compare_packages(const void *a, const void *b) {
    const struct bill_package *left = a, *right = b;
    if (left->layer != right->layer)
        return left->layer < right->layer ? -1 : 1;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->architecture, right->architecture);
}

int bill_load(struct bill *bill, struct err *err) {
    for (unsigned i = 0; i < bill->layer_count; i++) {
        int r = load_layer(bill, i, err);
        if (r < 0) {
            bill_done(bill);
            return r;
        }
    }
    if (bill->count)
        qsort(bill->packages, bill->count, sizeof(*bill->packages), compare_packages);
    return 0;
}

void bill_format_list(const struct bill *bill, struct buf *text) {
    for (unsigned i = 0; i < bill->count; i++) {
        const struct bill_package *p = &bill->packages[i];
        buf_printf(text, "%s\t%s\t%s\t%s\n", bill->layers[p->layer].name, p->name, p->version, p->architecture);
    }
}

// Percent-encodes what a package URL does not take as it is.
static void add_encoded(struct buf *buf, const char *text) {
    for (; *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~:", *text))
            buf_add(buf, text, 1);
        else
            buf_printf(buf, "%%%02X", (unsigned char)*text);
    }
}

static char *package_url(const struct bill *bill, const struct bill_package *package) {
    cleanup_buf struct buf url = {0};
    const char *colon = bill->is_rpm ? strchr(package->version, ':') : NULL; // an epoch is a qualifier there
    buf_add_str(&url, bill->is_rpm ? "pkg:rpm/" : "pkg:deb/");
    add_encoded(&url, bill->distribution);
    buf_add_str(&url, "/");
    add_encoded(&url, package->name);
    buf_add_str(&url, "@");
    add_encoded(&url, colon ? colon + 1 : package->version);
    buf_add_str(&url, "?arch=");
    add_encoded(&url, package->architecture);
    if (colon)
        buf_printf(&url, "&epoch=%.*s", (int)(colon - package->version), package->version);
    return buf_take(&url);
}

static json_t *element(const char *id, const char *name, const char *version) {
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s}", "SPDXID", id, "name", name, "versionInfo", version, "downloadLocation",
                     "NOASSERTION", "filesAnalyzed", 0, "licenseConcluded", "NOASSERTION", "licenseDeclared", "NOASSERTION",
                     "copyrightText", "NOASSERTION");
}

static json_t *relationship(const char *from, const char *type, const char *to) {
    return json_pack("{s:s, s:s, s:s}", "spdxElementId", from, "relationshipType", type, "relatedSpdxElement", to);
}

static void add_packages(const struct bill *bill, json_t *packages, json_t *relationships) {
    for (unsigned i = 0; i < bill->count; i++) {
        const struct bill_package *p = &bill->packages[i];
        cleanup_free char *id = str_printf("SPDXRef-Package-%u", i);
        cleanup_free char *layer = str_printf("SPDXRef-Layer-%u", p->layer);
        cleanup_free char *source = str_printf("built from source package %s", p->source);
        cleanup_free char *url = package_url(bill, p);
        json_t *package = element(id, p->name, p->version);
        json_object_set_new(package, "sourceInfo", json_string(source));
        json_object_set_new(
            package, "externalRefs",
            json_pack("[{s:s, s:s, s:s}]", "referenceCategory", "PACKAGE-MANAGER", "referenceType", "purl", "referenceLocator", url));
        json_array_append_new(packages, package);
        json_array_append_new(relationships, relationship(layer, "CONTAINS", id));
    }
}

static void add_layers(const struct bill *bill, json_t *packages, json_t *relationships) {
    for (unsigned i = 0; i < bill->layer_count; i++) {
        cleanup_free char *id = str_printf("SPDXRef-Layer-%u", i);
        json_array_append_new(packages, element(id, bill->layers[i].name, bill->layers[i].version));
        json_array_append_new(relationships, relationship("SPDXRef-Image", "CONTAINS", id));
    }
}

int bill_format_spdx(const struct bill *bill, struct buf *text, struct err *err) {
    char uuid[IDENTITY_UUID_BYTES], created[32];
    time_t epoch = (time_t)bill->source_date_epoch;
    struct tm utc;
    if (!gmtime_r(&epoch, &utc) || !strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &utc))
        return err_set(err, -EINVAL, "source date %llu is no date", (unsigned long long)bill->source_date_epoch);
    identity_uuid(&bill->identity, "sbom", uuid);
    for (char *c = uuid; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    cleanup_free char *name = str_printf("%s-%s", bill->identity.profile, bill->identity.version);
    cleanup_free char *space = str_printf("urn:uuid:%s", uuid);
    json_t *packages = json_array(), *relationships = json_array();
    json_array_append_new(packages, element("SPDXRef-Image", bill->identity.profile, bill->identity.version));
    json_array_append_new(relationships, relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"));
    add_layers(bill, packages, relationships);
    add_packages(bill, packages, relationships);
    cleanup(json_done) json_t *document =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:[s]}, s:o, s:o}", "spdxVersion", "SPDX-2.3", "dataLicense", "CC0-1.0", "SPDXID",
                  "SPDXRef-DOCUMENT", "name", name, "documentNamespace", space, "creationInfo", "created", created, "creators",
                  "Tool: webops-image-" WEBOPS_VERSION, "packages", packages, "relationships", relationships);
    cleanup_free char *json = document ? json_dumps(document, JSON_INDENT(1)) : NULL;
    if (!json)
        return err_set(err, -EINVAL, "SBOM: a package name or version is not UTF-8");
    buf_add_str(text, json);
    buf_add_str(text, "\n");
    return 0;
}
