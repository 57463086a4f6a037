package sdk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

func TestAConfigSaysAllThatIsWrong(t *testing.T) {
	c := sdk.NewConfig(map[string]string{"wait": "soon", "fields": "a, b,", "filds": "c"})
	if wait := c.Duration("wait", time.Second); wait != time.Second {
		t.Errorf("what cannot be read gave %v, want the default", wait)
	}
	if fields := c.List("fields"); len(fields) != 2 || fields[0] != "a" || fields[1] != "b" {
		t.Errorf("a list of a and b gave %q", fields)
	}
	err := c.Err()
	for _, want := range []string{`wait=soon is not a time`, `unknown setting "filds" (there are: fields, wait)`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
}

func TestAKeyMayHaveConfigBeforeIt(t *testing.T) {
	c := sdk.NewConfig(map[string]string{"config.fields": "a", "twice": "1", "config.twice": "2"})
	if got := c.String("fields", ""); got != "a" {
		t.Errorf("config.fields gave %q", got)
	}
	if got := c.String("twice", ""); got != "1" {
		t.Errorf("what is given both ways gave %q", got)
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), `unknown setting "config.twice"`) {
		t.Errorf("a key that is given both ways: %v", err)
	}
}

func TestAKindKnowsItsPlugins(t *testing.T) {
	kind := sdk.Serializers[[3]int]()
	none := errors.New("none today")
	kind.Register("fails", func(sdk.Config) (sdk.Serializer[[3]int], error) { return nil, none })
	if _, err := kind.New("fails", sdk.Config{}); !errors.Is(err, none) {
		t.Errorf("the error of a plugin became %v", err)
	}
	if _, err := sdk.Serializers[[3]int]().New("other", sdk.Config{}); err == nil || !strings.Contains(err.Error(), "there are: fails") {
		t.Errorf("an unknown name gave %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name was registered twice")
		}
	}()
	kind.Register("fails", func(sdk.Config) (sdk.Serializer[[3]int], error) { return nil, nil })
}

func TestABatchIsSeenAsItWasChanged(t *testing.T) {
	var builder batch.Builder
	builder.Append(1000, []byte("a"), []byte("one"), []batch.Header{{Key: "h", Value: []byte("x")}})
	builder.Append(1001, nil, []byte("two"), nil)
	builder.Append(1002, []byte("c"), nil, []batch.Header{{Key: "i"}})
	whole, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	var b sdk.Batch
	if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	if b.Changed() || b.Edits() != nil {
		t.Error("a batch is changed before anybody did")
	}
	b.SetValue(0, []byte("new"))
	b.AddHeader(0, "trace", []byte("y"))
	b.Drop(1)
	var seen []string
	for i, v := range b.All() {
		text := string(rune('0'+i)) + string(v.Key) + "=" + string(v.Value)
		for _, h := range v.Headers {
			text += " " + h.Key + ":" + string(h.Value)
		}
		seen = append(seen, text)
	}
	if got, want := strings.Join(seen, ", "), "0a=new h:x trace:y, 2c= i:"; got != want {
		t.Errorf("the batch is %q, want %q", got, want)
	}
	if e := b.Edits(); e[0].Fate != sdk.Edited || e[1].Fate != sdk.Dropped || e[2].Fate != sdk.Kept {
		t.Errorf("the edits are %v", e)
	}
}
