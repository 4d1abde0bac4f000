// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "firstboot/accounts.h"

static const struct account operator= {.name = "ops", .uid = 1000, .gid = 1000};

static void passwd_keeps_the_image(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    accounts_passwd("root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/x\n", &operator, & text);
    assert_string_equal(buf_str(&text),
                        "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/x\nops:x:1000:1000:Operator:/home/ops:/bin/bash\n");
}

static void passwd_twice_is_once(void **state) {
    (void)state;
    cleanup_buf struct buf once = {0}, twice = {0};
    accounts_passwd("root:x:0:0::/root:/bin/sh\n", &operator, & once);
    accounts_passwd(buf_str(&once), &operator, & twice);
    assert_string_equal(buf_str(&once), buf_str(&twice));
}

static void a_former_operator_goes(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0}, group = {0};
    accounts_passwd("old:x:1000:1000:Operator:/home/old:/bin/bash\na:x:10000:1::/:/x\n", &operator, & text);
    assert_string_equal(buf_str(&text), "a:x:10000:1::/:/x\nops:x:1000:1000:Operator:/home/ops:/bin/bash\n");
    accounts_group("old:x:1000:\nadm:x:4:old\nsystemd-journal:x:101:old,other\nsudo:x:27:x\n", &operator, & group);
    assert_string_equal(buf_str(&group), "adm:x:4:ops\nsystemd-journal:x:101:ops\nsudo:x:27:x\nops:x:1000:\n");
}

static void a_line_without_its_newline(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    accounts_passwd("root:x:0:0::/root:/bin/sh", &operator, & text);
    assert_string_equal(buf_str(&text), "root:x:0:0::/root:/bin/sh\nops:x:1000:1000:Operator:/home/ops:/bin/bash\n");
}

static void shadow_locks_without_a_hash(void **state) {
    (void)state;
    cleanup_buf struct buf locked = {0}, open = {0};
    accounts_shadow("root:*:1::::::\nops:$old:::::::\n", &operator, & locked);
    assert_string_equal(buf_str(&locked), "root:*:1::::::\nops:!*:::::::\n");
    struct account with_hash = operator;
    with_hash.password_hash = "$6$a$b";
    accounts_shadow("", &with_hash, &open);
    assert_string_equal(buf_str(&open), "ops:$6$a$b:::::::\n");
}

static void gshadow_has_members_too(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    accounts_gshadow("root:*::\nadm:*::old\nops:!::\n", &operator, & text);
    assert_string_equal(buf_str(&text), "root:*::\nadm:*::ops\nops:!::\n");
}

static void names_of_the_image_are_taken(void **state) {
    (void)state;
    struct account account = operator;
    assert_false(accounts_is_taken("root:x:0:0::/:/x\n", "root:x:0:\n", &account));
    assert_false(accounts_is_taken("ops:x:1000:1000::/:/x\n", "ops:x:1000:\n", &account)); // ourselves
    account.name = "sshd";
    assert_true(accounts_is_taken("sshd:x:100:65534::/:/x\n", "", &account));
    account.name = "sudo";
    assert_true(accounts_is_taken("", "adm:x:4:\nsudo:x:27:\n", &account));
    account.name = "ssh";
    assert_false(accounts_is_taken("sshd:x:100:65534::/:/x\n", "", &account)); // a prefix is another name
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwd_keeps_the_image),       cmocka_unit_test(passwd_twice_is_once),
        cmocka_unit_test(a_former_operator_goes),       cmocka_unit_test(a_line_without_its_newline),
        cmocka_unit_test(shadow_locks_without_a_hash),  cmocka_unit_test(gshadow_has_members_too),
        cmocka_unit_test(names_of_the_image_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
