package checkpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// noon is when the states of these tests were saved.
var noon = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

func sampleState() State {
	return State{
		SavedAt:  noon,
		Boot:     "BOOT",
		Sequence: 42,
		Restarts: 3,
		Totals: map[string]map[string]int64{
			"default": {"msg_req": 12, "msg_ack": 10, "msg_nak": 2},
			"<other>": {"msg_req": MaxTotal},
		},
		Windows: map[string][]Bucket{
			"default": {
				{Start: noon.Add(-9 * time.Second), Width: 10 * time.Millisecond, Requests: 3},
				{Start: noon.Add(-1 * time.Second), Width: 10 * time.Millisecond, Requests: 9, Answers: 12},
			},
		},
	}
}

func mustEncode(t testing.TB, s State) []byte {
	t.Helper()
	doc, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func diff(want, got State) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

func TestEncodedStateDecodesToTheSame(t *testing.T) {
	want := sampleState()
	doc := mustEncode(t, want)
	if strings.Count(string(doc), "\n") != 1 || doc[len(doc)-1] != '\n' {
		t.Errorf("a document is one line, got %q", doc)
	}
	got, err := Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("decoded state differs (-want +got):\n%s", d)
	}
}

func TestDocumentIsAsDocumented(t *testing.T) {
	s := State{SavedAt: noon, Boot: "B", Sequence: 1,
		Totals:  map[string]map[string]int64{"default": {"msg_req": 2}},
		Windows: map[string][]Bucket{"default": {{Start: noon, Width: 10 * time.Millisecond, Requests: 2, Answers: 1}}},
	}
	want := `{"format":"foo-sidecar/checkpoint","version":1,"checksum":"crc32c:615ae9a3",` +
		`"state":{"savedAt":"2024-05-17T12:00:00Z","boot":"B","sequence":1,"restarts":0,` +
		`"totals":{"default":{"msg_req":2}},"windows":{"default":[[1715947200000,10,2,1]]}}}` + "\n"
	if d := cmp.Diff(want, string(mustEncode(t, s))); d != "" {
		t.Errorf("document differs (-want +got); a new format needs a new version:\n%s", d)
	}
}

// A file that was cut off anywhere is recognised as damaged.
func TestEveryPrefixOfADocumentIsDamaged(t *testing.T) {
	doc := mustEncode(t, sampleState())
	end := len(doc) - 1 // the newline at the end may be missing
	for n := range end {
		if s, err := Decode(doc[:n]); !isA[*DamagedError](err) || !s.IsZero() {
			t.Fatalf("the first %d bytes decode to %v, %v; want a DamagedError", n, s, err)
		}
	}
	if _, err := Decode(doc[:end]); err != nil {
		t.Errorf("without its newline: %v", err)
	}
}

// No single bit can change without being noticed, unless it changes nothing.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	want := sampleState()
	doc := mustEncode(t, want)
	for i := range doc {
		for bit := range 8 {
			doc[i] ^= 1 << bit
			if got, err := Decode(doc); err == nil && diff(want, got) != "" {
				t.Fatalf("bit %d of byte %d: a changed state was accepted", bit, i)
			}
			doc[i] ^= 1 << bit
		}
	}
}

// frame puts a state, as JSON, into a document with the right checksum.
func frame(state string) string {
	return fmt.Sprintf(`{"format":%q,"version":1,"checksum":%q,"state":%s}`, Format, checksum([]byte(state)), state)
}

