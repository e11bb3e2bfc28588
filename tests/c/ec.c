/*
 * ec KEY.pem ROUNDS CURVE: signs and agrees on secrets with a key in the TPM, with copies of contexts and keys, with
 * peers made from bytes, and with peers that are wrong. tests/suite/keys/ec_keys.rs runs it, also under valgrind.
 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/provider.h>
#include <string.h>

#include "host.h"

static void sign(EVP_PKEY *key)
{
    unsigned char sig[256], tiny[4];
    size_t len = sizeof(sig), small = sizeof(tiny);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key) == 1);
    CHECK(EVP_DigestSignUpdate(ctx, "some", 4) == 1);
    CHECK(EVP_MD_CTX_copy_ex(copy, ctx) == 1);
    CHECK(EVP_DigestSignUpdate(copy, " bytes", 6) == 1);
    CHECK(EVP_DigestSignFinal(copy, NULL, &len) == 1 && len <= sizeof(sig));
    CHECK((int)len == EVP_PKEY_get_size(key));
    CHECK(EVP_DigestSignFinal(copy, sig, &len) == 1);
    CHECK(EVP_DigestSignFinal(ctx, tiny, &small) != 1);
    ERR_clear_error();
    EVP_MD_CTX_free(copy);
    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, (const unsigned char *)"some bytes", 10) == 1);
    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, (const unsigned char *)"other bytes", 11) == 0);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
}

static size_t derive(EVP_PKEY *own, EVP_PKEY *peer, unsigned char *out, size_t size, int copied)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    size_t len = 0;

    CHECK(ctx != NULL && EVP_PKEY_derive_init(ctx) == 1);
    CHECK(EVP_PKEY_derive(ctx, NULL, &len) != 1 || len != 0);
    ERR_clear_error();
    CHECK(EVP_PKEY_derive_set_peer(ctx, peer) == 1);
    if (copied) {
        EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(ctx);

        CHECK(copy != NULL);
        EVP_PKEY_CTX_free(ctx);
        ctx = copy;
    }
    CHECK(EVP_PKEY_derive(ctx, NULL, &len) == 1 && len <= size);
    /* OpenSSL's own cuts a secret to a short buffer; ours refuses. */
    if (strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(own)), "tpm") == 0) {
        size = len - 1;
        CHECK(EVP_PKEY_derive(ctx, out, &size) != 1);
        ERR_clear_error();
    }
    CHECK(EVP_PKEY_derive(ctx, out, &len) == 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

/* A key that has the curve of `key`, and the point in `bytes`: what CMS and TLS do with a peer. */
static EVP_PKEY *peer_of(EVP_PKEY *key, const unsigned char *bytes, size_t len)
{
    EVP_PKEY *peer = EVP_PKEY_new();

    CHECK(peer != NULL && EVP_PKEY_copy_parameters(peer, key) == 1);
    if (EVP_PKEY_set1_encoded_public_key(peer, bytes, len) != 1) {
        EVP_PKEY_free(peer);
        return NULL;
    }
    return peer;
}

/* A key from numbers; `query` says by whose keymgmt. */
static EVP_PKEY *from_numbers(const char *curve, unsigned char *bytes, size_t len, const char *query)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", query);
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[3];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes, len);
    params[2] = OSSL_PARAM_construct_end();
    CHECK(ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* A private key of others is not taken in, not even when we are asked by name. */
static void not_taken(EVP_PKEY *pair)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", "provider=tpm");
    EVP_PKEY *taken = NULL;
    OSSL_PARAM *numbers = NULL;

    CHECK(EVP_PKEY_todata(pair, EVP_PKEY_KEYPAIR, &numbers) == 1);
    CHECK(OSSL_PARAM_locate(numbers, OSSL_PKEY_PARAM_PRIV_KEY) != NULL);
    CHECK(ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    CHECK(EVP_PKEY_fromdata(ctx, &taken, EVP_PKEY_KEYPAIR, numbers) != 1 && taken == NULL);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(numbers);
}

/* A peer may be a whole key pair. It stays one, of its own provider, and no other pair comes in by that door. */
static void pairs(EVP_PKEY *key, EVP_PKEY *pair, const unsigned char *secret, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    unsigned char again[66];
    size_t size = sizeof(again);

    not_taken(pair);
    CHECK(derive(key, pair, again, sizeof(again), 0) == len && memcmp(secret, again, len) == 0);
    not_taken(pair);
    CHECK(derive(key, pair, again, sizeof(again), 1) == len && memcmp(secret, again, len) == 0);
    not_taken(pair);
    CHECK(ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, pair, 0) == 1);
    not_taken(pair);
    CHECK(EVP_PKEY_derive(ctx, again, &size) == 1 && size == len && memcmp(secret, again, len) == 0);
    EVP_PKEY_CTX_free(ctx);
    /* An agreement that ends without a peer. */
    ctx = EVP_PKEY_CTX_new(key, NULL);
    CHECK(ctx != NULL && EVP_PKEY_derive_init(ctx) == 1);
    EVP_PKEY_CTX_free(ctx);
    not_taken(pair);
    CHECK(strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pair)), "default") == 0);
    sign(pair);
    CHECK(derive(pair, pair, again, sizeof(again), 0) == len);
}

