package chain_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

func init() { sdk.Interceptors.Register("refuse-word", newRefuser) }

type refuser struct {
	sdk.Nop // lets everything pass on fetch
	word    []byte
}

func newRefuser(c sdk.Config) (sdk.Interceptor, error) {
	return &refuser{word: []byte(c.String("word", "secret"))}, nil
}

func (r *refuser) OnProduce(b *sdk.Batch) error {
	for i, record := range b.All() {
		if bytes.Contains(record.Value, r.word) {
			b.Fail(i, "the value has a word in it that must not be stored")
		}
	}
	return nil
}

func TestTheWordIsRefused(t *testing.T) {
	var builder batch.Builder
	builder.Append(0, nil, []byte("a secret"), nil)
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := sdk.Interceptors.New("refuse-word", sdk.NewConfig(map[string]string{"word": "secret"}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.New(time.Now).Run([]chain.Plugin{{Name: "refuse-word", Interceptor: plugin}}, &chain.Input{Topic: "t", Batch: b})
	if err == nil {
		t.Error("the word was stored")
	}
}

// What docs/plugins.md shows is what is compiled and run here.
func TestTheDocsShowThisCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(here), ")\n")
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of code, want 2", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if _, after, ok := strings.Cut(block, ")\n\n"); ok && strings.HasPrefix(block, "package") {
			block = after
		}
		if !strings.Contains(code, block) {
			t.Errorf("this is in docs/plugins.md and not here:\n%s", block)
		}
	}
}
