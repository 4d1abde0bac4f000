// SPDX-License-Identifier: Apache-2.0
// What a layer's recipe turns into: each part as entries, hostile paths, parts that collide, conflicts with what lies below, owners.
#include "builder/content.h"
#include "builder/test/support.h"
#include <sys/socket.h>
#include <sys/un.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

struct fixture {
    struct scratch *scratch;
    struct recipe_layer recipe;
    struct layer_request request;
};

static int setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    f->recipe = (struct recipe_layer){.name = TEXT("x"), .version = TEXT("1"), .dir = f->scratch->path};
    f->request = (struct layer_request){.layer = &f->recipe, .programs_dir = "/programs", .downloads_dir = "/downloads"};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *scratch = f->scratch;
    free(f);
    return scratch_teardown(&scratch);
}

static void put(struct fixture *f, const char *name, mode_t mode) {
    struct err err = {0};
    cleanup_free char *path = str_printf("files/%s", name), *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    assert_ok(file_mkdirs(f->scratch->fd, dir, 0755, &err));
    assert_ok(file_publish(f->scratch->fd, path, "x", 1, mode, &err));
}

// One line per entry: type, mode, owner, path, and what it holds.
static char *show(const struct content *content, const char *strip) {
    struct buf text = {0};
    for (size_t i = 0; i < content->count; i++) {
        const struct content_item *item = &content->items[i];
        const char *kind = S_ISREG(item->mode) ? "f" : S_ISDIR(item->mode) ? "d" : S_ISLNK(item->mode) ? "l" : "w";
        size_t skip = item->source && strncmp(item->source, strip, strlen(strip)) == 0 ? strlen(strip) : 0;
        buf_printf(&text, "%s %04o %u/%u %s%s%s%s%s%s%s\n", kind, item->mode & 07777, item->uid, item->gid, item->path,
                   item->target ? " -> " : "", item->target ?: "", item->source ? " < " : "", item->source ? item->source + skip : "",
                   item->needs_unit ? " needs " : "", item->needs_unit ?: "");
    }
    return buf_take(&text);
}

static void expect_plan(struct fixture *f, const char *expected) {
    cleanup_content struct content content = {0};
    struct err err = {0};
    assert_ok(content_plan(&f->request, &content, &err));
    cleanup_free char *have = show(&content, f->scratch->path);
    assert_string_equal(have, expected);
}

static void expect_refused(struct fixture *f, int code, const char *words) {
    struct content content = {.count = 3};
    struct err err = {0};
    assert_int_equal(content_plan(&f->request, &content, &err), code);
    assert_contains(err.text, words);
    assert_int_equal(content.count, 3); // untouched
    assert_null(content.items);
}

static void test_nothing(void **state) {
    expect_plan(*state, "");
}

static void test_files(void **state) {
    struct fixture *f = *state;
    put(f, "usr/bin/tool", 0700);
    put(f, "etc/conf", 0600);
    put(f, "etc/zz", 0666);
    put(f, "var/lib/app/data", 0644);
    put(f, "var/lib/dpkg/info/x", 0644);
    cleanup_free char *link = scratch_file(f->scratch, "files/etc/link"), *empty = scratch_file(f->scratch, "files/srv");
    assert_int_equal(symlink("../no/where", link), 0);
    assert_int_equal(mkdir(empty, 0700), 0);
    expect_plan(f, "d 0755 0/0 etc\n"
                   "f 0644 0/0 etc/conf < /files/etc/conf\n"
                   "l 0777 0/0 etc/link -> ../no/where\n"
                   "f 0644 0/0 etc/zz < /files/etc/zz\n"
                   "d 0755 0/0 srv\n"
                   "d 0755 0/0 usr\n"
                   "d 0755 0/0 usr/bin\n"
                   "f 0755 0/0 usr/bin/tool < /files/usr/bin/tool\n"
                   "d 0755 0/0 usr/lib/sysimage/dpkg\n"
                   "d 0755 0/0 usr/lib/sysimage/dpkg/info\n"
                   "f 0644 0/0 usr/lib/sysimage/dpkg/info/x < /files/var/lib/dpkg/info/x\n"
                   "d 0755 0/0 usr/share/factory/var\n"
                   "d 0755 0/0 usr/share/factory/var/lib\n"
                   "d 0755 0/0 usr/share/factory/var/lib/app\n"
                   "f 0644 0/0 usr/share/factory/var/lib/app/data < /files/var/lib/app/data\n");
}

