// SPDX-License-Identifier: Apache-2.0
// An image goes to a file that stands for the disk: whole, killed and continued at every mark, damaged on either side. Independent programs
// judge the result.
#include "builder/flash/flash.h"
#include "builder/flash/image.h"
#include "builder/flash/table.h"
#include "builder/gpt.h"
#include "builder/output.h"
#include "builder/test/support.h"
#include <signal.h>

#define IMAGE_BYTES (40 * MIB)
#define DISK_BYTES (64 * MIB)
#define ESP_AT (2 * MIB)

struct fixture {
    struct scratch *scratch;
    char *image, *zst, *disk, *map;
};

static int fixture_setup(void **state) {
    static const struct gpt_partition partitions[] = {
        {"bios", GPT_TYPE_BIOS, "11111111-1111-4111-8111-111111111111", MIB, MIB},
        {"esp", GPT_TYPE_ESP, "22222222-2222-4222-8222-222222222222", ESP_AT, 16 * MIB},
        {"webops-state", GPT_TYPE_LINUX, "33333333-3333-4333-8333-333333333333", 18 * MIB, 21 * MIB},
    };
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    scratch_setup((void **)&f->scratch);
    f->image = scratch_file(f->scratch, "web-1.raw");
    f->zst = scratch_file(f->scratch, "web-1.raw.zst");
    f->map = scratch_file(f->scratch, "web-1.bmap");
    f->disk = scratch_file(f->scratch, "disk");
    cleanup_free char *data = scratch_file(f->scratch, "data"), *bytes = NULL;
    cleanup_fd int fd = open(f->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
    assert_ok(gpt_write(fd, f->image, "44444444-4444-4444-8444-444444444444", partitions, ARRAY_SIZE(partitions), &err));
    put_random(data, 9 * MIB, 7);
    assert_ok(file_read(AT_FDCWD, data, 9 * MIB, &bytes, NULL, &err));
    assert_ok(pwrite_all(fd, f->image, bytes, 440, 0, &err)); // boot code
    assert_ok(pwrite_all(fd, f->image, bytes, 9 * MIB, 3 * MIB, &err)); // more than two pieces
    assert_ok(pwrite_all(fd, f->image, bytes, 20000, 20 * MIB, &err));
    assert_ok(output_bmap(f->image, f->map, &err));
    assert_ok(output_zst(f->image, f->zst, 1, &err));
    put_random(f->disk, DISK_BYTES, 99); // what was on the disk before
    unlink(data);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    int r = scratch_teardown((void **)&f->scratch);
    char *const strings[] = {f->image, f->zst, f->disk, f->map};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    free(f);
    return r;
}

struct run_of_flash {
    struct flash_image image;
    struct flash_target target;
    struct flash flash;
};

static int open_image(const char *path, const char *map, struct flash_image *image, struct err *err) {
    return flash_image_open(&(struct flash_origin){.image = path, .map = map}, image, err);
}

static void open_run(const char *image, const char *map, const char *disk, struct run_of_flash *run) {
    struct err err = {0};
    struct stat st;
    *run = (struct run_of_flash){.image.source.fd = -1};
    assert_ok(open_image(image, map, &run->image, &err));
    int fd = open(disk, O_RDWR | O_CLOEXEC | O_DIRECT);
    if (fd < 0)
        fd = open(disk, O_RDWR | O_CLOEXEC); // a tmpfs
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    run->target = (struct flash_target){disk, fd, (uint64_t)st.st_size};
    flash_init(&run->flash, &run->image.source, &run->image.bmap, &run->target);
    run->flash.mark_bytes = 1;
}

static void close_run(struct run_of_flash *run) {
    flash_done(&run->flash);
    flash_image_done(&run->image);
    close(run->target.fd);
}

static int write_disk(struct run_of_flash *run, struct err *err) {
    int r = flash_write(&run->flash, err);
    if (r >= 0)
        r = flash_read_back(&run->flash, err);
    return r < 0 ? r : flash_finish(&run->flash, err);
}

// What is mapped is the image's, what is not is as it was, and the table is one that sgdisk likes.
static void assert_flashed(const struct fixture *f) {
    struct err err = {0};
    cleanup_free char *wanted_path = scratch_file(f->scratch, "wanted"), *said = tool(RUN_ARGV("sgdisk", "-v", f->disk));
    cleanup_free uint8_t *wanted = mem_array(DISK_BYTES, 1), *found = mem_array(DISK_BYTES, 1);
    cleanup_bmap struct bmap bmap = {0};
    assert_contains(said, "No problems found");
    put_random(wanted_path, DISK_BYTES, 99);
    cleanup_fd int disk = open(f->disk, O_RDONLY | O_CLOEXEC), image = open(f->image, O_RDONLY | O_CLOEXEC),
                   old = open(wanted_path, O_RDONLY | O_CLOEXEC);
    assert_ok(bmap_scan(image, f->image, &bmap, &err));
    assert_ok(pread_all(old, wanted_path, wanted, DISK_BYTES, 0, &err));
    for (size_t i = 0; i < bmap.count; i++)
        assert_ok(pread_all(image, f->image, wanted + bmap.ranges[i].offset, bmap.ranges[i].size, bmap.ranges[i].offset, &err));
    assert_ok(pread_all(disk, f->disk, found, DISK_BYTES, 0, &err));
    assert_memory_equal(found + MIB, wanted + MIB, DISK_BYTES - MIB - FLASH_TAIL_BYTES);
    assert_memory_equal(found, wanted, 440); // boot code
    assert_memory_equal(found + 1024, wanted + 1024, 128 * 128); // partitions
    assert_memory_equal(found + DISK_BYTES - 33 * 512, wanted + 1024, 128 * 128); // and their copy at the disk's end
    memset(wanted, 0, MIB);
    assert_memory_equal(found + 34 * 512, wanted, MIB - 34 * 512);
    assert_memory_equal(found + DISK_BYTES - FLASH_TAIL_BYTES, wanted, FLASH_TAIL_BYTES - 33 * 512);
}

static void an_image_is_written(void **state) {
    const struct fixture *f = *state;
    const char *const images[] = {f->image, f->zst};
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        struct err err = {0};
        struct run_of_flash run;
        put_random(f->disk, DISK_BYTES, 99);
        open_run(images[i], NULL, f->disk, &run);
        assert_ok(write_disk(&run, &err));
        assert_int_equal(run.flash.resumed_at, 0);
        close_run(&run);
        assert_flashed(f);
        open_run(images[i], NULL, f->disk, &run);
        assert_ok(flash_compare(&run.flash, &err));
        close_run(&run);
    }
}

