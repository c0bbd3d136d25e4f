package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"time"
)

const (
	// Format names the document.
	Format = "foo-sidecar/checkpoint"
	// Version is the version of the document that is written and read.
	Version = 1
	// MaxSize is the number of bytes that a checkpoint may have, which is room
	// for the full windows of some hundred listeners.
	MaxSize = 4 << 20
)

// ErrNone says that a store holds no checkpoint, as at the very first start.
var ErrNone = errors.New("no checkpoint")

// A DamagedError says that there is a checkpoint, but it is not what was once
// written.
type DamagedError struct{ Why string }

func (e *DamagedError) Error() string { return "damaged checkpoint: " + e.Why }

// A ForeignError says that there is something, but it never was a checkpoint.
type ForeignError struct{ Why string }

func (e *ForeignError) Error() string { return "not a checkpoint: " + e.Why }

// A VersionError says that the checkpoint was written by a later version of the
// sidecar.
type VersionError struct{ Version int64 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("checkpoint has version %d, this sidecar reads version %d", e.Version, Version)
}

// document is the frame around a state.
type document struct {
	Format   string          `json:"format"`
	Version  int64           `json:"version"`
	Checksum string          `json:"checksum"`
	State    json.RawMessage `json:"state"`
}

// Encode returns s as a document. It refuses a state that Decode would refuse.
func Encode(s State) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	s.SavedAt = s.SavedAt.UTC().Truncate(time.Millisecond)
	state, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	// The frame is put together by hand, so that the bytes of state are exactly
	// those that the checksum is over.
	doc := make([]byte, 0, len(state)+128)
	doc = append(doc, `{"format":`...)
	doc = strconv.AppendQuote(doc, Format)
	doc = append(doc, `,"version":`...)
	doc = strconv.AppendInt(doc, Version, 10)
	doc = append(doc, `,"checksum":`...)
	doc = strconv.AppendQuote(doc, checksum(state))
	doc = append(doc, `,"state":`...)
	doc = append(doc, state...)
	doc = append(doc, '}', '\n')
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("encode checkpoint: it has %d bytes, more than %d", len(doc), MaxSize)
	}
	return doc, nil
}

// Decode returns the state in a document. Its error is a *DamagedError, a
// *ForeignError or a *VersionError.
func Decode(data []byte) (State, error) {
	if err := decodable(data); err != nil {
		return State{}, err
	}
	var head struct {
		Format  string `json:"format"`
		Version int64  `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return State{}, &ForeignError{Why: err.Error()}
	}
	switch {
	case head.Format != Format:
		return State{}, &ForeignError{Why: fmt.Sprintf("its format is %.40q, want %q", head.Format, Format)}
	case head.Version > Version:
		return State{}, &VersionError{Version: head.Version}
	case head.Version != Version:
		return State{}, &DamagedError{Why: fmt.Sprintf("version %d never was", head.Version)}
	}
	s, err := decodeState(data)
	if err != nil {
		return State{}, &DamagedError{Why: err.Error()}
	}
	return s, nil
}

// decodable refuses what is no JSON document of a reasonable size, which is
// what a file that was cut off or overwritten looks like.
func decodable(data []byte) error {
	switch {
	case len(data) == 0:
		return &DamagedError{Why: "it is empty"}
	case len(data) > MaxSize:
		return &DamagedError{Why: fmt.Sprintf("it has more than %d bytes", MaxSize)}
	case !json.Valid(data):
		return &DamagedError{Why: fmt.Sprintf("its %d bytes are no complete JSON document", len(data))}
	}
	return nil
}

// decodeState reads a document that is known to be one of this version.
func decodeState(data []byte) (State, error) {
	var doc document
	if err := unmarshalStrict(data, &doc); err != nil {
		return State{}, err
	}
	if sum := checksum(doc.State); sum != doc.Checksum {
		return State{}, fmt.Errorf("its checksum says %.40q, its content has %q", doc.Checksum, sum)
	}
	var s State
	if err := unmarshalStrict(doc.State, &s); err != nil {
		return State{}, err
	}
	s.SavedAt = s.SavedAt.UTC()
	return s, s.validate()
}

// unmarshalStrict is json.Unmarshal, but refuses fields that v does not have.
func unmarshalStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the document")
	}
	return nil
}

func checksum(data []byte) string {
	return fmt.Sprintf("crc32c:%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}
