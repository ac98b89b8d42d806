//! The judge of canaries, held to traces whose evidence is known, and as people run it.

mod replay;
mod simulated;
mod traces;
