// Command image builds the container image without a Docker daemon: it
// compiles the static binaries, lays them out as the image's only layer, and
// writes an OCI archive for all platforms, or a tarball of one platform for
// "docker load".
//
//	go run ./image -output ../dist/foo-sidecar-oci.tar -version v1.2.3
//
// The same sources, version and toolchain make the same bytes: nothing in the
// image depends on when, where or by whom it was built. The Dockerfile at the
// top of the repository describes the same image for those who build with
// Docker; a test holds the two together.
package main
