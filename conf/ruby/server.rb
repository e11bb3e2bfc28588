# A TLS server with a key in the TPM and one with an ordinary key, in the same process.
#
#   OPENSSL_CONF=/path/to/openssl.cnf ruby server.rb DIRECTORY PORT PORT
#
# DIRECTORY holds tpm.crt, tpm.key, software.crt and software.key.
require 'openssl'
require 'socket'

def serve(directory, name, port)
  key = OpenSSL::PKey.read(File.read("#{directory}/#{name}.key"))
  # The gem looks into a key to see whether it is a private one, and nobody can look into one of the TPM's.
  def key.private? = true
  context = OpenSSL::SSL::SSLContext.new
  context.add_certificate(OpenSSL::X509::Certificate.new(File.read("#{directory}/#{name}.crt")), key)
  listener = TCPServer.new('127.0.0.1', port)
  loop do
    # The handshake belongs to the thread of its connection, not to the one that accepts.
    Thread.new(listener.accept) do |socket|
      client = OpenSSL::SSL::SSLSocket.new(socket, context).accept
      client.gets
      client.write "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nserved\n"
      client.close
    rescue OpenSSL::SSL::SSLError, SystemCallError => e
      warn e.message
    end
  end
end

# An orderly end, so that nothing is left in a TPM without a resource manager.
trap('TERM') { exit 0 }

directory, tpm_port, software_port = ARGV
Thread.new { serve(directory, 'tpm', tpm_port) }
serve(directory, 'software', software_port)
