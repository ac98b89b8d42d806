//! One contract suite a seam, for every kind in its table.
