// SPDX-License-Identifier: Apache-2.0
// Looking, making, removing. A look sees what a request did whose answer was lost.
#include "builder/upload/hetzner_things.h"
#include "builder/upload/hetzner_plan.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#define STATE_TIMEOUT_MS (5 * 60 * 1000)
#define IMAGE_TIMEOUT_MS (30 * 60 * 1000)
#define POLL_MS 1000
#define HOST_DIGITS 12
#define RUN_BYTES 8
#define MACHINE_ID_PATH "/etc/machine-id"
#define MACHINE_ID_DIGITS 32

static int64_t id_of(const json_t *item) {
    return json_integer_value(json_object_get(item, "id"));
}

static const char *text_of(const json_t *item, const char *key) {
    return json_string_value(json_object_get(item, key)) ?: "";
}

static char *random_id(void) {
    uint8_t random[RUN_BYTES];
    char hex[2 * RUN_BYTES + 1];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort();
    hex_format(random, sizeof(random), hex);
    return str_dup(hex);
}

// What machine-id(5) allows, and not the "" or "uninitialized" that images and containers have instead.
static bool is_machine_id(const char *text) {
    size_t digits = strspn(text, "0123456789abcdef");
    return digits == MACHINE_ID_DIGITS && strspn(text, "0") < digits && (!text[digits] || strcmp(text + digits, "\n") == 0);
}

char *hetzner_host_id(const char *machine_id_path) {
    char host[256] = "", hex[2 * DIGEST_BYTES + 1];
    uint8_t hash[DIGEST_BYTES];
    struct err ignored;
    cleanup_free char *machine = NULL, *text = NULL;
    if (file_read(AT_FDCWD, machine_id_path, 4096, &machine, NULL, &ignored) < 0 || !is_machine_id(machine))
        return NULL;
    gethostname(host, sizeof(host) - 1);
    text = str_printf("%s %s %u", host, machine, getuid());
    digest_bytes(text, strlen(text), hash);
    hex_format(hash, sizeof(hash), hex);
    return str_printf("%.*s", HOST_DIGITS, hex);
}

void hetzner_things_init(struct hetzner_things *things, const struct hetzner *hetzner, const char *sha256, const char *profile,
                         const char *version, const char *title) {
    char *host_id = hetzner_host_id(MACHINE_ID_PATH);
    *things = (struct hetzner_things){
        .hetzner = hetzner,
        .name = str_printf("webops-upload-%.*s", HETZNER_NAME_DIGITS, sha256),
        .image_id = str_printf("%.*s", HETZNER_ID_DIGITS, sha256),
        .is_nameless = !host_id,
        .host_id = host_id ? host_id : random_id(), // one that matches nobody's, so that nothing of others passes for ours
        .run_id = random_id(),
        .profile = profile ? hetzner_label(profile) : NULL,
        .version = version ? hetzner_label(version) : NULL,
        .description = str_printf("webops %s sha256:%s", title, sha256),
    };
}

void hetzner_things_done(struct hetzner_things *things) {
    char *const strings[] = {things->name,    things->image_id, things->host_id,     things->run_id,
                             things->profile, things->version,  things->description, things->address};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    *things = (struct hetzner_things){0};
}

static json_t *labels_of(const struct hetzner_things *things, bool is_lasting) {
    json_t *labels = json_pack("{s:s}", "webops.upload", things->image_id);
    if (things->profile)
        json_object_set_new(labels, "webops.profile", json_string(things->profile));
    if (things->version)
        json_object_set_new(labels, "webops.version", json_string(things->version));
    if (is_lasting)
        return labels;
    json_object_set_new(labels, "webops.host", json_string(things->host_id));
    json_object_set_new(labels, "webops.run", json_string(things->run_id));
    return labels;
}

static int list_labelled(const struct hetzner_things *things, const char *kind, const char *label, const char *value, json_t **ret_items,
                         struct err *err) {
    cleanup_free char *path = str_printf("/%s", kind), *selector = str_printf("%s==%s", label, value);
    const struct api_field fields[] = {
        {"label_selector", selector}, {"type", strcmp(kind, "images") == 0 ? "snapshot" : NULL}, {NULL, NULL}};
    return hetzner_list(things->hetzner, path, kind, fields, ret_items, err);
}

static int delete_item(const struct hetzner_things *things, const char *kind, int64_t id, struct err *err) {
    cleanup_free char *path = str_printf("/%s/%lld", kind, (long long)id);
    return hetzner_delete(things->hetzner, path, err);
}

