//! A Docker engine, for whoever works with containers: where it is (`way`), and how it is asked
//! (`engine`). What is asked of it, the rooms above know.

mod engine;
mod way;

pub use engine::{Engine, No, SOON, query};
pub use way::{Tls, Way};
