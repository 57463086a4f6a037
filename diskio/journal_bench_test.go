package diskio

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkCommit makes batches of 16 KiB durable, so many in flight, over so many files,
// on the real disk that TMPDIR lies on. Half of the batches wait longer than "p50-us".
func BenchmarkCommit(b *testing.B) {
	for _, flight := range []int{1, 16} {
		for _, files := range []int{1, 100, 1000} {
			for _, bytes := range []int64{0, 128 << 20} {
				b.Run(fmt.Sprintf("flight=%d/files=%d/journal=%v", flight, files, bytes > 0), func(b *testing.B) {
					benchmarkCommit(b, flight, files, bytes)
				})
			}
		}
	}
}

func benchmarkCommit(b *testing.B, flight, files int, bytes int64) {
	folder := b.TempDir()
	j, err := OpenJournal(JournalOptions{Folder: folder, Bytes: bytes, Warmup: 1})
	must(b, err)
	s := NewSyncer(SyncerOptions{Journal: j})
	defer s.Close()
	logs := make([]*tailed, files)
	for i := range logs {
		must(b, os.Mkdir(fmt.Sprintf("%s/t-%d", folder, i), 0o755))
		f, err := OS.Open(fmt.Sprintf("%s/t-%d/0.log", folder, i), os.O_RDWR|os.O_CREATE)
		must(b, err)
		defer f.Close() //nolint:errcheck // a benchmark
		logs[i] = &tailed{file: f, name: fmt.Sprintf("t-%d/0.log", i)}
	}
	batch := make([]byte, 16<<10)
	done := make(chan *flying, flight)
	begin := func(r *flying, l *tailed) {
		_, err := l.file.WriteAt(batch, l.end)
		must(b, err)
		r.began, r.log = time.Now(), l
		r.request = Request{File: l.file, Name: l.name, From: l.end, To: l.end + int64(len(batch)), Done: r.end}
		l.end += int64(len(batch))
		s.Sync(&r.request)
	}
	var times []time.Duration
	run := func(n int) {
		at := 0
		for i := range min(flight, n) {
			begin(&flying{done: done, index: i}, logs[at%files])
			at++
		}
		for i := range n {
			r := <-done
			times = append(times, time.Since(r.began))
			if i+flight < n {
				begin(r, logs[at%files])
				at++
			}
		}
	}
	run(max(500, files*2)) // the journal's files are made
	times = times[:0]
	b.SetBytes(int64(len(batch)))
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(j.Stats().Rounds), "rounds")
	b.ReportMetric(float64(j.Stats().FileSyncs), "file-syncs")
}

type tailed struct {
	file File
	name string
	end  int64
}

type flying struct {
	request Request
	log     *tailed
	began   time.Time
	done    chan *flying
	index   int
}

func (f *flying) end(*Request, error) { f.done <- f }
