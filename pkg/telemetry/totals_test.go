package telemetry

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/foo-protocol/foo-sidecar/pkg/proxy"
)

// numbers calls do with every integer in v.
func numbers(v reflect.Value, do func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Int64:
		do(v)
	case reflect.Array:
		for i := range v.Len() {
			numbers(v.Index(i), do)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			numbers(field, do)
		}
	default:
		panic("counts hold a " + v.Kind().String())
	}
}

func TestTotalsHoldEveryCounter(t *testing.T) {
	var c proxy.Counts
	n := int64(0)
	numbers(reflect.ValueOf(&c).Elem(), func(v reflect.Value) {
		n++
		v.SetInt(n)
	})
	c.Requests, c.Opened, c.Queued = 1000, 1000, 1000 // so that no more ended than came
	c.Closed[0] = 0                                   // counts nothing: these sessions have not ended

	totals := Totals(c)
	if len(totals) != int(n)-1 {
		t.Errorf("got %d totals, want %d", len(totals), n-1)
	}
	got, err := FromTotals(totals)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
}

func TestFromTotalsIgnoresWhatALaterVersionCounts(t *testing.T) {
	got, err := FromTotals(map[string]int64{"requests": 3, "hiccups": -1})
	if err != nil || got != (proxy.Counts{Requests: 3}) {
		t.Errorf("got %+v, %v; want 3 requests", got, err)
	}
}

func TestFromTotalsRefusesWhatCannotBe(t *testing.T) {
	for want, totals := range map[string]map[string]int64{
		"bytes_client is -1":                         {"requests": 1, "bytes_client": -1},
		"dialed is 9223372036854775807":              {"dialed": 9223372036854775807},
		"2 more requests ended than came":            {"requests": 1, "acked": 2, "refused_lost": 1},
		"1 more connections ceased to wait":          {"queued": 1, "dequeued": 2},
		"1 more connections were closed than opened": {"closed_idle": 1},
	} {
		if _, err := FromTotals(totals); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want %q", totals, err, want)
		}
	}
}

// FuzzRestoredTotals holds that whatever is restored can be added to and shown:
// nothing is negative, in flight or open.
func FuzzRestoredTotals(f *testing.F) {
	f.Add([]byte(`{"requests":5,"acked":3,"opened":2,"closed_client":1}`))
	f.Add([]byte(`{"requests":9223372036854775807,"acked":9223372036854775807,"naked":1}`))
	f.Add([]byte(`{"requests":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var totals map[string]int64
		if json.Unmarshal(b, &totals) != nil {
			return
		}
		c, err := FromTotals(totals)
		if err != nil {
			return
		}
		endWithProcess(&c)
		if c.InFlight() != 0 || c.Sessions() != 0 || c.Waiting() != 0 {
			t.Fatalf("%d in flight, %d open, %d wait", c.InFlight(), c.Sessions(), c.Waiting())
		}
		numbers(reflect.ValueOf(&c).Elem(), func(v reflect.Value) {
			if v.Int() < 0 {
				t.Fatalf("negative count in %+v", c)
			}
		})
	})
}