struct wish { // what a thing is to become
    const char *name, *state, *never;
    const char *meanwhile; // NULL = whatever else it may be
    int64_t timeout_ms;
};
static const struct wish server_off = {"server", "off", "deleting", NULL, STATE_TIMEOUT_MS},
                         image_made = {"image", "available", "unavailable", "creating", IMAGE_TIMEOUT_MS};

// 1: it is what it is to become; 0: not yet. -ENODATA: it never will be; -EBADMSG: nobody knows.
static int judge_state(const struct wish *wish, const char *path, const char *found, struct err *err) {
    cleanup_buf struct buf text = {0};
    if (strcmp(found, wish->state) == 0)
        return 1;
    if (strcmp(found, wish->never) == 0)
        return err_set(err, -ENODATA, "%s: Hetzner Cloud says that it is %s", path, found);
    if (*found && (!wish->meanwhile || strcmp(found, wish->meanwhile) == 0))
        return 0;
    api_add_printable(&text, found);
    return err_set(err, -EBADMSG, "%s: Hetzner Cloud says that it is \"%s\", which is not known here", path, buf_str(&text));
}

// Asks until the thing at `path` is so. Errors as above.
static int wait_state(const struct hetzner *hetzner, const char *path, const struct wish *wish, struct err *err) {
    for (int64_t deadline = clock_ms() + wish->timeout_ms;;) {
        json_t *answer = NULL;
        int r = hetzner_call(hetzner, "GET", path, NULL, NULL, &answer, err);
        if (r >= 0)
            r = judge_state(wish, path, text_of(json_object_get(answer, wish->name), "status"), err);
        json_decref(answer);
        if (r != 0)
            return r < 0 ? r : 0;
        if (clock_ms() > deadline)
            return err_set(err, -ETIMEDOUT, "%s: still not %s after %lld s", path, wish->state, (long long)wish->timeout_ms / 1000);
        r = stop_sleep(hetzner->stop, POLL_MS, err);
        if (r < 0)
            return r;
    }
}

static int wait_server_off(const struct hetzner_things *things, struct err *err) {
    cleanup_free char *path = str_printf("/servers/%lld", (long long)things->server);
    return wait_state(things->hetzner, path, &server_off, err);
}

static int wait_image(const struct hetzner_things *things, int64_t id, struct err *err) {
    cleanup_free char *path = str_printf("/images/%lld", (long long)id);
    return wait_state(things->hetzner, path, &image_made, err);
}

// Whether a snapshot is whole, now or after some minutes. One that never will be is removed; one of which that cannot be told is not.
static int judge_image(const struct hetzner_things *things, const json_t *image, bool *ret_whole, struct err *err) {
    cleanup_free char *path = str_printf("/images/%lld", (long long)id_of(image));
    int r = judge_state(&image_made, path, text_of(image, "status"), err);
    if (r == 0)
        r = wait_image(things, id_of(image), err);
    *ret_whole = r >= 0;
    return r == -ENODATA || r == -ENOENT ? delete_item(things, "images", id_of(image), err) : r;
}

int hetzner_find_image(struct hetzner_things *things, struct err *err) {
    json_t *items = NULL, *item;
    size_t index;
    int r = list_labelled(things, "images", "webops.upload", things->image_id, &items, err);
    json_array_foreach(items, index, item) {
        bool is_whole = false;
        if (r >= 0 && !things->image)
            r = judge_image(things, item, &is_whole, err);
        if (is_whole)
            things->image = id_of(item);
    }
    json_decref(items);
    return r;
}

int hetzner_sweep(const struct hetzner_things *things, bool everywhere, struct err *err) {
    static const char *const kinds[] = {"servers", "ssh_keys"}; // a key is not needed once its server is gone
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kinds); i++) {
        json_t *items = NULL, *item;
        size_t index;
        r = list_labelled(things, kinds[i], "webops.upload", things->image_id, &items, err);
        json_array_foreach(items, index, item) {
            const char *host = text_of(json_object_get(item, "labels"), "webops.host");
            if (strcmp(text_of(item, "name"), things->name) != 0)
                continue; // somebody's own, with our label
            if (r >= 0 && !everywhere && strcmp(host, things->host_id) != 0)
                r = err_set(err, -EBUSY,
                            "%s %s is of an upload of this image from another computer%s; if that one is no longer running: --replace",
                            i == 0 ? "server" : "SSH key", things->name,
                            things->is_nameless ? " (or this one, which has no " MACHINE_ID_PATH " to tell by)" : "");
            if (r >= 0)
                r = delete_item(things, kinds[i], id_of(item), err);
        }
        json_decref(items);
    }
    return r;
}

