// SPDX-License-Identifier: Apache-2.0
// The client's side of a rescue system, with scripts in place of ssh and ssh-keyscan. A real one is in qemu-tests/test_upload_hetzner.py.
#include "builder/test/support.h"
#include "builder/upload/rescue.h"
#include <signal.h>

#define SIZE (2 * MIB)

struct place {
    struct scratch *scratch;
    struct stop stop;
    struct rescue rescue;
    char *path; // the old PATH
};

// A program of that name in front of all others; `text` sees the directory as $D.
static void put_program(const struct place *place, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *path = scratch_file(place->scratch, name), *script = str_printf("#!/bin/sh\nD=%s\n%s\n", place->scratch->path, text);
    assert_ok(file_publish(AT_FDCWD, path, script, strlen(script), 0755, &err));
}

static char *read_text(const struct place *place, const char *name) {
    struct err err = {0};
    cleanup_free char *path = scratch_file(place->scratch, name);
    char *text = NULL;
    assert_ok(file_read(AT_FDCWD, path, 1 << 20, &text, NULL, &err));
    return text;
}

static int place_setup(void **state) {
    struct err err = {0};
    struct place *place = mem_array(1, sizeof(*place));
    void *scratch = NULL;
    scratch_setup(&scratch);
    place->scratch = scratch;
    assert_ok(stop_open(&place->stop, &err));
    place->rescue = (struct rescue){.address = "192.0.2.7", .dir = place->scratch->path, .stop = &place->stop};
    place->path = str_dup(getenv("PATH"));
    cleanup_free char *path = str_printf("%s:%s", place->scratch->path, place->path);
    setenv("PATH", path, 1);
    *state = place;
    return 0;
}

static int place_teardown(void **state) {
    struct place *place = *state;
    void *scratch = place->scratch;
    setenv("PATH", place->path, 1);
    free(place->path);
    stop_done(&place->stop);
    free(place);
    return scratch_teardown(&scratch);
}