// Raw or compressed, through a pipe that is slow.
// A copy's holes may be zeros that matter: on a disk with an earlier life all of them are written.
static void without_a_map_everything_is_written(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    cleanup_free uint8_t *wanted = mem_array(IMAGE_BYTES, 1), *found = mem_array(IMAGE_BYTES, 1);
    cleanup_free char *copy = scratch_file(f->scratch, "copy.raw");
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-o", copy, f->zst)));
    put_random(f->disk, DISK_BYTES, 99);
    open_run(copy, NULL, f->disk, &run);
    assert_int_equal(run.image.bmap.mapped_bytes, IMAGE_BYTES);
    assert_ok(write_disk(&run, &err));
    close_run(&run);
    cleanup_fd int image = open(copy, O_RDONLY | O_CLOEXEC), disk = open(f->disk, O_RDONLY | O_CLOEXEC);
    assert_ok(pread_all(image, copy, wanted, IMAGE_BYTES, 0, &err));
    assert_ok(pread_all(disk, f->disk, found, IMAGE_BYTES, 0, &err));
    assert_memory_equal(found + MIB, wanted + MIB, IMAGE_BYTES - 2 * MIB); // the tables at both ends are the disk's
}

static void an_image_comes_through_a_pipe(void **state) {
    const struct fixture *f = *state;
    const char *const images[] = {f->image, f->zst};
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        struct err err = {0};
        struct run_of_flash run;
        int ends[2], kept = dup(STDIN_FILENO);
        pid_t pid;
        put_random(f->disk, DISK_BYTES, 99);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        const struct run cat = {
            .argv = RUN_ARGV("dd", "bs=12345", "status=none"), .in = open(images[i], O_RDONLY | O_CLOEXEC), .out = ends[1]};
        assert_ok(run_start(&cat, &pid, &err));
        close(ends[1]);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        open_run("-", f->map, f->disk, &run);
        dup2(kept, STDIN_FILENO);
        close(kept);
        assert_ok(write_disk(&run, &err));
        close_run(&run);
        assert_ok(run_wait(&cat, pid, &err));
        close(cat.in);
        assert_flashed(f);
    }
}

