// Signatures with the token's key `tpm` and with a software key, in one process, each verified by Java's own providers:
//   java Signatures.java PIN-FILE|- SOFTWARE.p12 ALGORITHM...
// The algorithms are those of the token's key.

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;

public class Signatures {
    public static void main(String[] arguments) throws Exception {
        char[] pin = null;
        if (!arguments[0].equals("-")) {
            pin = Files.readString(Path.of(arguments[0])).strip().toCharArray();
        }
        KeyStore token = KeyStore.getInstance("PKCS11");
        token.load(null, pin);
        char[] password = "changeit".toCharArray();
        KeyStore software = KeyStore.getInstance(new File(arguments[1]), password);
        for (int i = 2; i < arguments.length; i++) {
            check(token, "tpm", null, arguments[i]);
            PrivateKey own = (PrivateKey) software.getKey("software", password);
            check(software, "software", password, own.getAlgorithm().equals("RSA") ? "RSASSA-PSS" : "SHA256withECDSA");
        }
    }

    static void check(KeyStore store, String alias, char[] password, String algorithm) throws Exception {
        Signature signer = Signature.getInstance(algorithm);
        signer.initSign((PrivateKey) store.getKey(alias, password));
        // With the key, which decides who works on it.
        setUp(signer, algorithm);
        signer.update(new byte[] {1, 2, 3});
        byte[] signature = signer.sign();
        Signature verifier = Signature.getInstance(algorithm, algorithm.contains("ECDSA") ? "SunEC" : "SunRsaSign");
        verifier.initVerify(store.getCertificate(alias));
        setUp(verifier, algorithm);
        verifier.update(new byte[] {1, 2, 3});
        System.out.println(alias + " " + algorithm + " " + signer.getProvider().getName() + " " + verifier.verify(signature));
    }

    static void setUp(Signature signature, String algorithm) throws Exception {
        if (algorithm.equals("RSASSA-PSS")) {
            signature.setParameter(new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
        }
    }
}
