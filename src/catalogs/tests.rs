//! Tests of the kept catalogs.
