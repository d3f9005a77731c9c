# syzygyd and syzygy in one image.
#
#   docker build -t syzygy .
#   docker run --rm -p 127.0.0.1:7410-7411:7410-7411 -v syzygy:/var/lib/syzygy syzygy \
#     syzygyd --http 0.0.0.0:7410 --grpc 0.0.0.0:7411 --store sqlite:/var/lib/syzygy --insecure-listen
#   docker run --rm syzygy syzygy --help
#
# BASE must be a Debian 12: packages.txt names its packages.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
COPY packages.txt /src/packages.txt
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      $(sed -n '/^\[build\]/,/^\[run\]/{/^[a-z]/p}' /src/packages.txt) \
 && rm -rf /var/lib/apt/lists/*
COPY . /src
WORKDIR /src
RUN cmake --preset release -DBUILD_TESTING=OFF \
 && cmake --build build/release --target syzygy syzygyd \
 && strip -o /usr/local/bin/syzygyd build/release/daemon/syzygyd \
 && strip -o /usr/local/bin/syzygy build/release/client/cli/syzygy

FROM ${BASE}
COPY packages.txt /tmp/packages.txt
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      $(sed -n '/^\[run\]/,/^\[test\]/{/^[a-z]/p}' /tmp/packages.txt) \
 && rm -rf /var/lib/apt/lists/* /tmp/packages.txt \
 && useradd --system --uid 7410 --user-group --home-dir /var/lib/syzygy --shell /usr/sbin/nologin syzygy \
 && install -d -o syzygy -g syzygy -m 0700 /var/lib/syzygy
COPY --from=build /usr/local/bin/syzygyd /usr/local/bin/syzygy /usr/local/bin/
USER 7410:7410
VOLUME /var/lib/syzygy
EXPOSE 7410 7411
STOPSIGNAL SIGTERM
# Asks as a client does. With TLS give the container SYZYGY_CA_FILE (and SYZYGY_SERVER_NAME), with a token SYZYGY_TOKEN_FILE, which the
# daemon reads too.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s \
  CMD ["syzygy", "status", "--connect-timeout", "3s"]
CMD ["syzygyd", "--store", "sqlite:/var/lib/syzygy"]
