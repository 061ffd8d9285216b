# SPDX-License-Identifier: Apache-2.0
# The image `bodega`: every program on an otherwise empty root. Two ways lead to it:
#   make image                 packs the root here (tools/rootfs.py) and builds the last stage alone, with that tar
#   docker build -t bodega .   needs Docker only: builds and packs inside Debian
# For a build that is the same tomorrow, pin BASE: --build-arg BASE=debian:bookworm-slim@sha256:…
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build

WORKDIR /src
COPY debian-packages.txt ./
COPY tools/deps tools/fetch-docs tools/
COPY tools/docs tools/docs/
RUN tools/deps build image
COPY . .
ARG SOURCE_DATE_EPOCH=0
RUN make rootfs && mkdir /rootfs && tar --extract --file build/image/rootfs.tar --directory /rootfs

FROM scratch
COPY --from=build /rootfs/ /

# Where programs, migrations (bodegactl migrate) and documentation (the gateway) are found by default.
ENV PATH=/usr/local/bin DOCS_DIR=/usr/local/share/bodega/docs
WORKDIR /usr/local/share/bodega
USER 65532:65532
CMD ["bodegactl", "--help"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG PACKAGES=unknown
LABEL org.opencontainers.image.title="bodega" \
	org.opencontainers.image.description="The backend of a shop: gateway, users, products, orders, payments, bodegactl" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${REVISION}" \
	org.opencontainers.image.created="${CREATED}" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.base.name="scratch" \
	bodega.packages="${PACKAGES}"