// Dies like a process that was killed, at the n-th piece.
static void die_at(void *context, uint64_t done, uint64_t total) {
    int *left = context;
    (void)done;
    (void)total;
    if (--*left == 0)
        kill(getpid(), SIGKILL);
}

static bool flash_and_die(const struct fixture *f, const char *image, int pieces) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err = {0};
        struct run_of_flash run;
        open_run(image, NULL, f->disk, &run);
        run.flash.progress = die_at;
        run.flash.context = &pieces;
        _exit(write_disk(&run, &err) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static bool has_table(const char *disk) {
    struct gpt_partition partitions[8];
    unsigned count;
    struct err err = {0};
    cleanup_fd int fd = open(disk, O_RDONLY | O_CLOEXEC);
    return gpt_read(fd, disk, partitions, ARRAY_SIZE(partitions), &count, &err) >= 0;
}

static void a_killed_run_goes_on(void **state) {
    const struct fixture *f = *state;
    const char *const images[] = {f->image, f->zst};
    unsigned continued = 0;
    for (int pieces = 1;; pieces++) {
        struct err err = {0};
        struct run_of_flash run;
        char block[64] = {0};
        const char *image = images[pieces % 2];
        put_random(f->disk, DISK_BYTES, 99);
        if (!flash_and_die(f, image, pieces))
            break; // it was through before
        assert_false(has_table(f->disk));
        cleanup_fd int fd = open(f->disk, O_RDONLY | O_CLOEXEC);
        assert_ok(pread_all(fd, f->disk, block, sizeof(block) - 1, 0, &err));
        assert_contains(block, "webops-image flash: not finished\n");
        open_run(image, NULL, f->disk, &run);
        assert_int_equal(flash_compare(&run.flash, &err), -EIO);
        assert_contains(err.text, "not finished");
        close_run(&run);
        open_run(images[(pieces + 1) % 2], NULL, f->disk, &run); // the other form of the same image
        assert_ok(write_disk(&run, &err));
        continued += run.flash.resumed_at > FLASH_HEAD_BYTES;
        close_run(&run);
        assert_flashed(f);
    }
    assert_true(continued >= 5);
}

// What another image left half-written is no beginning of this one.
static void another_image_begins_anew(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    assert_true(flash_and_die(f, f->image, 6));
    flip_bit(f->image, 3 * MIB + 5);
    assert_ok(output_bmap(f->image, f->map, &err));
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(write_disk(&run, &err));
    assert_int_equal(run.flash.resumed_at, 0);
    close_run(&run);
    assert_flashed(f);
}

static void a_damaged_image_is_refused(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    flip_bit(f->image, 4 * MIB);
    open_run(f->image, NULL, f->disk, &run);
    run.flash.mark_bytes = MIB; // within the damaged range, too
    assert_int_equal(flash_write(&run.flash, &err), -EBADMSG);
    assert_true(run.flash.has_begun);
    assert_contains(err.text, "web-1.raw: bytes 3145728 to 12582911 are not what the block map says");
    close_run(&run);
    assert_false(has_table(f->disk));
    flip_bit(f->image, 4 * MIB); // repaired
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(write_disk(&run, &err));
    close_run(&run);
    assert_flashed(f);
    flip_bit(f->image, 4 * MIB);
    assert_int_equal(truncate(f->image, 39 * MIB), 0);
    assert_int_equal(open_image(f->image, NULL, &run.image, &err), -EINVAL);
    assert_contains(err.text, "cut off");
    assert_int_equal(truncate(f->zst, 5 * MIB), 0);
    open_run(f->zst, NULL, f->disk, &run);
    assert_int_equal(flash_write(&run.flash, &err), -EBADMSG);
    assert_contains(err.text, "web-1.raw.zst is cut off");
    close_run(&run);
    assert_false(has_table(f->disk));
}

// In place of the boot code and the table there is something else now, and the map is one of that.
static void make_foreign(const struct fixture *f, const char *mark, uint64_t at) {
    struct err err = {0};
    cleanup_free char *zeros = mem_array(64 << 10, 1);
    cleanup_fd int fd = open(f->image, O_RDWR | O_CLOEXEC);
    assert_ok(pwrite_all(fd, f->image, zeros, 64 << 10, 0, &err));
    assert_ok(pwrite_all(fd, f->image, mark, strlen(mark), at, &err));
    assert_ok(output_bmap(f->image, f->map, &err));
    assert_ok(output_zst(f->image, f->zst, 1, &err));
}

static void what_is_none_of_our_images_is_refused(void **state) {
    const struct fixture *f = *state;
    static const struct {
        const char *mark, *says;
        uint64_t at;
    } rows[] = {{"\x55\xaa", "has no GPT partition table of a webops image", 510}, {"CD001", "is an ISO 9660 image", 32769}};
    cleanup_free char *before = scratch_file(f->scratch, "before");
    put_random(before, DISK_BYTES, 99);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *const images[] = {f->image, f->zst};
        make_foreign(f, rows[i].mark, rows[i].at);
        for (size_t k = 0; k < ARRAY_SIZE(images); k++) {
            struct err err = {0};
            struct run_of_flash run;
            open_run(images[k], NULL, f->disk, &run);
            assert_int_equal(flash_write(&run.flash, &err), -EINVAL);
            assert_contains(err.text, images[k]);
            assert_contains(err.text, rows[i].says);
            assert_contains(err.text, "nothing was written");
            assert_false(run.flash.has_begun);
            close_run(&run);
            assert_same_files(f->disk, before);
        }
    }
}

