# A TLS server with a key in the TPM and one with an ordinary key, in the same process.
#
#   OPENSSL_CONF=/path/to/openssl.cnf perl server.pl DIRECTORY PORT PORT
#
# DIRECTORY holds tpm.crt, tpm.key, software.crt and software.key.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;

# An orderly end, so that nothing is left in a TPM without a resource manager.
$SIG{TERM} = sub { exit 0 };

my ($directory, @ports) = @ARGV;
my (%context, $select);
$select = IO::Select->new;
for my $name ('tpm', 'software') {
    my $port = shift @ports;
    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 16, ReuseAddr => 1)
        or die "port $port: $@\n";
    $context{$server} = IO::Socket::SSL::SSL_Context->new(
        SSL_server    => 1,
        SSL_cert_file => "$directory/$name.crt",
        SSL_key_file  => "$directory/$name.key",
    ) or die "$name: $SSL_ERROR\n";
    $select->add($server);
}
while (1) {
    for my $server ($select->can_read) {
        my $client = $server->accept or next;
        # The handshake; one that fails is the client's affair.
        IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_reuse_ctx => $context{$server}) or next;
        <$client>;
        print $client "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nserved\n";
        close $client;
    }
}