// Programs of an image whose libraries are too old for them bring their own; a layer without programs does not.
static void test_runtime(void **state) {
    struct fixture *f = *state;
    char *programs[] = {TEXT("webops")};
    struct err err = {0};
    f->request.runtime_dir = f->scratch->path;
    assert_ok(file_publish(f->scratch->fd, "libz.so.1", "x", 1, 0755, &err));
    expect_plan(f, "");
    f->recipe.programs = (struct strings){programs, 1};
    expect_plan(f, "d 0755 0/0 usr/lib/webops/lib\n"
                   "f 0755 0/0 usr/lib/webops/lib/libz.so.1 < /libz.so.1\n"
                   "f 0755 0/0 usr/sbin/webops < /programs/webops\n");
    f->request.runtime_dir = "/no/where";
    expect_refused(f, -ENOENT, "/no/where");
}

static void test_units(void **state) {
    struct fixture *f = *state;
    struct recipe_unit enable[] = {{TEXT("web.service"), TEXT("multi-user.target")},
                                   {TEXT("getty@tty1.service"), TEXT("getty.target")},
                                   {TEXT("web@.socket"), TEXT("sockets.target")},
                                   {TEXT("odd@name"), TEXT("x.target")}};
    char *mask[] = {TEXT("debug-shell.service")};
    f->recipe.enable = enable;
    f->recipe.enable_count = ARRAY_SIZE(enable);
    f->recipe.mask = (struct strings){mask, 1};
#define ETC "l 0777 0/0 etc/systemd/system/"
#define USR " -> /usr/lib/systemd/system/"
    expect_plan(f, ETC "debug-shell.service -> /dev/null\n" ETC "getty.target.wants/getty@tty1.service" USR
                       "getty@.service needs getty@tty1.service\n" ETC "multi-user.target.wants/web.service" USR
                       "web.service needs web.service\n" ETC "sockets.target.wants/web@.socket" USR "web@.socket needs web@.socket\n" ETC
                       "x.target.wants/odd@name" USR "odd@name needs odd@name\n");
}

static void test_programs_fetch_remove_extra(void **state) {
    struct fixture *f = *state;
    char *programs[] = {TEXT("webops"), TEXT("webops-fetch")}, *remove[] = {TEXT("/etc/motd"), TEXT("/var/lib/x")};
    struct recipe_fetch fetch[] = {{TEXT("http://x.test/a"), TEXT("aaaa"), TEXT("/opt/a"), 0, NULL},
                                   {TEXT("http://x.test/b"), TEXT("bbbb"), TEXT("/opt/b"), 04755, NULL}};
    struct layer_extra extra = {"etc/extra", "data", 4, 0640};
    f->recipe.programs = (struct strings){programs, 2};
    f->recipe.remove = (struct strings){remove, 2};
    f->recipe.fetch = fetch;
    f->recipe.fetch_count = 2;
    f->request.extra = &extra;
    f->request.extra_count = 1;
    expect_plan(f, "f 0640 0/0 etc/extra\n"
                   "w 0000 0/0 etc/motd\n"
                   "f 0644 0/0 opt/a < /downloads/aaaa\n"
                   "f 4755 0/0 opt/b < /downloads/bbbb\n"
                   "f 0755 0/0 usr/lib/webops/webops-fetch < /programs/webops-fetch\n"
                   "f 0755 0/0 usr/sbin/webops < /programs/webops\n"
                   "w 0000 0/0 usr/share/factory/var/lib/x\n");
    cleanup_content struct content content = {0};
    struct err err = {0};
    assert_ok(content_plan(&f->request, &content, &err));
    assert_ptr_equal(content.items[0].data, extra.data);
    assert_int_equal(content.items[0].size, 4);
}

