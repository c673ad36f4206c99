//! One frame of the index's log.

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::repository::index::change::Batch;
use crate::repository::index::increment::Increment;
use crate::repository::index::open::Closing;
use crate::repository::index::prune::Prune;
use crate::repository::index::record::Record;

/// Records per base frame: large enough that frames cost nothing, small enough to stay bounded.
pub(super) const BASE_CHUNK: usize = 4096;

/// One frame of the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// Part of the base; only before [`Frame::State`].
    Base(Vec<(RelPath, Record)>),
    /// Ends the base.
    State(State),
    /// A batch that is about to be published.
    Batch(Batch),
    /// All batches of the increment in hand are published; its catalog is to be written like this.
    Closing(Closing),
    /// The run is over: nothing is in flight, no increment is open.
    Closed,
    /// From here on things are in flight (displace).
    Begun,
    /// All batches are in place and durable, so is what is staged; the run did not go on (displace).
    Settled,
    /// The batch before was taken back; the content of these paths is gone (displace).
    Undone(Vec<RelPath>),
    /// Increments, or versions of one, are about to be removed.
    Prune(Prune),
    /// So many moves of that are done and durable.
    PruneStep(u64),
    /// How often catalogs were written anew, by sequence; only before [`Frame::State`].
    Revisions(#[serde(deserialize_with = "crate::model::budget::list")] Vec<(u64, u32)>),
}

/// What the base says beside its records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) next_sequence: u64,
    #[serde(deserialize_with = "crate::model::budget::list")]
    pub(crate) increments: Vec<Increment>,
}
