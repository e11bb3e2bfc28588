/* Prints the layout of the structures that cross OpenSSL's provider ABI; tests/suite/abi/headers.rs compares. */
#include <openssl/core.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
#define OFFSET(type, field)                                              \
    printf("%s.%s %zu, %zu bytes\n", #type, #field, offsetof(type, field), \
           sizeof(((type *)NULL)->field))

int main(void)
{
    SIZE(OSSL_DISPATCH);
    OFFSET(OSSL_DISPATCH, function_id);
    OFFSET(OSSL_DISPATCH, function);

    SIZE(OSSL_ALGORITHM);
    OFFSET(OSSL_ALGORITHM, algorithm_names);
    OFFSET(OSSL_ALGORITHM, property_definition);
    OFFSET(OSSL_ALGORITHM, implementation);
    OFFSET(OSSL_ALGORITHM, algorithm_description);

    SIZE(OSSL_ITEM);
    OFFSET(OSSL_ITEM, id);
    OFFSET(OSSL_ITEM, ptr);

    SIZE(OSSL_PARAM);
    OFFSET(OSSL_PARAM, key);
    OFFSET(OSSL_PARAM, data_type);
    OFFSET(OSSL_PARAM, data);
    OFFSET(OSSL_PARAM, data_size);
    OFFSET(OSSL_PARAM, return_size);
    return 0;
}
