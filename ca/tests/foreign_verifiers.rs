//! What other programs make of our certificates and CRLs: OpenSSL, and GnuTLS where it is installed.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, identity};
use ca::{
    CertificateFolder,
    office::{issuing::LeafOptions, revocation::Selection},
};
use ledger_classes::primitives::time::Time;
use pki::{KeyAlgorithm, RevocationReason};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::SystemTime,
};

/// Runs a program in a directory; `None` if it is not installed.
fn run(dir: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).current_dir(dir).output().ok()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One profile's folder in each role, its issuing CA under the consortium's root or a root of its own.
fn issue(dir: &Path, folder: &CertificateFolder, now: Time) -> Vec<(String, &'static str)> {
    let mut made = Vec::new();
    for organization in ["north", "south"] {
        for role in ["peer", "admin", "client", "auditor"] {
            let name = format!("{organization}-{role}");
            let mut options = LeafOptions::default();
            if role == "peer" {
                // No two organizations' peers have one name.
                let names = match organization {
                    "north" => ["peer.example", "192.0.2.1"],
                    _ => ["peer-2.example", "192.0.2.2"],
                };
                options.alternative_names = names.iter().map(|name| name.parse().unwrap()).collect();
            }
            let who = identity(&format!("{organization}/{role}/{name}"));
            folder.issuing().issue_profile(&who, &options, &dir.join(&name), now).unwrap();
            made.push((name, role));
        }
    }
    made
}

#[test]
fn openssl_and_gnutls_verify_what_we_issue_and_refuse_what_we_revoke() {
    // GnuTLS before 3.8 takes no other instant than now.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = Time::from_millis(now.try_into().unwrap());
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let folder = CertificateFolder::create(dir, CONSORTIUM, algorithm, now).unwrap();
        folder.authorities().add_organization("north", algorithm, now).unwrap();
        folder.authorities().add_organization_root("south", algorithm, now).unwrap();
        let made = issue(dir, &folder, now);

        for revoked in [false, true] {
            let trust = folder.records().unwrap().trust().unwrap();
            trust.save(dir).unwrap();
            for (name, role) in &made {
                let purposes: &[&str] = if *role == "peer" { &["sslclient", "sslserver"] } else { &["sslclient"] };
                let leaf = format!("{name}/cert.pem");
                for purpose in purposes {
                    let arguments = [
                        "verify",
                        "-x509_strict",
                        "-check_ss_sig",
                        "-crl_check_all",
                        "-purpose",
                        purpose,
                        "-CAfile",
                        "ca.pem",
                        "-untrusted",
                        "issuing.pem",
                        "-CRLfile",
                        "crl.pem",
                        &leaf,
                    ];
                    let Some(output) = run(dir, "openssl", &arguments) else { return };
                    assert_eq!(output.status.success(), !revoked, "{name} {purpose}: {}", text(&output));
                    assert!(!revoked || text(&output).contains("certificate revoked"), "{name}: {}", text(&output));
                }
            }
            for (name, _) in &made {
                // GnuTLS wants the whole path in one file.
                let path = ["cert.pem", "ca.pem"].map(|file| fs::read_to_string(dir.join(name).join(file)).unwrap());
                fs::write(dir.join("path.pem"), path.concat()).unwrap();
                let arguments = [
                    "--verify",
                    "--infile",
                    "path.pem",
                    "--load-ca-certificate",
                    "ca.pem",
                    "--load-crl",
                    "crl.pem",
                    "--verify-profile",
                    "medium",
                ];
                let Some(output) = run(dir, "certtool", &arguments) else { break };
                assert_eq!(output.status.success(), !revoked, "{name}: {}", text(&output));
            }
            if !revoked {
                for (name, role) in &made {
                    let organization = name.split('-').next().unwrap();
                    let who = identity(&format!("{organization}/{role}/{name}"));
                    folder
                        .revocation()
                        .revoke(&Selection::Identity(who), RevocationReason::KeyCompromise, now)
                        .unwrap();
                }
            }
        }

        // Each CRL by its own issuer, and not by another.
        let crls: Vec<_> = fs::read_dir(dir.join("ca/crl")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(crls.len(), 3);
        for crl in crls {
            let own = dir.join("ca").join(crl.file_name().unwrap());
            for issuer in ["root.pem", "north.pem", "south.pem"].map(|file| dir.join("ca").join(file)) {
                let [crl, pem] = [&crl, &issuer].map(|path| path.to_str().unwrap().to_owned());
                let arguments = ["crl", "-noout", "-in", &crl, "-CAfile", &pem];
                let Some(output) = run(dir, "openssl", &arguments) else { return };
                assert_eq!(text(&output).contains("verify OK"), own == issuer, "{crl} {pem}: {}", text(&output));
            }
        }
    }
}
