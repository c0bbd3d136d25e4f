// Command sidecar is the Foo sidecar: it carries Foo traffic from an application
// to its upstream, and counts, shows and keeps what passes. "sidecar --help"
// lists its flags, signals, exit codes and subcommands, one file each.
//
// Called by the name of kill it is a kill command, because an image made from
// scratch has no other.
package main
