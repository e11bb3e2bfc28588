<?php
// Requests with a client certificate: one whose key is in the TPM, then an ordinary one.
//
//   OPENSSL_CONF=/path/to/openssl.cnf php client.php DIRECTORY HOST PORT
//
// DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt.
[, $directory, $host, $port] = $argv;

foreach (['tpm', 'software'] as $name) {
    $context = stream_context_create(['ssl' => [
        'cafile' => "$directory/inner.crt",
        'local_cert' => "$directory/$name.crt",
        'local_pk' => "$directory/$name.key",
        // A key with a PIN:
        //'passphrase' => trim(file_get_contents('/etc/ssl/private/tpm.pin')),
    ]]);
    $page = file_get_contents("https://$host:$port/", false, $context);
    if ($page === false) {
        exit(1);
    }
    echo $page;
}
