// SPDX-License-Identifier: Apache-2.0
// Strict loading of YAML by libcyaml tables, with faults as "FILE:LINE: MEMBER: what". Internal to recipe_*.c.
#pragma once
#include "common/err.h"
#include <cyaml/cyaml.h>

// A fault is "NAME:LINE: MEMBER: what". The data is freed by recipe_yaml_free().
int recipe_yaml_load(const char *text, size_t size, const char *name, const cyaml_schema_value_t *schema, void *ret_data,
                     struct err *err) must_check nonnull(3, 4, 5, 6);
void recipe_yaml_free(const cyaml_schema_value_t *schema, void *data) nonnull(1);

// recipe_scan.c: whether the text is one YAML document without aliases; a fault is "NAME:LINE: what".
int recipe_yaml_scan(const char *text, size_t size, const char *name, struct err *err) must_check nonnull(3, 4);
