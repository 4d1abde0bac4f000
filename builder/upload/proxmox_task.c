// SPDX-License-Identifier: Apache-2.0
// Envelope, errors, tasks.
#include "builder/upload/proxmox_task.h"
#include "builder/upload/patience.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <string.h>

#define POLL_MS 500
#define TOLD_MS (10 * 1000) // what is over sooner is nobody's business
#define LOG_LINES 3
#define UPID_PREFIX "UPID:"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// What stands between us and the node (pveproxy, and what is in front of it) answers 502 and more where the node does not.
#define FIRST_STATUS_OF_NOBODY 502

static int refuse(const struct api_answer *answer, const char *method, const char *path, struct err *err) {
    cleanup_buf struct buf text = {0};
    const char *key;
    const json_t *value, *errors = json_object_get(answer->json, "errors");
    const char *message = json_string_value(json_object_get(answer->json, "message"));
    buf_printf(&text, "%s %s: %ld ", method, path, answer->status);
    api_add_printable(&text, message ? message : answer->reason);
    json_object_foreach((json_t *)errors, key, value) {
        buf_add_str(&text, "; ");
        api_add_printable(&text, key);
        buf_add_str(&text, ": ");
        api_add_printable(&text, json_string_value(value) ?: "?");
    }
    if (answer->status == 401 || answer->status == 403)
        return err_set(err, -EPERM, "%s (token, or its permissions)", buf_str(&text));
    bool may_repeat = strcmp(method, "GET") == 0 && answer->status >= FIRST_STATUS_OF_NOBODY;
    return err_set(err, may_repeat ? -EAGAIN : strstr(buf_str(&text), "already exist") ? -EEXIST : -EREMOTEIO, "%s", buf_str(&text));
}

static int take_data(struct api_answer *answer, const char *method, const char *path, json_t **ret_data, struct err *err) {
    json_t *data = json_object_get(answer->json, "data");
    if (answer->status < 200 || answer->status > 299)
        return refuse(answer, method, path, err);
    if (!data)
        return err_set(err, -EBADMSG, "%s %s: the answer is none of Proxmox VE's", method, path);
    *ret_data = json_incref(data);
    return 0;
}

static int call_once(const struct api *api, const char *method, const char *path, const struct api_field *fields, json_t **ret_data,
                     struct err *err) {
    cleanup_api_answer struct api_answer answer = {0};
    int r = api_call(api, method, path, fields, &answer, err);
    return r < 0 ? r : take_data(&answer, method, path, ret_data, err);
}

int proxmox_call(const struct api *api, const char *method, const char *path, const struct api_field *fields, json_t **ret_data,
                 struct err *err) {
    for (struct patience patience = {0};;) {
        int r = call_once(api, method, path, fields, ret_data, err);
        if (r != -EAGAIN || strcmp(method, "GET") != 0)
            return r;
        r = patience_wait(&patience, r, err);
        if (r < 0)
            return r;
    }
}

int proxmox_send(const struct api *api, const char *path, const struct api_field *fields, const struct api_file *file, json_t **ret_data,
                 struct err *err) {
    cleanup_api_answer struct api_answer answer = {0};
    int r = api_upload(api, path, fields, file, &answer, err);
    return r < 0 ? r : take_data(&answer, "POST", path, ret_data, err);
}

// "UPID:node:…"
static bool is_upid(const char *text) {
    if (!text || strncmp(text, UPID_PREFIX, strlen(UPID_PREFIX)) != 0)
        return false;
    const char *node = text + strlen(UPID_PREFIX);
    size_t size = strspn(node, LETTERS "-");
    return size > 0 && node[size] == ':';
}

static int node_size(const char *upid) {
    return (int)strcspn(upid + strlen(UPID_PREFIX), ":");
}

// At the node that the task runs on: with an upload that is the one that was spoken to, whichever node's storage the file is for. Colons in a path.
static char *task_path(const char *upid, const char *what) {
    cleanup_buf struct buf text = {0};
    buf_printf(&text, "/nodes/%.*s/tasks/", node_size(upid), upid + strlen(UPID_PREFIX));
    for (; *upid; upid++)
        if (strchr(LETTERS ".-_", *upid))
            buf_add(&text, upid, 1);
        else
            buf_printf(&text, "%%%02X", (unsigned char)*upid);
    buf_printf(&text, "/%s", what);
    return buf_take(&text);
}

