package wasm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	inputAt = 1 << 16 // where guests of tests take their input
	listAt  = 64      // and have a list of edits
)

// guest is a plugin whose on_produce is code; it may use two local variables i and two I.
func guest(code []byte, more ...func(*Module)) Module {
	m := Module{
		Memory: Limits{Min: 8},
		Functions: []Function{
			{Export: abi.Marker},
			{Export: abi.Alloc, Params: "i", Results: "i", Code: I32(inputAt)},
			{Export: abi.OnProduce, Params: "i", Results: "I", Locals: "iiII", Code: code},
		},
	}
	for _, f := range more {
		f(&m)
	}
	return m
}

// answering is a plugin that always answers the same list of edits.
func answering(list []byte) Module {
	return guest(I64(listAt<<32|int64(len(list))), func(m *Module) { m.Data = []Data{{At: listAt, Bytes: list}} })
}

// whole is all of a batch, as a guest is shown it that reads the records itself.
func whole(b *sdk.Batch) *part {
	return &part{section: b.Section(), count: b.Len(), last: true, most: 1 << 20}
}

// edits of a list, as numbers and texts.
func listOf(parts ...any) []byte {
	p := binary.LittleEndian.AppendUint32(nil, abi.EditsMagic)
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			p = binary.LittleEndian.AppendUint32(p, uint32(v))
		case string:
			p = append(binary.LittleEndian.AppendUint32(p, uint32(len(v))), v...)
		}
	}
	return p
}

func save(t testing.TB, module []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sum(module []byte) string {
	s := sha256.Sum256(module)
	return hex.EncodeToString(s[:])
}

func load(t testing.TB, module []byte, more map[string]string) (*Plugin, error) {
	t.Helper()
	values := map[string]string{"path": save(t, module), "sha256": sum(module)}
	maps.Copy(values, more)
	made, err := sdk.Interceptors.New("wasm", sdk.NewConfig(values))
	if err != nil {
		return nil, err
	}
	p := made.(*Plugin)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, nil
}

func mustLoad(t testing.TB, module []byte, more map[string]string) *Plugin {
	t.Helper()
	p, err := load(t, module, more)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// records is a batch with these values.
func records(t testing.TB, values ...string) *sdk.Batch {
	t.Helper()
	return recordsWith(t, nil, values...)
}

// recordsWith is a batch with these values, whose first record has these headers.
func recordsWith(t testing.TB, headers []batch.Header, values ...string) *sdk.Batch {
	t.Helper()
	var builder batch.Builder
	for i, v := range values {
		builder.Append(int64(1000+i), []byte("k"), []byte(v), headers)
		headers = nil
	}
	whole, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	b := &sdk.Batch{Topic: "orders", Partition: 3, ClientID: "tester"}
	if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	return b
}
