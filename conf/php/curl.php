<?php
// The same as client.php with PHP's curl: one request whose certificate's key is in the TPM, then an ordinary one.
//
//   OPENSSL_CONF=/path/to/openssl.cnf php curl.php DIRECTORY HOST PORT
//
// DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt.
[, $directory, $host, $port] = $argv;

foreach (['tpm', 'software'] as $name) {
    $request = curl_init("https://$host:$port/");
    curl_setopt_array($request, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CAINFO => "$directory/inner.crt",
        CURLOPT_SSLCERT => "$directory/$name.crt",
        CURLOPT_SSLKEY => "$directory/$name.key",
        // A key with a PIN:
        //CURLOPT_KEYPASSWD => trim(file_get_contents('/etc/ssl/private/tpm.pin')),
    ]);
    $page = curl_exec($request);
    if ($page === false) {
        fwrite(STDERR, curl_error($request) . "\n");
        exit(1);
    }
    echo $page;
}
