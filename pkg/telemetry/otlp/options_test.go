package otlp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// environment is what a test says that the environment is.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func TestSpansAreSentWhereSomebodyAskedForIt(t *testing.T) {
	for name, test := range map[string]struct {
		exporter, endpoint string
		env                environment
		want               bool
	}{
		"by default not":                  {exporter: "auto"},
		"to a configured endpoint":        {exporter: "auto", endpoint: "http://c:4317", want: true},
		"to the environment's endpoint":   {exporter: "auto", env: environment{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, want: true},
		"to its endpoint for traces":      {exporter: "auto", env: environment{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, want: true},
		"not to its endpoint for metrics": {exporter: "auto", env: environment{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}},
		"by the exporter's name":          {exporter: "auto", env: environment{"OTEL_TRACES_EXPORTER": "console, otlp"}, want: true},
		"by configuration":                {exporter: "otlp", want: true},
		"not if the configuration says":   {exporter: "none", endpoint: "http://c:4317"},
		"not if the environment says":     {exporter: "otlp", endpoint: "http://c", env: environment{"OTEL_TRACES_EXPORTER": "none"}},
		"not by another exporter":         {exporter: "auto", endpoint: "http://c", env: environment{"OTEL_TRACES_EXPORTER": "zipkin"}},
		"not if the SDK is disabled":      {exporter: "otlp", env: environment{"OTEL_SDK_DISABLED": "True"}},
		"if the SDK is not disabled":      {exporter: "otlp", env: environment{"OTEL_SDK_DISABLED": "false"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Wanted(test.exporter, test.endpoint, test.env.get); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestMetricsArePushedUnlessForbidden(t *testing.T) {
	for name, test := range map[string]struct {
		push bool
		env  environment
		want bool
	}{
		"not by default":              {env: environment{"OTEL_METRICS_EXPORTER": "otlp"}},
		"by configuration":            {push: true, want: true},
		"not if the environment says": {push: true, env: environment{"OTEL_METRICS_EXPORTER": "none"}},
		"not if the SDK is disabled":  {push: true, env: environment{"OTEL_SDK_DISABLED": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PushWanted(test.push, test.env.get); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestTargetOfASignal(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		env     environment
		want    target
		fault   string
	}{
		"this machine":                 {want: target{url: "http://localhost:4318/v1/traces"}},
		"this machine over gRPC":       {options: Options{Protocol: "grpc"}, want: target{"http://localhost:4317", true}},
		"gRPC by the port":             {options: Options{Endpoint: "http://c:4317"}, want: target{"http://c:4317", true}},
		"HTTP by the port":             {options: Options{Endpoint: "https://c:4318/base", Protocol: "auto"}, want: target{url: "https://c:4318/base/v1/traces"}},
		"HTTP although the port":       {options: Options{Endpoint: "http://c:4317", Protocol: "http/protobuf"}, want: target{url: "http://c:4317/v1/traces"}},
		"the environment's":            {env: environment{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:1"}, want: target{url: "http://e:1/v1/traces"}},
		"the environment's for traces": {env: environment{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/x"}, want: target{url: "http://t:1/x"}},
		"the configured one first":     {options: Options{Endpoint: "http://c:1"}, env: environment{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:1"}, want: target{url: "http://c:1/v1/traces"}},
		"the environment's protocol":   {options: Options{Endpoint: "http://c:1", Protocol: "auto"}, env: environment{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: target{"http://c:1", true}},
		"its protocol for traces":      {env: environment{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, want: target{"http://localhost:4317", true}},
		"no scheme":                    {options: Options{Endpoint: "collector:4317"}, fault: "must be a URL such as"},
		"no host":                      {env: environment{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"}, fault: "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"},
		"JSON of the environment":      {env: environment{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, want: target{url: "http://localhost:4318/v1/traces"}},
		"another protocol":             {env: environment{"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier pigeon"}, fault: `not "carrier pigeon"`},
		"a certificate for nothing":    {options: Options{Endpoint: "http://c:4317"}, env: environment{"OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem"}, fault: "make it https"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			got, err := test.options.target(traces)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("got error %v, want one with %q", err, test.fault)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestWorkloadOfAPod(t *testing.T) {
	got := make(map[string]string)
	want := map[string]string{
		"web-7d4b9c6f5d-x2k9p":  "web",            // of a Deployment
		"my-cache-5f6d8-zzzzz":  "my-cache-5f6d8", // the hash is too short to be one
		"db-0":                  "db",             // of a StatefulSet
		"agent-x2k9p":           "agent",          // of a DaemonSet or Job
		"backup-29384720-x2k9p": "backup",         // of a CronJob
		"shard-3-x2k9p":         "shard",          // of an indexed Job
		"web":                   "web",
		"my-proxy":              "my-proxy",
		"0":                     "0",
		"":                      "",
	}
	for pod := range want {
		got[pod] = workload(pod)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
}

func TestResourceDescribesThePod(t *testing.T) {
	pod := environment{
		"POD_NAME": "web-7d4b9c6f5d-x2k9p", "POD_NAMESPACE": "shop", "POD_UID": "11-22",
		"NODE_NAME": "node-1", "CONTAINER_NAME": "foo-sidecar",
	}
	for name, test := range map[string]struct{ env, want environment }{
		"nothing is known": {want: environment{"service.name": "foo-sidecar", "k8s.pod.name": ""}},
		"in a pod": {env: pod, want: environment{
			"service.name": "web", "service.version": "1.2.3", "service.instance.id": "shop.web-7d4b9c6f5d-x2k9p.foo-sidecar",
			"k8s.pod.name": "web-7d4b9c6f5d-x2k9p", "k8s.namespace.name": "shop", "k8s.pod.uid": "11-22",
			"k8s.node.name": "node-1", "k8s.container.name": "foo-sidecar", "telemetry.sdk.language": "go",
		}},
		"of a workload":             {env: environment{"POD_NAME": "web-0", "WORKLOAD_NAME": "webshop"}, want: environment{"service.name": "webshop"}},
		"with attributes":           {env: environment{"WORKLOAD_NAME": "webshop", "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=b"}, want: environment{"service.name": "a", "team": "b"}},
		"with the service's name":   {env: environment{"OTEL_SERVICE_NAME": "s", "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=b"}, want: environment{"service.name": "s", "team": "b"}},
		"with malformed attributes": {env: environment{"WORKLOAD_NAME": "w", "OTEL_RESOURCE_ATTRIBUTES": "team"}, want: environment{"service.name": "w"}},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			log := new(logbook)
			all := make(environment)
			for _, a := range newResource(t.Context(), "1.2.3", log.logger()).Attributes() {
				all[string(a.Key)] = a.Value.AsString()
			}
			got := make(environment)
			for key := range test.want {
				got[key] = all[key]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
			if all["host.name"] == "" || all["service.instance.id"] == "" {
				t.Errorf("the instance has no name: %v", all)
			}
			if lines := len(log.lines()); lines > 0 != strings.Contains(name, "malformed") {
				t.Errorf("%d lines are logged", lines)
			}
		})
	}
}