func TestDecodeTellsWhatIsWrong(t *testing.T) {
	const savedAt = `"savedAt":"2024-05-17T12:00:00Z"`
	damaged, foreign, newer := new(*DamagedError), new(*ForeignError), new(*VersionError)
	tests := map[string]struct {
		data   string
		target any
		why    string
	}{
		"empty":                    {"", damaged, "empty"},
		"zeros":                    {strings.Repeat("\x00", 512), damaged, "no complete JSON"},
		"two documents":            {frame("{"+savedAt+"}") + "{}", damaged, "no complete JSON"},
		"too large":                {strings.Repeat(" ", MaxSize+1), damaged, "more than 4194304 bytes"},
		"another document":         {`{"kind":"SidecarConfig"}`, foreign, `format is ""`},
		"null":                     {`null`, foreign, `format is ""`},
		"a list":                   {`[1,2]`, foreign, "array"},
		"another format":           {`{"format":"x","version":1}`, foreign, `format is "x"`},
		"the next version":         {`{"format":"foo-sidecar/checkpoint","version":2,"new":true}`, newer, "version 2"},
		"no version":               {`{"format":"foo-sidecar/checkpoint"}`, damaged, "version 0"},
		"no checksum":              {`{"format":"foo-sidecar/checkpoint","version":1,"state":{` + savedAt + `}}`, damaged, "checksum"},
		"wrong checksum":           {strings.Replace(frame("{"+savedAt+"}"), "2024", "2025", 1), damaged, "checksum"},
		"unknown field in frame":   {strings.Replace(frame("{"+savedAt+"}"), "{", `{"x":1,`, 1), damaged, `unknown field "x"`},
		"unknown field in state":   {frame("{" + savedAt + `,"x":1}`), damaged, `unknown field "x"`},
		"never saved":              {frame(`{}`), damaged, "saved at"},
		"saved before 1970":        {frame(`{"savedAt":"1969-12-31T23:59:59Z"}`), damaged, "saved at"},
		"negative counter":         {frame("{" + savedAt + `,"totals":{"l":{"c":-1}}}`), damaged, `counter "c" of listener "l" is -1`},
		"counter too large":        {frame("{" + savedAt + `,"totals":{"l":{"c":4611686018427387905}}}`), damaged, `counter "c"`},
		"counter with a fraction":  {frame("{" + savedAt + `,"totals":{"l":{"c":1.5}}}`), damaged, "1.5"},
		"negative restarts":        {frame("{" + savedAt + `,"restarts":-1}`), damaged, "-1 restarts"},
		"negative sequence":        {frame("{" + savedAt + `,"sequence":-1}`), damaged, "-1"},
		"bucket of three":          {frame("{" + savedAt + `,"windows":{"l":[[1,2,3]]}}`), damaged, "3 numbers, want 4"},
		"bucket of nothing":        {frame("{" + savedAt + `,"windows":{"l":[null]}}`), damaged, "0 numbers, want 4"},
		"bucket without width":     {frame("{" + savedAt + `,"windows":{"l":[[1,0,3,4]]}}`), damaged, "0 ms wide"},
		"bucket too wide":          {frame("{" + savedAt + `,"windows":{"l":[[1,9223372036854775807,3,4]]}}`), damaged, "ms wide"},
		"bucket in the far future": {frame("{" + savedAt + `,"windows":{"l":[[9223372036854775807,1,3,4]]}}`), damaged, "bucket starts"},
		"bucket before 1970":       {frame("{" + savedAt + `,"windows":{"l":[[-1,1,3,4]]}}`), damaged, "bucket starts"},
		"negative bucket":          {frame("{" + savedAt + `,"windows":{"l":[[1,1,-3,4]]}}`), damaged, "counts -3"},
		"bucket that overflows":    {frame("{" + savedAt + `,"windows":{"l":[[1,1,3,9223372036854775807]]}}`), damaged, "counts 9223372036854775807"},
		"too many buckets":         {frame("{" + savedAt + `,"windows":{"l":[` + strings.Repeat("[1,1,1,1],", MaxBuckets) + `[1,1,1,1]]}}`), damaged, "4097 buckets"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Decode([]byte(test.data))
			if !errors.As(err, test.target) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("got %T %v, want %T that says %q", err, err, test.target, test.why)
			}
			if !s.IsZero() {
				t.Errorf("got a state beside the error: %v", s)
			}
		})
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	bucket := func(b Bucket) State {
		return State{SavedAt: noon, Windows: map[string][]Bucket{"l": {b}}}
	}
	for name, s := range map[string]State{
		"zero":             {},
		"negative counter": {SavedAt: noon, Totals: map[string]map[string]int64{"l": {"c": -1}}},
		"narrow bucket":    bucket(Bucket{Start: noon, Width: time.Microsecond}),
		"wide bucket":      bucket(Bucket{Start: noon, Width: time.Minute}),
		"negative bucket":  bucket(Bucket{Start: noon, Width: time.Second, Answers: -1}),
		"far future":       {SavedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"too large":        {SavedAt: noon, Totals: map[string]map[string]int64{strings.Repeat("l", MaxSize): {"c": 1}}},
	} {
		if doc, err := Encode(s); err == nil {
			t.Errorf("%s: encoded as %.80q, want an error", name, doc)
		}
	}
}

