package stamp

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// stamped is what the headers of records become, as text.
func stamped(t *testing.T, settings map[string]string, records ...[]batch.Header) (all []string) {
	t.Helper()
	one, err := sdk.Interceptors.New("header-stamp", sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	one.(*stamper).now = func() time.Time { return time.UnixMilli(1234) }
	var builder batch.Builder
	for _, headers := range records {
		builder.Append(1, nil, []byte("v"), headers)
	}
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	out, err := chain.New(time.Now).Run([]chain.Plugin{{Interceptor: one}}, &chain.Input{Batch: b, ClientID: "me"})
	if err != nil {
		t.Fatal(err)
	}
	left, err := out.Batch.Records(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for left.Next() {
		text := ""
		for _, h := range left.Record().Headers {
			text += fmt.Sprintf("%s=%s ", h.Key, h.Value)
		}
		all = append(all, text)
	}
	if len(all) != len(records) {
		t.Fatalf("of %d records %d are left", len(records), len(all))
	}
	return all
}

func TestRecordsAreStamped(t *testing.T) {
	got := stamped(t, nil,
		[]batch.Header{{Key: "own", Value: []byte("x")}, {Key: "millrace.client.id", Value: []byte("a lie")}},
		[]batch.Header{{Key: "traceparent", Value: []byte("theirs")}})
	for i, want := range []string{
		`^own=x millrace.received.at=1234 millrace.client.id=me traceparent=00-[0-9a-f]{32}-[0-9a-f]{16}-00 $`,
		`^traceparent=theirs millrace.received.at=1234 millrace.client.id=me $`,
	} {
		if !regexp.MustCompile(want).MatchString(got[i]) {
			t.Errorf("the headers are %q, want %s", got[i], want)
		}
	}
}

// A large batch is not held when the call is over, nor the room that its headers took.
func TestNothingOfALargeBatchIsKept(t *testing.T) {
	one, err := sdk.Interceptors.New("header-stamp", sdk.NewConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	s := one.(*stamper)
	for size, kept := range map[int]bool{100: true, 2 * keep: false} {
		var builder batch.Builder
		builder.Append(1, nil, make([]byte, size), []batch.Header{{Key: "own"}})
		whole, err := builder.Finish(batch.NoProducer())
		if err != nil {
			t.Fatal(err)
		}
		var b sdk.Batch
		if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
			t.Fatal(err)
		}
		s.headers = nil
		if err := s.OnProduce(&b); err != nil || (s.headers != nil) != kept {
			t.Errorf("of a value of %d bytes %d headers are kept, %v", size, len(s.headers), err)
		}
	}
}

// A stamp that is not wanted replaces nothing, not even a header without a name.
func TestWhatIsNotStampedStays(t *testing.T) {
	theirs := []batch.Header{{Key: "", Value: []byte("x")}, {Key: "b", Value: []byte("y")}}
	for want, settings := range map[string]map[string]string{
		"=x b=y ":               {"trace": "false", "time.header": "", "client.header": ""},
		"=x b=y time=1234 ":     {"trace": "false", "time.header": "time", "client.header": ""},
		"=x b=y the client=me ": {"trace": "false", "time.header": "", "client.header": "the client"},
	} {
		if got := stamped(t, settings, theirs); got[0] != want {
			t.Errorf("%v: the headers are %q, want %q", settings, got[0], want)
		}
	}
}
