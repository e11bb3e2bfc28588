// Requests with a client certificate: one whose key is in the TPM, then an ordinary one.
//
//   OPENSSL_CONF=/path/to/openssl.cnf node --openssl-shared-config client.js DIRECTORY HOST PORT
//
// DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt.
"use strict";
const fs = require("fs");
const https = require("https");

const [directory, host, port] = process.argv.slice(2);
const file = (name) => fs.readFileSync(`${directory}/${name}`);

function get(name) {
  return new Promise((resolve, reject) => {
    const options = {
      host,
      port,
      path: "/",
      agent: false,
      ca: file("inner.crt"),
      cert: file(`${name}.crt`),
      key: file(`${name}.key`),
    };
    https
      .get(options, (response) => {
        response.pipe(process.stdout);
        response.on("end", resolve);
      })
      .on("error", reject);
  });
}

(async () => {
  await get("tpm");
  await get("software");
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
