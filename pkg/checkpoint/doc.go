// Package checkpoint keeps what the sidecar has counted across a crash: the
// totals of every listener, and its moving window as far as it is still young.
//
// A [Keeper] asks for the [State] at an interval and hands it to a [Store] if
// something changed; at the next start [Keeper.Recover] reads it back and ages
// it:
//
//	store := &checkpoint.FileStore{Path: ".data/recovery.json", Listener: "default", Log: log}
//	keeper := checkpoint.NewKeeper(checkpoint.Options{Store: store, Source: source, Log: log})
//	state, recovery, err := keeper.Recover(ctx) // an error is news, not the end
//	...
//	keeper.Run(ctx) // saves once more after ctx has ended
//
// The package knows nothing of what is counted: a counter is a name and a
// number, a window is a list of [Bucket]. It decides nothing either: whether a
// damaged checkpoint may stop the process is up to the caller.
//
// # Format
//
// One JSON document of one line, whatever the store:
//
//	{"format":"foo-sidecar/checkpoint","version":1,"checksum":"crc32c:0a1b2c3d","state":{...}}
//
// The checksum is over the exact bytes of state. [Encode] never writes what
// [Decode] would refuse. The recovery file of the old proxy can be read, too,
// see [DecodeLegacy].
//
// # Files
//
// [FileStore] never changes a file in place, so a process that is killed at any
// moment leaves either the state before or the state after. Beside its file
// there can be, all in the same directory:
//
//	recovery.json.1                     the generation before, used when the file itself is damaged
//	recovery.json.damaged-20060102T...  a file that could not be read (empty, truncated, changed)
//	recovery.json.foreign-20060102T...  a file that is something else altogether
//	recovery.json.newer-20060102T...    a checkpoint of a later version of the sidecar
//	recovery.json.imported-20060102T... the recovery file of the old proxy, after its import
//	recovery.json.unread-20060102T...   a checkpoint that could not be read at the start, but later
//	.recovery.json.tmp-*                a file being written; removed at the next start
//
// Loading removes the last of these and changes nothing else. A file that can't be continued is moved aside
// by the first save, so nothing is lost, and a process that stops at a damaged
// file instead finds it again at every start until somebody has looked at it.
// The three newest of each kind are kept.
package checkpoint
