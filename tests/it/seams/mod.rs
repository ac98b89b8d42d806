//! One contract suite a seam, for every kind in its table.

mod adoption;
mod blocks;
mod directory;
mod exporters;
mod github;
mod metrics;
mod metrics_prober;
mod metrics_prometheus;
mod metrics_prometheus_faults;
mod notifiers;
mod probes;
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
