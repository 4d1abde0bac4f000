// SPDX-License-Identifier: Apache-2.0
// Seed volumes are made with the real tools and read back with mtools; machines are prepared and removed without being started.
#include "builder/machine.h"
#include "builder/seed.h"
#include "common/buf.h"
#include "common/envelope.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
// cmocka wants the headers above first
#include <cmocka.h>

#define SECRET "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEexampleEXAMPLEexampleEXAMPLEexample0 canary"

struct place {
    char dir[32];
    char *config, *secrets, *secret, *image, *seed;
};

static void put(const char *path, const void *data, size_t size, mode_t mode) {
    struct err err = {0};
    assert_int_equal(file_publish(AT_FDCWD, path, data, size, mode, &err), 0);
}

static int make_place(void **state) {
    struct place *p = mem_array(1, sizeof(*p));
    strcpy(p->dir, "/tmp/webops-test.XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    p->config = str_printf("%s/config.env", p->dir);
    p->secrets = str_printf("%s/secrets", p->dir);
    p->secret = str_printf("%s/keys.secret", p->secrets);
    p->image = str_printf("%s/disk,1.raw", p->dir);
    p->seed = str_printf("%s/seed.img", p->dir);
    if (mkdir(p->secrets, 0700) < 0)
        return -1;
    const char config[] = "HOSTNAME=web1\nSSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n";
    put(p->config, config, strlen(config), 0644);
    put(p->secret, SECRET "\n", strlen(SECRET) + 1, 0600);
    char disk[2048] = {0};
    memcpy(disk + 512, "EFI PART", 8);
    put(p->image, disk, sizeof(disk), 0644);
    *state = p;
    return 0;
}

static int remove_place(void **state) {
    struct place *p = *state;
    struct err err = {0};
    int r = file_remove_tree(AT_FDCWD, p->dir, &err);
    char *const strings[] = {p->config, p->secrets, p->secret, p->image, p->seed};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    free(p);
    return r;
}

static char *type_file(const char *image, const char *path) {
    struct err err = {0};
    char *text = NULL;
    struct run mtype = {.argv = RUN_ARGV("mtype", "-i", image, path)};
    return run_capture(&mtype, 65536, &text, NULL, &err) == 0 ? text : NULL;
}

static void test_seed_carries_both(void **state) {
    struct place *p = *state;
    struct err err = {0};
    mode_t mask = umask(0); // the most careless caller
    assert_int_equal(seed_check(&schema_base, p->config, p->secrets, &err), 0);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = p->seed}, &err), 0);
    umask(mask);
    struct stat st;
    assert_int_equal(stat(p->seed, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    cleanup_free char *config = type_file(p->seed, "::user-data"), *secret = type_file(p->seed, "::secrets/keys.secret");
    cleanup_free char *label = type_file(p->seed, "::meta-data");
    assert_non_null(config);
    assert_non_null(strstr(config, "HOSTNAME=web1\n"));
    assert_non_null(secret);
    assert_string_equal(secret, SECRET "\n");
    assert_non_null(label);
    assert_non_null(strstr(label, "instance-id"));
}

// What is in an ISO 9660 image, taken out by another program.
static void assert_iso(const char *image, const char *dir, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *from = str_printf("/%s", name), *to = str_printf("%s/taken-out", dir), *found = NULL;
    const struct run xorriso = {.argv = RUN_ARGV("xorriso", "-osirrox", "on", "-indev", image, "-extract", from, to)};
    assert_int_equal(run_quiet(&xorriso, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, to, 65536, &found, NULL, &err), 0);
    assert_string_equal(found, text);
    assert_int_equal(unlink(to), 0);
}

static void test_iso_and_its_bytes(void **state) {
    struct place *p = *state;
    static const struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    struct err err = {0};
    cleanup_free char *first = str_printf("%s/first.iso", p->dir), *second = str_printf("%s/second.iso", p->dir), *one = NULL, *two = NULL;
    size_t one_size, two_size;
    mode_t mask = umask(0);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = first}, &err), 0);
    umask(mask);
    assert_int_equal(utimensat(AT_FDCWD, p->secret, old, 0), 0);
    setenv("TZ", "Asia/Tokyo", 1);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = second}, &err), 0);
    unsetenv("TZ");
    assert_int_equal(file_read(AT_FDCWD, first, 1 << 20, &one, &one_size, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, second, 1 << 20, &two, &two_size, &err), 0);
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    assert_memory_equal(one + 32768 + 40, "cidata ", 7); // the volume's name in the primary volume descriptor
    assert_iso(first, p->dir, "secrets/keys.secret", SECRET "\n");
    assert_iso(first, p->dir, "user-data", "HOSTNAME=web1\nSSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n");
    assert_iso(first, p->dir, "meta-data", "instance-id: webops\n");
    struct stat st;
    assert_int_equal(stat(first, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .path = first}, &err), 0); // replaced
    assert_int_equal(stat(first, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_directory(void **state) {
    struct place *p = *state;
    struct err err = {0};
    cleanup_free char *dir = str_printf("%s/dir/", p->dir), *secret = str_printf("%ssecrets/keys.secret", dir);
    struct stat st;
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = dir}, &err), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(secret, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = dir}, &err), -EEXIST);
    assert_non_null(strstr(err.text, "remove it"));
}

