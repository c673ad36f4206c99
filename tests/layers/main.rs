//! Checks of the house itself: what the documents and the layout promise of the code.

mod docs;
