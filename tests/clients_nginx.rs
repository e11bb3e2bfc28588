//! nginx in the table of clients; what is special about it is in nginx.rs.

use crate::clients::find;
use crate::clients_haproxy::get;
use crate::common::nginx::{self, Nginx};
use crate::common::table::{Role, Serving, connects, serves};

/// nginx and its two ports.
struct Sample(Nginx, [u16; 2]);

impl Serving for Sample {
    fn ports(&self) -> [u16; 2] {
        self.1
    }

    fn end(mut self) {
        self.0.quit();
        self.0.assert_content();
    }

    fn says(&self) -> String {
        self.0.log()
    }
}

#[test]
pub fn nginx_serves() {
    serves(find("nginx", Role::Server), |site| {
        let (server, ports) = nginx::from_sample(&site.openssl);
        Sample(server, ports)
    });
}

/// nginx as a proxy that shows a certificate to the server behind it.
#[test]
pub fn nginx_connects() {
    connects(find("nginx", Role::Client), |site, _, inner| {
        let (mut server, ports) = nginx::proxying(&site.openssl, inner);
        let answers = ports.map(get);
        if answers[0].is_some() {
            server.assert_content();
        }
        server.quit();
        let [tpm, software] = answers;
        Some([tpm?, software.expect("the software key works")])
    });
}
