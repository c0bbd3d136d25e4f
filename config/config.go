package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// APIVersion and Kind are what a document must begin with.
const (
	APIVersion = "foo-protocol.io/v1alpha1"
	Kind       = "SidecarConfig"
)

// Config is the configuration of a sidecar. Get one from [Load],
// [LoadLastGood] or [Default].
//
// A Config is an immutable value: each of these makes a fresh one that shares
// nothing with anybody, and nobody changes it afterwards. It may be copied and
// read from many goroutines; copies share their lists, so do not write to them.
type Config struct {
	// Format of this document. Required in a file.
	APIVersion string `json:"apiVersion" jsonschema:"required,enum=foo-protocol.io/v1alpha1"`
	// What this document describes. Required in a file.
	Kind string `json:"kind" jsonschema:"required,enum=SidecarConfig"`
	// Where clients connect.
	//
	// On change: listeners that stay the same are not touched. A new one is
	// opened; one that is gone stops accepting, and its connections are drained.
	Listeners []Listener `json:"listeners" jsonschema:"minItems=1"`
	// The services that the listeners forward to.
	//
	// On change: upstreams that stay the same are not touched. Open connections
	// stay as they are; every upstream connection made from then on, also for a
	// client that is connected already, goes by the new list.
	Upstreams []Upstream `json:"upstreams" jsonschema:"minItems=1"`
	// The HTTP server for probes, statistics and metrics.
	Admin Admin `json:"admin"`
	// What is told of single pairs, and where spans and metrics are sent.
	Telemetry Telemetry `json:"telemetry"`
	// What survives a crash of the sidecar.
	Checkpoint Checkpoint `json:"checkpoint"`
	// How the sidecar ends.
	Drain Drain `json:"drain"`
	// The log, which goes to standard error.
	Log Log `json:"log"`
	// How changes of this document are noticed and what an invalid one does.
	Reload Reload `json:"reload"`
}

// Listener is a place where clients connect.
type Listener struct {
	// Name of the listener in statistics, metrics and logs. May be left out if
	// there is one listener only.
	//
	// On change: as if the listener were removed and another one added.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=63"`
	// Where to listen: host:port, where an empty host means all interfaces, or
	// unix:/path. Port 0 takes any free port. May be left out if there is one
	// listener only.
	//
	// On change: the new address is opened before the old one is closed. Open
	// connections stay.
	Address string `json:"address" jsonschema:"minLength=1"`
	// Permissions of a Unix socket's file, in octal. The default lets
	// containers connect that run as other users. Ignored for host:port.
	//
	// On change: the socket's file gets the new permissions. Open connections
	// stay.
	SocketMode FileMode `json:"socketMode"`
	// Name of the upstream that gets the requests. May be left out if there is
	// one upstream only.
	//
	// On change: open connections stay as they are. A client whose upstream
	// connection was lost, or never came about, gets one to the new upstream.
	Upstream string `json:"upstream" jsonschema:"minLength=1"`
	// Most connections that clients may have open at once; one more is refused
	// and counted. 0: no limit.
	//
	// On change: new connections only; nobody is disconnected to meet a lower
	// limit.
	MaxConnections int `json:"maxConnections" jsonschema:"minimum=0"`
	// Closes a client's connection on which nothing was said for so long. 0s:
	// never.
	//
	// On change: new connections only.
	IdleTimeout Duration `json:"idleTimeout"`
	// Interval of TCP keep-alive probes on clients' connections, by which a
	// vanished client is noticed. 0s: none are sent.
	//
	// On change: new connections only.
	KeepAlive Duration `json:"keepAlive"`
	// What a client meets when the upstream cannot be reached or is lost: nak
	// answers its requests with NAK and keeps the connection, close closes it.
	//
	// On change: new connections only.
	OnLoss OnLoss `json:"onLoss"`
	// What happens to bytes that are not Foo: pass counts them and passes them
	// on unchanged, reject answers NAK 0 ERRDECODE and does not pass them on.
	//
	// On change: new connections only.
	OnMalformed OnMalformed `json:"onMalformed"`
}

