// SPDX-License-Identifier: Apache-2.0
// The dnf backend's package cache, with packages that two distributions made of one name and version: each image gets its own, whoever else builds.
#include "builder/backend.h"
#include "builder/test/support.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define FILES 3

static const char *const names[FILES] = {"one", "three", "two"}; // packages, sorted

static struct world {
    struct scratch *scratch;
    char *home; // of gpg
} world;

struct distribution {
    char *keyring;
    struct recipe_source source;
    struct recipe_image image;
    struct package_set set;
};

struct fixture {
    struct scratch *scratch;
    char *packages, *metadata;
    struct package_dirs dirs;
    struct distribution rocky, alma;
};

static void run_tool(const char *const *argv) {
    struct err err = {0};
    assert_ok(run_quiet(&(struct run){.argv = argv}, &err));
}

static char *make_dir(const struct scratch *scratch, const char *name) {
    struct err err = {0};
    assert_ok(file_mkdirs(scratch->fd, name, 0700, &err));
    return scratch_file(scratch, name);
}

// <id>/<name>-1-1.el9.noarch.rpm of each name, signed with a key of that distribution, <id>.asc. Each has a file that says whose it is.
static void make_packages(const char *id) {
    cleanup_free char *top = make_dir(world.scratch, id), *topdir = str_printf("_topdir %s/rpmbuild", top),
                      *rpmdir = str_printf("_rpmdir %s", top);
    cleanup_free char *spec = str_printf("%s/x.spec", top), *key = str_printf("%s.asc", top),
                      *gpg_path = str_printf("_gpg_path %s", world.home);
    cleanup_free char *gpg_name = str_printf("_gpg_name %s", id);
    run_tool(RUN_ARGV("gpg", "--homedir", world.home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", id,
                      "rsa3072", "sign", "0"));
    run_tool(RUN_ARGV("gpg", "--homedir", world.home, "--batch", "--armor", "-o", key, "--export", id));
    for (size_t i = 0; i < FILES; i++) {
        cleanup_free char *path = str_printf("%s/%s-1-1.el9.noarch.rpm", top, names[i]);
        cleanup_free char *text =
            str_printf("Name: %s\nVersion: 1\nRelease: 1.el9\nSummary: s\nLicense: l\nBuildArch: noarch\n%%description\nd\n"
                       "%%install\nmkdir -p %%{buildroot}/usr\necho %s of %s > %%{buildroot}/usr/%s\n%%files\n/usr/%s\n",
                       names[i], names[i], id, names[i], names[i]);
        put_file(spec, text, strlen(text));
        run_tool(RUN_ARGV("rpmbuild", "-bb", "--define", topdir, "--define", rpmdir, "--define", "_rpmfilename %{NAME}-1-1.el9.noarch.rpm",
                          "--define", "_binary_payload w.ufdio", spec));
        run_tool(RUN_ARGV("rpmsign", "--define", gpg_path, "--define", gpg_name, "--define", "__gpg /usr/bin/gpg", "--addsign", path));
    }
}

static int begin(void **state) {
    void *scratch;
    (void)state;
    scratch_setup(&scratch);
    world.scratch = scratch;
    world.home = make_dir(world.scratch, "gpg");
    make_packages("rocky");
    make_packages("alma");
    return 0;
}

static int end(void **state) {
    void *scratch = world.scratch;
    (void)state;
    run_tool(RUN_ARGV("gpgconf", "--homedir", world.home, "--kill", "all"));
    free(world.home);
    return scratch_teardown(&scratch);
}

static void distribution_init(struct distribution *distribution, const char *id) {
    cleanup_buf struct buf lines = {0};
    struct err err = {0};
    for (size_t i = 0; i < FILES; i++) {
        char sha256[65];
        uint64_t size;
        cleanup_free char *path = str_printf("%s/%s/%s-1-1.el9.noarch.rpm", world.scratch->path, id, names[i]);
        assert_ok(digest_file(AT_FDCWD, path, sha256, &size, &err));
        buf_printf(&lines, "%s\t1-1.el9\tnoarch\t%s-1-1.el9.noarch.rpm\t%llu\t%s\tfile://%s\n", names[i], names[i],
                   (unsigned long long)size, sha256, path);
    }
    assert_ok(package_set_parse(buf_str(&lines), lines.size, &distribution->set, &err));
    distribution->keyring = str_printf("%s/%s.asc", world.scratch->path, id);
    distribution->source = (struct recipe_source){.archive = TEXT(id), .keyring = distribution->keyring};
    distribution->image = (struct recipe_image){
        .id = TEXT(id), .backend = TEXT("dnf"), .architecture = TEXT("amd64"), .sources = &distribution->source, .source_count = 1};
}

static void distribution_done(struct distribution *distribution) {
    free(distribution->keyring);
    package_set_done(&distribution->set);
}

