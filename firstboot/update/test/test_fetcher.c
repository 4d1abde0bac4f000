// SPDX-License-Identifier: Apache-2.0
// webops-fetch is not trusted: frames that break a rule, children that lie, die or say strange things. The children here are scripts.
#include "firstboot/update/fetcher.h"
#include "firstboot/update/source.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void frames(void **state) {
    (void)state;
    static const struct {
        const char *line;
        struct frame frame;
    } cases[] = {
        {"data 0 1", {.kind = FRAME_DATA, .bytes = 1}},
        {"data 123 65536", {.kind = FRAME_DATA, .offset = 123, .bytes = 65536}},
        {"data 18446744073709551614 1", {.kind = FRAME_DATA, .offset = UINT64_MAX - 1, .bytes = 1}},
        {"end", {.kind = FRAME_END}},
        {"alive", {.kind = FRAME_ALIVE}},
        {"whole -", {.kind = FRAME_WHOLE}},
        {"whole 0", {.kind = FRAME_WHOLE}},
        {"whole 77", {.kind = FRAME_WHOLE, .bytes = 77}},
        {"traffic 5 7", {.kind = FRAME_TRAFFIC, .bytes = 5, .requests = 7}},
        {"failed again x", {.kind = FRAME_FAILED, .code = -EAGAIN, .text = 13}},
        {"failed permanent no such file", {.kind = FRAME_FAILED, .code = -EIO, .text = 17}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct frame frame;
        struct err err;
        const struct frame *expected = &cases[i].frame;
        if (frame_parse(cases[i].line, strlen(cases[i].line), &frame, &err) < 0)
            fail_msg("'%s' is refused", cases[i].line);
        if (frame.kind != expected->kind || frame.offset != expected->offset || frame.bytes != expected->bytes ||
            frame.requests != expected->requests || frame.code != expected->code ||
            (frame.kind == FRAME_FAILED && frame.text != expected->text))
            fail_msg("'%s' is understood wrongly", cases[i].line);
    }
}

static void frames_that_are_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "data",
        "data ",
        "data 0",
        "data 0 ",
        "data 0 0",
        "data 0 65537",
        "data -1 5",
        "data 0 5 ",
        " data 0 5",
        "data  0 5",
        "data 0  5",
        "data x 5",
        "data 0 0x5",
        "data 0 5\r",
        "data 18446744073709551615 1",
        "data 18446744073709551616 1",
        "data 0 18446744073709551617",
        "end ",
        "endx",
        "END",
        "whole",
        "whole ",
        "whole --",
        "whole -1",
        "whole 5 5",
        "traffic 5",
        "traffic 5 -1",
        "traffic 5 4294967296",
        "alive!",
        "failed",
        "failed ",
        "failed again",
        "failed again ",
        "failed maybe x",
        "failed permanent",
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct frame frame = {.requests = 99};
        struct err err;
        if (frame_parse(cases[i], strlen(cases[i]), &frame, &err) != -EPROTO)
            fail_msg("'%s' is accepted", cases[i]);
        assert_int_equal(frame.requests, 99);
    }
}

static char directory[] = "/tmp/webops-test-XXXXXX";

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    struct err err;
    (void)state;
    return file_remove_tree(AT_FDCWD, directory, &err);
}

// Reads 10 bytes from 100 out of a child that is this script.
static int read_from(const char *script, char ret_data[10], struct err *err) {
    cleanup_free char *program = str_printf("%s/child", directory), *text = str_printf("#!/bin/sh\n%s\n", script);
    const struct source_options options = {program, NULL};
    cleanup_source struct source *source = NULL;
    assert_int_equal(file_publish(AT_FDCWD, program, text, strlen(text), 0755, err), 0);
    *err = (struct err){0};
    assert_int_equal(source_open_with("http://127.0.0.1:1/", &options, &source, err), 0);
    return source_read(source, 100, ret_data, 10, err);
}