// A file before anything is asked, also one whose size would be told first.
static void what_is_none_of_our_images_is_not_opened(void **state) {
    const struct fixture *f = *state;
    struct flash_image image = {.source = {.fd = -1}};
    const struct flash_origin origin = {.image = f->image, .wants_table = true};
    struct err err = {0};
    assert_ok(flash_image_open(&origin, &image, &err));
    flash_image_done(&image);
    make_foreign(f, "CD001", 32769);
    assert_int_equal(unlink(f->map), 0);
    assert_int_equal(truncate(f->image, IMAGE_BYTES - 2048), 0);
    assert_int_equal(flash_image_open(&origin, &image, &err), -EINVAL);
    assert_contains(err.text, "web-1.raw is an ISO 9660 image, such as an installation medium: nothing was written; dd writes it");
    assert_int_equal(truncate(f->image, 2048), 0);
    assert_int_equal(flash_image_open(&origin, &image, &err), -EINVAL);
    assert_contains(err.text, "is no disk image: it has 2048 bytes");
}

static void a_bad_disk_is_noticed(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(flash_write(&run.flash, &err));
    flip_bit(f->disk, 20 * MIB + 19999);
    assert_int_equal(flash_read_back(&run.flash, &err), -EIO);
    assert_contains(err.text, "disk: bytes 20971520 to 20991999 were read back");
    close_run(&run);
    assert_false(has_table(f->disk));
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(write_disk(&run, &err)); // from the range that was wrong
    assert_int_equal(run.flash.resumed_at, 20 * MIB);
    close_run(&run);
    assert_flashed(f);
}

