package cli

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionIsWhatIsKnownOfTheBuild(t *testing.T) {
	vcs := func(revision, modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}}
	}
	for _, tt := range []struct {
		name, want string
		info       debug.BuildInfo
	}{
		{"installed module", "v1.2.3", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}},
		{"checkout", "devel-0123456789ab", debug.BuildInfo{
			Main: debug.Module{Version: "(devel)"}, Settings: vcs("0123456789abcdef", "false")}},
		{"changed checkout", "devel-0123456789ab-dirty", debug.BuildInfo{Settings: vcs("0123456789abcdef", "true")}},
		{"nothing known", "devel", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}},
	} {
		if got := versionOf(&tt.info); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestVersionCommandNamesTheProgram(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := Execute(t.Context(), tree(nil), []string{"version"}, &stdout, &stderr)
	if want := "prog " + Version() + " (go1."; code != CodeOK || !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("got code %d, %q, want %d and a line that begins with %q", code, &stdout, CodeOK, want)
	}
}
