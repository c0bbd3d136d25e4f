package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"
)

// service is what the tests look at of a service of docker-compose.yaml.
type service struct {
	Image       string   `yaml:"image"`
	Entrypoint  []string `yaml:"entrypoint"`
	Command     []string `yaml:"command"`
	Ports       []string `yaml:"ports"`
	Volumes     []string `yaml:"volumes"`
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
}

// services reads docker-compose.yaml as it is with no variable set.
func services(t *testing.T) map[string]service {
	t.Helper()
	text := regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`).ReplaceAllString(readFile(t, "docker-compose.yaml"), "$1")
	if strings.Contains(text, "$") {
		t.Fatal("docker-compose.yaml has a variable without a default")
	}
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatalf("docker-compose.yaml: %v", err)
	}
	return file.Services
}

func TestComposeServicesHaveNoMoreRightsThanTheyNeed(t *testing.T) {
	all := services(t)
	for name, s := range all {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: want read_only, cap_drop ALL and no-new-privileges, got %+v", name, s)
		}
		if s.Image != "foo-sidecar:dev" {
			t.Errorf("%s: got image %q, want the one that is built", name, s.Image)
		}
	}
	s := all["sidecar"]
	if want := []string{"8002:8002", "8088:8088"}; !slices.Equal(s.Ports, want) {
		t.Errorf("the sidecar's ports: got %q, want %q", s.Ports, want)
	}
	if want := []string{"recovery:" + runtimeConfig(options{}).WorkingDir}; !slices.Equal(s.Volumes, want) {
		t.Errorf("the sidecar's volumes: got %q, want %q", s.Volumes, want)
	}
}

// A command that is asked for help still reads its flags first, and fails if
// there is one that it does not know or a value that it can't read.
func TestComposeCommandLinesAreUnderstood(t *testing.T) {
	dir := t.TempDir()
	platform := v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	for _, command := range []string{"sidecar", "foo"} {
		if _, err := compile(t.Context(), options{root: root}, platform, dir, command); err != nil {
			t.Fatal(err)
		}
	}
	all := services(t)
	if len(all) != 3 {
		t.Fatalf("got %d services, want server, sidecar and client", len(all))
	}
	for name, s := range all {
		program := "/sidecar"
		if len(s.Entrypoint) > 0 {
			program = s.Entrypoint[0]
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, program), append(s.Command, "--help")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s %s: %v\n%s", name, program, strings.Join(s.Command, " "), err, out)
		}
	}
}