static unsigned count_files(const char *path) {
    DIR *dir = opendir(path);
    unsigned count = 0;
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

// Whatever fails, nothing of the secrets stays beside the file that was asked for.
static void test_failure_leaves_nothing(void **state) {
    struct place *p = *state;
    static const char *const names[] = {"seed.iso", "seed.img", "seed"};
    unsigned before = count_files(p->dir);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct err err = {0};
        cleanup_free char *path = str_printf("%s/%s", p->dir, names[i]), *nowhere = str_printf("%s/none/%s", p->dir, names[i]);
        assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = "/nonexistent", .path = path}, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/nonexistent"));
        assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = nowhere}, &err), -ENOENT);
        assert_non_null(strstr(err.text, nowhere));
        if (i < 2) { // a program that fails
            cleanup_free char *path_before = str_dup(getenv("PATH"));
            setenv("PATH", "/nonexistent", 1);
            assert_true(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = path}, &err) < 0);
            setenv("PATH", path_before, 1);
        }
        assert_int_equal(count_files(p->dir), before);
    }
}

// With a certificate the secrets are in no form of the seed to be seen, and the key opens them.
static void test_envelope(void **state) {
    struct place *p = *state;
    static const char *const names[] = {"seed.iso", "seed.img", "seed"};
    struct err err = {0};
    cleanup_free char *key = str_printf("%s/key.pem", p->dir), *certificate = str_printf("%s/cert.pem", p->dir), *pem = NULL;
    const struct run openssl = {.argv = RUN_ARGV("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                                                 certificate, "-subj", "/CN=machine")};
    assert_int_equal(run_quiet(&openssl, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, key, 65536, &pem, NULL, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = str_printf("%s/%s", p->dir, names[i]), *out = str_printf("%s/out.cms", p->dir), *der = NULL, *all = NULL;
        cleanup_buf struct buf pack = {0};
        size_t size, all_size;
        const struct seed seed = {.config = p->config, .secrets = p->secrets, .encrypt_to = certificate, .path = path};
        assert_int_equal(seed_save(&seed, &err), 0);
        if (i == 0)
            assert_int_equal(
                run_quiet(&(struct run){.argv = RUN_ARGV("xorriso", "-osirrox", "on", "-indev", path, "-extract", "/secrets.cms", out)},
                          &err),
                0);
        if (i == 1)
            assert_int_equal(run_quiet(&(struct run){.argv = RUN_ARGV("mcopy", "-i", path, "::secrets.cms", out)}, &err), 0);
        if (i < 2) {
            assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &all, &all_size, &err), 0);
            assert_null(memmem(all, all_size, "canary", 6));
        }
        cleanup_free char *in_dir = str_printf("%s/secrets.cms", path);
        assert_int_equal(file_read(AT_FDCWD, i < 2 ? out : in_dir, 65536, &der, &size, &err), 0);
        assert_int_equal(envelope_open(pem, der, size, &pack, &err), 0);
        assert_string_equal(buf_str(&pack), "webops-secrets 1\nkeys.secret 88\n" SECRET "\n");
        unlink(out);
    }
    cleanup_free char *refused = str_printf("%s/refused.iso", p->dir);
    const struct seed seed = {.config = p->config, .secrets = p->secrets, .encrypt_to = key, .path = refused};
    assert_int_equal(seed_save(&seed, &err), -EINVAL); // a key is no certificate
    assert_non_null(strstr(err.text, "key.pem: no certificate"));
    assert_false(file_exists(AT_FDCWD, refused));
}

static void test_seed_without_secrets(void **state) {
    struct place *p = *state;
    struct err err = {0};
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .path = p->seed}, &err), 0);
    assert_null(type_file(p->seed, "::secrets/keys.secret"));
}

