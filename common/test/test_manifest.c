// SPDX-License-Identifier: Apache-2.0
// The manifest: both forms say the same, nothing but what they should say is read, and what contradicts itself is refused.
#include "common/test/manifest_seed.h"
#include "common/test/support.h"
#include <errno.h>

static void seed_text(struct buf *ret_json) {
    struct manifest manifest;
    struct err err = {0};
    manifest_seed(&manifest, 2);
    if (manifest_format(&manifest, ret_json, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_parse(const char *text, size_t size, int code, const char *word) {
    struct manifest manifest, before;
    struct err err = {0};
    memset(&before, 0x5a, sizeof(before));
    manifest = before;
    cleanup_free char *exact = mem_array(size ? size : 1, 1); // so that a read past the end is seen
    memcpy(exact, text, size);
    int r = manifest_parse(exact, size, &manifest, &err);
    if (r != code || !strstr(err.text, word))
        fail_msg("%d '%s', but %d with '%s' was expected, for: %.200s", r, err.text, code, word, text);
    assert_memory_equal(&manifest, &before, sizeof(before));
}

// The seed with the first `from` replaced by `to`.
static void assert_replaced(const char *from, const char *to, const char *word) {
    cleanup_buf struct buf json = {0}, changed = {0};
    seed_text(&json);
    const char *at = strstr(json.data, from);
    if (!at)
        fail_msg("'%s' is not in the seed", from);
    buf_add(&changed, json.data, (size_t)(at - json.data));
    buf_add_str(&changed, to);
    buf_add_str(&changed, at + strlen(from));
    assert_parse(changed.data, changed.size, -EINVAL, word);
}

static void test_round_trips(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= SLOT_MAX_LAYERS; count++) {
        struct manifest seed, parsed, flat_parsed;
        struct err err = {0};
        cleanup_buf struct buf json = {0}, again = {0}, flat = {0}, flat_again = {0};
        manifest_seed(&seed, count);
        seed.is_development = count % 2;
        if (manifest_format(&seed, &json, &err) < 0 || manifest_parse(json.data, json.size, &parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&parsed, &seed, sizeof(seed));
        assert_int_equal(manifest_format(&parsed, &again, &err), 0);
        assert_string_equal(json.data, again.data);
        if (manifest_format_flat(&seed, &flat, &err) < 0 || manifest_parse_flat(flat.data, flat.size, &flat_parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&flat_parsed, &seed, sizeof(seed));
        assert_int_equal(manifest_format_flat(&flat_parsed, &flat_again, &err), 0);
        assert_string_equal(flat.data, flat_again.data);
    }
}

// The text of docs/FORMATS.md, so that writer and reader cannot be wrong together.
// Sizes and offsets of more than 32 bits, in both forms.
static void test_large_parts(void **state) {
    (void)state;
    static const uint64_t sizes[] = {(1ULL << 32) - 1, 1ULL << 32, (1ULL << 32) + 1, (1ULL << 33) + 12345};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct manifest seed, parsed, flat_parsed;
        struct err err = {0};
        cleanup_buf struct buf json = {0}, flat = {0};
        manifest_seed(&seed, 3);
        seed.layers[0].data.bytes = seed.layers[1].data.bytes = sizes[i];
        manifest_seal(&seed);
        assert_true(seed.layers[2].data.offset > 2 * sizes[i]);
        assert_true(seed.boot.data_blocks > 2 * sizes[i] / SLOT_BLOCK_BYTES);
        if (manifest_format(&seed, &json, &err) < 0 || manifest_parse(json.data, json.size, &parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&parsed, &seed, sizeof(seed));
        if (manifest_format_flat(&seed, &flat, &err) < 0 || manifest_parse_flat(flat.data, flat.size, &flat_parsed, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(&flat_parsed, &seed, sizeof(seed));
    }
}

static void test_text(void **state) {
    (void)state;
    static const char start[] = "{\n \"format\": 1,\n \"profile\": \"edge-web.1\",\n \"version\": \"2026.11+r4~rc1\",\n"
                                " \"compatible\": \"edge-web.1-x86-64\",\n \"channel\": \"stable\",\n \"sequence\": 42,\n"
                                " \"created\": 1795000000,\n \"valid_from\": 1795000000,\n \"valid_until\": 1826536000,\n"
                                " \"minimum_updater\": 1,\n \"config_schema\": 1,\n \"development\": false,\n \"slot\": {\n  \"id\": \"";
    static const char part[] = " \"packages\": {\n  \"offset\": 0,\n  \"bytes\": 1234,\n  \"sha256\": \"00000000000000000000000000000000"
                               "00000000000000000000000000000000\"\n },\n";
    static const char layer[] = " \"layers\": [\n  {\n   \"name\": \"layer-0.x\",\n   \"version\": \"1:0.0-2\",\n   \"data\": {\n"
                                "    \"offset\": 1064960,\n    \"bytes\": 4096,\n    \"sha256\": \"a0a0";
    cleanup_buf struct buf json = {0};
    seed_text(&json);
    assert_int_equal(strncmp(json.data, start, strlen(start)), 0);
    assert_contains(json.data, part);
    assert_contains(json.data, layer);
    assert_string_equal(json.data + json.size - 8, " }\n ]\n}\n");
}

// Every part begins where the one before it ends, at the next multiple of 4096, in the order of docs/FORMATS.md.
static void test_payload(void **state) {
    (void)state;
    struct manifest manifest;
    manifest_seed(&manifest, 3);
    const struct manifest_part *parts[] = {&manifest.packages,        &manifest.uki_index,       &manifest.layers[0].index,
                                           &manifest.layers[1].index, &manifest.layers[2].index, &manifest.uki,
                                           &manifest.layers[0].data,  &manifest.layers[1].data,  &manifest.layers[2].data};
    uint64_t end = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        assert_int_equal(parts[i]->offset, end);
        end = (end + parts[i]->bytes + 4095) & ~UINT64_C(4095);
    }
    assert_int_equal(manifest_payload_bytes(&manifest), end);
}

static void test_slot_header(void **state) {
    (void)state;
    struct manifest manifest;
    struct slot_header header, parsed;
    uint8_t bytes[SLOT_HEADER_BYTES];
    struct err err = {0};
    manifest_seed(&manifest, 3);
    assert_int_equal(manifest_slot_header(&manifest, &header, bytes, &err), 0);
    assert_int_equal(slot_header_parse(bytes, sizeof(bytes), &parsed, &err), 0);
    assert_memory_equal(&parsed, &header, sizeof(header));
    assert_memory_equal(header.id, manifest.boot.id, SLOT_ID_BYTES);
    assert_string_equal(header.version, manifest.version);
    assert_string_equal(header.layers[2].name, "layer-2.x");
    assert_int_equal(header.layers[2].length, manifest.layers[2].data.bytes);
    memset(&header, 0x5a, sizeof(header));
    parsed = header;
    manifest.boot.id[3] ^= 1;
    assert_int_equal(manifest_slot_header(&manifest, &header, bytes, &err), -EBADMSG);
    manifest.boot.id[3] ^= 1;
    manifest.boot.data_blocks += UINT64_C(1) << 52; // as bytes that would be the same number
    assert_int_equal(manifest_slot_header(&manifest, &header, bytes, &err), -EBADMSG);
    assert_memory_equal(&header, &parsed, sizeof(header));
}

// A single flipped bit is never read: it breaks JSON, a rule, the binding of the parts, or (where it makes another hash of something the
// manifest does not hold itself, another time or name) only the signature can tell. Those are counted: they must be read as written.
static void test_every_bit_flip(void **state) {
    (void)state;
    cleanup_buf struct buf json = {0};
    unsigned taken = 0;
    seed_text(&json);
    for (size_t bit = 0; bit < 8 * json.size; bit++) {
        struct manifest manifest;
        struct err err = {0};
        cleanup_buf struct buf again = {0};
        json.data[bit / 8] ^= (char)(1u << bit % 8);
        int r = manifest_parse(json.data, json.size, &manifest, &err);
        if (r == 0) {
            taken++;
            assert_int_equal(manifest_format(&manifest, &again, &err), 0);
            assert_int_equal(again.size, json.size);
            assert_memory_equal(again.data, json.data, json.size);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_contains(err.text, "manifest");
            for (const char *c = err.text; *c; c++)
                assert_in_range(*c, ' ', '~');
        }
        json.data[bit / 8] ^= (char)(1u << bit % 8);
    }
    // Seven free hashes of 64 digits, about three flips in eight of each give a digit again; little else is free.
    assert_in_range(taken, 7 * 64, 7 * 64 * 4 + 200);
}

static void test_every_truncation(void **state) {
    (void)state;
    cleanup_buf struct buf json = {0};
    seed_text(&json);
    for (size_t size = 0; size < json.size; size++)
        assert_parse(json.data, size, -EINVAL, "manifest");
    buf_add_str(&json, "\n");
    assert_parse(json.data, json.size, -EINVAL, "one form");
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        size_t size;
        int code;
        const char *word;
    } cases[] = {{0, -EINVAL, "manifest"},
                 {1, -EINVAL, "manifest"},
                 {MANIFEST_MAX_BYTES, -EINVAL, "manifest"},
                 {MANIFEST_MAX_BYTES + 1, -EFBIG, "65537 bytes"},
                 {1 << 24, -EFBIG, "65536 are possible"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text = mem_array(cases[i].size + 1, 1);
        memset(text, ' ', cases[i].size);
        assert_parse(text, cases[i].size, cases[i].code, cases[i].word);
    }
}

// JSON that readers disagree about, and JSON made to hurt.
static void test_nasty_json(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *word;
    } cases[] = {
        {" \"sequence\": 42", " \"sequence\": 42,\n \"sequence\": 43", "duplicate object key"},
        {" \"sequence\": 42", " \"sequence\": 42,\n \"\\u0073equence\": 43", "duplicate object key"},
        {"\"bytes\": 1234", "\"bytes\": 1234,\n  \"bytes\": 1234", "duplicate object key"},
        {" \"sequence\": 42", " \"sequence\": 42,\n \"more\": 1", "unknown member 'more'"},
        {"\"bytes\": 1234", "\"bytes\": 1234,\n  \"md5\": \"00\"", "unknown member 'md5'"},
        {"\"version\": \"1:0.0-2\"", "\"version\": \"1:0.0-2\",\n \"x\\u001b[2J\\u0007\": 1", "unknown member 'x?[2J?'"},
        {" \"sequence\": 42,\n", "", "manifest.sequence is missing"},
        {"  \"bytes\": 1234,\n", "", "manifest.packages.bytes is missing"},
        {"   \"name\": \"layer-0.x\",\n", "", "layers[0].name is missing"},
        {"42", "1e308", "sequence is not a whole number"},
        {"42", "42.0", "sequence is not a whole number"},
        {"42", "4.2e1", "sequence is not a whole number"},
        {"42", "-0", "sequence is not a number from 1"},
        {"42", "-42", "sequence is not a whole number"},
        {"42", "0", "sequence is not a number from 1"},
        {"42", "042", "manifest: line"},
        {"42", "+42", "manifest: line"},
        {"42", "0x2a", "manifest: line"},
        {"42", "NaN", "manifest: line"},
        {"42", "Infinity", "manifest: line"},
        {"42", "1e999", "manifest: line"},
        {"42", "9223372036854775808", "too big integer"},
        {"42", "18446744073709551615", "too big integer"},
        {"42", "99999999999999999999999999999999999999999", "too big integer"},
        {"42", "\"42\"", "sequence is not a whole number"},
        {"42", "null", "sequence is not a whole number"},
        {"42", "[42]", "sequence is not a whole number"},
        {"42", "{}", "sequence is not a whole number"},
        {"42", "true", "sequence is not a whole number"},
        {"\"development\": false", "\"development\": 0", "development is not true or false"},
        {"\"development\": false", "\"development\": \"false\"", "development is not true or false"},
        {"\"minimum_updater\": 1", "\"minimum_updater\": 4294967297", "minimum_updater is not a whole number"},
        {"\"minimum_updater\": 1", "\"minimum_updater\": 0", "minimum_updater"},
        {"\"stable\"", "7", "channel is not a text"},
        {"\"stable\"", "\"sta\\u0000ble\"", "manifest: line"},
        {"\"stable\"", "\"\\ud800\"", "manifest: line"},
        {"\"stable\"", "\"\\udc00\\ud800\"", "manifest: line"},
        {"\"stable\"", "\"\xff\xfe\"", "manifest: line"},
        {"\"stable\"", "\"\xc0\xaf\"", "manifest: line"},
        {"\"stable\"", "\"\xed\xa0\x80\"", "manifest: line"},
        {"\"stable\"", "\"sta\tble\"", "manifest: line"},
        {"\"stable\"", "'stable'", "manifest: line"},
        {"\"stable\"", "\"\\u0073table\"", "one form"}, // M9: an escape that means the same
        {"\"stable\"", "\"st\xc3\xa4ndig\"", "compatible and channel"},
        {"\"stable\"", "\"\"", "compatible and channel"},
        {"\"stable\"", "\"Stable\"", "compatible and channel"},
        {"\"stable\"", "\"../../etc\"", "compatible and channel"},
        {"\"stable\"", "\"-x\"", "compatible and channel"},
        {"\"stable\"", "\"a/b\"", "compatible and channel"},
        {"\"stable\"", "\"0123456789012345678901234567890123456789012345678901234567890123\"", "at most 63 bytes"},
        {"\"edge-web.1\"", "\"Edge\"", "profile name"},
        {"\"edge-web.1\"", "\"edge/../x\"", "profile name"},
        {"\"edge-web.1\"", "\"012345678901234567890123456789012345678901234567\"", "at most 47 bytes"},
        {"\"2026.11+r4~rc1\"", "\"a b\"", "version"},
        {"\"layer-0.x\"", "\"../layer\"", "layer 0 has a bad name"},
        {"\"format\": 1", "\"format\": 2", "format 2, this program reads format 1"},
        {"\"format\": 1", "\"format\": \"1\"", "which format"},
        {" \"format\": 1,\n", "", "which format"},
        {"{\n \"format\"", "\xef\xbb\xbf{\n \"format\"", "manifest: line 1"},
        {"{\n \"format\"", "[{\n \"format\"", "manifest: line"},
        {"\"layers\": [\n", "\"layers\": [\n  7,\n", "layers[0] is not an object"},
        {"\"layers\": [\n", "\"layers\": [\n  [],\n", "layers[0] is not an object"},
        {"\"layers\": [\n", "\"layers\": [\n  1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,\n", "list of 1 to 16"},
        {"\"layers\": [\n", "\"layers\": [],\n \"list\": [\n", "unknown member 'list'"},
        {"{\n \"format\"", "{ \n \"format\"", "one form"},
        {"{\n \"format\"", "{\r\n \"format\"", "one form"},
        {"{\n \"format\"", "/* */{\n \"format\"", "manifest: line 1"},
        {" \"profile\": \"edge-web.1\",\n \"version\": \"2026.11+r4~rc1\",",
         " \"version\": \"2026.11+r4~rc1\",\n \"profile\": \"edge-web.1\",", "one form"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_replaced(cases[i].from, cases[i].to, cases[i].word);
}

static void test_nul_and_depth(void **state) {
    (void)state;
    cleanup_buf struct buf json = {0}, deep = {0};
    seed_text(&json);
    json.data[json.size - 1] = 0;
    assert_parse(json.data, json.size, -EINVAL, "manifest");
    static const char *const forms[][2] = {{"[", "]"}, {"{\"a\":", "}"}};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        deep.size = 0;
        for (int depth = 0; depth < 10000; depth++)
            buf_add_str(&deep, forms[i][0]);
        assert_parse(deep.data, deep.size, -EINVAL, "maximum parsing depth");
    }
    assert_parse("[]", 2, -EINVAL, "not a JSON object");
    assert_parse("{}", 2, -EINVAL, "which format");
    assert_parse("null", 4, -EINVAL, "manifest");
}

static void test_hashes(void **state) {
    (void)state;
    static const char hash[] = "\"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"";
    static const char *const others[] = {
        "\"\"",
        "\"a0\"",
        "\"A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"",
        "\"A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0\"",
        "\"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\"",
        "\"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\"",
        "\"g0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"",
        "\" 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"",
        "\"sha256:a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"",
        "\"d41d8cd98f00b204e9800998ecf8427e\"",
        "\"none\"",
        "null",
        "0",
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_replaced(hash, others[i], "layers[0].data.sha256 is not 64 hex digits in lower case");
    assert_replaced("\"sha256\": \"a0", "\"sha512\": \"a0", "unknown member 'sha512'");
    // Another layer's hash is another generation.
    assert_replaced("\"a0a0", "\"a0a1", "has another id than slot says");
}

// One change each to the structure, and its word; both forms are refused when written, so nobody signs them.
struct change {
    const char *word;
    void (*apply)(struct manifest *manifest);
};
#define CHANGE(text, code)                                                                                                                 \
    {                                                                                                                                      \
        text, ({                                                                                                                           \
            void fn_(struct manifest *m) {                                                                                                 \
                code;                                                                                                                      \
            }                                                                                                                              \
            fn_;                                                                                                                           \
        })                                                                                                                                 \
    }

static void assert_not_written(const struct manifest *manifest, const char *word) {
    struct err err = {0};
    cleanup_buf struct buf text = {0};
    assert_int_equal(manifest_format(manifest, &text, &err), -EINVAL);
    assert_contains(err.text, word);
    assert_int_equal(manifest_format_flat(manifest, &text, &err), -EINVAL);
    assert_contains(err.text, word);
    assert_int_equal(text.size, 0);
}

static void test_rules(void **state) {
    (void)state;
    const struct change changes[] = {
        CHANGE("0 layers", m->layer_count = 0),
        CHANGE("17 layers", m->layer_count = 17),
        CHANGE("sequence", m->sequence = UINT64_MAX),
        CHANGE("valid_from is not before", m->valid_until = m->valid_from),
        CHANGE("1970 to 9999", m->valid_from = -1),
        CHANGE("1970 to 9999", m->created = INT64_MIN),
        CHANGE("1970 to 9999", m->valid_until = INT64_MAX),
        CHANGE("packages has an impossible size", m->packages.bytes = 0),
        CHANGE("packages has an impossible size", m->packages.bytes = UINT64_MAX),
        CHANGE("uki_index does not start", m->packages.bytes = 4097),
        CHANGE("uki_index does not start", m->uki_index.offset -= 4096),
        CHANGE("uki_index does not start", m->uki_index.offset += 1),
        CHANGE("uki_index has an impossible size", m->uki_index.bytes = UINT64_C(1) << 30),
        CHANGE("a layer's index does not start", m->layers[1].index.offset = m->layers[0].index.offset),
        CHANGE("a layer's index has an impossible size", m->layers[1].index.bytes = 0),
        CHANGE("uki does not start", m->uki.offset += 4096),
        CHANGE("uki has an impossible size", m->uki.bytes = UINT64_C(1) << 63),
        CHANGE("payload is larger", m->uki.bytes = SLOT_MAX_BYTES),
        CHANGE("a layer does not start", m->uki.bytes += 4096),
        CHANGE("a layer does not start", m->layers[0].data.bytes += 4096),
        CHANGE("a layer does not start", m->layers[1].data.offset = UINT64_MAX - 4095),
        CHANGE("a layer has an impossible size", m->layers[1].data.bytes = 0),
        CHANGE("a layer has an impossible size", m->layers[1].data.bytes = UINT64_MAX),
        CHANGE("another id", m->layers[1].data.bytes -= 1), // within the same block
        CHANGE("another id", m->layers[1].data.sha256[31] ^= 1),
        CHANGE("another id", m->sequence++),
        CHANGE("another id", m->version[0] = '3'),
        CHANGE("another id", m->layers[0].name[0] = 'm'),
        CHANGE("not that of slot", m->boot.root_hash[0] ^= 1),
        CHANGE("not that of slot", m->boot.id[0] ^= 1),
        CHANGE("not that of slot", m->boot.data_blocks++),
        CHANGE("inside the UKI is empty", m->linux_in_uki.bytes = 0),
        CHANGE("ends behind it", m->linux_in_uki.bytes = UINT64_MAX),
        CHANGE("ends behind it", m->initrd_in_uki.offset = m->uki.bytes),
        CHANGE("ends behind it", m->initrd_in_uki.offset = UINT64_MAX),
        CHANGE("overlap", m->initrd_in_uki.offset = m->linux_in_uki.offset + m->linux_in_uki.bytes - 1),
        CHANGE("overlap", m->linux_in_uki.offset = m->cmdline_in_uki.offset),
        CHANGE("size and hash of cmdline", m->cmdline_in_uki.bytes--),
        CHANGE("size and hash of cmdline", m->cmdline_in_uki.sha256[0] ^= 1),
        CHANGE("size and hash of cmdline", m->cmdline[0] = 'Q'),
        CHANGE("cmdline is not printable", m->cmdline[0] = '$'),
        CHANGE("cmdline is not printable", m->cmdline[0] = '\''),
        CHANGE("cmdline is not printable", m->cmdline[0] = '\n'),
        CHANGE("cmdline is not printable", m->cmdline[0] = '\x80'),
        CHANGE("cmdline is not printable", m->cmdline[0] = 0),
        CHANGE("compatible and channel", m->compatible[0] = '/'),
        CHANGE("compatible and channel", m->channel[0] = 0),
        CHANGE("out of range", m->config_schema = UINT32_MAX),
        CHANGE("out of range", m->minimum_updater = 0),
    };
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        struct manifest manifest;
        manifest_seed(&manifest, 2);
        changes[i].apply(&manifest);
        assert_not_written(&manifest, changes[i].word);
    }
}

// A command line without the slot, with two, or with another generation's.
static void test_command_line(void **state) {
    (void)state;
    struct manifest seed;
    manifest_seed(&seed, 1);
    cleanup_free char *twice = str_printf("%s %s", strstr(seed.cmdline, "webops.slot="), strstr(seed.cmdline, "webops.slot="));
    cleanup_free char *quiet = str_printf("%s", "quiet"), *broken = str_printf("%s.", seed.cmdline);
    const char *const lines[] = {quiet, twice, broken};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct manifest manifest = seed;
        memset(manifest.cmdline, 0, sizeof(manifest.cmdline));
        strcpy(manifest.cmdline, lines[i]);
        manifest.cmdline_in_uki.bytes = strlen(lines[i]);
        sha256_hash(lines[i], strlen(lines[i]), manifest.cmdline_in_uki.sha256);
        assert_not_written(&manifest, "webops.slot=");
    }
}

static void test_flat_text(void **state) {
    (void)state;
    struct manifest manifest;
    struct err err = {0};
    cleanup_buf struct buf flat = {0};
    manifest_seed(&manifest, 2);
    assert_int_equal(manifest_format_flat(&manifest, &flat, &err), 0);
    static const char *const lines[] = {
        "FORMAT=1\nPROFILE=edge-web.1\n", "\nVERSION='2026.11+r4~rc1'\n",    "\nSEQUENCE=42\n",
        "\nDEVELOPMENT=false\n",          "\nSLOT_DATA_BLOCKS=5\n",          "\nPACKAGES_BYTES=1234\n",
        "\nUKI_INDEX_OFFSET=4096\n",      "\nLINUX_IN_UKI_OFFSET=8192\n",    "\nLAYERS=2\nLAYER0_NAME=layer-0.x\n",
        "\nLAYER1_DATA_BYTES=9192\n",     "\nLAYER1_INDEX_SHA256=b1b1b1b1b1"};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_contains(flat.data, lines[i]);
}

static void test_flat_damage(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *word;
    } cases[] = {
        {"FORMAT=1\n", "", "FORMAT"},
        {"FORMAT=1\n", "FORMAT=2\n", "FORMAT is not 1"},
        {"LAYERS=2\n", "LAYERS=3\n", "LAYER2_NAME is missing"},
        {"LAYERS=2\n", "LAYERS=1\n", "unknown keys"},
        {"LAYERS=2\n", "LAYERS=0\n", "LAYERS is not a number from 1 to 16"},
        {"LAYERS=2\n", "LAYERS=17\n", "LAYERS is not a number from 1 to 16"},
        {"LAYERS=2\n", "LAYERS=02\n", "LAYERS is not a number from 1 to 16"},
        {"SEQUENCE=42\n", "SEQUENCE=42\nMORE=1\n", "1 unknown keys"},
        {"SEQUENCE=42\n", "SEQUENCE=42\nSEQUENCE=42\n", "set twice"},
        {"SEQUENCE=42\n", "", "SEQUENCE is missing"},
        {"SEQUENCE=42\n", "SEQUENCE=042\n", "SEQUENCE is not a whole number"},
        {"SEQUENCE=42\n", "SEQUENCE=+42\n", "SEQUENCE is not a whole number"},
        {"SEQUENCE=42\n", "SEQUENCE=\n", "SEQUENCE is not a whole number"},
        {"SEQUENCE=42\n", "SEQUENCE=9223372036854775808\n", "SEQUENCE is not a whole number"},
        {"SEQUENCE=42\n", "SEQUENCE=43\n", "another id"},
        {"DEVELOPMENT=false", "DEVELOPMENT=no", "DEVELOPMENT is not true or false"},
        {"a0a0a0\n", "a0a0A0\n", "LAYER0_DATA_SHA256 is not 64 hex digits"},
        {"a0a0a0\n", "a0a0a\n", "LAYER0_DATA_SHA256 is not 64 hex digits"},
        {"PACKAGES_BYTES=1234", "PACKAGES_BYTES=0", "packages has an impossible size"},
        {"CHANNEL=stable", "CHANNEL='sta ble'", "compatible and channel"},
        {"CHANNEL=stable", "CHANNEL=$x", "line 5"},
    };
    struct manifest seed;
    struct err err = {0};
    cleanup_buf struct buf flat = {0};
    manifest_seed(&seed, 2);
    assert_int_equal(manifest_format_flat(&seed, &flat, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest manifest = {.sequence = 4711};
        const char *at = strstr(flat.data, cases[i].from);
        if (!at)
            fail_msg("'%s' is not in the seed", cases[i].from);
        cleanup_free char *text = str_printf("%.*s%s%s", (int)(at - flat.data), flat.data, cases[i].to, at + strlen(cases[i].from));
        assert_int_equal(manifest_parse_flat(text, strlen(text), &manifest, &err), -EINVAL);
        assert_contains(err.text, cases[i].word);
        assert_int_equal(manifest.sequence, 4711);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),      cmocka_unit_test(test_large_parts), cmocka_unit_test(test_text),
        cmocka_unit_test(test_payload),          cmocka_unit_test(test_slot_header), cmocka_unit_test(test_every_bit_flip),
        cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_sizes),       cmocka_unit_test(test_nasty_json),
        cmocka_unit_test(test_nul_and_depth),    cmocka_unit_test(test_hashes),      cmocka_unit_test(test_rules),
        cmocka_unit_test(test_command_line),     cmocka_unit_test(test_flat_text),   cmocka_unit_test(test_flat_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