static void add_log(const struct api *api, const char *upid, struct buf *text) {
    cleanup_free char *path = task_path(upid, "log");
    const struct api_field fields[] = {{"limit", "500"}, {NULL, NULL}};
    struct err ignored;
    json_t *data = NULL;
    if (proxmox_call(api, "GET", path, fields, &data, &ignored) < 0)
        return;
    size_t count = json_array_size(data);
    for (size_t i = count > LOG_LINES ? count - LOG_LINES : 0; i < count; i++) {
        buf_add_str(text, " | ");
        api_add_printable(text, json_string_value(json_object_get(json_array_get(data, i), "t")) ?: "");
    }
    json_decref(data);
}

static int judge(const struct api *api, const char *upid, const char *status, struct err *err) {
    cleanup_buf struct buf text = {0};
    if (strcmp(status, "OK") == 0 || strncmp(status, "WARNINGS", 8) == 0)
        return 0;
    api_add_printable(&text, status);
    add_log(api, upid, &text);
    return err_set(err, -EREMOTEIO, "the task failed: %s", buf_str(&text));
}

// 1: it has stopped, and well; 0: it runs.
static int ask(const struct api *api, const char *upid, struct err *err) {
    cleanup_free char *path = task_path(upid, "status");
    json_t *data = NULL;
    int r = proxmox_call(api, "GET", path, NULL, &data, err);
    if (r < 0)
        return err_prefix(err, r, "asking about task %s", upid);
    const char *state = json_string_value(json_object_get(data, "status")),
               *status = json_string_value(json_object_get(data, "exitstatus"));
    bool is_stopped = state && strcmp(state, "stopped") == 0;
    r = is_stopped ? judge(api, upid, status ? status : "no exit status", err) : 0;
    json_decref(data);
    return r < 0 ? r : is_stopped;
}

static void tell(const char *upid) {
    cleanup_buf struct buf text = {0};
    api_add_printable(&text, upid);
    log_info("waiting for task %s of node %.*s", buf_str(&text), node_size(upid), upid + strlen(UPID_PREFIX));
}

int proxmox_wait(const struct api *api, const char *upid, int64_t deadline_ms, struct err *err) {
    if (!is_upid(upid))
        return err_set(err, -EBADMSG, "the node named no task");
    bool is_told = false;
    for (int64_t begin = clock_ms();; clock_sleep_ms(POLL_MS)) {
        int r = ask(api, upid, err);
        if (r != 0)
            return r < 0 ? r : 0;
        if (deadline_ms && clock_ms() >= deadline_ms)
            return err_set(err, -ETIMEDOUT, "task %s still runs after %lld s", upid, (long long)(clock_ms() - begin) / 1000);
        if (is_told || clock_ms() - begin < TOLD_MS)
            continue;
        tell(upid);
        is_told = true;
    }
}

static int wait_for_other(const struct api *api, const char *upid, const char *what, int64_t deadline_ms, struct err *err) {
    struct err why;
    if (proxmox_wait(api, upid, deadline_ms, &why) != -ETIMEDOUT)
        return 0;
    return err_set(err, -ETIMEDOUT,
                   "%s. It %s; what that is cannot be told from what we are to make until it is over. If it hangs, stop it (in the web "
                   "interface: node %.*s, Task History), then the same command again",
                   why.text, what, node_size(upid), upid + strlen(UPID_PREFIX));
}

int proxmox_wait_for_others(const struct api *api, const char *node, const char *type, const char *what, int64_t timeout_ms,
                            struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/tasks", node);
    const struct api_field fields[] = {{"source", "active"}, {"typefilter", type}, {NULL, NULL}};
    int64_t deadline_ms = clock_ms() + timeout_ms;
    json_t *data = NULL, *item;
    size_t index;
    int r = proxmox_call(api, "GET", path, fields, &data, err);
    json_array_foreach(data, index, item) {
        const char *status = json_string_value(json_object_get(item, "status"));
        if (r >= 0 && status && strcmp(status, "RUNNING") == 0)
            r = wait_for_other(api, json_string_value(json_object_get(item, "upid")), what, deadline_ms, err);
    }
    json_decref(data);
    return r;
}
