//! Matrix products on slices.

pub(crate) mod block;
pub(crate) mod dense;
pub(crate) mod micro;
pub(crate) mod padded;
pub(crate) mod plain;
pub(crate) mod scratch;
pub(crate) mod transpose;