// Each part of a recipe, each hostile path: refused with the part's name.
static void test_escapes(void **state) {
    struct fixture *f = *state;
    static const char *const paths[] = {"/../etc/x", "/etc/../../x", "//etc/x", "/", "/./", "/a\nb", "/a/\xff", "/a//b", "/.."};
    struct recipe_fetch fetch = {TEXT("u"), TEXT("h"), NULL, 0, NULL};
    struct layer_extra extra = {.data = "", .mode = 0644};
    char *remove[1];
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        fetch.path = remove[0] = TEXT(paths[i]);
        extra.path = paths[i];
        f->recipe.fetch = &fetch;
        f->recipe.fetch_count = 1;
        expect_refused(f, -EINVAL, "fetch: ");
        f->recipe.fetch_count = 0;
        f->recipe.remove = (struct strings){remove, 1};
        expect_refused(f, -EINVAL, "remove: ");
        f->recipe.remove.count = 0;
        f->request.extra = &extra;
        f->request.extra_count = 1;
        expect_refused(f, -EINVAL, "extra file: ");
        f->request.extra_count = 0;
    }
}

static void test_unit_names(void **state) {
    struct fixture *f = *state;
    static const char *const bad[][2] = {
        {"../../../bin/sh", "a.target"}, {"a.service", "../../x"}, {"a/b.service", "a.target"}, {"a.service", "x/y"}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct recipe_unit enable = {TEXT(bad[i][0]), TEXT(bad[i][1])};
        f->recipe.enable = &enable;
        f->recipe.enable_count = 1;
        expect_refused(f, -EINVAL, "is not a unit name");
    }
    f->recipe.enable_count = 0;
    char *mask[] = {TEXT("../../../etc/passwd")}, *programs[] = {TEXT("../webops")};
    f->recipe.mask = (struct strings){mask, 1};
    expect_refused(f, -EINVAL, "mask: ");
    f->recipe.mask.count = 0;
    f->recipe.programs = (struct strings){programs, 1};
    expect_refused(f, -EINVAL, "../webops is not a name");
}

