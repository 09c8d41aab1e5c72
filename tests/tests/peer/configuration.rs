//! What an operator has configured is what the peer does, or it says why not.

use crate::harness::{Consortium, Peer, chancery, text};
use crate::wait;
use std::fs;
use std::process::Command;

fn until_said(peer: &Peer, words: &str, times: usize) {
    wait::until_found(words, || (peer.said(words) >= times).then_some(()));
}

#[tokio::test]
async fn what_could_be_taken_for_another_configuration_is_said() {
    let consortium = Consortium::new();
    fs::remove_file(consortium.dir().join("chancery.toml")).expect("it was there");
    let variables = [
        ("CHANCERY_LISTEN", "localhost:0"),
        ("CHANCERY_METRICS_LISTEN", "off"),
        ("CHANCERY_LOG_LEVEL", ""),
        ("CHANCERY_DIR", ""),
        ("CHANCERY_LISEN", "127.0.0.1:9"),
    ];
    let peer = Peer::start(&consortium.dir(), &variables);
    assert_eq!(peer.metrics, None);
    peer.connect(&consortium.admin()).status().await.expect("it serves");
    until_said(&peer, "nothing reads the environment variable CHANCERY_LISEN", 1);
    until_said(&peer, "chancery.toml: every key has its default", 1);
    assert_eq!(peer.said("nothing reads the environment variable"), 1);
    peer.drain();
    // Commands say so, too, and an empty variable names no profile.
    let mut command = chancery();
    command.args(["status"]).env("CHANCERY_PROFILE", "").env("CHANCERY_PROFIL", "there");
    let output = command.output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("CHANCERY_PROFIL\n") && said.contains("which profile?"), "{said}");
}

#[tokio::test]
async fn a_hangup_takes_the_log_level_into_use_and_names_what_waits_for_a_restart() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let file = consortium.dir().join("chancery.toml");
    let before = fs::read_to_string(&file).expect("readable");
    let hang_up = || {
        let asked = Command::new("kill").args(["-HUP", &peer.pid().to_string()]).status().expect("kill runs");
        assert!(asked.success());
    };
    connection.status().await.expect("answers");
    assert_eq!(peer.said("answered"), 0);
    let changed = before.replace("info,actix_server=warn", "debug").replace("drain_seconds = 10", "drain_seconds = 9");
    assert_ne!(changed, before);
    fs::write(&file, changed).expect("writes");
    hang_up();
    until_said(&peer, "SIGHUP: log level and trust were read again", 1);
    until_said(&peer, "changed keys that a restart takes into use", 1);
    assert_eq!(peer.said("limits.drain_seconds"), 1);
    connection.status().await.expect("answers");
    until_said(&peer, "answered", 1);
    fs::write(&file, "listen = ").expect("writes");
    hang_up();
    until_said(&peer, "SIGHUP: the configuration stays as it was", 1);
    connection.status().await.expect("answers");
    peer.drain();
}

#[tokio::test]
async fn a_profile_with_an_encrypted_key_says_so_and_opens_with_its_passphrase() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let (key, sealed, secret) = (ann.join("key.pem"), ann.join("key.enc"), consortium.path("secret"));
    files::write_private(&secret, b"a secret of ann's\n").expect("writes");
    let pass = format!("file:{}", text(&secret));
    let openssl = ["pkcs8", "-topk8", "-in", text(&key), "-out", text(&sealed), "-passout", &pass];
    assert!(Command::new("openssl").args(openssl).status().expect("openssl is installed").success());
    fs::rename(&sealed, &key).expect("renames");
    let peer = consortium.serve();
    let status = |file: Option<&std::path::Path>| {
        let mut command = chancery();
        command.args(["status", "--json", "--profile", text(&ann), "--peer", &peer.url]);
        command.envs(file.map(|file| ("CHANCERY_PROFILE_PASSPHRASE_FILE", file)));
        command.output().expect("it runs")
    };
    let refused = status(None);
    let said = String::from_utf8(refused.stderr).expect("text");
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("the private key is encrypted") && said.contains("--profile-passphrase-file"), "{said}");
    let opened = status(Some(&secret));
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    fs::write(&secret, "another\n").expect("writes");
    assert_eq!(status(Some(&secret)).status.code(), Some(2));
}
