package diskio

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
)

// What has to be written on a full disk is, a few times, although others take what is left over
// each time; and what was kept back is kept back again when there is room.
func TestAReserve(t *testing.T) {
	m := NewMemory()
	must(t, m.MkdirAll("/data"))
	r := NewReserved(m, "/data", slog.New(slog.DiscardHandler))
	size := func() int64 {
		found, err := m.Stat("/data/reserve")
		must(t, err)
		return found.Size
	}
	if size() != reserveBytes {
		t.Fatalf("%d bytes are kept back, want %d", size(), reserveBytes)
	}
	must(t, WriteFile(r, "/data/large", make([]byte, 4*reserveBytes)))
	times := 0
	for {
		m.SetSpace(0)
		err := WriteNeeded(r, "/data/needed", []byte{byte(times)})
		if err != nil && !Full(err) {
			t.Fatal(err)
		}
		if err != nil {
			break
		}
		if times++; times > 100 {
			t.Fatal("a full disk takes everything")
		}
		if err := WriteFile(r, "/data/other", make([]byte, reservePiece)); !Full(err) {
			t.Fatalf("what could wait was written: %v", err)
		}
	}
	if got, err := ReadFile(m, "/data/needed"); times != reserveBytes/reservePiece || err != nil || len(got) != 1 || int(got[0]) != times-1 {
		t.Errorf("written %d times, want %d; the file holds %v, %v", times, reserveBytes/reservePiece, got, err)
	}
	if _, err := m.Stat("/data/needed.tmp"); err == nil {
		t.Error("a write that failed has left its file behind")
	}
	if r = NewReserved(m, "/data", slog.New(slog.DiscardHandler)); size() != 0 {
		t.Errorf("%d bytes of a full disk are kept back", size())
	}
	must(t, r.Remove("/data/large"))
	if size() != reserveBytes {
		t.Errorf("with room again %d bytes are kept back, want %d", size(), reserveBytes)
	}
}

// Nothing is given up for what is no want of space, and a write that never succeeds ends.
func TestAReserveIsGivenUpForSpaceAlone(t *testing.T) {
	m := NewMemory()
	must(t, m.MkdirAll("/data"))
	r := NewReserved(m, "/data", slog.New(slog.DiscardHandler))
	for name, test := range map[string]struct {
		err   error
		calls int
	}{
		"broken": {syscall.EIO, 1}, "quota": {syscall.EDQUOT, 1 + reserveBytes/reservePiece},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := WithRoom(r, Full, func() error { calls++; r.Fill(); return test.err })
			if !errors.Is(err, test.err) || calls != test.calls {
				t.Errorf("called %d times, want %d: %v", calls, test.calls, err)
			}
		})
	}
}
