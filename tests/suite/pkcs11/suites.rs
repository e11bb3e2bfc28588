//! Other projects' suites, as far as Debian has them. docs/conformance.md has the results of all.

use testkit::process::Run;
use testkit::tools::{need_file, root};

/// Those of OpenSSH for keys of PKCS#11 in its agent, with our keys in the place of SoftHSM's.
#[test]
fn openssh_s_own() {
    need_file("/usr/lib/openssh/regress/agent-pkcs11.sh", "openssh-tests");
    let done = Run::new(root().join("tools/suites"))
        .args(["run", "openssh"])
        .ok();
    assert!(
        done.err()
            .contains("openssh: 1 passed, 0 do not apply, 0 failed"),
        "{done}"
    );
}
