/*
 * nulls MODULE: calls every function of every dispatch table of a provider with NULL wherever a pointer may be
 * given, and zero sizes. Surviving it is the point; what a function says is not, except that NULL is no success
 * where it would have to be one's own data.
 */
#include <dlfcn.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS /* since 3.4 */
#define OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS 15
#endif

/* Six arguments that are all zero suit every function of the tables, whose arguments are pointers and integers. */
typedef void *any_fn(void *, void *, void *, void *, void *, void *, void *, void *);

static const OSSL_DISPATCH *captured_in;
static const OSSL_CORE_HANDLE *captured_handle;
static OSSL_provider_init_fn *real;

static int capture(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ctx)
{
    captured_handle = handle;
    captured_in = in;
    return real(handle, in, out, ctx);
}

int main(int argc, char **argv)
{
    void *module = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    const OSSL_DISPATCH *out = NULL, *d;
    void *provctx = NULL;
    OSSL_PROVIDER *provider;
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    int op, functions = 0, no_cache;
    OSSL_FUNC_provider_query_operation_fn *query = NULL;

    if (module == NULL)
        return 2;
    real = (OSSL_provider_init_fn *)dlsym(module, "OSSL_provider_init");
    if (real == NULL || OSSL_PROVIDER_add_builtin(libctx, "captured", capture) != 1)
        return 3;
    provider = OSSL_PROVIDER_load(libctx, "captured");
    if (provider == NULL)
        return 4;

    /* Init with NULLs fails; a second instance on the same core is fine. */
    if (real(NULL, NULL, NULL, NULL) || real(captured_handle, NULL, &out, &provctx)
        || real(captured_handle, captured_in, NULL, &provctx) || real(captured_handle, captured_in, &out, NULL)
        || real(NULL, captured_in, &out, &provctx))
        return 5;
    if (real(captured_handle, captured_in, &out, &provctx) != 1)
        return 6;

    for (d = out; d->function_id != 0; d++) {
        if (d->function_id == OSSL_FUNC_PROVIDER_QUERY_OPERATION)
            query = OSSL_FUNC_provider_query_operation(d);
        ((any_fn *)d->function)(0, 0, 0, 0, 0, 0, 0, 0);
        functions++;
    }
    if (query == NULL)
        return 7;
    for (op = -1; op <= 64; op++) {
        const OSSL_ALGORITHM *a = query(provctx, op, NULL);

        query(NULL, op, &no_cache);
        for (; a != NULL && a->algorithm_names != NULL; a++) {
            for (d = a->implementation; d->function_id != 0; d++) {
                int twice;

                for (twice = 0; twice < 2; twice++) {
                    /* The return value may be a pointer or an int: the int is in the low half. */
                    ((any_fn *)d->function)(0, 0, 0, 0, 0, 0, 0, 0);
                    functions++;
                }
            }
        }
    }
    ERR_clear_error();

    /* newctx with a provider context, and every other function with the context and nothing else. */
    for (op = 1; op <= 64; op++) {
        const OSSL_ALGORITHM *a = query(provctx, op, &no_cache);

        for (; a != NULL && a->algorithm_names != NULL; a++) {
            int newctx = 0, freectx = 0;
            void *ctx = NULL;

            switch (op) {
            case OSSL_OP_KEYMGMT:
                newctx = OSSL_FUNC_KEYMGMT_NEW, freectx = OSSL_FUNC_KEYMGMT_FREE;
                break;
            case OSSL_OP_SIGNATURE:
                newctx = OSSL_FUNC_SIGNATURE_NEWCTX, freectx = OSSL_FUNC_SIGNATURE_FREECTX;
                break;
            case OSSL_OP_ASYM_CIPHER:
                newctx = OSSL_FUNC_ASYM_CIPHER_NEWCTX, freectx = OSSL_FUNC_ASYM_CIPHER_FREECTX;
                break;
            case OSSL_OP_DECODER:
                newctx = OSSL_FUNC_DECODER_NEWCTX, freectx = OSSL_FUNC_DECODER_FREECTX;
                break;
            case OSSL_OP_ENCODER:
                newctx = OSSL_FUNC_ENCODER_NEWCTX, freectx = OSSL_FUNC_ENCODER_FREECTX;
                break;
            default:
                continue;
            }
            for (d = a->implementation; d->function_id != 0; d++)
                if (d->function_id == newctx)
                    ctx = ((any_fn *)d->function)(provctx, 0, 0, 0, 0, 0, 0, 0);
            if (ctx == NULL)
                continue;
            for (d = a->implementation; d->function_id != 0; d++) {
                void *made;

                if (d->function_id == newctx || d->function_id == freectx)
                    continue;
                /* Functions whose first argument is the provider's context or a generation, not the operation's context. */
                if ((op == OSSL_OP_KEYMGMT
                     && (d->function_id == OSSL_FUNC_KEYMGMT_GEN_INIT || d->function_id == OSSL_FUNC_KEYMGMT_LOAD
                         || d->function_id == OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS
                         || (d->function_id >= OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE
                             && d->function_id <= OSSL_FUNC_KEYMGMT_GEN_CLEANUP)))
                    || (op == OSSL_OP_DECODER && d->function_id < OSSL_FUNC_DECODER_DECODE)
                    || (op == OSSL_OP_ENCODER && d->function_id < OSSL_FUNC_ENCODER_ENCODE))
                    continue;
                made = ((any_fn *)d->function)(ctx, 0, 0, 0, 0, 0, 0, 0);
                functions++;
                if ((op == OSSL_OP_SIGNATURE && d->function_id == OSSL_FUNC_SIGNATURE_DUPCTX)
                    || (op == OSSL_OP_ASYM_CIPHER && d->function_id == OSSL_FUNC_ASYM_CIPHER_DUPCTX)
                    || (op == OSSL_OP_KEYMGMT && d->function_id == OSSL_FUNC_KEYMGMT_DUP)) {
                    const OSSL_DISPATCH *f;

                    for (f = a->implementation; f->function_id != 0; f++)
                        if (f->function_id == freectx)
                            ((any_fn *)f->function)(made, 0, 0, 0, 0, 0, 0, 0);
                }
            }
            for (d = a->implementation; d->function_id != 0; d++)
                if (d->function_id == freectx)
                    ((any_fn *)d->function)(ctx, 0, 0, 0, 0, 0, 0, 0);
        }
    }
    for (d = out; d->function_id != 0; d++)
        if (d->function_id == OSSL_FUNC_PROVIDER_TEARDOWN)
            OSSL_FUNC_provider_teardown(d)(provctx);
    ERR_clear_error();
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(libctx);
    printf("%d functions\n", functions);
    return functions > 100 ? 0 : 8;
}
