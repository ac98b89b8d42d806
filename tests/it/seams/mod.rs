//! One contract suite a seam, for every kind in its table.

mod adoption;
mod blocks;
mod channels;
mod comments;
mod directory;
mod exporters;
mod github;
mod looks;
mod mail;
mod notifiers;
mod probes;
mod probes_faults;
mod probes_names;
mod probes_postgres;
mod probes_redis;
mod recorder;
mod routers;
mod routers_haproxy;
mod routers_haproxy_faults;
mod routers_haproxy_live;
mod routers_http;
mod routers_nginx;
mod routers_nginx_reload;
mod routers_pointer;
mod targets;
mod telling;
