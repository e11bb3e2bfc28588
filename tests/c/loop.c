/*
 * loop KEY.pem ROUNDS: loads a key, signs, decrypts twice on one context, frees everything, and again.
 * tests/suite/host/memory.rs runs it under valgrind. With "exit" as a third argument it ends without freeing the last
 * key.
 */
#include <string.h>

#include "host.h"

static void sign_and_verify(EVP_PKEY *key)
{
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestSignUpdate(ctx, "some", 4) == 1);
    CHECK(EVP_MD_CTX_copy_ex(copy, ctx) == 1);
    CHECK(EVP_DigestSignUpdate(copy, " bytes", 6) == 1);
    CHECK(EVP_DigestSignFinal(copy, sig, &len) == 1);
    EVP_MD_CTX_free(copy);
    EVP_MD_CTX_free(ctx);

    ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, (const unsigned char *)"some bytes", 10) == 1);
    EVP_MD_CTX_free(ctx);
}

static size_t encrypt(EVP_PKEY *key, const char *text, unsigned char *out, size_t size)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    CHECK(ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1);
    CHECK(EVP_PKEY_encrypt(ctx, out, &size, (const unsigned char *)text, strlen(text)) == 1);
    EVP_PKEY_CTX_free(ctx);
    return size;
}

static void decrypt_twice(EVP_PKEY *key)
{
    static const char *const texts[] = { "the first", "and a second one" };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int i;

    CHECK(ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1);
    for (i = 0; i < 2; i++) {
        unsigned char sealed[1024], clear[1024];
        size_t sealed_len = encrypt(key, texts[i], sealed, sizeof(sealed)), len = 0;

        CHECK(EVP_PKEY_decrypt(ctx, NULL, &len, sealed, sealed_len) == 1 && len <= sizeof(clear));
        len = sizeof(clear);
        CHECK(EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) == 1);
        CHECK(len == strlen(texts[i]) && memcmp(clear, texts[i], len) == 0);
    }
    EVP_PKEY_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 1;

    CHECK(argc > 1);
    while (rounds-- > 0) {
        EVP_PKEY *key = load_key(NULL, argv[1]);

        sign_and_verify(key);
        decrypt_twice(key);
        /* Nothing that succeeds may leave an error behind: nginx takes it for its own. */
        CHECK(ERR_peek_error() == 0);
        if (rounds == 0 && argc > 3)
            exit(0);
        EVP_PKEY_free(key);
    }
    puts("done");
    return 0;
}
