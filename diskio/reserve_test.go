package diskio

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
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

// Nothing is given up for what is no want of space, and a write that never succeeds ends. A file
// system without inodes says that it has no space, and has plenty; one with quotas has plenty, and
// this user none.
func TestAReserveIsGivenUpForSpaceAlone(t *testing.T) {
	const all = 1 + reserveBytes/reservePiece
	for name, test := range map[string]struct {
		err   error
		space int64 // that is left; negative: plenty
		calls int
	}{
		"broken":             {syscall.EIO, 0, 1},
		"full":               {syscall.ENOSPC, 0, all},
		"too little is left": {syscall.ENOSPC, 2 * reservePiece, all},
		"no inodes":          {syscall.ENOSPC, -1, 1},
		"quota":              {syscall.EDQUOT, -1, all},
	} {
		t.Run(name, func(t *testing.T) {
			m, lines := NewMemory(), &bytes.Buffer{}
			must(t, m.MkdirAll("/data"))
			r := NewReserved(m, "/data", slog.New(slog.NewTextHandler(lines, nil)))
			now := time.Now()
			r.now = func() time.Time { return now }
			use := func() {
				calls := 0
				m.SetSpace(test.space)
				err := WithRoom(r, Full, func() error { calls++; r.Fill(); return test.err })
				if !errors.Is(err, test.err) || calls != test.calls {
					t.Errorf("called %d times, want %d: %v", calls, test.calls, err)
				}
			}
			for again := range 3 {
				use()
				r.Fill()
				if n := strings.Count(lines.String(), "level=WARN"); n != min(test.calls-1, again+1) {
					t.Errorf("the log has %d lines of it:\n%s", n, lines)
				}
				m.SetSpace(-1)
				r.Fill()
				now = now.Add(reserveQuiet)
			}
		})
	}
}