static void test_only_secret_names_are_taken(void **state) {
    struct place *p = *state;
    struct err err = {0};
    cleanup_free char *note = str_printf("%s/README", p->secrets), *dash = str_printf("%s/-x.secret", p->secrets);
    put(note, "x", 1, 0600);
    put(dash, "x", 1, 0600);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = p->seed}, &err), 0);
    assert_null(type_file(p->seed, "::secrets/README"));
    assert_null(type_file(p->seed, "::secrets/-x.secret"));
    cleanup_free char *secret = type_file(p->seed, "::secrets/keys.secret");
    assert_non_null(secret);
}

static void test_secrets_that_do_not_fit(void **state) {
    struct place *p = *state;
    struct err err = {0};
    static char large[200 << 10];
    memset(large, 'k', sizeof(large));
    put(p->secret, large, sizeof(large), 0600);
    assert_true(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = p->seed}, &err) < 0);
    assert_non_null(strstr(err.text, p->seed));
    assert_false(file_exists(AT_FDCWD, p->seed));
    assert_null(strstr(err.text, "kkkk"));
}

// Options, drives, protocols and offsets to the tools, if they were let see them.
static void test_any_place_will_do(void **state) {
    struct place *p = *state;
    static const char *const places[] = {"-x", "a:b", "c:", "d@@1", "e=f"}, *const suffixes[] = {".iso", ".img"};
    struct err err = {0};
    cleanup_free char *here = getcwd(NULL, 0);
    assert_int_equal(chdir(p->dir), 0);
    for (size_t i = 0; i < ARRAY_SIZE(places) * ARRAY_SIZE(suffixes); i++) {
        const char *place = places[i / ARRAY_SIZE(suffixes)], *suffix = suffixes[i % ARRAY_SIZE(suffixes)];
        cleanup_free char *path = str_printf("%s/-seed%s", place, suffix), *bytes = NULL;
        size_t size = 0;
        (void)!mkdir(place, 0700);
        if (seed_save(&(struct seed){.config = "config.env", .secrets = "secrets", .path = path}, &err) < 0)
            fail_msg("%s: %s", path, err.text);
        assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &bytes, &size, &err), 0);
        assert_non_null(memmem(bytes, size, SECRET, strlen(SECRET)));
    }
    assert_int_equal(chdir(here), 0);
}

// What a user has set for the tools is not meant for us: the same files, the same bytes.
static void test_settings_of_tools_are_left_out(void **state) {
    struct place *p = *state;
    static const char settings[] = "-publisher EVIL\n", *const suffixes[] = {"iso", "img"};
    struct err err = {0};
    cleanup_free char *rc = str_printf("%s/.xorrisorc", p->dir), *home = str_dup(getenv("HOME") ? getenv("HOME") : "/");
    put(rc, settings, strlen(settings), 0600);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        cleanup_free char *plain = str_printf("%s/plain.%s", p->dir, suffixes[i]), *set = str_printf("%s/set.%s", p->dir, suffixes[i]);
        cleanup_free char *one = NULL, *two = NULL;
        size_t one_size, two_size;
        assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = plain}, &err), 0);
        setenv("HOME", p->dir, 1);
        setenv("MTOOLS_NO_VFAT", "1", 1);
        assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = set}, &err), 0);
        unsetenv("MTOOLS_NO_VFAT");
        setenv("HOME", home, 1);
        assert_int_equal(file_read(AT_FDCWD, plain, 1 << 20, &one, &one_size, &err), 0);
        assert_int_equal(file_read(AT_FDCWD, set, 1 << 20, &two, &two_size, &err), 0);
        assert_int_equal(one_size, two_size);
        assert_memory_equal(one, two, one_size);
    }
}

