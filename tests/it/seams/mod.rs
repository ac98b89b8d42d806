//! One contract suite a seam, for every kind in its table.

mod blocks;
mod directory;
mod probes;
mod targets;