struct search { // for something of this run that has a name
    const struct hetzner_things *things;
    const char *kind, *singular;
};

static int look_for_named(const struct hetzner *hetzner, void *context, json_t **ret_answer, struct err *err) {
    const struct search *search = context;
    cleanup_free char *path = str_printf("/%s", search->kind);
    const struct api_field fields[] = {{"name", search->things->name}, {NULL, NULL}};
    json_t *items = NULL;
    int r = hetzner_list(hetzner, path, search->kind, fields, &items, err);
    json_t *item = json_array_get(items, 0);
    if (item && strcmp(text_of(json_object_get(item, "labels"), "webops.run"), search->things->run_id) == 0)
        *ret_answer = json_pack("{s:O}", search->singular, item);
    json_decref(items);
    return r;
}

static int make_named(const struct hetzner_things *things, const char *kind, const char *singular, const json_t *body, json_t **ret_answer,
                      struct err *err) {
    cleanup_free char *path = str_printf("/%s", kind);
    struct search search = {things, kind, singular};
    int r = hetzner_make(things->hetzner, path, body, look_for_named, &search, ret_answer, err);
    if (r == -EEXIST)
        return err_set(err, r, "the project has %s %s already, and it is not of this upload; rename or delete it", singular, things->name);
    return r;
}

int hetzner_make_key(struct hetzner_things *things, const char *public_key, struct err *err) {
    json_t *answer = NULL,
           *body = json_pack("{s:s, s:s, s:o}", "name", things->name, "public_key", public_key, "labels", labels_of(things, false));
    int r = make_named(things, "ssh_keys", "ssh_key", body, &answer, err);
    things->key = id_of(json_object_get(answer, "ssh_key"));
    json_decref(body);
    json_decref(answer);
    return r >= 0 && !things->key ? err_set(err, -EBADMSG, "Hetzner Cloud names no id of the SSH key") : r;
}

static int take_server(struct hetzner_things *things, const json_t *answer, struct err *err) {
    const json_t *server = json_object_get(answer, "server");
    const char *address = text_of(json_object_get(json_object_get(server, "public_net"), "ipv4"), "ip");
    things->server = id_of(server);
    if (!things->server || strspn(address, "0123456789.") != strlen(address) || strlen(address) < 7)
        return err_set(err, -EBADMSG, "Hetzner Cloud names no id or no IPv4 address of the server");
    things->address = str_dup(address);
    return 0;
}

int hetzner_make_server(struct hetzner_things *things, const char *type, const char *location, int64_t base, struct err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s, s:s, s:I, s:[I], s:b, s:o, s:{s:b, s:b}}", "name", things->name, "server_type", type, "location",
                             location, "image", (json_int_t)base, "ssh_keys", (json_int_t)things->key, "start_after_create", 0, "labels",
                             labels_of(things, false), "public_net", "enable_ipv4", 1, "enable_ipv6", 0);
    int r = make_named(things, "servers", "server", body, &answer, err);
    if (r >= 0)
        r = take_server(things, answer, err);
    if (r >= 0)
        r = hetzner_wait(things->hetzner, answer, err);
    json_decref(body);
    json_decref(answer);
    return r < 0 ? r : wait_server_off(things, err);
}

struct expected { // what a server looks like when an action was done
    int64_t server;
    const char *status; // NULL = rescue mode is enabled
};

static int look_at_server(const struct hetzner *hetzner, void *context, json_t **ret_answer, struct err *err) {
    const struct expected *expected = context;
    cleanup_free char *path = str_printf("/servers/%lld", (long long)expected->server);
    json_t *answer = NULL;
    int r = hetzner_call(hetzner, "GET", path, NULL, NULL, &answer, err);
    const json_t *server = json_object_get(answer, "server");
    if (expected->status ? strcmp(text_of(server, "status"), expected->status) == 0
                         : json_is_true(json_object_get(server, "rescue_enabled")))
        *ret_answer = json_object();
    json_decref(answer);
    return r;
}

