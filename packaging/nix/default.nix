# For Nix: nix-build packaging/nix, or callPackage in an overlay.
# cargoLock takes the checksums from Cargo.lock, so that there is none to keep current here.
{ pkgs ? import <nixpkgs> { } }:

pkgs.rustPlatform.buildRustPackage {
  pname = "tpm-provider";
  version = "0.1.0";
  src = pkgs.lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = with pkgs; [ gnumake pandoc pkg-config cmake ];
  buildInputs = [ pkgs.openssl ];
  # AWS-LC is built by cc; cmake is there for processors that lack its list of files.
  dontUseCmakeConfigure = true;

  buildPhase = ''
    runHook preBuild
    AUDITABLE=no packaging/release "$PWD/target/package"
    make man completions RUNS=target/package/release/tpmctl
    runHook postBuild
  '';

  # The scenarios need TPM simulators, servers and root: `make check` on a machine that has them.
  doCheck = false;

  installPhase = ''
    runHook preInstall
    make install PREFIX=$out MODULESDIR=$out/lib/ossl-modules PKCS11DIR=$out/lib/pkcs11 \
      MODULE=target/package/release/libtpm_provider.so TPMCTL=target/package/release/tpmctl
    runHook postInstall
  '';

  # OpenSSL's own directory of modules is not ours to write to: name the module with `module =` in openssl.cnf.
  meta = with pkgs.lib; {
    description = "OpenSSL 3 provider and PKCS#11 module that keep private keys in a TPM";
    license = with licenses; [ mit asl20 ];
    mainProgram = "tpmctl";
    platforms = platforms.linux;
  };
}
