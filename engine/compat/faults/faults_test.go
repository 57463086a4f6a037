// Package faults lets real disks fail, fill and hang under a running broker.
package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/disk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var binary string // of the broker

func TestMain(m *testing.M) {
	disk.Isolate()
	dir, err := os.MkdirTemp("", "faults-")
	if err == nil && disk.Needs() == nil {
		binary, err = broker.Build(context.Background(), filepath.Join("..", "..", ".."), dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir) // a temporary folder that stays harms nobody
	os.Exit(code)
}

const (
	topic      = "faults"
	partitions = 8
)

// A stand is a broker with two data folders: one on the machine's own disk, which also has the metadata log, and one on
// a disk that is to suffer.
type stand struct {
	*testing.T
	disk             *disk.Disk
	good, bad        string // folders
	working, ailing  []int32
	address, metrics string
	log              string
	broker           *broker.Running
	client           *kgo.Client
}

func newStand(t *testing.T, mebibytes int64) *stand {
	if err := disk.Needs(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	d, err := disk.Make(dir, "disk", mebibytes)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{T: t, disk: d, good: filepath.Join(dir, "good"), bad: filepath.Join(d.Path, "bad"), log: filepath.Join(dir, "server.log")}
	t.Cleanup(func() {
		if err := d.Drop(); err != nil {
			t.Error(err)
		}
	})
	for _, address := range []*string{&s.address, &s.metrics} {
		if *address, err = broker.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	t.Cleanup(func() { s.broker.Kill() })
	if s.client, err = kgo.NewClient(kgo.SeedBrokers(s.address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.ProducerBatchCompression(kgo.NoCompression())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	if _, err := kadm.NewClient(s.client).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if err := s.send(p, "first"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(s.bad, fmt.Sprintf("%s-%d", topic, p))); err == nil {
			s.ailing = append(s.ailing, p)
		} else {
			s.working = append(s.working, p)
		}
	}
	if len(s.working) == 0 || len(s.ailing) == 0 {
		t.Fatalf("partitions %v are on one disk, %v on the other", s.working, s.ailing)
	}
	return s
}

func (s *stand) start() {
	var err error
	s.broker, err = broker.ServeMillrace(s.Context(), binary, s.good+","+s.bad, s.log, s.address, "", "admin.listener="+s.metrics)
	if err != nil {
		s.Fatal(err)
	}
}

// send answers what became of one record.
func (s *stand) send(partition int32, value string) error {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	return s.client.ProduceSync(ctx, &kgo.Record{Partition: partition, Value: []byte(value)}).FirstErr()
}

// goesOn checks that the other disk's partitions take records and can be read.
func (s *stand) goesOn() {
	s.Helper()
	for _, p := range s.working {
		if err := s.send(p, "meanwhile"); err != nil {
			s.Fatalf("partition %d lies on the disk that works: %v", p, err)
		}
		if got := s.read(p); got[len(got)-1] != "meanwhile" {
			s.Fatalf("partition %d: read %q", p, got)
		}
	}
}

// read answers the values of one partition, from its start to its end.
func (s *stand) read(partition int32) (values []string) {
	s.Helper()
	return s.readOf(topic, partition)
}

func (s *stand) readOf(topic string, partition int32) (values []string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(s.client).ListEndOffsets(ctx, topic)
	if err != nil {
		s.Fatal(err)
	}
	end, _ := ends.Lookup(topic, partition)
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	for int64(len(values)) < end.Offset {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			s.Fatalf("read partition %d: %v", partition, err)
		}
		for _, r := range f.Records() {
			values = append(values, string(r.Value))
		}
	}
	return values
}

// metric is the page of metrics.
func (s *stand) page() string {
	s.Helper()
	c := &http.Client{Timeout: time.Minute}
	answer, err := c.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// TestFailedSyncStopsTheDisk: a disk whose syncs fail is stopped for good, and says why; the other goes on. After a
// restart on the mended disk everything that was acknowledged is there.
func TestFailedSyncStopsTheDisk(t *testing.T) {
	s := newStand(t, 256)
	acked := map[int32]int{}
	if err := s.disk.Cut(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, p := range s.ailing {
			if err := s.send(p, "lost"); !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("produce to partition %d on the dead disk: %v, want %v", p, err, kerr.KafkaStorageError)
			}
		}
		s.goesOn()
	}
	for _, p := range s.working {
		acked[p] = 4
	}
	page := s.page()
	for _, want := range []string{"kafka_log_logmanager_offlinelogdirectorycount 1\n", "millrace_fsync_failures_total 1\n",
		fmt.Sprintf("millrace_disk_stopped{folder=%q,reason=", s.bad), "input/output error"} {
		if !strings.Contains(page, want) {
			t.Errorf("/metrics does not have %q", want)
		}
	}
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "disk stopped"); n != 1 || !strings.Contains(string(text), "input/output error") {
		t.Errorf("the log says %d times that the disk was stopped\n%s", n, text)
	}
	s.broker.Kill()
	if err := s.disk.Mend(); err != nil {
		t.Fatal(err)
	}
	s.start()
	for p := range int32(partitions) {
		if got := s.read(p); len(got) < max(1, acked[p]) || got[0] != "first" {
			t.Errorf("partition %d after the restart: %q", p, got)
		}
	}
}

// TestFullDisk: a full disk refuses records with an error that clients retry, its records can be read, the other disk
// goes on, and when there is space again records are taken without a restart.
func TestFullDisk(t *testing.T) {
	s := newStand(t, 64)
	ballast := filepath.Join(s.disk.Path, "ballast")
	var space syscall.Statfs_t
	if err := syscall.Statfs(s.disk.Path, &space); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(space.Bavail)*space.Bsize-4<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	large := strings.Repeat("x", 100_000)
	taken := map[int32]int{}
	var refusal error
	for i := 0; refusal == nil; i++ { // slowly
		p := s.ailing[i%len(s.ailing)]
		if refusal = s.send(p, large); refusal == nil {
			taken[p]++
		}
		if i > 1000 {
			t.Fatal("the disk does not fill")
		}
	}
	if !errors.Is(refusal, kerr.KafkaStorageError) {
		t.Errorf("a full disk refuses with %v, want %v", refusal, kerr.KafkaStorageError)
	}
	for range 20 {
		_ = s.send(s.ailing[0], large) // refused, or small enough for what is left
	}
	s.goesOn()
	for _, p := range s.ailing[1:] {
		if got := s.read(p); len(got) != 1+taken[p] {
			t.Errorf("partition %d of the full disk: %d records, want %d", p, len(got), 1+taken[p])
		}
	}
	if page := s.page(); !strings.Contains(page, "kafka_log_logmanager_offlinelogdirectorycount 0\n") {
		t.Error("a full disk is not stopped, and metrics say that it is")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.ailing {
		if err := s.send(p, large); err != nil {
			t.Errorf("there is space again, and partition %d answers %v", p, err)
		}
	}
}

// TestFrozenDisk: while a disk hangs its records wait, the other's are taken and read, and metrics can be had. When it
// goes on what waited is answered.
func TestFrozenDisk(t *testing.T) {
	s := newStand(t, 64)
	if err := s.disk.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := true
	thaw := func() {
		if frozen {
			frozen = false
			if err := s.disk.Thaw(); err != nil {
				t.Error(err)
			}
		}
	}
	defer thaw()
	answered := make(chan error, len(s.ailing))
	for _, p := range s.ailing {
		s.client.Produce(context.Background(), &kgo.Record{Partition: p, Value: []byte("waits")}, func(_ *kgo.Record, err error) { answered <- err })
	}
	other, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	waiting := s.client
	s.client = other // what waits holds up its connection
	for range 5 {
		s.goesOn()
	}
	s.client = waiting
	s.page()
	select {
	case err := <-answered:
		t.Fatalf("a record on the frozen disk was answered: %v", err)
	default:
	}
	thaw()
	for range s.ailing {
		if err := <-answered; err != nil {
			t.Errorf("a record that waited for the disk: %v", err)
		}
	}
}
