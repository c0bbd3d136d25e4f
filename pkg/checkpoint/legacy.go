package checkpoint

import (
	"encoding/json"
	"fmt"
	"time"
)

// legacySlots is the number of one-second sums in the old proxy's file.
const legacySlots = 10

// legacyFile is the recovery file of the old proxy: a ring of one-second sums,
// and no totals. Index is the slot that would have been written next, so the
// slot before it is the newest, and that second ended at TimeStamp.
type legacyFile struct {
	Index     *int    `json:"index"`
	TimeStamp *int64  `json:"time_stamp"`
	Requests  []int64 `json:"requests_10s"`
	Answers   []int64 `json:"responses_10s"`
}

// DecodeLegacy reads the recovery file of the old proxy, which had one listener
// only, as a state of the listener that is named. Totals are not in it. Its
// error is a *DamagedError or a *ForeignError.
func DecodeLegacy(data []byte, listener string) (State, error) {
	if err := decodable(data); err != nil {
		return State{}, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return State{}, &ForeignError{Why: err.Error()}
	}
	if _, ok := fields["requests_10s"]; !ok {
		return State{}, &ForeignError{Why: `it has no "requests_10s", as the old recovery file has`}
	}
	var file legacyFile
	if err := unmarshalStrict(data, &file); err != nil {
		return State{}, &DamagedError{Why: "old recovery file: " + err.Error()}
	}
	s, err := file.state(listener)
	if err != nil {
		return State{}, &DamagedError{Why: "old recovery file: " + err.Error()}
	}
	return s, nil
}

func (f legacyFile) state(listener string) (State, error) {
	switch {
	case f.Index == nil || f.TimeStamp == nil:
		return State{}, fmt.Errorf(`it lacks "index" or "time_stamp"`)
	case *f.Index < 0 || *f.Index >= legacySlots:
		return State{}, fmt.Errorf("index is %d, want 0 to %d", *f.Index, legacySlots-1)
	case len(f.Requests) != legacySlots || len(f.Answers) != legacySlots:
		return State{}, fmt.Errorf("it has sums of %d and %d seconds, want %d", len(f.Requests), len(f.Answers), legacySlots)
	}
	s := State{SavedAt: time.Unix(*f.TimeStamp, 0).UTC()}
	var buckets []Bucket
	for i := range legacySlots {
		// The slot that would be written next is the oldest.
		slot := (*f.Index + i) % legacySlots
		b := Bucket{
			Start:    s.SavedAt.Add(time.Duration(i-legacySlots) * time.Second),
			Width:    time.Second,
			Requests: f.Requests[slot],
			Answers:  f.Answers[slot],
		}
		if b.Requests != 0 || b.Answers != 0 {
			buckets = append(buckets, b)
		}
	}
	if len(buckets) > 0 {
		s.Windows = map[string][]Bucket{listener: buckets}
	}
	return s, s.validate()
}
