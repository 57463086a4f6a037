package faults

import (
	"context"
	"errors"
	"io"
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

// TestStartOnAFullDisk: a broker starts, again and again, on a file system without a free block, serves what is there,
// and deletes records, topics and what is too old; that makes room, and records are taken. Others take what is left
// over, down to the last block, whenever they can.
func TestStartOnAFullDisk(t *testing.T) {
	if err := disk.Needs(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	d, err := disk.Make(dir, "disk", 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Drop(); err != nil {
			t.Error(err)
		}
	})
	address, err := broker.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	serve := func() *broker.Running {
		t.Helper()
		b, err := broker.ServeMillrace(t.Context(), binary, filepath.Join(d.Path, "data"), filepath.Join(dir, "server.log"), address, "",
			"log.segment.bytes=1048576", "log.segment.delete.delay.ms=0", "log.retention.check.interval.ms=100", "profile.interval.ms=0")
		if err != nil {
			text, _ := os.ReadFile(filepath.Join(dir, "server.log"))
			t.Fatalf("%v\n%s", err, text)
		}
		return b
	}
	b := serve()
	t.Cleanup(func() { b.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	admin := kadm.NewClient(c)
	topics := []string{"stays", "cut", "goes", "expires"}
	if _, err := admin.CreateTopics(ctx, 1, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
	send := func(topic string) error {
		return c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("x", 600_000))}).FirstErr()
	}
	for _, topic := range topics {
		for range 4 {
			if err := send(topic); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range 4 { // by turns killed and stopped
		fill(t, d.Path)
		if n%2 == 0 {
			b.Kill()
		} else if err := b.Stop(); err != nil {
			t.Errorf("a stop on a full disk: %v", err)
		}
		fill(t, d.Path)
		b = serve()
	}
	fill(t, d.Path)
	once, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	defer once.Close()
	if err := once.ProduceSync(ctx, &kgo.Record{Topic: "stays", Value: make([]byte, 100_000)}).FirstErr(); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a full disk answers %v, want %v", err, kerr.KafkaStorageError)
	}
	s := &stand{T: t, address: address, client: c}
	if got := s.readOf("stays", 0); len(got) != 4 {
		t.Errorf("%d of 4 records can be read", len(got))
	}
	fill(t, d.Path)
	if _, err := admin.DeleteRecords(ctx, kadm.Offsets{"cut": {0: {Topic: "cut", At: 2}}}); err != nil {
		t.Errorf("delete records: %v", err)
	}
	fill(t, d.Path)
	value := "1"
	if a, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, "expires"); err != nil || a[0].Err != nil {
		t.Errorf("shorten the retention: %v %v", a, err)
	}
	fill(t, d.Path)
	if a, err := admin.DeleteTopics(ctx, "goes"); err != nil || a["goes"].Err != nil {
		t.Errorf("delete a topic: %v %v", a, err)
	}
	if err := send("stays"); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if got := s.readOf("stays", 0); len(got) != 5 {
		t.Errorf("%d of 5 records can be read", len(got))
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "server.log")); strings.Contains(string(text), "disk stopped") {
		t.Errorf("a full disk was stopped:\n%s", text)
	}
}

// fill takes every block of a file system that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(path, "ballast"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
