package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/label"
)

// busy has a broker work until the returned function is called.
func busy(t *testing.T, b *Broker, topic string) (enough func()) {
	t.Helper()
	c := client(t, b, kgo.ProducerLinger(0), kgo.MaxBufferedRecords(64))
	value := bytes.Repeat([]byte("x"), 1000)
	produce(t, c, topic, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				c.Produce(limited(t), &kgo.Record{Topic: topic, Value: value}, nil)
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

func fetchProfile(t *testing.T, b *Broker, path string) *profile.Profile {
	t.Helper()
	a, err := http.Get("http://" + b.AdminAddress() + "/debug/pprof/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s (%v)", path, a.Status, data, err)
	}
	p, err := profile.ParseData(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// labels are the values that samples have for a key, with how much time they have.
func labels(p *profile.Profile, key string) map[string]int64 {
	all := map[string]int64{}
	for _, s := range p.Sample {
		for _, value := range s.Label[key] {
			all[value] += s.Value[len(s.Value)-1]
		}
	}
	return all
}

func TestAProfileNamesAPIsAndTopics(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0", "log.flush.mode=os", "profile.interval.ms=0")
	enough := busy(t, b, "orders")
	defer enough()
	var apis, topics map[string]int64
	for ctx := limited(t); ctx.Err() == nil; { // a busy machine may give the broker little in one second
		p := fetchProfile(t, b, "profile?seconds=1")
		apis, topics = labels(p, "api"), labels(p, "topic")
		if apis["Produce"] > 0 && topics["orders"] > 0 {
			return
		}
	}
	t.Fatalf("a broker that stores records of orders has the APIs %v and the topics %v in its profile", apis, topics)
}

func TestProfilesAreKeptInARing(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, ProfilesFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cpu-20200101T000000.000Z.pb.gz": "old", "cpu-20200101T000001.000Z.pb.gz.tmp": "torn", "mine.txt": "not ours"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := start(t, dir, "admin.listener=127.0.0.1:0", "profile.interval.ms=150", "profile.duration.ms=100", "profile.keep.files=3")
	var names []string
	for ctx := limited(t); ; {
		var err error
		if names, err = diskio.OS.ReadDir(folder); err != nil {
			t.Fatal(err)
		}
		if len(names) == 4 && !strings.HasPrefix(names[0], "cpu-2020") && b.profiler.files() == 3 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the ring of three holds %q", names)
		}
	}
	if !slices.Contains(names, "mine.txt") {
		t.Error("a file of somebody else's is gone")
	}
	if b.profiler.bytes() <= 0 {
		t.Error("the metric says that profiles take no bytes")
	}
	// Who asks for one is served although the broker takes its own.
	fetchProfile(t, b, "profile?seconds=1")
}

// Who asks for a profile is served once the broker has ended its own, however late it comes to that.
func TestAProfileIsLentOnceItIsFree(t *testing.T) {
	b := start(t, t.TempDir(), "profile.interval.ms=100", "profile.duration.ms=100") // it always takes one
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))                                  // who asks goes on before the broker hears of it
	for served := 0; served < 5; {
		soon(t, "the broker takes one", label.On)
		ctx, cancel := context.WithCancel(t.Context())
		enough := time.AfterFunc(20*time.Millisecond, cancel) // a profile ends with who asked for it
		w := httptest.NewRecorder()
		b.serveProfile(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/profile?seconds=1", nil).WithContext(ctx))
		enough.Stop()
		cancel()
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Body.Len() > 0 { // it was lent in time
			served++
		}
	}
}

func TestTheRingIsBoundedByBytes(t *testing.T) {
	m := diskio.NewMemory()
	settings, err := config.Parse("", "", []string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=/data", "admin.listener=", "profile.interval.ms=0"})
	if err != nil {
		t.Fatal(err)
	}
	at := atomic.Int64{} // seconds
	at.Store(1_700_000_000)
	b, err := Start(Options{Settings: settings, FS: m, Now: func() time.Time { return time.Unix(at.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	for range 5 {
		at.Add(1)
		if err := b.profiler.keep(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.profiler.prune(100, 2500); err != nil {
		t.Fatal(err)
	}
	names, err := m.ReadDir(b.profiler.folder)
	if want := []string{"cpu-20231114T221324.000Z.pb.gz", "cpu-20231114T221325.000Z.pb.gz"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("of five profiles of 1000 bytes 2500 bytes leave %q (%v), want %q", names, err, want)
	}
	if b.profiler.files() != 2 || b.profiler.bytes() != 2000 {
		t.Errorf("the metrics say %d files, %d bytes", b.profiler.files(), b.profiler.bytes())
	}
}

// complaining is a log that passes on what is said of profiles that cannot be kept.
type complaining chan string

func (c complaining) Enabled(context.Context, slog.Level) bool { return true }
func (c complaining) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c complaining) WithGroup(string) slog.Handler            { return c }

func (c complaining) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot keep profiles") {
		c <- r.Message
	}
	return nil
}

// A disk that has no room for profiles disturbs nobody.
func TestProfilesThatCannotBeKeptDisturbNobody(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ProfilesFolder), []byte("in the way"), 0o644); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Parse("", "", []string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + dir, "admin.listener=", "profile.interval.ms=120", "profile.duration.ms=100"})
	if err != nil {
		t.Fatal(err)
	}
	complaints := make(complaining, 10)
	b, err := Start(Options{Settings: settings, Log: slog.New(complaints)})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	produce(t, client(t, b), "before", 10)
	select {
	case <-complaints: // the first was taken, and could not be kept
	case <-limited(t).Done():
		t.Fatal("nobody says that profiles cannot be kept")
	}
	for i := range 3 {
		produce(t, client(t, b), fmt.Sprintf("orders-%d", i), 10)
	}
	if b.profiler.files() != 0 {
		t.Error("profiles are where there is no room")
	}
}

// A stop that is told when to end does, though the disk that a profile goes to hangs.
func TestAProfileOnADiskThatHangsHoldsUpNoStop(t *testing.T) {
	dir := t.TempDir()
	files := newHanging(filepath.Join(dir, ProfilesFolder))
	mend := files.hang()
	t.Cleanup(mend)
	b, err := beginOn(files, dir, "profile.interval.ms=120", "profile.duration.ms=100")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-files.held:
	case <-limited(t).Done():
		t.Fatal("no profile is on its way to the disk")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // to come to the profile
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(ctx) }()
	select {
	case err := <-stopped:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stopped while a disk hangs: %v", err)
		}
	case <-limited(t).Done():
		t.Fatal("the stop waits for a disk that hangs")
	}
	mend()
	<-b.profiler.ended
	if err := b.takeDown(nil); err != nil { // what the stop has left: no partition was open
		t.Error(err)
	}
}

func TestMutexAndBlockProfilesCostOnlyWhileTheyAreTaken(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0", "profile.interval.ms=0")
	for _, kind := range []string{"mutex", "block", "heap", "goroutine"} {
		path := kind
		if kind == "mutex" || kind == "block" {
			path += "?seconds=1"
		}
		if p := fetchProfile(t, b, path); len(p.SampleType) == 0 {
			t.Errorf("the %s profile has no sample type", kind)
		}
	}
	if mutexes.askers.Load() != 0 || blocking.askers.Load() != 0 {
		t.Error("the runtime still looks at mutexes or waits")
	}
}
