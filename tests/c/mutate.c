/*
 * mutate KEY.pem: gives OpenSSL's decoders every truncation of the file and of its DER, every flipped bit of the
 * DER, one flipped bit of each character, and garbage; a line of output for each: "KIND N loaded" or
 * "KIND N refused TEXT". At the end the file itself must load.
 */
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int decode(const unsigned char *data, size_t len, const char *input)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&key, input, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
    int ok;

    ERR_clear_error();
    ok = OSSL_DECODER_from_data(ctx, &data, &len);
    OSSL_DECODER_CTX_free(ctx);
    if (ok && key == NULL)
        abort();
    EVP_PKEY_free(key);
    return ok;
}

static void report(const char *kind, size_t n, int loaded)
{
    const char *data;
    int flags;

    printf("%s %zu %s", kind, n, loaded ? "loaded" : "refused");
    while (!loaded && ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0)
        if (flags & ERR_TXT_STRING)
            printf(" %s", data);
    putchar('\n');
}

int main(int argc, char **argv)
{
    static unsigned char pem[65536], copy[65536];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    unsigned char *der = NULL;
    char *name = NULL, *header = NULL;
    long der_len = 0;
    size_t len, i;
    uint32_t random = 1;
    BIO *bio;

    if (file == NULL)
        return 2;
    len = fread(pem, 1, sizeof(pem), file);
    fclose(file);
    bio = BIO_new_mem_buf(pem, (int)len);
    if (!PEM_read_bio(bio, &name, &header, &der, &der_len))
        return 3;
    BIO_free(bio);

    for (i = 0; i < len; i++)
        report("pem-cut", i, decode(pem, i, "PEM"));
    for (i = 0; i < (size_t)der_len; i++)
        report("der-cut", i, decode(der, i, "DER"));
    for (i = 0; i < (size_t)der_len * 8; i++) {
        memcpy(copy, der, (size_t)der_len);
        copy[i / 8] ^= (unsigned char)(1 << (i % 8));
        report("der-flip", i, decode(copy, (size_t)der_len, "DER"));
    }
    for (i = 0; i < len; i++) {
        memcpy(copy, pem, len);
        copy[i] ^= (unsigned char)(1 << (i % 8));
        report("pem-flip", i, decode(copy, len, "PEM"));
    }
    for (i = 0; i < 200; i++) {
        size_t j, size = i * 7;

        for (j = 0; j < size; j++) {
            random = random * 1664525 + 1013904223;
            copy[j] = (unsigned char)(random >> 24);
        }
        report("garbage", i, decode(copy, size, i % 2 ? "PEM" : "DER"));
        /* The start of a key file, and then nothing of the sort. */
        memcpy(copy, der, size < 15 ? size : 15);
        report("garbage", i, decode(copy, size, "DER"));
    }
    report("whole", 0, decode(pem, len, "PEM"));
    report("whole", 1, decode(der, (size_t)der_len, "DER"));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return 0;
}