// Upstream is a service that answers requests.
type Upstream struct {
	// Name by which listeners refer to the upstream, also in statistics,
	// metrics and logs. May be left out if there is one upstream only.
	//
	// On change: as if the upstream were removed and another one added.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=63"`
	// Where the service is: host:port, where the host is an IP address, a DNS
	// name or empty for this machine, or unix:/path. Several are tried in turn.
	// May be left out if there is one upstream only.
	//
	// On change: open connections stay as they are. A client whose upstream
	// connection was lost, or never came about, gets one to the new addresses.
	Addresses []string `json:"addresses" jsonschema:"minItems=1"`
	// Longest that one attempt to connect may take. At least 1ms.
	//
	// On change: new connections only.
	ConnectTimeout Duration `json:"connectTimeout"`
	// Longest that a client is kept waiting for an upstream connection, over
	// all attempts, before its requests are refused. At least 1ms.
	//
	// On change: new connections only.
	ConnectBudget Duration `json:"connectBudget"`
	// Pauses between attempts to connect.
	Backoff Backoff `json:"backoff"`
	// Interval of TCP keep-alive probes on upstream connections. Keep it below
	// the time after which a load balancer in between forgets an idle
	// connection. 0s: none are sent.
	//
	// On change: new connections only.
	KeepAlive Duration `json:"keepAlive"`
}

// Backoff is a pause that doubles with each failed attempt. Jitter is added,
// so that many sidecars do not try in step.
type Backoff struct {
	// Pause after the first failed attempt. At least 1ms.
	//
	// On change: new connections only.
	Initial Duration `json:"initial"`
	// Longest pause. At least the initial one.
	//
	// On change: new connections only.
	Max Duration `json:"max"`
}

// Admin is the HTTP server for probes, statistics and metrics.
type Admin struct {
	// Where it listens: host:port, where an empty host means all interfaces, or
	// unix:/path. It must be an address that the probes reach, so the pod's.
	//
	// On change: the new address is opened before the old one is closed.
	Address string `json:"address" jsonschema:"minLength=1"`
	// Serves profiles of the process under /debug/pprof.
	//
	// On change: at once.
	PProf bool `json:"pprof"`
	// What /status takes into account.
	Readiness Readiness `json:"readiness"`
}

// Readiness is what the readiness probe takes into account beside the
// sidecar's own state.
type Readiness struct {
	// Not ready as long as no upstream can be reached. Mind that an outage of
	// the upstream then takes every pod out of its Service.
	//
	// On change: at once.
	RequireUpstream bool `json:"requireUpstream"`
}

// Checkpoint is what survives a crash of the sidecar.
type Checkpoint struct {
	// File that totals and rates are saved to. The last good configuration is
	// kept beside it as last-good.yaml. Empty: neither is saved.
	//
	// On change: the next save goes to the new file. What is there already is
	// not read before the next start.
	Path string `json:"path"`
	// Time between saves, and so the most that a crash may lose. At least 10ms.
	//
	// On change: at once.
	Interval Duration `json:"interval"`
	// What a damaged file does at start: continue sets it aside and begins
	// anew, fail ends the sidecar.
	//
	// On change: at the next start.
	OnDamaged OnDamaged `json:"onDamaged"`
}

// Drain is how the sidecar ends. Both times together must fit into the pod's
// grace period.
type Drain struct {
	// How long it keeps serving after /status has turned not ready, so that the
	// news can spread.
	//
	// On change: applies to the next drain.
	Delay Duration `json:"delay"`
	// Longest that outstanding requests may take after that. Meanwhile new
	// requests are answered with NAK, and so is whatever is left at the end. 0s:
	// none is waited for.
	//
	// On change: applies to the next drain.
	Timeout Duration `json:"timeout"`
}

