// SPDX-License-Identifier: Apache-2.0
// The UKI: objdump reads what we wrote, sections come back byte for byte, and no broken header is followed.
#include "builder/test/support.h"
#include "builder/test/tiny_pe.h"

struct made {
    char *stub, *linux_path, *initrd, *path;
    struct uki_input input;
};

static void made_done(struct made *made) {
    free(made->stub);
    free(made->linux_path);
    free(made->initrd);
    free(made->path);
}

static void prepare(const struct scratch *scratch, struct made *made) {
    uint8_t pe[TINY_PE_BYTES];
    made->stub = scratch_file(scratch, "stub");
    made->linux_path = scratch_file(scratch, "linux");
    made->initrd = scratch_file(scratch, "initrd");
    made->path = scratch_file(scratch, "a.efi");
    tiny_pe(pe);
    put_file(made->stub, pe, sizeof(pe));
    put_random(made->linux_path, 70001, 1);
    put_random(made->initrd, 12345, 2);
    unlink(made->path); // what an earlier test made
    made->input = (struct uki_input){
        .dir_fd = AT_FDCWD,
        .stub_path = made->stub,
        .os_release = "ID=debian\n",
        .cmdline = "console=ttyS0 panic=10",
        .initrd_path = made->initrd,
        .linux_path = made->linux_path,
    };
}

// The section's bytes are those of `wanted`.
static void assert_section(const char *path, const char *name, const void *wanted, size_t size) {
    struct err err = {0};
    struct uki_section section;
    cleanup_free char *data = NULL;
    size_t file_size = 0;
    assert_ok(file_read(AT_FDCWD, path, 64 * MIB, &data, &file_size, &err));
    assert_ok(uki_section_find((uint8_t *)data, file_size, file_size, name, &section, &err));
    assert_int_equal(section.size, size);
    assert_memory_equal(data + section.offset, wanted, size);
}

static void assert_file_section(const char *path, const char *name, const char *file) {
    struct err err = {0};
    cleanup_free char *data = NULL;
    size_t size = 0;
    assert_ok(file_read(AT_FDCWD, file, 64 * MIB, &data, &size, &err));
    assert_section(path, name, data, size);
}

static void sections_come_back(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct stat st;
    uint64_t size = 0;
    static const char *const stubs[] = {NULL, STUB_PATH};
    for (unsigned i = 0; i < ARRAY_SIZE(stubs); i++) {
        made_done(&made);
        prepare(*state, &made);
        made.input.stub_path = stubs[i] ? stubs[i] : made.stub;
        assert_ok(uki_create(&made.input, AT_FDCWD, made.path, &size, &err));
        assert_int_equal(stat(made.path, &st), 0);
        assert_int_equal(size, st.st_size);
        assert_section(made.path, ".osrel", "ID=debian\n", 10);
        assert_file_section(made.path, ".linux", made.linux_path);
        assert_file_section(made.path, ".initrd", made.initrd);
    }
    assert_section(made.path, ".cmdline", "console=ttyS0 panic=10", 22); // of the real stub; the tiny one brings a .cmdline of its own
}

static void objdump_reads_it(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    prepare(*state, &made);
    made.input.stub_path = STUB_PATH;
    assert_ok(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err));
    cleanup_free char *headers = tool(RUN_ARGV("objdump", "-h", "-p", made.path));
    assert_contains(headers, "pei-x86-64");
    assert_contains(headers, "EFI application");
    assert_contains(headers, ".osrel        0000000a");
    assert_contains(headers, ".cmdline      00000016");
    assert_contains(headers, ".initrd       00003039");
    assert_contains(headers, ".linux        00011171");
    assert_contains(headers, "CheckSum\t\t00000000");
    cleanup_free char *extracted = str_printf("%s.linux", made.path);
    cleanup_free char *dump = str_printf(".linux=%s", extracted);
    free(tool(RUN_ARGV("objcopy", "-O", "binary", "--dump-section", dump, made.path, "/dev/null")));
    struct stat st;
    assert_int_equal(stat(extracted, &st), 0);
    assert_true(st.st_size >= 70001);
    assert_int_equal(truncate(extracted, 70001), 0); // objcopy gives the section with its padding
    assert_same_files(extracted, made.linux_path);
}

// Sections neither overlap in memory nor in the file, and SizeOfImage covers them.
static void layout_is_sound(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    cleanup_free char *data = NULL;
    size_t size = 0;
    prepare(*state, &made);
    assert_ok(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err));
    assert_ok(file_read(AT_FDCWD, made.path, 64 * MIB, &data, &size, &err));
    const uint8_t *pe = (const uint8_t *)data;
    uint32_t vma_end = 0, raw_end = 1024, image, sections = pe[TINY_PE_COFF + 2];
    assert_int_equal(sections, 6);
    for (unsigned i = 0; i < sections; i++) {
        uint32_t fields[4]; // virtual size, address, raw size, raw offset
        memcpy(fields, pe + TINY_PE_SECTIONS + i * 40 + 8, sizeof(fields));
        assert_true(fields[1] >= vma_end && fields[1] % 4096 == 0);
        assert_true(fields[3] >= raw_end && fields[3] % 512 == 0 && fields[2] % 512 == 0);
        assert_true(fields[2] >= fields[0] && fields[3] + fields[2] <= size);
        vma_end = fields[1] + fields[0];
        raw_end = fields[3] + fields[2];
    }
    memcpy(&image, pe + TINY_PE_OPTIONAL + 56, 4);
    assert_true(image >= vma_end && image % 4096 == 0);
    assert_int_equal(raw_end, size);
    static const uint8_t zero[4];
    assert_memory_equal(pe + TINY_PE_COFF + 4, zero, 4); // time stamp
}

