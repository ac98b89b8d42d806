//! What leaves the process, read the way its readers read it.

mod files;
