# syntax=docker/dockerfile:1

# The same image as "make image" makes without Docker; a test in tools/image
# holds the two together.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=devel
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/foo-protocol/foo-sidecar/internal/cli.version=$VERSION" \
      -o /image/ ./cmd/sidecar ./cmd/foo
# kill is the sidecar itself, which looks at the name that it is called by.
RUN mkdir -p /image/bin /image/etc /empty \
 && ln -s ../sidecar /image/bin/kill \
 && printf 'root:x:0:\nnonroot:x:65532:\n' >/image/etc/group \
 && printf 'root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/data:/nonexistent\n' >/image/etc/passwd

FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="foo-sidecar" \
      org.opencontainers.image.description="Sidecar proxy for the Foo protocol: statistics, resilience, recovery" \
      org.opencontainers.image.source="https://github.com/foo-protocol/foo-sidecar" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /empty /data
COPY --from=build --chmod=1777 /empty /tmp
ENV PATH=/bin:/
WORKDIR /data
EXPOSE 8002 8088
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/sidecar"]