// As many and as large ones as a machine takes; the same files, the same bytes.
static void test_all_secrets_fit(void **state) {
    struct place *p = *state;
    static char large[SCHEMA_SECRET_MAX_BYTES];
    struct err err = {0};
    cleanup_free char *again = str_printf("%s/again.img", p->dir), *one = NULL, *two = NULL, *found = NULL;
    size_t one_size, two_size;
    memset(large, 'k', sizeof(large));
    for (int i = 1; i < 64; i++) {
        cleanup_free char *path = str_printf("%s/a-rather-long-name-of-a-secret-%02d.secret", p->secrets, i);
        put(path, large, sizeof(large), 0600);
    }
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = p->seed}, &err), 0);
    assert_int_equal(seed_save(&(struct seed){.config = p->config, .secrets = p->secrets, .path = again}, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, p->seed, 16 << 20, &one, &one_size, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, again, 16 << 20, &two, &two_size, &err), 0);
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    found = type_file(p->seed, "::secrets/a-rather-long-name-of-a-secret-63.secret");
    assert_non_null(found);
    assert_int_equal(strlen(found), sizeof(large));
    assert_memory_equal(found, large, sizeof(large));
    free(type_file(p->seed, "::user-data"));
}

static int take_nothing(void *context, const char *path, const void *data, size_t size, struct err *err) {
    (void)path;
    (void)data;
    (void)size;
    (void)err;
    ++*(unsigned *)context;
    return 0;
}

