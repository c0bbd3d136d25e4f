//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// results are all that came out of a run.
type results struct {
	Machine      Machine       `json:"machine"`
	Rounds       int           `json:"rounds"`
	SliceSeconds float64       `json:"slice_seconds"`
	LeftOut      []string      `json:"left_out"`
	Ratios       []Ratio       `json:"ratios"`
	Calls        []Calls       `json:"system_calls"`
	Measurements []Measurement `json:"measurements"`
}

// writeJSON writes the results to a file.
func (r results) writeJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // Figures for everybody.
}

// The lines between which a page has the results.
const (
	beginResults = `<!-- Generated from here on: make bench args=--write -->`
	endResults   = `<!-- Generated up to here. -->`
)

// replaceResults returns the page with other results.
func replaceResults(file, text string) (string, error) {
	page, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: run it from the root of the repository", err)
	}
	before, rest, begins := strings.Cut(string(page), beginResults+"\n")
	_, after, ends := strings.Cut(rest, endResults)
	if !begins || !ends {
		return "", fmt.Errorf("%s has no place for results, between the lines %q and %q", file, beginResults, endResults)
	}
	return before + beginResults + "\n\n" + text + "\n" + endResults + after, nil
}
