# Requests with a client certificate: one whose key is in the TPM, then an ordinary one.
#
#   OPENSSL_CONF=/path/to/openssl.cnf perl client.pl DIRECTORY HOST PORT
#
# DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt. LWP::UserAgent takes
# the same options in ssl_opts.
use strict;
use warnings;
use IO::Socket::SSL;

my ($directory, $host, $port) = @ARGV;
for my $name ('tpm', 'software') {
    my $socket = IO::Socket::SSL->new(
        PeerAddr      => "$host:$port",
        SSL_ca_file   => "$directory/inner.crt",
        SSL_cert_file => "$directory/$name.crt",
        SSL_key_file  => "$directory/$name.key",
        # A key with a PIN:
        #SSL_passwd_cb => sub { open my $file, '<', '/etc/ssl/private/tpm.pin'; <$file> =~ s/\n//r },
    ) or die "$name: $SSL_ERROR\n";
    print $socket "GET / HTTP/1.0\r\nHost: $host\r\n\r\n";
    print <$socket>;
    close $socket;
}