// Whatever would be noticed when a seed is given is noticed before, with the same words.
static void test_what_cannot_be_given_is_found_before(void **state) {
    struct place *p = *state;
    static char large[SCHEMA_SECRET_MAX_BYTES + 1];
    cleanup_free char *fifo = str_printf("%s/fifo", p->dir), *odd = str_printf("%s/odd.secret", p->secrets);
    const struct seed plain = {.config = p->config, .secrets = p->secrets};
    const struct {
        size_t size; // of a second secret
        struct seed seed;
        const char *says;
    } rows[] = {
        {0, plain, "odd.secret is empty"},
        {sizeof(large), plain, "odd.secret is larger than"},
        {5, {.config = p->config, .secrets = "/nonexistent"}, "secrets directory /nonexistent"},
        {5, {.config = "/nonexistent"}, "/nonexistent"},
        {5, {.config = p->config, .secrets = p->secrets, .encrypt_to = "/nonexistent"}, "/nonexistent"},
        {5, {.config = p->config, .secrets = p->secrets, .encrypt_to = p->config}, "config.env: no certificate"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err tried = {0}, given = {0};
        unsigned count = 0;
        put(odd, large, rows[i].size, 0600);
        int r = seed_try(&rows[i].seed, &tried);
        if (r >= 0 || !strstr(tried.text, rows[i].says))
            fail_msg("row %zu: %d, %s", i, r, tried.text);
        assert_int_equal(seed_give(&rows[i].seed, take_nothing, &count, &given), r);
        assert_string_equal(tried.text, given.text);
    }
    struct err err = {0};
    assert_int_equal(seed_try(&plain, &err), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0); // not even opened
    assert_int_equal(seed_try(&(struct seed){.config = p->config, .secrets = p->secrets, .encrypt_to = fifo}, &err), -EINVAL);
    assert_non_null(strstr(err.text, "fifo is no regular file"));
}

// On FAT they would be one file, and the other secret would be lost.
static void test_names_that_differ_only_in_case(void **state) {
    struct place *p = *state;
    unsigned count = 0;
    struct err tried = {0}, given = {0}, saved = {0};
    cleanup_free char *twin = str_printf("%s/Keys.secret", p->secrets), *other = str_printf("%s/keyt.secret", p->secrets);
    const struct seed seed = {.config = p->config, .secrets = p->secrets, .path = p->seed};
    put(other, "other", 5, 0600);
    assert_int_equal(seed_try(&seed, &tried), 0);
    put(twin, "other", 5, 0600);
    assert_int_equal(seed_try(&seed, &tried), -EINVAL);
    assert_non_null(strstr(tried.text, "secrets: the names Keys.secret and keys.secret differ only in case"));
    assert_int_equal(seed_give(&seed, take_nothing, &count, &given), -EINVAL);
    assert_int_equal(count, 1); // config.env, and no secret
    assert_int_equal(seed_save(&seed, &saved), -EINVAL);
    assert_false(file_exists(AT_FDCWD, p->seed));
}

// It was checked, and then an empty configuration was written.
static void test_a_pipe_is_no_config(void **state) {
    struct place *p = *state;
    cleanup_free char *fifo = str_printf("%s/fifo", p->dir);
    struct err checked = {0}, saved = {0};
    assert_int_equal(mkfifo(fifo, 0600), 0); // not even opened
    assert_int_equal(seed_check(&schema_base, fifo, p->secrets, &checked), -EINVAL);
    assert_non_null(strstr(checked.text, "fifo is no regular file"));
    assert_int_equal(seed_save(&(struct seed){.config = fifo, .path = p->seed}, &saved), -EINVAL);
    assert_non_null(strstr(saved.text, "fifo is no regular file"));
    assert_false(file_exists(AT_FDCWD, p->seed));
}

static void test_bad_config_is_refused(void **state) {
    struct place *p = *state;
    struct err err = {0};
    put(p->config, "HOSTNME=web1\nHOSTNAME=a b\n", 26, 0644);
    assert_int_equal(seed_check(&schema_base, p->config, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "problems"));
    assert_int_equal(seed_check(&schema_base, "/nonexistent/config.env", NULL, &err), -ENOENT);
}

static void test_missing_or_open_secret_is_refused(void **state) {
    struct place *p = *state;
    struct err err = {0};
    assert_int_equal(chmod(p->secret, 0644), 0);
    assert_int_equal(seed_check(&schema_base, p->config, p->secrets, &err), -EINVAL);
    assert_int_equal(unlink(p->secret), 0);
    assert_int_equal(seed_check(&schema_base, p->config, p->secrets, &err), -EINVAL);
    assert_int_equal(seed_check(&schema_base, p->config, "/nonexistent", &err), -ENOENT);
}

static void test_machine_files(void **state) {
    struct place *p = *state;
    struct err err = {0};
    struct machine_request request = {
        .image = p->image, .config = p->config, .secrets = p->secrets, .disk_size = "1M", .memory_mib = 256, .cpus = 1};
    struct stat before, after, dir;
    assert_int_equal(stat(p->image, &before), 0);
    struct machine machine = {0};
    assert_int_equal(machine_prepare(&request, &machine, &err), 0);
    assert_int_equal(stat(machine.dir, &dir), 0);
    assert_int_equal(dir.st_mode & 07777, 0700);
    assert_string_equal(machine_disk_format(machine.overlay, &err), "qcow2");
    assert_int_equal(stat(machine.seed, &dir), 0);
    assert_int_equal(dir.st_mode & 07777, 0600);
    assert_in_range(machine.options.ssh_port, 1024, 65535);
    assert_non_null(machine.options.accel);
    cleanup_free char *path = str_dup(machine.dir);
    machine_done(&machine);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(stat(p->image, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void test_disk_size(void **state) {
    struct place *p = *state;
    static const struct {
        const char *size, *says; // NULL = taken
    } rows[] = {{"3M", NULL},
                {"2M", NULL},
                {"+1M", NULL},
                {"1M", "--disk-size 1M is smaller than the image, which has 2 MiB"},
                {"-1M", "--disk-size -1M is smaller than the image"},
                {"99999999999T", "making the overlay disk: "},
                {"much", "--disk-size much is no size; such are 8G"},
                {"1X", "--disk-size 1X is no size"},
                {"1.5.5M", "is no size"},
                {"+", "is no size"},
                {"", "is no size"}};
    cleanup_free char *keep = str_printf("%s/kept.qcow2", p->dir);
    assert_int_equal(truncate(p->image, 2 << 20), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct machine_request request = {
            .image = p->image, .keep = keep, .disk_size = rows[i].size, .memory_mib = 256, .cpus = 1, .bios = true};
        struct err err = {0};
        struct machine machine = {0};
        int r = machine_prepare(&request, &machine, &err);
        if ((r < 0) != (rows[i].says != NULL) || (r < 0 && !strstr(err.text, rows[i].says)))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        assert_int_equal(access(keep, F_OK), r < 0 ? -1 : 0);
        unlink(keep);
        machine_done(&machine);
    }
}

static void test_failed_preparation_leaves_nothing(void **state) {
    struct place *p = *state;
    struct err err = {0};
    put(p->config, "NONSENSE", 8, 0644);
    struct machine_request request = {.image = p->image, .config = p->config, .memory_mib = 256, .cpus = 1};
    struct machine machine = {0};
    assert_int_equal(machine_prepare(&request, &machine, &err), -EINVAL);
    cleanup_free char *path = str_dup(machine.dir);
    machine_done(&machine);
    assert_int_equal(access(path, F_OK), -1);
    request = (struct machine_request){.image = p->image, .secrets = p->secrets, .memory_mib = 256, .cpus = 1, .bios = true};
    assert_int_equal(machine_prepare(&request, &machine, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--config"));
    machine_done(&machine);
}

static void test_kept_overlay_is_used_again(void **state) {
    struct place *p = *state;
    struct err err = {0};
    cleanup_free char *keep = str_printf("%s/kept.qcow2", p->dir);
    struct machine_request request = {.image = p->image, .keep = keep, .memory_mib = 256, .cpus = 1, .bios = true};
    struct stat first, second;
    for (int i = 0; i < 2; i++) {
        struct machine machine = {0};
        assert_int_equal(machine_prepare(&request, &machine, &err), 0);
        assert_string_equal(machine.options.disk, keep);
        assert_null(machine.options.vars);
        machine_done(&machine);
        assert_int_equal(stat(keep, i ? &second : &first), 0);
    }
    assert_int_equal(first.st_ino, second.st_ino);
}

// An accelerator behind "--" is taken without asking whether it works.
static void test_accelerator_of_the_users(void **state) {
    struct place *p = *state;
    static const struct { const char *accel, *cpu; } rows[] = {{"tcg,tb-size=64", "max"}, {"kvm", "host,-arch-capabilities"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *const extra[] = {"-accel", rows[i].accel, NULL};
        struct machine_request request = {.image = p->image, .memory_mib = 256, .cpus = 1, .bios = true, .extra = extra};
        struct err err = {0};
        struct machine machine = {0};
        assert_int_equal(machine_prepare(&request, &machine, &err), 0);
        assert_string_equal(machine.options.accel->name, rows[i].accel);
        assert_string_equal(machine.options.accel->cpu, rows[i].cpu);
        assert_string_equal(machine.accel_note, "");
        machine_done(&machine);
    }
}

static void test_disk_format(void **state) {
    struct place *p = *state;
    struct err err = {0};
    assert_string_equal(machine_disk_format(p->image, &err), "raw");
    char zstd[2048] = "\x28\xb5\x2f\xfd";
    put(p->image, zstd, sizeof(zstd), 0644);
    assert_null(machine_disk_format(p->image, &err));
    assert_non_null(strstr(err.text, "zstd -d"));
    put(p->image, "short", 5, 0644);
    assert_null(machine_disk_format(p->image, &err));
    assert_null(machine_disk_format("/nonexistent/disk.raw", &err));
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_seed_carries_both),
        WITH_PLACE(test_iso_and_its_bytes),
        WITH_PLACE(test_directory),
        WITH_PLACE(test_failure_leaves_nothing),
        WITH_PLACE(test_envelope),
        WITH_PLACE(test_seed_without_secrets),
        WITH_PLACE(test_only_secret_names_are_taken),
        WITH_PLACE(test_secrets_that_do_not_fit),
        WITH_PLACE(test_what_cannot_be_given_is_found_before),
        WITH_PLACE(test_all_secrets_fit),
        WITH_PLACE(test_any_place_will_do),
        WITH_PLACE(test_settings_of_tools_are_left_out),
        WITH_PLACE(test_a_pipe_is_no_config),
        WITH_PLACE(test_bad_config_is_refused),
        WITH_PLACE(test_names_that_differ_only_in_case),
        WITH_PLACE(test_missing_or_open_secret_is_refused),
        WITH_PLACE(test_machine_files),
        WITH_PLACE(test_disk_size),
        WITH_PLACE(test_failed_preparation_leaves_nothing),
        WITH_PLACE(test_kept_overlay_is_used_again),
        WITH_PLACE(test_accelerator_of_the_users),
        WITH_PLACE(test_disk_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
