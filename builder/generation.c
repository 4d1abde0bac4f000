// SPDX-License-Identifier: Apache-2.0
// Puts together what the top layer says; the layer itself is made like every other.
#include "builder/generation.h"
#include "builder/keygen.h"
#include "builder/recipe_line.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/schema.h"
#include "common/signature.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/x509v3.h>

// Every certificate must be a CA, or no update would ever verify; true in *ret_development when one is of development keys.
static int check_trust(const char *path, bool *ret_development, struct err *err) {
    STACK_OF(X509) *list = NULL;
    int r = certificate_load_all(path, &list, err);
    if (r < 0)
        return r;
    *ret_development = false;
    for (int i = 0; r == 0 && i < sk_X509_num(list); i++) {
        X509 *x509 = sk_X509_value(list, i);
        cleanup_free char *subject = certificate_subject(x509);
        if (X509_check_ca(x509) != 1)
            r = err_set(err, -EINVAL, "%s: %s is no certificate authority; root certificates are expected", path, subject);
        *ret_development |= keygen_is_development(x509);
    }
    sk_X509_pop_free(list, X509_free);
    return r;
}

// Names who is at fault for a file of certificates: the option, the profile, or what was made without being asked for.
static int blame_trust(const struct recipe *recipe, const char *trust, int code, struct err *err) {
    if (trust)
        return err_prefix(err, code, "--trust");
    return recipe->profile->trust ? recipe_blame(recipe->profile_path, "trust", code, err) : err_prefix(err, code, "development keys");
}

static int find_trust(const struct recipe *recipe, const char *trust, char **ret_path, struct err *err) {
    cleanup_free char *dir = NULL;
    if (trust || recipe->profile->trust) {
        *ret_path = trust ? str_dup(trust) : recipe_beside(recipe, recipe->profile->trust);
        return 0;
    }
    int r = keygen_development(&dir, err);
    if (r >= 0)
        *ret_path = str_printf("%s/" KEYGEN_ROOT ".pem", dir);
    return r;
}

int generation_load(const struct recipe *recipe, const char *trust, int64_t created, struct generation *ret_generation, struct err *err) {
    const struct recipe_profile *profile = recipe->profile;
    struct generation generation = {.created = created};
    cleanup_free char *path = NULL;
    int r = find_trust(recipe, trust, &path, err);
    if (r >= 0)
        r = check_trust(path, &generation.is_development, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, path, SIGNATURE_MAX_TRUST_BYTES, &generation.trust, &generation.trust_size, err);
    if (r < 0)
        return blame_trust(recipe, trust, r, err);
    generation.compatible =
        profile->compatible ? str_dup(profile->compatible) : str_printf("%s-%s", profile->name, recipe->image->architecture);
    generation.channel = str_dup(profile->channel ?: "stable");
    generation.text =
        str_printf("COMPATIBLE=%s\nCHANNEL=%s\nCREATED=%" PRId64 "\nCONFIG_SCHEMA=%d\nDEVELOPMENT_KEYS=%s\n", generation.compatible,
                   generation.channel, created, SCHEMA_VERSION, generation.is_development ? "true" : "false");
    *ret_generation = generation;
    return 0;
}

void generation_done(struct generation *generation) {
    free(generation->compatible);
    free(generation->channel);
    free(generation->text);
    free(generation->trust);
    *generation = (struct generation){0};
}
