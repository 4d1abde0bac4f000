// SPDX-License-Identifier: Apache-2.0
// Floors of sequence and time: what was reached once is never left downwards. What the running image says is reached in any case.
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include "firstboot/update/generationinfo.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <string.h>

#define PATH UPDATE_DIR "/floors"

static void load_image(int root_fd, struct floors *ret_floors) {
    struct err ignored;
    cleanup_config struct config record = {0};
    struct generation_info info = {0};
    int64_t sequence = 0;
    if (bootrecord_load(root_fd, &record, &ignored) == 0 && record_number(&record, "SEQUENCE", &sequence, &ignored) == 0 &&
        record_hash(&record, "ROOT_HASH", ret_floors->root_hash, &ignored) == 0)
        ret_floors->sequence = (uint64_t)sequence;
    if (generation_info_load(root_fd, &info, &ignored) == 0)
        ret_floors->time = info.created;
}

static int parse(const char *text, struct floors *ret_floors, struct err *err) {
    cleanup_config_problems struct config_problems problems = {0};
    cleanup_config struct config config = {0};
    struct floors floors = {0};
    int64_t sequence = 0;
    if (config_parse(text, strlen(text), &config, &problems) < 0)
        return err_set(err, -EINVAL, "line %u: %s", problems.items[0].line, problems.items[0].text);
    int r = record_number(&config, "SEQUENCE", &sequence, err);
    if (r >= 0)
        r = record_number(&config, "TIME", &floors.time, err);
    if (r >= 0)
        r = record_hash(&config, "ROOT_HASH", floors.root_hash, err);
    if (r < 0)
        return r;
    floors.sequence = (uint64_t)sequence;
    *ret_floors = floors;
    return 0;
}

// What was committed; 0 when nothing was ever written.
static int load_stored(int root_fd, struct floors *ret_floors, struct err *err) {
    cleanup_free char *text = NULL;
    int r = record_load(root_fd, PATH, &text, err);
    if (r <= 0)
        return r;
    if (parse(text, ret_floors, err) == 0)
        return 1;
    record_put_aside(root_fd, PATH, err->text);
    return 0;
}

int floors_load(int root_fd, struct floors *ret_floors, struct err *err) {
    struct floors stored = {0};
    *ret_floors = (struct floors){0};
    load_image(root_fd, ret_floors);
    int r = load_stored(root_fd, &stored, err);
    if (r <= 0)
        return r;
    // An image on trial is not committed: its own sequence is no floor yet once there is a stored one.
    if (stored.time < ret_floors->time)
        stored.time = ret_floors->time;
    *ret_floors = stored;
    return 0;
}

int floors_raise(int root_fd, const struct floors *floors, struct err *err) {
    struct floors now = {0};
    cleanup_buf struct buf text = {0};
    int r = load_stored(root_fd, &now, err);
    if (r < 0)
        return r;
    bool is_higher = r == 0 || floors->sequence > now.sequence || floors->time > now.time;
    if (!is_higher)
        return 0;
    if (r == 0 || floors->sequence > now.sequence) {
        now.sequence = floors->sequence;
        memcpy(now.root_hash, floors->root_hash, sizeof(now.root_hash));
    }
    if (floors->time > now.time)
        now.time = floors->time;
    record_add_number(&text, "SEQUENCE", (int64_t)now.sequence);
    record_add_hash(&text, "ROOT_HASH", now.root_hash);
    record_add_number(&text, "TIME", now.time);
    return record_save(root_fd, PATH, &text, err);
}
