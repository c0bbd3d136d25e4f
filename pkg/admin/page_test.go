package admin

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

func TestRootIsThePageForBrowsersAndTheListForOthers(t *testing.T) {
	s := serve(t, fullOptions())
	for accept, page := range map[string]bool{
		browserAccepts:                        true,
		"text/html":                           true,
		"application/json, text/html;q=0.9":   false,
		"application/json;q=0.5, text/html":   true,
		"text/html;q=0":                       false,
		"text/*":                              false, // does not name HTML
		"*/*":                                 false, // curl
		"":                                    false,
		"application/json, text/plain, */*":   false,
		"text/html, application/json, */*;q0": true, // all the same
	} {
		r := s.do(t, "GET", "/", "Accept", accept)
		if got := strings.HasPrefix(r.body, "<!DOCTYPE html>"); r.code != 200 || got != page || r.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: got %d, page %v, Vary %q; want page %v", accept, r.code, got, r.header.Get("Vary"), page)
		}
	}
	o := fullOptions()
	o.Events = nil
	if r := serve(t, o).do(t, "GET", "/", "Accept", browserAccepts); !strings.HasPrefix(r.body, "{") {
		t.Errorf("without a source for the page: got %.100q, want the list", r.body)
	}
}

func TestPageMayUseNothingButThisServer(t *testing.T) {
	s := serve(t, fullOptions())
	page := s.do(t, "GET", "/", "Accept", browserAccepts)
	policy := strings.Split(page.header.Get("Content-Security-Policy"), "; ")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !slices.Contains(policy, want) {
			t.Errorf("the policy is %q, want %q in it", policy, want)
		}
	}
	for _, unsafe := range []string{"<style", "style=", "onclick", "onload", "<script>"} {
		if strings.Contains(page.body, unsafe) {
			t.Errorf("the page has %q, which the policy forbids", unsafe)
		}
	}
	links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page.body, -1)
	if len(links) < 10 {
		t.Fatalf("the page has %d links", len(links))
	}
	for _, link := range links {
		path := link[1]
		switch {
		case path == "data:,":
		case strings.Contains(path, ":") || strings.HasPrefix(path, "/"):
			t.Errorf("%s is not relative: it fails behind a proxy that adds a prefix", path)
		case path == "tap": // has no end
		default:
			if r := s.do(t, "GET", "/"+path); r.code != 200 {
				t.Errorf("GET /%s, to which the page links: got %d", path, r.code)
			}
		}
	}
}

// What the page shows may have been sent by anybody, so it must never be taken
// for markup.
func TestPageInsertsTextOnly(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|setAttribute`)
	err := fs.WalkDir(pageFiles, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := pageFiles.ReadFile(name)
		if found := forbidden.Find(file); found != nil {
			t.Errorf("%s has %s", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
