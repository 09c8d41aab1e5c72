//! Who works at the command line, as far as the machine knows: its user and its name. This is what is recorded of an
//! act unless somebody says another name; whoever has the authorities' folder may say any.

use ca::Cause;
use std::fs;

/// `user@host`.
pub fn name() -> String {
    format!("{}@{}", clean(user()), clean(host()))
}

/// The operator, for a reason.
pub fn cause(why: &str) -> Cause {
    // Both are short and clean.
    Cause::new(&name(), Some(why)).unwrap_or_default()
}

/// The name that the system's table gives the process's user, or the number.
fn user() -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = fs::metadata("/proc/self").ok()?.uid().to_string();
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        // passwd(5): name:password:number:…
        let named = users.lines().find(|line| line.split(':').nth(2) == Some(id.as_str()));
        Some(named.and_then(|line| line.split(':').next()).unwrap_or(&id).to_owned())
    }
    #[cfg(not(target_os = "linux"))]
    std::env::var("USER").ok()
}

fn host() -> Option<String> {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    files.iter().find_map(|file| fs::read_to_string(file).ok()).or_else(|| std::env::var("HOSTNAME").ok())
}

/// At most 64 characters that cannot steer a terminal.
fn clean(text: Option<String>) -> String {
    let text: String = text.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).take(64).collect();
    if text.is_empty() { "unknown".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_always_said() {
        let name = name();
        let (user, host) = name.split_once('@').expect("user and host");
        assert!(!user.is_empty() && !host.is_empty());
        assert_eq!(clean(Some(" a\u{1b}b \n".into())), "ab");
        assert_eq!(clean(Some("\n".into())), "unknown");
        assert_ne!(cause("a reason"), Cause::default());
    }
}