static void children(void **state) {
    (void)state;
    static const struct {
        const char *script;
        int result;
        const char *said;
    } cases[] = {
        {"read line; test \"$line\" = '100 10' && printf 'data 100 10\\n0123456789end\\n'; exec sleep 9", 10, ""},
        {"printf 'traffic 1 1\\nalive\\ndata 100 4\\n0123data 104 6\\n456789traffic 5 5\\nend\\n'; exec sleep 9", 10, ""},
        {"printf 'data 100 4\\n0123end\\n'; exec sleep 9", 4, ""}, // the file ends
        {"printf 'end\\n'; exec sleep 9", 0, ""},
        {"printf 'whole -\\ndata 0 50\\n'; printf %050d 0; printf 'data 50 60\\n'; printf %050d 0; echo 123456789; exec sleep 9", 10, ""},
        {"printf 'whole 50\\ndata 0 50\\n'; printf %050d 0; echo end", 0, ""},
        {"printf 'whole -\\ndata 100 10\\n0123456789'; exec sleep 9", -EPROTO, "nobody asked for"},
        {"printf 'data 99 10\\n0123456789'; exec sleep 9", -EPROTO, "nobody asked for"},
        {"printf 'data 101 9\\n123456789'; exec sleep 9", -EPROTO, "nobody asked for"},
        {"printf 'data 100 11\\n0123456789a'; exec sleep 9", -EPROTO, "nobody asked for"},
        {"printf 'data 100 10\\n0123456789data 110 1\\nx'; exec sleep 9", -EPROTO, "nobody asked for"},
        {"printf 'data 100 70000\\n'; exec sleep 9", -EPROTO, "not understood"},
        {"echo hello; exec sleep 9", -EPROTO, "not understood"},
        {"head -c 5000 /dev/zero; exec sleep 9", -EPROTO, "a line without end"},
        {"echo failed again the server is busy; exec sleep 9", -EAGAIN, "the server is busy"},
        {"echo failed permanent no such file; exec sleep 9", -EIO, "no such file"},
        {"exit 1", -EIO, "ended: no message"},
        {"exit 75", -EAGAIN, "ended: no message"},
        {"exit 0", -EIO, "ended: no message"},
        {"printf 'ba\\033d\\n' >&2; exit 1", -EIO, "ended: ba d"},
        {"head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 75", -EAGAIN, "xxxthe end"},
        {"printf 'data 100 10\\n012'; echo torn >&2; exit 1", -EIO, "torn"},
        {"printf 'data 100'; exit 1", -EIO, "ended"},
        {"kill -9 $$", -EAGAIN, "signal 9"},
        {"kill -31 $$", -EAGAIN, "signal 31"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char data[10];
        struct err err;
        int r = read_from(cases[i].script, data, &err);
        if (r != cases[i].result || !strstr(err.text, cases[i].said) || strchr(err.text, '\033'))
            fail_msg("%s: %d, '%s'", cases[i].script, r, err.text);
        if (r == 10 && strncmp(cases[i].said, "", 1) == 0 && i < 2)
            assert_memory_equal(data, "0123456789", 10);
    }
}

// Its environment is empty: no proxy, no OPENSSL_CONF, no LD_PRELOAD of whoever started us. A shell sets PWD and the like by itself.
static void the_environment_is_empty(void **state) {
    (void)state;
    char data[10];
    struct err err;
    setenv("http_proxy", "canary", 1);
    setenv("OPENSSL_CONF", "canary", 1);
    int r = read_from("test -z \"$http_proxy$OPENSSL_CONF\" && printf 'end\\n'; exec sleep 9", data, &err);
    unsetenv("http_proxy");
    unsetenv("OPENSSL_CONF");
    assert_int_equal(r, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames),
        cmocka_unit_test(frames_that_are_refused),
        cmocka_unit_test(children),
        cmocka_unit_test(the_environment_is_empty),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
