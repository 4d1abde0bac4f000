// SPDX-License-Identifier: Apache-2.0
// Whether the keyrings of an image hold the keys that its definition names, and no others.
#pragma once
#include "builder/recipe.h"

// gpg reads the files. -EKEYREJECTED names the keyring and a key that is not in the definition; sources without `keys` are not looked at.
int keyring_check(const struct recipe_image *image, struct err *err) must_check nonnull(1, 2);
// -ENOENT says where a keyring that is missing comes from.
int keyring_require(const struct recipe_image *image, const struct recipe_source *source, struct err *err) must_check nonnull(1, 2, 3);
// The fingerprints of primary keys in what `gpg --with-colons --show-keys` prints (gnupg's doc/DETAILS).
void keyring_parse(const char *listing, struct strings *ret_keys) nonnull(1, 2);