static void same_inputs_same_bytes(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    prepare(*state, &made);
    cleanup_free char *second = str_printf("%s.2", made.path);
    assert_ok(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err));
    assert_ok(uki_create(&made.input, AT_FDCWD, second, NULL, &err));
    assert_same_files(made.path, second);
}

// Edits of the stub's headers, each of which must be refused by uki_create().
static void broken_stubs(void **state) {
    static const struct {
        const char *what;
        unsigned offset, value, bytes;
    } cases[] = {
        {"MZ", 0, 0, 2},
        {"header pointer at the end", 0x3c, TINY_PE_BYTES - 8, 4},
        {"header pointer far away", 0x3c, 0xfffffff0, 4},
        {"PE", 0x40, 0, 4},
        {"machine", TINY_PE_COFF, 0x14c, 2},
        {"no sections", TINY_PE_COFF + 2, 0, 2},
        {"too many sections", TINY_PE_COFF + 2, 97, 2},
        {"optional header too short", TINY_PE_COFF + 16, 100, 2},
        {"optional header too long", TINY_PE_COFF + 16, 0xffff, 2},
        {"PE32", TINY_PE_OPTIONAL, 0x10b, 2},
        {"section alignment 0", TINY_PE_OPTIONAL + 32, 0, 4},
        {"section alignment odd", TINY_PE_OPTIONAL + 32, 4097, 4},
        {"file alignment 0", TINY_PE_OPTIONAL + 36, 0, 4},
        {"file alignment huge", TINY_PE_OPTIONAL + 36, 0x80000000, 4},
        {"no room in the header", TINY_PE_OPTIONAL + 60, TINY_PE_SECTIONS + 6 * 40 - 1, 4},
        {"header larger than the file", TINY_PE_OPTIONAL + 60, TINY_PE_BYTES + 512, 4},
        {"subsystem", TINY_PE_OPTIONAL + 68, 3, 2},
        {"section past the end", TINY_PE_SECTIONS + 40 + 20, TINY_PE_BYTES, 4},
        {"section size overflows", TINY_PE_SECTIONS + 40 + 16, 0xffffffff, 4},
        {"section in the last page", TINY_PE_SECTIONS + 40 + 12, 0xfffff000, 4},
        {"data behind the table", TINY_PE_SECTIONS + 2 * 40, 1, 1},
    };
    cleanup(made_done) struct made made = {0};
    prepare(*state, &made);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t pe[TINY_PE_BYTES];
        struct err err = {0};
        tiny_pe(pe);
        tiny_put(pe + cases[i].offset, cases[i].value, cases[i].bytes);
        put_file(made.stub, pe, sizeof(pe));
        if (uki_create(&made.input, AT_FDCWD, made.path, NULL, &err) >= 0)
            fail_msg("accepted: %s", cases[i].what);
        assert_true(err.text[0]);
        assert_int_equal(access(made.path, F_OK), -1);
    }
}

static void truncated_stubs(void **state) {
    (void)state;
    uint8_t pe[TINY_PE_BYTES];
    struct uki_section section;
    tiny_pe(pe);
    struct err err = {0};
    assert_ok(uki_section_find(pe, sizeof(pe), sizeof(pe), ".cmdline", &section, &err));
    assert_int_equal(section.offset, 1536);
    assert_int_equal(section.size, 14);
    for (size_t size = 0; size < sizeof(pe); size++) {
        cleanup_free uint8_t *cut = mem_array(size, 1); // an exact copy, so that ASan sees a byte too many
        memcpy(cut, pe, size);
        int r = uki_section_find(cut, size, size, ".cmdline", &section, &err);
        assert_true(r == -EINVAL);
    }
    assert_int_equal(uki_section_find(pe, sizeof(pe), sizeof(pe), ".linux", &section, &err), -ENOENT);
    assert_int_equal(uki_section_find(pe, sizeof(pe), 1800, ".cmdline", &section, &err), -EINVAL);
}

static void text_is_bounded(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    cleanup_free char *text = NULL;
    prepare(*state, &made);
    cleanup_fd int fd = open(made.stub, O_RDONLY | O_CLOEXEC);
    assert_int_equal(uki_read_text(fd, made.stub, ".cmdline", 13, &text, &err), -EFBIG);
    assert_null(text);
    assert_ok(uki_read_text(fd, made.stub, ".cmdline", 14, &text, &err));
    assert_string_equal(text, "console=ttyS0\n");
}

static void missing_and_empty_parts(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    prepare(*state, &made);
    made.input.initrd_path = "/nonexistent/initrd";
    assert_int_equal(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err), -ENOENT);
    assert_contains(err.text, "/nonexistent/initrd");
    put_file(made.initrd, "", 0);
    made.input.initrd_path = made.initrd;
    assert_int_equal(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err), -EINVAL);
    put_file(made.initrd, "x", 1);
    made.input.cmdline = "";
    assert_int_equal(uki_create(&made.input, AT_FDCWD, made.path, NULL, &err), -EINVAL);
    assert_contains(err.text, ".cmdline");
    assert_int_equal(access(made.path, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_come_back), cmocka_unit_test(objdump_reads_it),
        cmocka_unit_test(layout_is_sound),    cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(broken_stubs),       cmocka_unit_test(truncated_stubs),
        cmocka_unit_test(text_is_bounded),    cmocka_unit_test(missing_and_empty_parts),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
