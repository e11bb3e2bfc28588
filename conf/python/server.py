"""An https server with a key in the TPM and one with an ordinary key, in the same process.

    OPENSSL_CONF=/path/to/openssl.cnf python3 server.py DIRECTORY PORT PORT

DIRECTORY holds tpm.crt, tpm.key, software.crt and software.key. There is nothing special about a TPM
key: once OpenSSL's configuration activates the provider, its file is loaded as any other.
"""

import http.server
import signal
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """One line of text."""
        body = b"served\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def serve(directory, name, port):
    """Serves one certificate on one port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(f"{directory}/{name}.crt", f"{directory}/{name}.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    # The handshake belongs to the thread of its connection, not to the one that accepts.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    # Ends by main's return, so that nothing is left in a TPM without a resource manager.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    serve(sys.argv[1], "tpm", int(sys.argv[2]))
    serve(sys.argv[1], "software", int(sys.argv[3]))
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
