package partition

import (
	"testing"

	"github.com/millrace/millrace/sdk/batch"
)

// Of two open transactions the one counts of which nothing was heard for longest.
func TestOpen(t *testing.T) {
	p := New(Options{})
	admit := func(producer int64, sequence int32, now int64) {
		t.Helper()
		b := header{producer: producer, sequence: sequence, count: 1, timestamp: now, transaction: true}.batch()
		ticket, _ := p.Verify(b, now)
		if _, err := p.AdmitFrom(b, now, Origin{Ticket: ticket}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(count int, silent int64) {
		t.Helper()
		if n, at := p.Open(); n != count || at != silent {
			t.Errorf("%d since %d, want %d since %d", n, at, count, silent)
		}
	}
	want(0, 0)
	admit(7, 0, 1000)
	admit(8, 0, 2000)
	want(2, 1000)
	admit(7, 1, 3000)
	want(2, 2000)
	if _, err := p.EndTransaction(Ending{Marker: batch.Marker{ProducerID: 8, Commit: true}}, 4000); err != nil {
		t.Fatal(err)
	}
	want(1, 3000)
	if p.Known() != 2 {
		t.Errorf("%d producers are known, want 2", p.Known())
	}
	p.Written(4)
	p.Synced(4)
	const day = 24 * 3600 * 1000
	if n := p.Expire(4000 + day); n != 1 || p.Known() != 1 {
		t.Errorf("%d expired and %d are known, want 1 and 1: one has an open transaction", n, p.Known())
	}
}
