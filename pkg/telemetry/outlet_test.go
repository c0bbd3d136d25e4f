package telemetry

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestOutletNeverBlocksOnAReaderThatDoesNotRead(t *testing.T) {
	unread, w := io.Pipe()
	o := NewOutlet(w)
	for range outletLines + 100 {
		if n, err := o.Write([]byte("line\n")); n != 5 || err != nil {
			t.Fatalf("write: got %d and %v", n, err)
		}
	}
	if got := o.Dropped(); got < 99 || got > 100 { // one may be on its way
		t.Errorf("%d dropped, want 99 or 100", got)
	}
	o.Close(time.Millisecond)
	unread.Close() // and with it the goroutine ends
	<-o.done
}

func TestOutletWritesEverythingBeforeItCloses(t *testing.T) {
	var got strings.Builder
	o := NewOutlet(&got)
	for range 100 {
		o.Write([]byte("line\n"))
	}
	o.Close(time.Minute)
	if want := strings.Repeat("line\n", 100); got.String() != want || o.Dropped() != 0 {
		t.Errorf("got %d bytes and %d dropped, want %d bytes", got.Len(), o.Dropped(), len(want))
	}
}
