/* What the programs here begin with: checks that say which line failed and why, and a key from a file. */
#ifndef HOST_H
#define HOST_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                            \
    do {                                                       \
        if (!(what)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
            ERR_print_errors_fp(stderr);                       \
            exit(1);                                           \
        }                                                      \
    } while (0)

static inline EVP_PKEY *load_key(OSSL_LIB_CTX *libctx, const char *path)
{
    FILE *file = fopen(path, "r");
    EVP_PKEY *key;

    CHECK(file != NULL);
    key = PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, libctx, NULL);
    fclose(file);
    CHECK(key != NULL);
    return key;
}

#endif
