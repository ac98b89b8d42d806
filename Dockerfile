# The image of the action. Two targets:
#   (default)  the program, and what people's deploy scripts call: sh, bash, curl, jq, git, ssh
#   slim       the program and the CA roots, nothing else
# The base images are arguments: a release names them by digest.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
# Static, so that one binary serves both targets, with its relocations packed, which are a tenth of it
# otherwise. `--target` keeps the flags away from macros. No panic passes through what is written in C, so
# that needs no tables of how to unwind it.
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    CFLAGS="-fno-asynchronous-unwind-tables -fno-unwind-tables" \
    CARGO_TARGET_DIR=/build
# The dependencies alone first: this layer changes with Cargo.lock, not with every commit.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it; \
    echo 'fn main() {}' | tee src/main.rs > tests/it/main.rs; \
    touch src/lib.rs; \
    cargo build --release --locked --bin cutover --target "$(rustc -vV | sed -n 's/^host: //p')"
COPY src src
# The newer time makes cargo build the crate again. `--version` is the smoke test.
RUN touch src/main.rs src/lib.rs; \
    cargo build --release --locked --bin cutover --target "$(rustc -vV | sed -n 's/^host: //p')"; \
    mkdir -p /out/tmp; \
    chmod 1777 /out/tmp; \
    cp /build/*/release/cutover /out/cutover; \
    ln -s cutover /out/cutover-finish; \
    /out/cutover --version

FROM ${BASE_IMAGE} AS full
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The weight is git's: Perl, which it needs for sending mail and for Subversion only, and its servers, each
# a whole git. So is the helper that puts values into messages of git's shell scripts: three lines for the
# Perl that every Debian has do the same. Then what nobody uses here: what wants a screen or a browser,
# completions, plug-ins for crypto engines and for Kerberos' log-in, what only builders of packages read, and
# the libraries of what is left out: expat of git's push by WebDAV, fido2 of ssh's keys in hardware, editline
# of sftp's prompt (`scp` does the same for a script). `openssl`, which only the roots' own installation calls,
# and brotli's encoder, which nothing here links, are back with `apt-get install --reinstall openssl libbrotli1`.
# dpkg is told and stays in order, so that a script can still `apt-get install` what it needs.
# hadolint ignore=DL3008,SC2016
RUN printf 'path-exclude %s\n' /usr/bin/scalar /usr/bin/git-shell '/usr/share/gitweb/*' \
        /usr/lib/git-core/git-daemon /usr/lib/git-core/git-http-backend /usr/lib/git-core/git-http-fetch \
        /usr/lib/git-core/git-http-push /usr/lib/git-core/git-imap-send /usr/lib/git-core/git-shell \
        /usr/lib/git-core/scalar /usr/lib/git-core/git-sh-i18n--envsubst \
        /usr/lib/git-core/git-add--interactive /usr/lib/git-core/git-instaweb /usr/lib/git-core/git-web--browse \
        '/usr/lib/git-core/git-mergetool*' '/usr/lib/git-core/mergetools/*' '/usr/share/git-core/contrib/*' \
        /usr/bin/sftp '/usr/lib/openssh/ssh-*' '/usr/share/bash-completion/*' '/usr/share/zsh/*' '/usr/share/lintian/*' \
        '/usr/lib/*/engines-3/padlock.so' '/usr/lib/*/engines-3/afalg.so' '/usr/lib/*/engines-3/loader_attic.so' \
        '/usr/lib/*/krb5/plugins/preauth/spake.so' > /etc/dpkg/dpkg.cfg.d/cutover; \
    apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates curl git jq openssh-client; \
    sed -i -e '/^Package: git$/,/^$/{s/, perl, liberror-perl//;s/ libexpat1 ([^)]*),//}' \
        -e '/^Package: openssh-client$/,/^$/{s/ libfido2-1 ([^)]*),//;s/ libedit2 ([^)]*),//}' /var/lib/dpkg/status; \
    apt-get autoremove -y --purge -o APT::AutoRemove::SuggestsImportant=false; \
    apt-get check; \
    ln -sf ../../bin/git /usr/lib/git-core/git; \
    printf '%s\n' '#!/usr/bin/perl -p' \
        'BEGIN { if (($_ = shift) eq "--variables") { print "$1\n" while $ARGV[0] =~ /\$\{?(\w+)/g; exit } }' \
        's/\$\{?(\w+)\}?/$ENV{$1}/g' > /usr/local/bin/git-sh-i18n--envsubst; \
    chmod +x /usr/local/bin/git-sh-i18n--envsubst; \
    git --version; \
    apt-get clean; \
    find /var/lib/dpkg/info -name '*.symbols' -cnewer /etc/dpkg/dpkg.cfg.d/cutover -delete; \
    find /var/lib/dpkg/info -name '*.md5sums' -cnewer /etc/dpkg/dpkg.cfg.d/cutover -exec truncate -s 0 {} +; \
    rm -rf /usr/bin/openssl /usr/lib/*/libbrotlienc.so.1* /usr/lib/*/ossl-modules/legacy.so /usr/share/perl5/Git*; \
    rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* /var/lib/dpkg/*-old

# The program and the roots, as they shall lie in an image.
FROM scratch AS slim
COPY --from=full /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
LABEL org.opencontainers.image.title="cutover" \
      org.opencontainers.image.description="Puts a new version in front of users without dropping a request, and takes it back by itself when the version is bad." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
ENTRYPOINT ["/cutover"]

FROM full
COPY --from=build /out/ /
LABEL org.opencontainers.image.title="cutover" \
      org.opencontainers.image.description="Puts a new version in front of users without dropping a request, and takes it back by itself when the version is bad." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Root, because the runner's files belong to the runner's user; no WORKDIR, because the runner
# sets it. The post step starts the same program by its other name.
ENTRYPOINT ["/cutover"]
