// SPDX-License-Identifier: Apache-2.0
// PKCS#11 URIs (RFC 7512). OpenSSL 3 calls its engines deprecated; Debian 12 has no pkcs11 provider yet, so the engine it is.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "builder/signer.h"
#include <errno.h>
#include <openssl/engine.h>

int signer_token_key(const char *uri, EVP_PKEY **ret_key, struct err *err) {
    ENGINE_load_dynamic();
    ENGINE *engine = ENGINE_by_id("pkcs11");
    if (!engine)
        return certificate_error(err, -ENOENT, "keys in tokens need OpenSSL's pkcs11 engine (install libengine-pkcs11-openssl)");
    if (ENGINE_init(engine) != 1) {
        ENGINE_free(engine);
        return certificate_error(err, -EIO, "starting OpenSSL's pkcs11 engine");
    }
    // The key holds a reference of its own on the engine.
    EVP_PKEY *key = ENGINE_load_private_key(engine, uri, NULL, NULL);
    ENGINE_finish(engine);
    ENGINE_free(engine);
    if (!key)
        return certificate_error(err, -ENOENT,
                                 "no private key in a token answers to this pkcs11: address; its PIN belongs into "
                                 "pin-source or pin-value");
    *ret_key = key;
    return 0;
}
