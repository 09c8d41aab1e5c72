//! What a peer does not take for a block, by what it alone knows, as the lists of its CAs. It is asked once a transaction
//! is verified, on every way in: never by execution, since validity does not depend on what one peer happens to hold.

use ledger_classes::action::Action;
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Who knows.
pub trait Door: Send + Sync {
    /// Why a transaction with this action is not taken.
    fn refuses(&self, action: &Action) -> Option<(ResultCode, Detail)>;
}

/// The door of a peer; open until somebody stands at it.
#[derive(Clone, Default)]
pub(crate) struct Doors(Arc<OnceLock<Arc<dyn Door>>>);

impl Doors {
    /// From now on it is asked. The first one stays.
    pub(crate) fn guard(&self, door: Arc<dyn Door>) {
        // A second one is none.
        let _ = self.0.set(door);
    }

    /// Why a transaction with these actions is not taken.
    pub(crate) fn refuses(&self, actions: &[Action]) -> Option<(ResultCode, Detail)> {
        let door = self.0.get()?;
        actions.iter().find_map(|action| door.refuses(action))
    }
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors").field("guarded", &self.0.get().is_some()).finish()
    }
}
