package diskio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// slow is a file whose syncs wait to be let through.
type slow struct {
	File
	begun   chan struct{}
	proceed chan error
	now     atomic.Int32
	syncs   atomic.Int32
}

func newSlow() *slow { return &slow{begun: make(chan struct{}), proceed: make(chan error)} }

func (f *slow) Name() string { return "slow" }

func (f *slow) Sync() error {
	if f.now.Add(1) > 1 {
		panic("two syncs of one file at a time")
	}
	defer f.now.Add(-1)
	f.syncs.Add(1)
	f.begun <- struct{}{}
	return <-f.proceed
}

func ask(s *Syncer, f File) chan error {
	done := make(chan error, 1)
	s.Sync(&Request{File: f, Done: func(_ *Request, err error) { done <- err }})
	return done
}

func TestOneSyncServesAllWhoWait(t *testing.T) {
	s := NewSyncer(SyncerOptions{})
	defer s.Close()
	f := newSlow()
	first := ask(s, f)
	<-f.begun
	var later []chan error
	var together atomic.Int32
	for range 50 {
		done := make(chan error, 1)
		s.Sync(&Request{File: f, Done: func(r *Request, err error) { together.Add(int32(r.Together)); done <- err }})
		later = append(later, done)
	}
	other := newSlow() // other files go on meanwhile, and show that the dispatcher took the rest
	fast := ask(s, other)
	<-other.begun
	other.proceed <- nil
	must(t, <-fast)
	f.proceed <- nil
	must(t, <-first)
	for _, c := range later {
		select {
		case err := <-c:
			t.Fatalf("answered (%v) by a sync that began before it was asked for", err)
		default:
		}
	}
	<-f.begun
	f.proceed <- nil
	for _, c := range later {
		must(t, <-c)
	}
	if n := f.syncs.Load(); n != 2 || together.Load() != 50*50 {
		t.Fatalf("%d syncs for 51 requests, want 2; 50 were told of %d in all", n, together.Load())
	}
}

func TestFilesSyncSideBySide(t *testing.T) {
	s := NewSyncer(SyncerOptions{Parallel: 3})
	defer s.Close()
	files := []*slow{newSlow(), newSlow(), newSlow(), newSlow()}
	var answers []chan error
	for _, f := range files {
		answers = append(answers, ask(s, f))
	}
	for _, f := range files[:3] {
		<-f.begun
	}
	files[1].proceed <- nil
	<-files[3].begun
	for _, i := range []int{0, 2, 3} {
		files[i].proceed <- nil
	}
	for _, c := range answers {
		must(t, <-c)
	}
}

func TestFirstFailureStopsTheDisk(t *testing.T) {
	s := NewSyncer(SyncerOptions{})
	defer s.Close()
	bad, good := newSlow(), newSlow()
	first := ask(s, bad)
	<-bad.begun
	waiting := ask(s, bad)
	bad.proceed <- syscall.EIO
	if err := <-first; !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	// It would succeed now, and must not be tried.
	if err := <-waiting; !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := <-ask(s, good); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if !errors.Is(s.Err(), syscall.EIO) || bad.syncs.Load() != 1 || good.syncs.Load() != 0 {
		t.Fatalf("error %v, %d and %d syncs", s.Err(), bad.syncs.Load(), good.syncs.Load())
	}
}

func TestCloseServesWhatWaits(t *testing.T) {
	s := NewSyncer(SyncerOptions{})
	f := newSlow()
	first := ask(s, f)
	<-f.begun
	second := ask(s, f)
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	f.proceed <- nil
	<-f.begun
	f.proceed <- nil
	must(t, <-first)
	must(t, <-second)
	<-closed
	if err := <-ask(s, f); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
}

// Whatever was written before Sync was called is durable when Done is.
func TestSyncedMeansDurable(t *testing.T) {
	m := NewMemory()
	s := NewSyncer(SyncerOptions{Parallel: 2})
	defer s.Close()
	must(t, m.MkdirAll("/d"))
	var all sync.WaitGroup
	for i := range 8 {
		f := create(t, m, "/d/"+string(rune('a'+i)))
		must(t, m.SyncDir("/d"))
		all.Go(func() {
			for n := range 100 {
				write(t, f, []byte{byte(n)}, int64(n))
				if err := <-ask(s, f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	m.Crash()
	for i := range 8 {
		if got := content(t, m, "/d/"+string(rune('a'+i))); len(got) != 100 {
			t.Fatalf("%d bytes, want 100", len(got))
		}
	}
}

type instant struct{ File }

func (instant) Sync() error { return nil }

func TestSyncAllocatesNothing(t *testing.T) {
	s := NewSyncer(SyncerOptions{})
	defer s.Close()
	done := make(chan struct{})
	r := &Request{File: &instant{}, Done: func(*Request, error) { done <- struct{}{} }}
	if n := testing.AllocsPerRun(1000, func() { s.Sync(r); <-done }); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func BenchmarkSyncer(b *testing.B) {
	s := NewSyncer(SyncerOptions{})
	defer s.Close()
	done := make(chan struct{}, 64)
	var requests [64]Request
	for i := range requests {
		requests[i] = Request{File: &instant{}, Done: func(*Request, error) { done <- struct{}{} }}
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range requests {
			s.Sync(&requests[i])
		}
		for range requests {
			<-done
		}
	}
}
