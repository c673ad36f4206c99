//! Tests that fail for users who are not root, since the program has a fault.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::needs::is_root;
use super::this_test;

/// Runs `test`, which passes as root. As another user it must fail, because of the fault that `why` names: once the
/// fault is mended, the mark has to go. `scripts/test.sh` lists the marks.
pub(crate) fn fault_as_user(why: &str, test: impl FnOnce()) {
    if is_root() {
        return test();
    }
    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
    assert!(!passed, "this is mended: remove the mark \"{why}\"");
    println!("fails as a user: {}: {why}", this_test());
}
