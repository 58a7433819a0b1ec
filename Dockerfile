# syntax=docker/dockerfile:1
# Two images: `gateway` (the default) and `certificates`, which compose.yaml runs once.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
# Last, because each commit changes it: what gaugeway_build_info shows.
ARG GAUGEWAY_REVISION=unknown
# The caches outlive the build, so that a change of the source compiles the source only. What is in a cache is not in the
# image: the program is copied out.
# Cargo goes by times, and an older checkout has older ones: without the touch it would be given the newer program.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin gaugeway \
    && cp target/release/gaugeway /usr/local/bin/gaugeway

FROM debian:12.12-slim AS certificates
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssl \
    && rm -rf /var/lib/apt/lists/*
COPY nginx/certs.sh /usr/local/bin/certs.sh
# Names given to the container are added to the certificate: docker compose run --rm certificates example.org
ENTRYPOINT ["certs.sh", "/certs"]

FROM debian:12.12-slim AS gateway
COPY --from=build /usr/local/bin/gaugeway /usr/local/bin/gaugeway
# Nobody in particular; it writes no file.
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["gaugeway"]
