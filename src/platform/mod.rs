//! The ground everything stands on: time, text, secrets, files, processes and HTTP.
//!
//! Nothing in here knows what a slot or a rollout is, and nothing in here imports from
//! the rest of the house. Whatever is not about deployments and is needed twice lives here.

pub mod atomic_file;
pub mod certificate;
pub mod copy;
pub mod docker;
pub mod folder;
pub mod host;
pub mod http;
pub mod machine;
pub mod names;
pub mod process;
pub mod remote_machine;
pub mod retry;
pub mod secret;
pub mod shortage;
pub mod text;
pub mod tls;
