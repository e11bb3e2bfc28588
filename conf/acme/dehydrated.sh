# For dehydrated, with a key in the TPM: /etc/dehydrated/conf.d/tpm.sh. See docs/acme.md.

# dehydrated makes its certificate request with the openssl command, which needs the provider for that.
export OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf

# The key stays: privkey.pem in the certificate's directory is the TPM's key file.
PRIVATE_KEY_RENEW=no

# Where nginx takes the answers to challenges from, and who tells it of a new certificate.
WELLKNOWN=/var/www/acme/.well-known/acme-challenge
HOOK=/usr/local/sbin/tpm-deploy
