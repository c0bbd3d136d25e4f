//go:build unix

package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foo-protocol/foo-sidecar/internal/programs"
)

// prometheus is a Prometheus that runs.
type prometheus struct {
	t   *testing.T
	url string
}

// newPrometheus starts a Prometheus that scrapes the sidecars each second, with
// the labels that a pod's target has, and evaluates the rules.
func newPrometheus(t *testing.T, sidecars []*sidecar, features string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files:\n")
	for _, file := range ruleFiles(t) {
		fmt.Fprintf(&config, "  - %s\n", file)
	}
	config.WriteString("scrape_configs:\n  - job_name: foo-sidecar\n    static_configs:\n")
	for _, s := range sidecars {
		fmt.Fprintf(&config, "      - targets: [%q]\n        labels: {namespace: %s, pod: %s}\n", s.Admin, s.namespace, s.pod)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := built.Start(t, debian(t, "prometheus"), "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--log.format=json", "--enable-feature="+features)
	address := p.Stderr.Logged("address", `"Listening on"`)
	p.Stderr.Line("ready to receive web requests")
	return &prometheus{t, "http://" + address}
}

// series is a series with its values.
type series struct {
	Metric     map[string]string
	Value      *sample
	Values     []sample
	Histogram  json.RawMessage
	Histograms []json.RawMessage
}

// sample is a value at a time, in seconds.
type sample struct {
	at    float64
	value float64
}

// UnmarshalJSON reads a pair of a number and a number in quotes.
func (s *sample) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &[]any{&s.at, &text}); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	s.value = value
	return err
}

// get asks the API.
func (p *prometheus) get(path string, parameters url.Values, data any) {
	p.t.Helper()
	client := http.Client{Timeout: programs.Patience}
	response, err := client.Get(p.url + "/api/v1/" + path + "?" + parameters.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s of %v: %v %s: %.500s", path, parameters, err, answer.Error, body)
	}
}

// at is a time as the API wants it.
func at(moment time.Time) string {
	return strconv.FormatFloat(float64(moment.UnixMilli())/1000, 'f', 3, 64)
}

// query evaluates an expression at a time.
func (p *prometheus) query(expr string, moment time.Time) []series {
	p.t.Helper()
	var data struct {
		ResultType string
		Result     []series
	}
	p.get("query", url.Values{"query": {expr}, "time": {at(moment)}}, &data)
	return data.Result
}

// queryRange evaluates an expression each second of a time.
func (p *prometheus) queryRange(expr string, from, to time.Time) []series {
	p.t.Helper()
	var data struct{ Result []series }
	p.get("query_range", url.Values{"query": {expr}, "start": {at(from)}, "end": {at(to)}, "step": {"1"}}, &data)
	return data.Result
}

// number evaluates an expression that has one value, now.
func (p *prometheus) number(expr string, moment time.Time) float64 {
	p.t.Helper()
	result := p.query(expr, moment)
	if len(result) != 1 || result[0].Value == nil {
		p.t.Errorf("%s: got %d series, want one", expr, len(result))
		return 0
	}
	return result[0].Value.value
}

// await evaluates an expression until it has the value.
func (p *prometheus) await(expr string, want float64) {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last []series
	for limit := time.After(programs.Patience); ; {
		if last = p.query(expr, time.Now()); len(last) == 1 && last[0].Value != nil && last[0].Value.value == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			got := "nothing"
			if len(last) > 0 && last[0].Value != nil {
				got = fmt.Sprint(last[0].Value.value)
			}
			p.t.Fatalf("waited in vain for %s to be %v, it is %s", expr, want, got)
		}
	}
}

// labels returns the values of a label of the series that match.
func (p *prometheus) labels(label, match string) (values []string) {
	p.t.Helper()
	p.get("label/"+label+"/values", url.Values{"match[]": {match}}, &values)
	return slices.Sorted(slices.Values(values))
}

// exemplars returns the labels of the exemplars of an expression.
func (p *prometheus) exemplars(expr string, from, to time.Time) (found []exemplar) {
	p.t.Helper()
	var data []struct{ Exemplars []exemplar }
	p.get("query_exemplars", url.Values{"query": {expr}, "start": {at(from)}, "end": {at(to)}}, &data)
	for _, s := range data {
		found = append(found, s.Exemplars...)
	}
	return found
}

type exemplar struct {
	Labels map[string]string
	Value  string
}

// name is a series as people write it.
func (s series) name() string {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(s.Metric)) {
		labels = append(labels, key+"="+s.Metric[key])
	}
	return "{" + strings.Join(labels, ",") + "}"
}