static int act(const struct hetzner_things *things, const char *action, json_t *body, const char *status, struct err *err) {
    cleanup_free char *path = str_printf("/servers/%lld/actions/%s", (long long)things->server, action);
    struct expected expected = {things->server, status};
    json_t *answer = NULL;
    int r = hetzner_make(things->hetzner, path, body, look_at_server, &expected, &answer, err);
    if (r >= 0)
        r = hetzner_wait(things->hetzner, answer, err);
    json_decref(body);
    json_decref(answer);
    return r;
}

int hetzner_start_rescue(const struct hetzner_things *things, struct err *err) {
    int r = act(things, "enable_rescue", json_pack("{s:s, s:[I]}", "type", "linux64", "ssh_keys", (json_int_t)things->key), NULL, err);
    return r < 0 ? r : act(things, "poweron", json_object(), "running", err);
}

int hetzner_power_off(const struct hetzner_things *things, struct err *err) {
    int r = act(things, "poweroff", json_object(), "off", err);
    return r < 0 ? r : wait_server_off(things, err);
}

static int look_for_image(const struct hetzner *hetzner, void *context, json_t **ret_answer, struct err *err) {
    const struct hetzner_things *things = context;
    json_t *items = NULL;
    (void)hetzner;
    int r = list_labelled(things, "images", "webops.upload", things->image_id, &items, err);
    if (json_array_size(items) > 0)
        *ret_answer = json_pack("{s:O}", "image", json_array_get(items, 0));
    json_decref(items);
    return r;
}

int hetzner_make_image(struct hetzner_things *things, struct err *err) {
    cleanup_free char *path = str_printf("/servers/%lld/actions/create_image", (long long)things->server);
    json_t *answer = NULL,
           *body = json_pack("{s:s, s:s, s:o}", "type", "snapshot", "description", things->description, "labels", labels_of(things, true));
    int r = hetzner_make(things->hetzner, path, body, look_for_image, things, &answer, err);
    int64_t id = id_of(json_object_get(answer, "image"));
    if (r >= 0)
        r = hetzner_wait(things->hetzner, answer, err);
    if (r >= 0)
        r = wait_image(things, id, err);
    if (r >= 0)
        things->image = id;
    json_decref(body);
    json_decref(answer);
    return r;
}

// A server costs money as long as it is there, whatever was said when it was deleted.
static int check_removed(const struct hetzner_things *things, const char *kind, struct err *err) {
    json_t *items = NULL, *item;
    size_t index, left = 0;
    int r = list_labelled(things, kind, "webops.run", things->run_id, &items, err);
    json_array_foreach(items, index, item) left += strcmp(text_of(item, "status"), "deleting") != 0;
    json_decref(items);
    return r >= 0 && left ? err_set(err, -EEXIST, "it is still there after it was deleted") : r;
}

static void remove_kind(const struct hetzner_things *things, const char *kind, const char *singular, struct buf *problems) {
    struct err err = {0};
    json_t *items = NULL, *item;
    size_t index;
    // By label and not by id: what was made without an answer is found, too.
    int r = list_labelled(things, kind, "webops.run", things->run_id, &items, &err);
    json_array_foreach(items, index, item) if (r >= 0) r = delete_item(things, kind, id_of(item), &err);
    if (r >= 0 && json_array_size(items) > 0)
        r = check_removed(things, kind, &err);
    if (r < 0)
        buf_printf(problems, "%s%s %s (%s)", problems->size ? "; " : "", singular, things->name, err.text);
    json_decref(items);
}

static int remove_unless_whole(const struct hetzner_things *things, const json_t *image, struct err *err) {
    cleanup_free char *path = str_printf("/images/%lld", (long long)id_of(image));
    int r = judge_state(&image_made, path, text_of(image, "status"), err);
    return r == 0 || r == -ENODATA ? delete_item(things, "images", id_of(image), err) : r;
}

static void remove_broken_images(const struct hetzner_things *things, struct buf *problems) {
    struct err err = {0};
    json_t *items = NULL, *item;
    size_t index;
    int r = list_labelled(things, "images", "webops.upload", things->image_id, &items, &err);
    json_array_foreach(items, index, item) if (r >= 0) r = remove_unless_whole(things, item, &err);
    if (r < 0)
        buf_printf(problems, "%ssnapshot \"%s\" (%s)", problems->size ? "; " : "", things->description, err.text);
    json_decref(items);
}

void hetzner_remove(const struct hetzner_things *things, struct buf *problems) {
    if (things->server && !things->image)
        remove_broken_images(things, problems);
    remove_kind(things, "servers", "server", problems);
    remove_kind(things, "ssh_keys", "SSH key", problems);
}
