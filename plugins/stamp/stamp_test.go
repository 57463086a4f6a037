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

func TestRecordsAreStamped(t *testing.T) {
	one, err := sdk.Interceptors.New("header-stamp", sdk.NewConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	one.(*stamper).now = func() time.Time { return time.UnixMilli(1234) }
	var builder batch.Builder
	builder.Append(1, nil, []byte("a"), []batch.Header{{Key: "own", Value: []byte("x")}, {Key: "millrace.client.id", Value: []byte("a lie")}})
	builder.Append(1, nil, []byte("b"), []batch.Header{{Key: "traceparent", Value: []byte("theirs")}})
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	out, err := chain.New(time.Now).Run([]chain.Plugin{{Interceptor: one}}, &chain.Input{Batch: b, ClientID: "me"})
	if err != nil {
		t.Fatal(err)
	}
	records, err := out.Batch.Records(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`^own=x millrace.received.at=1234 millrace.client.id=me traceparent=00-[0-9a-f]{32}-[0-9a-f]{16}-00 $`,
		`^traceparent=theirs millrace.received.at=1234 millrace.client.id=me $`,
	} {
		if !records.Next() {
			t.Fatal("a record is missing")
		}
		got := ""
		for _, h := range records.Record().Headers {
			got += fmt.Sprintf("%s=%s ", h.Key, h.Value)
		}
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the headers are %q, want %s", got, want)
		}
	}
}
