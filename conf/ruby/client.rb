# Requests with a client certificate: one whose key is in the TPM, then an ordinary one.
#
#   OPENSSL_CONF=/path/to/openssl.cnf ruby client.rb DIRECTORY HOST PORT
#
# DIRECTORY holds tpm.crt, tpm.key, software.crt, software.key, and the server's authority in inner.crt.
require 'net/http'
require 'openssl'

directory, host, port = ARGV
%w[tpm software].each do |name|
  key = OpenSSL::PKey.read(File.read("#{directory}/#{name}.key"))
  # The gem looks into a key to see whether it is a private one, and nobody can look into one of the TPM's.
  def key.private? = true
  http = Net::HTTP.new(host, port)
  http.use_ssl = true
  http.ca_file = "#{directory}/inner.crt"
  http.cert = OpenSSL::X509::Certificate.new(File.read("#{directory}/#{name}.crt"))
  http.key = key
  puts http.get('/').body
end