// Read errors are cured by writing, so the next run has to write that range, too.
static void what_cannot_be_read_is_written_again(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(flash_write(&run.flash, &err));
    assert_int_equal(truncate(f->disk, 20 * MIB + 4096), 0); // within the range
    assert_true(flash_read_back(&run.flash, &err) < 0);
    assert_contains(err.text, f->disk);
    assert_null(strstr(err.text, "otherwise than they were written"));
    close_run(&run);
    assert_int_equal(truncate(f->disk, DISK_BYTES), 0);
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(write_disk(&run, &err));
    assert_int_equal(run.flash.resumed_at, 20 * MIB);
    assert_ok(flash_compare(&run.flash, &err));
    close_run(&run);
}

// A disk that takes nothing (any more): the kernel's error, and the disk's name.
static void a_full_disk(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct run_of_flash run;
    open_run(f->image, NULL, f->disk, &run);
    run.target.fd = dup3(open("/dev/full", O_RDWR | O_CLOEXEC), run.target.fd, O_CLOEXEC);
    assert_int_equal(flash_write(&run.flash, &err), -ENOSPC);
    assert_contains(err.text, f->disk);
    close_run(&run);
}

static void changed_disks_are_told_apart(void **state) {
    const struct fixture *f = *state;
    static const struct {
        uint64_t at;
        const char *says;
    } rows[] = {{100, "boot sector or partition table"},
                {DISK_BYTES - 100, "boot sector or partition table"},
                {3 * MIB, "bytes 3145728 to 12582911 (partition esp) are not the image's; a configuration was put there"}};
    struct err err = {0};
    struct run_of_flash run;
    open_run(f->image, NULL, f->disk, &run);
    assert_ok(write_disk(&run, &err));
    close_run(&run);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        flip_bit(f->disk, rows[i].at);
        open_run(f->zst, NULL, f->disk, &run);
        assert_int_equal(flash_compare(&run.flash, &err), -EIO);
        assert_contains(err.text, rows[i].says);
        close_run(&run);
        flip_bit(f->disk, rows[i].at);
    }
}

static void tables(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free uint8_t *head = mem_array(FLASH_HEAD_BYTES, 1), *tail = mem_array(FLASH_TAIL_BYTES, 1);
    uint64_t offset = 5;
    assert_int_equal(table_fit(head, tail, DISK_BYTES, &err), -ENOENT);
    assert_int_equal(table_find(head, DISK_BYTES, "esp", &offset, &err), -ENOENT);
    cleanup_fd int fd = open(f->image, O_RDONLY | O_CLOEXEC);
    assert_ok(pread_all(fd, f->image, head, FLASH_HEAD_BYTES, 0, &err));
    assert_ok(table_find(head, IMAGE_BYTES, "esp", &offset, &err));
    assert_int_equal(offset, ESP_AT);
    assert_int_equal(table_find(head, IMAGE_BYTES, "none", &offset, &err), -ENOENT);
    static const struct {
        uint64_t at;
        const char *name;
    } rows[] = {{0, ""}, {MIB, "bios"}, {2 * MIB - 1, "bios"}, {20 * MIB, "webops-state"}, {39 * MIB, ""}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[GPT_NAME_BYTES];
        table_name_at(head, IMAGE_BYTES, rows[i].at, name);
        assert_string_equal(name, rows[i].name);
    }
    assert_ok(table_fit(head, tail, (uint64_t)8 << 40, &err)); // 8 TiB
    assert_memory_equal(tail + FLASH_TAIL_BYTES - 512, "EFI PART", 8);
    assert_memory_equal(head + 512, "EFI PART", 8);
}

