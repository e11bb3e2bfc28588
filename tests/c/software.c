/*
 * software CHECK [KEY.pem] [own]: a program that works with software keys in a process where a TPM provider is active.
 * Each check ends with a signature or an agreement that is verified; tests/suite/keys/order.rs runs them one by one, so that
 * each is the first that OpenSSL hears of. With "own" it uses a library context of its own instead of the default one.
 *
 *   rsa-gen ec-gen paramgen              keys made the high-level way
 *   rsa-data ec-data public-data         EVP_PKEY_fromdata
 *   rsa-object ec-object                 low-level RSA and EC_KEY objects behind an EVP_PKEY
 *   agreement                            two P-256 keys, one secret
 *   public-verifies PROVIDER             an EC public key, which is of that provider, verifies
 *   foreign-object                       the same, asked of the TPM provider by name: refused
 *   tpm-then-software KEY, software-then-tpm KEY
 *   generate-in-tpm                      named explicitly, the TPM still makes the key
 *   fetch KEY                            every operation by name and property
 *   threads KEY                          all of it at once, in eight threads that meet before their first call
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#include "host.h"

static OSSL_LIB_CTX *libctx;
static const char *key_file;

static void is_of(EVP_PKEY *key, const char *provider)
{
    const OSSL_PROVIDER *of = NULL;

    CHECK(key != NULL && (of = EVP_PKEY_get0_provider(key)) != NULL);
    if (strcmp(OSSL_PROVIDER_get0_name(of), provider) != 0) {
        fprintf(stderr, "the key is of %s\n", OSSL_PROVIDER_get0_name(of));
        exit(1);
    }
}

static void sign(EVP_PKEY *key)
{
    static const unsigned char message[] = "some bytes";
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1);
    CHECK(EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) == 1);
    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) == 1);
    sig[len - 1] ^= 1;
    CHECK(EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) != 1);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
}

static void decrypt(EVP_PKEY *key)
{
    unsigned char sealed[1024], clear[1024];
    size_t sealed_len = sizeof(sealed), len = sizeof(clear);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);

    CHECK(ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1);
    CHECK(EVP_PKEY_encrypt(ctx, sealed, &sealed_len, (const unsigned char *)"secret", 6) == 1);
    CHECK(EVP_PKEY_decrypt_init(ctx) == 1);
    CHECK(EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) == 1);
    CHECK(len == 6 && memcmp(clear, "secret", 6) == 0);
    EVP_PKEY_CTX_free(ctx);
}

static EVP_PKEY *rsa_gen(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);

    CHECK(key != NULL);
    return key;
}

static EVP_PKEY *ec_gen(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-256");

    CHECK(key != NULL);
    return key;
}

static void software(EVP_PKEY *key, int can_decrypt)
{
    is_of(key, "default");
    sign(key);
    if (can_decrypt)
        decrypt(key);
    EVP_PKEY_free(key);
}

static void tpm(EVP_PKEY *key)
{
    is_of(key, "tpm");
    sign(key);
    decrypt(key);
    EVP_PKEY_free(key);
}

/* What fromdata makes of a key that low-level functions made, so that fromdata is the first use of keymgmt. */
static EVP_PKEY *from_data(const char *type, int selection, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, type, NULL);

    CHECK(ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    CHECK(EVP_PKEY_fromdata(ctx, &key, selection, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static RSA *rsa_object(void)
{
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_new();

    CHECK(BN_set_word(e, RSA_F4) && RSA_generate_key_ex(rsa, 2048, e, NULL) == 1);
    BN_free(e);
    return rsa;
}

static EC_KEY *ec_object(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);

    CHECK(ec != NULL && EC_KEY_generate_key(ec) == 1);
    return ec;
}

static EVP_PKEY *rsa_data(int private)
{
    RSA *rsa = rsa_object();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    EVP_PKEY *key;

    CHECK(OSSL_PARAM_BLD_push_BN(build, "n", RSA_get0_n(rsa)) && OSSL_PARAM_BLD_push_BN(build, "e", RSA_get0_e(rsa)));
    CHECK(!private
          || (OSSL_PARAM_BLD_push_BN(build, "d", RSA_get0_d(rsa))
              && OSSL_PARAM_BLD_push_BN(build, "rsa-factor1", RSA_get0_p(rsa))
              && OSSL_PARAM_BLD_push_BN(build, "rsa-factor2", RSA_get0_q(rsa))
              && OSSL_PARAM_BLD_push_BN(build, "rsa-exponent1", RSA_get0_dmp1(rsa))
              && OSSL_PARAM_BLD_push_BN(build, "rsa-exponent2", RSA_get0_dmq1(rsa))
              && OSSL_PARAM_BLD_push_BN(build, "rsa-coefficient1", RSA_get0_iqmp(rsa))));
    params = OSSL_PARAM_BLD_to_param(build);
    key = from_data("RSA", private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    RSA_free(rsa);
    return key;
}

static EVP_PKEY *ec_data(int private)
{
    EC_KEY *ec = ec_object();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    EVP_PKEY *key;
    unsigned char *point = NULL;
    size_t len = EC_KEY_key2buf(ec, POINT_CONVERSION_UNCOMPRESSED, &point, NULL);

    CHECK(len > 0 && OSSL_PARAM_BLD_push_utf8_string(build, "group", "prime256v1", 0));
    CHECK(OSSL_PARAM_BLD_push_octet_string(build, "pub", point, len));
    CHECK(!private || OSSL_PARAM_BLD_push_BN(build, "priv", EC_KEY_get0_private_key(ec)));
    params = OSSL_PARAM_BLD_to_param(build);
    key = from_data("EC", private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    OPENSSL_free(point);
    EC_KEY_free(ec);
    return key;
}

static void public_data(void)
{
    EVP_PKEY *rsa = rsa_data(0), *ec = ec_data(0);

    is_of(rsa, "default");
    is_of(ec, "default");
    CHECK(EVP_PKEY_get_bits(rsa) == 2048 && EVP_PKEY_get_bits(ec) == 256);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

/* A low-level object belongs to no provider: it is exported to one when it is first used. */
static void object(EVP_PKEY *key, int can_decrypt)
{
    CHECK(EVP_PKEY_get0_provider(key) == NULL);
    sign(key);
    if (can_decrypt)
        decrypt(key);
    EVP_PKEY_free(key);
}

static void rsa_low_level(void)
{
    unsigned char sig[256], digest[32] = { 7 };
    unsigned int len = 0;
    RSA *rsa = rsa_object();
    EVP_PKEY *key = EVP_PKEY_new();

    CHECK(RSA_sign(NID_sha256, digest, sizeof(digest), sig, &len, rsa) == 1);
    CHECK(RSA_verify(NID_sha256, digest, sizeof(digest), sig, len, rsa) == 1);
    CHECK(EVP_PKEY_assign_RSA(key, rsa) == 1);
    object(key, 1);
}

static void foreign_object(void)
{
    EVP_PKEY *key = EVP_PKEY_new();
    EVP_PKEY_CTX *ctx;

    CHECK(EVP_PKEY_assign_RSA(key, rsa_object()) == 1);
    ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, "provider=tpm");
    CHECK(ctx == NULL || EVP_PKEY_sign_init(ctx) != 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", "provider=tpm");
    CHECK(ctx != NULL);
    if (EVP_PKEY_fromdata_init(ctx) == 1) {
        EVP_PKEY *made = NULL;
        BIGNUM *n = BN_dup(RSA_get0_n(EVP_PKEY_get0_RSA(key)));
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        OSSL_PARAM *params;

        CHECK(OSSL_PARAM_BLD_push_BN(build, "n", n) && OSSL_PARAM_BLD_push_uint(build, "e", 65537));
        params = OSSL_PARAM_BLD_to_param(build);
        CHECK(EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_PUBLIC_KEY, params) != 1);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        BN_free(n);
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    /* And nothing is wrong with it afterwards. */
    object(key, 1);
}

static void ec_low_level(void)
{
    EVP_PKEY *key = EVP_PKEY_new();

    CHECK(EVP_PKEY_assign_EC_KEY(key, ec_object()) == 1);
    object(key, 0);
}

static size_t derive(EVP_PKEY *mine, EVP_PKEY *theirs, unsigned char *out, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, mine, NULL);

    CHECK(ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, theirs) == 1);
    CHECK(EVP_PKEY_derive(ctx, out, &len) == 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static void agreement(void)
{
    EVP_PKEY *one = ec_gen(), *other = ec_gen();
    unsigned char a[32], b[32];

    CHECK(derive(one, other, a, sizeof(a)) == 32 && derive(other, one, b, sizeof(b)) == 32);
    CHECK(memcmp(a, b, 32) == 0);
    EVP_PKEY_free(one);
    EVP_PKEY_free(other);
}

/* A signature of a key of the default provider, over a digest. */
static EVP_PKEY *signer(const unsigned char *digest, size_t digest_len, unsigned char *sig, size_t *len)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(libctx, "provider=default", "EC", "P-256");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, "provider=default");

    is_of(key, "default");
    CHECK(ctx != NULL && EVP_PKEY_sign_init(ctx) == 1);
    CHECK(EVP_PKEY_sign(ctx, sig, len, digest, digest_len) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void public_verifies(const char *provider)
{
    static const unsigned char message[] = "some bytes";
    unsigned char digest[EVP_MAX_MD_SIZE], sig[128];
    unsigned int digest_len = 0;
    size_t len = sizeof(sig);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key, *peer;
    EVP_PKEY_CTX *ctx;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int right;

    CHECK(EVP_Digest(message, sizeof(message), digest, &digest_len, EVP_sha256(), NULL) == 1);
    key = signer(digest, digest_len, sig, &len);
    CHECK(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params) == 1);
    peer = from_data("EC", EVP_PKEY_PUBLIC_KEY, params);
    is_of(peer, provider);
    for (right = 1; right >= 0; right--) {
        ctx = EVP_PKEY_CTX_new_from_pkey(libctx, peer, NULL);
        CHECK(ctx != NULL && EVP_PKEY_verify_init(ctx) == 1);
        CHECK(EVP_PKEY_verify(ctx, sig, len, digest, digest_len) == right);
        EVP_PKEY_CTX_free(ctx);
        /* Without a digest's name it is SHA-256, as for keys of the default provider. */
        CHECK(EVP_DigestVerifyInit_ex(md, NULL, right ? "SHA256" : NULL, libctx, NULL, peer, NULL) == 1);
        CHECK(EVP_DigestVerify(md, sig, len, message, sizeof(message)) == right);
        sig[len - 1] ^= 1;
    }
    if (strcmp(provider, "tpm") == 0) {
        const char *data = NULL;

        CHECK(EVP_DigestSignInit_ex(md, NULL, "SHA256", libctx, NULL, peer, NULL) != 1);
        ERR_peek_error_data(&data, NULL);
        CHECK(data != NULL && strstr(data, "there is no private key in it") != NULL);
    }
    ERR_clear_error();
    EVP_MD_CTX_free(md);
    OSSL_PARAM_free(params);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(key);
}

/* Parameters first, a key from them: what libssl did before groups, and many programs still do. */
static void paramgen(void)
{
    EVP_PKEY *params = NULL, *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "EC", NULL);

    CHECK(ctx != NULL && EVP_PKEY_paramgen_init(ctx) == 1);
    CHECK(EVP_PKEY_CTX_set_group_name(ctx, "P-384") == 1);
    CHECK(EVP_PKEY_paramgen(ctx, &params) == 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(libctx, params, NULL);
    CHECK(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(params);
    software(key, 0);
}

static void generate_in_tpm(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", "provider=tpm");

    CHECK(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1);
    CHECK(EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    tpm(key);
}

/* By name and property each provider's implementation is found, and without a property there is one at all. */
static void fetch(void)
{
    static const char *const queries[] = { "provider=tpm", "provider=default", NULL, "?provider=tpm", "?provider!=tpm" };
    size_t i;

    for (i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(libctx, "RSA", queries[i]);
        EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(libctx, "RSA", queries[i]);
        EVP_ASYM_CIPHER *cipher = EVP_ASYM_CIPHER_fetch(libctx, "RSA", queries[i]);
        EVP_KEYMGMT *pss = EVP_KEYMGMT_fetch(libctx, "RSA-PSS", queries[i]);

        if (keymgmt == NULL || signature == NULL || cipher == NULL || pss == NULL)
            fprintf(stderr, "query %s\n", queries[i] == NULL ? "none" : queries[i]);
        CHECK(keymgmt != NULL && signature != NULL && cipher != NULL && pss != NULL);
        if (queries[i] != NULL && strncmp(queries[i], "provider=", 9) == 0) {
            const char *wanted = queries[i] + 9;

            CHECK(strcmp(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(keymgmt)), wanted) == 0);
            CHECK(strcmp(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(signature)), wanted) == 0);
            CHECK(strcmp(OSSL_PROVIDER_get0_name(EVP_ASYM_CIPHER_get0_provider(cipher)), wanted) == 0);
        }
        EVP_KEYMGMT_free(keymgmt);
        EVP_KEYMGMT_free(pss);
        EVP_SIGNATURE_free(signature);
        EVP_ASYM_CIPHER_free(cipher);
    }
    tpm(load_key(libctx, key_file));
}

static pthread_barrier_t together;

static void *thread(void *argument)
{
    pthread_barrier_wait(&together);
    switch ((int)(size_t)argument) {
    case 0:
    case 1:
        tpm(load_key(libctx, key_file));
        break;
    case 2:
        software(rsa_gen(), 1);
        break;
    case 3:
        software(ec_gen(), 0);
        break;
    case 4:
        software(rsa_data(1), 1);
        break;
    case 5:
        software(ec_data(1), 0);
        break;
    case 6:
        rsa_low_level();
        break;
    default:
        agreement();
    }
    return NULL;
}

static void threads(void)
{
    pthread_t all[8];
    size_t i;

    pthread_barrier_init(&together, NULL, 8);
    for (i = 0; i < 8; i++)
        CHECK(pthread_create(&all[i], NULL, thread, (void *)i) == 0);
    for (i = 0; i < 8; i++)
        CHECK(pthread_join(all[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    const char *check = argc > 1 ? argv[1] : "";

    key_file = argc > 2 ? argv[2] : NULL;
    if (argc > 3) {
        libctx = OSSL_LIB_CTX_new();
        CHECK(libctx != NULL && OSSL_LIB_CTX_load_config(libctx, getenv("OPENSSL_CONF")) == 1);
    }
    if (strcmp(check, "rsa-gen") == 0)
        software(libctx == NULL ? EVP_RSA_gen(2048) : rsa_gen(), 1);
    else if (strcmp(check, "ec-gen") == 0)
        software(libctx == NULL ? EVP_EC_gen("P-256") : ec_gen(), 0);
    else if (strcmp(check, "paramgen") == 0)
        paramgen();
    else if (strcmp(check, "rsa-data") == 0)
        software(rsa_data(1), 1);
    else if (strcmp(check, "ec-data") == 0)
        software(ec_data(1), 0);
    else if (strcmp(check, "public-data") == 0)
        public_data();
    else if (strcmp(check, "rsa-object") == 0)
        rsa_low_level();
    else if (strcmp(check, "ec-object") == 0)
        ec_low_level();
    else if (strcmp(check, "foreign-object") == 0)
        foreign_object();
    else if (strcmp(check, "agreement") == 0)
        agreement();
    else if (strcmp(check, "public-verifies") == 0)
        public_verifies(argv[2]);
    else if (strcmp(check, "generate-in-tpm") == 0)
        generate_in_tpm();
    else if (strcmp(check, "fetch") == 0)
        fetch();
    else if (strcmp(check, "threads") == 0)
        threads();
    else if (strcmp(check, "tpm-then-software") == 0) {
        tpm(load_key(libctx, key_file));
        software(rsa_gen(), 1);
        software(rsa_data(1), 1);
        software(ec_data(1), 0);
        rsa_low_level();
        ec_low_level();
    } else if (strcmp(check, "software-then-tpm") == 0) {
        software(rsa_gen(), 1);
        ec_low_level();
        tpm(load_key(libctx, key_file));
    } else {
        fprintf(stderr, "no check %s\n", check);
        return 2;
    }
    CHECK(ERR_peek_error() == 0);
    if (libctx != NULL)
        OSSL_LIB_CTX_free(libctx);
    puts("done");
    return 0;
}
