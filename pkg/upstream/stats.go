package upstream

import "time"

// Stats is a snapshot of an upstream.
type Stats struct {
	// Name is the upstream's name in the configuration.
	Name string
	// Open is the number of connections that are open now.
	Open int64
	// Endpoints are in the order of the configuration.
	Endpoints []EndpointStats
}

// Reachable reports whether the last attempt to dial succeeded at one endpoint
// at least. An upstream that was never dialed counts as reachable.
func (s Stats) Reachable() bool {
	for _, e := range s.Endpoints {
		if e.LastError == "" {
			return true
		}
	}
	return len(s.Endpoints) == 0
}

// Tried reports whether there was an attempt to dial that ended.
func (s Stats) Tried() bool {
	for _, e := range s.Endpoints {
		if e.Dialed+e.Failed > 0 {
			return true
		}
	}
	return false
}

// EndpointStats is a snapshot of one endpoint: one configured address, which
// may be a name with several IP addresses behind it.
type EndpointStats struct {
	// Address is as configured.
	Address string
	// Dialed and Failed count the attempts that succeeded and that failed.
	Dialed, Failed int64
	// LastError is the last attempt's failure, empty if it succeeded or if there
	// was none yet. LastFailure is when that was.
	LastError   string
	LastFailure time.Time
}
