package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// lastStage returns the instructions of a Dockerfile's last stage, their
// arguments by their name.
func lastStage(text string) map[string][]string {
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, " ")
	stage := map[string][]string{}
	for line := range strings.Lines(text) {
		name, args, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		if name == "FROM" {
			clear(stage)
		}
		stage[name] = append(stage[name], strings.TrimSpace(args))
	}
	return stage
}

// pairs takes 'KEY=VALUE KEY="VALUE"' apart.
func pairs(text string) map[string]string {
	m := map[string]string{}
	for _, match := range regexp.MustCompile(`(\S+?)=(?:"([^"]*)"|(\S+))`).FindAllStringSubmatch(text, -1) {
		m[match[1]] = match[2] + match[3]
	}
	return m
}

func TestDockerfileDescribesTheSameImage(t *testing.T) {
	text := readFile(t, "Dockerfile")
	stage := lastStage(text)
	want := runtimeConfig(options{version: "$VERSION"})
	// These two are known to this command only.
	delete(want.Labels, "org.opencontainers.image.created")
	delete(want.Labels, "org.opencontainers.image.revision")

	for name, value := range map[string]string{
		"FROM":       "scratch",
		"USER":       want.User,
		"WORKDIR":    want.WorkingDir,
		"STOPSIGNAL": want.StopSignal,
		"ENTRYPOINT": `["` + strings.Join(want.Entrypoint, `", "`) + `"]`,
		"EXPOSE":     strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(want.ExposedPorts)), " "), "/tcp", ""),
	} {
		if got := stage[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if got := pairs(strings.Join(stage["LABEL"], " ")); !maps.Equal(got, want.Labels) {
		t.Errorf("LABEL: got %q, want %q", got, want.Labels)
	}
	env := map[string]string{}
	for _, e := range want.Env {
		maps.Copy(env, pairs(e))
	}
	if got := pairs(strings.Join(stage["ENV"], " ")); !maps.Equal(got, env) {
		t.Errorf("ENV: got %q, want %q", got, env)
	}

	parts := []string{
		"CGO_ENABLED=0",
		"go build -trimpath -buildvcs=false",
		`-ldflags "` + linkerFlags("$VERSION") + `"`,
		"-o /image/ ./cmd/sidecar ./cmd/foo",
	}
	for _, e := range filesystem(nil, nil) {
		switch {
		case e.link != "":
			parts = append(parts, fmt.Sprintf("ln -s %s /image/%s", e.link, e.name))
		case len(e.content) > 0:
			content := strings.ReplaceAll(string(e.content), "\n", `\n`)
			parts = append(parts, fmt.Sprintf("printf '%s' >/image/%s", content, e.name))
		case e.owner != 0:
			parts = append(parts, fmt.Sprintf("COPY --from=build --chown=%[1]d:%[1]d /empty /%s", e.owner, strings.TrimSuffix(e.name, "/")))
		case e.mode == 0o1777:
			parts = append(parts, fmt.Sprintf("COPY --from=build --chmod=%o /empty /%s", e.mode, strings.TrimSuffix(e.name, "/")))
		}
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the Dockerfile lacks %q, which the image of this command has", part)
		}
	}
}

func TestEveryBuildStampsTheVersionAtTheSamePlace(t *testing.T) {
	makefile := strings.ReplaceAll(readFile(t, "Makefile"), "$(MODULE)", module)
	if want := "LDFLAGS := " + linkerFlags("$(VERSION)") + "\n"; !strings.Contains(makefile, want) {
		t.Errorf("the Makefile lacks %q", want)
	}
}

func TestDockerfileBuildsWithTheModulesGo(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))
	if version == nil {
		t.Fatal("go.mod names no Go version")
	}
	if want := " golang:" + version[1] + " AS build\n"; !strings.Contains(readFile(t, "Dockerfile"), want) {
		t.Errorf("the Dockerfile does not build with Go %s, which go.mod needs", version[1])
	}
}
