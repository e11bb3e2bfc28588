//! Keys that are made from a curve's name alone, as the manual says: in the TPM wherever a query asks for that.

use testkit::openssl::Config;
use testkit::orders::each_order_with;

#[test]
fn every_command_that_is_given_a_curve_and_a_query() {
    each_order_with(&Config::new(), |openssl| {
        for query in ["provider=tpm", "?provider=tpm"] {
            for line in [
                "ecparam -name prime256v1 -genkey -out made.pem",
                "ecparam -name prime256v1 -genkey -noout -out made.pem",
                "genpkey -algorithm EC -pkeyopt group:P-256 -out made.pem",
                "req -new -newkey EC -pkeyopt group:P-256 -noenc -subj /CN=own -keyout made.pem -out own.csr",
                "req -new -newkey rsa:2048 -noenc -subj /CN=own -keyout made.pem -out own.csr",
            ] {
                let (command, rest) = line.split_once(' ').expect("a command");
                openssl.ok(&format!("{command} -propquery {query} {rest}"));
                let pem = openssl.dir().read_text("made.pem");
                assert!(
                    pem.contains("-----BEGIN TSS2 PRIVATE KEY-----\n")
                        && !pem.contains("EC PRIVATE"),
                    "{query} {line}: {pem}"
                );
                openssl.ok("pkey -in made.pem -pubout -out made.pub");
                if command == "req" {
                    openssl.plain().ok("req -in own.csr -verify -noout");
                }
            }
        }
    });
}
