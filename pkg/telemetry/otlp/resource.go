package otlp

import (
	"cmp"
	"context"
	"os"
	"regexp"
	"strconv"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// newResource describes this process to whoever reads its telemetry.
func newResource(ctx context.Context, version string, log logr.Logger) *resource.Resource {
	host, _ := os.Hostname()
	pod, namespace, container := os.Getenv("POD_NAME"), os.Getenv("POD_NAMESPACE"), os.Getenv("CONTAINER_NAME")

	// Unique among all instances, and the same for all that this one sends.
	instance := host + ":" + strconv.Itoa(os.Getpid())
	if pod != "" {
		instance = namespace + "." + pod + "." + cmp.Or(container, "foo-sidecar")
	}
	var described []attribute.KeyValue
	for _, a := range []attribute.KeyValue{
		semconv.ServiceName(cmp.Or(os.Getenv("WORKLOAD_NAME"), workload(pod), "foo-sidecar")),
		semconv.ServiceVersion(version),
		semconv.ServiceInstanceID(instance),
		semconv.HostName(host),
		semconv.K8SPodName(pod),
		semconv.K8SPodUID(os.Getenv("POD_UID")),
		semconv.K8SNamespaceName(namespace),
		semconv.K8SContainerName(container),
		semconv.K8SNodeName(os.Getenv("NODE_NAME")),
	} {
		if a.Value.AsString() != "" {
			described = append(described, a)
		}
	}
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithAttributes(described...),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // the last one wins
	)
	if err != nil {
		log.Error(err, "OTEL_RESOURCE_ATTRIBUTES is used only in part")
	}
	return r
}

// suffix is what Kubernetes appends to the name of a workload to name a pod:
// -<hash>-<random> for a Deployment, -<time>-<random> for a CronJob,
// -<index>-<random> for an indexed Job, -<random> for a DaemonSet or a Job,
// -<ordinal> for a StatefulSet. Hashes and random parts have no vowels and
// nothing that looks like one.
var suffix = regexp.MustCompile(`((-[bcdfghjklmnpqrstvwxz2456789]{6,10}|-[0-9]+)?-[bcdfghjklmnpqrstvwxz2456789]{5}|-[0-9]+)$`)

// workload guesses from a pod's name what the workload is called that it belongs
// to.
func workload(pod string) string {
	if i := suffix.FindStringIndex(pod); len(i) > 0 && i[0] > 0 {
		return pod[:i[0]]
	}
	return pod
}
