// A client of HTTPS that shows the certificate of a key in the TPM:
//   java -Djava.security.properties=java.security Client.java URL ALIAS [PIN-FILE]
// The alias is the name of the key's file, without .tpm.

import java.net.Socket;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.X509ExtendedKeyManager;

public class Client {
    public static void main(String[] arguments) throws Exception {
        char[] pin = null;
        if (arguments.length > 2) {
            pin = Files.readString(Path.of(arguments[2])).strip().toCharArray();
        }
        KeyStore store = KeyStore.getInstance("PKCS11");
        store.load(null, pin);
        if (!store.isKeyEntry(arguments[1])) {
            System.err.println("The token has no key " + arguments[1] + " with a certificate.");
            System.exit(1);
        }
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(new KeyManager[] {new One(store, arguments[1])}, null, null);
        HttpsURLConnection connection = (HttpsURLConnection) new URL(arguments[0]).openConnection();
        connection.setSSLSocketFactory(tls.getSocketFactory());
        connection.getInputStream().transferTo(System.out);
    }

    /** That one key for whoever asks. */
    private static class One extends X509ExtendedKeyManager {
        private final String alias;
        private final PrivateKey key;
        private final X509Certificate[] chain;

        One(KeyStore store, String alias) throws Exception {
            this.alias = alias;
            key = (PrivateKey) store.getKey(alias, null);
            chain = Arrays.stream(store.getCertificateChain(alias))
                .map(X509Certificate.class::cast).toArray(X509Certificate[]::new);
        }

        @Override
        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return Arrays.asList(types).contains(key.getAlgorithm()) ? alias : null;
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return chain;
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return key;
        }

        @Override
        public String[] getClientAliases(String type, Principal[] issuers) {
            return new String[] {alias};
        }

        @Override
        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return null;
        }

        @Override
        public String[] getServerAliases(String type, Principal[] issuers) {
            return null;
        }
    }
}
