//! What Envoy needs once. A test starts Envoy with these very lines.

use std::path::Path;

use serde_json::Value;
use url::{Host, Url};

use super::routes::File;
use crate::model::slot::{Side, Slots};
use crate::platform::atomic_file::directory_of;

pub(super) fn of(
    path: &Path,
    route: &str,
    clusters: &[String; 2],
    slots: &Slots,
    admin: &Url,
    testers: Vec<Value>,
) -> String {
    let cluster = |(name, side): (&String, Side)| {
        let url = &slots.on(side).url;
        let host = plain_host(url);
        let port = url.port_or_known_default().unwrap_or(80);
        let tls = match url.scheme() {
            "https" => tls(url, &host),
            _ => String::new(),
        };
        format!(
            "  - name: {name}\n    type: STRICT_DNS\n    load_assignment:\n      cluster_name: {name}\n      \
             endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: \
             {{ address: \"{host}\", port_value: {port} }} }} }} }}] }}]\n{tls}"
        )
    };
    let sides = [Side::First, Side::Second];
    let all: String = clusters.iter().zip(sides).map(cluster).collect();
    // Envoy listens at an address, not at a name.
    let admin_host = match admin.host() {
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        _ => "127.0.0.1".to_owned(),
    };
    let admin_port = admin.port_or_known_default().unwrap_or(9901);
    format!(
        "# 1. In Envoy's bootstrap. Whoever reaches the admin interface can stop Envoy: keep it from strangers.\n\
         admin: {{ address: {{ socket_address: {{ address: \"{admin_host}\", port_value: {admin_port} }} }} }}\n\
         static_resources:\n  \
           clusters:\n{all}\
         \n\
         # 2. In the http_connection_manager of the listener that users reach, instead of route_config.\n\
         #    Envoy needs a `node` with an `id` and a `cluster` for it.\n\
         rds:\n  \
           route_config_name: {route}\n  \
           config_source:\n    \
             path_config_source:\n      \
               path: \"{file}\"\n      \
               watched_directory: {{ path: \"{directory}\" }}\n\
         \n\
         # 3. The file {file} as it is at first; routes, hosts and fields of your own go there and stay:\n{first}",
        file = path.display(),
        directory = directory_of(path).display(),
        first = File::at_first(route, clusters, testers),
    )
}

/// A host as an address in Envoy's configuration: without the brackets of IPv6.
fn plain_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("127.0.0.1");
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.to_owned()
}

/// What a cluster behind TLS has beside the others. A name is sent and is to be in the certificate.
fn tls(url: &Url, host: &str) -> String {
    let (kind, sni) = match url.host() {
        Some(Host::Domain(_)) => ("DNS", format!("        sni: \"{host}\"\n")),
        _ => ("IP_ADDRESS", String::new()),
    };
    format!(
        "    transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n{sni}        \
         common_tls_context:\n          validation_context:\n            \
         trusted_ca: {{ filename: /etc/ssl/certs/ca-certificates.crt }}\n            \
         match_typed_subject_alt_names: [{{ san_type: {kind}, matcher: {{ exact: \"{host}\" }} }}]\n"
    )
}
