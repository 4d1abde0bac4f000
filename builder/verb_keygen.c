// SPDX-License-Identifier: Apache-2.0
// webops-image keygen: makes the keys of a product, and says what to do with each.
#include "builder/keygen.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

#define BACKDATE_S KEYGEN_DAY // machines whose clock is a little slow

static void print_advice(const char *dir) {
    printf("keys in %s:\n"
           "  offline:      root.key, secure-boot/PK.key, secure-boot/KEK.key: move them to a medium that is kept apart\n"
           "  build server: intermediate.pem, signing.key, signing.pem (bundle --key, --cert, --chain)\n"
           "                secure-boot/db.key, secure-boot/db.pem, secure-boot/*.auth (build --secure-boot-key, --secure-boot-cert)\n"
           "  into images:  root.pem (build --trust, or trust: in the profile)\n"
           "  next signing certificate: intermediate.key signs it; keep that apart from the build server, too\n"
           "Whoever has signing.key can update every machine that trusts root.pem. Nobody can make root.key again.\n",
           dir);
}

// All numbers of this verb are days.
static int check_days(const struct opt *options, struct err *err) {
    for (const struct opt *opt = options; opt->name; opt++) {
        long days = opt->kind == OPT_NUMBER ? *(const long *)opt->value : 1;
        if (days < 1 || days > KEYGEN_MAX_DAYS)
            return err_set(err, -EINVAL, "--%s: %ld days; 1 to %ld are possible", opt->name, days, KEYGEN_MAX_DAYS);
    }
    return 0;
}

int verb_keygen(const struct verb *self, int argc, char **argv) {
    struct keygen_request request = {.name = "webops", KEYGEN_DAYS};
    const struct opt options[] = {
        {"name", 'n', OPT_TEXT, &request.name, "NAME", "Stands in every certificate's name (default: webops)."},
        {"days", 0, OPT_NUMBER, &request.signing_days, "N", "How long the signing certificate is valid (default: 730)."},
        {"intermediate-days", 0, OPT_NUMBER, &request.intermediate_days, "N", "The same of the intermediate CA (default: 3650)."},
        {"root-days", 0, OPT_NUMBER, &request.root_days, "N", "The same of the root CA (default: 7300)."},
        {"secure-boot-days", 0, OPT_NUMBER, &request.secure_boot_days, "N",
         "The same of the Secure Boot keys (default: 7300); most firmware does not look."},
        {0},
    };
    struct err err = {0};
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    if (check_days(options, &err) < 0) {
        log_error("keygen: %s", err.text);
        return EXIT_USAGE;
    }
    request.not_before = (int64_t)time(NULL) - BACKDATE_S;
    int r = keygen_make(args[0], &request, &err);
    if (r < 0)
        return verb_failed(r, &err);
    print_advice(args[0]);
    return EXIT_OK;
}
