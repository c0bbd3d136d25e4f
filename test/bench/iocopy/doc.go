// Command iocopy is the proxy that measurements compare with: for each
// connection it dials one, and lets io.Copy carry what comes either way. It
// counts nothing, understands nothing, and survives no loss.
package main
