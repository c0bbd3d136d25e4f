//go:build linux

package main

import "slices"

// Ratio compares two subjects: the median of the ratios within the rounds, and
// the least and the greatest of them.
type Ratio struct {
	Mode     string `json:"mode"`
	Workload string `json:"workload"`
	Subject  string `json:"subject"`
	Base     string `json:"base"`
	CPU      Spread `json:"cpu_per_pair"`
	Rate     Spread `json:"requests_per_second"`
	P99      Spread `json:"p99"`
}

// Spread is a median between the least and the greatest. All are zero where
// there is nothing to compare.
type Spread struct {
	Least    float64 `json:"least"`
	Median   float64 `json:"median"`
	Greatest float64 `json:"greatest"`
}

// direct is the subject without a proxy.
const direct = "direct"

// bases are what subjects are compared with.
var bases = map[string][]string{
	"sidecar": {direct, "haproxy", "haproxy-64k", "nginx", "iocopy"},
	"watched": {"sidecar"},
	"context": {"sidecar"},
	"unix":    {"sidecar", "haproxy"},
}

// ratios compares the subjects within each round. They come in the order of the
// measurements.
func ratios(all []Measurement) (found []Ratio) {
	for _, first := range all {
		if first.Round != 1 || first.Idle != nil {
			continue
		}
		for _, base := range bases[first.Subject] {
			mine, theirs := pairUp(all, first, base)
			if len(mine) == 0 {
				continue
			}
			compare := func(value func(Measurement) float64) Spread { return spreadOf(mine, theirs, value) }
			found = append(found, Ratio{
				Mode: first.Mode, Workload: first.Workload, Subject: first.Subject, Base: base,
				CPU:  compare(func(m Measurement) float64 { return m.CPU }),
				Rate: compare(func(m Measurement) float64 { return m.Rate }),
				P99: compare(func(m Measurement) float64 {
					if m.Latency == nil {
						return 0
					}
					return m.Latency.P99
				}),
			})
		}
	}
	return found
}

// pairUp returns the measurements of one subject and those of its base that are
// of the same rounds.
func pairUp(all []Measurement, of Measurement, base string) (mine, theirs []Measurement) {
	for _, m := range all {
		if m.Mode != of.Mode || m.Workload != of.Workload || m.Subject != of.Subject {
			continue
		}
		at := slices.IndexFunc(all, func(o Measurement) bool {
			return o.Mode == m.Mode && o.Workload == m.Workload && o.Subject == base && o.Round == m.Round
		})
		if at >= 0 {
			mine, theirs = append(mine, m), append(theirs, all[at])
		}
	}
	return mine, theirs
}

func spreadOf(mine, theirs []Measurement, value func(Measurement) float64) Spread {
	var all []float64
	for i := range mine {
		if base := value(theirs[i]); base > 0 && value(mine[i]) > 0 {
			all = append(all, value(mine[i])/base)
		}
	}
	if len(all) == 0 {
		return Spread{}
	}
	return Spread{slices.Min(all), median(all), slices.Max(all)}
}

// median returns the value in the middle, zero of none.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
