//! Tests of the whole layer, with fake tables.
