package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/results"
)

// The test binary started with "serve" is a stand-in for millrace: it reads the command
// line that StartMillrace makes and serves from kfake.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func serve(arguments []string) int {
	for i := 0; i+1 < len(arguments); i += 2 {
		key, value, _ := strings.Cut(arguments[i+1], "=")
		if key == "fail" {
			fmt.Fprintln(os.Stderr, "cannot", value)
			return 1
		}
		if key != "listeners" {
			continue
		}
		_, port, err := net.SplitHostPort(strings.TrimPrefix(value, "PLAINTEXT://"))
		if err != nil {
			panic(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			panic(err)
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number))
		if err != nil {
			panic(err)
		}
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		cluster.Close()
	}
	return 0
}

func TestStartMillrace(t *testing.T) {
	b, err := StartMillrace(context.Background(), MillraceOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", b.Address); err != nil {
		t.Errorf("it was said to answer: %v", err)
	} else {
		c.Close()
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", b.Address); err == nil {
		t.Error("it still listens after Stop")
	}
	if err := b.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// Restarted in its folder, a broker that was killed counts from its own exec.
func TestKillAndFirstAnswer(t *testing.T) {
	dir := t.TempDir()
	var began time.Time
	for range 2 {
		b, err := StartMillrace(context.Background(), MillraceOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if b.Answer <= 0 || b.Answer > time.Since(b.Began) || !b.Began.After(began) {
			t.Errorf("it answered after %v, %v after its exec", b.Answer, time.Since(b.Began))
		}
		began = b.Began
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := Ask(context.Background(), b.Address, kmsg.NewPtrApiVersionsRequest()); err == nil {
			t.Error("it answers after it was killed")
		}
		if err := errors.Join(b.Kill(), b.Stop()); err != nil {
			t.Errorf("ended again: %v", err)
		}
	}
}

// Answers with the old and with the flexible header are read, and nonsense is refused.
func TestAsk(t *testing.T) {
	b, err := StartMillrace(context.Background(), MillraceOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill() //nolint:errcheck // the test is over
	for _, version := range []int16{7, 12} {
		q := kmsg.NewPtrMetadataRequest()
		q.Version = version
		answer, err := Ask(context.Background(), b.Address, q)
		if err != nil || len(answer.(*kmsg.MetadataResponse).Brokers) != 1 {
			t.Errorf("Metadata %d: %v, %v", version, answer, err)
		}
	}
	for name, bytes := range map[string]string{
		"too long": "\xff\xff\xff\xff", "too short": "\x00\x00\x00\x02\x00\x00", "cut off": "\x00\x00\x00\x09\x00", "a broken body": "\x00\x00\x00\x05\x00\x00\x00\x01\x07",
	} {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			if _, err := there.Read(make([]byte, 1<<10)); err == nil {
				_, _ = there.Write([]byte(bytes))
			}
		}()
		if _, err := Exchange(here, kmsg.NewPtrApiVersionsRequest()); err == nil {
			t.Errorf("an answer that is %s was taken", name)
		}
		here.Close()
	}
}

func TestStartTellsWhyNot(t *testing.T) {
	_, err := StartMillrace(context.Background(), MillraceOptions{Dir: t.TempDir(), Settings: map[string]string{"fail": "find the water"}})
	if err == nil || !strings.Contains(err.Error(), "cannot find the water") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("the error is %v", err)
	}
	if _, err := StartMillrace(context.Background(), MillraceOptions{Dir: t.TempDir(), Executable: "/nowhere/millrace"}); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestMillraceArguments(t *testing.T) {
	got := millraceArguments(&Broker{Address: "127.0.0.1:9", Admin: "127.0.0.1:8", Dir: "/d"}, map[string]string{"log.flush.mode": "os"})
	want := []string{"serve", "--override", "admin.listener=127.0.0.1:8", "--override", "listeners=PLAINTEXT://127.0.0.1:9", "--override", "log.dirs=/d/data", "--override", "log.flush.mode=os"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPrepareKafka(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	b := &Broker{}
	path, err := prepareKafka(b, KafkaOptions{Dir: dir, Settings: map[string]string{"num.io.threads": "3"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"listeners=PLAINTEXT://" + b.Address + ",CONTROLLER://127.0.0.1:", "log.dirs=" + dir + "/data", "num.io.threads=3"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("server.properties lacks %q:\n%s", want, text)
		}
	}
}

func TestInstallKafkaLeavesACompleteFolderAlone(t *testing.T) {
	libs := t.TempDir()
	if err := os.WriteFile(filepath.Join(libs, "kafka_2.13-4.3.1.jar"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := InstallKafka(context.Background(), libs); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(libs, "pom.xml")); err == nil {
		t.Error("it was installed again")
	}
	// An earlier copy that broke off is begun again; without mvn that fails.
	if err := os.WriteFile(filepath.Join(libs, "partial"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	if err := InstallKafka(context.Background(), libs); err == nil {
		t.Error("half a copy was taken for a whole one")
	}
}

func TestOnly(t *testing.T) {
	for terms, want := range map[string]int{
		"": 16, "flush=os": 8, "record=100": 8, "record=1024,batch=64KiB": 4, "record=100,batch=16KiB,partitions=6,flush=commit": 1,
	} {
		if got, err := Only(Cells(), terms); err != nil || len(got) != want {
			t.Errorf("%q keeps %d cells (%v), want %d", terms, len(got), err, want)
		}
	}
	if _, err := Only(Cells(), "record=10"); err == nil || !strings.Contains(err.Error(), "flush=commit,record=100") {
		t.Errorf("a term that matches nothing: %v", err)
	}
}

// The whole matrix against stand-ins on both sides: every result is written, by repeats,
// then cells, then systems, and BENCHMARKS.md can be made of them.
func TestMatrix(t *testing.T) {
	ctx := context.Background()
	cells, err := Only(Cells(), "flush=os,record=100,batch=16KiB,partitions=6")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kafka, err := StartMillrace(ctx, MillraceOptions{Dir: filepath.Join(dir, "k")})
	if err != nil {
		t.Fatal(err)
	}
	kafka.Name = "kafka"
	millrace, err := StartMillrace(ctx, MillraceOptions{Dir: filepath.Join(dir, "m")})
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	m := &matrix{
		MatrixOptions: MatrixOptions{
			Cells: cells, Repeats: 1, Duration: 100 * time.Millisecond, Steady: time.Second, Volume: 1e6, Warmup: 1e6, Out: filepath.Join(dir, "results"),
			Progress: func(s Step) { steps = append(steps, s.System+" "+strconv.Itoa(s.Cell.Partitions)) },
		},
		kafka: kafka, millrace: map[string]*Broker{System: millrace}, began: time.Now(),
	}
	defer func() {
		if err := m.stop(); err != nil {
			t.Error(err)
		}
	}()
	paths, err := m.repeats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"millrace 6", "kafka 6"}; !slices.Equal(steps, want) {
		t.Errorf("measured %q, want %q", steps, want)
	}
	all, err := results.ReadAll(m.Out)
	if err != nil || len(all) != len(paths) || len(all) != 2 {
		t.Fatalf("%d results of %d: %v", len(all), len(paths), err)
	}
	var out strings.Builder
	if err := results.Benchmarks(&out, all, nil); err != nil || !strings.Contains(out.String(), "100 B × 16 KiB × 6") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
