//! Checks of the house itself: what the documents and the layout promise of the code.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod docs;
mod floors;
mod makefile;
