package auditlog

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

func opened(t *testing.T) *sdk.Batch {
	t.Helper()
	var builder batch.Builder
	builder.Append(1, []byte("key of a person"), []byte("secret"), nil)
	whole, err := builder.Finish(batch.BatchOptions{ProducerID: 5, BaseOffset: 70})
	if err != nil {
		t.Fatal(err)
	}
	b := &sdk.Batch{Topic: "orders", Partition: 3, ClientID: "me"}
	if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhoWroteAndReadIsWrittenDown(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 2 { // what is there stays
		one, err := sdk.Interceptors.New("audit-log", sdk.NewConfig(map[string]string{"file": name}))
		if err != nil {
			t.Fatal(err)
		}
		if err := one.OnProduce(opened(t)); err != nil {
			t.Fatal(err)
		}
		if err := one.OnFetch(opened(t)); err != nil {
			t.Fatal(err)
		}
		if err := one.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
		if err := one.OnProduce(opened(t)); err == nil {
			t.Error("nothing was written, and nobody was told")
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "person") || strings.Contains(string(data), "secret") {
		t.Errorf("the audit log has what is in records: %s", data)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines: %s", len(lines), data)
	}
	for i, line := range lines {
		var got struct {
			API, Client, Topic        string
			Partition, Records, Bytes int
			Offset, Producer          int64
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		api, offset := "produce", int64(0)
		if i%2 == 1 {
			api, offset = "fetch", 70
		}
		if got.API != api || got.Client != "me" || got.Topic != "orders" || got.Partition != 3 || got.Records != 1 || got.Bytes == 0 || got.Offset != offset || got.Producer != 5 {
			t.Errorf("line %d is %+v", i, got)
		}
	}
}

func TestAFileThatCannotBeOpened(t *testing.T) {
	if _, err := sdk.Interceptors.New("audit-log", sdk.NewConfig(map[string]string{"file": t.TempDir()})); err == nil {
		t.Error("a folder was opened as a file")
	}
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "audit.jsonl")
	if _, err := sdk.Interceptors.New("audit-log", sdk.NewConfig(map[string]string{"file": elsewhere, "dir": dir})); err == nil {
		t.Error("a file outside of the folder of plugins was opened")
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a file outside of the folder of plugins was made")
	}
	if _, err := sdk.Interceptors.New("audit-log", sdk.NewConfig(map[string]string{"file": os.DevNull})); err == nil {
		t.Error("a device was opened as a file")
	}
}
