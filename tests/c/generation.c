/*
 * What a generation of ours says of itself when it is asked: one line before, one after something was set; "none" where
 * OpenSSL does not know that question (before 3.4).
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(what)                                          \
    do {                                                    \
        if (!(what)) {                                      \
            fprintf(stderr, "%d: %s\n", __LINE__, #what);   \
            ERR_print_errors_fp(stderr);                    \
            exit(1);                                        \
        }                                                   \
    } while (0)

static void say(EVP_PKEY_CTX *ctx, const char *name, const OSSL_PARAM *known)
{
    printf("%s:", name);
    for (; known->key != NULL; known++) {
        OSSL_PARAM question[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
        char text[80] = "";
        size_t number = 0;

        MUST(strstr(known->key, "auth") == NULL);
        if (known->data_type == OSSL_PARAM_UTF8_STRING)
            question[0] = OSSL_PARAM_construct_utf8_string(known->key, text, sizeof(text));
        else
            question[0] = OSSL_PARAM_construct_size_t(known->key, &number);
        MUST(EVP_PKEY_CTX_get_params(ctx, question) == 1);
        MUST(OSSL_PARAM_modified(question));
        if (known->data_type == OSSL_PARAM_UTF8_STRING)
            printf(" %s=%s", known->key, text);
        else
            printf(" %s=%zu", known->key, number);
    }
    printf("\n");
}

static void generation(const char *name, int rsa)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, "provider=tpm");
    const OSSL_PARAM *known;
    OSSL_PARAM params[6], *p = params, *secret;
    size_t bits = 3072, exponent = 17;
    char answer[80] = "unchanged";

    MUST(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1);
    known = EVP_PKEY_CTX_gettable_params(ctx);
    if (known == NULL) {
        printf("%s: none\n", name);
        EVP_PKEY_CTX_free(ctx);
        return;
    }
    say(ctx, name, known);
    if (rsa) {
        *p++ = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits);
        *p++ = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_E, &exponent);
    } else {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0);
    }
    *p++ = OSSL_PARAM_construct_utf8_string("digest", "SHA384", 0);
    *p++ = OSSL_PARAM_construct_utf8_string("user-auth", "pin", 0);
    *p = OSSL_PARAM_construct_end();
    MUST(EVP_PKEY_CTX_set_params(ctx, params) == 1);
    say(ctx, name, known);
    /* A secret is no answer, whoever asks. */
    secret = params;
    *secret++ = OSSL_PARAM_construct_utf8_string("user-auth", answer, sizeof(answer));
    *secret = OSSL_PARAM_construct_end();
    EVP_PKEY_CTX_get_params(ctx, params);
    MUST(!OSSL_PARAM_modified(params) && strcmp(answer, "unchanged") == 0);
    EVP_PKEY_CTX_free(ctx);
}

int main(void)
{
    generation("RSA", 1);
    generation("RSA-PSS", 1);
    generation("EC", 0);
    MUST(ERR_peek_error() == 0);
    return 0;
}
