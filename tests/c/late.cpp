/*
 * late HOW KEY.pem: signs with a TPM key that is freed when OpenSSL has cleaned up behind itself:
 *
 *   static      a C++ object that was made before OpenSSL was
 *   context     the same with the signature's context, which refers to the key
 *   ssl         the same with an SSL_CTX, as libldap has one
 *   store       the same with a key and the decoder's own library context
 *   destructor  a library's destructor
 *   explicit    the program calls OPENSSL_cleanup and frees afterwards
 *   failed      as static, after an error: its texts are registered
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define CHECK(what)                                                 \
    do {                                                            \
        if (!(what)) {                                              \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
            ERR_print_errors_fp(stderr);                            \
            std::_Exit(1);                                          \
        }                                                           \
    } while (0)

/* What is freed at the end. */
struct Late {
    EVP_PKEY *key = nullptr;
    EVP_MD_CTX *context = nullptr;
    SSL_CTX *ssl = nullptr;
    OSSL_LIB_CTX *library = nullptr;

    void release()
    {
        SSL_CTX_free(ssl);
        EVP_MD_CTX_free(context);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(library);
        *this = {};
    }
};

struct Static : Late {
    ~Static() { release(); }
};

/* Made before main, so before OpenSSL registers its own end; ended after that. */
static Static at_exit;
static Late at_destructor;

__attribute__((destructor)) static void destructor()
{
    at_destructor.release();
}

static EVP_PKEY *load(OSSL_LIB_CTX *library, const char *path)
{
    FILE *file = std::fopen(path, "r");
    CHECK(file != nullptr);
    EVP_PKEY *key = PEM_read_PrivateKey_ex(file, nullptr, nullptr, nullptr, library, nullptr);
    CHECK(key != nullptr);
    std::fclose(file);
    return key;
}

static EVP_MD_CTX *sign(OSSL_LIB_CTX *library, EVP_PKEY *key)
{
    unsigned char signature[1024];
    size_t size = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit_ex(context, nullptr, "SHA256", library, nullptr, key, nullptr) == 1);
    CHECK(EVP_DigestSign(context, signature, &size, reinterpret_cast<const unsigned char *>("abc"), 3) == 1);
    return context;
}

int main(int, char **argv)
{
    const char *how = argv[1], *path = argv[2];
    auto is = [how](const char *word) { return std::strcmp(how, word) == 0; };
    Late mine;
    Late &late = is("explicit") ? mine : is("destructor") ? at_destructor : at_exit;

    if (is("store")) {
        late.library = OSSL_LIB_CTX_new();
        CHECK(OSSL_LIB_CTX_load_config(late.library, std::getenv("OPENSSL_CONF")) == 1);
    }
    late.key = load(late.library, path);
    EVP_MD_CTX *context = sign(late.library, late.key);
    if (is("context"))
        late.context = context;
    else
        EVP_MD_CTX_free(context);
    if (is("ssl")) {
        late.ssl = SSL_CTX_new(TLS_server_method());
        CHECK(late.ssl != nullptr && SSL_CTX_use_PrivateKey(late.ssl, late.key) == 1);
    }
    if (is("failed")) {
        /* A digest that no key of ours signs. */
        EVP_PKEY_CTX *bad = EVP_PKEY_CTX_new(late.key, nullptr);
        unsigned char out[8];
        size_t size = sizeof(out);
        CHECK(EVP_PKEY_sign_init(bad) == 1 && EVP_PKEY_sign(bad, out, &size, out, sizeof(out)) != 1);
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        const char *library = ERR_lib_error_string(ERR_peek_error());
        const char *sentence = nullptr;
        ERR_peek_error_data(&sentence, nullptr);
        std::printf("%s: %s\n%s\n", library ? library : "(none)", reason ? reason : "(none)", sentence);
        EVP_PKEY_CTX_free(bad);
    }
    if (is("explicit")) {
        OPENSSL_cleanup();
        late.release();
    }
    std::puts("ended");
    return 0;
}