func TestOldRecoveryFileIsReadFromTheOldestSecondToTheNewest(t *testing.T) {
	const file = `{"index":7,"time_stamp":1505951090,"requests_10s":[8,9,10,11,12,13,14,5,6,7],"responses_10s":[0,0,0,0,0,0,1,0,0,0]}`
	got, err := DecodeLegacy([]byte(file), "default")
	if err != nil {
		t.Fatal(err)
	}
	saved := time.Unix(1505951090, 0).UTC()
	want := State{SavedAt: saved, Windows: map[string][]Bucket{}}
	for i := range int64(10) {
		// The ring holds 5, 6, ... 14 in the order of time; the newest second,
		// in slot 6, is the one with an answer.
		want.Windows["default"] = append(want.Windows["default"], Bucket{
			Start: saved.Add(time.Duration(i-10) * time.Second), Width: time.Second,
			Requests: 5 + i, Answers: i / 9,
		})
	}
	if d := diff(want, got); d != "" {
		t.Errorf("imported state differs (-want +got):\n%s", d)
	}
}

func TestOldRecoveryFileThatMakesNoSenseIsDamaged(t *testing.T) {
	const ten = "[1,1,1,1,1,1,1,1,1,1]"
	damaged, foreign := new(*DamagedError), new(*ForeignError)
	for name, test := range map[string]struct {
		data   string
		target any
	}{
		"truncated as the old proxy left it": {"", damaged},
		"cut off at 4096 bytes":              {`{"index":7,"time_stamp":1505951090,"requests_10s":[0,0`, damaged},
		"something else":                     {`{"index":7}`, foreign},
		"a list":                             {`[]`, foreign},
		"no index":                           {`{"time_stamp":1,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
		"no time":                            {`{"index":1,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
		"index too large":                    {`{"index":10,"time_stamp":1505951090,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
		"negative index":                     {`{"index":-1,"time_stamp":1505951090,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
		"nine seconds":                       {`{"index":1,"time_stamp":1505951090,"requests_10s":[1,1,1,1,1,1,1,1,1],"responses_10s":` + ten + `}`, damaged},
		"no answers":                         {`{"index":1,"time_stamp":1505951090,"requests_10s":` + ten + `}`, damaged},
		"negative sum":                       {`{"index":1,"time_stamp":1505951090,"requests_10s":[1,1,1,1,-1,1,1,1,1,1],"responses_10s":` + ten + `}`, damaged},
		"time out of this world":             {`{"index":1,"time_stamp":9223372036854775807,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
		"another field":                      {`{"x":1,"index":1,"time_stamp":1505951090,"requests_10s":` + ten + `,"responses_10s":` + ten + `}`, damaged},
	} {
		if s, err := DecodeLegacy([]byte(test.data), "default"); !errors.As(err, test.target) || !s.IsZero() {
			t.Errorf("%s: got %v, %T %v; want %T", name, s, err, err, test.target)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(mustEncode(f, sampleState()))
	f.Add([]byte(frame(`{"savedAt":"2024-05-17T12:00:00Z","windows":{"l":[[1,2,3,4]]}}`)))
	f.Add([]byte(`{"format":"foo-sidecar/checkpoint","version":2}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkDecoded(t, data)
		// Nearly no input has the right checksum, so make it one that has.
		checkDecoded(t, []byte(frame(string(data))))
	})
}

// checkDecoded decodes data, which may be refused but not be misread.
func checkDecoded(t *testing.T, data []byte) {
	t.Helper()
	s, err := Decode(data)
	if err != nil {
		if !isA[*DamagedError](err) && !isA[*ForeignError](err) && !isA[*VersionError](err) {
			t.Fatalf("decoding %q: error of an undocumented type: %T %v", data, err, err)
		}
		return
	}
	again, err := Decode(mustEncode(t, s))
	if err != nil {
		t.Fatalf("decoding what was encoded from %q: %v", data, err)
	}
	s.SavedAt = s.SavedAt.Truncate(time.Millisecond)
	if d := diff(s, again); d != "" {
		t.Fatalf("round trip of %q (-want +got):\n%s", data, d)
	}
}

func FuzzDecodeLegacy(f *testing.F) {
	f.Add([]byte(`{"index":7,"time_stamp":1505951090,"requests_10s":[0,1,2,3,4,5,6,7,8,9],"responses_10s":[0,1,2,3,4,5,6,7,8,9]}`))
	f.Add([]byte(`{"index":0,"time_stamp":0,"requests_10s":[0,0,0,0,0,0,0,0,0,0],"responses_10s":[0,0,0,0,0,0,0,0,0,0]}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeLegacy(data, "default")
		if err != nil {
			if !isA[*DamagedError](err) && !isA[*ForeignError](err) {
				t.Fatalf("decoding %q: error of an undocumented type: %T %v", data, err, err)
			}
			return
		}
		checkDecoded(t, mustEncode(t, s))
	})
}