static int setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    f->packages = make_dir(f->scratch, "packages");
    f->metadata = make_dir(f->scratch, "metadata");
    f->dirs = (struct package_dirs){.metadata = f->metadata, .packages = f->packages};
    distribution_init(&f->rocky, "rocky");
    distribution_init(&f->alma, "alma");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *scratch = f->scratch;
    distribution_done(&f->rocky);
    distribution_done(&f->alma);
    free(f->packages);
    free(f->metadata);
    free(f);
    return scratch_teardown(&scratch);
}

static unsigned download(const struct fixture *f, const struct distribution *distribution) {
    struct err err = {0};
    unsigned fetched = 99;
    assert_ok(dnf_backend.download(&distribution->image, &f->dirs, &distribution->set, &fetched, &err));
    return fetched;
}

// The tree that rpm makes of a set, as a tar stream; NULL where this user may not use namespaces.
static char *install(const struct fixture *f, const struct distribution *distribution, size_t *ret_size) {
    cleanup_free char *work = make_dir(f->scratch, "work"), *scratch = scratch_file(f->scratch, "scratch");
    const struct layer_request request = {.image = &distribution->image,
                                          .is_base = true,
                                          .set = &distribution->set,
                                          .packages_dir = f->packages,
                                          .out_dir = f->metadata,
                                          .format = {.epoch = 1767225600}};
    struct err err = {0};
    struct sandbox sandbox;
    char *tar = NULL;
    int r = dnf_backend.bootstrap(&request, work, scratch, &sandbox, &err);
    if (r == -EPERM && geteuid() != 0)
        return NULL;
    assert_ok(r);
    assert_ok(file_read_fd(sandbox.out_fd, "tree", 64 << 20, &tar, ret_size, &err));
    assert_ok(sandbox_wait(&sandbox, &err));
    return tar;
}

// The same name, version and file name; another key and other content. What one build takes in does not touch what another one is about to install.
static void test_two_distributions(void **state) {
    const struct fixture *f = *state;
    size_t size;
    assert_string_not_equal(f->rocky.set.packages[0].sha256, f->alma.set.packages[0].sha256);
    assert_int_equal(download(f, &f->rocky), FILES);
    assert_int_equal(download(f, &f->alma), FILES);
    cleanup_free char *tree = install(f, &f->rocky, &size);
    if (tree) {
        assert_non_null(memmem(tree, size, "three of rocky", 14));
        assert_null(memmem(tree, size, " of alma", 8));
    }
    assert_int_equal(download(f, &f->rocky), 0); // and neither drives the other's out
    assert_int_equal(download(f, &f->alma), 0);
}

static void test_keys_of_another_image(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    download(f, &f->alma);
    // A mirror of Rocky's that offers what Alma signed: that it is in the cache does not make it good.
    const struct package hers = f->rocky.set.packages[1];
    f->rocky.set.packages[1] = f->alma.set.packages[1];
    f->alma.set.packages[1] = hers;
    assert_int_equal(dnf_backend.download(&f->rocky.image, &f->dirs, &f->rocky.set, NULL, &err), -EBADMSG);
    assert_contains(err.text, "image rocky: ");
    assert_contains(err.text, "package three (file://");
    assert_contains(err.text, "alma/three-1-1.el9.noarch.rpm) is not signed by a key of the image");
}

static void test_damaged_in_the_cache(void **state) {
    const struct fixture *f = *state;
    download(f, &f->rocky);
    cleanup_free char *path = str_printf("%s/%s", f->packages, f->rocky.set.packages[1].sha256);
    flip_bit(path, 5000);
    assert_int_equal(download(f, &f->rocky), 1);
    assert_int_equal(download(f, &f->rocky), 0);
}

// The packages are where they always were, and nobody looks.
static void test_offline(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    f->dirs.is_offline = true;
    assert_int_equal(dnf_backend.download(&f->rocky.image, &f->dirs, &f->rocky.set, NULL, &err), -EAGAIN);
    assert_contains(err.text, "image rocky: downloading packages: package one 1-1.el9 is not in the cache");
    f->dirs.is_offline = false;
    download(f, &f->rocky);
    f->dirs.is_offline = true;
    assert_int_equal(download(f, &f->rocky), 0);
}

static void download_in_child(void *data) {
    struct err err = {0};
    const struct fixture *f = data;
    if (dnf_backend.download(&f->rocky.image, &f->dirs, &f->rocky.set, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
}

// Builds that miss the same packages.
static void test_builds_at_once(void **state) {
    struct fixture *f = *state;
    pid_t pids[6];
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        fflush(NULL);
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            download_in_child(f);
            _exit(0);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        failed += status != 0;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(download(f, &f->rocky), 0);
}

#define with_cache(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], SANDBOX_VERB) == 0)
        return sandbox_main(argc, argv);
    const struct CMUnitTest tests[] = {
        with_cache(test_two_distributions),
        with_cache(test_keys_of_another_image),
        with_cache(test_damaged_in_the_cache),
        with_cache(test_builds_at_once),
        with_cache(test_offline),
    };
    return cmocka_run_group_tests_name("dnf", tests, begin, end);
}
