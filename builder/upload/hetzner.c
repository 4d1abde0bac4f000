// SPDX-License-Identifier: Apache-2.0
// The steps in their order. Nothing is made before everything that can be refused was; whatever then happens, what was made is removed.
#include "builder/upload/hetzner.h"
#include "builder/release.h"
#include "builder/upload/hetzner_things.h"
#include "builder/upload/lock.h"
#include "builder/upload/rescue.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BOOT_TIMEOUT_MS (5 * 60 * 1000)
#define WRITE_TRIES 3

struct upload { // what the steps hand on
    const struct hetzner_request *request;
    struct progress *progress;
    struct hetzner_result *result;
    struct hetzner hetzner;
    struct stop stop;
    struct hetzner_things things;
    struct hetzner_offers offers;
    json_t *types, *locations; // whose strings the offers use
    struct rescue rescue;
    int64_t base;
    uint64_t image_bytes;
    uint8_t sha256[DIGEST_BYTES];
    enum hetzner_arch arch;
    char *dir; // private, and locked
    int lock, dir_lock;
    bool is_begun; // something may have been made
};

static void upload_done(struct upload *upload) {
    struct err ignored;
    if (upload->dir_lock >= 0) {
        (void)!file_remove_tree(AT_FDCWD, upload->dir, &ignored);
        close(upload->dir_lock);
    }
    if (upload->lock >= 0)
        close(upload->lock);
    json_decref(upload->types);
    json_decref(upload->locations);
    hetzner_things_done(&upload->things);
    stop_done(&upload->stop);
    free(upload->dir);
}

static void show(void *context, uint64_t done, uint64_t total) {
    progress_update(context, done, total);
}

static bool is_arm(const char *compatible) {
    return str_ends_with(compatible, "-arm64");
}

// What build.json says of the image, if there is one beside it; of another image its name and x86.
static int name_image(struct upload *upload, const char *sha256, struct err *err) {
    cleanup_free char *path = NULL;
    cleanup_release struct release release = {0};
    int r = release_find_image(upload->request->image, &path, err);
    if (r < 0)
        return r;
    cleanup_free char *base = str_without(path, RUN_ARGV(".raw.zst", ".raw", ".zst")), *report = str_printf("%s.build.json", base);
    const char *title = strrchr(base, '/') ? strrchr(base, '/') + 1 : base;
    if (file_exists(AT_FDCWD, report))
        r = release_load(report, &release, err);
    if (r < 0)
        return r;
    upload->arch = release.compatible && is_arm(release.compatible) ? HETZNER_ARM : HETZNER_X86;
    hetzner_things_init(&upload->things, &upload->hetzner, sha256, release.profile, release.version, title);
    return 0;
}

static int identify(struct upload *upload, struct err *err) {
    char hex[2 * DIGEST_BYTES + 1];
    int r = zstream_hash(upload->request->image, &upload->stop, show, upload->progress, &upload->image_bytes, upload->sha256, err);
    if (r < 0)
        return r;
    hex_format(upload->sha256, sizeof(upload->sha256), hex);
    return name_image(upload, hex, err);
}

// What the next run would take for left by a killed one, and remove: everything of this image with our label "webops.host".
static int lock_host(struct upload *upload, struct err *err) {
    cleanup_free char *what = str_printf("hetzner %s %s", upload->things.host_id, upload->things.image_id);
    upload->lock = lock_take(what, err);
    return upload->lock;
}

// One directory per user and image, so that a killed run's key is found and replaced. Its lock is for computers that have no id.
static int open_dir(struct upload *upload, struct err *err) {
    const char *parent = getenv("TMPDIR");
    struct stat st;
    cleanup_free char *path = str_printf("%s/%s-%u", parent && *parent ? parent : "/var/tmp", upload->things.name, getuid());
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "creating %s", path);
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || st.st_uid != getuid() || (st.st_mode & 077))
        return err_set(err, -EPERM, "%s is not a private directory of yours: remove it", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -EBUSY, "this image is being uploaded already (%s is locked)", path);
    upload->dir_lock = take_fd(&fd);
    upload->dir = take_ptr(path);
    return 0;
}

