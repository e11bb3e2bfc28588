/*
 * queue FILE DER [PIN]: loads a private key from FILE in all the ways in which programs do, and from DER, a key file in DER
 * or in PKCS#8, each with an empty error queue and with one in which an old error lies. Prints a line for each: the way,
 * what was in the queue before, whether a key came, and "as before" or the first reason that is new in the queue.
 */
#include <openssl/decoder.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <string.h>

#include "host.h"

static const char *pin;

static int answer(char *buffer, int size, int writing, void *argument)
{
    (void)writing, (void)argument;
    if (pin == NULL || (int)strlen(pin) > size)
        return -1;
    memcpy(buffer, pin, strlen(pin));
    return (int)strlen(pin);
}

static EVP_PKEY *by_file(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, answer, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *by_memory(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    BIO *bio;
    EVP_PKEY *key;

    CHECK(file != NULL);
    bio = BIO_new_mem_buf(text, (int)fread(text, 1, sizeof(text), file));
    fclose(file);
    key = PEM_read_bio_PrivateKey(bio, NULL, answer, NULL);
    BIO_free(bio);
    return key;
}

/* Memory that is read once and does not go back by itself. */
static EVP_PKEY *by_base64_filter(const char *path)
{
    BIO *file = BIO_new_file(path, "r"), *bio = BIO_push(BIO_new(BIO_f_buffer()), file);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, answer, NULL);

    BIO_free_all(bio);
    return key;
}

static EVP_PKEY *by_ssl(const char *path)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = NULL;

    SSL_CTX_set_default_passwd_cb(ctx, answer);
    if (SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1) {
        key = SSL_CTX_get0_privatekey(ctx);
        EVP_PKEY_up_ref(key);
    }
    SSL_CTX_free(ctx);
    return key;
}

static EVP_PKEY *by_info(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(bio, NULL, answer, NULL);
    EVP_PKEY *key = NULL;
    int n;

    for (n = 0; infos != NULL && n < sk_X509_INFO_num(infos); n++) {
        X509_PKEY *found = sk_X509_INFO_value(infos, n)->x_pkey;

        if (key == NULL && found != NULL && found->dec_pkey != NULL) {
            key = found->dec_pkey;
            EVP_PKEY_up_ref(key);
        }
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    BIO_free(bio);
    return key;
}

static EVP_PKEY *by_der(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key = d2i_PrivateKey_bio(bio, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *by_decoder(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, 0, NULL, NULL);

    OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)(pin ? pin : ""), pin ? strlen(pin) : 0);
    (void)OSSL_DECODER_from_bio(ctx, bio);
    OSSL_DECODER_CTX_free(ctx);
    BIO_free(bio);
    return key;
}

static const struct {
    const char *name;
    EVP_PKEY *(*load)(const char *);
    int der;
} ways[] = {
    { "file", by_file, 0 },   { "memory", by_memory, 0 },   { "filter", by_base64_filter, 0 }, { "ssl", by_ssl, 0 },
    { "info", by_info, 0 },   { "d2i", by_der, 1 },         { "decoder", by_decoder, 1 },
};

int main(int argc, char **argv)
{
    size_t n;
    int stale;

    CHECK(argc > 2);
    pin = argv[3];
    for (n = 0; n < sizeof(ways) / sizeof(*ways); n++)
        for (stale = 0; stale < 2; stale++) {
            unsigned long before, error;
            const char *reason = "as before";
            EVP_PKEY *key;

            ERR_clear_error();
            if (stale)
                ERR_raise(ERR_LIB_X509, ERR_R_MALLOC_FAILURE);
            before = ERR_peek_error();
            key = ways[n].load(argv[1 + ways[n].der]);
            if (stale)
                CHECK(ERR_get_error() == before);
            error = ERR_get_error();
            if (error != 0)
                reason = ERR_reason_error_string(error);
            printf("%s %s: %s, %s\n", ways[n].name, stale ? "stale" : "empty", key ? "a key" : "none", reason);
            EVP_PKEY_free(key);
        }
    return 0;
}
