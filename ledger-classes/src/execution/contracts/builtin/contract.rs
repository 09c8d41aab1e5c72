//! What the library asks of each of its contracts.

use crate::execution::contracts::Call;
use crate::execution::contracts::engine::InstanceView;
use crate::formats::outcome::Refusal;

/// One contract of the library.
pub(super) trait Contract: Sync {
    fn create(&self, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal>;
    fn call(&self, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal>;
    fn timer(&self, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal>;
    fn query(&self, view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal>;
}