static void test_special_files(void **state) {
    struct fixture *f = *state;
    put(f, "etc/x", 0644);
    cleanup_free char *path = scratch_file(f->scratch, "files/etc/odd");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(f, -EINVAL, "etc/odd: only files, directories and symlinks");
    assert_int_equal(unlink(path), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    expect_refused(f, -EINVAL, "etc/odd: only files, directories and symlinks");
}

static void test_hostile_names(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"etc/new\nline", "etc/\xc3", "etc/\x1b[2J"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        put(f, names[i], 0644);
        expect_refused(f, -EINVAL, "path \"");
        cleanup_free char *path = str_printf("%s/files/%s", f->scratch->path, names[i]);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_too_deep(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    cleanup_buf struct buf path = {0};
    buf_add_str(&path, "files");
    for (int i = 0; i < 64; i++)
        buf_add_str(&path, "/d");
    assert_ok(file_mkdirs(f->scratch->fd, buf_str(&path), 0755, &err));
    cleanup_content struct content content = {0};
    assert_ok(content_plan(&f->request, &content, &err));
    assert_int_equal(content.count, 64);
    buf_add_str(&path, "/d");
    assert_ok(file_mkdirs(f->scratch->fd, buf_str(&path), 0755, &err));
    expect_refused(f, -ELOOP, "more than 64 directories deep");
}

// Two parts that bring one path, in every pairing that a recipe can write.
static void test_collisions(void **state) {
    struct fixture *f = *state;
    struct recipe_fetch fetch[] = {{TEXT("u"), TEXT("h"), TEXT("/etc/x"), 0, NULL}, {TEXT("v"), TEXT("i"), TEXT("/etc/x"), 0, NULL}};
    struct recipe_unit enable = {TEXT("a.service"), TEXT("b.target")};
    char *remove[] = {TEXT("/etc/x")}, *mask[] = {TEXT("a.service"), TEXT("a.service")};
    f->recipe.fetch = fetch;
    f->recipe.fetch_count = 2;
    expect_refused(f, -EEXIST, "/etc/x: two parts");
    f->recipe.fetch_count = 1;
    f->recipe.remove = (struct strings){remove, 1};
    expect_refused(f, -EEXIST, "/etc/x: two parts");
    f->recipe.fetch_count = 0;
    put(f, "etc/x", 0644);
    expect_refused(f, -EEXIST, "/etc/x: two parts");
    f->recipe.remove.count = 0;
    f->recipe.mask = (struct strings){mask, 2};
    expect_refused(f, -EEXIST, "/etc/systemd/system/a.service: two parts");
    f->recipe.mask.count = 0;
    f->recipe.enable = &enable;
    f->recipe.enable_count = 1;
    put(f, "etc/systemd/system/b.target.wants/a.service", 0644);
    expect_refused(f, -EEXIST, "b.target.wants/a.service: two parts");
    // A file below /var and one at its factory place are the same path of the image.
    f->recipe.enable_count = 0;
    put(f, "var/spool/y", 0644);
    put(f, "usr/share/factory/var/spool/y", 0644);
    expect_refused(f, -EEXIST, "two parts");
}

static void test_modes(void **state) {
    struct fixture *f = *state;
    struct recipe_mode modes[] = {
        {TEXT("/etc/secret"), 0600, TEXT("web:web"), NULL}, {TEXT("/var/lib/app"), 02770, NULL, NULL}, {TEXT("/etc"), 0711, NULL, NULL}};
    put(f, "etc/secret", 0644);
    put(f, "var/lib/app/x", 0644);
    f->recipe.modes = modes;
    f->recipe.mode_count = 3;
    cleanup_content struct content content = {0};
    struct err err = {0};
    assert_ok(content_plan(&f->request, &content, &err));
    cleanup_free char *have = show(&content, f->scratch->path);
    assert_contains(have, "d 0711 0/0 etc\n");
    assert_contains(have, "f 0600 0/0 etc/secret ");
    assert_contains(have, "d 2770 0/0 usr/share/factory/var/lib/app\n");
    for (size_t i = 0; i < content.count; i++)
        assert_int_equal(content.items[i].has_mode, !!strstr("etc etc/secret usr/share/factory/var/lib/app", content.items[i].path) &&
                                                        strcmp(content.items[i].path, "usr/share/factory/var/lib") != 0 &&
                                                        strcmp(content.items[i].path, "usr/share/factory/var") != 0);
}

static void test_modes_refused(void **state) {
    struct fixture *f = *state;
    static const char *const paths[] = {"/etc/none", "/etc/link", "/etc/secret/", "/gone"};
    char *remove[] = {TEXT("/gone")};
    put(f, "etc/secret", 0644);
    cleanup_free char *link = scratch_file(f->scratch, "files/etc/link");
    assert_int_equal(symlink("secret", link), 0);
    f->recipe.remove = (struct strings){remove, 1};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct recipe_mode mode = {TEXT(paths[i]), 0600, NULL, NULL};
        f->recipe.modes = &mode;
        f->recipe.mode_count = 1;
        expect_refused(f, -ENOENT, paths[i]);
    }
}

// What one entry of a layer meets below it.
static void test_below(void **state) {
    (void)state;
    static const struct {
        const char *path;
        mode_t mode, below; // 0 = nothing lies there
        const char *says; // NULL = fine
    } cases[] = {
        {"a", S_IFREG, 0, NULL},
        {"a", S_IFREG, S_IFREG, NULL},
        {"a", S_IFREG, S_IFLNK, NULL},
        {"a", S_IFLNK, S_IFREG, NULL},
        {"a", S_IFREG, S_IFDIR, "/a: is a file here and a directory in a lower layer"},
        {"a", S_IFLNK, S_IFDIR, "/a: is a file here and a directory in a lower layer"},
        {"a", S_IFDIR, S_IFDIR, NULL},
        {"a", S_IFDIR, S_IFREG, "/a: is a directory here and a file or symlink in a lower layer"},
        {"a", S_IFDIR, S_IFLNK, "/a: is a directory here and a file or symlink in a lower layer"},
        {"a", S_IFCHR, 0, "remove: /a is in no lower layer"},
        {"a", S_IFCHR, S_IFREG, NULL},
        {"a", S_IFCHR, S_IFDIR, NULL},
        {"a", S_IFCHR, S_IFLNK, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct content_item item = {.path = TEXT(cases[i].path), .mode = cases[i].mode | 0755};
        struct content content = {.items = &item, .count = 1};
        cleanup_index struct index below = {0};
        struct err err = {0};
        index_add(&below, "b", S_IFREG | 0644, 0, 0);
        if (cases[i].below)
            index_add(&below, "a", cases[i].below | 0755, 0, 0);
        int r = content_check(&content, &below, &err);
        assert_true(cases[i].says ? r < 0 : r == 0);
        assert_contains(err.text, cases[i].says ?: "");
    }
}

// A directory keeps what it has below, unless the recipe says otherwise; a file is the layer's own.
static void test_inherits(void **state) {
    (void)state;
    cleanup_index struct index below = {0};
    struct err err = {0};
    index_add(&below, "dir", S_IFDIR | 02750, 7, 8);
    index_add(&below, "own", S_IFDIR | 0700, 7, 8);
    index_add(&below, "file", S_IFREG | 0600, 7, 8);
    struct content_item items[] = {{.path = TEXT("dir"), .mode = S_IFDIR | 0755},
                                   {.path = TEXT("file"), .mode = S_IFREG | 0644},
                                   {.path = TEXT("own"), .mode = S_IFDIR | 0711, .has_mode = true}};
    struct content content = {.items = items, .count = 3};
    assert_ok(content_check(&content, &below, &err));
    cleanup_free char *have = show(&content, "");
    assert_string_equal(have, "d 2750 7/8 dir\nf 0644 0/0 file\nd 0711 0/0 own\n");
}

static void test_enabled_units_exist(void **state) {
    (void)state;
    static const struct {
        const char *unit, *below, *own;
        bool good;
    } cases[] = {
        {"a.service", "usr/lib/systemd/system/a.service", NULL, true},
        {"a.service", "etc/systemd/system/a.service", NULL, true},
        {"a.service", NULL, "usr/lib/systemd/system/a.service", true},
        {"a@b.service", "usr/lib/systemd/system/a@.service", NULL, true},
        {"a@b.service", "usr/lib/systemd/system/a@b.service", NULL, false},
        {"a.service", "usr/lib/systemd/system/b.service", "etc/a.service", false},
        {"a.service", "usr/lib/systemd/system", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct content_item items[] = {{.path = TEXT("etc/link"), .mode = S_IFLNK, .needs_unit = cases[i].unit},
                                       {.path = TEXT(cases[i].own), .mode = S_IFREG}};
        struct content content = {.items = items, .count = cases[i].own ? 2 : 1};
        if (cases[i].own && strcmp(cases[i].own, "etc/link") < 0) {
            struct content_item first = items[0];
            items[0] = items[1];
            items[1] = first;
        }
        cleanup_index struct index below = {0};
        struct err err = {0};
        if (cases[i].below)
            index_add(&below, cases[i].below, S_IFREG | 0644, 0, 0);
        assert_int_equal(content_check(&content, &below, &err), cases[i].good ? 0 : -ENOENT);
        assert_contains(err.text, cases[i].good ? "" : "enable: no layer has the unit a");
    }
}

static void test_owners(void **state) {
    (void)state;
    static const char passwd[] =
        "root:x:0:0:root:/root:/bin/bash\nwebx:x:1:1::/:/x\nweb:x:33:44:web:/var/www:/x\nodd:x:12z:1::/:\nshort\ncut:x:5";
    static const char group[] = "root:x:0:\nweb:x:55:\nadm:x:4:web\ncut:x:6";
    static const struct {
        const char *owner;
        bool good;
        unsigned uid, gid;
    } cases[] = {
        {"root:root", true, 0, 0},
        {"web:web", true, 33, 55},
        {"web", true, 33, 55},
        {"web:adm", true, 33, 4},
        {"1000:1001", true, 1000, 1001},
        {"1000", true, 1000, 1000},
        {"web:7", true, 33, 7},
        {"cut:cut", true, 5, 6},
        {"odd:web", false, 0, 0},
        {"short:web", false, 0, 0},
        {"we:web", false, 0, 0},
        {"web:we", false, 0, 0},
        {":web", false, 0, 0},
        {"web:", false, 0, 0},
        {"", false, 0, 0},
        {":", false, 0, 0},
        {"-1:0", false, 0, 0},
        {"4294967295:0", false, 0, 0},
        {"99999999999999999999:0", false, 0, 0},
        {"33x:0", false, 0, 0},
        {"web:web:web", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct content_item items[] = {{.path = TEXT("a"), .uid = 9, .gid = 9}, {.path = TEXT("b"), .owner = cases[i].owner}};
        struct content content = {.items = items, .count = 2};
        struct err err = {0};
        int r = content_owners(&content, passwd, group, &err);
        if (r != (cases[i].good ? 0 : -ENOENT))
            fail_msg("owner '%s': %d %s", cases[i].owner, r, err.text);
        assert_int_equal(items[0].uid, 9);
        if (!cases[i].good)
            assert_contains(err.text, "modes: /b: the image has no user and group");
        assert_int_equal(items[1].uid, cases[i].uid);
        assert_int_equal(items[1].gid, cases[i].gid);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void test_stack(void **state) {
    struct fixture *f = *state;
    char *templates[] = {TEXT("a.conf"), TEXT("b.conf")};
    f->recipe.stack_json = TEXT("{}\n");
    f->recipe.templates = (struct strings){templates, 2};
    expect_plan(f, "f 0644 0/0 usr/lib/webops/stacks/x.json\n"
                   "f 0644 0/0 usr/lib/webops/stacks/x/a.conf < /templates/a.conf\n"
                   "f 0644 0/0 usr/lib/webops/stacks/x/b.conf < /templates/b.conf\n");
    put(f, "usr/lib/webops/stacks/x.json", 0644);
    expect_refused(f, -EEXIST, "/usr/lib/webops/stacks/x.json: two parts of the layer bring this path");
}

// What a stack starts and runs is in its layer or below.
static void test_stack_needs(void **state) {
    struct fixture *f = *state;
    char *units[] = {TEXT("a.service"), TEXT("b@c.timer")}, *programs[] = {TEXT("/usr/bin/a"), TEXT("/usr/lib/b")};
    static const char *const there[] = {"usr/lib/systemd/system/a.service", "usr/lib/systemd/system/b@.timer", "usr/bin/a", "usr/lib/b"};
    static const char *const says[] = {"stack: no layer has the unit a.service", "stack: no layer has the unit b@c.timer",
                                       "stack: no layer has the program /usr/bin/a", "stack: no layer has the program /usr/lib/b", ""};
    f->recipe.stack_units = (struct strings){units, 2};
    f->recipe.stack_programs = (struct strings){programs, 2};
    for (size_t missing = 0; missing <= ARRAY_SIZE(there); missing++) {
        cleanup_index struct index below = {0};
        struct content_item own = {.path = TEXT(there[2]), .mode = S_IFREG};
        struct content content = {.items = &own, .count = missing != 2, .layer = &f->recipe};
        struct err err = {0};
        for (size_t i = 0; i < ARRAY_SIZE(there); i++)
            if (i != missing && i != 2)
                index_add(&below, there[i], S_IFREG | 0755, 0, 0);
        assert_int_equal(content_check(&content, &below, &err), missing < ARRAY_SIZE(there) ? -ENOENT : 0);
        assert_string_equal(err.text, says[missing]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_files),
        TEST(test_runtime),
        TEST(test_units),
        TEST(test_programs_fetch_remove_extra),
        TEST(test_escapes),
        TEST(test_unit_names),
        TEST(test_special_files),
        TEST(test_hostile_names),
        TEST(test_too_deep),
        TEST(test_collisions),
        TEST(test_modes),
        TEST(test_modes_refused),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_inherits),
        cmocka_unit_test(test_enabled_units_exist),
        cmocka_unit_test(test_owners),
        cmocka_unit_test_setup_teardown(test_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stack_needs, setup, teardown),
    };
    return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
