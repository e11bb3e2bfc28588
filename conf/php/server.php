<?php
// A TLS server with a key in the TPM and one with an ordinary key, in the same process.
//
//   OPENSSL_CONF=/path/to/openssl.cnf php server.php DIRECTORY PORT PORT
//
// DIRECTORY holds tpm.crt, tpm.key, software.crt and software.key. PHP behind nginx, Apache or the like has no key of its own:
// there the server in front has it.
[, $directory, $tpm_port, $software_port] = $argv;

function listen(string $directory, string $name, int $port)
{
    $context = stream_context_create(['ssl' => [
        'local_cert' => "$directory/$name.crt",
        'local_pk' => "$directory/$name.key",
    ]]);
    $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
    return stream_socket_server("ssl://127.0.0.1:$port", $number, $message, $flags, $context)
        ?: exit("$message\n");
}

// An orderly end, so that nothing is left in a TPM without a resource manager.
pcntl_async_signals(true);
pcntl_signal(SIGTERM, fn() => exit(0));

$servers = [listen($directory, 'tpm', $tpm_port), listen($directory, 'software', $software_port)];
while (true) {
    $ready = $servers;
    $none = null;
    if (!@stream_select($ready, $none, $none, null)) {
        continue;
    }
    foreach ($ready as $server) {
        // The handshake is in here; one that fails is the client's affair.
        $client = @stream_socket_accept($server, 10);
        if ($client !== false) {
            fgets($client);
            fwrite($client, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nserved\n");
            fclose($client);
        }
    }
}
