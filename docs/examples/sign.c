/*
 * Signs a file with a key in a TPM, and verifies the signature without it.
 *
 *   cc -o sign sign.c -lcrypto
 *   ./sign CONFIG KEY FILE SIGNATURE
 *
 * CONFIG is an openssl.cnf that activates the provider (conf/openssl.cnf), or - for what OpenSSL itself is configured with.
 * KEY is a key file's name, or a URI such as handle:0x81000002. Nothing here is special to TPMs but the name of the provider;
 * with an ordinary key's file it does the same.
 *
 * A library context of one's own is for libraries and plug-ins: it leaves the providers of the rest of the process alone. A
 * program that is alone leaves it out (NULL) and is configured by OPENSSL_CONF.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What went wrong, as the provider says it: reason, TPM, what to do. Each line begins with the program's part. */
static int failed(const char *what)
{
    unsigned long code;
    const char *data;
    int flags;

    fprintf(stderr, "sign: %s\n", what);
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);

        fprintf(stderr, "  %s%s%s\n", reason == NULL ? "error" : reason,
                (flags & ERR_TXT_STRING) && *data ? ": " : "", (flags & ERR_TXT_STRING) ? data : "");
    }
    return 0;
}

/* A context with the configuration's providers, or with two that are named here: `default` first. */
static OSSL_LIB_CTX *context(const char *config, OSSL_PROVIDER *providers[2])
{
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    int loaded;

    if (context == NULL) {
        failed("no library context");
        return NULL;
    }
    if (strcmp(config, "-") != 0) {
        loaded = OSSL_LIB_CTX_load_config(context, config);
    } else {
        providers[0] = OSSL_PROVIDER_load(context, "default");
        providers[1] = OSSL_PROVIDER_load(context, "tpm");
        loaded = providers[0] != NULL && providers[1] != NULL;
    }
    /* A configuration whose module cannot be loaded is no error to OpenSSL. */
    if (!loaded || !OSSL_PROVIDER_available(context, "tpm")) {
        failed("the provider tpm is not there: try openssl list -providers");
        OSSL_LIB_CTX_free(context);
        return NULL;
    }
    return context;
}

/* The first private key behind a name. Asks for a PIN at the terminal if it has one. Needs no TPM yet. */
static EVP_PKEY *load(OSSL_LIB_CTX *context, const char *name)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(name, context, NULL, UI_OpenSSL(), NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store != NULL)
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info == NULL) {
            if (OSSL_STORE_error(store))
                break;
            continue;
        }
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    if (key == NULL)
        failed("no private key there");
    return key;
}

/* Two calls: how long, then the signature. Only the second one asks the TPM. */
static unsigned char *sign(OSSL_LIB_CTX *context, EVP_PKEY *key, const unsigned char *data,
                           size_t size, size_t *length)
{
    EVP_MD_CTX *operation = EVP_MD_CTX_new();
    unsigned char *signature = NULL;

    if (operation == NULL
        || EVP_DigestSignInit_ex(operation, NULL, "SHA256", context, NULL, key, NULL) != 1
        || EVP_DigestSign(operation, NULL, length, data, size) != 1
        || (signature = OPENSSL_malloc(*length)) == NULL
        || EVP_DigestSign(operation, signature, length, data, size) != 1) {
        failed("no signature");
        OPENSSL_free(signature);
        signature = NULL;
    }
    EVP_MD_CTX_free(operation);
    return signature;
}

/* With the public half alone, which is a key of `default`: what anybody else would do. */
static int verify(OSSL_LIB_CTX *context, EVP_PKEY *key, const unsigned char *data, size_t size,
                  const unsigned char *signature, size_t length)
{
    unsigned char *encoded = NULL;
    const unsigned char *at;
    int encoded_length = i2d_PUBKEY(key, &encoded);
    EVP_PKEY *public_key = NULL;
    EVP_MD_CTX *operation = EVP_MD_CTX_new();
    int right = 0;

    at = encoded;
    if (encoded_length > 0)
        public_key = d2i_PUBKEY_ex(NULL, &at, encoded_length, context, NULL);
    if (public_key != NULL && operation != NULL
        && EVP_DigestVerifyInit_ex(operation, NULL, "SHA256", context, NULL, public_key, NULL) == 1)
        right = EVP_DigestVerify(operation, signature, length, data, size) == 1;
    EVP_MD_CTX_free(operation);
    EVP_PKEY_free(public_key);
    OPENSSL_free(encoded);
    return right ? 1 : failed("the signature is not verified");
}

static unsigned char *contents(const char *name, size_t *size)
{
    BIO *file = BIO_new_file(name, "rb");
    BIO *memory = BIO_new(BIO_s_mem());
    unsigned char buffer[4096], *bytes = NULL;
    char *start;
    int count;

    if (file != NULL && memory != NULL) {
        while ((count = BIO_read(file, buffer, sizeof(buffer))) > 0)
            BIO_write(memory, buffer, count);
        *size = (size_t)BIO_get_mem_data(memory, &start);
        bytes = OPENSSL_memdup(*size > 0 ? start : "", *size > 0 ? *size : 1);
    }
    BIO_free(file);
    BIO_free(memory);
    if (bytes == NULL)
        failed(name);
    return bytes;
}

static int write_to(const char *name, const unsigned char *bytes, size_t size)
{
    BIO *file = BIO_new_file(name, "wb");
    size_t written;
    int done = file != NULL && BIO_write_ex(file, bytes, size, &written) == 1 && written == size
        && BIO_flush(file) == 1;

    BIO_free(file);
    return done ? 1 : failed(name);
}

int main(int argc, char **argv)
{
    OSSL_PROVIDER *providers[2] = {NULL, NULL};
    OSSL_LIB_CTX *libctx = NULL;
    EVP_PKEY *key = NULL;
    unsigned char *data = NULL, *signature = NULL;
    size_t size, length;
    int done = 0;

    if (argc != 5) {
        fprintf(stderr, "usage: sign CONFIG|- KEY FILE SIGNATURE\n");
        return 2;
    }
    if ((data = contents(argv[3], &size)) != NULL && (libctx = context(argv[1], providers)) != NULL
        && (key = load(libctx, argv[2])) != NULL
        && (signature = sign(libctx, key, data, size, &length)) != NULL
        && verify(libctx, key, data, size, signature, length)
        && write_to(argv[4], signature, length))
        done = 1;

    /* Keys before the context. With the context what is loaded in the TPM goes too. */
    OPENSSL_free(signature);
    OPENSSL_free(data);
    EVP_PKEY_free(key);
    OSSL_PROVIDER_unload(providers[1]);
    OSSL_PROVIDER_unload(providers[0]);
    OSSL_LIB_CTX_free(libctx);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
