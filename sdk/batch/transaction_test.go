package batch

import (
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestMarkerIsReadAsItWasWritten(t *testing.T) {
	for _, m := range []Marker{
		{ProducerID: 7, ProducerEpoch: 3, Commit: true, CoordinatorEpoch: 12},
		{ProducerID: 1 << 40, ProducerEpoch: 32767, CoordinatorEpoch: 0},
	} {
		b := m.Batch(1_700_000_000_000)
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if len(b) != 78 || !b.Control() || !b.Transactional() || b.Count() != 1 || b.BaseSequence() != -1 {
			t.Errorf("batch of %+v has %d bytes: %x", m, len(b), b)
		}
		if got, ok := b.Marker(); !ok || got != m {
			t.Errorf("read %+v, %v, want %+v", got, ok, m)
		}
		if _, ok := b[:HeaderSize].Marker(); ok {
			t.Error("a header alone counts as a marker")
		}
	}
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte(Marker{ProducerID: 7, ProducerEpoch: 3, Commit: true, CoordinatorEpoch: 12}.Batch(1)))
	fuzz.Run(f, func(t *testing.T, p []byte) {
		if len(p) < HeaderSize {
			return
		}
		if m, ok := Batch(p).Marker(); ok {
			if again, _ := m.Batch(0).Marker(); again != m {
				t.Fatalf("%+v becomes %+v", m, again)
			}
		}
	})
}
