//! Sealing: the vectors of a second implementation, properties, keys. With each cipher of this build.

mod keys;
mod properties;
mod support;
mod vectors;