// Log is the sidecar's own log.
type Log struct {
	// The least important messages that are logged.
	//
	// On change: at once.
	Level LogLevel `json:"level"`
	// One JSON object a line, or lines for people.
	//
	// On change: at once.
	Format LogFormat `json:"format"`
	// Writes a line for each pair that telemetry.pairs chooses.
	//
	// On change: at once.
	Access bool `json:"access"`
}

// Reload is how changes of the configuration file are noticed.
type Reload struct {
	// How often the file is looked at even if the file system reports no
	// change, as some do not. At least 10ms.
	//
	// On change: at once.
	PollInterval Duration `json:"pollInterval"`
	// What an invalid file does at start if a last good configuration was kept:
	// lastGood starts with that one, fail ends the sidecar. While the sidecar
	// runs, an invalid file never changes anything.
	//
	// On change: at the next start.
	OnInvalid OnInvalid `json:"onInvalid"`
}

// Default returns the configuration that applies where nothing else is said.
func Default() Config {
	c := defaults()
	c.complete()
	return c
}

// defaults returns what a document is laid over. What depends on how many
// listeners and upstreams there are is left to complete.
func defaults() Config {
	return Config{
		APIVersion: APIVersion,
		Kind:       Kind,
		Listeners:  []Listener{defaultListener()},
		Upstreams:  []Upstream{defaultUpstream()},
		Admin:      Admin{Address: "0.0.0.0:8088"},
		Telemetry:  defaultTelemetry(),
		Checkpoint: Checkpoint{
			Path:      ".data/recovery.json",
			Interval:  Duration(time.Second),
			OnDamaged: OnDamagedContinue,
		},
		Drain:  Drain{Timeout: Duration(10 * time.Second)},
		Log:    Log{Level: LogInfo, Format: LogJSON},
		Reload: Reload{PollInterval: Duration(10 * time.Second), OnInvalid: OnInvalidLastGood},
	}
}

// defaultListener returns what each element of listeners is laid over.
func defaultListener() Listener {
	return Listener{
		SocketMode:  0o666,
		KeepAlive:   Duration(time.Minute),
		OnLoss:      OnLossNAK,
		OnMalformed: OnMalformedPass,
	}
}

// defaultUpstream returns what each element of upstreams is laid over.
func defaultUpstream() Upstream {
	return Upstream{
		ConnectTimeout: Duration(3 * time.Second),
		ConnectBudget:  Duration(10 * time.Second),
		Backoff: Backoff{
			Initial: Duration(100 * time.Millisecond),
			Max:     Duration(5 * time.Second),
		},
		KeepAlive: Duration(time.Minute),
	}
}

// complete fills in what may be left out where there is only one of a kind.
func (c *Config) complete() {
	const name = "default"
	if len(c.Upstreams) == 1 {
		u := &c.Upstreams[0]
		u.Name = cmp.Or(u.Name, name)
		if len(u.Addresses) == 0 {
			u.Addresses = []string{":8001"}
		}
		for i := range c.Listeners {
			l := &c.Listeners[i]
			l.Upstream = cmp.Or(l.Upstream, u.Name)
		}
	}
	if len(c.Listeners) == 1 {
		l := &c.Listeners[0]
		l.Name = cmp.Or(l.Name, name)
		l.Address = cmp.Or(l.Address, ":8002")
	}
}

// Marshal returns the effective document as YAML: every key with its value.
// Loading it gives the same Config.
func Marshal(c Config) ([]byte, error) {
	// By way of JSON, which is YAML as well: the tree keeps the order of the
	// fields, and one set of tags serves both.
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	plainStyle(&document)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("marshal configuration: %w", err)
	}
	return out.Bytes(), nil
}

// plainStyle lets the encoder choose how each node is written.
func plainStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plainStyle(child)
	}
}

// Hash returns a short name for the effective configuration: equal
// configurations have equal hashes, however they were written.
func Hash(c Config) string {
	data, err := json.Marshal(c)
	if err != nil {
		panic("BUG: a configuration has no JSON form: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}
