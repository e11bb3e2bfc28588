// An https server with a key in the TPM and one with an ordinary key, in the same process.
//
//   OPENSSL_CONF=/path/to/openssl.cnf node --openssl-shared-config server.js DIRECTORY PORT PORT
//
// DIRECTORY holds tpm.crt, tpm.key, software.crt and software.key. The configuration must name the module
// by its absolute path (module = ...) where node has an OpenSSL of its own inside.
"use strict";
const fs = require("fs");
const https = require("https");

const [directory, tpmPort, softwarePort] = process.argv.slice(2);

function serve(name, port) {
  const options = {
    cert: fs.readFileSync(`${directory}/${name}.crt`),
    key: fs.readFileSync(`${directory}/${name}.key`),
    minVersion: "TLSv1.2",
  };
  https
    .createServer(options, (request, response) => {
      response.setHeader("Connection", "close");
      response.end("served\n");
    })
    .listen(Number(port), "127.0.0.1");
}

serve("tpm", tpmPort);
serve("software", softwarePort);

// An orderly end, so that nothing is left in a TPM without a resource manager.
process.on("SIGTERM", () => process.exit(0));
