//! One contract suite a seam, for every kind in its table.

mod github;
mod notifiers;
mod recorder;
mod routers;
mod routers_nginx;
mod routers_nginx_reload;
mod routers_pointer;
mod telling;
mod routers_haproxy;
mod routers_haproxy_faults;
mod routers_haproxy_live;
mod routers_http;
mod blocks;
mod directory;
mod probes;
mod targets;
