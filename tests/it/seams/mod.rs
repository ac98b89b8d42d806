//! One contract suite a seam, for every kind in its table.

mod github;
mod notifiers;
mod recorder;
mod telling;
