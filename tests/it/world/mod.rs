//! The world that the tests run in: real proxies, real sockets, and strict stand-ins for what
//! cannot be had. Everything listens on a port of its own and ends with its owner.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod channels;
pub(crate) mod collector;
pub(crate) mod discord;
pub(crate) mod dns;
pub(crate) mod dockerd;
pub(crate) mod gate;
pub(crate) mod git_refs;
pub(crate) mod github;
pub(crate) mod github_comments;
pub(crate) mod github_rules;
pub(crate) mod haproxy;
pub(crate) mod haproxy_relay;
pub(crate) mod load;
pub(crate) mod loft;
pub(crate) mod loki;
pub(crate) mod mail;
pub(crate) mod nginx;
pub(crate) mod openapi;
pub(crate) mod pagers;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod pushgateway;
pub(crate) mod redis;
pub(crate) mod scene;
pub(crate) mod shop;
pub(crate) mod slack;
pub(crate) mod sshd;
pub(crate) mod stand_in;
pub(crate) mod tls;
pub(crate) mod watchers;
pub(crate) mod weights_service;
pub(crate) mod yard;
