package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden and the generated files anew")

// Compare fails the test if the file does not hold got. The remedy is told
// then, such as "run go generate ./config".
func Compare(t testing.TB, file, got, remedy string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; %s", err, remedy)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, %s (-want +got):\n%s", file, remedy, diff)
	}
}
