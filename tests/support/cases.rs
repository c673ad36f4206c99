//! Properties: a test with many cases that proptest makes up, and shrinks when one fails.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::number;

/// Runs `test` with `cases` values of `strategy`, or as many as `BKM_MODEL_CASES` says; one that fails is shrunk in
/// up to `shrinks` steps.
#[track_caller]
pub(crate) fn each_case<T: Debug>(
    cases: u32,
    shrinks: u32,
    strategy: impl Strategy<Value = T>,
    test: impl Fn(T),
) {
    let config = Config {
        cases: number("BKM_MODEL_CASES", cases),
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    };
    let played = TestRunner::new(config).run(&strategy, |value| {
        catch_unwind(AssertUnwindSafe(|| test(value))).map_err(|why| {
            let text = why.downcast_ref::<String>().cloned();
            TestCaseError::fail(text.unwrap_or_else(|| "a check failed".to_owned()))
        })
    });
    if let Err(e) = played {
        panic!("{e}");
    }
}