static void agree(EVP_PKEY *key, const char *curve)
{
    EVP_PKEY *soft = EVP_EC_gen(curve), *open, *half, *dup;
    unsigned char *point, *own, ours[66], theirs[66], again[66];
    size_t size = EVP_PKEY_get1_encoded_public_key(soft, &point), len, n, bad;
    static const char *const queries[] = { NULL, "provider=tpm" };

    CHECK(soft != NULL && size > 65 - 1);
    CHECK(EVP_PKEY_get1_encoded_public_key(key, &own) == size);
    /* Peers are public halves, as they come from a wire. */
    CHECK((open = from_numbers(curve, point, size, NULL)) != NULL);
    len = derive(key, open, ours, sizeof(ours), 0);
    pairs(key, soft, ours, len);

    half = from_numbers(curve, own, size, NULL);
    CHECK(half != NULL && EVP_PKEY_eq(half, key) == 1);
    CHECK(derive(soft, half, theirs, sizeof(theirs), 0) == len && memcmp(ours, theirs, len) == 0);
    EVP_PKEY_free(half);

    half = peer_of(key, point, size);
    CHECK(half != NULL);
    CHECK(derive(key, half, again, sizeof(again), 1) == len && memcmp(ours, again, len) == 0);
    CHECK((dup = EVP_PKEY_dup(half)) != NULL && EVP_PKEY_eq(dup, soft) == 1);
    EVP_PKEY_free(dup);
    EVP_PKEY_free(half);

    for (n = 0; n < 2; n++) {
        half = from_numbers(curve, point, size, queries[n]);
        CHECK(half != NULL);
        CHECK(derive(key, half, again, sizeof(again), 0) == len && memcmp(ours, again, len) == 0);
        EVP_PKEY_free(half);
    }
    /* Off the curve, cut, too long, at infinity, in no known form: no key comes of it (the reason is in the log only). */
    for (bad = 0; bad < 5; bad++) {
        unsigned char wrong[200] = { 0 };
        size_t length = size;

        memcpy(wrong, point, size);
        switch (bad) {
        case 0: wrong[size - 1] ^= 1; break;
        case 1: length = size - 1; break;
        case 2: length = size + 1; break;
        case 3: wrong[0] = 0; length = 1; break;
        case 4: wrong[0] = 9; break;
        }
        CHECK(peer_of(key, wrong, length) == NULL);
        ERR_clear_error();
        CHECK(from_numbers(curve, wrong, length, "provider=tpm") == NULL);
        ERR_clear_error();
    }
    CHECK(EVP_PKEY_set1_encoded_public_key(key, point, size) != 1);
    ERR_clear_error();
    CHECK((dup = EVP_PKEY_dup(key)) != NULL && EVP_PKEY_eq(dup, key) == 1);
    CHECK(derive(dup, open, again, sizeof(again), 0) == len && memcmp(ours, again, len) == 0);
    sign(dup);
    EVP_PKEY_free(dup);
    CHECK(EVP_PKEY_eq(key, soft) == 0);
    CHECK(EVP_PKEY_parameters_eq(key, soft) == 1);
    ERR_clear_error();
    OPENSSL_free(point);
    OPENSSL_free(own);
    EVP_PKEY_free(open);
    EVP_PKEY_free(soft);
}

static void others(EVP_PKEY *key, const char *curve)
{
    const char *name = strcmp(curve, "P-256") == 0 ? "P-384" : "P-256";
    EVP_PKEY *pair = EVP_EC_gen(name), *other;
    unsigned char *point;
    size_t size = EVP_PKEY_get1_encoded_public_key(pair, &point);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    CHECK((other = from_numbers(name, point, size, NULL)) != NULL);
    OPENSSL_free(point);
    CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, pair) != 1);
    CHECK(ERR_peek_error() != 0);
    ERR_clear_error();
    EVP_PKEY_free(pair);
    CHECK(EVP_PKEY_parameters_eq(key, other) != 1);
    CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, other) != 1);
    CHECK(ERR_peek_error() != 0);
    ERR_clear_error();
    /* Without the check of the peer that OpenSSL makes itself. */
    CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, other, 0) != 1);
    CHECK(ERR_peek_error() != 0);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
}

int main(int argc, char **argv)
{
    int round;

    CHECK(argc == 4);
    for (round = 0; round < atoi(argv[2]); round++) {
        EVP_PKEY *key = load_key(NULL, argv[1]);
        char group[40];
        int bits = 0;
        BIGNUM *x = NULL, *y = NULL;

        CHECK(EVP_PKEY_is_a(key, "EC") == 1);
        CHECK(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1);
        CHECK(OBJ_txt2nid(group) == EC_curve_nist2nid(argv[3]));
        CHECK(EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_BITS, &bits) == 1);
        CHECK(bits == atoi(argv[3] + 2));
        CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1);
        CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1);
        BN_free(x);
        BN_free(y);
        x = NULL;
        CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &x) != 1);
        ERR_clear_error();
        sign(key);
        agree(key, argv[3]);
        others(key, argv[3]);
        EVP_PKEY_free(key);
    }
    CHECK(ERR_peek_error() == 0);
    return 0;
}
