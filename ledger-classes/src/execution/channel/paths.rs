//! Certificate paths that come with actions, and the CA certificates that they are judged by.

use crate::execution::{Context, budget};
use crate::formats::detail::{Detail, Part, PathFault};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::limits::{CERTIFICATE_BYTES_MAX, CERTIFICATE_PATH_MAX};
use crate::primitives::hash::HexBytes;

/// A path that may be verified, so many times.
pub(super) fn path_of<'p>(context: &Context<'_>, path: &'p [HexBytes], times: u64) -> Result<Vec<&'p [u8]>, Refusal> {
    let oversize = |der: &HexBytes| der.0.len() > CERTIFICATE_BYTES_MAX;
    if path.len() > CERTIFICATE_PATH_MAX || path.iter().any(oversize) {
        return reject(
            ResultCode::InvalidField,
            Detail::AtMost { part: Part::Path, most: CERTIFICATE_PATH_MAX as u64 },
        );
    }
    context.work(times * budget::PATH_PART * (path.len() as u64 + 1));
    Ok(path.iter().map(|der| der.0.as_slice()).collect())
}

/// The CA certificates that a member organization is judged by; all of the channel's for `None`.
pub(super) fn roots_of<'a>(context: &Context<'a>, organization: Option<&str>) -> Vec<&'a [u8]> {
    let organizations = context.config().organizations.iter();
    let wanted = organizations.filter(|member| organization.is_none_or(|name| member.name == name));
    let roots: Vec<&[u8]> = wanted.flat_map(|member| member.authorities.iter().map(|der| der.0.as_slice())).collect();
    context.work(budget::CERTIFICATE * roots.len() as u64);
    roots
}

/// A fault that the channel finds in what was shown of certificates.
pub(super) fn path_fault(fault: PathFault) -> Detail {
    Detail::Path { refusal: fault.into() }
}