static int choose(struct upload *upload, struct err *err) {
    const struct hetzner_request *request = upload->request;
    const struct hetzner_wish wish = {request->type, request->location, upload->arch, upload->image_bytes};
    const struct api_field system[] = {{"type", "system"}, {"architecture", hetzner_arch_name(upload->arch)}, {NULL, NULL}};
    json_t *images = NULL;
    int r = hetzner_list(&upload->hetzner, "/locations", "locations", NULL, &upload->locations, err);
    if (r >= 0)
        r = hetzner_list(&upload->hetzner, "/server_types", "server_types", NULL, &upload->types, err);
    if (r >= 0)
        r = hetzner_choose(upload->types, upload->locations, &wish, &upload->offers, err);
    if (r >= 0)
        r = hetzner_list(&upload->hetzner, "/images", "images", system, &images, err);
    if (r >= 0)
        r = hetzner_choose_base(images, upload->arch, &upload->base, err);
    json_decref(images);
    return r;
}

static int check(struct upload *upload, struct err *err) {
    int r = lock_host(upload, err);
    if (r >= 0)
        r = open_dir(upload, err);
    if (r >= 0)
        r = hetzner_find_image(&upload->things, err);
    if (r >= 0 && !upload->things.image)
        r = choose(upload, err);
    upload->result->was_there = r >= 0 && upload->things.image;
    return r < 0 ? r : hetzner_sweep(&upload->things, upload->request->replaces, err);
}

// A type that is sold out is not the end while there are others.
static int make_server(struct upload *upload, struct err *err) {
    cleanup_free char *public_key = NULL;
    int r = rescue_make_key(upload->dir, upload->things.name, &public_key, err);
    if (r < 0)
        return r;
    upload->is_begun = true;
    r = hetzner_make_key(&upload->things, public_key, err);
    for (size_t i = 0; r >= 0 && i < upload->offers.count; i++) {
        const struct hetzner_offer *offer = &upload->offers.items[i];
        r = hetzner_make_server(&upload->things, offer->type, offer->location, upload->base, err);
        if (r >= 0)
            return 0;
        if (r != -EBUSY || i + 1 == upload->offers.count)
            return err_prefix(err, r, "a server of type %s in %s", offer->type, offer->location);
        log_info("no server of type %s in %s: %s", offer->type, offer->location, err->text);
        r = 0;
    }
    return r;
}

static int start_rescue(struct upload *upload, struct err *err) {
    const char *wanted = upload->request->host_key;
    int r = hetzner_start_rescue(&upload->things, err);
    upload->rescue = (struct rescue){.address = upload->things.address, .dir = upload->dir, .stop = &upload->stop};
    if (r >= 0)
        r = rescue_pin(&upload->rescue, wanted, BOOT_TIMEOUT_MS, err);
    if (r >= 0)
        log_info("rescue system %s: host key %s, %s", upload->things.address, upload->rescue.fingerprint,
                 wanted ? "as given" : "not checked, and pinned from now on");
    return r < 0 ? r : rescue_find_disk(&upload->rescue, upload->image_bytes, BOOT_TIMEOUT_MS, err);
}

static int write_once(struct upload *upload, bool is_sparse, struct err *err) {
    cleanup_zstream struct zstream stream = ZSTREAM_INIT;
    int r = zstream_open(upload->request->image, &stream, err);
    return r < 0 ? r : rescue_write(&upload->rescue, &stream, is_sparse, upload->progress, &upload->result->sent_bytes, err);
}

static int write_disk(struct upload *upload, bool is_sparse, struct err *err) {
    for (unsigned try = 1;; try++) {
        int r = write_once(upload, is_sparse, err);
        if (r != -EAGAIN || try == WRITE_TRIES)
            return r;
        log_info("%s; again from the start", err->text);
        r = rescue_find_disk(&upload->rescue, upload->image_bytes, BOOT_TIMEOUT_MS, err); // whether it is still there
        if (r < 0)
            return r;
    }
}