static void maps_and_images(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    struct flash_image image = {.source = {.fd = -1}};
    cleanup_free char *small = scratch_file(f->scratch, "small.raw");
    assert_int_equal(unlink(f->map), 0);
    assert_ok(open_image(f->image, NULL, &image, &err)); // whole
    assert_int_equal(image.bmap.mapped_bytes, IMAGE_BYTES);
    flash_image_done(&image);
    assert_int_equal(open_image(f->zst, NULL, &image, &err), -ENOENT);
    assert_contains(err.text, "web-1.raw.zst: such an image needs its block map");
    put_random(small, 8192, 1);
    assert_int_equal(open_image(small, NULL, &image, &err), -EINVAL);
    assert_contains(err.text, "no disk image");
    assert_int_equal(open_image(f->scratch->path, NULL, &image, &err), -ENOENT); // no build in it
    assert_int_equal(open_image("/nonexistent", NULL, &image, &err), -ENOENT);
}

// By http only with a hash of the map, or with a map that is here; nobody is asked before that is clear.
static void maps_are_trusted_for_a_reason(void **state) {
    const struct fixture *f = *state;
    char hex[2 * DIGEST_BYTES + 1];
    struct err err = {0};
    assert_ok(digest_file(AT_FDCWD, f->map, hex, NULL, &err));
    cleanup_free char *other = str_dup(hex);
    other[0] = other[0] == '0' ? '1' : '0';
    const struct {
        struct flash_origin origin;
        int code;
        const char *says;
    } rows[] = {
        {{.image = "http://127.0.0.1:1/web.raw"}, -EPERM, "http://127.0.0.1:1/web.bmap: by http anybody"},
        {{.image = "https://127.0.0.1:1/web.raw", .map = "http://127.0.0.1:1/web.bmap"}, -EPERM, "--bmap-sha256"},
        {{.image = f->image, .map = "http://127.0.0.1:1/web.bmap"}, -EPERM, "take https"},
        {{.image = f->image, .map = "http://x@127.0.0.1/"}, -EINVAL, "no address"},
        {{.image = "http://127.0.0.1:1/web.raw", .map_sha256 = hex}, -EAGAIN, "connecting to"},
        {{.image = "http://127.0.0.1:1/web.raw", .map = f->map}, -EAGAIN, "connecting to"},
        {{.image = f->image, .map_sha256 = hex}, 0, ""},
        {{.image = f->image, .map_sha256 = other}, -EBADMSG, "web-1.bmap has another SHA-256 than was told"},
        {{.image = f->image, .map_sha256 = "12"}, -EINVAL, "is not 64 hexadecimal digits"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct flash_image image = {.source = {.fd = -1}};
        struct flash_origin origin = rows[i].origin;
        err.text[0] = 0;
        origin.http = (struct http_options)HTTP_DEFAULTS;
        int r = flash_image_open(&origin, &image, &err);
        flash_image_done(&image);
        if (r != rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
    assert_int_equal(unlink(f->map), 0); // who told a hash wants to have it compared
    struct flash_image image = {.source = {.fd = -1}};
    assert_int_equal(flash_image_open(&(struct flash_origin){.image = f->image, .map_sha256 = hex}, &image, &err), -ENOENT);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(an_image_is_written),
        WITH_FIXTURE(without_a_map_everything_is_written),
        WITH_FIXTURE(an_image_comes_through_a_pipe),
        WITH_FIXTURE(a_killed_run_goes_on),
        WITH_FIXTURE(another_image_begins_anew),
        WITH_FIXTURE(a_damaged_image_is_refused),
        WITH_FIXTURE(what_is_none_of_our_images_is_refused),
        WITH_FIXTURE(what_is_none_of_our_images_is_not_opened),
        WITH_FIXTURE(a_bad_disk_is_noticed),
        WITH_FIXTURE(what_cannot_be_read_is_written_again),
        WITH_FIXTURE(a_full_disk),
        WITH_FIXTURE(changed_disks_are_told_apart),
        WITH_FIXTURE(tables),
        WITH_FIXTURE(maps_and_images),
        WITH_FIXTURE(maps_are_trusted_for_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
