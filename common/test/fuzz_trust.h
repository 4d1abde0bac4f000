// SPDX-License-Identifier: Apache-2.0
// The root that signed the corpora of fuzz_signature and fuzz_bundle. Its key and the signer's were thrown away when they were made, so
// nothing but what is committed there can ever be signed by it.
#pragma once
#include "common/sha256.h"
#include "common/signature.h"
#include <string.h>

static const char fuzz_root[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIC8zCCAdugAwIBAgICA+kwDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJRnV6\n"
                                "eiBSb290MCAXDTI2MTExNzExMDY0MFoYDzk5OTkxMjMxMjM1OTU5WjAUMRIwEAYD\n"
                                "VQQDDAlGdXp6IFJvb3QwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQCi\n"
                                "v/e/sqX+MH8TpYyND8f3eE/z60UnJy3Uean8NsCYP8r7ZMi02D1AgM61mnWwJi10\n"
                                "eDYlTQEKtKibxWHkmT9Hn0xyMmr7JhQyudxqqk9PMW5Htux8N2yMGkzdElmezcJh\n"
                                "C3M9s8Y3YNSK40mjEpDQFbb1v/33FDAGZx6vogEtur40PLwFMNd/kYaDkDbdupcl\n"
                                "eGF5996mdb5Luz7YzDFaoEzTeqjM3RDCCwIloODmBnNIrjmn/RHSJCcYkVXS4cDw\n"
                                "qcoCbpJQBKsPlq6XIOcVyDFReScNPAi40tBM74uwSweS6YvOeqoIVap1wGGGXUox\n"
                                "l3EkmLYXmcsSLos4RcndAgMBAAGjTTBLMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0P\n"
                                "AQH/BAQDAgEGMB0GA1UdDgQWBBTe/nROQnixPTkFGmwrQWDAGW+XuzAJBgNVHSME\n"
                                "AjAAMA0GCSqGSIb3DQEBCwUAA4IBAQAD6GGMcUiEqShN72EJnLzq9RLeOgP0r2nR\n"
                                "WLeL6TrtL8Ws28H6APxtFIEISnT4tB1yA+G4LFA/tQKSDrXX4r9IdBSmIgvf8y/y\n"
                                "DyB4uYMqkP8gN4ysQgGGZAuG7Hz6Re7tcClI+X2Tx2M1AItp5xR1+FNga2aqhxZA\n"
                                "c0UqWGKzpRHX/PPP0cLAZcC/foC+nQw0obOaJkKNsHdtcdR1DvSIWo7mBHAeadrY\n"
                                "zxl+XspLSAK/wFq1Hv30HGsNTg1DIDUHfCymblwZq5XyrLPwu0tMZBKRklMdhMeu\n"
                                "opKhGviM86HwoV1SnGeQvVPcwGUdWW7BW/TmGSOSc5zld6gSHyWk\n"
                                "-----END CERTIFICATE-----\n";

static const struct signature_trust fuzz_trust = {.ca_pem = fuzz_root, .time = 1795000000};

// SHA-256 of every input that may be taken.
static const uint8_t fuzz_signed[][SHA256_BYTES] = {
    {0xf1, 0xc0, 0x99, 0x0b, 0x53, 0xf5, 0x37, 0x44, 0x18, 0xd0, 0xe2, 0x4b, 0x0b, 0xab, 0xad, 0xd4,
     0x7a, 0xdc, 0x14, 0x8d, 0xdb, 0xe1, 0xea, 0x5d, 0x59, 0x98, 0x66, 0xaa, 0xc7, 0x2e, 0x9d, 0xc4}, // signature/plain
    {0xed, 0x88, 0x3d, 0xb8, 0x29, 0x89, 0x0d, 0xc5, 0x55, 0x47, 0x4a, 0xc7, 0xaa, 0xa7, 0xb2, 0x69,
     0x0a, 0x76, 0xf3, 0x68, 0xee, 0xaf, 0xfc, 0x64, 0x5b, 0x8a, 0x47, 0x87, 0x28, 0xf1, 0xa1, 0x6d}, // signature/attributes
    {0xa0, 0xf0, 0x9b, 0x98, 0x8a, 0x9b, 0x2a, 0x31, 0x28, 0x0a, 0xdb, 0xa2, 0x25, 0xee, 0xff, 0x34,
     0x5f, 0x26, 0x0b, 0x03, 0x0b, 0x75, 0xfc, 0xaf, 0x98, 0xff, 0xdd, 0x7b, 0x08, 0x4c, 0xdf, 0xc5}, // bundle/1-layers
    {0x5a, 0x31, 0x8f, 0x1d, 0x68, 0x61, 0x4a, 0x1f, 0x71, 0x19, 0xef, 0x52, 0x67, 0x74, 0x17, 0x22,
     0xb0, 0x45, 0x43, 0x15, 0x22, 0x5f, 0xa9, 0x5c, 0x59, 0xd6, 0x42, 0x2f, 0x10, 0xe1, 0x93, 0x76}, // bundle/3-layers
};

static inline void fuzz_must_be_signed(const uint8_t *data, size_t size) {
    uint8_t digest[SHA256_BYTES];
    sha256_hash(data, size, digest);
    for (size_t i = 0; i < sizeof(fuzz_signed) / sizeof(fuzz_signed[0]); i++)
        if (memcmp(digest, fuzz_signed[i], sizeof(digest)) == 0)
            return;
    abort(); // a forgery, or the same said in other bytes
}