static int write_first(struct upload *upload, struct err *err) {
    return write_disk(upload, true, err);
}

static int compare(struct upload *upload, struct err *err) {
    uint8_t found[DIGEST_BYTES];
    int r = rescue_hash(&upload->rescue, upload->image_bytes, found, err);
    if (r < 0)
        return r;
    return memcmp(found, upload->sha256, sizeof(found)) == 0
               ? 0
               : err_set(err, -EIO, "%s: /dev/%s does not read as what was written to it", upload->things.address, upload->rescue.disk);
}

// Where a discarded disk does not read as zeros, once more with all of them.
static int read_back(struct upload *upload, struct err *err) {
    int r = compare(upload, err);
    if (r != -EIO)
        return r;
    log_info("%s; again with all zeros", err->text);
    r = write_disk(upload, false, err);
    return r < 0 ? r : compare(upload, err);
}

// What takes minutes there is not given up for the first signal: it cannot be taken back while it runs.
static int make_image(struct upload *upload, struct err *err) {
    upload->stop.allowed = upload->stop.seen + 1;
    int r = hetzner_power_off(&upload->things, err);
    return r < 0 ? r : hetzner_make_image(&upload->things, err);
}

// The first signal while cleaning up is borne, so that an impatient second one does not leave a server that costs money.
static int clean_up(struct upload *upload, struct err *err) {
    cleanup_buf struct buf problems = {0};
    upload->stop.allowed = upload->stop.seen + 1;
    hetzner_remove(&upload->things, &problems);
    if (problems.size == 0)
        return 0;
    return err_set(err, -EAGAIN, "could not be removed: %s. The same command removes it; in the console it is called %s",
                   buf_str(&problems), upload->things.name);
}

static const struct step {
    const char *label;
    int (*carry_out)(struct upload *upload, struct err *err);
    const char *done;
} steps[] = {
    {"reading the image", identify, "done"}, {"asking", check, "done"},        {"server", make_server, "made"},
    {"rescue system", start_rescue, "runs"}, {"writing", write_first, "done"}, {"reading back", read_back, "as it should be"},
    {"snapshot", make_image, "made"},
};
_Static_assert(ARRAY_SIZE(steps) + 1 == HETZNER_STAGES, "the last one is cleaning up");

static int take_step(struct upload *upload, const struct step *step, struct err *err) {
    int r = stop_check(&upload->stop, err);
    if (r < 0)
        return r;
    progress_start(upload->progress, step->label);
    r = step->carry_out(upload, err);
    progress_end(upload->progress, r < 0 ? "failed" : step->done);
    return r;
}

int hetzner_upload(const struct api *api, const struct hetzner_request *request, struct progress *progress,
                   struct hetzner_result *ret_result, struct err *err) {
    *ret_result = (struct hetzner_result){0};
    cleanup(upload_done) struct upload upload = {
        .request = request, .progress = progress, .result = ret_result, .lock = -1, .dir_lock = -1, .stop = {.fd = -1}};
    struct err problem = {0};
    upload.hetzner = (struct hetzner){api, &upload.stop};
    int r = stop_open(&upload.stop, err);
    for (size_t i = 0; r >= 0 && !ret_result->was_there && i < ARRAY_SIZE(steps); i++)
        r = take_step(&upload, &steps[i], err);
    ret_result->image = upload.things.image;
    if (!upload.is_begun)
        return r;
    progress_start(progress, "cleaning up");
    int cleaned = clean_up(&upload, &problem);
    progress_end(progress, cleaned < 0 ? "failed" : "done");
    if (cleaned < 0 && r >= 0)
        return err_set(err, cleaned, "snapshot %lld is there, but what was needed for it %s", (long long)ret_result->image, problem.text);
    if (cleaned < 0)
        log_error("%s", problem.text);
    return r;
}