static void keys(void **state) {
    struct place *place = *state;
    struct err err = {0};
    cleanup_free char *first = NULL, *second = NULL;
    struct stat st;
    assert_ok(rescue_make_key(place->rescue.dir, "a-comment", &first, &err));
    assert_ok(rescue_make_key(place->rescue.dir, "a-comment", &second, &err)); // one that a killed run left is replaced
    assert_int_equal(strncmp(first, "ssh-ed25519 AAAA", 16), 0);
    assert_true(str_ends_with(first, " a-comment"));
    assert_string_not_equal(first, second);
    cleanup_free char *path = scratch_file(place->scratch, "key");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

// The second scan gets an answer. The key is what ssh-keygen made, so that its fingerprint is known.
static void pinning(void **state) {
    struct place *place = *state;
    struct err err = {0};
    cleanup_free char *public_key = NULL, *known = NULL, *key = scratch_file(place->scratch, "key.pub"), *told = NULL;
    char fingerprint[64];
    assert_ok(rescue_make_key(place->rescue.dir, "host", &public_key, &err));
    told = tool(RUN_ARGV("ssh-keygen", "-l", "-E", "sha256", "-f", key));
    assert_int_equal(sscanf(told, "%*u %63s", fingerprint), 1);
    put_program(place, "ssh-keyscan",
                "if [ -e $D/once ]; then echo \"192.0.2.7 $(cut -d' ' -f1,2 $D/key.pub)\"; else touch $D/once; exit 1; fi");
    assert_ok(rescue_pin(&place->rescue, NULL, 20000, &err));
    assert_string_equal(place->rescue.fingerprint, fingerprint);
    known = read_text(place, "known_hosts");
    assert_contains(known, "192.0.2.7 ssh-ed25519 AAAA");
    assert_ok(rescue_pin(&place->rescue, fingerprint, 20000, &err));
    assert_int_equal(rescue_pin(&place->rescue, "SHA256:another", 20000, &err), -EACCES);
    assert_contains(err.text, "and not SHA256:another: another machine answers");
    put_program(place, "ssh-keyscan", "exit 1");
    assert_int_equal(rescue_pin(&place->rescue, NULL, 0, &err), -ETIMEDOUT);
    assert_contains(err.text, "192.0.2.7: no SSH server answered");
}

static void disks(void **state) {
    struct place *place = *state;
    static const struct {
        const char *script;
        const char *disk; // NULL = refused
        const char *says;
    } rows[] = {
        {"echo disk sda 8192 free", "sda", ""},
        {"echo a banner; echo disk nvme0n1 8192 free", "nvme0n1", ""},
        {"echo disk sda 8191 free", NULL, "its disk sda has 4193792 bytes, and the image 4194304"},
        {"echo disk sda 8192 mounted", NULL, "its disk sda is in use: this is no rescue system"},
        {"echo disk sda 8192 free; echo disk sdb 8192 free", NULL, "more than one disk (sda, sdb)"},
        {"echo disk ../x 8192 free", NULL, "a disk with an odd name"},
        {"echo disk 'x;y' 8192 free", NULL, "a disk with an odd name"},
        {"echo disk sda 8192 free; echo missing zstd", NULL, "the rescue system has no zstd"},
        {"true", NULL, "has no disk"},
        {"echo words >&2; exit 3", NULL, "looking for the disk on 192.0.2.7: words (exit status 3)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        put_program(place, "ssh", rows[i].script);
        int r = rescue_find_disk(&place->rescue, 4 * MIB, 0, &err);
        if ((r >= 0) != (rows[i].disk != NULL) || !strstr(err.text, rows[i].says))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        if (rows[i].disk)
            assert_string_equal(place->rescue.disk, rows[i].disk);
    }
    // A connection that is not there yet is waited for; its words are made printable.
    struct err err = {0};
    put_program(place, "ssh", "if [ -e $D/once ]; then echo disk sda 8192 free; else touch $D/once; exit 255; fi");
    assert_ok(rescue_find_disk(&place->rescue, 4 * MIB, 20000, &err));
    put_program(place, "ssh", "printf '\\033[31mno\\r\\n' >&2; exit 255");
    assert_int_equal(rescue_find_disk(&place->rescue, 4 * MIB, 0, &err), -EAGAIN);
    assert_contains(err.text, "?[31mno (exit status 255)");
}

// What ssh is called with: the key of this run, its host key and nothing else of this computer's.
static void command_line(void **state) {
    struct place *place = *state;
    struct err err = {0};
    put_program(place, "ssh", "printf '%s\\n' \"$@\" >$D/argv; echo disk sda 8192 free");
    assert_ok(rescue_find_disk(&place->rescue, MIB, 0, &err));
    cleanup_free char *argv = read_text(place, "argv"), *known = str_printf("UserKnownHostsFile=%s/known_hosts\n", place->rescue.dir),
                      *key = str_printf("-i\n%s/key\nroot@192.0.2.7\n", place->rescue.dir);
    const char *const parts[] = {"StrictHostKeyChecking=yes\n",
                                 "GlobalKnownHostsFile=/dev/null\n",
                                 "-F\n/dev/null\n",
                                 "IdentitiesOnly=yes\n",
                                 "BatchMode=yes\n",
                                 "ForwardAgent=no\n",
                                 known,
                                 key};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        assert_contains(argv, parts[i]);
}

static int write_image(struct place *place, const char *image, bool is_sparse, uint64_t *ret_sent, struct err *err) {
    struct redirect redirect;
    cleanup_free char *out = NULL, *said = NULL;
    cleanup_zstream struct zstream stream = ZSTREAM_INIT;
    snprintf(place->rescue.disk, sizeof(place->rescue.disk), "sda");
    assert_int_equal(zstream_open(image, &stream, err), 0);
    redirect_begin(&redirect);
    struct progress *progress = progress_new(1, false);
    progress_start(progress, "writing");
    int r = rescue_write(&place->rescue, &stream, is_sparse, progress, ret_sent, err);
    progress_free(progress);
    redirect_end(&redirect, &out, &said);
    return r;
}

static void writing(void **state) {
    struct place *place = *state;
    struct err err = {0};
    uint64_t sent = 0;
    struct stat st;
    cleanup_free char *image = scratch_file(place->scratch, "disk.raw"), *got = scratch_file(place->scratch, "got"),
                      *back = scratch_file(place->scratch, "back");
    put_random(image, SIZE, 3);
    put_program(place, "ssh", "for last; do :; done; echo \"$last\" >$D/command; cat >$D/got");
    assert_ok(write_image(place, image, true, &sent, &err));
    cleanup_free char *sparse = read_text(place, "command");
    assert_contains(sparse, "d=/dev/sda;");
    assert_contains(sparse, "s=,sparse");
    assert_int_equal(stat(got, &st), 0);
    assert_int_equal(sent, st.st_size);
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-o", back, got)));
    free(tool(RUN_ARGV("cmp", image, back)));
    assert_ok(write_image(place, image, false, &sent, &err));
    cleanup_free char *dense = read_text(place, "command");
    assert_null(strstr(dense, "sparse"));
}

// It ends before it has read everything: its own words are the reason, not a broken pipe.
static void broken_writing(void **state) {
    struct place *place = *state;
    uint64_t sent = 0;
    struct err err = {0};
    cleanup_free char *image = scratch_file(place->scratch, "disk.raw");
    put_random(image, SIZE, 3);
    put_program(place, "ssh", "head -c 1000 >/dev/null; echo connection reset >&2; exit 255");
    assert_int_equal(write_image(place, image, true, &sent, &err), -EAGAIN);
    assert_contains(err.text, "writing the disk on 192.0.2.7: connection reset (exit status 255)");
    assert_true(sent < SIZE);
    put_program(place, "ssh", "cat >/dev/null; echo no space >&2; exit 1");
    assert_int_equal(write_image(place, image, true, &sent, &err), -EREMOTEIO);
    assert_contains(err.text, "no space (exit status 1)");
    // A signal: ssh is ended, too.
    put_program(place, "ssh", "exec sleep 1000");
    raise(SIGTERM);
    assert_int_equal(write_image(place, image, true, &sent, &err), -EINTR);
}

static void hashing(void **state) {
    struct place *place = *state;
    struct err err = {0};
    uint8_t hash[DIGEST_BYTES];
    snprintf(place->rescue.disk, sizeof(place->rescue.disk), "sda");
    put_program(place, "ssh", "for last; do :; done; echo \"$last\" >$D/command; printf abc | sha256sum");
    assert_ok(rescue_hash(&place->rescue, 12345, hash, &err));
    uint8_t expected[DIGEST_BYTES];
    digest_bytes("abc", 3, expected);
    assert_memory_equal(hash, expected, DIGEST_BYTES);
    cleanup_free char *command = read_text(place, "command");
    assert_contains(command, "d=/dev/sda; sync;");
    assert_contains(command, "head -c 12345 $d | sha256sum");
    put_program(place, "ssh", "echo abc");
    assert_int_equal(rescue_hash(&place->rescue, 12345, hash, &err), -EBADMSG);
    put_program(place, "ssh", "exit 1");
    assert_int_equal(rescue_hash(&place->rescue, 12345, hash, &err), -EREMOTEIO);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN); // as main() does
    const struct CMUnitTest tests[] = {WITH_PLACE(keys),    WITH_PLACE(pinning),        WITH_PLACE(disks),  WITH_PLACE(command_line),
                                       WITH_PLACE(writing), WITH_PLACE(broken_writing), WITH_PLACE(hashing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
