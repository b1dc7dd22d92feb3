# swap in a container: for CI, and beside the engine's socket. docs/container.md tells how to run it.
#
# Nothing but two static programs and the certificates of public authorities: no shell, no package manager, no build tools.
# scripts/image builds it, also where no registry has the two images that it is built on.
ARG BUILD=rust:1.95-slim-trixie
ARG COMPOSE=docker/compose-bin:v2.40.3

FROM ${COMPOSE} AS compose

FROM ${BUILD} AS build
WORKDIR /swap
COPY . .
# With the C library in it: glibc from 2.34 on looks names up by itself, without the libraries and the nsswitch.conf that are not
# there, and unlike musl it needs no second target, which not every Rust can fetch. Naming the target keeps that flag away from
# build scripts and macros.
RUN RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --package swap \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && mkdir -p /image/usr/local/bin /image/etc/ssl/certs /image/tmp /image/var/lib/swap \
    && cp target/*/dist/swap /image/usr/local/bin/swap \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chmod 1777 /image/tmp && chmod 700 /image/var/lib/swap

FROM scratch
COPY --from=build /image/ /
# The compose tool by itself: swap speaks to the engine without the docker CLI.
COPY --from=compose /docker-compose /usr/local/bin/docker-compose
ENV PATH=/usr/local/bin SWAP_COMPOSE=docker-compose
# Journals and locks: every container of swap on one engine must see the same ones.
VOLUME /var/lib/swap
ENTRYPOINT ["swap"]
