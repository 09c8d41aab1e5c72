//! The syntax of general names (RFC 5280 §4.2.1.6) and of name constraints (§4.2.1.10).
//! Whether a name lies within a constraint is rustls-webpki's question; here malformed ones are refused first.

use x509_parser::extensions::GeneralName;

/// Octets of a host name (RFC 1035 §2.3.4).
const HOST_NAME_MAX: usize = 253;

/// Labels of 1 to 63 letters, digits, hyphens and underscores (RFC 5280 §4.2.1.6; underscores are what real
/// certificates hold and what rustls-webpki takes). A wildcard is a whole first label (RFC 6125 §6.4.3).
fn is_host_name(name: &str, wildcard: bool) -> bool {
    let name = if wildcard { name.strip_prefix("*.").unwrap_or(name) } else { name };
    let octet = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    name.len() <= HOST_NAME_MAX
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(octet))
}

/// RFC 5280 §4.2.1.6: `Local-part@Domain` of RFC 2821 §4.1.2, without the quoted forms that nobody uses.
fn is_mailbox(name: &str) -> bool {
    let parts: Vec<&str> = name.split('@').collect();
    match parts[..] {
        [local, host] => !local.is_empty() && local.bytes().all(|b| b.is_ascii_graphic()) && is_host_name(host, false),
        _ => false,
    }
}

/// RFC 5280 §4.2.1.6: absolute, a scheme and something after it.
fn is_absolute_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a name of a subjectAltName is well-formed.
pub(crate) fn is_well_formed(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(name) => is_host_name(name, true),
        GeneralName::RFC822Name(name) => is_mailbox(name),
        GeneralName::URI(uri) => is_absolute_uri(uri),
        GeneralName::IPAddress(octets) => octets.len() == 4 || octets.len() == 16,
        GeneralName::Invalid(..) => false,
        _ => true,
    }
}

/// Whether the base of a name constraint is well-formed.
pub(crate) fn is_constraint(base: &GeneralName<'_>) -> bool {
    match base {
        // No leading period and no wildcard: those are of URIs and of nobody.
        GeneralName::DNSName(name) => name.is_empty() || is_host_name(name, false),
        // A mailbox, a host, or with a leading period all hosts of a domain.
        GeneralName::RFC822Name(name) if name.contains('@') => is_mailbox(name),
        GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            is_host_name(name.strip_prefix('.').unwrap_or(name), false)
        }
        // An address and its mask.
        GeneralName::IPAddress(octets) => octets.len() == 8 || octets.len() == 32,
        GeneralName::Invalid(..) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GeneralName::{DNSName as Dns, IPAddress as Ip, RFC822Name as Mail, URI as Uri};

    #[test]
    fn names_and_constraints_are_told_from_garbage() {
        let long = "a".repeat(64);
        for (name, well_formed, constraint) in [
            (Dns("example.com"), true, true),
            (Dns("*.example.com"), true, false),
            (Dns("a.*.example.com"), false, false),
            (Dns(".example.com"), false, false),
            (Dns("example.com."), false, false),
            (Dns("exam\0ple.com"), false, false),
            (Dns("exam ple.com"), false, false),
            (Dns(""), false, true),
            (Dns(&long), false, false),
            (Mail("a@b.example"), true, true),
            (Mail("a@b@c.example"), false, false),
            (Mail("b.example"), false, true),
            (Mail(".b.example"), false, true),
            (Mail("@b.example"), false, false),
            (Uri("spiffe://harbour.example/x"), true, false),
            (Uri("harbour.example"), false, true),
            (Uri(".harbour.example"), false, true),
            (Uri("spiffe:"), false, false),
            (Uri("a b:c"), false, false),
            (Ip(&[0; 4]), true, false),
            (Ip(&[0; 16]), true, false),
            (Ip(&[0; 8]), false, true),
            (Ip(&[0; 32]), false, true),
            (Ip(&[0; 5]), false, false),
        ] {
            assert_eq!((is_well_formed(&name), is_constraint(&name)), (well_formed, constraint), "{name:?}");
        }
    }
}
