"""Requests with a client certificate: one whose key is in the TPM, then an ordinary one.

    OPENSSL_CONF=/path/to/openssl.cnf python3 client.py DIRECTORY HOST PORT

DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt.
"""

import http.client
import ssl
import sys

directory, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name in ("tpm", "software"):
    context = ssl.create_default_context(cafile=f"{directory}/inner.crt")
    context.load_cert_chain(f"{directory}/{name}.crt", f"{directory}/{name}.key")
    connection = http.client.HTTPSConnection(host, port, context=context)
    connection.request("GET", "/")
    print(connection.getresponse().read().decode())
    connection.close()
