/*
 * The message functions of OpenSSL 3.4 and the algorithms that include their digest:
 *
 *   message KEY.pem PUBLIC.pem WRONG ALGORITHM...
 *
 * Each ALGORITHM of ours signs with KEY in every way there is, OpenSSL's own and ours verify. WRONG is an algorithm for
 * keys of another type.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(what)                                                       \
    do {                                                                 \
        if (!(what)) {                                                   \
            fprintf(stderr, "%s: line %d: %s\n", name, __LINE__, #what); \
            ERR_print_errors_fp(stderr);                                 \
            exit(1);                                                     \
        }                                                                \
    } while (0)

static const unsigned char text[] = "a message in two parts";
#define HALF 10
#define ALL (sizeof(text) - 1)

static const char *name = "message";

static EVP_PKEY *load(const char *file, int private)
{
    BIO *in = BIO_new_file(file, "r");
    EVP_PKEY *key;

    MUST(in != NULL);
    key = private ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
    MUST(key != NULL);
    BIO_free(in);
    return key;
}

static int verify(EVP_PKEY *key, EVP_SIGNATURE *algorithm, unsigned char *sig, size_t len, int parts)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good;

    MUST(ctx != NULL && EVP_PKEY_verify_message_init(ctx, algorithm, NULL) == 1);
    if (parts) {
        MUST(EVP_PKEY_CTX_set_signature(ctx, sig, len) == 1);
        MUST(EVP_PKEY_verify_message_update(ctx, text, HALF) == 1);
        MUST(EVP_PKEY_verify_message_update(ctx, text + HALF, ALL - HALF) == 1);
        good = EVP_PKEY_verify_message_final(ctx) == 1;
    } else {
        good = EVP_PKEY_verify(ctx, sig, len, text, ALL) == 1;
    }
    EVP_PKEY_CTX_free(ctx);
    return good;
}

int main(int argc, char **argv)
{
    EVP_PKEY *key, *public;
    EVP_SIGNATURE *wrong;
    int i;

    MUST(argc > 4);
    key = load(argv[1], 1);
    public = load(argv[2], 0);
    for (i = 4; i < argc; i++) {
        EVP_SIGNATURE *ours, *theirs;
        int parts;

        name = argv[i];
        MUST((ours = EVP_SIGNATURE_fetch(NULL, name, "provider=tpm")) != NULL);
        MUST((theirs = EVP_SIGNATURE_fetch(NULL, name, "provider=default")) != NULL);
        for (parts = 0; parts < 2; parts++) {
            EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
            unsigned char sig[1024];
            size_t len = 0;

            MUST(ctx != NULL && EVP_PKEY_sign_message_init(ctx, ours, NULL) == 1);
            if (parts) {
                MUST(EVP_PKEY_sign_message_update(ctx, text, HALF) == 1);
                MUST(EVP_PKEY_sign_message_update(ctx, text + HALF, ALL - HALF) == 1);
                MUST(EVP_PKEY_sign_message_final(ctx, NULL, &len) == 1 && len <= sizeof(sig));
                MUST(EVP_PKEY_sign_message_final(ctx, sig, &len) == 1);
            } else {
                MUST(EVP_PKEY_sign(ctx, NULL, &len, text, ALL) == 1 && len <= sizeof(sig));
                MUST(EVP_PKEY_sign(ctx, sig, &len, text, ALL) == 1);
            }
            EVP_PKEY_CTX_free(ctx);
            MUST(ERR_peek_error() == 0);
            MUST(verify(public, theirs, sig, len, parts));
            MUST(verify(key, ours, sig, len, parts));
            MUST(ERR_peek_error() == 0);
            sig[len - 1] ^= 1;
            MUST(!verify(key, ours, sig, len, parts));
            ERR_clear_error();
        }
        EVP_SIGNATURE_free(ours);
        EVP_SIGNATURE_free(theirs);
    }
    name = argv[3];
    MUST((wrong = EVP_SIGNATURE_fetch(NULL, name, "provider=tpm")) != NULL);
    {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

        MUST(ctx != NULL && EVP_PKEY_sign_message_init(ctx, wrong, NULL) != 1);
        EVP_PKEY_CTX_free(ctx);
    }
    EVP_SIGNATURE_free(wrong);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    return 0;
}
